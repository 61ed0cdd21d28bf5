"""One element of an op's result in numbers, from which it can be recomputed: what its rule says
where that is arithmetic, a sum of products, or what the op has besides (statistics, labels)."""

import re
from typing import NamedTuple

import numpy as np

from tinynet.stepper.batchnorm import batchnorm_parts
from tinynet.stepper.formula import fill, in_names, in_numbers, input_names
from tinynet.stepper.text import element, number

MOST_TERMS = 4  # of a sum
ROW = 8  # exponentials of a softmax's row that are written out
SENTENCES = {  # the page says the same after a change, in its own numbers (made.js)
    "sum": "{yk} = {parts} = {y} ({where})",
    "moved": "{yk} = {xk} = {y}",
    "rest": "{rest!} ({more} more)",
    "BatchNorm": "of channel {c}: mean = {mean}, std = {std}\n"
    "xhat = ({xk} - mean) / std = ({x} - {mean!}) / {std} = {xhat}\n"
    "{yk} = {name1}[{c}] xhat + {name2}[{c}] = {weight} * {xhat!} + {bias!} = {y}",
    "Softmax": "{yk} = exp({x}) / ({exps}) = {y}",
    "LogSoftmax": "{yk} = {x} - log({exps}) = {y}",
    "classes": "p = softmax({name0}[{r}]) = [{ps}]",
    "ignored": "the label, {label}, is ignored: {yk} = 0",
    "label": "label of row {r}: {label}, so p[{label}] = {p} should be 1",
    "one-hot": "{yk} = -log(p[{label}]) = -log({p}) = {y}",
    "shares": "{yk} = -({parts}) = {y}",
    "largest": "{yk} = {word} of {name0} there = {word}({some}) = {y}",
}


def say(sentence, **values):
    """A sentence with its places filled: texts as they are, numbers in six digits; `{x!}` puts a
    negative one into brackets."""

    def put(found):
        value = values[found[1]]
        if isinstance(value, str):
            return value
        return signed(value) if found[2] else number(value)

    return re.sub(r"\{(\w+)(!?)\}", put, SENTENCES.get(sentence, sentence))


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
        return [say("moved", yk=y, xk=element(name, found.terms[0][0]), y=total)]
    more = found.count - len(parts)
    if more:
        shown = sum(slope * x for _, slope, x in found.terms)
        parts.append(_rest(found.total - found.constant - shown, more))
    if found.constant:
        parts.append(signed(found.constant))
    where = ", ".join(element(name, index) for index, _, _ in found.terms)
    where += " and others" * bool(more)
    return [say("sum", yk=y, parts=" + ".join(parts), y=total, where=where)]


def _rest(value, more):
    return say("rest", rest=value, more=f"{more:,}")


def numbers_rule(node, left):
    """The right side of `left` in the op's rule with `{letter}` for each tensor's number (see
    `say`): None where the rule is more than arithmetic element by element."""
    names = input_names(node.op)
    shapes = {**dict(zip(names, node.op.input_shapes, strict=True)), "y": node.shape}
    values = {
        name: number(option)
        for name, option in node.options.items()
        if isinstance(option, int | float) and not isinstance(option, bool)
    }
    try:
        for shape in shapes.values():
            np.broadcast_to(np.empty(shape), node.shape)
    except ValueError:
        return None
    values |= {name: f"{{{name}}}" for name in (*shapes, "gy")}
    return in_numbers(node.op.rule.get(left, ""), values)


def equation(replay, node, left, index, i=None):
    """'c[1] = a b = 2 * 3 = 6' for the left side 'y' or that of the gradient of input `i`: None
    where the rule is more than arithmetic element by element."""
    trace = replay.trace
    template = numbers_rule(node, left)
    if template is None:
        return None
    values = dict(
        zip(input_names(node.op), (trace.nodes[k].value for k in node.inputs), strict=True)
    )
    values |= {"y": node.value, "gy": trace.gradients.get(node.number)}
    numbers = say(
        template,
        **{
            name: float(np.broadcast_to(array, node.shape)[index])
            for name, array in values.items()
            if array is not None
        },
    )
    if i is None:
        total, sign, use = number(node.value[index]), "=", ""
        name = node.symbol
    else:
        step = next(step for step in trace.steps if step.node is node)
        total, name = number(step.gxs[i][index]), fill(f"{{g{i}}}", trace, node)
        sign, use = fill(f"{{is{i}}}", trace, node), fill(f"{{use{i}}}", trace, node)
    parts = list(dict.fromkeys((in_names(node.op.rule[left], trace, node), numbers, total)))
    return f"{element(name, index)} {sign} {' = '.join(parts)}{use}"


def signed(value, digits=6):
    return f"({number(value, digits)})" if value < 0 else number(value, digits)


def _listed(values):
    return ", ".join(number(value) for value in values)


def _batchnorm(replay, node, k):
    x, weight, bias = (replay.values[i] for i in node.inputs)
    parts = batchnorm_parts(node.op, x, weight, np.zeros(node.shape))
    c = k[1]
    values = {"mean": parts.mean[c], "std": parts.std[c], "weight": weight[c], "bias": bias[c]}
    values |= {"c": str(c), "x": x[k], "xhat": parts.xhat[k]}
    return _lines("BatchNorm", replay, node, k, **values)


def _lines(sentence, replay, node, k, **values):
    """A sentence on y[k], with the names of the inputs, in lines."""
    names = {f"name{i}": replay.trace.nodes[n].symbol for i, n in enumerate(node.inputs)}
    values |= {"yk": element(node.symbol, k), "y": replay.values[node.number][k]}
    if "x" in values:
        values["xk"] = element(names["name0"], k)
    return say(sentence, **names, **values).split("\n")


def _softmax(replay, node, k):
    x = replay.values[node.inputs[0]]
    dim = node.op.dim % x.ndim
    row = x[(*k[:dim], slice(None), *k[dim + 1 :])]
    terms = [f"exp({number(v)})" for v in row[:ROW]]
    if len(row) > ROW:
        terms.append(_rest(np.exp(row[ROW:]).sum(), len(row) - ROW))
    return _lines(node.name, replay, node, k, x=x[k], exps=" + ".join(terms))


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
    values = {"r": str(r), "ps": _listed(p[:10]) + ", ..." * (len(p) > 10)}
    kinds = ["classes"]
    if label is not None:
        values |= {"label": str(label), "p": p[label] if q.any() else 0.0}
        kinds.append("label" if q.any() else "ignored")
    if label is not None and q[label] == 1 and q.sum() == 1:
        kinds.append("one-hot")
    elif q.any() or label is None:
        used = np.flatnonzero(q)
        parts = [f"{number(q[m])} * log({number(p[m])})" for m in used[:6]]
        if len(used) > 6:
            parts.append(_rest((q[used[6:]] * np.log(p[used[6:]])).sum(), len(used) - 6))
        values["parts"] = " + ".join(parts)
        kinds.append("shares")
    return [line for kind in kinds for line in _lines(kind, replay, node, k, **values)]


def _largest(replay, node, k):
    """Of a maximum or minimum over a window or an axis: the values that it is chosen from."""
    x = replay.values[node.inputs[0]]
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
    word = "min" if node.name == "Min" else "max"
    return _lines("largest", replay, node, k, word=word, some=some)


SPECIAL = {
    "BatchNorm": _batchnorm,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "SoftmaxCrossEntropy": _cross_entropy,
    "MaxPool2d": _largest,
    "Max": _largest,
    "Min": _largest,
}
