"""The web page of graphs that are not lessons: odd names, NaN, unrecorded, huge, unwritable."""

import numpy as np
import pytest
from browser import last_step, open_page  # noqa: F401  (a fixture)

import tinynet as tn
import tinynet.nn as nn
from tinynet import stepper
from tinynet.stepper.lessons import LESSONS
from tinynet.stepper.page import save_html


def saved(tmp_path, loss, title=""):
    path = tmp_path / "page.html"
    save_html(loss, path, title)
    return path


def test_names_are_text_not_markup(open_page, tmp_path):  # noqa: F811
    bad = "</script><img src=x onerror=alert(1)>&amp;"
    x = tn.tensor([1.0, 2.0], requires_grad=True)
    with stepper.record():
        loss = (x * x).sum()
    trace = stepper.Trace(loss)
    for node in trace.nodes:
        node.label, node.symbol, node.path = bad, bad, f"{bad}.0"
    page = open_page(saved(tmp_path, trace, bad))
    assert page.title() == bad
    assert page.locator("#title").inner_text() == bad
    page.keyboard.press("ArrowRight")
    assert bad in page.locator("#panel h2").inner_text()
    assert page.locator("img").count() == 0


@pytest.mark.parametrize("part", ["title", "style", "script", "data"])
def test_a_title_that_names_a_part_of_the_template_is_only_a_title(open_page, tmp_path, part):  # noqa: F811
    title = f"how {{{{{part}}}}} flows"
    page = open_page(saved(tmp_path, LESSONS["shared"].build(), title))
    assert page.title() == page.locator("#title").inner_text() == title
    assert last_step(page) > 0


def test_nan_and_infinity(open_page, tmp_path):  # noqa: F811
    x = tn.tensor([0.0, -1.0, 1.0], requires_grad=True)
    with np.errstate(all="ignore"), stepper.record():
        y = x.log()
        loss = y.sum()
    page = open_page(saved(tmp_path, loss))
    page.keyboard.press("ArrowRight")
    assert page.locator(".badge").all_inner_texts() == ["1 NaN", "1 Inf"]
    page.keyboard.press("End")
    assert page.locator("#panel").inner_text().count("∞") > 0


def test_a_graph_that_was_not_recorded(open_page, tmp_path):  # noqa: F811
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    loss = model(tn.ones(1, 1, 4, 4)).sum()
    page = open_page(saved(tmp_path, loss))
    assert "not recorded" in page.locator("#notice").inner_text()
    page.keyboard.press("End")
    assert page.locator(".card.complete").count() >= 3
    page.keyboard.press("Home")
    for _ in range(last_step(page)):
        page.keyboard.press("ArrowRight")


def test_ten_thousand_ops(open_page, tmp_path):  # noqa: F811
    x = tn.tensor(1.0, requires_grad=True)
    with stepper.record():
        y = x
        for _ in range(5000):
            y = y * 0.999 + x
    path = saved(tmp_path, y)
    assert path.stat().st_size < 5_000_000
    page = open_page(path)
    assert page.locator(".card").count() < 60
    page.keyboard.press("End")
    assert "20,001" in page.locator("#now").inner_text().replace("20001", "20,001")
    assert page.locator("[data-id=n0] .line2").text_content().startswith("gradient")
    page.locator("#table-toggle").click()
    assert page.locator("table.steps tbody tr").count() <= 200


def test_large_tensors_are_sampled_and_the_page_says_so(open_page, tmp_path):  # noqa: F811
    x = tn.tensor(np.arange(90_000.0).reshape(300, 300), requires_grad=True)
    with stepper.record():
        loss = (x * x).sum()
    path = saved(tmp_path, loss)
    assert path.stat().st_size < 1_000_000
    page = open_page(path)
    page.keyboard.press("ArrowRight")
    text = page.locator("#panel").inner_text()
    assert "A corner of this tensor is shown" in text
    assert "of 90,000" in text


@pytest.mark.parametrize("path", ["no/such/folder/page.html", "."])
def test_an_unwritable_path(tmp_path, path):
    loss = LESSONS["shared"].build()
    with pytest.raises(OSError, match="cannot write .* choose"):
        save_html(loss, tmp_path / path)
    assert list(tmp_path.iterdir()) == []
