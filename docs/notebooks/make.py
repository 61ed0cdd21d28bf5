"""Makes the notebooks of this folder from the course's chapters, and runs them.

    python -m pip install nbclient ipykernel matplotlib-inline
    python docs/notebooks/make.py                # those whose chapter changed
    python docs/notebooks/make.py batchnorm      # one
    python docs/notebooks/make.py --all          # all of them, after a change of tinynet

A chapter's text becomes Markdown cells and its Python blocks code cells; the printed output that
the chapter shows is left out, for the notebook has the real one. Only the cell that finds tinynet
is written here. So change the chapter, and run this again.
"""

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.append(str(HERE.parent))
import course  # noqa: E402

CHAPTERS = {chapter.name: chapter for chapter in course.chapters()}
SETUP = """\
# tinynet comes from the checkout that this notebook lies in: PyPI's tinynet is another project.
import sys
from pathlib import Path

here = Path.cwd().resolve()
root = next((path for path in (here, *here.parents) if (path / "mobilenet.py").exists()), None)
assert root, "tinynet was not found: open this notebook in docs/notebooks of its checkout"
sys.path.insert(0, str(root))
try:
    import mobilenet
except ModuleNotFoundError:  # NumPy, say
    %pip install --quiet --editable "{root}"\
"""
BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```$"  # a program's block
    r"(?:\n\n```text\n(?P<printed>.*?)^```$)?",  # and right behind it what it prints
    re.MULTILINE | re.DOTALL,
)


def cells(text):
    """A chapter as cells: triples of "markdown" or "code", the source, and what the chapter says
    that a code cell prints (None where it says nothing). The cell SETUP stands before the first
    code."""
    found, end = [], 0
    for block in BLOCK.finditer(text):
        found.append(("markdown", text[end : block.start()], None))
        if not end:
            found.append(("code", SETUP, None))
        found.append(("code", block["code"], block["printed"]))
        end = block.end()
    found.append(("markdown", text[end:], None))
    stripped = [(kind, source.strip("\n"), printed) for kind, source, printed in found]
    return [
        (kind, _from_here(source) if kind == "markdown" else source, printed)
        for kind, source, printed in stripped
        if source
    ]


def _from_here(markdown):
    """Links to other chapters lead from this folder; those that begin with .. do already."""
    return re.sub(r"(\]\()(?=[\w-]+\.md\b)", r"\1../handbook/", markdown)


def committed(name):
    """The cells of the notebook that is there: pairs as `cells` has them, or None."""
    path = HERE / f"{name}.ipynb"
    if not path.exists():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [(cell["cell_type"], "".join(cell["source"])) for cell in found]


def run(chapter):
    """The chapter's notebook, executed, as the dictionary that an .ipynb file holds."""
    import nbclient
    import nbformat

    notebook = nbformat.v4.new_notebook()
    for number, (kind, source, _) in enumerate(cells(chapter.text)):
        new = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
        notebook.cells.append(new(source, id=f"{chapter.name}-{number}"))
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    # in a checkout of links: what a chapter writes stays out of the repository
    with tempfile.TemporaryDirectory() as checkout:
        for path in (*ROOT.iterdir(), *ROOT.glob("docs/*")):
            if path.name not in ("docs", "notebooks"):
                link = Path(checkout) / path.relative_to(ROOT)
                link.parent.mkdir(exist_ok=True)
                link.symlink_to(path)
        folder = Path(checkout) / "docs" / "notebooks"
        folder.mkdir()
        resources = {"metadata": {"path": str(folder)}}
        nbclient.NotebookClient(notebook, record_timing=False, resources=resources).execute()
    notebook.metadata["language_info"] = {"name": "python"}  # without the version that ran it
    return notebook


def write(chapter):
    path = HERE / f"{chapter.name}.ipynb"
    text = json.dumps(run(chapter), indent=1, ensure_ascii=False, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")
    print(f"{path.name}: {path.stat().st_size // 1000} kB")


def main():
    parser = argparse.ArgumentParser(
        description="Make the notebooks from the course's chapters and run them."
    )
    parser.add_argument("chapters", nargs="*", metavar="chapter", help=", ".join(CHAPTERS))
    parser.add_argument("--all", action="store_true", help="also those whose chapter is as it was")
    options = parser.parse_args()
    for name in options.chapters:
        if name not in CHAPTERS:
            parser.error(f"expected one of {', '.join(CHAPTERS)}, got {name!r}")
    changed = [
        name
        for name, chapter in CHAPTERS.items()
        if options.all or committed(name) != [cell[:2] for cell in cells(chapter.text)]
    ]
    for name in options.chapters or changed:
        write(CHAPTERS[name])


if __name__ == "__main__":
    main()
