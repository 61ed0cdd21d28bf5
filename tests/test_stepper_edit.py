"""Changing values on the page: every number that follows against the same graph made in Python."""

import json

import numpy as np
import pytest
from browser import open_page  # noqa: F401  (a fixture)

import tinynet as tn
import tinynet.nn.functional as F
from tinynet import stepper
from tinynet.pages import as_json
from tinynet.stepper.lessons import LESSONS
from tinynet.stepper.page import save_html
from tinynet.stepper.page.data import Details, page_data


def numbers(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


LEAVES = {
    "image": numbers(0, 2, 2, 3, 3),
    "kernel": numbers(1, 3, 2, 2, 2),
    "scale": numbers(2, 3) + 2,
    "shift": numbers(3, 3) + 1,
    "filters": numbers(4, 3, 1, 2, 2),
    "matrix": numbers(5, 3, 3),
    "labels": np.array([2, 0]),
}


def network(leaves):
    """The loss of a network with one of most ops; `kernel` is used twice."""
    leaf = {k: tn.Tensor(v, requires_grad=v.dtype == np.float64) for k, v in leaves.items()}
    image, kernel, scale, shift, filters, matrix, labels = leaf.values()
    with stepper.record():
        y = F.conv2d(image, kernel, padding=1)
        y = F.relu6(F.batch_norm(y, None, None, scale, shift, training=True) * 3)
        y = F.conv2d(y, filters, groups=3, stride=2).clamp(-1, 4)
        logits = F.linear(F.adaptive_avg_pool2d(y, 1).flatten(1), matrix)
        return F.cross_entropy(logits, labels, label_smoothing=0.1) + (kernel * kernel).sum() / 50


def given(trace):
    """What the page is given of a trace."""
    return json.loads(as_json(page_data(trace, Details(trace), "", 1024)))


def changed(**changes):
    """The leaves with some elements changed: kernel={7: 0.5}."""
    leaves = {name: value.copy() for name, value in LEAVES.items()}
    for name, elements in changes.items():
        for place, value in elements.items():
            leaves[name].flat[place] = value
    return leaves


def node_of(trace, name):
    return next(n for n in trace.nodes if name in (n.name, n.label))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    trace = stepper.Trace(network(LEAVES))
    path = tmp_path_factory.mktemp("edit") / "page.html"
    save_html(trace, path)
    return path, trace


@pytest.fixture
def edited(made, open_page):  # noqa: F811
    """edited(edits="") -> the page with these edits in its address."""
    return lambda edits="": open_page(f"{made[0].as_uri()}#step=0&edit={edits}")


def loss_of(page):
    return float(page.locator("#edit-loss").get_attribute("data-loss"))


def alike(got, expected, where, rounding):
    """Numbers equal to what the page's rounding leaves; the same lists and keys."""
    if isinstance(expected, dict):
        for key in expected.keys() | got.keys():
            if key in ("error", "verdict", "reason") or key not in expected:
                continue  # noise; and what the page can work out itself is left out there
            if key == "made":  # sentences that the page cannot make: none is better than an old one
                assert "made" not in got
                continue
            alike(got[key], expected[key], f"{where}.{key}", rounding)
    elif isinstance(expected, list):
        assert len(got) == len(expected), where
        for i, pair in enumerate(zip(got, expected, strict=True)):
            alike(*pair, f"{where}[{i}]", rounding)
    elif isinstance(expected, int | float) and not isinstance(expected, bool):
        tolerance = 2e-5 if ".fd" in where else rounding
        assert abs(float(got) - expected) <= tolerance * max(1, abs(expected)), where
    else:
        assert got == expected, where


def holds(shown, expected):
    """Whether all that is given is shown; the page has more digits of what it works out itself."""
    if isinstance(expected, dict):
        for key in expected.keys() & {"nodes", "steps", *shown}:
            holds(shown[key], expected[key])
    elif isinstance(expected, list):
        assert len(shown) == len(expected)
        for pair in zip(shown, expected, strict=True):
            holds(*pair)
    elif isinstance(expected, float):
        assert shown == pytest.approx(expected, rel=6e-5)
    else:
        assert shown == expected


SHOWN = """() => JSON.parse(JSON.stringify({
  nodes: data.nodes.map(({value, grad, elements, clip, labels}) =>
    ({value, grad, elements, clip, labels})),
  steps: data.steps.map(({gifts, batchnorm}) => ({gifts, batchnorm})),
}))"""


@pytest.mark.parametrize("changes", [
    {"kernel": {7: 0.5, 20: -1.25}},
    {"image": {5: 3.0}, "scale": {1: -0.5}, "labels": {0: 1}},
], ids=["weights", "a pixel, a scale and a label"])  # fmt: skip
def test_all_numbers_that_follow_are_those_of_python(made, edited, changes):
    _, trace = made
    numbers_of = {
        name: node_of(trace, "SoftmaxCrossEntropy" if name == "labels" else name).number
        for name in LEAVES
    }
    edits = ",".join(
        f"{numbers_of[name]}.{place}:{value}"
        for name, elements in changes.items()
        for place, value in elements.items()
    )
    page = edited(edits)
    shown = page.evaluate(SHOWN)
    other = stepper.Trace(network(changed(**changes)))
    expected = given(other)
    np.testing.assert_allclose(loss_of(page), other.loss.value, 1e-12)
    for kind, keys in {
        "nodes": ("value", "grad", "elements", "clip", "labels"),
        "steps": ("gifts", "batchnorm"),
    }.items():
        for i, entry in enumerate(expected[kind]):
            for key in keys:
                if key in entry:
                    alike(shown[kind][i][key], entry[key], f"{kind}[{i}].{key}", 6e-5)
    page.locator("#edit-reset").click()
    holds(page.evaluate(SHOWN), given(trace))


def test_sizes_of_gradients_follow(made, edited):
    """max|g| on the cards, on which flags and the common colour scale rest."""
    number = node_of(made[1], "image").number
    page = edited(f"{number}.5:300")
    after = stepper.Trace(network(changed(image={5: 300.0})))
    for trace in (after, made[1]):
        if trace is made[1]:
            page.locator("#edit-reset").click()
        sizes = page.evaluate("flags.sizeOf")
        expected = {n: float(np.abs(g).max()) for n, g in trace.gradients.items()}
        for n, size in expected.items():
            assert sizes[n] == pytest.approx(size, rel=1e-4, abs=1e-12)
        shared = [n for n in trace.nodes if n.number in expected and n.shape]
        top = max(expected[n.number] for n in shared if n.kind != "parameter")
        assert page.evaluate("flags.top") == pytest.approx(top, rel=1e-4)


def test_gradient_descent_is_that_of_python(made, edited):
    page = edited()
    page.locator("#edit-toggle").click()
    page.locator("#edit-rate").fill("0.05")
    leaves, losses = changed(), []
    for _ in range(4):
        trace = stepper.Trace(network(leaves))
        losses.append(float(trace.loss.value))
        for name in LEAVES:
            if name != "labels":
                leaves[name] -= 0.05 * trace.gradient(node_of(trace, name))
    for loss in losses:
        np.testing.assert_allclose(loss_of(page), loss, 1e-12)
        page.locator("#edit-descend").click()
    assert "edit=step:0.05*4" in page.evaluate("location.hash")
    page.locator("#edit-undo").click()
    np.testing.assert_allclose(loss_of(page), losses[3], 1e-12)
    page.reload()
    np.testing.assert_allclose(loss_of(page), losses[3], 1e-12)
    page.locator("#edit-rate").fill("fast")
    page.locator("#edit-descend").click()
    assert page.locator("#edit-told").inner_text() == "Type a learning rate, such as 0.1."
    np.testing.assert_allclose(loss_of(page), losses[3], 1e-12)


def python_loss(**changes):
    return float(stepper.Trace(network(changed(**changes))).loss.value)


def test_typing_clicking_dragging_and_undo(made, edited):
    page, scale = edited(), node_of(made[1], "scale").number
    page.locator("#edit-toggle").click()
    page.locator("#edit-tensor").select_option(label="scale (3)")
    page.locator("#edit-element").select_option("2")
    page.locator("#edit-value").fill("1/4")
    page.locator("#edit-value").press("Enter")
    np.testing.assert_allclose(loss_of(page), python_loss(scale={2: 0.25}), 1e-12)

    cell = page.locator('[data-edit] [data-at="1"]')
    box = cell.bounding_box()
    x, y = box["x"] + 5, box["y"] + 5
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 31, y, steps=4)
    page.mouse.up()
    value = float(page.locator("#edit-value").input_value())
    assert value == round(value, 1) or value == round(value, 2)
    assert value > LEAVES["scale"][1]
    expected = python_loss(scale={2: 0.25, 1: value})
    np.testing.assert_allclose(loss_of(page), expected, 1e-12)
    assert page.evaluate("state.edits") == f"{scale}.2:0.25,{scale}.1:{value:g}"

    page.locator('[data-edit] [data-at="0"]').click()
    assert page.locator("#edit-element").input_value() == "0"
    page.locator("[data-edit]").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("-")  # the value is typed over
    page.keyboard.type("2e0")
    page.keyboard.press("Enter")
    np.testing.assert_allclose(loss_of(page), python_loss(scale={2: 0.25, 1: -2}), 1e-12)
    page.keyboard.press("ArrowUp")
    assert float(page.locator("#edit-value").input_value()) > -2

    page.locator("#edit-tensor").focus()
    page.keyboard.press("Control+z")
    page.locator("#edit-undo").click()
    assert loss_of(page) == pytest.approx(python_loss(), rel=1e-12)
    assert page.locator("#edit-undo").is_disabled()


