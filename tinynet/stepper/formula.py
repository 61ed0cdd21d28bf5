"""An op's formula in the graph's own names (from its `rule` and `where`), with its shapes, and with
numbers put in.

An op states its rule in letters of its own. Where it stands in a graph, the letters give way to
what the tensors there are called: `{y}`, `{gy}` (the result and its gradient), `{0}`, `{g0}`
(input 0) are the places for those in a `Formula` before `fill`; `{is0}` is '=' or, for one of
several contributions, '+='.
"""

import functools
import inspect
import re
from typing import NamedTuple

from tinynet.stepper.text import MARGIN, WIDTH


class Formula(NamedTuple):
    """forward: 'c = a b'. backward: 'ga = gc b, gb = gc a', on a line each if they are long, '' for
    an op without a rule. where: what the other letters mean, or ''. shapes, shapes_back: the same
    two with shapes for names."""

    forward: str
    backward: str
    where: str
    shapes: str
    shapes_back: str


def formula(trace, node):
    """The op's formula in the names of its graph."""
    parts = [fill(part, trace, node) for part in template(trace, node)]
    if len(parts[1].replace("\n", ", ")) <= WIDTH - MARGIN:
        parts[1] = parts[1].replace("\n", ", ")
    return Formula(*parts)


def fill(text, trace, node):
    """A text with the names of the node's tensors put into its places."""
    words = {"y": node.symbol, "gy": node.gradient_symbol}
    for i, number in enumerate(node.inputs):
        words[str(i)] = input_names(node.op)[i] if number is None else trace.nodes[number].symbol
        words[f"g{i}"] = "g" + words[str(i)]
        words[f"is{i}"], words[f"use{i}"] = "=", ""
        if number is not None:
            words[f"g{i}"] = trace.nodes[number].gradient_symbol
            words[f"is{i}"] = "+=" if trace.nodes[number].contributions > 1 else "="
            words[f"use{i}"] = use(node, i, trace)
    return re.sub(r"\{(\w+)\}", lambda found: words[found[1]], text)


def in_names(rule, trace, node):
    """'gy b' with the names of the node's tensors: 'gc a'."""
    return fill(places(rule, node), trace, node)


def places(rule, node):
    """'gy b' with the places for those names: '{gy} {1}'."""
    return _put(rule, _letters(node.op))


def use(node, i, trace):
    """' (2nd use of b)' for one of several places where an op has the same input, else ''."""
    same = [k for k, number in enumerate(node.inputs) if number == node.inputs[i]]
    if len(same) < 2:
        return ""
    return f" ({ordinal(same.index(i) + 1)} use of {trace.nodes[node.inputs[i]].symbol})"


def ordinal(n):
    return f"{n}" + {1: "st", 2: "nd", 3: "rd"}.get(n, "th")


def template(trace, node):
    """The Formula with places for the names; the same for all ops that differ in names only."""
    op, names = node.op, input_names(node.op)
    letters = _letters(op) | _renamed(op, names, trace) | _known(node)
    forward, *gradients = _equations(op, names) or [("y", f"{op.name}(...)", None)]
    shown = [f"{forward[0]} = {forward[1]}"]
    for left, right, i in gradients:
        name, bracket, rest = left.partition("[")
        if not op.needs[i]:
            continue
        summed = _summed(op, i)
        right = f"({right})" if summed and " " in right else right
        shown.append(f"{name}{bracket}{rest} {{is{i}}} {right}{summed}{{use{i}}}")
    words = functools.partial(_put, letters=letters)
    once = [i for i, k in enumerate(node.inputs) if k is None or node.inputs.index(k) == i]
    back = [f"{{g{i}}} {op.input_shapes[i]}" for i in once if op.needs[i]]
    given = ", ".join(f"{{{i}}} {shape}" for i, shape in enumerate(op.input_shapes))
    return Formula(
        words(shown[0]),
        "\n".join(map(words, shown[1:])),
        "; ".join(words(part) for part in _clauses(op, letters)),
        f"{{y}} {op.output_shape} from {given}",
        ", ".join(back) + f" from {{gy}} {op.output_shape}" * bool(back),
    )


def _equations(op, names):
    """(left, right, number of the input or None) of the rule, a gradient for each input given."""
    found = []
    for number, (left, right) in enumerate(op.rule.items()):
        if number == 0:
            found.append((left, _as_given(right, names), None))
        for i, name in enumerate(names if number else ()):
            base = name.partition("[")[0]
            if left.partition("[")[0] == f"g{base}":
                many = name != base  # of a variable number of inputs: an equation for each
                mine = right.replace(f"{base}[i]", name) if many else right
                found.append((f"g{name}" if many else left, mine, i))
    return found


def _as_given(right, names):
    """'(+ bias)' is '+ bias' if there is one and nothing if there is none; 'xs[0], xs[1], ...' as
    many as there are."""
    right = re.sub(
        r" \(\+ (bias[^)]*)\)", lambda found: f" + {found[1]}" * ("bias" in names), right
    )
    return right.replace("xs[0], xs[1], ...", ", ".join(names[:6]) + ", ..." * (len(names) > 6))


