"""The site: these pages as they stand, made by Sphinx. CONTRIBUTING.md says how.

The pages are plain Markdown. What a site needs beside them is added here: the tree of pages, links
to the lessons' pages, the project's files that pages link to, and formulas as MathML, which needs
no script.
"""

import html
import os
import re
import shutil
import sys
from pathlib import Path

from docutils.nodes import SkipNode
from latex2mathml.converter import convert
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_for_filename
from sphinx.util.logging import getLogger

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path[:0] = [str(DOCS), str(ROOT)]
import course  # noqa: E402

from tinynet.stepper.lessons import ALL  # noqa: E402
from tinynet.stepper.lessons.pages import save_all  # noqa: E402

project = html_title = "tinynet"
root_doc = "README"
extensions = ["myst_parser", "sphinx.ext.githubpages"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
exclude_patterns = ["notebooks", "pictures"]
suppress_warnings = ["toc.not_included"]  # the tests look for pages that no page links to
highlight_language = "text"
pygments_dark_style = "github-dark"
smartquotes = False  # f'(x) is not f’(x)
html_theme = "furo"
html_theme_options = {"navigation_with_keys": True}
html_math_renderer = "mathml"
html_show_copyright = html_copy_source = html_use_index = html_domain_indices = False
html_show_search_summary = False  # it is fetched from the page found, which file:// forbids

STYLE = """<style>
math { font-size: 1.12em }
.formula { overflow-x: auto; margin: 1em 0 }
@media (min-width: 90em) { .content { width: 52em } }
@media print {
  .sidebar-drawer, .toc-drawer { display: none !important }
  .content { width: 100% !important }
  pre { white-space: pre-wrap !important; font-size: 11px !important }
}
</style>"""
FENCED = r"^```.*?^```$"
LINK = re.compile(rf"{FENCED}|(?<!!)\[([^]]*)\]\(([^)\s:#]+)(#[^)]*)?\)", re.MULTILINE | re.DOTALL)
FUNCTION = re.compile(
    r"(?<!<msub>)(?<!<msup>)<m([io])>(log|sin|cos|exp)</m\1>(?!<mo|</)"
)  # log p, but exp(z)
CODE = {".py", ".cu", ".cuh", ".h", ".md"}
log = getLogger(__name__)
linked = set()  # the project's files and folders that pages link to


def before_reading(app, name, source):
    """Make a page's Markdown Sphinx's: source[0], which it is about to read."""
    page = DOCS / f"{name}.md"
    up = "../" * name.count("/")

    def link(match):
        text, target, anchor = match.groups()
        if target is None:  # a block of code
            return match[0]
        path = Path(os.path.normpath(page.parent / target))
        if path == DOCS / "stepper.md" and anchor == "#lessons":
            lesson = re.fullmatch(r"lesson\s`(.+)`", text)
            page_name = lesson[1] if lesson else "index"
            if page_name not in (*ALL, "index"):
                message = "no lesson is named %r, expected one of %s"
                log.warning(message, page_name, ", ".join(ALL), location=name)
            return f'<a href="{up}lessons/{page_name}.html">{text}</a>'
        if path.is_relative_to(DOCS) and not path.is_dir():
            return match[0]
        if not path.exists():
            log.warning("a link leads to %s, which does not exist", target, location=name)
            return text
        linked.add(path)
        return f'<a href="{up}{_address(path)}">{text}</a>'

    source[0] = LINK.sub(link, source[0])
    if name == root_doc:
        source[0] += _trees(source[0])


def _trees(front):
    """The pages in their order: the course by its parts, then those that docs/README.md names."""
    trees = {"": ["The course <handbook/README>"]}
    for chapter in course.chapters():
        entry = f"{chapter.number}. {chapter.title} <handbook/{chapter.name}>"
        trees.setdefault(chapter.part, []).append(entry)
    others = [
        link[2].removesuffix(".md") for link in LINK.finditer(front) if link[2] and not link[3]
    ]
    others = dict.fromkeys(name for name in others if not name.startswith("handbook/"))
    trees["Reference"] = ["handbook/glossary", *others]
    return "".join(
        "\n\n```{toctree}\n:hidden:\n" + (f":caption: {part}\n\n" if part else "\n")
        + "\n".join(pages) + "\n```"
        for part, pages in trees.items()
    )  # fmt: skip


def _address(path):
    page = ".html" if path.is_dir() or path.suffix in CODE else ""
    return f"project/{path.relative_to(ROOT).as_posix()}{page}"


def project_files(app):
    """A page for each folder and file of code that is linked; other files are copied."""
    inside = {path for folder in linked if folder.is_dir() for path in folder.iterdir()}
    for path in sorted(linked | {path for path in inside if path.is_file()}):
        name = path.relative_to(ROOT).as_posix()
        if path.is_dir():
            up = "../" * _address(path).count("/")
            files = sorted(file for file in path.iterdir() if file.is_file())
            items = [f'<li><a href="{up}{_address(file)}">{file.name}</a>' for file in files]
            body = f"<ul>{''.join(items)}</ul>"
        elif path.suffix in CODE:
            lexer = get_lexer_for_filename(path.name)
            body = highlight(path.read_text("utf-8"), lexer, HtmlFormatter(linenos="inline"))
        else:
            copy = Path(app.outdir) / _address(path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            continue
        page = {"title": name, "body": f"<h1>{html.escape(name)}</h1>{body}"}
        yield _address(path).removesuffix(".html"), page, "page.html"


def formula(block):
    """What writes a formula's node into a page."""

    def visit(self, node):
        tex, why = node.astext(), "it knows no such command"
        try:
            mathml = convert(tex, display="block" if block else "inline")
        except Exception as error:  # the converter has a class per mistake, and no common one
            mathml, why = "\\", type(error).__name__
        if "\\" in mathml:
            log.warning("no MathML can be made of %s: %s", tex, why, location=node)
        mathml = FUNCTION.sub(r'\g<0><mspace width="0.17em"></mspace>', mathml)
        self.body.append(f'<div class="formula">{mathml}</div>' if block else mathml)
        raise SkipNode

    return visit, None


def style(app, name, template, context, doctree):
    context["metatags"] = context.get("metatags", "") + STYLE


def finish(app, error):
    """Beside the pages: the lessons, and index.html, which opens where a folder is opened."""
    if error is None and app.builder.name == "html":
        out = Path(app.outdir)
        list(save_all(out / "lessons"))
        shutil.copyfile(out / "README.html", out / "index.html")


def setup(app):
    app.connect("source-read", before_reading)
    app.connect("html-collect-pages", project_files)
    app.connect("html-page-context", style)
    app.connect("build-finished", finish)
    app.add_html_math_renderer("mathml", formula(block=False), formula(block=True))
