"""The lessons: their graphs, the text beside them, the museum of wrong backwards, the pages."""

import html
import re

import numpy as np
import pytest
from browser import last_step, open_page  # noqa: F401  (a fixture)

from tinynet.stepper import Trace, __main__, save_html
from tinynet.stepper.lessons import (
    ALL,
    LESSONS,
    MUSEUM,
    Guide,
    faults,
    neighbours,
    page_guide,
    pages,
)
from tinynet.stepper.lessons.basics import shared
from tinynet.stepper.lessons.exhibit import disagreements
from tinynet.stepper.lessons.lesson import lesson, sections
from tinynet.stepper.lessons.museum_training import run_of_steps
from tinynet.stepper.lessons.pages import index, save_all, save_lesson
from tinynet.stepper.lessons.tensors import leaf
from tinynet.stepper.lessons.terminal import show
from tinynet.stepper.lessons.words import Words, said
from tinynet.stepper.recording import record

# what may have digits in a text: {what is filled in}, `code`, names, and places such as y[0,0]
FREE = re.compile(
    r"\{[^{}]+\}|`[^`]*`|1/(?=\{)|ReLU6|MobileNetV1|1x1|4x4|\w+\[[^\]]*\]"
    r"|\b([Rr]ow|[Rr]oom|channel|image) \d"
)
FIXED = {"aim", "summary", "choose", "reveal"}


@pytest.fixture(scope="module")
def guides():
    """guides(name) -> the Guide of that lesson, made once."""
    made = {}

    def guide(name):
        if name not in made:
            made[name] = Guide(ALL[name], Trace(ALL[name].build()))
        return made[name]

    return guide


# the text


@pytest.mark.parametrize("name", ALL)
def test_every_moment_of_the_walk_has_its_text(guides, name):
    guide = guides(name)
    told = guide.told()
    for moment, _, _ in guide.moments():
        text = told[moment].get("text", "")
        if moment != "end":
            assert 10 < len(text) < 420, (moment, text)
        assert "{" not in text and "}" not in text and "None" not in text
    assert guide.summary() and ALL[name].aim and 2 <= ALL[name].minutes <= 15
    assert any("note" in entry for entry in told.values())
    assert any("ask" in entry for entry in told.values()) != (name in MUSEUM)


@pytest.mark.parametrize("name", ALL)
def test_no_section_is_left_untold(guides, name):
    """A key that fits no op of the graph would never be seen."""
    keys = {key for _, keys, _ in guides(name).moments() for key in keys}
    for key in ALL[name].sections:
        assert key in FIXED or re.sub("^(ask|note) ", "", key) in keys, key


@pytest.mark.parametrize("name", ALL)
def test_what_a_text_relies_on_is_true(guides, name):
    words = guides(name).words
    for claim in ALL[name].claims:
        assert words.evaluated(claim), claim


@pytest.mark.parametrize("name", ALL)
def test_no_number_is_typed(name):
    for key, text in ALL[name].sections.items():
        assert not re.search(r"\d", FREE.sub("", text)), (key, text)


def test_the_numbers_are_those_of_the_graph(guides):
    told = guides("shared").told()
    assert told["forward 1"]["text"] == "b = a + a = 6."
    assert told["backward 1 again"]["text"] == "The second sends 2 too, so ga = 2 + 2 = 4."
    told = guides("depthwise-backward").told()
    text = told["forward 2"]["text"]
    products, result = re.fullmatch(r"y\[0,0,0,0\] = (.*) = (.*)\.", text).groups()
    assert eval(products) == float(result) == -7
    question = told["backward 2"]["ask"]
    products = re.search(r"gx\[0,0,1,1\] = (.*) = \?", question["question"])[1]
    assert eval(products) == question["answer"] == 9


