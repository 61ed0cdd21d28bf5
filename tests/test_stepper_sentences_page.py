"""No false word on the page: what each step of each lesson says is recomputed from the graph, and
the quiz takes every right answer."""

import math
import re
from fractions import Fraction

import numpy as np
import pytest
from browser import open_page  # noqa: F401  (a fixture)
from sentences import Graph, equation, slope

import tinynet as tn
import tinynet.nn.functional as F
from tinynet import stepper
from tinynet.stepper.lessons import LESSONS
from tinynet.stepper.numbers import Replay
from tinynet.stepper.page import save_html

# What stands in the panel at each of some frames, as text.
COLLECT = """frames => frames.map((frame) => {
  state.pin(false);
  state.go(frame);
  const part = (name) => [...document.querySelectorAll("#panel details")]
    .find((d) => d.querySelector("summary").textContent === name);
  const texts = (root, what) => [...(root ? root.querySelectorAll(what) : [])]
    .map((e) => e.innerText);
  const rows = (root) => [...(root ? root.querySelectorAll("tbody tr") : [])]
    .map((tr) => [...tr.cells].map((cell) => cell.innerText));
  const sends = "What it sends back, in numbers";
  const one = () => ({
    about: texts(part(sends), "p.fine").join(" | "),
    rows: rows(part(sends)), sum: texts(part(sends), ".sum").join(),
  });
  const tabs = part(sends) ? part(sends).querySelectorAll(".tabs button").length : 0;
  const sent = tabs ? [] : [one()];
  for (let i = 0; i < tabs; i++) {
    part(sends).querySelectorAll(".tabs button")[i].click();
    sent.push(one());
  }
  const own = part("Gradient of this node");
  return {
    now: document.getElementById("now").innerText,
    selected: state.selected,
    made: texts(part("Rule"), ".rule.forward code").at(-1),
    sent, own: texts(own, ".sum").join(), from: rows(own), check: texts(own, ".check").join(),
    labels: rows(part("Softmax minus labels")),
  };
})"""


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("sentences"), {}

    def graph(name):
        if name not in made:
            trace = stepper.Trace(LESSONS[name].build())
            save_html(trace, folder / f"{name}.html", LESSONS[name].title)
            made[name] = folder / f"{name}.html", Graph(trace, Replay(trace))
        return made[name]

    return graph


def plain(text):
    """'gx[0, 1]' as the terminal writes it; one line."""
    text = text.replace("∞", "inf").replace("NaN", "nan").replace("\n", " ")
    return re.sub(r"(?<=\d), (?=\d+[\],])", ",", text)


def place(text):
    inside = re.search(r"\[([\d, ]*)\]", text)
    return tuple(int(k) for k in inside[1].split(",")) if inside and inside[1] else ()


def close(a, b, size=0.0):
    return float(a) == pytest.approx(float(b), rel=2e-5, abs=1e-9 + 2e-5 * size)


def check_sent(graph, step, i, said):
    if not said["sum"]:
        return
    target = graph.trace.nodes[step.node.inputs[i]]
    sum_text = plain(said["sum"])
    gx, sign, value = re.match(r"(\S+) (\+?=) (\S+)", sum_text).groups()
    index = place(gx)
    assert gx.partition("[")[0] == target.gradient_symbol
    assert sign == ("+=" if target.contributions > 1 else "=")
    assert close(value, step.gxs[i][index])
    if target.contributions > 1:
        k, n, word, total = re.search(
            r"Contribution (\d+) of (\d+); (in all|so far) \S+ = (\S+)\.$", sum_text
        ).groups()
        assert (int(k), int(n)) == (step.arrived[i], target.contributions)
        assert word == ("in all" if k == n else "so far")
        assert close(total, step.totals[i][index])
    slopes = slope(graph.replay, step.node, i, index, None)
    sizes = np.abs(slopes)
    moved = re.search(r"moves ([\d,]+|no) elements? of (\S+?)\.", said["about"])
    if moved:
        count = int(moved[1].replace("no", "0").replace(",", ""))
        assert (sizes > 1e-7 * sizes.max()).sum() <= count <= (sizes > 1e-11 * sizes.max()).sum()
        assert moved[2] == step.node.symbol
    total = 0.0
    for row in said["rows"]:
        if row[0].endswith(" more"):
            assert int(row[0].split()[0].replace(",", "")) == count - len(said["rows"]) + 1
        else:
            k = place(row[0])
            assert row[0].partition("[")[0] == step.node.symbol
            assert close(row[1], step.gy[k]) and close(row[2], slopes[k], 50 * sizes.max())
            assert close(row[3], float(row[1]) * float(row[2]), 1e-5)
        total += float(row[3])
    if said["rows"]:
        assert close(total, value, max(abs(float(row[3])) for row in said["rows"]))


