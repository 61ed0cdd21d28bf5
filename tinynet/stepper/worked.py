"""One element worked out: the op's formula, the chain rule and a check, in numbers."""

import numpy as np

from tinynet.stepper.formula import in_numbers, input_names
from tinynet.stepper.numbers import Replay, relative_error
from tinynet.stepper.text import element, number

MOST_TERMS = 4  # of a sum
ROUNDING = 1e-3  # relative: of a difference against a derivative
ROUGHLY = 0.05  # of the largest value: float16 against float64, through many layers


def largest(array):
    """The index of the largest finite element, whatever its sign."""
    sizes = np.abs(np.where(np.isfinite(array), array, 0))
    return tuple(map(int, np.unravel_index(int(sizes.argmax()), array.shape)))


class Worked:
    """Works out elements of a recorded trace, in float64 (`numbers.Replay`).

    Raises ValueError for a graph that gives other values when it runs again, and whatever an op
    of the user's raises then.
    """

    def __init__(self, trace):
        self.trace = trace
        self.replay = Replay(trace)
        for node in trace.nodes:
            if not _alike(self.replay.values[node.number], node.value):
                raise ValueError(
                    f"{node.name} #{node.number} gives other values then; it draws random numbers "
                    "or remembers something"
                )

    def element(self, step, i, index, with_output=True):
        """Lines: one element of the gradient to input `i`, before it one of the op's output."""
        node, name = step.node, input_names(step.node.op)[i]
        forward, backward = self._by_formula(step, i, index)
        if backward:
            return ([forward] if with_output and forward else []) + [backward]
        terms = self.replay.terms(step, i, index, MOST_TERMS)
        lines = []
        if with_output and forward:
            lines.append(forward)
        elif with_output:
            k = terms.terms[0].index if terms.terms else (0,) * len(node.shape)
            lines += self._output(node, k)
        lines += _chain_rule(element(f"g{name}", index), element(name, index), terms)
        paths = self.replay.batchnorm_paths(step) if i == 0 else None
        if paths:
            lines += _paths(element("gx", index), paths, index)
        return lines

    def check(self, node, index):
        """Lines: an element of a node's complete gradient, and the finite difference there."""
        exact = float(self.trace.gradient(node)[index])
        left, right = self.replay.one_sided_differences(node.number, index)
        middle = (left + right) / 2
        error = relative_error(exact, middle)
        lines = [
            f"by backprop {number(exact)}",
            f"by finite difference, in float64, {number(middle)}; relative error {error:.1e}",
        ]
        if not error <= ROUNDING and not abs(exact - middle) <= 1e-6:
            slopes = f"slope {number(left)} to the left, {number(right)} to the right: "
            kink = relative_error(left, right) > ROUNDING
            lines.append(
                slopes
                + (
                    "a kink, where no derivative exists and the op chooses one"
                    if kink
                    else "no kink, so one of the backward methods on the way may be wrong"
                )
            )
        return lines

    def _by_formula(self, step, i, index):
        """(forward, backward): the op's own formulas with numbers for names, None where they say
        more than arithmetic element by element."""
        node, names = step.node, input_names(step.node.op)
        if step.gxs[i].shape != node.shape:
            return None, None
        values = {
            name: number(option)
            for name, option in node.options.items()
            if isinstance(option, int | float)
        }
        arrays = {
            name: self.trace.nodes[k].value for name, k in zip(names, node.inputs, strict=True)
        }
        for name, array in {**arrays, "y": node.value, "gy": step.gy}.items():
            try:
                values[name] = number(np.broadcast_to(array, node.shape)[index])
            except ValueError:  # not element by element
                return None, None
        return tuple(
            _equation(element(left, index), node.op.rule.get(left, ""), values, array[index])
            for left, array in (("y", node.value), (f"g{names[i]}", step.gxs[i]))
        )

    def _output(self, node, k):
        """y[k]: as a sum of products, if it is one, else just what it is."""
        y = element("y", k)
        found = self.replay.products(node, k, MOST_TERMS)
        if found is None or not found.terms:
            return [f"{y} = {number(self.replay.values[node.number][k])}"]
        name = input_names(node.op)[0]
        parts = [
            _signed(x) if slope == 1 else f"{_signed(slope, 4)} * {_signed(x, 4)}"
            for _, slope, x in found.terms
        ]
        rest = found.count - len(parts)
        if rest:
            parts.append(f"{rest:,} more")
        if found.constant:
            parts.append(_signed(found.constant))
        where = ", ".join(element(name, index) for index, _, _ in found.terms)
        of = f" ({where} and others)" if rest else f" ({where})"
        return [f"{y} = {' + '.join(parts)} = {number(found.total)}" + of * (found.count > 1)]


def _alike(again, value):
    """Whether two results are the same up to the rounding of a low precision."""
    known = np.isfinite(value)
    scale = np.abs(value[known]).max(initial=0)
    return np.allclose(again[known], value[known], rtol=0, atol=ROUGHLY * scale)


def _equation(left, rule, values, total):
    numbers = in_numbers(rule, values)
    if numbers is None:
        return None
    total = number(total)
    return f"{left} = {rule} = {numbers}" + f" = {total}" * (numbers != total)


def _chain_rule(left, what, terms):
    if not terms.terms:
        return [f"{left} = {number(terms.total)}: no output moves with {what}"]
    of = what if terms.count == 1 else what.partition("[")[0]
    factors = [f"{element('gy', t.index)} * d{element('y', t.index)}/d{of}" for t in terms.terms]
    numbers = [f"{number(t.gy, 4)} * {_signed(t.slope, 4)}" for t in terms.terms]
    if terms.count == 1:
        return [f"{left} = {factors[0]} = {numbers[0]} = {number(terms.total)}"]
    lines = [f"{left} = the sum over the {terms.count:,} outputs that {what} reaches of"]
    wide = max(map(len, factors)), max(map(len, numbers))
    for term, factor, product in zip(terms.terms, factors, numbers, strict=True):
        lines.append(f"  {factor:{wide[0]}} = {product:{wide[1]}} = {number(term.value, 5)}")
    if terms.count > len(terms.terms):
        rest = terms.total - sum(term.value for term in terms.terms)
        lines.append(f"  the {terms.count - len(terms.terms):,} others add {number(rest)}")
    return [*lines, f"  = {number(terms.total)}"]


def _paths(left, paths, index):
    values = {name: float(array[index]) for name, array in paths.items()}
    values["together"] = sum(values.values())
    return [f"{left} by its three paths:"] + [
        f"  {name:21}{number(value):>12}" for name, value in values.items()
    ]


def _signed(value, digits=6):
    return f"({number(value, digits)})" if value < 0 else number(value, digits)
