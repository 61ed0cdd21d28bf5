"""What the web page knows, as plain lists and dicts that JSON can hold."""

import math

import numpy as np

from tinynet.stepper.formula import formula, input_names, with_shapes
from tinynet.stepper.numbers import Replay, relative_error
from tinynet.stepper.page.ops import batchnorm_paths, clip_counts, convolution
from tinynet.stepper.page.samples import chosen, number, sample

KINK = 0.01  # one-sided differences further apart than that mean a kink, or a strong curve
TERMS = 6  # summands of an element that are shown
CALL = 20_000  # what calling an op costs, counted in elements
BUDGET = 3e8  # elements to compute for the terms, and again for the differences: seconds


class Details:
    """What takes time: the chain rule term by term, and the finite differences.

    Attributes:
        elements: {node number: the indices that can be chosen}.
        differences: {(node number, rank of the element): the finite differences to the left and
            to the right; their mean is the central one}.
        terms: {(step number, input, rank of the element): Terms}.

    For a large graph both are worked out for as many elements as BUDGET allows, the first element
    of every tensor before the second of any.
    """

    def __init__(self, trace):
        self.elements = {n: chosen(gradient) for n, gradient in trace.gradients.items()}
        self.differences, self.terms = {}, {}
        if not trace.recorded:
            return
        with np.errstate(all="ignore"):
            self._work_out(trace, Replay(trace))

    def _work_out(self, trace, replay):
        work = [_work(node, trace) for node in trace.nodes]
        later = np.cumsum(work[::-1])[::-1]  # of the node and all after it
        tasks = [
            (2 * float(later[n]), rank, n)
            for n, indices in self.elements.items()
            for rank in range(len(indices))
        ]
        for rank, n in _affordable(tasks):
            self.differences[n, rank] = replay.one_sided_differences(n, self.elements[n][rank])
        tasks = [
            ((TERMS + 4) * work[step.node.number], rank, step.number, i)
            for step in trace.steps
            for i, (n, gx) in enumerate(zip(step.node.inputs, step.gxs, strict=True))
            if gx is not None
            for rank in range(len(self.elements[n]))
        ]
        for rank, s, i in _affordable(tasks):
            step = trace.steps[s]
            index = self.elements[step.node.inputs[i]][rank]
            self.terms[s, i, rank] = replay.terms(step, i, index, TERMS)


def _work(node, trace):
    """Elements that the node's op reads and writes, its multiply-adds counted as an eighth."""
    if node.op is None:
        return 0
    sizes = [math.prod(shape) for shape in node.op.input_shapes]
    out = math.prod(node.shape)
    weight = node.op.input_shapes[1] if len(sizes) > 1 else ()
    depth = math.prod(weight[1:]) if len(weight) > 1 else 0
    return CALL + out + sum(sizes) + out * depth // 8


def _affordable(tasks):
    """The tasks (cost, rank, ...) without their costs, lower ranks and cheap ones first."""
    spent = 0
    for cost, rank, *rest in sorted(tasks, key=lambda task: (task[1], task[0])):
        spent += cost
        if spent > BUDGET:
            return
        yield rank, *rest


def page_data(trace, details, title, cells):
    rules = {}
    nodes = [_node(trace, node, details, rules, cells) for node in trace.nodes]
    steps = [_step(trace, step, details, cells) for step in trace.steps]
    return {
        "title": title,
        "loss": trace.loss.number,
        "recorded": trace.recorded,
        "rules": list(rules),
        "nodes": nodes,
        "steps": steps,
    }


def _node(trace, node, details, rules, cells):
    n = node.number
    gradient = trace.gradients.get(n)
    entry = {
        "kind": node.kind,
        "name": node.name,
        "label": node.label,
        "path": node.path,
        "shape": node.shape,
        "dtype": str(node.dtype),
        "inputs": node.inputs,
        "value": sample(node.value, cells),
        "grad": sample(gradient, cells),
    }
    if gradient is not None:
        entry["elements"] = [
            _element(gradient[index], index, details.differences.get((n, rank)))
            for rank, index in enumerate(details.elements[n])
        ]
    if node.op is not None:
        rule = (*formula(node.op), *with_shapes(node.op), input_names(node.op))
        entry["rule"] = rules.setdefault(rule, len(rules))
        entry["saved"] = node.saved_bytes
        entry["conv"] = convolution(node)
        entry["clip"] = clip_counts(trace, node)
    return {key: part for key, part in entry.items() if part not in (None, "", ())}


def _element(gradient, index, difference):
    entry = {"at": index, "g": number(gradient, 8)}
    if difference is not None:
        central = sum(difference) / 2
        entry["fd"] = number(central, 8)
        entry["error"] = number(relative_error(float(gradient), central), 2)
        if relative_error(*difference) > KINK:
            entry["sides"] = [number(side) for side in difference]
    return entry


def _step(trace, step, details, cells):
    gifts = []
    for i, (target, gx) in enumerate(zip(step.node.inputs, step.gxs, strict=True)):
        gifts.append(None if gx is None else _gift(trace, step, i, target, gx, details, cells))
    entry = {"node": step.node.number, "freed": step.freed_bytes, "gifts": gifts}
    paths = batchnorm_paths(trace, step, details.elements, cells)
    if paths is not None:
        entry["batchnorm"] = paths
    return entry


def _gift(trace, step, i, target, gx, details, cells):
    """What one step sends to one input."""
    entry = {"elements": []}
    if not np.array_equal(gx, trace.gradients[target], equal_nan=True):
        entry["grad"] = sample(gx, cells)
        entry["total"] = sample(step.totals[i], cells)
    for rank, index in enumerate(details.elements[target]):
        terms = details.terms.get((step.number, i, rank))
        element = {"g": number(gx[index], 8), "sum": number(step.totals[i][index], 8)}
        if terms is not None:
            element["count"] = terms.count
            element["terms"] = [
                [term.index, number(term.gy, 8), number(term.slope, 8)] for term in terms.terms
            ]
        entry["elements"].append(element)
    return entry
