"""The web page: one HTML file that steps through a graph, forward and back, in any browser."""

import html
from pathlib import Path

from tinynet.files import atomic_write
from tinynet.pages import DOM, as_json, filled
from tinynet.stepper.page.data import Details, page_data
from tinynet.stepper.trace import Trace

PARTS = Path(__file__).with_name("assets")
SCRIPTS = (  # in this order; each makes one object, named as its file, that the later ones use
    *("data", "timeline", "state", "view", "flags"),
    *("tensors", "elementwise", "rows", "spatial", "engine", "made", "live", "edits"),
    *("folding", "layout", "edges", "cards", "graph", "numerals", "heatmap", "edit", "grab"),
    *("windows", "slide", "im2col", "touches", "mobilenet", "costs"),
    *("flipped", "correlate", "convolution", "batchnorm", "star", "clipped", "labels", "flow"),
    *("chain", "panel", "quiz", "table", "expressions", "guide", "notes", "main"),
)
STYLES = ("style", "graph", "panel", "closeup", "guide", "edit", "narrow")
LIMIT = 4_800_000  # bytes of a page
CELLS = (1024, 512, 256, 128, 64, 16, 4)  # shown per tensor: fewer until the page fits


def save_html(loss, path, title="", guide=None):
    """Write a page that steps through the graph of `loss`: one file, under 5 MB, with no network.

    Args:
        loss: a Tensor of one element made inside `stepper.record()`, or its `Trace`. Without
            `record()` the page has the graph and the gradients, but neither values nor rules with
            numbers put in.
        path: the file to write. title: a heading. guide: a lesson's text beside the steps, as
            `lessons.page_guide` makes it.

    Raises ValueError for a graph that `Trace` refuses or of too many ops, OSError for a path
    that cannot be written.
    """
    text = page_text(loss, title, guide=guide)
    with atomic_write(path, "w") as file:
        file.write(text)


def page_text(loss, title="", what="save_html", guide=None):
    """The page that `save_html` writes, as a string. Raises ValueError in the name of `what`."""
    trace = loss if isinstance(loss, Trace) else Trace(loss)
    details = Details(trace)
    for cells in CELLS:
        text = _page(page_data(trace, details, title, cells), title, guide)
        if len(text) < LIMIT:  # all of the data is ASCII
            return text
    raise ValueError(
        f"{what}: a graph of {len(trace.steps)} ops does not fit into a page of 5 MB; take the "
        f"loss of a smaller network or of fewer steps in time"
    )


def _page(data, title, guide):
    return filled(
        (PARTS / "template.html").read_text("utf-8"),
        title=html.escape(title or "Backprop, step by step"),
        style=_joined(STYLES, "css"),
        script=DOM + _joined(SCRIPTS, "js"),
        data=as_json(data),
        guide=as_json(guide),
    )


def _joined(names, kind):
    return "\n".join((PARTS / f"{name}.{kind}").read_text("utf-8") for name in names)
