"""An op's formula in symbols (its `rule` and `where`), with its shapes, and with numbers put in."""

import functools
import inspect
import re
from typing import NamedTuple

from tinynet.stepper.text import MARGIN, WIDTH


class Formula(NamedTuple):
    """forward: 'y = a b'. backward: 'ga = gy b, gb = gy a', on a line each if they are long, '' for
    an op without a rule. where: what the other letters mean, or ''."""

    forward: str
    backward: str
    where: str


def formula(op):
    """The op's rule as equations, without the gradients of inputs that it was not given."""
    forward, *gradients = _equations(op) or [f"y = {op.name}(...)"]
    backward = ", ".join(gradients)
    if len(backward) > WIDTH - MARGIN:
        backward = "\n".join(gradients)
    return Formula(forward, backward, op.where)


def _equations(op):
    given = {"g" + name.partition("[")[0] for name in input_names(op)}
    return [
        f"{left} = {right}"
        for number, (left, right) in enumerate(op.rule.items())
        if number == 0 or left.partition("[")[0] in given
    ]


def input_names(op):
    """What `forward` calls its inputs: ('x', 'weight', 'bias'), as many as there are."""
    return _input_names(op.definition, len(op.parents))


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


TOKEN = re.compile(r"\s*(?:(?P<word>[A-Za-z_]\w*)|(?P<number>\d+)|(?P<sign>\*\*|[-+*/(),|]))")
KNOWN = {"exp", "log", "sqrt", "min", "max", "sign", "floor"}


def in_numbers(rule, values):
    """'gy b' with {'gy': '2', 'b': '-3'}: '2 * (-3)'. None for a rule that says more than
    arithmetic on these names."""
    written, place, after_value = [], 0, False
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
