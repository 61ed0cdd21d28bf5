"""A lesson's text for one trace of its graph, as the page and the terminal tell it."""

import inspect
import textwrap

import numpy as np

from tinynet.stepper.lessons.common import COMMON
from tinynet.stepper.lessons.following import Following
from tinynet.stepper.lessons.words import Words, said
from tinynet.stepper.page.alive import obstacle
from tinynet.stepper.text import element


class Guide:
    """The text of a lesson, moment by moment, with its numbers filled in.

    A moment is 'start', 'forward 3' (a node's number), 'seed', 'backward 0' (a step's number),
    'backward 0 again' or 'end'.
    """

    def __init__(self, lesson, trace):
        self.lesson, self.trace = lesson, trace
        extra = lesson.extra(trace) if callable(lesson.extra) else lesson.extra
        self.words = Words(trace, extra)

    def moments(self):
        """All of the walk, each once: (moment, what the lesson's keys call it, the op's node)."""
        yield "start", ("start",), None
        for node in self.trace.nodes:
            if node.op is not None:
                yield f"forward {node.number}", _keys("forward", node), node
        yield "seed", ("seed",), self.trace.loss
        for step in self.trace.steps:
            moment, keys = f"backward {step.number}", _keys("backward", step.node)
            yield moment, keys, step.node
            if len(set(step.node.inputs)) < len(step.node.inputs):
                yield f"{moment} again", tuple(f"{key} again" for key in keys), step.node
        yield "end", ("end",), None

    def told(self):
        """{moment: {'text', 'note', 'ask'}}, each only where there is one."""
        return self._told(self.words.filled, lambda *asked: float(self.words.evaluated(*asked)))

    def follows(self):
        """What the page needs to tell the lesson of changed values: the same as `told` and the
        summary as parts, and the claims as trees, on all of which the text relies. None of an
        exhibit, and where nothing can be changed."""
        if callable(self.lesson.extra) or obstacle(self.trace):
            return None
        page = Following(self.words)
        return {
            "told": self._told(page.parts, page.tree),
            "summary": page.parts(self.lesson.sections["summary"]),
            "claims": [page.tree(claim) for claim in self.lesson.claims],
        }

    def _told(self, filled, evaluated):
        """filled(text, node) and evaluated(expression, node): in which form."""
        found = {}
        for moment, keys, node in self.moments():
            entry = {
                part: self._find(keys, kind) for part, kind in (("text", ""), ("note", "note "))
            }
            entry = {part: filled(text, node) for part, text in entry.items() if text}
            ask = self._find(keys, "ask ")
            if ask:
                question, answer, why = ask.split(" | ")
                entry["ask"] = {
                    "question": filled(question, node),
                    "answer": evaluated(answer.strip("{}"), node),
                    "why": filled(why, node),
                }
            found[moment] = entry
        return found

    def _find(self, keys, kind=""):
        """The section of the first key that there is, of the lesson or of all lessons."""
        for texts in (self.lesson.sections, COMMON):
            for key in keys:
                if kind + key in texts:
                    return texts[kind + key]
        return ""

    def summary(self):
        return self.words.filled(self.lesson.sections["summary"])

    def table(self):
        """(title, head, rows of texts) or None."""
        if self.lesson.table is None:
            return None
        title, head, rows = self.lesson.table(self.words)
        return title, head, [[said(cell) for cell in row] for row in rows]

    def choice(self):
        """(question, choices in alphabetical order, the right one, why, code) or None."""
        text = self.lesson.sections.get("choose")
        if text is None:
            return None
        question, right, *wrong = self.words.filled(text).split(" | ")
        code = textwrap.dedent(inspect.getsource(self.lesson.code)).rstrip()
        why = self.words.filled(self.lesson.sections["reveal"])
        return question, sorted([right, *wrong]), right, why, code

    def for_page(self, number, of, neighbours=(None, None), linked=False):
        """All of it as JSON can hold it. number, of: its place among the lessons. neighbours: the
        lessons before and after. linked: whether their pages lie beside this one."""
        previous, following = (
            other and {"name": other.name, "title": other.title} for other in neighbours
        )
        entry = {
            "name": self.lesson.name,
            "place": f"Lesson {number} of {of}",
            "minutes": self.lesson.minutes,
            "aim": self.lesson.aim,
            "told": self.told(),
            "summary": self.summary(),
            "previous": previous,
            "next": following,
            "linked": linked,
            "follows": self.follows(),
        }
        if self.lesson.table is not None:
            entry["table"] = dict(zip(("title", "head", "rows"), self.table(), strict=True))
        if "choose" in self.lesson.sections:
            names = ("question", "choices", "right", "why", "code")
            entry["choose"] = dict(zip(names, self.choice(), strict=True))
        return entry


def _keys(kind, node):
    return tuple(f"{kind} {name}" for name in (node.label, node.path, node.name) if name)


def disagreements(words):
    """A table of gradients beside finite differences: of every tensor the element where they lie
    furthest apart, in the order of the walk back."""
    rows = []
    for n in sorted(words.trace.gradients, reverse=True):
        node, gradient = words.trace.nodes[n], words.trace.gradients[n]
        apart, index, difference = furthest_apart(words, n)
        name = (node.label if node.op else node.name) or f"{node.name}'s result"
        verdict = f"{apart.sum()} of {apart.size} differ" if apart.any() else "agree"
        rows.append((element(name, index), gradient[index], difference, verdict))
    title = "Gradients beside finite differences, from the loss back"
    return title, ("of", "backward", "difference", "elements"), rows


def furthest_apart(words, n):
    """Of a node's gradient: where it differs from the finite differences (a mask), the element
    where it does so most, and the difference there."""
    gradient = words.trace.gradients[n]
    differences = np.zeros_like(gradient)
    for index in np.ndindex(gradient.shape):
        differences[index] = round(words.replay.finite_difference(n, index), 5)
    gaps = np.abs(gradient - differences)
    index = np.unravel_index(gaps.argmax(), gaps.shape)
    return gaps > 1e-4, tuple(map(int, index)), differences[index]
