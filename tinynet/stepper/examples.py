"""One element of an op's result in numbers, from which it can be recomputed: what its rule says
where that is arithmetic, a sum of products, or what the op has besides (statistics, labels)."""

from typing import NamedTuple

import numpy as np

from tinynet.stepper.formula import fill, in_names, in_numbers, input_names
from tinynet.stepper.numbers import batchnorm_parts
from tinynet.stepper.text import element, number

MOST_TERMS = 4  # of a sum


def made(replay, node, k, most=MOST_TERMS):
    """Lines: y[k] of an op, in the graph's names."""
    trace = replay.trace
    y = element(node.symbol, k)
    values = [replay.values[i] for i in node.inputs]
    special = SPECIAL.get(node.name)
    if special is not None:
        return special(replay, node, k)
    by_rule = equation(replay, node, "y", k)
    if by_rule:
        return [by_rule]
    found = replay.products(node, k, most) if values[0].size else None
    total = number(replay.values[node.number][k])
    if found is None or not found.terms:
        return [f"{y} = {total}"]
    name = trace.nodes[node.inputs[0]].symbol
    plain = found.count == 1 or all(slope == 1 for _, slope, _ in found.terms)
    parts = [
        signed(x) if plain and slope == 1 else f"{signed(slope)} * {signed(x)}"
        for _, slope, x in found.terms
    ]
    if found.count == 1 and parts[0] == total and not found.constant:
        return [f"{y} = {element(name, found.terms[0][0])} = {total}"]
    rest = found.count - len(parts)
    if rest:
        shown = sum(slope * x for _, slope, x in found.terms)
        parts.append(f"{signed(found.total - found.constant - shown)} ({rest:,} more)")
    if found.constant:
        parts.append(signed(found.constant))
    where = ", ".join(element(name, index) for index, _, _ in found.terms)
    of = f" ({where} and others)" if rest else f" ({where})"
    return [f"{y} = {' + '.join(parts)} = {total}" + of]


def equation(replay, node, left, index, i=None):
    """'c[1] = a b = 2 * 3 = 6' for the left side 'y' or that of the gradient of input `i`: None
    where the rule is more than arithmetic element by element."""
    trace, names = replay.trace, input_names(node.op)
    rule = node.op.rule.get(left, "")
    values = {
        name: number(option)
        for name, option in node.options.items()
        if isinstance(option, int | float) and not isinstance(option, bool)
    }
    arrays = {name: trace.nodes[k].value for name, k in zip(names, node.inputs, strict=True)}
    arrays |= {"y": node.value, "gy": trace.gradients.get(node.number)}
    for name, array in arrays.items():
        if array is None:
            continue
        try:
            values[name] = number(np.broadcast_to(array, node.shape)[index])
        except ValueError:  # not element by element
            return None
    numbers = in_numbers(rule, values)
    if numbers is None:
        return None
    if i is None:
        total, sign, use = number(node.value[index]), "=", ""
        name = node.symbol
    else:
        step = next(step for step in trace.steps if step.node is node)
        total, name = number(step.gxs[i][index]), fill(f"{{g{i}}}", trace, node)
        sign, use = fill(f"{{is{i}}}", trace, node), fill(f"{{use{i}}}", trace, node)
    parts = list(dict.fromkeys((in_names(rule, trace, node), numbers, total)))
    return f"{element(name, index)} {sign} {' = '.join(parts)}{use}"


def signed(value, digits=6):
    return f"({number(value, digits)})" if value < 0 else number(value, digits)


def _listed(values):
    return ", ".join(number(value) for value in values)


def _batchnorm(replay, node, k):
    trace = replay.trace
    x, weight, bias = (replay.values[i] for i in node.inputs)
    parts = batchnorm_parts(node.op, x, weight, np.zeros(node.shape))
    c, names = k[1], [trace.nodes[i].symbol for i in node.inputs]
    mean, std, xhat = parts.mean[c], parts.std[c], parts.xhat[k]
    y = element(node.symbol, k)
    return [
        f"of channel {c}: mean = {number(mean)}, std = {number(std)}",
        f"xhat = ({element(names[0], k)} - mean) / std = ({number(x[k])} - {signed(mean)}) / "
        f"{number(std)} = {number(xhat)}",
        f"{y} = {names[1]}[{c}] xhat + {names[2]}[{c}] = {number(weight[c])} * {signed(xhat)} + "
        f"{signed(bias[c])} = {number(replay.values[node.number][k])}",
    ]


def _row(replay, node, k, most=8):
    """The row of x along dim in which k lies; the sum of exp over it as text."""
    x = replay.values[node.inputs[0]]
    dim = node.op.dim % x.ndim
    row = x[(*k[:dim], slice(None), *k[dim + 1 :])]
    terms = [f"exp({number(v)})" for v in row[:most]]
    if len(row) > most:
        terms.append(f"{number(np.exp(row[most:]).sum())} ({len(row) - most:,} more)")
    return x[k], " + ".join(terms)


