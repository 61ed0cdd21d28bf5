"""Every Python block of the README and the handbook runs, as a reader would paste it."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from tinynet.autograd.mode import mode

ROOT = Path(__file__).resolve().parent.parent
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
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_cuda_shown_is_the_cuda_that_runs():
    shown = [source for page in PAGES for _, source, _ in blocks(page, "cuda")]
    files = [path.read_text() for path in (ROOT / "tinynet" / "fast" / "cuda").glob("*.cu")]
    assert shown
    assert files
    for source in shown:
        assert any(source in text for text in files), source


def test_there_is_code_to_run():
    assert sum(len(list(blocks(page, "python"))) for page in PAGES) >= 6
