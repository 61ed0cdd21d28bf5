"""The stepper's web page, in a real browser, against NumPy and the trace itself."""

import numpy as np
import pytest
from browser import last_step, open_page  # noqa: F401  (a fixture)

from tinynet import stepper
from tinynet.stepper.lessons import LESSONS
from tinynet.stepper.page import save_html
from tinynet.stepper.page.alive import EVERY


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """files(name) -> (the page of that lesson, its Trace), each made once."""
    folder, made = tmp_path_factory.mktemp("pages"), {}

    def file(name):
        if name not in made:
            trace = stepper.Trace(LESSONS[name].build())
            path = folder / f"{name}.html"
            save_html(trace, path, LESSONS[name].title)
            made[name] = path, trace
        return made[name]

    return file


@pytest.fixture
def lesson(files, open_page):  # noqa: F811
    """lesson(name, step) -> (the open page, the Trace)"""

    def open_lesson(name, step=0, **options):
        path, trace = files(name)
        return open_page(f"{path.as_uri()}#step={step}", **options), trace

    return open_lesson


def step_of(page):
    return int(page.locator("#slider").input_value())


def named(trace, name):
    return next(node for node in trace.nodes if name in (node.label, node.name))


def select(page, node):
    """Go to the node by the address, as a link would."""
    page.evaluate(f"location.hash = 'step={step_of(page)}&node={node.number}'")
    page.wait_for_function(f"state.selected === {node.number}")


def shown_sum(page, section):
    """The number that a section of the panel comes to."""
    return float(
        page.locator("details", has_text=section).locator(".sum").first.get_attribute("data-value")
    )


def card(page, text):
    return page.locator(".card").filter(has_text=text).first


@pytest.mark.parametrize("name", LESSONS)
def test_every_lesson_opens_and_fits(lesson, files, name):
    page, trace = lesson(name)
    assert page.locator("#title").inner_text() == LESSONS[name].title
    assert files(name)[0].stat().st_size < 5_000_000
    ops = len(trace.steps)
    doubled = sum(len(set(s.node.inputs)) < len(s.node.inputs) for s in trace.steps)
    assert last_step(page) == 2 * ops + 1 + doubled
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    assert step_of(page) == last_step(page)
    if name != "mobilenet":
        assert page.locator(".card:not(.complete)").filter(has_not_text="no gradient").count() == 0


def test_the_keys_and_the_address(lesson):
    page, _ = lesson("linear", 3)
    assert step_of(page) == 3
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert step_of(page) == 4
    assert page.evaluate("location.hash") == "#step=4"
    page.keyboard.press("Home")
    assert step_of(page) == 0
    page.keyboard.press("ArrowLeft")
    assert step_of(page) == 0
    page.keyboard.press("End")
    assert step_of(page) == last_step(page)
    page.reload()
    assert step_of(page) == last_step(page)
    page.locator("#previous").click()
    assert step_of(page) == last_step(page) - 1
    page.evaluate("location.hash = 'step=2'")
    page.wait_for_function("document.getElementById('slider').value === '2'")


@pytest.mark.parametrize(("step", "states", "texts"), [
    (0, "value idle idle", "gradient not known yet"),
    (1, "value value idle", "gradient not known yet"),
    (3, "value value complete", "gradient not known yet"),
    (4, "value partial complete", "gradient 1 of 2: 1"),
    (5, "value complete complete", "gradient 2"),
    (6, "partial complete complete", "gradient 2"),
    (7, "complete complete complete", "gradient 2"),
])  # fmt: skip
def test_the_states_of_a_shared_value(lesson, step, states, texts):
    page, _ = lesson("shared", step)
    cards = [page.locator("[data-id=n0]"), card(page, "b = Add"), card(page, "c = Add")]
    for one, kind in zip(cards, states.split(), strict=True):
        assert kind in one.get_attribute("class").split()
    assert cards[1].locator(".line2").text_content() == texts


@pytest.mark.parametrize("name", ["linear", "batchnorm", "conv", "cross-entropy"])
def test_gradients_and_terms_are_those_of_the_trace(lesson, name):
    page, trace = lesson(name)
    page.keyboard.press("End")
    for node in trace.nodes:
        gradient = trace.gradient(node)
        if gradient is None:
            continue
        select(page, node)
        index = np.unravel_index(0, gradient.shape)
        if gradient.size > EVERY:
            index = np.unravel_index(gradient.argmax(), gradient.shape)
        np.testing.assert_allclose(shown_sum(page, "Gradient of this node"), gradient[index], 1e-6)
        check = float(page.locator("[data-fd]").get_attribute("data-fd"))
        np.testing.assert_allclose(check, gradient[index], 1e-3, atol=1e-6)
        if node.op is None:
            continue
        step = next(s for s in trace.steps if s.node is node)
        gx = step.gxs[next(i for i, gx in enumerate(step.gxs) if gx is not None)]
        index = (gx.argmax() if gx.size > EVERY else 0) if gx.size else None
        shown = shown_sum(page, "What it sends back")
        np.testing.assert_allclose(shown, gx.flat[index], 1e-6, atol=1e-12)
        rows = page.locator("[data-section=sent] table.terms").first.locator(
            "tbody tr td:last-child"
        )
        total = sum(float(text) for text in rows.all_inner_texts())
        np.testing.assert_allclose(total, shown, 1e-4, atol=1e-5)


