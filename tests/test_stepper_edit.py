"""Changing values on the page: every number that follows against the same graph made in Python."""

import json
import re

import numpy as np
import pytest
from browser import open_page  # noqa: F401  (a fixture)
from sentences import NUMBER

import tinynet as tn
import tinynet.nn.functional as F
from tinynet import stepper
from tinynet.pages import as_json
from tinynet.stepper import Trace
from tinynet.stepper.examples import made as sentences_of
from tinynet.stepper.lessons import LESSONS, Guide, tensors
from tinynet.stepper.lessons.pages import save_lesson
from tinynet.stepper.numbers import Replay
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


SENTENCES = """() => data.nodes.map((node) => node.isOp && node.elements.map((e) => e.made))"""


def compare_sentences(shown, trace):
    """How each element that can be chosen came about: the same words as Python's, and numbers
    alike. Returns how many sentences were compared."""
    replay, details, count = Replay(trace), Details(trace), 0
    for node in trace.nodes:
        node.value = replay.values[node.number]
    for node in trace.nodes:
        if not node.op or node.number not in details.elements:
            continue
        for said, index in zip(shown[node.number], details.elements[node.number], strict=True):
            expected = "\n".join(sentences_of(replay, node, index, 6))
            said = re.sub(r"(?<=\d), (?=[\d, ]+\])", ",", said.replace("∞", "inf"))
            assert re.sub(NUMBER, "#", said) == re.sub(NUMBER, "#", expected), (said, expected)
            numbers = [[float(n) for n in re.findall(NUMBER, t)] for t in (said, expected)]
            np.testing.assert_allclose(*numbers, rtol=2e-5, atol=1e-9, err_msg=expected)
            count += 1
    return count


def edit_leaves(trace):
    """Changes an element or two of every leaf that may be, and each label; gives it as an address
    has it."""
    edits, draw = [], np.random.default_rng(7)
    for node in trace.nodes:
        if node.op is None and node.value.size and node.value.dtype.kind == "f":
            for place in {0, node.value.size - 1}:
                value = round(float(draw.uniform(-2, 2)), 2)
                node.value.flat[place] = value
                edits.append(f"{node.number}.{place}:{value:g}")
        elif node.name == "SoftmaxCrossEntropy" and node.op.target.ndim == 1:
            target = node.options["target"] = node.options["target"].copy()
            target[0] = 1 - min(target[0], 1)
            edits.append(f"{node.number}.0:{target[0]}")
    return ",".join(edits)


SHOWN_LESSONS = [
    *("shared", "broadcasting", "linear", "batchnorm", "pooling", "cross-entropy"),
    *("double-softmax", "depthwise", "residual", "separable", "vanishing"),
]


@pytest.mark.parametrize("name", SHOWN_LESSONS)
def test_how_a_value_came_about_is_said_as_in_python(open_page, tmp_path, name):  # noqa: F811
    trace = stepper.Trace(LESSONS[name].build())
    save_html(trace, tmp_path / "page.html")
    page = open_page(tmp_path / "page.html")
    before = page.evaluate(SENTENCES)
    assert compare_sentences(before, trace) > 1
    page.goto(f"{(tmp_path / 'page.html').as_uri()}#step=1&edit={edit_leaves(trace)}")
    assert page.locator("#edit-told").inner_text() == ""
    after = page.evaluate(SENTENCES)
    compare_sentences(after, trace)
    assert after != before
    op = next(node for node in trace.nodes if node.op)
    page.evaluate("(n) => {state.select(n); state.go(99); state.select(n)}", op.number)
    page.locator("#panel summary", has_text="Rule").click()
    line = page.locator("#panel .rule.forward code").last.inner_text()
    assert line == after[op.number][0]


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


def test_where_the_first_nan_is_made_follows(open_page, tmp_path):  # noqa: F811
    """After each change the page names the ops that Python names for the same graph."""

    def graph(values, factor):
        x = tn.Tensor(np.array(values), requires_grad=True)
        with np.errstate(all="ignore"), stepper.record():
            roots = x.sqrt()
            logs = roots.log()
            return (logs * tn.Tensor(np.array(factor))).sum()

    save_html(graph([4.0, 9.0], 1.0), tmp_path / "page.html")
    page = open_page(tmp_path / "page.html")
    assert not page.locator("#first-bad").is_visible()
    found = set()
    for values, factor in [([4, 0], 1), ([-1, 9], 1), ([4, 9], 1e308), ([1e-300, 9], 1e200)]:
        with np.errstate(all="ignore"):
            trace = stepper.Trace(graph(list(map(float, values)), factor))
        constant = next(n.number for n in trace.nodes if n.kind == "constant")
        edits = f"0.0:{values[0]},0.1:{values[1]},{constant}.0:{factor}".replace("+", "")
        page.goto(f"{(tmp_path / 'page.html').as_uri()}#step=0&edit={edits}")
        page.wait_for_function("(edits) => state.edits === edits", arg=edits)
        node, step = trace.first_not_finite
        said = page.locator("#first-bad").text_content()
        named = [
            re.search(rf"made {where} (.+?), step", said) for where in ("in", "by the backward of")
        ]
        expected = [part and part.title for part in (node, step and step.node)]
        assert [match and match[1] for match in named] == expected
        found.add(tuple(expected))
        marked = page.locator(".card:has(.first-bad)").evaluate_all(
            "all => all.map((one) => one.dataset.id)"
        )
        assert set(marked) == {f"n{n.number}" for n in (node, step and step.node) if n}
    assert len(found) > 2
    page.evaluate("edits.reset()")
    assert not page.locator("#first-bad").is_visible()
    assert page.locator(".first-bad").count() == 0


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