@pytest.mark.parametrize(("text", "told"), [
    ("much", "Type a number, such as 0.25, -1e-3 or 1/3."),
    ("1/0", "Type a number, such as 0.25, -1e-3 or 1/3."),
])  # fmt: skip
def test_what_is_no_number_is_refused(edited, text, told):
    page = edited()
    page.locator("#edit-toggle").click()
    page.locator("#edit-tensor").select_option(label="shift (3)")
    page.locator("#edit-value").fill(text)
    page.locator("#edit-value").press("Enter")
    assert page.locator("#edit-told").inner_text() == told
    assert page.evaluate("state.edits") == ""


def test_a_label_is_changed(made, edited):
    page = edited()
    page.locator("#edit-toggle").click()
    page.locator("#edit-tensor").select_option(label="labels (2)")
    page.locator("#edit-label-1").select_option("1")
    np.testing.assert_allclose(loss_of(page), python_loss(labels={1: 1}), 1e-12)


@pytest.mark.parametrize(
    "part", ["99.0:1", "0.999:1", "0.0:x", "step:0.1*0", "step:1*99999", "{0}.0:1.5"]
)
def test_a_link_that_does_not_fit_says_so(made, edited, part):
    part = part.format(node_of(made[1], "SoftmaxCrossEntropy").number)
    scale = node_of(made[1], "scale").number
    page = edited(f"{scale}.0:1,{part}")
    assert page.locator("#edit-told").inner_text() == (
        f"Left out, as it does not fit this graph: {part}."
    )
    np.testing.assert_allclose(loss_of(page), python_loss(scale={0: 1}), 1e-12)


