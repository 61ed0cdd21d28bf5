"""Filling the numbers of a graph into a lesson's text.

In "b = {b}, gb = {gb}" each {expression} is Python on these names:

    a, weight       the value of the tensor of that name; ga, gweight: its gradient
    out, gout       the result of the op that the step is about, and its gradient
    arg(i)          the value of the op's input i
    sent(i)         the gradient that its backward sends there
    value(name), grad(name), fd(name, i, j, ...): the same for any name, class or path of an op,
                    and the finite difference of the loss
    uses(name)      how many gradients come back to it
    sent_by(name, i)  what the backward of the op of that name sends to its input i
    labels          the labels of the cross-entropy
    word(n)         'two' for 2; Word(n): 'Two'
    total(array)    its sum, 0 where only rounding is left
    softmax(rows), one_hot(labels, classes), exp, log, abs, all, any, len

A lesson's `extra` gives names to further expressions. The page computes the same expressions, for
values that were changed: `following.py` and `assets/expressions.js`.
"""

import re

import numpy as np

from tinynet.stepper.numbers import Replay
from tinynet.stepper.text import number

FIELD = re.compile(r"\{([^{}]+)\}")
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
ARRAYS = {"exp": np.exp, "log": np.log, "all": np.all, "any": np.any}


class Words:
    """The names of one trace. extra: {name: an expression, or what it stands for}."""

    def __init__(self, trace, extra=None):
        self.trace = trace
        self.extra = extra or {}
        self._replay = None
        self.names = {
            **ARRAYS,
            "word": word,
            "total": total,
            "softmax": softmax,
            "one_hot": one_hot,
        }
        self.names["Word"] = lambda n: word(n).capitalize()
        for one in (self.value, self.grad, self.fd, self.uses, self.sent_by):
            self.names[one.__name__] = one
        self.labelled = next((n for n in trace.nodes if hasattr(n.op, "target")), None)
        if self.labelled:
            self.names["labels"] = self.labelled.op.target
        self.tensors = {}  # the names of tensors and their gradients: ("value" or "grad", node)
        for node in trace.nodes:
            if _own_name(node).isidentifier():
                self.tensors.setdefault(_own_name(node), ("value", node))
                self.tensors.setdefault(f"g{_own_name(node)}", ("grad", node))
        for name, (kind, node) in self.tensors.items():
            self.names.setdefault(name, node.value if kind == "value" else trace.gradient(node))
        for name, meaning in self.extra.items():
            is_text = isinstance(meaning, str)
            self.names[name] = self.evaluated(meaning) if is_text else meaning

    def tensor(self, name):
        """("value" or "grad", the node) of a name. Raises ValueError for another name."""
        if name not in self.tensors:
            raise ValueError(f"lesson: {name!r} is no tensor of this graph")
        return self.tensors[name]

    def step(self, node):
        return next((step for step in self.trace.steps if step.node is node), None)

    def node(self, name):
        """The first node of that name: of a leaf or a result, else the op of that path or class."""
        nodes = self.trace.nodes
        for called in (_own_name, lambda node: node.path, lambda node: node.name):
            for node in nodes:
                if called(node) == name:
                    return node
        raise KeyError(f"lesson: the graph has nothing that is called {name!r}")

    @property
    def replay(self):
        if self._replay is None:
            self._replay = Replay(self.trace)
        return self._replay

    def value(self, name):
        return self.node(name).value

    def grad(self, name):
        return self.trace.gradient(self.node(name))

    def fd(self, name, *index):
        return round(self.replay.finite_difference(self.node(name).number, index), 6)

    def uses(self, name):
        return self.node(name).contributions

    def sent_by(self, name, i):
        return self.step(self.node(name)).gxs[i]

    def evaluated(self, expression, node=None):
        names = self.names if node is None else {**self.names, **self._of_step(node)}
        return eval(expression, names)  # noqa: S307  (the lessons' own text)

    def fields(self, text):
        """(start, end, expression, whether it stands behind an operator) of each {expression}."""
        for found in FIELD.finditer(text):
            signed = text[: found.start()].endswith(("* ", "/ ", "+ ", " - "))
            yield found.start(), found.end(), found[1], signed

    def filled(self, text, node=None):
        """The text with its {expressions} worked out; `node`: the op that it is about."""
        parts, end = [], 0
        for start, stop, expression, signed in self.fields(text):
            words = said(self.evaluated(expression, node))
            parts += [text[end:start], f"({words})" if signed and words[0] == "-" else words]
            end = stop
        return "".join([*parts, text[end:]])

    def _of_step(self, node):
        return {
            "out": node.value,
            "gout": self.trace.gradient(node),
            "arg": lambda i: self.trace.nodes[node.inputs[i]].value,
            "sent": lambda i: self.step(node).gxs[i],
        }


def _own_name(node):
    return node.label if node.op else node.name


def word(n):
    return NUMBERS[n] if 0 <= n < len(NUMBERS) else f"{n:,}"


def softmax(rows):
    exps = np.exp(rows - rows.max(1, keepdims=True))
    return exps / exps.sum(1, keepdims=True)


def one_hot(labels, classes):
    return np.eye(classes)[labels]


def total(array):
    """The sum of an array; 0 where it is a rounding error of the elements."""
    array = np.asarray(array)
    result = array.sum()
    return 0.0 if abs(result) < 1e-12 * np.abs(array).max(initial=0) else result


def said(value):
    """A number, a shape or a small array as a sentence has it: '0.25', '(2, 3)', '[1, -2]'."""
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return str(value)
    value = np.asarray(value)
    if value.dtype.kind in "iu" and value.ndim == 0:
        return f"{int(value):,}"
    if value.ndim == 0:
        return number(value, 4)
    return "[" + ", ".join(said(part) for part in value) + "]"
