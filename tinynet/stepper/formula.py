"""An op's rule in words: its docstring, and the shapes and the numbers put in."""

import functools
import inspect
import re
from typing import NamedTuple


class Formula(NamedTuple):
    """forward: 'y = a b'. backward: 'ga = gy b, gb = gy a'; several lines for a long one."""

    forward: str
    backward: str


def formula(op):
    """The rule of an op as its docstring gives it: first the formula, then that of backward."""
    return _formula(type(op))


@functools.lru_cache(maxsize=256)
def _formula(kind):
    text = inspect.cleandoc(kind.__doc__ or "")
    text = re.split(r"^(?:Args|Howard)\b", text, maxsplit=1, flags=re.MULTILINE)[0].strip()
    first, _, rest = text.partition("\n")
    forward, _, backward = first.partition(";  ")
    backward = backward or re.sub(r"^backward:\s*", "", rest.strip())
    return Formula(forward.strip() or f"y = {kind.__name__}(...)", backward.strip())


def input_names(op):
    """What `forward` calls its inputs: ('x', 'weight', 'bias'), as many as there are."""
    return _input_names(type(op), len(op.parents))


@functools.lru_cache(maxsize=256)
def _input_names(kind, count):
    names = []
    _, *parameters = inspect.signature(kind.forward).parameters.values()  # without self
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            names += [f"{parameter.name}[{i}]" for i in range(count - len(names))]
        else:
            names.append(parameter.name)
    return tuple(names[:count])


def with_shapes(op):
    """Two lines: 'y (2, 4) from x (2, 3), weight (4, 3)' and what goes back, with its shapes."""
    parts = list(zip(input_names(op), op.input_shapes, op.needs, strict=True))
    into = ", ".join(f"{name} {shape}" for name, shape, _ in parts)
    back = ", ".join(f"g{name} {shape}" for name, shape, needed in parts if needed)
    return f"y {op.output_shape} from {into}", f"{back} from gy {op.output_shape}"


def rules(op):
    """The single equations of an op's formula: {'y': 'a b', 'ga': 'gy b', 'gb': 'gy a'}."""
    forward, backward = formula(op)
    parts = [forward, *re.split(r"[,;]\s+(?=g\w+ = )", backward.rstrip("."))]
    equations = [part.split(" = ", 1) for part in parts if " = " in part]
    return {left.strip(): right.strip() for left, right in equations}


TOKEN = re.compile(r"\s*(?:(?P<word>[A-Za-z_]\w*)|(?P<number>\d+)|(?P<sign>\*\*|[-+*/(),|]))")
KNOWN = {"exp", "log", "sqrt", "min", "max", "sign"}


def in_numbers(rule, values):
    """'gy b' with {'gy': '2', 'b': '-3'}: '2 * (-3)'. None for a rule that says more than
    arithmetic on these names."""
    written, place, after_value = [], 0, False
    rule = rule.split(", the ")[0]
    while place < len(rule):
        token = TOKEN.match(rule, place)
        if token is None or not (token["word"] is None or token["word"] in {*values, *KNOWN}):
            return None
        place = token.end()
        value = values.get(token["word"]) or token["number"]
        if after_value and (token["word"] or token["number"] or token["sign"] == "("):
            written.append(" * ")
        sign = token["sign"] or token["word"]
        if value is not None:
            follows = "".join(written).rstrip()[-1:]
            alone = follows in ("", "(", ",", "|") and not rule.startswith("**", place)
            written.append(value if alone or value[0] != "-" else f"({value})")
        elif sign in ("+", "/") or (sign == "-" and after_value):
            written.append(f" {sign} ")
        else:
            written.append(", " if sign == "," else sign)
        after_value = value is not None or sign in (")",)
    return "".join(written) or None
