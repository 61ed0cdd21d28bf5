"""The course: its list of chapters, the shape that all chapters share, the glossary."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "docs"))
import course  # noqa: E402

CHAPTERS = course.chapters()
END = ["Exercises", "Answers", "Words", "Next"]


def complaints(text, name, order):
    """What is wrong with the shape of a chapter. order: the names of all chapters."""
    found = []
    beginning = re.match(r"# .+\n\n(?:.+\n)+\n(?=\*\*You)", text)
    head = beginning and course.HEAD.match(text, beginning.end())
    if not head:
        found.append("the head: title, one paragraph, what you will be able to do, time, needs")
    else:
        if int(head["read"]) >= int(head["all"]):
            found.append("the exercises take no time")
        later = [need for need in course.needs(text) if need not in order[: order.index(name)]]
        if later:
            found.append(f"it needs {', '.join(later)}, which does not come before it")
    if re.findall(r"^## (.+)", text, re.MULTILINE)[-4:] != END:
        return [*found, f"the last sections: {', '.join(END)}"]
    exercises, answers, words, following = (course.section(text, title) for title in END)
    asked = [int(number) for number in re.findall(r"^(\d+)\. ", exercises, re.MULTILINE)]
    answered = [int(number) for number in re.findall(r"^\*\*(\d+)\.\*\*", answers, re.MULTILINE)]
    if len(asked) < 4 or asked != list(range(1, len(asked) + 1)):
        found.append("four exercises or more, numbered from 1")
    if answered != asked:
        found.append("an answer per exercise, in their order, which begins with its bold number")
    if re.search(r"^\d+\. ", answers, re.MULTILINE):
        found.append("answers as a list, which Markdown numbers anew after every block")
    terms = course.TERM.findall(words)
    if not 4 <= len(terms) <= 12 or len(terms) != len(re.findall(r"^\S", words, re.MULTILINE)):
        found.append("four to twelve words, each a line `- **term**: one sentence.`")
    last = order.index(name) + 1 == len(order)
    if not last and f"]({order[order.index(name) + 1]}.md)" not in following:
        found.append(f"at the end a link to {order[order.index(name) + 1]}.md")
    if not re.search(r"!\[[^]]+\]\(\.\./pictures/[\w-]+\.svg\)", text):
        found.append("a figure, ../pictures/NAME.svg")
    return found


GOOD = """# Title

What is the question?

**You will be able to**
- say one thing,
- compute another,
  on two lines,
- and check a third.

**Time:** 40 minutes to read, 60 with the exercises. **Needs:** [First](first.md)
and [second](second.md).

![What it shows.](../pictures/figure.svg)

## Exercises

`descent_step`, with checks.

1. A
2. B
3. C
4. D

## Answers

**1.** a

**2.** b

```python
assert True
```

**3.** c

**4.** d

## Words

- **slope**: one sentence.
- **loss**: one sentence,
  on two lines.
- **batch**: one sentence.
- **step**: one sentence.

## Next

