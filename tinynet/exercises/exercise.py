"""What an exercise is: a solution, and beside it all that is said and checked about it."""

import ast
import functools
import inspect
import textwrap
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

SEED = 0

STUB = '''"""{title}.

{aim}

Check it:   python -m tinynet.exercises check {name}
A hint:     python -m tinynet.exercises hint {name}
"""

import numpy as np


{head}
    raise NotImplementedError  # your code goes here
'''


class Mistake(NamedTuple):
    """A common mistake: the solution with `old` replaced by `new`, and what is said about it."""

    old: str
    new: str
    hint: str


@dataclass(frozen=True)
class Exercise:
    """One function for the learner to write.

    name: of the function and of its file. source: the solution, which needs nothing but NumPy.
    title, aim, hint: text. gives: the names of its results. cases(rng): yields the inputs of each
    call as {name: value}; what the function does not take by its signature is for the reference
    only. reference(inputs): the results by tinynet's own definition. mistakes: {name: Mistake}.
    """

    name: str
    source: str
    parameters: tuple
    title: str
    aim: str
    gives: tuple
    cases: Any
    reference: Any
    hint: str
    mistakes: dict

    @functools.cached_property
    def inputs(self):
        """[{name: value}, ...]: the same numbers every time."""
        return list(self.cases(np.random.default_rng(SEED)))

    @functools.cached_property
    def expected(self):
        """For each of `inputs` the results, a tuple of arrays."""
        results = [self.reference(inputs) for inputs in self.inputs]
        return [as_tuple(result) for result in results]

    @functools.cached_property
    def arguments(self):
        """For each of `inputs` what the function is called with."""
        return [[inputs[name] for name in self.parameters] for inputs in self.inputs]

    @property
    def stub(self):
        """The file that a learner begins with."""
        (function,) = ast.parse(self.source).body
        lines = self.source.splitlines()[: function.body[0].end_lineno]
        return STUB.format(name=self.name, title=self.title, aim=self.aim, head="\n".join(lines))

    def wrong(self, mistake):
        """The solution with a mistake in it."""
        old, new, _ = self.mistakes[mistake]
        if self.source.count(old) != 1:
            raise ValueError(f"{self.name}: {old!r} must occur once, for the mistake {mistake!r}")
        return self.source.replace(old, new)


def exercise(*, title, aim, gives, cases, reference, hint, mistakes):
    """Makes an Exercise of the function below it, which is the solution.

    Args: gives: names, separated by spaces. mistakes: {name: (old, new, hint)}. The line breaks of
    aim are kept, those of hints are not. For the others see Exercise.
    """

    def make(function):
        source = textwrap.dedent(inspect.getsource(function))
        start = ast.parse(source).body[0].lineno  # of `def`, behind the decorator
        return Exercise(
            name=function.__name__,
            source="".join(source.splitlines(keepends=True)[start - 1 :]),
            parameters=tuple(inspect.signature(function).parameters),
            title=title,
            aim=inspect.cleandoc(aim),
            gives=tuple(gives.split()),
            cases=cases,
            reference=reference,
            hint=" ".join(hint.split()),
            mistakes={
                name: Mistake(old, new, " ".join(text.split()))
                for name, (old, new, text) in mistakes.items()
            },
        )

    return make


def as_tuple(result):
    """One result or several as a tuple of arrays."""
    results = result if isinstance(result, tuple) else (result,)
    return tuple(np.asarray(value) for value in results)
