"""One element worked out: the op's formula, the chain rule and a check, in numbers."""

import numpy as np

from tinynet.stepper.batchnorm import batchnorm_paths
from tinynet.stepper.examples import MOST_TERMS, cross_entropy_row, equation, made, signed
from tinynet.stepper.formula import fill, input_names, use
from tinynet.stepper.numbers import Replay
from tinynet.stepper.text import element, number

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
        node, target = step.node, self.trace.nodes[step.node.inputs[i]]
        key = next(
            (left for left in node.op.rule if left.startswith(f"g{input_names(node.op)[i]}")), ""
        )
        alike = step.gxs[i].shape == node.shape
        backward = alike and equation(self.replay, node, key, index, i)
        if backward:
            return (made(self.replay, node, index) if with_output else []) + [backward]
        terms = self.replay.terms(step, i, index, MOST_TERMS)
        lines = []
        if with_output and node.value.size:
            k = terms.terms[0].index if terms.terms else (0,) * len(node.shape)
            lines += made(self.replay, node, index if alike else k)
        lines += chain_rule(self.trace, step, i, index, terms)
        if node.name == "SoftmaxCrossEntropy":
            lines += _softmax_minus_target(self.replay, step, index)
        paths = batchnorm_paths(self.replay, step) if i == 0 else None
        if paths:
            lines += _paths(element(target.gradient_symbol, index), paths, index)
        return lines

    def check(self, node, index):
        """Lines: an element of a node's complete gradient, and the finite difference there."""
        found = self.replay.check(node.number, index)
        error = f"{found.error:.1e}" if found.error == found.error else "none"
        lines = [
            f"by backprop {number(found.gradient)}",
            f"by finite difference, in float64, {number(found.difference)}; relative error {error}",
        ]
        return lines + [found.reason] * bool(found.reason)


def _alike(again, value):
    """Whether two results are the same up to the rounding of a low precision."""
    known = np.isfinite(value)
    scale = np.abs(value[known]).max(initial=0)
    return np.allclose(again[known], value[known], rtol=0, atol=ROUGHLY * scale)


def chain_rule(trace, step, i, index, terms):
    """Lines: gx[index] as the sum over the outputs that move with x[index]."""
    node, target = step.node, trace.nodes[step.node.inputs[i]]
    gx, what = element(target.gradient_symbol, index), element(target.symbol, index)
    left = f"{gx} {fill(f'{{is{i}}}', trace, node)}"
    if not terms.terms:
        return [f"{left} {number(terms.total)}: no output moves with {what}" + use(node, i, trace)]
    y, gy = node.symbol, node.gradient_symbol
    of = what if terms.count == 1 else target.symbol
    factors = [f"{element(gy, t.index)} * d{element(y, t.index)}/d{of}" for t in terms.terms]
    numbers = [f"{number(t.gy)} * {signed(t.slope)}" for t in terms.terms]
    if terms.count == 1:
        return [f"{left} {factors[0]} = {numbers[0]} = {number(terms.total)}" + use(node, i, trace)]
    lines = [f"{left} the sum over the {terms.count:,} outputs that move with {what} of"]
    wide = max(map(len, factors)), max(map(len, numbers))
    for term, factor, product in zip(terms.terms, factors, numbers, strict=True):
        lines.append(f"  {factor:{wide[0]}} = {product:{wide[1]}} = {number(term.value)}")
    if terms.count > len(terms.terms):
        rest = terms.total - sum(term.value for term in terms.terms)
        lines.append(f"  the {terms.count - len(terms.terms):,} others add {number(rest)}")
    return [*lines, f"  = {number(terms.total)}" + use(node, i, trace)]


def _softmax_minus_target(replay, step, index):
    """A cross-entropy's gradient as the softmax minus the labels."""
    r, k = index
    p, q, label = cross_entropy_row(replay, step.node, r)
    gy, total = float(step.gy[r]), q.sum()
    name = element(replay.trace.nodes[step.node.inputs[0]].gradient_symbol, index)
    come = f"{step.node.gradient_symbol}[{r}]"
    one_hot = label is not None and q[label] == 1 and total == 1
    weight = "" if abs(total - 1) < 1e-12 else f" * {number(total)}"
    return [
        f"{name}: softmax minus {'one-hot' if one_hot else 'target'}, times {come}: "
        f"({number(p[k])}{weight} - {number(q[k])}) * {signed(gy)} = {number(step.gxs[0][index])}"
    ]


def _paths(left, paths, index):
    values = {name: float(array[index]) for name, array in paths.items()}
    values["together"] = sum(values.values())
    return [f"{left} by its three paths:"] + [
        f"  {name:21}{number(value):>12}" for name, value in values.items()
    ]