def check_own(graph, number, node, said):
    text = plain(said["own"])
    if not text:
        return
    name, loss, what, value = re.match(r"(\S+) = d (\S+) / d (\S+) = (\S+)", text).groups()
    assert name.partition("[")[0] == node.gradient_symbol and loss == graph.trace.loss.symbol
    assert what.partition("[")[0] == node.symbol
    got, total = graph.trace.arrived(node, number)
    assert close(value, total[place(what)])
    if got < node.contributions:
        assert f"so far: {got} of {node.contributions} contributions have arrived" in text
    else:
        assert "so far" not in text
    if said["check"]:
        fd = re.search(r"\(float64\): (\S+?),", said["check"])[1]
        index, eps = place(what), 1e-6
        moved = [graph.replay.values[node.number].copy() for _ in range(2)]
        moved[0][index] += eps
        moved[1][index] -= eps
        middle = np.subtract(*(graph.replay.loss(node.number, m) for m in moved)) / (2 * eps)
        assert float(fd) == pytest.approx(middle, rel=1e-3, abs=1e-6)
        apart = abs(middle - float(value)) > 1e-3 * max(abs(middle), abs(float(value))) + 1e-8
        assert ("✓" in said["check"]) == (not apart) or "≈" in said["check"], said["check"]


def check_now(graph, number, said):
    frame, text = graph.trace.frames[number], plain(said["now"])
    phase = {"start": "Start", "forward": "Forward"}.get(frame.phase, "Backward")
    assert text.startswith(f"Step {number} of {len(graph.trace.frames) - 1} · {phase}")
    assert said["selected"] == frame.node.number
    freed = re.search(r"frees ([\d,]+) bytes?\.", text)
    following = graph.trace.frames[number + 1 : number + 2]
    ends = frame.step and not (following and following[0].step is frame.step)
    expected = frame.step.freed_bytes if ends else 0
    assert (int(freed[1].replace(",", "")) if freed else 0) == expected
    if frame.phase == "forward":
        assert f"computes {frame.node.symbol}." in text
    for symbol, k, n in re.findall(r"(\S+) \((\d+) of (\d+)\)", text):
        target = next(graph.trace.nodes[frame.node.inputs[i]] for i in frame.sent
                      if graph.trace.nodes[frame.node.inputs[i]].symbol == symbol)  # fmt: skip
        i = next(i for i in frame.sent if frame.node.inputs[i] == target.number)
        assert (int(k), int(n)) == (frame.step.arrived[i], target.contributions)


def check_labels(graph, step, rows):
    """Rows of all tables, class by class: p, the target, their difference, the gradient."""
    logits = graph.trace.nodes[step.node.inputs[0]].value
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    target = step.node.op.target
    places = iter([(r, k) for r in range(len(logits)) for k in range(logits.shape[1])])
    for row in rows:
        r, k = next(places)
        assert ("label" in row[0]) == (target[r] == k) and row[0].startswith(str(k))
        hot = float(target[r] == k)
        for text, value in zip(
            row[1:], (p[r, k], hot, p[r, k] - hot, step.gxs[0][r, k]), strict=True
        ):
            if text != "not known yet":
                assert float(text) == pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize("name", LESSONS)
