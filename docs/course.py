"""The course's chapters, in the order of handbook/README.md, and what is gathered from them.

    python docs/course.py    # after a change of a chapter's title, head or words

writes handbook/glossary.md from the chapters' `## Words`, and in handbook/README.md each chapter's
title, minutes and needs from its first lines. The site and the notebooks take their order from
here.
"""

import re
import sys
import textwrap
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

HANDBOOK = Path(__file__).resolve().parent / "handbook"
GLOSSARY = HANDBOOK / "glossary.md"
PART = re.compile(r"^### (Part \d+: .+)$", re.MULTILINE)
LINE = re.compile(
    r"^(?P<number>\d+)\. \[(?P<title>[^]]+)\]\((?P<name>[\w-]+)\.md\)"
    r"(?P<what>[^*]*?)(?P<head>\s+\*[^*]*\*)?$(?=\n(?:\n|\d|\Z))",
    re.MULTILINE,
)
HEAD = re.compile(
    r"\*\*You will be able to\*\*\n\n?(?P<aims>(?:- .+\n(?: +.+\n)*){3,4})\n"
    r"\*\*Time:\*\*\s(?P<read>\d+)\sminutes\sto\sread,\s(?P<all>\d+)\swith\sthe\sexercises\."
    r"\s\*\*Needs:\*\*\s(?P<needs>(?:.+\n)+?)\n"
)
TERM = re.compile(  # - **filter** (kernel): what it means.
    r"^- \*\*(?P<term>.+?)\*\*(?P<more>[^:\n]*):\s+(?P<meaning>.+(?:\n .*)*)$", re.MULTILINE
)


class Chapter(NamedTuple):
    number: int
    title: str
    name: str
    part: str

    @property
    def text(self):
        return (HANDBOOK / f"{self.name}.md").read_text(encoding="utf-8")


def chapters(front=None):
    """The chapters that are there. front: the text of handbook/README.md, if not the file's."""
    front = front or (HANDBOOK / "README.md").read_text(encoding="utf-8")
    _, *pieces = PART.split(front)
    return [
        Chapter(int(line["number"]), line["title"], line["name"], part)
        for part, text in zip(pieces[::2], pieces[1::2], strict=True)
        for line in LINE.finditer(text)
    ]


def section(text, title):
    """What stands under `## title`, or None."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found and found[1].strip("\n")


def needs(text):
    """The names of the chapters that a chapter's head asks for."""
    head = HEAD.search(text)
    return re.findall(r"\]\(([\w-]+)\.md\)", head["needs"]) if head else []


def words(every):
    """(term, its line, Chapter) of all terms, in alphabetical order.

    Raises ValueError for terms that are explained twice.
    """
    found, twice = {}, []
    for chapter in every:
        for entry in TERM.finditer(section(chapter.text, "Words") or ""):
            term = entry["term"]
            line = " ".join(f"**{term}**{entry['more']}: {entry['meaning']}".split())
            line = line.replace("](#", f"]({chapter.name}.md#")
            first = found.setdefault(_key(term), (term, line, chapter))[2]
            if found[_key(term)][1] is not line:
                twice.append(f"{term!r} in {first.name}.md and {chapter.name}.md")
    if twice:
        raise ValueError(f"explained twice, leave each in the first: {'; '.join(twice)}")
    return [found[key] for key in sorted(found)]


def _key(term):
    return re.sub(r"[^\w ]", "", term).casefold()


def _letter(word):
    return _key(word[0])[:1].upper()


def glossary(every):
    """The text of handbook/glossary.md."""
    lines = [
        "# Glossary",
        "",
        "Every term with the chapter that explains it. Gathered from the chapters by "
        "`python docs/course.py`:\nchange the chapter, not this page.",
    ]
    for letter, entries in groupby(words(every), key=_letter):
        lines += ["", f"## {letter}", ""]
        lines += [
            f"- {line} ([{chapter.title}]({chapter.name}.md))" for _, line, chapter in entries
        ]
    return "\n".join(lines) + "\n"


def front_page(text):
    """handbook/README.md with titles, minutes and needs as the chapters say them now."""
    every = {chapter.name: chapter for chapter in chapters(text)}

    def line(old):
        chapter = every[old["name"]]
        title = re.match(r"# (.+)", chapter.text)
        if title is None:
            raise ValueError(f"{chapter.name}.md should begin with its title, `# Title`")
        new = f"{old['number']}. [{title[1]}]({old['name']}.md){old['what']}"
        head = HEAD.search(chapter.text)
        if head is None:
            return new
        time = f"*{head['read']} minutes, {head['all']} with the exercises. "
        needed = " ".join(f"{time} Needs: {head['needs']}".split()) + "*"
        lines = textwrap.wrap(needed, 105, break_on_hyphens=False, break_long_words=False)
        return f"\n{' ' * len(old['number'])}  ".join([new, *lines])

    return LINE.sub(line, text)


def main():
    front = HANDBOOK / "README.md"
    try:
        new = front_page(front.read_text(encoding="utf-8"))
        texts = {front: new, GLOSSARY: glossary(chapters(new))}
    except ValueError as error:
        sys.exit(f"course: {error}")
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
