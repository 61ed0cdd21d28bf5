"""Makes the notebooks of this folder from chapters of the handbook, and runs them.

    python -m pip install nbclient ipykernel matplotlib-inline
    python docs/notebooks/make.py                # all of them
    python docs/notebooks/make.py batchnorm      # one

A chapter's text becomes Markdown cells and its Python blocks code cells; the printed output that
the chapter shows is left out, for the notebook has the real one. Nothing is written here that the
chapter does not say, so change the chapter and run this again.
"""

import argparse
import json
import os
import re
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
HANDBOOK = HERE.parent / "handbook"
ROOT = HERE.parent.parent
CHAPTERS = (
    "backprop-by-hand",
    "autograd-in-forty-lines",
    "separable-convolutions",
    "mobilenet-cost",
    "batchnorm",
    "memory-layout",
)

BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```$"  # a program's block
    r"(?:\n\n```text\n(?P<printed>.*?)^```$)?",  # and right behind it what it prints
    re.MULTILINE | re.DOTALL,
)


def cells(text):
    """A chapter as cells: triples of "markdown" or "code", the source, and what the chapter says
    that a code cell prints (None where it says nothing)."""
    found, end = [], 0
    for block in BLOCK.finditer(text):
        found.append(("markdown", text[end : block.start()], None))
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


def run(chapter):
    """The chapter's notebook, executed, as the dictionary that an .ipynb file holds."""
    import nbclient
    import nbformat

    text = (HANDBOOK / f"{chapter}.md").read_text(encoding="utf-8")
    notebook = nbformat.v4.new_notebook()
    for number, (kind, source, _) in enumerate(cells(text)):
        new = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
        notebook.cells.append(new(source, id=f"{chapter}-{number}"))
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    os.environ["PYTHONPATH"] = str(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        nbclient.NotebookClient(notebook, record_timing=False, resources=resources).execute()
    notebook.metadata["language_info"] = {"name": "python"}  # without the version that ran it
    return notebook


def write(chapter):
    path = HERE / f"{chapter}.ipynb"
    text = json.dumps(run(chapter), indent=1, ensure_ascii=False, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")
    print(f"{path.name}: {path.stat().st_size // 1000} kB")


def main():
    parser = argparse.ArgumentParser(
        description="Make the notebooks from the handbook and run them."
    )
    parser.add_argument("chapters", nargs="*", metavar="chapter", help=", ".join(CHAPTERS))
    chosen = parser.parse_args().chapters
    for chapter in chosen:
        if chapter not in CHAPTERS:
            parser.error(f"expected one of {', '.join(CHAPTERS)}, got {chapter!r}")
    for chapter in chosen or CHAPTERS:
        write(chapter)


if __name__ == "__main__":
    main()