def test_an_element_can_be_chosen(lesson):
    page, trace = lesson("linear")
    page.keyboard.press("End")
    weight = named(trace, "weight")
    select(page, weight)
    page.get_by_label("Element of weight").select_option("weight[1, 2]")
    assert shown_sum(page, "Gradient of this node") == trace.gradient(weight)[1, 2]


def test_batchnorms_three_paths(lesson):
    page, trace = lesson("batchnorm")
    page.keyboard.press("End")
    op = named(trace, "BatchNorm")
    x, weight, _ = (trace.nodes[i].value for i in op.inputs)
    gy = trace.gradient(op)
    std = np.sqrt(x.var((0, 2, 3), keepdims=True) + op.op.eps)
    xhat, scale = (x - x.mean((0, 2, 3), keepdims=True)) / std, weight[:, None, None] / std
    mean, product = (a.mean((0, 2, 3), keepdims=True) for a in (gy, gy * xhat))
    paths = scale * gy, -scale * mean + 0 * gy, -scale * xhat * product
    section = page.locator("details", has_text="Three paths")
    shown = [float(t) for t in section.locator("tbody td:last-child").all_inner_texts()]
    np.testing.assert_allclose(shown, [path[0, 0, 0, 0] for path in paths], 1e-4)
    total = float(section.locator(".sum").get_attribute("data-value"))
    np.testing.assert_allclose(total, trace.gradient(trace.nodes[op.inputs[0]])[0, 0, 0, 0], 1e-6)


@pytest.mark.parametrize("name", ["conv", "depthwise", "pointwise"])
def test_a_convolution_up_close(lesson, name):
    page, trace = lesson(name)
    page.keyboard.press("End")
    op = next(node for node in trace.nodes if "Conv2d" in node.name)
    x, weight = (trace.nodes[i].value for i in op.inputs[:2])
    per_output = weight[0].size
    select(page, op)
    page.locator("#open-closeup").click()
    counter = page.locator("#multiply-adds")
    assert int(counter.get_attribute("data-all")) == op.value.size * per_output
    assert int(counter.get_attribute("data-done")) == per_output
    page.locator("#slide-on").click()
    assert int(counter.get_attribute("data-done")) == 2 * per_output
    shown = float(page.locator("#closeup .sum").inner_text().split("=")[1])
    np.testing.assert_allclose(shown, op.value[0, 0, 0, 1], 1e-5)

    page.locator("#page-costs").click()
    C, O, places = x.shape[1], op.shape[1], op.shape[2] * op.shape[3]
    adds = [int(c.get_attribute("data-adds")) for c in page.locator("[data-adds]").all()]
    assert adds == [9 * C * O * places, 9 * C * places, C * O * places]

    page.locator("#page-im2col").click()
    page.locator("#patch-after").click()
    assert "output (0, 2)" in page.locator("#patch").inner_text()

    page.locator("#page-touches").click()
    touched = int(page.locator("#touched").get_attribute("data-count"))
    assert touched == weight.shape[2] * weight.shape[3]  # an inner pixel, at stride 1
    if name == "depthwise":  # only one output channel reads it, so the sum is the whole gradient
        shown = float(page.locator("#touched-sum").get_attribute("data-value"))
        gradient = trace.gradient(trace.nodes[op.inputs[0]])
        np.testing.assert_allclose(shown, gradient[0, 0, 1, 1], 1e-4)
    page.keyboard.press("Escape")
    assert not page.locator("#closeup").is_visible()


def test_folding_opens_and_closes(lesson):
    page, _ = lesson("mobilenet", 1)
    assert page.locator(".card").count() < 40
    block = page.get_by_role("button", name="Folded: separable block, blocks.0")
    block.focus()
    page.keyboard.press("Enter")
    assert card(page, "depthwise").count() == 1
    assert block.count() == 0
    page.get_by_role("button", name="Fold separable block blocks.0").click()
    assert block.count() == 1
    page.get_by_role("button", name="Unfold", exact=True).click()
    assert page.locator(".folded").count() == 0
    page.get_by_role("button", name="Fold", exact=True).click()
    assert page.locator(".folded").count() > 0


