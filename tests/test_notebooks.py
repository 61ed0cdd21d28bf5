"""The committed notebooks say what their chapters say, and were run. No Jupyter is needed here."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "docs" / "notebooks"

spec = importlib.util.spec_from_file_location("make_notebooks", NOTEBOOKS / "make.py")
make = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make)

every_chapter = pytest.mark.parametrize("chapter", make.CHAPTERS)


def chapter_cells(chapter):
    return make.cells(make.CHAPTERS[chapter].text)


def notebook(chapter):
    return json.loads((NOTEBOOKS / f"{chapter}.ipynb").read_text(encoding="utf-8"))


def code_cells(chapter):
    return [cell for cell in notebook(chapter)["cells"] if cell["cell_type"] == "code"]


def printed(cell):
    return "".join("".join(o["text"]) for o in cell["outputs"] if o["output_type"] == "stream")


def test_every_chapter_has_a_notebook():
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
        ("code", make.SETUP, None),
        ("code", "print(1)", "1\n"),
        ("markdown", "```\nnot run\n```", None),
    ]


@every_chapter
def test_the_cells_are_what_the_chapter_says_now(chapter):
    now = [(kind, source) for kind, source, _ in chapter_cells(chapter)]
    assert make.committed(chapter) == now, f"run: python docs/notebooks/make.py {chapter}"


@every_chapter
def test_the_notebook_prints_what_the_chapter_shows(chapter):
    shown = [text for kind, _, text in chapter_cells(chapter) if kind == "code"]
    for cell, text in zip(code_cells(chapter), shown, strict=True):
        assert text is None or printed(cell) == text  # None: times, which the chapter leaves out


@every_chapter
def test_every_cell_ran_once_in_order_without_errors_and_warnings(chapter):
    cells = code_cells(chapter)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        for output in cell["outputs"]:
            assert output["output_type"] != "error", output
            assert output.get("name") != "stderr", output


@every_chapter
def test_what_is_drawn_is_there(chapter):
    for cell in code_cells(chapter):
        drawn = any("image/png" in output.get("data", {}) for output in cell["outputs"])
        assert drawn or "plt.show()" not in "".join(cell["source"])


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


def finds(folder, before=""):
    """A new Python that runs the first cell in `folder`, and where it says that tinynet is."""
    cell = make.SETUP.replace("%pip", "raise SystemExit('would install') #")
    code = f"{before}\n{cell}\nprint(mobilenet.__file__, sys.modules['tinynet'].__file__)"
    return subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=folder, capture_output=True, text=True
    )


def test_the_first_cell_finds_the_checkout_it_lies_in(tmp_path):
    found = finds(NOTEBOOKS)
    assert found.stdout.split() == [str(ROOT / "mobilenet.py"), str(ROOT / "tinynet/__init__.py")]
    assert "open this notebook in docs/notebooks of its checkout" in finds(tmp_path).stderr


def test_the_first_cell_installs_what_is_lacking():
    without_numpy = "import sys; sys.modules['numpy'] = None"  # importing it: ModuleNotFoundError
    assert finds(NOTEBOOKS, without_numpy).stderr.strip() == "would install"


def test_only_changed_notebooks_are_made_again(monkeypatch, tmp_path):
    made = []
    monkeypatch.setattr(make, "write", lambda chapter: made.append(chapter.name))

    def run(*arguments):
        made.clear()
        monkeypatch.setattr(sys, "argv", ["make.py", *arguments])
        make.main()
        return made

    assert run() == []
    assert run("batchnorm") == ["batchnorm"]
    assert run("--all") == list(make.CHAPTERS)
    text = (NOTEBOOKS / "batchnorm.ipynb").read_text(encoding="utf-8")
    (tmp_path / "batchnorm.ipynb").write_text(text.replace("import numpy", "import  numpy"))
    for name in set(make.CHAPTERS) - {"batchnorm", "every-core"}:
        (tmp_path / f"{name}.ipynb").symlink_to(NOTEBOOKS / f"{name}.ipynb")
    monkeypatch.setattr(make, "HERE", tmp_path)
    assert run() == ["batchnorm", "every-core"]
