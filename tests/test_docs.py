"""Every Python block of the README and the handbook runs, as a reader would paste it."""

import contextlib
import io
import re
import sys
from pathlib import Path

import pytest

from tinynet.autograd.mode import mode
from tinynet.exercises.course import COURSE
from tinynet.stepper.lessons import ALL

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "docs"))
import course  # noqa: E402

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page, language):
    """(line, source, shown) of each block that starts with ```language; shown: the ```text block
    right behind it, which is what it prints, or None."""
    text = page.read_text(encoding="utf-8")
    block = rf"^```{language}\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?"
    for match in re.finditer(block, text, re.MULTILINE | re.DOTALL):
        yield text[: match.start()].count("\n") + 2, *match.groups()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # what a block writes is not left in the repository
    monkeypatch.setattr(mode, "plain", False)  # a reader's mode: pages say where they are plain
    names = {}
    for line, source, shown in blocks(page, "python"):
        padded = "\n" * (line - 1) + source  # so that a traceback names the page's own line
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(padded, str(page), "exec"), names)
        assert shown is None or printed.getvalue() == shown, f"line {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_a_page_lead_somewhere(page):
    text = re.sub(r"^```(?s:.*?)^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_page_is_linked_from_another():
    linked = set()
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+\.md)", page.read_text(encoding="utf-8")):
            linked |= {(page.parent / target).resolve()} - {page}
    assert [str(page) for page in PAGES if page not in linked | {ROOT / "README.md"}] == []


def lessons_named(text):
    """The lessons that a page names: in links, in commands, and by name."""
    by_name = re.findall(r"lesson\s`([^`]+)`", text)
    return by_name + re.findall(r"--lesson ([\w-]+)", text)


def exercises_named(text):
    """The exercises that a page names: in commands, and where `## Exercises` begins."""
    listed = (course.section(text, "Exercises") or "").split("\n1. ")[0]
    commands = re.findall(r"tinynet\.exercises (?:write|check|hint|solution) (\w+)", text)
    return commands + re.findall(r"`([a-z]+(?:_[a-z]+)+)`", listed)


def test_names_of_lessons_and_exercises_are_found():
    text = (
        "see [lesson `a`](x) and lesson\n`b`, or `--lesson c-d`\n\n## Exercises\n\nWrite `e_f`,\n"
    )
    text += "`g_h_i`:\n\n1. Call `no_name`.\n\n## More\n\npython -m tinynet.exercises hint j\n"
    assert lessons_named(text) == ["a", "b", "c-d"]
    assert exercises_named(text) == ["j", "e_f", "g_h_i"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_lessons_and_exercises_of_a_page_exist(page):
    text = page.read_text(encoding="utf-8")
    assert set(lessons_named(text)) <= {*ALL, "NAME"}
    assert set(exercises_named(text)) <= {*COURSE, "all", "NAME"}


def test_the_cuda_shown_is_the_cuda_that_runs():
    shown = [source for page in PAGES for _, source, _ in blocks(page, "cuda")]
    files = [path.read_text() for path in (ROOT / "tinynet" / "fast" / "cuda").glob("*.cu")]
    assert shown
    assert files
    for source in shown:
        assert any(source in text for text in files), source


def test_there_is_code_to_run():
    assert sum(len(list(blocks(page, "python"))) for page in PAGES) >= 6
