"""The teaching kit: slides with notes and figures, minutes that add up, questions with answers."""

import importlib.util
import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tinynet.exercises import __main__ as exercises
from tinynet.exercises.course import COURSE
from tinynet.stepper import Trace
from tinynet.stepper.lessons import ALL

TEACHING = Path(__file__).resolve().parent.parent / "docs" / "teaching"
MOST_WORDS = 55  # that can be read from the last row while somebody talks


def page(name):
    return (TEACHING / name).read_text(encoding="utf-8")


def rows(text, columns):
    """The cells of every table row with so many columns, heads and rules left out."""
    cells = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in row] for row in cells]
    return [row for row in cells if len(row) == columns and not row[0].startswith("---")]


class Slide:
    def __init__(self, text):
        notes = re.findall(r"<!--\n(.*?)\n-->", text, re.DOTALL)
        self.notes = notes[0] if len(notes) == 1 else ""
        self.asks = "_class: question" in text
        self.shown = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
        self.figures = re.findall(r"!\[.+?\]\((.+?)\)", self.shown)
        found = re.match(r"(\d+) minutes?[.,]", self.notes)
        self.minutes = int(found.group(1)) if found else 0

    def words(self):
        text = re.sub(r"!\[.*?\]\(.*?\)|\$\$.*?\$\$|[|:-]{3,}", "", self.shown, flags=re.DOTALL)
        return re.findall(r"[A-Za-z]\w*", text)


SLIDES = [Slide(text) for text in page("slides.md").split("\n---\n")[1:]]


@pytest.mark.parametrize("number", range(1, len(SLIDES) + 1))
def test_a_slide_has_notes_with_minutes_and_few_words_and_its_figures_exist(number):
    slide = SLIDES[number - 1]
    assert slide.minutes, "notes begin with `2 minutes.`"
    assert len(slide.notes.split()) > 15
    assert len(slide.words()) <= MOST_WORDS
    for figure in slide.figures:
        assert figure.endswith(".svg")
        assert (TEACHING / figure).is_file()


def test_the_slides_take_ninety_minutes_and_each_question_has_its_answer():
    assert sum(slide.minutes for slide in SLIDES) == 90
    asking = [slide.asks for slide in SLIDES]
    assert sum(asking) >= 10
    assert not any(asks and then for asks, then in pairwise(asking))  # the last one asks
    assert f"its {len(SLIDES)} slides" in page("README.md")


def slide(title):
    return next(slide.shown for slide in SLIDES if f"## {title}\n" in slide.shown)


def test_the_numbers_worked_out_on_slides():
    x = np.array([[[2, -2, -2], [-1, -2, 2], [2, 0, -2]], [[-2, -1, 0], [1, 0, -1], [-2, 1, 1]]])
    d = np.array([[[1, 2], [-1, 3]], [[2, 0], [1, -2]]])
    p, gm = np.array([[1, 2], [1, 3]]), np.array([[[1, -1], [2, 1]], [[3, 1], [-2, 1]]])
    m = [(x[c, :2, :2] * d[c]).sum() for c in range(2)]
    y = p @ m
    forward = slide("One channel at a time, one pixel at a time")
    assert f"= **{m[0]}**, then **{y[0]}** and **{y[1]}**" in forward
    assert f"m[1] is {m[1]} there" in slide("Forward, by hand")
    flipped = d[:, ::-1, ::-1]
    assert f"**{(flipped[0] * gm[0]).sum()}**" in slide("Outputs run forward, taps run backward")
    pairs = slide("A pixel collects, a weight sums")
    assert f"= **{(flipped[1] * gm[1]).sum()}**" in pairs
    assert f"= **{(x[0, :2, 1:] * gm[0]).sum()}**" in pairs
    first, second = p.T @ (0, 1)  # gm at one pixel, of gy
    assert f"= **{first}** " in slide("It is a matrix product, both ways")
    assert f"= **{second}**\n" in slide("It is a matrix product, both ways")
    ratios = [f"O = {O}: {1 / (1 / O + 1 / 9):.2f} times less" for O in (64, 1024)]
    assert all(ratio in slide("The pointwise part") for ratio in ratios)