def test_the_numbers_follow_the_graph():
    """The same text beside another graph, whose ops have the same names."""
    a = leaf(-0.5)
    with record():
        b = a + a
        d = b + b
        c = d * d
    guide = Guide(shared, Trace(c))
    told = guide.told()
    assert told["forward 1"]["text"] == "b = a + a = -1."
    assert told["backward 2 again"]["text"].endswith("so ga = -8 + (-8) = -16.")
    assert told["forward 2"]["text"] == "Add, element by element."  # what is said of any Add


ANSWERS = {  # worked out by hand from the values that the learner sees
    "descent": [-6, -9],
    "shared": [2, 4],
    "broadcasting": [1 + 3],
    "linear": [-0.5 + 3.5],
    "cross-entropy": [(1 / (np.exp(4) + np.exp(-1) + 1) - 1) / 2],
    "relu6": [4],
    "dying-relu": [0],
    "vanishing": [3**5],
    "batchnorm": [0],
    "residual": [2 + 0.1],
    "depthwise": [9],
    "depthwise-backward": [3 * 1 + -1 * -1 + 2 * 2 + 1 * 1],
    "pointwise": [2 * 5 + -1 * -4],
    "pooling": [4 / 4],
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_answers_are_right(guides, name):
    asked = [entry["ask"]["answer"] for entry in guides(name).told().values() if "ask" in entry]
    np.testing.assert_allclose(asked, ANSWERS[name], rtol=1e-12, atol=1e-12)


def test_two_softmaxes_learn_almost_nothing(guides):
    """By the chain rule on paper: J^T of the first softmax times softmax(p) - one-hot."""
    logits = np.array([4.0, -1, 0])
    p = np.exp(logits) / np.exp(logits).sum()
    gp = (np.exp(p) / np.exp(p).sum() - [0, 0, 1]) / 2
    expected = (np.diag(p) - np.outer(p, p)) @ gp
    words = guides("double-softmax").words
    np.testing.assert_allclose(words.grad("logits")[1], expected, rtol=1e-12)
    np.testing.assert_allclose(words.evaluated("right")[1], (p - [0, 0, 1]) / 2, rtol=1e-12)


def test_the_table_of_the_training_step(guides):
    title, head, rows = guides("training-step").table()
    assert title == "One step of SGD, lr = 0.5" and head == ("", "before", "after")
    words = guides("training-step").words
    for name, before, after in rows[4:10]:
        at = tuple(map(int, re.findall(r"\d", name)))
        assert before == said(words.value("weight")[at])
        assert after == said(words.value("weight")[at] - 0.5 * words.grad("weight")[at])


def test_words():
    assert [said(x) for x in (0.25, -3.0, np.float64(1e-9), (2, 3), 12345)] == (
        ["0.25", "-3", "1e-09", "(2, 3)", "12,345"]
    )
    assert said(np.array([[1, -2.5], [0, 1 / 3]])) == "[[1, -2.5], [0, 0.3333]]"
    words = Words(Trace(shared.build()))
    assert words.filled("{a} - {-a} * {-a}, {Word(uses('a'))}, {fd('a')}") == (
        "3 - (-3) * (-3), Two, 4"
    )
    with pytest.raises(KeyError, match="the graph has nothing that is called 'z'"):
        words.value("z")


def test_sections_are_parsed():
    found = sections("""
        aim: One
          aim: of two lines.
        forward Add, Sum: Both.
        ask backward y again: Why? | {gy} | So.
    """)
    assert found == {
        "aim": "One aim: of two lines.",
        "forward Add": "Both.",
        "forward Sum": "Both.",
        "ask backward y again": "Why? | {gy} | So.",
    }
    with pytest.raises(ValueError, match="the section 'aim' is there twice"):
        lesson("x", "X", "G", 1, "aim: a\naim: b")


# the museum


def _differing(build):
    words = Words(Trace(build()))
    _, _, rows = disagreements(words)
    return sorted(re.sub(r"\[.*", "", row[0]) for row in rows if row[-1] != "agree"), words


WRONG = {  # the tensors whose gradients are wrong, and what backward should have said of one
    "museum-broadcast": (["bias"], "bias"),
    "museum-batchnorm": (["x"], "x"),
    "museum-statistics": (["weight", "x"], "x"),
    "museum-padding": (["x"], "x"),
    "museum-kernel": (["x"], "x"),
    "museum-mean": (["logits"], "logits"),
    "museum-inplace": (["x"], "x"),
    "museum-momentum": ([], "weight"),
}


@pytest.mark.parametrize("name", MUSEUM)
def test_an_exhibit_is_wrong_where_its_text_says_and_its_twin_is_right(name):
    wrong, shown = WRONG[name]
    found, words = _differing(MUSEUM[name].build)
    assert found == wrong
    if name == "museum-momentum":
        return
    right, twin = _differing(MUSEUM[name].twin)
    assert right == []
    for a, b in zip(words.trace.nodes, twin.trace.nodes, strict=True):
        np.testing.assert_array_equal(a.value, b.value)  # forward is the same
    index = np.unravel_index(
        np.abs(words.grad(shown) - twin.grad(shown)).argmax(), words.grad(shown).shape
    )
    difference = words.fd(shown, *index)
    assert twin.grad(shown)[index] == pytest.approx(difference, abs=1e-5)
    assert abs(words.grad(shown)[index] - difference) > 0.1


def test_the_elements_that_agree_in_place():
    words = Words(Trace(MUSEUM["museum-inplace"].build()))
    x, gx = words.value("x"), words.grad("x")
    for i in range(len(x)):
        assert (abs(gx[i] - words.fd("x", i)) < 1e-5) == (x[i] in (0, 1))


def test_the_shifted_gradient_is_the_right_one_a_pixel_on():
    wrong, right = (Words(Trace(build())).grad("x") for build in _both("museum-padding"))
    np.testing.assert_array_equal(wrong[..., :-1, :-1], right[..., 1:, 1:])


def test_the_missing_mean_is_a_factor_of_the_rows():
    wrong, right = (Words(Trace(build())).grad("logits") for build in _both("museum-mean"))
    np.testing.assert_allclose(wrong, len(wrong) * right, rtol=1e-12)


def _both(name):
    return MUSEUM[name].build, MUSEUM[name].twin


def test_the_wrong_update_climbs_and_the_right_one_descends():
    words = Words(Trace(MUSEUM["museum-momentum"].build()))
    for rule, sign in ((faults.momentum_uphill, 1), (faults.momentum, -1)):
        _, _, slope, moved = run_of_steps(rule, words)[0]
        assert np.sign(slope * moved) == sign
        assert slope == pytest.approx(words.fd("weight"), abs=1e-5)
    losses = [row[1] for row in run_of_steps(faults.momentum_uphill, words)]
    assert losses == sorted(losses) and losses[-1] > 5 * losses[0]


@pytest.mark.parametrize("name", MUSEUM)
def test_the_fault_is_asked_for_and_shown(guides, name):
    question, choices, right, why, code = guides(name).choice()
    assert question.endswith("?") and right in choices and len(set(choices)) == len(choices) == 4
    assert len(why) > 60 and code.startswith("def ") and '"""' not in code


# the order, the index, the command


def test_the_lessons_form_one_chain():
    one, seen = next(iter(ALL.values())), []
    assert neighbours(one)[0] is None
    while one is not None:
        seen.append(one.name)
        following = neighbours(one)[1]
        assert following is None or neighbours(following)[0] is one
        one = following
    assert seen == list(ALL) == [*LESSONS, *MUSEUM]
    assert len(MUSEUM) == 8 and all(name == ALL[name].name for name in ALL)


def test_the_index_links_to_all_with_aim_and_minutes():
    text = index(list(ALL.values()))
    links = re.findall(r'<a href="([^"]+)\.html"><span class="minutes">(\d+) min', text)
    assert links == [(one.name, str(one.minutes)) for one in ALL.values()]
    for one in ALL.values():
        assert html.escape(one.aim) in text and html.escape(one.title) in text
    groups = re.findall(r"<h2>(.*?)</h2>", text)
    assert groups == list(dict.fromkeys(one.group for one in ALL.values()))
    odd = ALL["shared"]._replace(title="<img src=x onerror=alert(1)>")
    assert "<img" not in index([odd])


def test_pages_of_several_lessons(tmp_path):
    some = [ALL["shared"], ALL["museum-inplace"]]
    written = list(save_all(tmp_path / "new" / "folder", some))
    assert [path.name for path in written] == ["shared.html", "museum-inplace.html", "index.html"]
    assert all(path.stat().st_size > 1000 for path in written)
    assert '"linked":true' in written[0].read_text()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as error:
        __main__.main(["--html-all", str(tmp_path / "file")])
    assert str(error.value).startswith("stepper: ") and "file" in str(error.value)
    assert "\n" not in str(error.value) and capsys.readouterr().out == ""


def test_html_all_writes_what_it_says(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pages, "ALL", {"shared": ALL["shared"]})
    __main__.main(["--html-all", str(tmp_path)])
    assert capsys.readouterr().out.splitlines() == (
        [f"wrote {tmp_path / 'shared.html'}", f"wrote {tmp_path / 'index.html'}"]
    )


def test_the_terminal_tells_the_lesson(capsys):
    show(ALL["shared"])
    out = " ".join(capsys.readouterr().out.split())
    assert ALL["shared"].aim in out and "One number, a = 3." in out
    assert "The second sends 2 too, so ga = 2 + 2 = 4." in out
    assert "To keep: ga = 4, for c is 4 times a." in out
    assert "Next: Broadcasting (--lesson broadcasting)" in out


def test_the_terminal_shows_asks_and_reveals_the_fault(capsys, guides):
    show(MUSEUM["museum-padding"])
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    _, _, right, _, _ = guides("museum-padding").choice()
    row = re.search(r"x\[0,0,1,1\] +3 +-7 +15 of 16 differ", out)
    question = out.index("Find the fault:")
    assert row.start() < question < out.index("It is 2: ")
    assert f"It is 2: {right[:40]}" in out.replace("\n", " ")
    assert "shifted[..., :-1, :-1] = gx[..., 1:, 1:]" in out


# the page


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("lessons")
    list(save_all(path, [ALL["descent"], ALL["shared"], ALL["museum-inplace"]]))
    return path


def guide_text(page):
    return page.locator("#guide .told").inner_text()


def test_the_page_tells_every_step_and_asks_before_it(open_page, folder, guides):  # noqa: F811
    page = open_page(folder / "shared.html")
    told = guides("shared").told()
    moments = ["start", "forward 1", "forward 2", "seed"]
    moments += ["backward 0", "backward 0 again", "backward 1", "backward 1 again"]
    assert last_step(page) == len(moments) - 1
    assert ALL["shared"].aim in page.locator("#guide").inner_text()
    for number, moment in enumerate(moments):
        assert guide_text(page) == told[moment]["text"]
        following = told[moments[number + 1]] if number < len(moments) - 1 else {}
        assert page.locator("#prediction").count() == ("ask" in following)
        page.keyboard.press("ArrowRight")
    assert guides("shared").summary() in page.locator("#guide .summary").inner_text()
    assert page.locator("#guide a[rel=next]").get_attribute("href") == "broadcasting.html"


def test_a_prediction_is_judged_at_the_next_step(open_page, folder):  # noqa: F811
    page = open_page(f"{(folder / 'shared.html').as_uri()}#step=3")
    page.locator("#prediction").fill("two")
    page.keyboard.press("Enter")
    assert "Please type a number" in page.locator("#prediction-note").inner_text()
    page.locator("#prediction").fill("1")
    page.keyboard.press("Enter")
    assert page.locator("#slider").input_value() == "4"
    assert "You predicted 1; it is 2." in page.locator("#guide .verdict").inner_text()
    page.keyboard.press("ArrowRight")
    page.locator("#prediction").fill("4")
    page.get_by_role("button", name="Predict and step").click()
    assert "You predicted 4: right." in page.locator("#guide .verdict.good").inner_text()


def test_notes_appear_by_a_key_and_in_a_second_window(open_page, folder, guides):  # noqa: F811
    page = open_page(f"{(folder / 'descent.html').as_uri()}#step=0")
    told = guides("descent").told()
    assert page.locator(".note").count() == 0
    page.keyboard.press("n")
    assert told["start"]["note"] in page.locator(".note").inner_text()
    with page.expect_popup() as opened:
        page.keyboard.press("w")
    speaker = opened.value
    assert told["start"]["note"] in speaker.locator("body").inner_text()
    speaker.get_by_role("button", name="Step").click()
    assert page.locator("#slider").input_value() == "1"
    assert told["forward 2"]["text"] in speaker.locator("body").inner_text()
    page.keyboard.press("ArrowRight")
    assert told["forward 4"]["text"] in speaker.locator("body").inner_text()
    page.keyboard.press("n")
    assert page.locator(".note").count() == 0


def test_the_fault_is_found_on_the_page(open_page, folder, guides):  # noqa: F811
    page = open_page(folder / "museum-inplace.html", width=390, height=844)
    page.keyboard.press("End")
    _, choices, right, why, _ = guides("museum-inplace").choice()
    rows = page.locator("#guide tbody tr").all_inner_texts()
    assert rows[-1].split("\t") == ["x[2]", "-18", "-6", "2 of 4 differ"]
    assert page.locator("#guide .summary").count() == 0
    page.get_by_role("button", name=next(c for c in choices if c != right)).click()
    assert "Not that." in page.locator("#fault").inner_text()
    page.get_by_role("button", name=right).click()
    assert "Found. " + why.replace("`", "") in page.locator("#fault").inner_text()
    assert "y *= y" in page.locator("#fault pre").inner_text()
    assert page.locator("#guide .summary").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_lesson_alone_has_no_dead_links(open_page, tmp_path):  # noqa: F811
    save_lesson(ALL["shared"], tmp_path / "one.html")
    page = open_page(tmp_path / "one.html")
    page.keyboard.press("End")
    assert page.locator("#guide a").count() == 0
    assert (
        "Next lesson: Broadcasting (--lesson broadcasting)" in page.locator("#guide").inner_text()
    )


def test_the_text_is_shown_as_text(open_page, tmp_path):  # noqa: F811
    odd = "<img src=x onerror=document.title=1> </script> {{data}}"
    one = ALL["shared"]._replace(title=odd, sections={**ALL["shared"].sections, "start": odd[:-9]})
    trace = Trace(one.build())
    save_html(trace, tmp_path / "odd.html", odd, page_guide(one, trace))
    page = open_page(tmp_path / "odd.html")
    assert guide_text(page) == odd[:-9].strip()
    assert page.locator("#guide img").count() == 0


def test_a_graph_of_ones_own_has_no_guide(open_page, tmp_path):  # noqa: F811
    save_html(shared.build(), tmp_path / "own.html")
    page = open_page(tmp_path / "own.html")
    page.keyboard.press("n")
    assert page.locator("#guide").is_hidden()


def test_the_index_leads_to_a_lesson(open_page, folder):  # noqa: F811
    page = open_page(folder / "index.html", width=390, height=844)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("link", name="A value used twice").click()
    assert page.locator("#title").inner_text() == "A value used twice"
    page.keyboard.press("End")
    assert page.locator("#guide .next").inner_text() == "Next lesson: Broadcasting"
    page.get_by_role("link", name="All lessons").click()
    assert page.locator("h1").inner_text() == "Backprop, step by step"
