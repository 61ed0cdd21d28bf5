"""What a lesson is: a graph, and beside it the text of its walk.

The text is a list of sections, each "KEY: words". A key names a moment of the walk by what the
graph calls its ops, so that it survives a change of the graph:

    aim, summary                what the lesson is for; what to keep of it
    start, seed, end            before the first op, where backward begins, at the last step
    forward OP, backward OP     OP: the result's name, the module's path or the op's class;
                                several, separated by commas
    backward OP again           the second use of a value that one op is given twice
    ask KEY                     question | {answer} | why: asked before the moment, told at it
    choose                      question | the right choice | a wrong one | ...: asked at the end
    note KEY                    for the speaker

Numbers stand in it as {expressions} of the graph's own names; see `words.py`.
"""

import re
import textwrap
from collections.abc import Callable
from typing import NamedTuple

SECTION = re.compile(r"^(\S[^:\n]*): ", re.MULTILINE)


class Lesson(NamedTuple):
    """group: the heading it stands under. sections: {key: text}. claims: expressions that the text
    relies on; all are true, and where changed values make one false, the page keeps the lesson's
    own text. build(): the loss of a recorded graph. extra: further names for the expressions,
    {name: expression}; of an exhibit extra(trace), {name: what it stands for}. table(words):
    (title, head, rows) shown at the end, or None. twin(): of an exhibit, the same graph with the
    right backward. code: of an exhibit, the function at fault."""

    name: str
    title: str
    group: str
    minutes: int
    sections: dict
    claims: tuple
    build: Callable
    extra: dict | Callable
    table: Callable | None = None
    twin: Callable | None = None
    code: Callable | None = None

    @property
    def aim(self):
        return self.sections["aim"]


def lesson(name, title, group, minutes, text, claims=(), extra=None, table=None):
    """A decorator that makes of a function, which builds the graph, a Lesson of that name."""

    found = sections(text)

    def made(build):
        return Lesson(name, title, group, minutes, found, claims, build, extra or {}, table)

    return made


def sections(text):
    """{key: text} of "key: text" paragraphs, whose further lines are indented."""
    _, *parts = SECTION.split(textwrap.dedent(text).strip())
    found = {}
    for keys, words in zip(parts[::2], parts[1::2], strict=True):
        kind, space, names = keys.rpartition("forward ")
        if not space:
            kind, space, names = keys.rpartition("backward ")
        for name in names.split(", "):
            key = kind + space + name
            if key in found:
                raise ValueError(f"lesson: the section {key!r} is there twice; join them")
            found[key] = " ".join(words.split())
    return found
