"""What an exhibit of the bug museum is: a lesson whose graph has a wrong op in it, and its twin."""

import functools

from tinynet.stepper.lessons.guide import disagreements, furthest_apart
from tinynet.stepper.lessons.lesson import Lesson, sections
from tinynet.stepper.lessons.words import Words

GROUP = "Bug museum"
SECTIONS = """
aim: One backward in this graph is wrong. Find it by the finite differences, then say what is
  wrong.
seed: Now backward. At each step compare: does the gradient agree with the finite difference? The
  fault is in the op whose own gradient agrees while one that it sends does not.
"""


def _differing(trace):
    """differing(): the names of the tensors whose gradients differ from the finite differences."""
    words = Words(trace)

    def differing():
        nodes = (trace.nodes[n] for n in trace.gradients)
        return sorted(n.label or n.name for n in nodes if furthest_apart(words, n.number)[0].any())

    return {"differing": differing}


def exhibit(
    name, title, text, wrong, right, code="backward", claims=(), differs=(), table=disagreements
):
    """A decorator for build(op): a Lesson whose graph has the op `wrong`, its twin the op `right`.

    differs: the names of the tensors whose gradients are wrong; all others are right.
    """

    def made(build):
        found = {**sections(SECTIONS), **sections(text)}
        claims_of_all = (*claims, f"differing() == {sorted(differs)}")
        return Lesson(
            name=name,
            title=title,
            group=GROUP,
            minutes=4,
            sections=found,
            claims=claims_of_all,
            build=functools.partial(build, wrong),
            extra=_differing,
            table=table,
            twin=functools.partial(build, right),
            code=getattr(wrong, code, wrong),
        )

    return made