def test_equal_blocks_fold_into_one(lesson):
    page, _ = lesson("mobilenet")
    assert page.locator(".folded", has_text="separable block ×").count() == 1


def test_the_quiz(lesson):
    page, trace = lesson("linear", 8)
    hidden = trace.steps[1].gxs[0]
    assert hidden.flat[0] == 0.5
    page.locator("#quiz-toggle").click()
    assert page.locator("#panel").get_by_text("gsquares[0, 0] = ?").count() == 1

    def answer(text):
        page.locator("#answer").fill(text)
        page.locator("#answer").press("Enter")
        return page.locator("#verdict").inner_text()

    assert "too high" in answer("0.6")
    assert "too low" in answer("-0.5")
    assert "type a number" in answer("half")
    assert page.locator("#panel").get_by_text("gsquares[0, 0] = ?").count() == 1
    assert answer("1/2").startswith("Right")
    assert page.locator("#panel").locator(".sum", has_text="gsquares[0, 0] = 0.5").count() == 1
    page.keyboard.press("Tab")
    page.locator("#next").click()
    page.get_by_role("button", name="Reveal").click()
    assert page.locator("#verdict").inner_text().startswith("It is")


@pytest.mark.parametrize(("given", "truth", "right"), [
    (1.009, 1, True), (1.06, 1, False), (0.12, 0.124, True), (0.13, 0.124, False),
    (0, 0, True), (0.01, 0, False), (-2, 2, False),
])  # fmt: skip
def test_how_close_an_answer_must_be(lesson, given, truth, right):
    page, _ = lesson("shared")
    assert page.evaluate(f"quiz.right({given}, {truth})") is right


def test_the_text_table(lesson):
    page, trace = lesson("shared", 4)
    page.locator("#table-toggle").click()
    rows = page.locator("table.steps tbody tr")
    assert rows.count() == last_step(page) + 1
    assert "gb += 1 (contribution 1 of 2)" in rows.nth(4).inner_text()
    assert "not known yet" in rows.nth(5).inner_text()
    assert rows.nth(4).get_attribute("aria-current") == "step"
    assert not page.locator("#picture").is_visible()


def test_relu6_counts_what_passes_and_draws_it_in_proportion(lesson):
    page, trace = lesson("separable", 6)
    (x, y), op = (trace.nodes[i].value for i in (11, 12)), trace.nodes[12]
    assert op.title == "y = ReLU6" and x.shape == y.shape
    counts = [(x <= 0).sum(), ((x > 0) & (x < 6)).sum(), (x >= 6).sum()]
    select(page, op)
    shown = [int(text) for text in page.locator(".clipped b").all_inner_texts()]
    assert shown == counts and counts[1] > counts[0] > counts[2]
    assert "dead" not in page.locator(".clipped").inner_text()
    widths = page.locator(".clip-bar i").evaluate_all("all => all.map((i) => i.offsetWidth)")
    whole = page.locator(".clip-bar").evaluate("bar => bar.offsetWidth")
    np.testing.assert_allclose(np.array(widths) / whole, np.array(counts) / x.size, atol=0.01)


def test_a_kink_has_two_slopes(lesson):
    page, trace = lesson("relu6")
    page.keyboard.press("End")
    select(page, trace.nodes[0])
    check = page.locator(".check")
    assert "✓" in check.inner_text()  # x[0] is below 0
    page.get_by_label("Element of x").select_option("x[1]")  # 0, a kink; its factor is 2
    assert "slope 0 to the left, 2 to the right: a kink" in check.inner_text()


def test_a_heat_map_is_read_with_the_keys(lesson):
    page, trace = lesson("linear", 1)
    page.locator(".planes").last.focus()
    page.keyboard.press("ArrowRight")
    value = named(trace, "y").value[0, 1]
    assert page.locator(".readout").first.inner_text().startswith(f"y[0, 1] = {value:g}")


@pytest.mark.parametrize("name", ["conv", "mobilenet"])
@pytest.mark.parametrize("part", ["page", "table", "closeup"])
def test_no_sideways_scroll_on_a_phone(lesson, name, part):
    page, trace = lesson(name, width=390, height=844, color_scheme="dark")
    page.keyboard.press("End")
    if part == "table":
        page.locator("#table-toggle").click()
    convolutions = [node for node in trace.nodes if "Conv2d" in node.name]
    if part == "closeup" and convolutions:
        select(page, convolutions[0])
        page.locator("#open-closeup").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_page_needs_no_network(files):
    text = files("shared")[0].read_text("utf-8")
    assert "default-src 'none'" in text
    outside = [word for word in ("http://", "https://", "@import", "url(data") if word in text]
    assert outside in ([], ["http://"])  # the name of SVG's namespace
    assert text.count("http://") == text.count("http://www.w3.org/2000/svg")
