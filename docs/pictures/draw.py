"""Draws the figures of the pages in docs.

    python docs/pictures/draw.py                 # all of them, beside this file
    python docs/pictures/draw.py three-paths     # one

Each file of `chapters` has the figures of one page, one function each. Numbers in a figure are
computed where it is drawn, or read from docs/results.
"""

import argparse
import importlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

import style  # noqa: E402

for path in sorted((HERE / "chapters").glob("*.py")):
    importlib.import_module(f"chapters.{path.stem}")


def main():
    parser = argparse.ArgumentParser(description="Draw the figures of the pages in docs as SVG.")
    parser.add_argument("figures", nargs="*", metavar="figure", help=", ".join(style.FIGURES))
    chosen = parser.parse_args().figures
    for name in chosen:
        if name not in style.FIGURES:
            parser.error(f"expected one of {', '.join(style.FIGURES)}, got {name!r}")
    for name in chosen or style.FIGURES:
        style.save(name, HERE)


if __name__ == "__main__":
    main()