def test_what_each_step_says_is_recomputed(open_page, graphs, name):  # noqa: F811
    path, graph = graphs(name)
    page, trace = open_page(path), graph.trace
    assert page.evaluate("timeline.frames.length") == len(trace.frames)
    phases = page.evaluate("timeline.frames.map((f) => [f.phase, f.node, f.sent || []])")
    expected = [[f.phase, f.node.number, list(f.sent)] for f in trace.frames]
    assert phases == expected
    numbers = list(range(len(trace.frames)))
    numbers = numbers if len(numbers) < 60 else numbers[:12] + numbers[89::9]
    for number, said in zip(numbers, page.evaluate(COLLECT, numbers), strict=True):
        frame = trace.frames[number]
        step = next((s for s in trace.steps if s.node is frame.node), None)
        check_now(graph, number, said)
        check_own(graph, number, frame.node, said)
        if said["labels"]:
            check_labels(graph, step, said["labels"])
        if frame.phase == "backward":
            given = [i for i, gx in enumerate(step.gxs) if gx is not None]
            for i, sent in zip(given, said["sent"], strict=True):
                check_sent(graph, step, i, sent)
        for line in (said["made"] or "").split("\n") if step and number >= 1 else ():
            if line and not re.match(r"p = |label of|of channel|not known", line):
                equation(line, graph, step)


# the quiz

QUESTIONS = """() => timeline.frames.map((frame) => {
  const asked = quiz.question(frame);
  const { node, rank } = asked || {};
  return asked && { ...asked, rank, at: data.nodes[node].elements[rank].at };
})"""
# At each [frame, answers] of the page's quiz: the question, and the verdict on each answer.
ANSWER = """cases => {
  if (document.getElementById("quiz").hidden) document.getElementById("quiz-toggle").click();
  return cases.map(([number, answers, asked]) => {
    if (asked) state.choose(asked.node, asked.rank); // the quiz keeps to a chosen element
    state.go(number);
    const question = document.querySelector("#quiz label").innerText;
    const verdicts = answers.map((text) => {
      document.getElementById("answer").value = text;
      document.querySelector("#quiz form").requestSubmit();
      return document.getElementById("verdict").innerText;
    });
    return [question, verdicts];
  });
}"""
JUDGE = """cases => cases.map(([truth, zero, way]) =>
  quiz.parse(way).some((n) => quiz.right(n, truth, zero)))"""


def right_answers(truth):
    """Ways to write a number that is right."""
    digits = f"{truth:.2g}"
    ways = [repr(truth), f"{truth:.6g}", digits, f"{truth:e}", f" = {truth:.8g} "]
    ways += [digits.replace(".", ","), digits.replace("-", "−")]
    small = Fraction(truth).limit_denominator(1000)
    if math.isclose(small, truth, rel_tol=1e-9):
        ways.append(str(small))
    if abs(truth) >= 1000:
        ways.append(f"{truth:,.3f}")
    if abs(truth) < 1e-12:
        ways = ["0", "0.0", "-0"]
    return ways


@pytest.mark.parametrize("name", LESSONS)
def test_the_quiz_takes_every_right_answer_of_every_step(open_page, graphs, name):  # noqa: F811
    path, graph = graphs(name)
    page, trace = open_page(path), graph.trace
    asked = [(n, q) for n, q in enumerate(page.evaluate(QUESTIONS)) if q]
    backward = [n for n, frame in enumerate(trace.frames) if frame.phase == "backward"]
    assert [number for number, _ in asked] == backward
    ways, cases, names = [], [], []
    for number, question in asked:
        frame, index = trace.frames[number], tuple(question["at"])
        assert question["input"] in frame.sent
        target = trace.nodes[frame.node.inputs[question["input"]]]
        assert target.number == question["node"]
        truth = float(frame.step.gxs[question["input"]][index])
        answers = right_answers(truth)
        ways += [[question["truth"], question["zero"], way] for way in answers]
        wrong = [repr(truth + sign * max(1.0, abs(truth))) for sign in (-1, 1)]
        cases.append([number, [*wrong, answers[0]], question])
        place = f"[{', '.join(map(str, index))}]" if index else ""
        names.append((f"{target.gradient_symbol}{place}?", target.contributions > 1))
    judged = page.evaluate(JUDGE, ways)
    assert [way for way, right in zip(ways, judged, strict=True) if not right] == []
    every = 1 if len(cases) < 40 else 12  # drawing a large page takes long
    cases, names = cases[::every], names[::every]
    for (question, verdicts), (name, shared) in zip(
        page.evaluate(ANSWER, cases), names, strict=True
    ):
        assert question.endswith(name) and ("this step alone" in question) == shared
        low, high, right = verdicts
        assert low.startswith(("Not right", "That is")), (question, low)
        assert high.startswith(("Not right", "That is")), (question, high)
        assert right.startswith("Right"), (question, right)


