"""The cost explorer, in a real browser, against the counts of the networks themselves."""

import random
from pathlib import Path

import pytest
from browser import open_page  # noqa: F401  (a fixture)
from test_mobilenet import PAPER

import mobilenet
import tinynet
import tinynet.nn as nn
from tinynet.pages import HEAD
from tinynet.stepper.cost import save_cost_page
from tinynet.summary import summary

STARTS = {"paper": (1000, 224), "shallow": (1000, 224), "cifar-4x4": (100, 32)}


def of(network, classes, resolution, width=1.0, **options):
    model = mobilenet.build(network, classes, width, **options)
    return summary(model, (3, resolution, resolution))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("cost") / "cost.html"
    save_cost_page(path, {name: of(name, *start) for name, start in STARTS.items()})
    return path


@pytest.fixture
def page(file, open_page):  # noqa: F811
    return open_page(file)


def number(page, selector):
    return int(page.locator(selector).inner_text().replace(",", ""))


def totals(page, prefix=""):
    return number(page, f"#{prefix}mult-adds"), number(page, f"#{prefix}parameters")


def turn(page, **controls):
    for name, value in controls.items():
        page.fill(f"#{name}", str(value))


def test_the_sixteen_models_of_the_paper(page):
    for width, counts in PAPER.items():
        for resolution, mult_adds in zip((224, 192, 160, 128), counts, strict=False):
            turn(page, width=width, resolution=resolution)
            assert totals(page) == (mult_adds, counts[4])
            shown = page.locator("#layers tfoot td:not(.wide)").all_inner_texts()
            assert shown == [f"{mult_adds:,}", f"{counts[4]:,}"]


def test_shares_by_kind(page):
    shares = {
        kind: page.locator(f"[data-share='multAdds {kind}'] b").inner_text()
        for kind in ("pointwise", "depthwise", "convolution", "fully connected")
    }
    assert list(shares.values()) == ["94.86 %", "3.06 %", "1.91 %", "0.18 %"]


@pytest.mark.parametrize(("width", "resolution"), [(1.0, 224), (0.35, 96)])
def test_the_full_convolution_twin(page, width, resolution):
    turn(page, width=width, resolution=resolution)
    found = of("full-convolution", 1000, resolution, width)
    assert totals(page, "twin-") == (found.mult_adds, found.parameters)
    if width == 1:
        assert totals(page, "twin-") == (4_867_293_184, 29_294_088)


def test_any_width_resolution_and_layout_count_as_the_network_itself(page):
    draw = random.Random(0)
    # 0.515625 and the like: halves, which Python rounds to the even side
    widths = [0.515625, 0.140625, 0.01, 1.3, *(round(draw.uniform(0.05, 0.9), 3) for _ in range(4))]
    for i, width in enumerate(widths):
        network = list(STARTS)[i % len(STARTS)]
        resolution, classes = 32 * draw.randint(1, 4), draw.randint(1, 300)
        page.select_option("#network", label=network)
        turn(page, width=width, resolution=resolution, classes=classes)
        found = of(network, classes, resolution, width)
        assert totals(page) == (found.mult_adds, found.parameters), (network, width, resolution)
        for row in found.rows:
            if not row.mult_adds:
                continue
            name = row.name if row.name == "classifier" else row.name.removesuffix(".0")
            cells = page.locator(f"[data-layer='{name}'] td").all_inner_texts()
            assert cells[2:] == [f"{row.mult_adds:,}", cells[3]]
            sides = [f"{size}" for size in row.output_shape[1:]]
            assert cells[1] == " × ".join(
                filter(None, [f"{row.output_shape[0]:,}", "×".join(sides)])
            )


def test_choosing_a_layout_sets_its_own_resolution_and_classes(page):
    page.select_option("#network", label="cifar-4x4")
    assert (page.input_value("#resolution"), page.input_value("#classes")) == ("32", "100")
    found = of("cifar-4x4", 100, 32)
    assert totals(page) == (found.mult_adds, found.parameters)


class FiveByFive(mobilenet.MobileNetV1):
    """MobileNetV1 whose depthwise filters are 5x5."""

    def _unit(self, in_channels, out_channels, kernel, stride=1, groups=1):
        kernel = 5 if groups > 1 else kernel
        return super()._unit(in_channels, out_channels, kernel, stride, groups)


def test_kernel_size_of_the_depthwise_layers(page):
    turn(page, width=0.25, resolution=64)
    page.get_by_label("5×5").check()
    found = summary(FiveByFive(1000, 0.25), (3, 64, 64))
    assert totals(page) == (found.mult_adds, found.parameters)


