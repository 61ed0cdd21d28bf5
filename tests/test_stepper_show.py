"""`stepper.show` in a notebook: a kernel runs the cell, and what it shows comes up in a browser."""

import html
import importlib.util
import json
from pathlib import Path

import pytest
from browser import open_page  # noqa: F401  (a fixture)
from needs import lacking

from tinynet import stepper
from tinynet.stepper.lessons import LESSONS

CELL = """
import tinynet as tn
from tinynet import stepper
a = tn.tensor(3.0, requires_grad=True)
with stepper.record():
    b = a + a
    c = b + b
stepper.show(c, title="<b>& \\"twice\\"</b>", height=600)
"""
# What a notebook's front end does with the HTML of a cell's result.
NOTEBOOK = """<!doctype html><title>A notebook</title><div id="output"></div>
<script type="application/json" id="html">{}</script>
<script>
window.secret = "the notebook's";
const text = JSON.parse(document.getElementById("html").textContent);
document.getElementById("output").innerHTML = text;
</script>"""


def notebook(path, shown):
    path.write_text(NOTEBOOK.format(json.dumps(shown).replace("<", "\\u003c")), "utf-8")
    return path


@pytest.fixture(scope="module")
def shown():
    """The cell's output as Jupyter's kernel sends it to a front end."""
    for package in ("nbformat", "nbclient", "ipykernel"):
        if not importlib.util.find_spec(package):
            lacking(package, f"pip install {package}")
    import nbclient
    import nbformat

    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(stepper.__file__).parents[2]))
        nbclient.NotebookClient(made, kernel_name="python3", timeout=60).execute()
    (output,) = made.cells[0].outputs
    assert output["output_type"] == "execute_result"
    return output["data"]


def test_a_cell_shows_the_page(shown, tmp_path, open_page):  # noqa: F811
    assert shown["text/plain"].endswith("a notebook shows it>")
    page = open_page(notebook(tmp_path / "notebook.html", shown["text/html"]))
    frame = page.frame_locator("iframe")
    assert frame.locator("#title").inner_text() == '<b>& "twice"</b>'
    assert page.locator("iframe").bounding_box()["height"] == 602  # with its border
    frame.locator("#next").click()
    assert "Step 1 of" in frame.locator("#now").inner_text()
    frame.locator("#panel").press("End")
    inside = page.frames[1]
    last = inside.evaluate("document.getElementById('slider').max")
    assert f"Step {last} of {last}" in frame.locator("#now").inner_text()
    assert inside.url == f"about:srcdoc#step={last}"  # the notebook's address is as it was
    assert page.url.endswith("/notebook.html")


def test_the_frame_reaches_nothing_outside(tmp_path, open_page):  # noqa: F811
    shown = stepper.show(LESSONS["shared"].build())._repr_html_()
    page = open_page(notebook(tmp_path / "notebook.html", shown))
    page.frame_locator("iframe").locator("#next").click()
    inside = page.frames[1]
    assert inside.evaluate("origin") == "null"
    blocked = "(() => { try { return parent.secret } catch (error) { return error.name } })()"
    assert inside.evaluate(blocked) == "SecurityError"


def test_the_skip_link_stays_in_the_frame(tmp_path, open_page):  # noqa: F811
    shown = stepper.show(LESSONS["shared"].build())._repr_html_()
    page = open_page(notebook(tmp_path / "notebook.html", shown))
    frame = page.frame_locator("iframe")
    frame.locator("a.skip").press("Enter")
    assert page.frames[1].url.startswith("about:srcdoc#")
    assert frame.locator("#title").is_visible()


def test_it_is_the_page_that_is_saved(tmp_path):
    trace = stepper.Trace(LESSONS["relu6"].build())
    stepper.save_html(trace, tmp_path / "page.html", title="A title")
    page = stepper.show(trace, "A title")
    assert page.text == (tmp_path / "page.html").read_text("utf-8")
    source = page._repr_html_().partition('srcdoc="')[2].partition('"')[0]
    base = '<head><base href="about:srcdoc">'
    assert html.unescape(source) == page.text.replace("<head>", base, 1)


@pytest.mark.parametrize("height", [0, 199, 5001, "600", 600.0, None])
def test_a_height_that_is_none_is_refused(height):
    with pytest.raises(ValueError, match="show: height must be an integer from 200 to 5000, got"):
        stepper.show(LESSONS["shared"].build(), height=height)


def test_a_graph_that_is_none_is_refused():
    import tinynet as tn

    with pytest.raises(ValueError, match="no graph"):
        stepper.show(tn.tensor(3.0))