[Fourth](fourth.md).
"""
ORDER = ["first", "second", "third", "fourth"]


def test_a_chapter_in_the_shape():
    assert complaints(GOOD, "third", ORDER) == []
    assert complaints(GOOD.replace("(fourth.md)", "(README.md)"), "third", ORDER[:3]) == []


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("- say one thing,\n", "", "the head"),
        ("60 with the exercises", "60 minutes with exercises", "the head"),
        ("What is the question?", "What is it?\n\nAnd why?", "the head"),
        ("60 with", "40 with", "no time"),
        ("(second.md)", "(fourth.md)", "needs fourth"),
        ("(second.md)", "(third.md)", "needs third"),
        ("## Words", "## Terms", "the last sections"),
        ("## Next", "## Next\n\n## More", "the last sections"),
        ("4. D\n", "", "four exercises or more"),
        ("3. C", "2. C", "four exercises or more"),
        ("**3.** c\n\n", "", "an answer per exercise"),
        ("**4.** d", "4. d", "as a list"),
        ("- **step**", "- step", "four to twelve words"),
        ("- **step**: one sentence.\n", "", "four to twelve words"),
        ("(fourth.md)", "(first.md)", "a link to fourth.md"),
        (".svg", ".png", "a figure"),
    ],
)
def test_a_chapter_out_of_shape(old, new, complaint):
    assert GOOD.count(old) == 1
    found = complaints(GOOD.replace(old, new), "third", ORDER)
    assert any(complaint in one for one in found), found


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_the_shape_of_a_chapter(chapter):
    assert complaints(chapter.text, chapter.name, [each.name for each in CHAPTERS]) == []


# what is said and not computed: losses of somebody's run, sizes of data sets, years, sections
TOLD = {
    "gradient-descent": {
        "50000",
        "2.30",
        "2.31",
        "2.95",
        "7.4",
        "2.300",
        "2.299",
        "2.298",
        "2.297",
    },
    "batchnorm": {"2016"},
    "activations-and-loss": {"2010"},
    "train-resume-read-curves": {"0.02"},
    "mobilenet-v2": {"5.1"},
    "every-core": {"8192"},
    "kernels-without-a-gpu": {"257"},
}
NUMBER = re.compile(r"(?<![\w.,/])\d[\d,]*(?:\.\d+)?(?![\w/]|[.,]\d)")
NO_PROSE = re.compile(
    r"^```.*?^```$|\]\([^)]*\)|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|arXiv\s[\d.]+|^\*\*Time[^\n]*$"
    r"|^\d+\. |\*\*\d+\.\*\*|([Ss]ection|[Tt]able|[Ff]igure|[Ee]quation|[Ee]xercise)s? [\d.]+",
    re.MULTILINE | re.DOTALL,
)


def unproved(text):
    """The numbers of a chapter's sentences, with a point or above 100, that no block of it holds:
    as they are, with more digits, as a share of 1, or in full where the text counts millions."""
    blocks = "".join(re.findall(r"^```.*?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    blocks = re.findall(r"\d[\d,_]*(?:\.\d+)?(?:e[-+]?\d+)?", blocks)
    held = {float(re.sub("[,_]", "", number)) for number in blocks}
    held |= {100 * one for one in held} | {one / 1e6 for one in held if one >= 1e5}
    found = set()
    for number in NUMBER.findall(NO_PROSE.sub("", text)):
        number = number.replace(",", "")
        places = len(number.partition(".")[2])
        if not places and float(number) <= 100:
            continue
        if not any(round(one, places) == float(number) for one in held):
            found.add(number)
    return found


def test_a_number_that_no_block_holds_is_found():
    block = "```python\nassert cost == 51_380_224 and share == 0.1189\n```\n"
    assert unproved(f"It costs 51.4 million, 11.9 % of it.\n\n{block}") == set()
    assert unproved(f"It costs 51.5 million, 12.9 % of 1,024.\n\n{block}") == {
        *("51.5", "12.9", "1024"),
    }


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_the_numbers_of_the_text_stand_in_its_blocks(chapter):
    assert unproved(chapter.text) - TOLD.get(chapter.name, set()) == set()


def test_the_list_has_every_chapter_once_in_five_parts():
    front = (course.HANDBOOK / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^(\d+)\. \[[^]]+\]\(([\w-]+)\.md\)", front, re.MULTILINE)
    assert [int(number) for number, _ in listed] == list(range(1, len(listed) + 1))
    names = [name for _, name in listed]
    assert len(set(names)) == len(names)
    assert names == [c.name for c in CHAPTERS]
    assert {path.stem for path in course.HANDBOOK.glob("*.md")} == (
        {chapter.name for chapter in CHAPTERS} | {"README", "glossary"}
    )
    assert len({chapter.part for chapter in CHAPTERS}) == 5


def test_the_list_and_the_glossary_are_what_the_chapters_say():
    front = (course.HANDBOOK / "README.md").read_text(encoding="utf-8")
    assert course.front_page(front) == front, "run: python docs/course.py"
    said = course.GLOSSARY.read_text(encoding="utf-8")
    assert said == course.glossary(CHAPTERS), "run: python docs/course.py"


@pytest.fixture
def two_chapters(tmp_path, monkeypatch):
    """A course of two chapters: the folder of its handbook."""
    monkeypatch.setattr(course, "HANDBOOK", tmp_path)
    (tmp_path / "README.md").write_text(
        "# C\n\n### Part 1: One\n\n1. [A](first.md): a thing,\n   on two lines.\n\n"
        "### Part 2: Two\n\n2. [B](second.md): another. *9 minutes*\n"
    )
    first = re.sub(r"\[First\](?s:.)*?second.md\)", "nothing", GOOD.replace("- **loss", "- **Map"))
    (tmp_path / "first.md").write_text(first)
    words = "- **a $K \\times K$ tap** (i, j): see [there](#there).\n- **map reading**: yes.\n"
    second = GOOD.replace(course.section(GOOD, "Words"), words)
    (tmp_path / "second.md").write_text(second)
    return tmp_path


def test_titles_minutes_and_needs_come_into_the_list(two_chapters):
    front = (two_chapters / "README.md").read_text()
    new = course.front_page(front)
    assert new == (
        "# C\n\n### Part 1: One\n\n1. [Title](first.md): a thing,\n   on two lines.\n"
        "   *40 minutes, 60 with the exercises. Needs: nothing.*\n\n"
        "### Part 2: Two\n\n2. [Title](second.md): another.\n"
        "   *40 minutes, 60 with the exercises. "
        "Needs: [First](first.md) and [second](second.md).*\n"
    )
    assert course.front_page(new) == new
    assert [chapter.number for chapter in course.chapters(new)] == [1, 2]


def test_the_glossary_is_alphabetical_and_names_the_chapters(two_chapters):
    text = course.glossary(course.chapters())
    assert text.split("\n\n", 2)[2] == (
        "## A\n\n"
        "- **a $K \\times K$ tap** (i, j): see [there](second.md#there). ([B](second.md))\n\n"
        "## B\n\n- **batch**: one sentence. ([A](first.md))\n\n"
        "## M\n\n- **Map**: one sentence, on two lines. ([A](first.md))\n"
        "- **map reading**: yes. ([B](second.md))\n\n"
        "## S\n\n- **slope**: one sentence. ([A](first.md))\n"
        "- **step**: one sentence. ([A](first.md))\n"
    )


def test_a_term_that_is_explained_twice_is_refused(two_chapters):
    second = two_chapters / "second.md"
    second.write_text(second.read_text().replace("map reading", "map"))
    before = (two_chapters / "README.md").read_text()
    with pytest.raises(SystemExit) as stopped:
        course.main()
    assert str(stopped.value) == (
        "course: explained twice, leave each in the first: 'map' in first.md and second.md"
    )
    assert (two_chapters / "README.md").read_text() == before


def test_a_chapter_without_a_title_is_refused(two_chapters):
    (two_chapters / "first.md").write_text("")
    with pytest.raises(SystemExit, match="course: first.md should begin with its title, `# Title`"):
        course.main()