def test_formulas_with_the_numbers_put_in(page):
    text = page.locator("#layers .formulas").inner_text()  # blocks.0.depthwise is chosen at first
    assert "3 · 3 · 32 · 64 · 112 · 112" in text and "231,211,008" in text
    page.locator("[data-layer='blocks.7.pointwise'] input").check()
    text = page.locator("#layers .formulas").inner_text()
    for part in (
        "3 · 3 · 512 · 512 · 14 · 14\n= 462,422,016",
        "3 · 3 · 512 · 14 · 14\n= 903,168",
        "512 · 512 · 14 · 14\n= 51,380,224",
        "52,283,392 / 462,422,016",
        "= 1/N + 1/DK² = 1/512 + 1/9 = 0.1131: 8.845 times fewer",
        "512 · 512 + 2 · 512 of BatchNorm = 263,168",
    ):
        assert part in text
    page.locator("[data-layer='classifier'] input").check()
    assert "1,024 · 1,000 + 1,000 of the bias = 1,025,000" in page.inner_text("#layers .formulas")


def test_a_layer_of_ones_own(page):
    for name, value in {"kernel": 5, "in": 16, "out": 24, "size": 15, "stride": 2}.items():
        page.fill(f"#own-{name}", str(value))
    text = page.inner_text("#own-result")
    assert f"{25 * 16 * 24 * 8 * 8:,}" in text
    assert (
        f"{25 * 16 * 64 + 16 * 24 * 64:,} = {25 * 16 * 64:,} depthwise + 24,576 pointwise" in text
    )
    assert "24 filters of 5×5×16" in page.inner_text("#own-filters")
    widths = page.eval_on_selector_all(
        "#own-result .bar span", "all => all.map(s => s.style.width)"
    )
    shares = [float(width.rstrip("%")) / 100 for width in widths]
    assert shares == pytest.approx([1, 1 / 24, 1 / 25], rel=1e-4)
    page.fill("#own-stride", "0")
    assert "Stride must be a whole number from 1 to 8" in page.inner_text("#own-problem")


@pytest.mark.parametrize(
    ("control", "value", "words"),
    [
        ("width", "0", "Width must be a number from 0.01 to 4"),
        ("width", "", "Width must be a number"),
        ("resolution", "100", "Resolution must be a multiple of 32 from 32 to 512"),
        ("classes", "1.5", "Classes must be a whole number"),
    ],
)
def test_a_wrong_number_is_said_and_changes_nothing(page, control, value, words):
    page.fill(f"#{control}", value)
    assert words in page.locator("#problem").inner_text()
    assert page.get_attribute(f"#{control}", "aria-invalid") == "true"
    assert totals(page) == (568_740_352, 4_231_976)
    turn(page, **{control: {"width": 1, "resolution": 224, "classes": 1000}[control]})
    assert page.locator("#problem").inner_text() == ""


def test_everything_is_reached_and_moved_by_keyboard(page):
    reached = []
    while reached[-1:] != ["own-stride"]:
        assert len(reached) < 60
        page.keyboard.press("Tab")
        here = page.evaluate("document.activeElement.id || document.activeElement.name || ''")
        reached.append(here)
        if here == "width-slider":
            page.keyboard.press("ArrowLeft")
            assert page.input_value("#width") == "0.95"
        if here == "resolution-slider":
            page.keyboard.press("ArrowLeft")
            assert page.input_value("#resolution") == "192"
        if here == "layer":
            page.keyboard.press("ArrowDown")
            assert page.evaluate("document.activeElement.value") == "2"
            assert "chosen" in page.get_attribute("[data-layer='blocks.0.pointwise']", "class")
    for name in ("network", "width", "resolution", "kernel", "classes", "layer", "own-kernel"):
        assert name in reached
    found = of("paper", 1000, 192, 0.95)
    assert totals(page) == (found.mult_adds, found.parameters)


def test_every_control_has_a_name(page):
    unnamed = "all => all.filter(e => !e.labels.length && !e.getAttribute('aria-label')).length"
    assert page.eval_on_selector_all("input, select", unnamed) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(file, open_page, scheme):  # noqa: F811
    page = open_page(file, width=390, height=844, color_scheme=scheme)
    turn(page, width=4, resolution=512)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")


@pytest.mark.parametrize("title", ["</script><b>&amp;", "{{script}}", "{{style}} {{networks}}"])
def test_a_title_is_only_text(tmp_path, open_page, title):  # noqa: F811
    save_cost_page(tmp_path / "cost.html", {title: of("paper", 10, 32, 1.0)})
    page = open_page(tmp_path / "cost.html")
    assert page.locator("#network option").all_inner_texts() == [title]


