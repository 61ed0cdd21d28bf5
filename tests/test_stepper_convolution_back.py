"""The convolution's backward as pictures, and the multiply-adds at MobileNet's real sizes."""

import re
import sys

import numpy as np
import pytest
from browser import last_step, open_page, small_texts  # noqa: F401  (a fixture)

import mobilenet
import tinynet as tn
import tinynet.nn.functional as F
from tinynet import stepper
from tinynet.stepper.lessons import LESSONS
from tinynet.stepper.lessons.pages import save_lesson
from tinynet.stepper.page import save_html
from tinynet.summary import summary

LAYERS = {
    "standard": ((2, 2, 4, 5), (3, 2, 3, 3), {"padding": 1}),
    "strided": ((1, 2, 5, 6), (2, 2, 3, 2), {"stride": 2, "padding": (1, 0)}),
    "dilated": ((1, 1, 6, 6), (1, 1, 2, 3), {"dilation": 2, "padding": 3}),
    "grouped": ((1, 4, 4, 4), (4, 2, 2, 2), {"groups": 2}),
    "depthwise": ((1, 2, 4, 4), (4, 1, 3, 3), {"groups": 2, "padding": 1}),
    "pointwise": ((2, 3, 3, 3), (2, 3, 1, 1), {}),
}


def layer(x_shape, weight_shape, options):
    draw = np.random.default_rng(3).standard_normal
    x = tn.Tensor(draw(x_shape), requires_grad=True)
    weight = tn.Tensor(draw(weight_shape), requires_grad=True)
    with stepper.record():
        y = F.conv2d(x, weight, **options)
        return (y * y).sum()


@pytest.fixture
def closeup(open_page, tmp_path):  # noqa: F811
    """closeup(name) -> (the page at its last step with the close-up open, gx, gweight)"""

    def opened(name, **options):
        trace = stepper.Trace(layer(*LAYERS[name]))
        save_html(trace, tmp_path / "page.html")
        page = open_page(tmp_path / "page.html", **options)
        page.keyboard.press("End")
        page.locator("#open-closeup").click()
        return page, *(trace.gradient(trace.nodes[i]) for i in range(2))

    return opened


def walked(page, kind, count):
    """The sums along a walk over the first plane."""
    page.evaluate(f"document.getElementById('page-{kind}').click()")
    name = {"flipped": "flip", "correlate": "correlate"}[kind]
    return page.evaluate(
        """([name, count]) => {
          const press = (way) => document.getElementById(`${name}-${way}`).click();
          for (let k = 0; k < count; k++) press("back");
          return Array.from({length: count}, () => {
            const sum = Number(document.getElementById(`${name}-sum`).dataset.value);
            press("on");
            return sum;
          });
        }""",
        [name, count],
    )


@pytest.mark.parametrize("name", LAYERS)
def test_the_turned_kernel_gives_gx_and_gy_over_x_gives_gweight(closeup, name):
    page, gx, gw = closeup(name)
    np.testing.assert_allclose(walked(page, "flipped", gx[0, 0].size), gx[0, 0].ravel(), 1e-12)
    np.testing.assert_allclose(walked(page, "correlate", gw[0, 0].size), gw[0, 0].ravel(), 1e-12)


def test_before_its_step_nothing_is_told(closeup):
    page, *_ = closeup("standard")
    page.keyboard.press("Escape")
    page.keyboard.press("Home")
    page.evaluate("location.hash = 'step=1'")
    page.locator("#open-closeup").click()
    page.locator("#page-flipped").click()
    assert "gx is not known yet" in page.locator("#closeup .page").inner_text()
    page.locator("#go-back").click()
    assert page.locator("#flip-sum").count() == 1


def test_the_costs_at_real_sizes_are_those_of_mobilenet(open_page, tmp_path):  # noqa: F811
    save_lesson(LESSONS["pointwise"], tmp_path / "page.html")
    page = open_page(f"{(tmp_path / 'page.html').as_uri()}#step=1")
    page.locator("#open-closeup").click()
    page.locator("#page-costs").click()
    counted = summary(mobilenet.build("paper", 1000), (3, 224, 224))
    kinds = {}
    for row in counted.rows:
        kinds[row.kind] = kinds.get(row.kind, 0) + row.mult_adds
    parts = page.evaluate("mobilenet.parts()")
    assert parts["stem"] == kinds["convolution"]
    assert {kind: parts[kind] for kind in parts if kind != "stem"} == {
        kind: kinds[kind] for kind in parts if kind != "stem"
    }
    text = page.locator("#real-shares").inner_text()
    assert f"{counted.mult_adds:,}" in text
    assert f"{100 * kinds['pointwise'] / counted.mult_adds:.1f} %" in text
    page.locator("#real-block").select_option("12")
    adds = [int(e.get_attribute("data-real")) for e in page.locator("[data-real]").all()]
    assert adds == [9 * 1024 * 1024 * 49, 9 * 1024 * 49, 1024 * 1024 * 49]


