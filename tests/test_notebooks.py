"""The committed notebooks say what their chapters say, and were run. No Jupyter is needed here."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "docs" / "notebooks"

spec = importlib.util.spec_from_file_location("make_notebooks", NOTEBOOKS / "make.py")
make = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make)

every_chapter = pytest.mark.parametrize("chapter", make.CHAPTERS)


def chapter_cells(chapter):
    return make.cells((make.HANDBOOK / f"{chapter}.md").read_text(encoding="utf-8"))


def notebook(chapter):
    return json.loads((NOTEBOOKS / f"{chapter}.ipynb").read_text(encoding="utf-8"))


def code_cells(chapter):
    return [cell for cell in notebook(chapter)["cells"] if cell["cell_type"] == "code"]


def printed(cell):
    return "".join("".join(o["text"]) for o in cell["outputs"] if o["output_type"] == "stream")


def test_every_notebook_has_a_chapter():
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(make.CHAPTERS)


def test_a_chapter_becomes_text_and_code_and_links_lead_from_the_folder_of_notebooks():
    chapter = (
        "# T\n\nSee [a](other.md#b), [c](../c.md), [d](https://e.org/f.md).\n\n"
        "```python\nprint(1)\n```\n\n```text\n1\n```\n\n```\nnot run\n```\n"
    )
    assert make.cells(chapter) == [
        (
            "markdown",
            "# T\n\nSee [a](../handbook/other.md#b), [c](../c.md), [d](https://e.org/f.md).",
            None,
        ),
        ("code", "print(1)", "1\n"),
        ("markdown", "```\nnot run\n```", None),
    ]


@every_chapter
def test_the_cells_are_what_the_chapter_says_now(chapter):
    committed = [
        (cell["cell_type"], "".join(cell["source"])) for cell in notebook(chapter)["cells"]
    ]
    now = [(kind, source) for kind, source, _ in chapter_cells(chapter)]
    assert committed == now, f"run: python docs/notebooks/make.py {chapter}"


@every_chapter
def test_the_notebook_prints_what_the_chapter_shows(chapter):
    shown = [text for kind, _, text in chapter_cells(chapter) if kind == "code"]
    assert [printed(cell) or None for cell in code_cells(chapter)] == shown


@every_chapter
def test_every_cell_ran_once_in_order_without_errors_and_warnings(chapter):
    cells = code_cells(chapter)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        for output in cell["outputs"]:
            assert output["output_type"] != "error", output
            assert output.get("name") != "stderr", output


@every_chapter
def test_there_are_pictures(chapter):
    drawing = [cell for cell in code_cells(chapter) if "plt.show()" in "".join(cell["source"])]
    assert drawing
    for cell in drawing:
        assert any("image/png" in output.get("data", {}) for output in cell["outputs"])


@every_chapter
def test_nothing_of_the_machine_is_in_it(chapter):
    path = NOTEBOOKS / f"{chapter}.ipynb"
    assert path.stat().st_size < 400_000
    found = notebook(chapter)
    assert found["metadata"]["language_info"] == {"name": "python"}
    for cell in found["cells"]:
        assert not cell["metadata"], "a cell's metadata are times and settings of one machine"
    text = re.sub(r'"image/png": "[^"]*"', "", path.read_text(encoding="utf-8"))
    assert not re.search(r"/(home|root|tmp|work|usr|Users)/|[A-Z]:\\\\", text)
    assert " object at 0x" not in text


@every_chapter
def test_the_links_lead_somewhere(chapter):
    for kind, source, _ in chapter_cells(chapter):
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", source) if kind == "markdown" else []:
            assert "://" in target or (NOTEBOOKS / target).exists(), target
