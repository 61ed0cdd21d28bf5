"""The page in a lecture hall: what is above the fold, text sizes, links, frames, print, flags."""

import numpy as np
import pytest
from browser import last_step, open_page, small_texts  # noqa: F401  (a fixture)

import tinynet as tn
from tinynet import stepper
from tinynet.stepper.lessons import ALL, LESSONS
from tinynet.stepper.lessons.pages import save_lesson
from tinynet.stepper.page import save_html

LECTURE_HALL = {"width": 1024, "height": 768}
STAR = {"batchnorm": ".paths", "conv": ".slide", "depthwise": ".slide", "separable": ".paths"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """files(name, loss=None) -> the page of the loss, or of the lesson of that name."""
    folder, made = tmp_path_factory.mktemp("lecture"), {}

    def file(name, build=None):
        if name not in made:
            made[name] = folder / f"{name}.html"
            save_html((build or LESSONS[name].build)(), made[name], name)
        return made[name]

    return file


@pytest.fixture
def show(files, open_page):  # noqa: F811
    """show(name, "#step=3", build=None, **size) -> the open page"""

    def open_it(name, address="", build=None, **options):
        return open_page(files(name, build).as_uri() + address, **options)

    return open_it


def backward_of(page, text):
    """Go to the backward step of the first op of that name; its number."""
    step = page.evaluate(
        """text => timeline.ranAt.get(
          data.nodes.find((n) => n.isOp && n.name.includes(text)).number)""",
        text,
    )
    page.evaluate("step => state.go(step)", step)
    return step


def go_to(page, hash):
    page.evaluate(
        """hash => new Promise((done) => {
          addEventListener("hashchange", done, { once: true });
          location.hash = hash;
        })""",
        hash,
    )


def box(page, selector):
    return page.locator(selector).first.bounding_box()


@pytest.mark.parametrize("name", STAR)
def test_the_key_picture_is_above_the_fold(show, name):
    page = show(name, **LECTURE_HALL)
    backward_of(page, "BatchNorm" if STAR[name] == ".paths" else "Conv2d")
    flow, star = box(page, ".flow"), box(page, STAR[name])
    assert flow["y"] + flow["height"] <= star["y"]
    assert star["y"] + star["height"] <= 768
    sides = [page.locator(".flow .side").nth(i).bounding_box() for i in (0, 1)]
    assert sides[0]["x"] + sides[0]["width"] <= sides[1]["x"]  # came in to the left, goes out
    assert abs(sides[0]["y"] - sides[1]["y"]) < 1
    assert page.locator("[data-section=rule]").get_attribute("open") is None
    assert page.locator("[data-section=star]").get_attribute("open") is not None


def test_the_pictures_are_those_of_the_step(show):
    page = show("batchnorm", "#step=1")
    headings = page.locator(".first h3")
    assert headings.all_inner_texts() == ["x", "weight", "bias", "y"]
    backward_of(page, "BatchNorm")
    assert headings.all_inner_texts() == ["gy", "gx", "gweight", "gbias"]
    page.locator("[data-section=values] summary").click()
    page.locator(
        "[data-section=values] h3"
    ).first.wait_for()  # which the browser tells a little later
    assert page.locator("[data-section=values] h3").all_inner_texts() == [
        "x",
        "weight",
        "bias",
        "y",
    ]


def test_a_large_input_has_a_tab(show):
    page = show("conv", **LECTURE_HALL)
    backward_of(page, "Conv2d")
    assert page.locator(".first .tabs button").all_inner_texts() == ["gx", "gweight"]
    planes = page.locator(".first .side").nth(1).locator("figure")
    assert planes.count() == 2
    page.get_by_role("button", name="gweight", exact=True).click()
    assert planes.count() == 4
    assert "gweight[" in page.locator("[data-section=sent] .sum").inner_text()


def test_the_kernel_slides_in_the_panel(show):
    trace = stepper.Trace(LESSONS["conv"].build())
    y = next(node for node in trace.nodes if node.name == "Conv2d").value
    page = show("conv", "#step=1")
    assert f"[0, 0, 0, 0] = {y[0, 0, 0, 0]:g}" in page.locator("#star-value").inner_text()
    for _ in range(5):
        page.locator("#star-on").click()
    assert f"[0, 0, 1, 1] = {y[0, 0, 1, 1]:g}" in page.locator("#star-value").inner_text()
    page.locator("#star-back").click()
    page.reload()
    assert f"[0, 0, 1, 0] = {y[0, 0, 1, 0]:g}" in page.locator("#star-value").inner_text()


@pytest.mark.parametrize("name", ["batchnorm", "conv", "cross-entropy", "mobilenet"])
def test_lecture_mode_has_no_small_text(show, name):
    page = show(name, **LECTURE_HALL)
    assert small_texts(page, 20)  # without it there is some
    page.keyboard.press("l")
    assert page.locator("#lecture-toggle").get_attribute("aria-pressed") == "true"
    for step in (1, last_step(page) // 2, last_step(page)):
        page.evaluate("step => state.go(step)", step)
        assert small_texts(page, 20) == []
        graph, panel = box(page, "#graph"), box(page, "#side")
        for one in (graph, panel):
            assert one["height"] > 400
            assert one["width"] > 400
            assert one["y"] + one["height"] <= 768
        assert graph["x"] + graph["width"] <= panel["x"]
        card = page.locator(".card.now").bounding_box()
        assert graph["y"] <= card["y"] <= graph["y"] + graph["height"] - card["height"]
    page.evaluate("document.querySelectorAll('#panel details').forEach((d) => (d.open = true))")
    page.wait_for_selector("[data-section=rule] code")
    assert small_texts(page, 20) == []
    page.keyboard.press("l")
    assert "lecture" not in page.evaluate("location.hash")


STARRED = {
    *("batchnorm", "conv", "depthwise", "depthwise-backward", "pointwise", "separable"),
    "mobilenet",
}


def test_which_lessons_have_a_key_picture():
    kinds = {"BatchNorm", "Conv2d", "DepthwiseConv2d"}
    ops = {name: {node.name for node in stepper.Trace(ALL[name].build()).nodes} for name in ALL}
    assert {name for name in ALL if ops[name] & kinds} == STARRED


@pytest.mark.parametrize("view", ["#lecture=1", ""], ids=["lecture", "reader"])
@pytest.mark.parametrize("name", sorted(STARRED))
def test_every_steps_key_picture_is_in_sight(open_page, tmp_path, name, view):  # noqa: F811
    save_lesson(ALL[name], tmp_path / "page.html")
    page = open_page((tmp_path / "page.html").as_uri() + view, **LECTURE_HALL)
    rows = page.evaluate("""() => timeline.frames.map((_, number) => {
      if (timeline.frames.length > 100 && number % 5) return null;  // a whole network: a sample
      state.go(number);
      const [side, guide, panel] = ["side", "guide", "panel"].map((id) => dom.get(id));
      const picture = panel.querySelector(".paths, .slide");
      if (!picture) return null;
      const [text, shown, all] =
        [guide, picture, side].map((one) => one.getBoundingClientRect());
      const pictures = [picture, ...picture.querySelectorAll("svg")];
      const end = Math.max(...pictures.map((one) => one.getBoundingClientRect().bottom));
      const enough = Math.min(110, guide.scrollHeight);
      guide.scrollTop = 1e6;
      const last = guide.lastElementChild.getBoundingClientRect().bottom;
      return {step: number, words: text.height - enough, above: shown.top - text.bottom,
        below: Math.min(all.bottom, innerHeight) - end, wide: all.right - shown.right,
        last: text.bottom - last, scrolled: side.scrollTop};
    }).filter(Boolean)""")
    ops = [n.name for n in stepper.Trace(ALL[name].build()).nodes]
    starred = 2 * sum("Conv2d" in op or op == "BatchNorm" for op in ops)
    assert len(rows) == starred if name != "mobilenet" else 15 < len(rows) < starred
    for row in rows:
        assert row["above"] > 0 and row["below"] >= 0 and row["wide"] >= 0, row
        assert row["words"] >= 0 and row["last"] >= 0 and row["scrolled"] == 0, row
    if view:
        assert small_texts(page, 20) == []


def test_fit_fits_both_ways_and_enlarges(show):
    page = show("mobilenet", width=1440, height=900)
    page.keyboard.press("f")
    graph, drawing = box(page, "#graph"), box(page, "#graph > svg")
    assert drawing["height"] <= graph["height"]
    assert drawing["width"] <= graph["width"]
    page = show("shared", width=1440, height=900)
    page.locator("#zoom-fit").click()
    graph, drawing = box(page, "#graph"), box(page, "#graph > svg")
    assert 0.9 < max(drawing["height"] / graph["height"], drawing["width"] / graph["width"]) <= 1
    assert drawing["width"] > 1.1 * int(page.evaluate("layout.picture().width"))


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1024, 768)])
def test_a_browsers_zoom_of_150_percent_is_no_phone(show, width, height):
    page = show("conv", width=width * 2 // 3, height=height * 2 // 3, device_scale_factor=1.5)
    graph, panel = box(page, "#graph"), box(page, "#panel")
    assert graph["x"] + graph["width"] <= panel["x"]
    assert graph["height"] > 200
    assert page.evaluate("document.documentElement.scrollHeight") <= height * 2 // 3
    phone = show("conv", width=390, height=844)
    graph, panel = box(phone, "#graph"), box(phone, "#panel")
    assert graph["y"] + graph["height"] <= panel["y"]


def test_a_link_opens_exactly_what_was_seen(show):
    page = show("mobilenet", **LECTURE_HALL)
    page.keyboard.press("l")
    backward_of(page, "BatchNorm")
    page.get_by_role("button", name="Folded: separable block, blocks.1,").click()
    page.get_by_role("button", name="Fold stem").click()
    page.get_by_role("button", name="Keep", exact=True).click()
    page.evaluate("state.go(state.frame - 2)")
    page.locator("#zoom-in").click()
    page.locator("[data-section=rule] summary").click()
    page.locator("[data-section=star] summary").click()
    page.get_by_role("button", name="to weight").click()
    page.get_by_label("Element of weight").select_option(index=2)
    page.locator("#graph").evaluate("one => one.scrollBy(0, -90)")
    page.locator("#side").evaluate("one => one.scrollTo(0, 150)")
    page.wait_for_url("**scroll=*_150&*")
    link = page.url
    for key in [
        "step",
        "node",
        "keep",
        "element",
        "tab",
        "folds",
        "sections",
        "zoom",
        "lecture",
        "scroll",
    ]:
        assert f"{key}=" in link

    def seen(one):
        parts = [one.locator(part).inner_html() for part in ("#panel", "#graph", "#now")]
        scrolls = one.evaluate(
            "[...document.querySelectorAll('#graph, #side')].map(e => e.scrollTop)"
        )
        return *parts, [round(scroll) for scroll in scrolls]

    other = show("mobilenet", link[link.index("#") :], **LECTURE_HALL)
    assert seen(other) == seen(page)
    assert other.url == link
    go_to(other, "#step=1")
    assert not other.evaluate("document.documentElement.classList.contains('lecture')")
    go_to(other, link[link.index("#") :])
    assert seen(other) == seen(page)


def test_the_closeup_the_table_and_the_quiz_are_in_the_link(show):
    page = show("conv", "#step=10")
    page.locator("#open-closeup").click()
    page.locator("#page-touches").click()
    page.locator("#pixel-right").click()
    html = page.locator("#closeup").inner_html()
    page.reload()
    assert page.locator("#closeup").inner_html() == html
    page.keyboard.press("Escape")
    page.wait_for_function("location.hash === '#step=10'")
    page.locator("#table-toggle").click()
    page.locator("#quiz-toggle").click()
    page.reload()
    assert page.locator("table.steps").is_visible()
    assert page.locator("#answer").is_visible()
    assert not page.locator("#picture").is_visible()


@pytest.mark.parametrize("hash", [
    "#step=x&node=999&element=1.99_a&tab=7&folds=z-&zoom=-3&sections=none&scroll=a",
    "#closeup=99.9.x&window=0.1.2.3&planes=q&keep=maybe&lecture=2&quiz=&table=no&scale=%",
])  # fmt: skip
def test_a_link_that_makes_no_sense_opens_the_page(show, hash):
    page = show("conv", hash)
    assert page.locator(".card").count() > 4
    page.keyboard.press("End")
    assert "Step 10" in page.locator("#now").inner_text()


def test_another_part_keeps_its_text_in_the_link(show):
    """As the editing tools do."""
    page = show("shared")
    page.evaluate("""() => {
      window.kept = "x0=1.5 & more";
      state.keep("edits", () => window.kept, (text) => (window.kept = text));
      state.go(2);
    }""")
    assert "edits=x0%3D1.5%20%26%20more" in page.url
    page.evaluate("window.kept = 'other'; state.restore()")
    assert page.evaluate("window.kept") == "x0=1.5 & more"


def test_a_held_key_does_not_flood_the_address(show):
    page = show("shared", "#step=1")
    page.evaluate("""() => {
      window.writes = 0;
      const real = history.replaceState.bind(history);
      history.replaceState = (...all) => { window.writes++; real(...all); };
    }""")
    for _ in range(30):
        page.evaluate("state.go(4); state.go(5)")
    assert 1 < page.evaluate("window.writes") <= 25
    assert page.evaluate("state.frame") == 5


def test_inside_another_page(show):
    page = show("conv", "?embed=1#step=10", width=800, height=480)
    assert not page.locator("#title").is_visible()
    assert page.evaluate("document.documentElement.scrollHeight") <= 480
    graph, panel = box(page, "#graph"), box(page, "#side")
    assert graph["x"] + graph["width"] <= panel["x"]
    assert min(graph["height"], panel["height"]) > 300
    flow = box(page, ".flow")
    assert flow["y"] + flow["height"] <= 480
    page.locator("#previous").click()
    assert "Step 9" in page.locator("#now").inner_text()
    assert "?embed=1#step=9" in page.url


def test_printed(show):
    page = show("batchnorm", "#step=7", **LECTURE_HALL, color_scheme="dark")
    page.emulate_media(media="print")
    controls = page.locator("button, select, input, [role=slider], #help, #transport .buttons")
    assert controls.count() > 10
    assert [one.is_visible() for one in controls.all()] == [False] * controls.count()
    assert page.locator(".paths").is_visible()
    assert page.locator("#graph > svg").is_visible()
    for part in ("#graph", "#side", "main"):  # nothing hidden behind a scroll bar
        assert page.locator(part).evaluate("e => e.scrollHeight <= e.clientHeight + 1")
    ink = page.locator("#panel").evaluate("e => getComputedStyle(e).color")
    assert ink == "rgb(27, 31, 36)"  # dark on white, whatever the screen's scheme
    assert page.pdf()[:5] == b"%PDF-"


def test_cards_carry_the_size_of_the_gradient(show):
    trace = stepper.Trace(LESSONS["batchnorm"].build())
    page = show("batchnorm", "#step=7")
    for node in trace.nodes:
        gradient = trace.gradient(node)
        line = page.locator(f"[data-id=n{node.number}] text").last.text_content()
        if gradient is not None and gradient.ndim:
            word, size = line.rsplit(" ", 1)
            assert word == "max|g|"
            np.testing.assert_allclose(float(size), np.abs(gradient).max(), 5e-3)
    page.keyboard.press("Home")
    assert page.locator(".card", has_text="max|g|").count() == 0


def test_gradients_share_a_colour_scale(show):
    page = show("linear", "#step=8")
    fills = """() => [...document.querySelectorAll(".first .side:last-child .cell")]
      .map((cell) => cell.getAttribute("fill"))"""
    trace = stepper.Trace(LESSONS["linear"].build())
    gradients = [trace.gradient(n) for n in trace.nodes]
    top = max(np.abs(g).max() for g in gradients if g is not None and g.ndim)
    assert page.evaluate("flags.top") == pytest.approx(top, 1e-4)
    shared = page.evaluate(fills)
    page.locator("#own-scale").click()
    assert page.evaluate(fills) != shared
    assert "scale=1" in page.url
    page.reload()
    page.locator("#own-scale").click()
    assert page.evaluate(fills) == shared


def chain_of(factor, ops=8):
    def build():
        x = tn.tensor([0.5, -0.25], requires_grad=True)
        with stepper.record():
            y = x
            for _ in range(ops):
                y = y * factor
            return y.sum()

    return build


@pytest.mark.parametrize(("factor", "kind", "flagged"), [
    (0.2, "vanishing", 4), (0.0, "vanishing", 8), (5.0, "exploding", 4),
    (0.5, None, 0), (1.0, None, 0), (2.0, None, 0),
])  # fmt: skip
def test_gradients_that_vanish_or_explode_raise_a_flag(show, factor, kind, flagged):
    page = show(f"chain{factor}", build=chain_of(factor))
    assert not page.locator("#flags").is_visible()  # nothing is told before its step
    page.keyboard.press("End")
    assert page.locator(f".card .flag.{kind}").count() == flagged
    assert page.locator(".card .flag").count() == flagged
    if kind:
        assert page.locator("#flags").inner_text().lower().startswith(f"{kind}: max|g|")
        page.get_by_role("button", name="Show").click()  # the first one on the way back
        assert kind in page.locator(".card.picked").get_attribute("aria-label")
        page.keyboard.press("Home")
    assert page.locator(".card .flag").count() == 0


HEALTHY = "shared linear cross-entropy relu6 batchnorm conv depthwise pointwise separable mobilenet"


@pytest.mark.parametrize("name", HEALTHY.split())
def test_a_healthy_graph_raises_no_flag(show, name):
    page = show(name)
    page.keyboard.press("End")
    assert not page.locator("#flags").is_visible(), page.locator("#flags").inner_text()


def test_nan_raises_a_flag_where_it_came_about(show):
    def build():
        x = tn.tensor([0.0, -1.0, 1.0], requires_grad=True)
        with np.errstate(all="ignore"), stepper.record():
            return (x.log() * 2).sum()

    page = show("nan", build=build)
    page.keyboard.press("ArrowRight")
    assert "1 NaN, 1 Inf in t1" in page.locator("#flags").inner_text()
    assert page.locator(".card .flag.value").count() == 1
    page.keyboard.press("End")
    assert "1 Inf in the gradient of x" in page.locator("#flags").inner_text()
    assert "flag: 1 Inf" in page.locator("[data-id=n0]").get_attribute("aria-label")


def test_the_quiz_is_not_given_away(show):
    page = show("batchnorm", "#step=7&quiz=1")
    asked = page.evaluate("state.secret.node")
    assert "? (quiz)" in page.locator(f"[data-id=n{asked}]").text_content()
    assert "Asked in the quiz" in page.locator(".first").inner_text()


def two_thousand_ops():
    x = tn.tensor([1.0, 2.0], requires_grad=True)
    with stepper.record():
        y = x
        for _ in range(1000):
            y = y * 0.999 + x
        return y.sum()


def test_two_thousand_ops_stay_readable(show):
    page = show("long", "#lecture=1", build=two_thousand_ops, **LECTURE_HALL)
    for key in ("End", "ArrowLeft", "Home", "ArrowRight"):
        page.keyboard.press(key)
        assert small_texts(page, 20) == []
        assert page.locator("#graph *").count() < 3000
    window = page.locator(".folded").nth(7)
    window.focus()
    page.keyboard.press("Enter")
    assert page.locator(".module").count() >= 1
    assert page.locator("#graph *").count() < 3000
    drawing = page.evaluate("layout.picture().width")
    assert drawing < 1000  # one lane beside the chain, not one per use
    assert page.url.count("folds=") == 1
    assert len(page.url) < 400


def test_without_a_mouse(show):
    page = show("conv", "#step=10", **LECTURE_HALL)
    page.locator(".first .planes").last.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".first .readout").inner_text().startswith("gx[0, 0, 0, 1] = ")
    page.locator("[data-section=rule] summary").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-section=rule] code")
    assert page.evaluate("document.activeElement.textContent") == "Rule"
    assert not page.locator("#guide").is_visible() and not page.locator("#edit").is_visible()
    page.locator("#edit-toggle").press("Enter")
    assert box(page, "#edit")["y"] < box(page, "#panel")["y"]