def test_a_graph_of_ones_own_has_its_own_costs_alone(closeup):
    page, *_ = closeup("pointwise")
    page.locator("#page-costs").click()
    assert page.locator("[data-adds]").count() == 3
    assert page.locator("#real-shares").count() == 0


def test_a_lesson_elsewhere_has_no_table_of_mobilenet(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mobilenet", None)  # as if it could not be found
    save_lesson(LESSONS["pointwise"], tmp_path / "page.html")
    assert '"network":null' in (tmp_path / "page.html").read_text().replace(" ", "")


PAGES = ["slide", "costs", "im2col", "touches", "flipped", "correlate"]


@pytest.mark.parametrize("groups", [1, 2])
def test_up_close_all_is_called_as_in_the_graph(open_page, tmp_path, groups):  # noqa: F811
    draw = np.random.default_rng(4).standard_normal
    photo = tn.Tensor(draw((1, 2, 4, 4)), requires_grad=True)
    kernel = tn.Tensor(draw((4, 2 // groups, 3, 3)), requires_grad=True)
    offset = tn.Tensor(draw(4), requires_grad=True)
    with stepper.record():
        features = F.conv2d(photo, kernel, offset, padding=1, groups=groups)
        loss = (features * features).sum()
    save_html(loss, tmp_path / "page.html")
    page = open_page(tmp_path / "page.html")
    page.keyboard.press("End")
    page.locator("#open-closeup").click()
    said = {}
    for name in PAGES:
        page.locator(f"#page-{name}").click()
        labels = page.evaluate(
            "[...document.querySelectorAll('#closeup [aria-label]')].map((e) => e.ariaLabel)"
        )
        said[name] = " ".join([page.locator("#closeup").inner_text(), *labels])
        foreign = r"\b(?:g?[xyw]|gweight|gbias|X|Y|W)\b|\b(?:weight|bias)\[|^bias\b"
        assert re.findall(foreign, said[name], re.M) == [], said[name]
        assert "gphoto: turned kernel" in said[name] and "gkernel" in said[name]
    assert "features[0, 0, 0, 0] = " in said["slide"] and "photo · kernel" in said["slide"]
    assert "gfeatures · slope" in said["touches"]
    assert "gphoto[0, 0, 1, 1] = " in said["flipped"] and "gfeatures · kernel" in said["flipped"]
    assert "gkernel[0, 0, 0, 0] = " in said["correlate"]


@pytest.mark.parametrize("name", ["conv", "depthwise", "pointwise", "mobilenet"])
def test_up_close_no_text_is_small_in_a_lecture(open_page, tmp_path, name):  # noqa: F811
    save_html(LESSONS[name].build(), tmp_path / "page.html")
    page = open_page(tmp_path / "page.html", width=1024, height=768)
    page.evaluate("""() => {
      convolution.open(data.nodes.find((node) => node.conv));
      state.go(timeline.frames.length - 1);
    }""")
    numbers = {}
    for lecture in (False, True):
        if lecture:
            page.evaluate("view.toggle()")
        for part in PAGES:
            page.locator(f"#page-{part}").click()
            small = small_texts(page, 20, "closeup")
            assert bool(small) != lecture, small
            numbers[part, lecture] = page.locator("#closeup .plane .number").count()
            assert page.locator("#closeup").evaluate("e => e.scrollWidth <= e.clientWidth")
    if name != "mobilenet":  # whose planes are too large for numbers of that size
        assert all(numbers[part, True] for part in ("slide", "touches", "flipped", "correlate"))


@pytest.mark.parametrize("kind", ["flipped", "correlate", "costs"])
def test_no_sideways_scroll_on_a_phone(closeup, kind):
    page, *_ = closeup("standard", width=390, height=844)
    page.locator(f"#page-{kind}").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("document.getElementById('closeup').scrollWidth") <= 390
