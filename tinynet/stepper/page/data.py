"""What the web page knows, as plain lists and dicts that JSON can hold."""

import math

import numpy as np

from tinynet.stepper.examples import SENTENCES, labels, made, numbers_rule
from tinynet.stepper.formula import input_names, places, template
from tinynet.stepper.numbers import Replay
from tinynet.stepper.page.alive import EVERY, alive, obstacle
from tinynet.stepper.page.ops import batchnorm_paths, clip_counts, convolution
from tinynet.stepper.page.samples import ALL, chosen, number, sample

TERMS = 6  # summands of an element that are shown
CALL = 20_000  # what calling an op costs, counted in elements
BUDGET = 3e8  # elements to compute for the terms, and again for the differences: seconds


class Details:
    """What takes time: the chain rule term by term, and the finite differences.

    Attributes:
        elements: {node number: the indices that can be chosen}.
        checks: {(node number, rank of the element): its gradient beside a finite difference}.
        terms: {(step number, input, rank of the element): Terms}.
        made: {(node number, rank of the element): lines, how the value comes about in numbers};
            none where the page can compute them itself.
        labels: {node number of a cross-entropy: its rows}.

    For a large graph both are worked out for as many elements as BUDGET allows, the first element
    of every tensor before the second of any.
    """

    def __init__(self, trace):
        every = ALL if obstacle(trace) else EVERY
        self.elements = {n: chosen(gradient, every) for n, gradient in trace.gradients.items()}
        self.checks, self.terms, self.made, self.labels = {}, {}, {}, {}
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
            self.checks[n, rank] = replay.check(n, self.elements[n][rank])
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
        self.labels = {node.number: labels(replay, node) for node in trace.nodes if node.op}
        if not obstacle(trace):
            return
        tasks = [
            (3 * work[step.node.number], rank, step.node)
            for step in trace.steps
            for rank in range(len(self.elements[step.node.number]))
        ]
        for rank, node in _affordable(tasks):
            index = self.elements[node.number][rank]
            self.made[node.number, rank] = made(replay, node, index, TERMS)


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
        "dtype": str(trace.loss.dtype),  # of every node that names no other
        "recorded": trace.recorded,
        "alive": alive(trace),
        "sentences": SENTENCES,
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
        "symbol": "" if node.symbol == (node.label or f"t{n}") else node.symbol,
        "gradient": node.gradient_symbol if node.gradient_symbol != f"g{node.symbol}" else "",
        "path": node.path,
        "shape": node.shape,
        "dtype": "" if node.dtype == trace.loss.dtype else str(node.dtype),
        "inputs": node.inputs,
        "value": sample(node.value, cells),
        "grad": sample(gradient, cells),
    }
    if gradient is not None:
        entry["elements"] = [
            _element(
                gradient[index], index, details.checks.get((n, rank)), details.made.get((n, rank))
            )
            for rank, index in enumerate(details.elements[n])
        ]
    if node.op is not None:
        rule = (*template(trace, node), input_names(node.op))
        rule += (places(node.op.rule.get("y", ""), node), numbers_rule(node, "y") or "")
        entry["rule"] = rules.setdefault(rule, len(rules))
        entry["saved"] = node.saved_bytes
        entry["labels"] = details.labels.get(n)
        entry["conv"] = convolution(node)
        entry["clip"] = clip_counts(trace, node)
    return {key: part for key, part in entry.items() if part not in (None, "", ())}


def _element(gradient, index, check, made):
    entry = {"at": index, "g": number(gradient, 8)}
    if check is not None:
        entry["fd"] = number(check.difference, 8)
        entry["error"] = number(check.error, 2)
        if check.verdict != "agrees":
            entry["verdict"], entry["reason"] = check.verdict, check.reason
    if made is not None:
        entry["made"] = "\n".join(made)
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