def test_the_quiz_asks_by_the_new_numbers(open_page, tmp_path):  # noqa: F811
    loss = LESSONS["linear"].build()
    save_html(loss, tmp_path / "linear.html")
    page = open_page(f"{(tmp_path / 'linear.html').as_uri()}#step=9&edit=0.0:5")
    page.locator("#quiz-toggle").click()
    truth = page.evaluate("state.secret.truth")
    page.locator("#edit-tensor").select_option(label="target (2, 2)")
    page.locator("#edit-value").fill("9")
    page.locator("#edit-value").press("Enter")
    now = page.evaluate("state.secret.truth")
    assert now != truth
    page.locator("#answer").fill(str(now))
    page.locator("#answer").press("Enter")
    assert page.locator("#verdict").inner_text().startswith("Right")


def test_where_nothing_can_be_changed_the_page_says_why(open_page, tmp_path):  # noqa: F811
    big = tn.Tensor(np.ones((150, 150)), requires_grad=True)
    with stepper.record():
        loss = (big * 2).sum()
    save_html(loss, tmp_path / "big.html")
    page = open_page(tmp_path / "big.html")
    page.locator("#edit-toggle").click()
    assert (
        page.locator("#edit")
        .inner_text()
        .startswith("Values cannot be changed here: this graph holds 45,0")
    )
    assert page.locator("[data-edit]").count() == 0


@pytest.mark.parametrize("name", ["conv", "cross-entropy"])
def test_no_sideways_scroll_on_a_phone_while_editing(open_page, tmp_path, name):  # noqa: F811
    save_html(LESSONS[name].build(), tmp_path / "page.html")
    page = open_page(tmp_path / "page.html", 390, 844)
    page.locator("#edit-toggle").click()
    page.locator("#edit-descend").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