def _softmax(replay, node, k):
    x, exps = _row(replay, node, k)
    total = number(replay.values[node.number][k])
    return [f"{element(node.symbol, k)} = exp({number(x)}) / ({exps}) = {total}"]


def _log_softmax(replay, node, k):
    x, exps = _row(replay, node, k)
    total = number(replay.values[node.number][k])
    return [f"{element(node.symbol, k)} = {number(x)} - log({exps}) = {total}"]


class Row(NamedTuple):
    """A row of logits in a cross-entropy: p (K,) the softmax, q (K,) the target distribution,
    label: the label, None where the target is a distribution."""

    p: np.ndarray
    q: np.ndarray
    label: int | None


def cross_entropy_row(replay, node, r):
    """What one row's loss is made of."""
    op, _ = replay.run(node, replay.values, needs=(True,))
    log_p, q = op.saved
    target = np.asarray(op.target)
    label = int(target[r]) if target.ndim == 1 else None
    return Row(np.exp(log_p[r]), q[r], label)


def labels(replay, node, rows=8, classes=12):
    """The first rows of a cross-entropy, each [label or None, the sum of its target q,
    [[class, p, q], ...]], the label's class among them; None for another op."""
    if node.name != "SoftmaxCrossEntropy":
        return None
    found = []
    for r in range(min(node.shape[0], rows)):
        p, q, label = cross_entropy_row(replay, node, r)
        shown = list(range(min(len(p), classes)))
        if label is not None and classes <= label < len(p):
            shown[-1] = label
        cells = [[k, _rounded(p[k]), _rounded(q[k])] for k in shown]
        found.append([label, _rounded(q.sum()), cells])
    return found


def _rounded(value):
    return float(f"{value:.6g}") if np.isfinite(value) else str(value)


def _cross_entropy(replay, node, k):
    (r,) = k
    p, q, label = cross_entropy_row(replay, node, r)
    x = replay.trace.nodes[node.inputs[0]].symbol
    y, total = element(node.symbol, k), number(replay.values[node.number][k])
    lines = [f"p = softmax({x}[{r}]) = [{_listed(p[:10])}{', ...' * (len(p) > 10)}]"]
    if label is not None and not q.any():
        return [*lines, f"the label, {label}, is ignored: {y} = 0"]
    if label is not None:
        lines.append(f"label of row {r}: {label}, so p[{label}] = {number(p[label])} should be 1")
    if label is not None and q[label] == 1 and q.sum() == 1:
        return [*lines, f"{y} = -log(p[{label}]) = -log({number(p[label])}) = {total}"]
    used = np.flatnonzero(q)
    parts = [f"{number(q[m])} * log({number(p[m])})" for m in used[:6]]
    if len(used) > 6:
        rest = float((q[used[6:]] * np.log(p[used[6:]])).sum())
        parts.append(f"{signed(rest)} ({len(used) - 6:,} more)")
    return [*lines, f"{y} = -({' + '.join(parts)}) = {total}"]


def _largest(replay, node, k):
    """Of a maximum or minimum over a window or an axis: the values that it is chosen from."""
    x, name = replay.values[node.inputs[0]], replay.trace.nodes[node.inputs[0]].symbol
    word = "min" if node.name == "Min" else "max"
    total = number(replay.values[node.number][k])
    if node.name == "MaxPool2d":
        window, (n, c, h, w) = node.op.window, k
        rows, columns = (
            [p for p in (at * s + d * j - before for j in range(size)) if 0 <= p < most]
            for at, s, d, (before, _), size, most in zip(
                (h, w), window.stride, window.dilation, window.padding, window.kernel,
                x.shape[2:], strict=True,
            )
        )  # fmt: skip
        values = x[n, c][np.ix_(rows, columns)].ravel()
    else:
        kept = iter(k)
        dims = node.op.dim
        place = []
        for axis in range(x.ndim):
            if axis in dims:
                place.append(slice(None))
                if node.op.keepdim:
                    next(kept)
            else:
                place.append(next(kept))
        values = x[tuple(place)].ravel()
    some = _listed(values[:9]) + f", ... ({len(values):,} in all)" * (len(values) > 9)
    return [f"{element(node.symbol, k)} = {word} of {name} there = {word}({some}) = {total}"]


SPECIAL = {
    "BatchNorm": _batchnorm,
    "Softmax": _softmax,
    "LogSoftmax": _log_softmax,
    "SoftmaxCrossEntropy": _cross_entropy,
    "MaxPool2d": _largest,
    "Max": _largest,
    "Min": _largest,
}
