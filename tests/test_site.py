"""The site, made from docs as a reader makes it, and opened from its folder in a real browser."""

import importlib.util
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from browser import open_page  # noqa: F401  (a fixture)
from needs import lacking

from tinynet.stepper.lessons import ALL

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "docs"))
import course  # noqa: E402

PHONE = {"width": 390, "height": 844}


def build(docs, out, builder="html"):
    """What Sphinx complains about; "" if it made the site."""
    if not importlib.util.find_spec("furo"):
        lacking("the site's generator", "pip install -e .[docs]")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-E", "-b", builder]
    command += ["-d", str(out.parent / "doctrees"), str(docs), str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode == 0) == (not done.stderr), done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "site"
    assert build(ROOT / "docs", out) == ""
    return out


@pytest.fixture
def small(tmp_path):
    """small(text) -> what Sphinx complains about in a course of one chapter with that text, and its
    page: all pages in one, without the lessons."""

    def make(text):
        docs = tmp_path / "docs"
        (docs / "handbook").mkdir(parents=True)
        for name in ("conf.py", "course.py"):
            shutil.copy(ROOT / "docs" / name, docs)
        (tmp_path / "tinynet").symlink_to(ROOT / "tinynet")
        (docs / "README.md").write_text("# D\n\n[The course](handbook/README.md)\n")
        (docs / "stepper.md").write_text("# Stepper\n\n## Lessons\n")
        (docs / "handbook" / "glossary.md").write_text("# Glossary\n")
        front = "# C\n\n## Chapters\n\n### Part 1: One\n\n1. [One](one.md): a thing.\n"
        (docs / "handbook" / "README.md").write_text(front)
        (docs / "handbook" / "one.md").write_text(f"# One\n\n{text}\n")
        return build(docs, tmp_path / "site", "singlehtml"), tmp_path / "site" / "README.html"

    return make


class Page(HTMLParser):
    """What a page links to, what it loads, and the places in it that a link may name."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loads, self.ids = [], [], {""}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids.add(attrs.get("id"))
        if "href" in attrs:
            (self.links if tag == "a" else self.loads).append(attrs["href"])
        if "src" in attrs:
            self.loads.append(attrs["src"])


def test_every_link_leads_somewhere(site):
    pages = {path: Page(path) for path in site.rglob("*.html") if path.parent.name != "lessons"}
    assert len(pages) > 50
    for path, page in pages.items():
        for link in page.links:
            if not link.startswith(("https://", "http://")):
                target, _, anchor = link.partition("#")
                file = (path.parent / unquote(target)).resolve() if target else path
                assert file.is_file(), f"{path} links to {link}"
                assert file not in pages or unquote(anchor) in pages[file].ids, f"{path}: {link}"


def test_nothing_is_loaded_from_elsewhere(site):
    for path in site.rglob("*.html"):
        for load in Page(path).loads:
            assert ":" not in load or load.startswith("data:"), f"{path} loads {load}"


def test_the_lessons_lie_beside_the_pages(site):
    names = {path.stem for path in (site / "lessons").glob("*.html")}
    assert names == {*ALL, "index"}


def test_the_site_opens_without_server_and_network(site, open_page):  # noqa: F811
    """`open_page` fails if a page's console says anything."""
    asked = []
    page = open_page(site / "index.html")
    page.on("request", lambda request: asked.append(request.url))
    addresses = [
        "index",
        "handbook/README",
        "handbook/memory-layout",
        "gpu-kernels",
        "lessons/conv",
    ]
    for name in (*addresses, "project/tinynet/autograd/tape.py"):
        page.goto((site / f"{name}.html").as_uri())
        page.wait_for_load_state("networkidle")
        assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)"), name
    assert len(asked) > len(addresses)
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


def test_search_finds_a_word_and_leads_to_it(site, open_page):  # noqa: F811
    page = open_page(site / "index.html")
    page.locator(".sidebar-search").fill("topological")
    page.keyboard.press("Enter")
    page.locator("#search-results a", has_text="Backprop by hand").click()
    assert page.locator("h1").inner_text().startswith("Backprop by hand")