def test_a_text_that_would_not_be_true_keeps_the_lessons_own_numbers(open_page, tmp_path):  # noqa: F811
    save_lesson(LESSONS["vanishing"], tmp_path / "page.html")
    page = open_page(f"{(tmp_path / 'page.html').as_uri()}#step=9")
    asks = "timeline.frames.findIndex((_, n) => guide.told(n).ask)"
    note = page.locator("#guide .changed")
    assert note.count() == 0
    page.evaluate(f"state.go({asks} - 1)")
    assert page.locator("#prediction").count() == 1
    page.evaluate("edits.set(data.nodes.find((node) => node.name === 'factor'), 0, 0.5)")
    assert note.inner_text() == (
        "You have changed values: some words would not be true of them, "
        "so the text keeps the lesson's own numbers."
    )
    assert page.locator("#prediction").count() == 0
    page.locator("#next").click()
    assert note.count() == 1 and page.locator("#guide .verdict").count() == 0
    page.locator("#edit-undo").click()
    assert note.count() == 0 and page.locator("#guide .verdict").count() == 1


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


def rebuilt(lesson, place, by):
    """(the lesson's graph with element `place` of its first leaf moved, that leaf's node)."""
    first = []

    def leaf(*given):
        made = tensors.leaf(*given)
        if not first:
            made.array.flat[place] += by
            first.append(made.array)
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(lesson.build.__globals__, "leaf", leaf)
        trace = Trace(lesson.build())
    value = first[0]
    return trace, next(n for n in trace.nodes if n.op is None and np.array_equal(n.value, value))


FOLLOWING = [lesson for lesson in LESSONS.values() if lesson.name != "mobilenet"]
TELL = """edit => {
  state.edit(edit);
  return timeline.frames.map((_, number) => {
    const {text, note, ask} = guide.told(number);
    return [text, note, ask && ask.question, ask && ask.answer, ask && ask.why];
  }).concat([[guide.summary(), get_note()]]);
  function get_note() { state.go(0); return document.querySelector("#guide .changed").innerText; }
}"""


@pytest.mark.parametrize("lesson", FOLLOWING, ids=lambda lesson: lesson.name)
def test_a_lessons_text_follows_what_is_changed(open_page, tmp_path, lesson):  # noqa: F811
    save_lesson(lesson, tmp_path / "page.html")
    page = open_page(tmp_path / "page.html")
    size = rebuilt(lesson, 0, 0)[1].value.size
    for place, by in ((0, 0.25), (1, -0.125), (2, 40)):
        if place >= size:
            break
        trace, leaf = rebuilt(lesson, place, by)
        guide = Guide(lesson, trace)
        edit = f"{leaf.number}.{place}:{float(leaf.value.flat[place])}"
        *told, (summary, note) = page.evaluate(TELL, edit)
        follows = all(guide.words.evaluated(claim) for claim in lesson.claims)
        assert ("follow" in note) == follows, (place, note)
        assert follows or place  # a small change of the first element makes no claim false
        own = guide if follows else Guide(lesson, Trace(lesson.build()))
        expected = [entry for moment, entry in own.told().items() if moment != "end"]
        for shown, entry in zip(told, expected, strict=True):
            ask = entry.get("ask", {})
            same(shown[:2], [entry.get("text"), entry.get("note")])
            same(shown[2:], [ask.get(key) for key in ("question", "answer", "why")])
        same([summary], [own.summary()])


def same(shown, expected):
    """The same words, and numbers equal but for the last of their digits."""
    for one, other in zip(shown, expected, strict=True):
        assert (one is None) == (other is None)
        if one is None:
            continue
        one, other = str(one), str(other)
        assert re.sub(NUMBER, "#", one) == re.sub(NUMBER, "#", other)
        pairs = zip(re.findall(NUMBER, one), re.findall(NUMBER, other), strict=True)
        for a, b in pairs:
            a, b = (float(str(x).replace(",", "")) for x in (a, b))
            assert abs(a - b) <= 2e-3 * max(abs(a), abs(b)) + 1e-9, (one, other)
