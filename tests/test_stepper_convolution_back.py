"""The convolution's backward as pictures, and the multiply-adds at MobileNet's real sizes."""

import numpy as np
import pytest
from browser import last_step, open_page  # noqa: F401  (a fixture)

import mobilenet
import tinynet as tn
import tinynet.nn.functional as F
from tinynet import stepper
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


def test_the_costs_at_real_sizes_are_those_of_mobilenet(closeup):
    page, *_ = closeup("pointwise")
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


@pytest.mark.parametrize("kind", ["flipped", "correlate", "costs"])
def test_no_sideways_scroll_on_a_phone(closeup, kind):
    page, *_ = closeup("standard", width=390, height=844)
    page.locator(f"#page-{kind}").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("document.getElementById('closeup').scrollWidth") <= 390