def test_a_module_name_is_only_text(tmp_path, open_page):  # noqa: F811
    name = "<img src='x' onerror=\"alert(1)\">&amp;{{script}}"
    model = nn.Sequential()
    model.add_module(name, nn.Conv2d(3, 4, 3, padding=1, bias=False))
    model.add_module("pool", nn.AdaptiveAvgPool2d(1))
    model.add_module("flat", nn.Flatten())
    model.add_module("classifier", nn.Linear(4, 10))
    save_cost_page(tmp_path / "cost.html", {"x": summary(model, (3, 32, 32))})
    page = open_page(tmp_path / "cost.html")
    rows = page.locator("#layers tr[data-layer]")
    assert rows.first.locator("th").inner_text().strip() == name
    assert rows.first.get_attribute("data-layer") == name
    assert page.locator("img").count() == 0


def test_a_link_opens_a_layer_of_ones_own(file, open_page):  # noqa: F811
    page = open_page(f"{file.as_uri()}#own-kernel=5&own-in=16&own-out=24&own-size=15&own-stride=2")
    assert f"{25 * 16 * 24 * 8 * 8:,}" in page.inner_text("#own-result")
    assert page.evaluate("document.getElementById('h-own').getBoundingClientRect().top") < 300


def test_a_link_opens_a_layer_of_a_network(file, open_page):  # noqa: F811
    page = open_page(
        f"{file.as_uri()}#network=shallow&width=0.5&resolution=160&classes=7&kernel=5"
        "&layer=blocks.3.pointwise"
    )
    assert page.input_value("#width") == "0.5" and page.input_value("#classes") == "7"
    assert page.locator("tr.chosen").get_attribute("data-layer") == "blocks.3.pointwise"
    assert page.get_by_label("5×5").is_checked()
    assert page.evaluate("scrollY") > 0
    assert page.locator("#network option:checked").inner_text() == "shallow"


def test_the_address_holds_what_is_set(page, open_page):  # noqa: F811
    page.select_option("#network", label="cifar-4x4")
    turn(page, width=0.25, classes=42)
    page.get_by_label("7×7").check()
    page.locator("[data-layer='blocks.7.pointwise'] input").check()
    page.fill("#own-in", "96")
    page.fill("#own-out", "33")
    other = open_page(page.evaluate("location.href"))
    for selector in ("#mult-adds", "#parameters", "#own-result"):
        assert other.inner_text(selector) == page.inner_text(selector)
    assert other.locator("tr.chosen").get_attribute("data-layer") == "blocks.7.pointwise"


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("width=-1", "Width must be a number from 0.01 to 4"),
        ("classes=<img src=x onerror=alert(1)>", "Classes must be a whole number"),
        ("own-kernel=1e9", "Kernel"),
    ],
)
def test_a_link_that_makes_no_sense_is_said(file, open_page, link, words):  # noqa: F811
    page = open_page(f"{file.as_uri()}#{link}&network=<b>&layer=nowhere&kernel=2")
    assert words in page.inner_text("#problem") + page.inner_text("#own-problem")
    assert totals(page) == (568_740_352, 4_231_976)


def test_the_policy_lets_nothing_be_loaded(page):
    policy = page.locator("meta[http-equiv=Content-Security-Policy]").get_attribute("content")
    assert "default-src 'none'" in policy and "http" not in policy


def test_no_page_of_the_project_writes_data_as_html():
    """Names and titles are text: no script of a page makes elements out of a string."""
    folder = Path(tinynet.__file__).parent
    scripts = [*folder.rglob("*.js"), *folder.rglob("*.html")]
    assert len(scripts) > 20
    makers = (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
    )
    for script in scripts:
        text = script.read_text("utf-8").replace("{{head}}", HEAD)  # as `filled` does
        assert not [maker for maker in makers if maker in text], script
        if "<html" in text:
            assert "default-src 'none'" in text, script


def test_networks_that_the_page_cannot_count_are_refused(tmp_path):
    path = tmp_path / "cost.html"
    with pytest.raises(ValueError, match="networks is empty"):
        save_cost_page(path, {})
    with pytest.raises(ValueError, match="'x' must end in a fully connected layer"):
        save_cost_page(path, {"x": summary(nn.Sequential(nn.Conv2d(3, 4, 3)), (3, 8, 8))})
    unpadded = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2))
    with pytest.raises(ValueError, match="'x' has .* multiply-adds .* but counted as a chain"):
        save_cost_page(path, {"x": summary(unpadded, (3, 8, 8))})
    flat = nn.Sequential(nn.Conv2d(3, 4, (3, 1)), nn.Flatten(), nn.Linear(4 * 48, 2))
    with pytest.raises(ValueError, match="layer 0 must have a square kernel"):
        save_cost_page(path, {"x": summary(flat, (3, 8, 8))})
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(OSError, match="cannot write .*cost.html"):
        save_cost_page(tmp_path / "nowhere" / "cost.html", {"paper": of("paper", 10, 32)})
