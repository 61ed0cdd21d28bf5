"""Filling the numbers of a graph into a lesson's text.

In "b = {b}, gb = {gb}" each {expression} is Python on these names:

    a, weight       the value of the tensor of that name; ga, gweight: its gradient
    out, gout       the result of the op that the step is about, and its gradient
    arg(i)          the value of the op's input i
    sent(i)         the gradient that its backward sends there
    value(name), grad(name), fd(name, i, j, ...): the same for any name, class or path of an op,
                    and the finite difference of the loss
    uses(name)      how many gradients come back to it
    word(n)         'two' for 2; Word(n): 'Two'
    total(array)    its sum, 0 where only rounding is left
"""

import re

import numpy as np

from tinynet.stepper.numbers import Replay
from tinynet.stepper.text import number

FIELD = re.compile(r"\{([^{}]+)\}")
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
ARRAYS = {"exp": np.exp, "all": np.all, "any": np.any}


class Words:
    """The names of one trace. extra: more of them."""

    def __init__(self, trace, extra=None):
        self.trace = trace
        self._replay = None
        self.names = {**ARRAYS, "word": word, "total": total}
        self.names["Word"] = lambda n: word(n).capitalize()
        for one in (self.value, self.grad, self.fd, self.uses):
            self.names[one.__name__] = one
        for node in trace.nodes:
            name = node.label if node.op else node.name
            if name.isidentifier():
                self.names.setdefault(name, node.value)
                self.names.setdefault(f"g{name}", trace.gradient(node))
        self.names |= extra or {}

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

    def evaluated(self, expression, node=None):
        names = self.names if node is None else {**self.names, **self._of_step(node)}
        return eval(expression, names)  # noqa: S307  (the lessons' own text)

    def filled(self, text, node=None):
        """The text with its {expressions} worked out; `node`: the op that it is about."""

        def fill(found):
            words = said(self.evaluated(found[1], node))
            behind_a_sign = text[: found.start()].endswith(("* ", "/ ", "+ ", " - "))
            return f"({words})" if behind_a_sign and words.startswith("-") else words

        return FIELD.sub(fill, text)

    def _of_step(self, node):
        step = next((step for step in self.trace.steps if step.node is node), None)
        return {
            "out": node.value,
            "gout": self.trace.gradient(node),
            "arg": lambda i: self.trace.nodes[node.inputs[i]].value,
            "sent": lambda i: step.gxs[i],
        }


def _own_name(node):
    return node.label if node.op else node.name


def word(n):
    return NUMBERS[n] if 0 <= n < len(NUMBERS) else f"{n:,}"


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