def test_the_pages_are_in_the_order_of_the_course(site, open_page):  # noqa: F811
    page = open_page(site / "index.html")
    links = page.locator(".sidebar-tree a").all_inner_texts()
    chapters = [f"{chapter.number}. {chapter.title}" for chapter in course.chapters()]
    assert links[: len(chapters) + 2] == ["The course", *chapters, "Glossary"]
    assert "Training" in links
    captions = page.locator(".sidebar-tree .caption").all_inner_texts()
    parts = list(dict.fromkeys(chapter.part for chapter in course.chapters()))
    assert [text.lower() for text in captions] == [text.lower() for text in (*parts, "Reference")]
    second = course.chapters()[1]
    page.goto((site / f"handbook/{course.chapters()[0].name}.html").as_uri())
    page.keyboard.press("ArrowRight")
    page.wait_for_url(f"**/{second.name}.html")


def test_no_page_is_wider_than_a_phone(site, open_page):  # noqa: F811
    page = open_page(site / "index.html", **PHONE)
    for path in sorted(site.rglob("*.html")):
        if path.parent.name != "lessons" and "project" not in path.parts:
            page.goto(path.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, path


def test_there_is_a_dark_mode_and_a_print(site, open_page):  # noqa: F811
    def brightness(page):
        color = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", color)[:3])) / 3

    page = open_page(site / "handbook/batchnorm.html", width=700, color_scheme="dark")
    assert brightness(page) < 50
    page.emulate_media(color_scheme="light")
    assert brightness(page) > 200
    page.emulate_media(media="print")
    assert not page.locator(".sidebar-drawer").is_visible()
    code = page.locator("pre").evaluate_all("all => all.map(it => it.scrollWidth - it.clientWidth)")
    assert max(code) <= 0, "a line of code is cut off at the edge of the paper"


def test_formulas_are_drawn_without_a_script(small, open_page):  # noqa: F811
    complaint, path = small(
        "The slope $g_x = \\frac{\\partial L}{\\partial x}$ costs `$5` or \\$6.\n\n"
        "With $\\hat{x}_i$ an index. Space: $\\log p$.\n\n"
        "$$y_{o,h,w} = \\sum_{c,i,j} w_{o,c,i,j} \\dots x_{c,h+i,w+j}$$\n"
    )
    assert complaint == ""
    page = open_page(path, java_script_enabled=False)
    assert "costs $5 or $6." in page.locator("p", has_text="costs").inner_text()
    above, below = (page.locator(f"p math mfrac > :nth-child({i})").bounding_box() for i in (1, 2))
    assert above["y"] + above["height"] <= below["y"] + 1
    assert abs(above["x"] - below["x"]) < 5
    accented = page.locator("p", has_text="index").locator("msub")
    name, of = (
        page.locator("p", has_text="Space")
        .locator("math")
        .last.locator("mrow > *")
        .nth(i)
        .bounding_box()
        for i in (0, -1)
    )
    assert of["x"] - name["x"] - name["width"] > 1
    letter, index = (accented.locator("mi").nth(i).bounding_box() for i in (0, 1))
    assert index["x"] >= letter["x"] + letter["width"] - 1
    assert page.locator("math[display=block] munder, math[display=block] msub").count() >= 3
    assert page.locator("math").first.evaluate("it => it.namespaceURI").endswith("MathML")
    assert path.with_name("_static").is_dir()


def test_links_to_lessons_and_to_the_project(small):
    complaint, path = small(
        "```python\nlayers[0](../no.py)\n```\n\nA [lesson `conv`](../stepper.md#lessons), "
        "[all of them](../stepper.md#lessons), the\n"
        "[`tape`](../../tinynet/autograd/tape.py), and [ops](../../tinynet/ops)."
    )
    assert complaint == ""
    links = Page(path).links
    assert links[links.index("../lessons/conv.html") + 1 :][:3] == [
        "../lessons/index.html",
        "../project/tinynet/autograd/tape.py.html",
        "../project/tinynet/ops.html",
    ]


def test_what_is_wrong_stops_the_build(small):
    complaint, _ = small(
        "[lesson `no`](../stepper.md#lessons), [f](../../tinynet/no.py), [f](two.md),\n"
        "[f](../README.md#there), ![f](../pictures/no.svg), $\\nosuch$, $\\frac$"
    )
    assert "handbook/one.md: WARNING: no lesson is named 'no', expected one of desc" in complaint
    assert "a link leads to ../../tinynet/no.py, which does not exist" in complaint
    assert "cross-reference target not found: 'two.md'" in complaint
    assert "'there'" in complaint
    assert "pictures/no.svg" in complaint
    assert r"no MathML can be made of \nosuch: it knows no such command" in complaint
    assert r"no MathML can be made of \frac: " in complaint
