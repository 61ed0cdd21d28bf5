"""The figures of the pages are what their scripts draw now, and each is shown on some page."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
sys.path.append(str(PICTURES))
import draw  # noqa: E402

names = sorted(draw.style.FIGURES)


def content(svg):
    """What a figure says and shows, but for coordinates, which matplotlib may round otherwise."""
    marks = [len(re.findall(f"<{kind}[ >]", svg)) for kind in ("path", "use", "image")]
    return re.findall(r">([^<>]+)</text>", svg), marks


def sizes(svg):
    return [float(size) for size in re.findall(r"font(?:-size)?: ?(?:[a-z]+ )*([\d.]+)px", svg)]


@pytest.mark.parametrize("name", names)
def test_a_figure_is_what_its_script_draws(name, tmp_path):
    draw.style.save(name, tmp_path)
    committed = (PICTURES / f"{name}.svg").read_text(encoding="utf-8")
    assert content((tmp_path / f"{name}.svg").read_text(encoding="utf-8")) == content(committed)


@pytest.mark.parametrize("name", names)
def test_a_figure_can_be_read_on_a_slide(name):
    """Text of 20 pixels where the figure is 1024 wide; indices and powers may be smaller."""
    svg = (PICTURES / f"{name}.svg").read_text(encoding="utf-8")
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', svg)[1])
    assert sizes(svg)
    assert min(sizes(svg)) * 1024 / width >= 18


def test_every_picture_has_a_script_and_a_page():
    assert sorted(path.stem for path in PICTURES.glob("*.svg")) == names
    pages = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md"))
    pages += (ROOT / "README.md").read_text(encoding="utf-8")
    for path in PICTURES.glob("*.??g"):
        assert f"pictures/{path.name}" in pages, f"{path.name} is on no page"