def test_the_measured_numbers_on_slides_are_those_of_the_results():
    file = TEACHING.parent / "results" / "ablations" / "results.json"
    studies = json.loads(file.read_text(encoding="utf-8"))["studies"]
    found = {(study, row["label"]): row for study, rows in studies.items() for row in rows}
    full, separable = found["convolution", "full"], found["convolution", "separable"]
    accuracies = ["{:.1f} ± {:.1f} %".format(*row["test_accuracy"]) for row in (full, separable)]
    assert " | ".join(accuracies) in slide("1.1 points in the paper, 4.1 in ours")
    shares = {"multiply-adds": separable["mult_adds"] / full["mult_adds"]}
    for name, step in (
        ("forward, 128 images", "forward, batch 128"),
        ("forward, one image", "forward, batch 1"),
        ("training step", "training step, batch 128"),
    ):
        shares[name] = separable["ms"][step] / full["ms"][step]
    for name, share in shares.items():
        assert f"| {name} | {share:.2f} |" in slide("A quarter, 0.71, a third")

    def per_halving(before, after):
        lost = before["test_accuracy"][0] - after["test_accuracy"][0]
        return lost / np.log2(before["mult_adds"] / after["mult_adds"])

    narrower = [per_halving(separable, found["width", width]) for width in ("0.75", "0.5", "0.25")]
    smaller = [per_halving(separable, found["resolution", size]) for size in ("28", "24", "20")]
    assert (
        f"splitting **{per_halving(full, separable):.1f}**, narrower **{min(narrower):.1f} to "
        f"{max(narrower):.1f}**, smaller images **{min(smaller):.1f} to {max(smaller):.1f}**"
    ) in slide("What else would save as much?")


def test_the_lessons_that_notes_and_room_open_exist_with_that_step():
    link = r"lessons/([\w-]+)\.html#step=(\d+)&lecture=1"
    of_notes = [
        (str(number), *found)
        for number, slide in enumerate(SLIDES, 1)
        for found in re.findall(link, slide.notes)
    ]
    of_room = re.findall(rf"^\| (\d+) \| `{link}`", page("README.md"), re.MULTILINE)
    assert of_notes == of_room != []
    for _, name, step in of_notes:
        trace = Trace(ALL[name].build())
        assert 0 < int(step) <= trace.seed + sum(map(steps_on_the_page, trace.steps)), name


def steps_on_the_page(step):
    """An op that has one tensor twice among its inputs takes a step for each of them."""
    return max(Counter(step.node.inputs).values())


def test_the_plan_of_ninety_minutes_follows_the_slides():
    clock, slides = 0, []
    for start, minutes, numbers, *_ in rows(page("ninety-minutes.md"), 5)[1:]:
        hours, past = map(int, start.split(":"))
        assert 60 * hours + past == clock, start
        first, *last = map(int, re.findall(r"\d+", numbers))
        part = range(first, (last or [first])[0] + 1)
        assert sum(SLIDES[number - 1].minutes for number in part) == int(minutes), start
        clock, slides = clock + int(minutes), [*slides, *part]
    assert clock == 90
    assert slides == list(range(1, len(SLIDES) + 1))


def test_what_can_be_cut_saves_what_it_says():
    cuts = rows(page("ninety-minutes.md").split("## If time is short")[1], 3)[1:6]
    saved = 0
    for saves, what, _ in cuts:
        first, *last = map(int, re.findall(r"\d+", what))
        part = range(first, (last or [first])[0] + 1)
        assert sum(SLIDES[number - 1].minutes for number in part) == int(saves), what
        saved += int(saves)
    pairs = sum(SLIDES[number - 1].minutes for number in (23, 24))
    assert f"saves {saved} minutes" in page("ninety-minutes.md")
    assert f"take {pairs} more" in page("ninety-minutes.md")
    assert f"fits into {90 - saved - pairs}." in page("ninety-minutes.md")


def test_every_session_of_the_four_weeks_takes_ninety_minutes():
    sessions = re.split(r"^### Session \d.*$", page("four-weeks.md"), flags=re.MULTILINE)[1:]
    assert len(sessions) == 8
    for session in sessions:
        table = session.split("**Homework")[0].split("## ")[0]
        assert sum(int(minutes) for minutes, *_ in rows(table, 3)[1:]) == 90, session[:200]


def test_the_four_weeks_set_every_exercise_once_and_name_lessons_that_exist():
    text = page("four-weeks.md")
    homework = " ".join(re.findall(r"^\*\*Homework.*?\n\n", text, re.MULTILINE | re.DOTALL))
    names = re.findall(r"`([\w-]+)`", homework)
    assert sorted(name for name in names if name not in ALL) == sorted(COURSE)
    weekly = [row[3] for row in rows(text, 4)[1:]]
    assert sum(map(int, weekly)) == len(COURSE)
    for listed in re.findall(r"lessons? ((?:`[\w-]+`,? ?)+)", text):
        for name in re.findall(r"`([\w-]+)`", listed):
            assert name in ALL, name


