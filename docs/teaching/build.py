"""Build the slides: python docs/teaching/build.py

From slides.md: build/slides.html, one file that needs no network, and build/slides.pdf. Both are
made by Marp CLI, which npx fetches once; the PDF needs Chromium, Chrome, Edge or Firefox.
"""

import base64
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

MARP = "@marp-team/marp-cli@4.5.1"
HERE = Path(__file__).resolve().parent
SOURCE, BUILD = HERE / "slides.md", HERE / "build"


def main():
    npx = shutil.which("npx")
    if npx is None:
        sys.exit("slides: npx was not found; install Node.js 18 or newer (https://nodejs.org)")
    BUILD.mkdir(exist_ok=True)
    page = BUILD / "slides.html"
    html = marp(npx, "-").decode("utf-8")
    page.write_text(with_figures(html, SOURCE.parent), encoding="utf-8")
    print(f"wrote {page}")
    marp(npx, str(BUILD / "slides.pdf"), "--pdf", "--pdf-outlines", "--allow-local-files")
    print(f"wrote {BUILD / 'slides.pdf'}")


def marp(npx, output, *options):
    """Run Marp on the source, and return what it prints; where it fails, end with the reason."""
    environment = dict(os.environ)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        environment["CHROME_NO_SANDBOX"] = "1"  # Chromium's sandbox refuses to run for root
    run = subprocess.run(
        [npx, "--yes", MARP, str(SOURCE), "--output", output, *options],
        stdin=subprocess.DEVNULL,  # Marp would wait for a source on it
        capture_output=True,
        env=environment,
    )
    if run.returncode:
        sys.exit(f"slides: {MARP}: {reason(run.stderr.decode(errors='replace'))}")
    return run.stdout


def reason(said):
    """Why Marp or npx failed, in one line: Marp says it between a mark and a page of its code."""
    found = re.search(r"\[ ERROR \] (.*?)(?=\n\S|\Z)", said, re.DOTALL)
    if found:
        return " ".join(found.group(1).split())
    if re.search(r"^npm err", said, re.IGNORECASE | re.MULTILINE):
        return "npx could not download it; the first time it needs a network"
    return said.strip() or "it failed and said nothing"


def with_figures(html, folder):
    """The page with every figure's file in the place of its name."""

    def inlined(match):
        svg = (folder / match.group(1)).read_bytes()
        return f'src="data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"'

    return re.sub(r'src="([^":]+\.svg)"', inlined, html)


if __name__ == "__main__":
    main()