@pytest.mark.parametrize("name", LESSONS)
def test_each_element_that_could_be_asked_for_takes_its_right_answers(open_page, graphs, name):  # noqa: F811
    path, graph = graphs(name)
    truths = {float(gx[index]) for step in graph.trace.steps for gx in step.gxs if gx is not None
              for index in list(np.ndindex(gx.shape))[:24]}  # fmt: skip
    ways = [[truth, 1e-9, way] for truth in truths for way in right_answers(truth)]
    judged = open_page(path).evaluate(JUDGE, ways)
    assert [way for way, right in zip(ways, judged, strict=True) if not right] == []


def test_the_total_is_told_from_the_contribution_that_is_asked_for(open_page, graphs):  # noqa: F811
    page = open_page(graphs("shared")[0])
    ((question, (total, right)),) = page.evaluate(ANSWER, [[5, ["2", "1"]]])
    assert "(2nd use of b)" in question
    assert total.startswith("That is gb so far, with what came before")
    assert right.startswith("Right")


# NaN, float32, rounding


def saved(tmp_path, loss):
    save_html(loss, tmp_path / "page.html")
    return tmp_path / "page.html"


def test_the_first_nan_is_named_and_marked(open_page, tmp_path):  # noqa: F811
    x = tn.tensor([4.0, 0.0], requires_grad=True)
    with stepper.record():
        roots = x.sqrt()
        ratios = roots / x
        loss = (ratios * 2).sum()
    page = open_page(saved(tmp_path, loss))
    said = page.locator("#first-bad").inner_text()
    assert "first made in ratios = Divide, step 2." in said
    assert "In the gradients: first made by the backward of ratios = Divide, step 8." in said
    page.wait_for_selector("[data-id=n2] .first-bad")
    assert page.locator(".first-bad").count() == 1
    assert "first NaN or infinity" in page.locator("[data-id=n2]").get_attribute("aria-label")
    page.get_by_role("button", name="step 2", exact=True).click()
    assert page.evaluate("state.frame") == 2


def test_no_tick_for_a_wrong_gradient_however_small(open_page, tmp_path):  # noqa: F811
    class Half(tn.autograd.tape.Function):
        def forward(self, x):
            self.save(x)
            return x * x

        def backward(self, gy):
            return gy * self.saved[0]

    x = tn.Tensor(np.array([2.0]), requires_grad=True)
    with stepper.record():
        loss = (Half.apply(x) * 1e-9).sum() + 1
    page = open_page(f"{saved(tmp_path, loss).as_uri()}#step=99&node=0")
    assert page.locator(".check").inner_text().startswith("≠")


def test_a_kink_between_the_dtypes_is_the_reason_given(open_page, tmp_path):  # noqa: F811
    x = tn.Tensor(np.array([0.1, 3.0], np.float32), requires_grad=True)
    with stepper.record():
        loss = F.relu(x * 10 - 1).sum()
    page = open_page(f"{saved(tmp_path, loss).as_uri()}#step=99&node=0")
    said = page.locator(".check").inner_text()
    assert "other side of a kink in float32" in said and "NaN" not in said
