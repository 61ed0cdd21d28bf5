"""Reading the stepper's sentences back: every number in one is recomputed from the graph."""

import math
import re

import numpy as np

NUMBER = r"-?(?:\d+\.?\d*(?:e[-+]?\d+)?|nan|inf)"
MATHS = {"exp": math.exp, "log": math.log, "sqrt": math.sqrt, "min": min, "max": max,
         "tanh": math.tanh}  # fmt: skip


class Graph:
    """A trace, asked by the names that its sentences use."""

    def __init__(self, trace, replay):
        self.trace, self.replay = trace, replay
        self.values, self.gradients = {}, {}
        for node in trace.nodes:
            self.values.setdefault(node.symbol, []).append(node)
            self.gradients.setdefault(node.gradient_symbol, []).append(node)

    def known(self, what, step, sign="="):
        """The numbers that 'gb[0,1]' may stand for at a step: of an input of the op or its result
        where several tensors have that name, as parameters do."""
        name, index = re.fullmatch(r"([^\[]+?)(?:\[(.*)\])?", what).groups()
        index = tuple(int(k) for k in index.split(",")) if index else ()
        near = (
            {*step.node.inputs, step.node.number} if step else {n.number for n in self.trace.nodes}
        )
        found = []
        for node in self.values.get(name, []):
            if node.number in near:
                found.append(float(node.value[index]))
        for node in self.gradients.get(name, []):
            if node.number not in near:
                continue
            if node is (step and step.node):
                found.append(float(step.gy[index]))
                continue
            for i, target in enumerate(step.node.inputs if step else ()):
                if target == node.number and step.gxs[i] is not None:
                    found.append(float(step.gxs[i][index]))
                    if sign == "=":
                        found.append(float(step.totals[i][index]))
        return found


def computed(text):
    """An expression of numbers, computed; None if it is something else."""
    text = re.sub(r" \([\d,]+ more\)", "", text)  # '+ 785 (28 more)'
    text = text.replace("[", "").replace("]", "")
    words = set(re.findall(r"[A-Za-z_]\w*", re.sub(NUMBER, "0", text)))
    if not words <= {*MATHS, "e"} or not re.search(r"\d|nan|inf", text):
        return None
    try:
        return float(eval(text, {"nan": math.nan, "inf": math.inf}, dict(MATHS)))
    except (SyntaxError, TypeError, NameError):
        return None


def largest_number(text):
    return max([abs(float(n)) for n in re.findall(NUMBER, text)] + [0.0])


def equation(line, graph, step):
    """Check 'gb[0] += gc b = 2 * 3 = 6 (2nd use of b)': that each expression of numbers comes to
    the same, and that the graph has that number by that name. Returns what was checked."""
    line = re.sub(r" \(\d(st|nd|rd|th) use of \S+\)$", "", line)
    line = re.sub(r" \([^()]*\[[^()]*\)$| \([^()]* and others\)$", "", line)  # the elements summed
    left, sign, rest = re.fullmatch(r"(.+?) (\+?=) (.+)", line).groups()
    parts = rest.split(" = ")
    totals = [(part, computed(part)) for part in parts]
    numbers = [(part, total) for part, total in totals if total is not None]
    assert numbers, line
    final = numbers[-1][1]
    size = max(largest_number(part) for part, _ in numbers)
    for _, total in numbers:
        np.testing.assert_allclose(total, final, rtol=2e-5, atol=2e-5 * size, err_msg=line)
    if "*" not in left and "/" not in left:
        known = graph.known(left, step, sign)
        if known:
            assert any(_same(final, value) for value in known), (line, known)
            return "graph"
    return "arithmetic"


def _same(a, b):
    return bool(np.isclose(a, b, rtol=2e-5, atol=1e-12, equal_nan=True))


def slope(replay, node, i, index, k):
    """dy[k] / dx[index] of an op, by a finite difference of its forward in float64."""
    inputs = [replay.values[number] for number in node.inputs]
    results = []
    eps = 1e-6 * max(1.0, abs(float(inputs[i][index])))
    for move in (eps, -eps):
        moved = inputs[i].copy()
        moved[index] += move
        results.append(replay.run(node, None, [*inputs[:i], moved, *inputs[i + 1 :]])[1])
    return (
        (results[0] - results[1]) / (2 * eps)
        if k is None
        else float((results[0][k] - results[1][k]) / (2 * eps))
    )