def _letters(op):
    """{letter of the rule: the place for a name}"""
    places = {"y": "{y}", "gy": "{gy}"}
    for i, name in enumerate(input_names(op)):
        places |= {name: f"{{{i}}}", f"g{name}": f"{{g{i}}}"}
    return places


def local_letters(op):
    """The letters of a rule that are no tensors: what it indexes with, and what `where` defines."""
    rule = " ".join([*op.rule, *op.rule.values()])
    found = re.findall(r"[A-Za-z]\w*", " ".join(re.findall(r"\[([^\]]*)\]", rule)))
    for clause in op.where.split("; "):
        defined = re.match(r"((?:[A-Za-z]\w*(?:\[[\w,]+\])?(?:, )?)+):", clause)
        if defined:
            found += re.findall(r"[A-Za-z]\w*", re.sub(r"\[.*?\]", "", defined[1]))
        found += re.findall(r"(?:^|, )([A-Za-z]\w*)(?:\[[\w,]+\])? = ", clause)
    return dict.fromkeys(letter for letter in found if letter not in ("y", "gy"))


def _renamed(op, names, trace):
    """{letter: another} for the rule's letters that are names of the graph."""
    taken, own = trace.names, local_letters(op)
    if not taken & own.keys():
        return {}
    used = {*taken, *own, *re.findall(r"\w+", " ".join([*op.rule.values(), op.where]))}
    new = {}
    for letter in own:
        if letter in taken and letter not in {*names, *(f"g{name}" for name in names)}:
            other = [c for c in "uvstklmndfe" if c not in used] if len(letter) == 1 else []
            new[letter] = other[0] if other else letter + "_"
            while new[letter] in used:
                new[letter] += "_"
            used.add(new[letter])
    return new


def _known(node):
    """{letter: number} of the options that a rule may name."""
    known = {}
    for name, value in node.options.items():
        if name == "dim":
            known["dim"] = _axes(value, len(node.op.input_shapes[0]))
        elif hasattr(value, "letters"):  # a window
            known |= {letter: str(number) for letter, number in value.letters.items()}
        elif isinstance(value, int | float) and not isinstance(value, bool):
            known[name] = f"{value:g}"
    return known


def _axes(dim, axes):
    dims = [d % axes for d in ((dim,) if isinstance(dim, int) else dim)] if axes else []
    if len(dims) == axes:
        return "all axes" if axes > 1 else "its axis" if axes else "no axis"
    return f"ax{'i' if len(dims) == 1 else 'e'}s {' and '.join(map(str, dims))}"


def _summed(op, i):
    """' summed over axis 0' where input i was broadcast and the tape sums its gradient back."""
    shape, full = op.input_shapes[i], op.output_shape
    if not op.broadcasts or shape == full:
        return ""
    extra = len(full) - len(shape)
    axes = [k for k in range(len(full)) if k < extra or shape[k - extra] == 1 != full[k]]
    return f" summed over {_axes(tuple(axes), len(full))}" if axes else ""


def _put(text, letters):
    """The text with letters for places; what became '1*h' or '+ 0' by that is 'h' and nothing."""
    pattern = r"[A-Za-z_]\w*\[\d+\]|[A-Za-z_]\w*"
    text = re.sub(pattern, lambda found: letters.get(found[0], found[0]), text)
    return re.sub(r" [-+] 0(?![\w.])", "", re.sub(r"(?<![\w.])1\*(?=[a-z(])", "", text))


def _clauses(op, letters):
    """The parts of `where`, but for those whose letters are all known numbers here."""
    for clause in filter(None, op.where.split("; ")):
        defined = re.match(r"((?:\w+(?:, )?)+):", clause)
        known = defined and [letters.get(word, "") for word in defined[1].split(", ")]
        if not (known and all(re.fullmatch(r"[-\d.]+", word) for word in known)):
            yield clause


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


TOKEN = re.compile(r"\s*(?:(?P<word>[A-Za-z_]\w*)|(?P<number>\d+)|(?P<sign>\*\*|[-+*/(),|]))")
KNOWN = {"exp", "log", "sqrt", "min", "max", "sign", "floor", "tanh"}


def in_numbers(rule, values):
    """'gy b' with {'gy': '2', 'b': '-3'}: '2 * (-3)'; a place '{b}' becomes '{b!}' where a negative
    number needs its brackets. None for a rule that says more than arithmetic on these names."""
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
            bracketed = {"-": f"({value})", "{": f"{value[:-1]}!}}"}.get(value[0], value)
            written.append(value if alone else bracketed)
        elif sign in ("+", "/") or (sign == "-" and after_value):
            written.append(f" {sign} ")
        else:
            written.append(", " if sign == "," else sign)
        after_value = value is not None or sign in (")",)
    return "".join(written) or None