QUESTION = re.compile(r"^### Question (\d+) \((\w+), (\d+) minutes?\)\n(.*?)(?=^#|\Z)", re.M | re.S)
QUESTIONS = {
    int(n): (level, int(m), text) for n, level, m, text in QUESTION.findall(page("quiz-bank.md"))
}


def test_the_bank_has_forty_questions_with_answers_and_wrong_answers():
    assert list(QUESTIONS) == list(range(1, 41))
    for number, (level, minutes, text) in QUESTIONS.items():
        assert level in ("recall", "compute", "explain"), number
        assert 1 <= minutes <= 5, number
        question, answer, wrong = re.split(r"^- \*\*(?:Answer|Wrong):\*\* ", text, flags=re.M)
        assert all(len(part.split()) >= 5 for part in (question, answer, wrong)), number
    assert Counter(level for level, *_ in QUESTIONS.values()).keys() == {
        "recall",
        "compute",
        "explain",
    }


def test_each_topic_has_five_questions_and_its_numbers_are_asserted():
    bank = page("quiz-bank.md")
    topics = [row[0] for row in rows(bank, 3)[1:]]
    parts = re.split(r"^## (.*)\n", bank, flags=re.MULTILINE)
    assert parts[1::2] == topics
    for part in parts[2::2]:
        numbers = [int(number) for number, *_ in QUESTION.findall(part)]
        assert len(numbers) == 5
        (block,) = re.findall(r"^```python\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)
        asserted = set(map(int, re.findall(r"# (\d+)\b", block)))
        computed = {number for number in numbers if QUESTIONS[number][0] == "compute"}
        assert computed <= asserted, computed - asserted


def test_the_marking_guide_has_points_for_every_exercise_and_sums_that_are_right():
    guide = page("marking-guide.md")
    exercises, _, rest = guide.partition("### A folder of submissions")
    points = {row[0].strip("`"): int(row[1]) for row in rows(exercises, 3)[1:]}
    assert list(points) == list(COURSE)
    assert sum(points.values()) == 50
    assert "Fifty points" in exercises
    project, _, exam = rest.partition("## An exam")
    assert sum(int(row[1]) for row in rows(project, 4)[1:]) == 40
    assert "Forty points" in project
    asked = {int(number): int(score) for number, score, _ in rows(exam, 3)[1:]}
    assert asked == {number: QUESTIONS[number][1] for number in asked}
    assert sum(asked.values()) == 60
    assert "Sixty points" in exam


def test_the_marking_guide_quotes_what_a_check_prints(tmp_path, capsys):
    flip = "w[:, 0, K - 1 - i, K - 1 - j, None, None]"
    for name in ("conv_size", "depthwise_gx", "separable_cost"):
        source = COURSE[name].source.replace("w[:, 0, i, j, None, None]", flip)
        (tmp_path / f"{name}.py").write_text(f"import numpy as np\n\n\n{source}", encoding="utf-8")
    with pytest.raises(SystemExit) as end:
        exercises.main(["check", "--dir", str(tmp_path)])
    assert end.value.code == 1
    assert capsys.readouterr().out in page("marking-guide.md")


# The builder of the slides, without Marp.

spec = importlib.util.spec_from_file_location("teaching_build", TEACHING / "build.py")
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)


def test_figures_are_put_into_the_page(tmp_path):
    (tmp_path / "dot.svg").write_text("<svg/>", encoding="utf-8")
    html = '<img src="dot.svg" alt="a dot"><img src="data:image/svg+xml;base64,eA==">'
    made = build.with_figures(html, tmp_path)
    assert made == html.replace("dot.svg", "data:image/svg+xml;base64,PHN2Zy8+")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "[ INFO ] Converting\n[ ERROR ] No browser\n          found.\n/root/x.js:1\ncode",
            "No browser found.",
        ),
        (
            "npm error code E404\nnpm error 404 Not Found",
            "npx could not download it; the first time it needs a network",
        ),
        ("", "it failed and said nothing"),
    ],
)
def test_a_failure_is_one_sentence(said, reason):
    assert build.reason(said) == reason


def test_without_npx_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(build, "BUILD", tmp_path / "build")
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match=r"npx was not found; install Node\.js 18 or newer"):
        build.main()
    assert not (tmp_path / "build").exists()
