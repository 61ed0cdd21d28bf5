"""No false word: every line with a number that the stepper writes of a lesson is recomputed."""

import re

import numpy as np
import pytest
from sentences import NUMBER, Graph, equation, slope
from walks import answer, leaf, shown

import tinynet as tn
import tinynet.nn as nn
import tinynet.nn.functional as F
from tinynet.autograd.tape import Function
from tinynet.stepper import Trace, record, text
from tinynet.stepper.formula import formula, local_letters
from tinynet.stepper.lessons import LESSONS
from tinynet.stepper.numbers import Replay
from tinynet.stepper.terminal.screen import Screens


@pytest.fixture(scope="module")
def graphs():
    found = {name: Trace(lesson.build()) for name, lesson in LESSONS.items()}
    return {name: Graph(trace, Replay(trace)) for name, trace in found.items()}


@pytest.fixture
def unwrapped(monkeypatch):
    monkeypatch.setattr(text, "WIDTH", 100_000)


def labelled(lines):
    """(label, line) of a screen: the label stands before the first line of a field."""
    label = ""
    for line in lines:
        label = line[2:12].strip() or label if line.startswith("  ") else "title"
        yield label, line[12:] if line.startswith("  ") else line


class Reader:
    """Checks the lines of a step one after the other; each must be of a kind that it knows."""

    def __init__(self, graph, number):
        self.graph, self.number = graph, number
        self.frame = graph.trace.frames[number]
        self.step, self.node = self.frame.step, self.frame.node
        self.terms, self.paths = [], {}

    def shapes(self, line):
        for name, shape in re.findall(r"(\S+) (\([\d, ]*\))", line):
            nodes = self.graph.values.get(name, []) + self.graph.gradients.get(name, [])
            near = [n for n in nodes if n.number in (*self.node.inputs, self.node.number)]
            assert any(str(n.shape) == shape for n in near), line

    def memory(self, line):
        if line == "kept for the next use":
            assert self.graph.trace.frames[self.number + 1].step is self.step
            return
        saved, freed = re.fullmatch(
            r"the op had saved (?:([\d,]+) bytes?|nothing); freed by now: ([\d,]+) bytes?", line
        ).groups()
        assert int((saved or "0").replace(",", "")) == self.node.saved_bytes
        before = sum(s.freed_bytes for s in self.graph.trace.steps[: self.step.number + 1])
        assert int(freed.replace(",", "")) == before

    def out(self, line):
        """'gb += 1 (2nd use of b), contribution 2 of 2', 'gb = 2 in all, complete'"""
        match = re.search(r"contribution (\d+) of (\d+)", line)
        if match:
            i = self.frame.sent[0] if len(self.frame.sent) == 1 else None
            name = re.match(r"(\S+) \+=", line)[1]
            if i is None:
                i = next(
                    k
                    for k in self.frame.sent
                    if self.graph.trace.nodes[self.node.inputs[k]].gradient_symbol == name
                )
            target = self.node.inputs[i]
            uses = [
                (s.number, k)
                for s in self.graph.trace.steps
                for k, other in enumerate(s.node.inputs)
                if other == target and s.gxs[k] is not None
            ]
            assert (int(match[1]), int(match[2])) == (
                uses.index((self.step.number, i)) + 1,
                len(uses),
            )
        one = re.match(rf"(\S+) (\+?=) ({NUMBER})(?: everywhere)?(?: |$|,)", line)
        if one:
            name, sign, value = one.groups()
            known = [
                array
                for k in self.frame.sent
                if self.graph.trace.nodes[self.node.inputs[k]].gradient_symbol == name
                for array in (
                    (self.step.gxs[k],) if sign == "+=" else (self.step.gxs[k], self.step.totals[k])
                )
            ]
            assert any(np.allclose(array, float(value), rtol=1e-5) for array in known), line

    def numbers(self, line):
        if line.startswith("  "):
            self.inner(line.strip())
        elif match := re.match(
            r"(\S+) \+?= the sum over the ([\d,]+) outputs that move with (\S+) of", line
        ):
            self.summed, count, self.what = match.groups()
            self.terms, self.count = [], int(count.replace(",", ""))
            name, index = self.what.partition("[")[::2]
            index = tuple(int(k) for k in index.rstrip("]").split(",")) if index else ()
            self.i = next(
                k for k in self.frame.sent
                if self.graph.trace.nodes[self.node.inputs[k]].symbol == name
            )  # fmt: skip
            self.index = index
            slopes = np.abs(slope(self.graph.replay, self.node, self.i, index, None))
            most, least = ((slopes > part * slopes.max()).sum() for part in (1e-11, 1e-7))
            assert least <= self.count <= most, line
        elif match := re.match(r"p = softmax\((\S+)\[(\d+)\]\) = \[(.*)\]", line):
            logits = self.graph.known(f"{match[1]}[{match[2]},0]", self.step) and self.logits()
            row = np.exp(logits[int(match[2])])
            listed = [float(v) for v in match[3].replace(", ...", "").split(", ")]
            np.testing.assert_allclose(listed, (row / row.sum())[: len(listed)], rtol=1e-5)
        elif match := re.match(
            r"label of row (\d+): (\d+), so p\[(\d+)\] = (\S+) should be 1", line
        ):
            r, label, same = int(match[1]), int(match[2]), int(match[3])
            assert label == same == self.node.op.target[r]
            row = np.exp(self.logits()[r])
            np.testing.assert_allclose(float(match[4]), row[label] / row.sum(), rtol=1e-5)
        elif match := re.match(r"of channel (\d+): mean = (\S+), std = (\S+)", line):
            x = self.graph.trace.nodes[self.node.inputs[0]].value[:, int(match[1])]
            np.testing.assert_allclose(float(match[2]), x.mean(), rtol=1e-4, atol=1e-6)
            std = np.sqrt(x.var() + self.node.op.eps)
            np.testing.assert_allclose(float(match[3]), std, rtol=1e-5)
        elif line.endswith("by its three paths:"):
            self.paths = {"of": line.split()[0]}
        elif ": softmax minus" in line:
            left, _, rest = line.partition(": softmax minus ")
            assert equation(f"{left} = {rest.partition(': ')[2]}", self.graph, self.step) == "graph"
        elif ": no output moves with" in line:
            left, total = re.match(r"(\S+) \+?= (\S+):", line).groups()
            assert float(total) == 0 and 0 in self.graph.known(left, self.step)
        else:
            equation(line, self.graph, self.step)

    def logits(self):
        return self.graph.trace.nodes[self.node.inputs[0]].value

    def inner(self, line):
        if match := re.match(
            r"(directly|through the mean|through the variance|together) +(\S+)$", line
        ):
            self.paths[match[1]] = float(match[2])
            if match[1] == "together":
                of = self.paths.pop("of")
                *three, together = self.paths.values()
                assert sum(three) == pytest.approx(together, rel=1e-4, abs=1e-6)
                assert len(three) == 3
                assert together == pytest.approx(
                    self.graph.known(of, self.step)[0], rel=1e-4, abs=1e-9
                )
            return
        if match := re.match(r"the ([\d,]+) others add (\S+)$", line):
            assert int(match[1].replace(",", "")) == self.count - len(self.terms)
            self.terms.append(float(match[2]))
            return
        if line.startswith("= "):
            total = float(re.match(r"= (\S+)", line)[1])
            size = max(map(abs, self.terms))
            assert sum(self.terms) == pytest.approx(total, rel=1e-4, abs=1e-4 * size)
            known = self.graph.known(self.summed, self.step)
            assert any(total == pytest.approx(value, rel=1e-4, abs=1e-6 * size) for value in known)
            return
        match = re.match(r"(\S+) \* d(\S+)/d\S+ += (\S+) \* (\S+) +?= (\S+)$", line)
        gy, y, come, steep, product = match.groups()
        steep = float(steep.strip("()"))
        k = tuple(int(n) for n in y.partition("[")[2].rstrip("]").split(",")) if "[" in y else ()
        assert float(come) == pytest.approx(float(self.step.gy[k]), rel=1e-5)
        there = slope(self.graph.replay, self.node, self.i, self.index, k)
        assert steep == pytest.approx(there, rel=1e-3, abs=1e-7)
        assert float(product) == pytest.approx(float(come) * steep, rel=1e-4)
        self.terms.append(float(product))

    def came(self, line):
        match = re.match(rf"(\S+) = ({NUMBER})(?: everywhere)?$", line)
        if match:
            assert np.allclose(self.step.gy, float(match[2]), rtol=1e-5)

    def value(self, line):
        match = re.match(rf"(\S+) = ({NUMBER})$", line)
        if match:
            nodes = [self.graph.trace.nodes[i] for i in (*self.node.inputs, self.node.number)]
            known = [n.value for n in nodes if match[1] in (n.symbol, n.name)]
            assert any(np.allclose(value, float(match[2]), rtol=1e-5) for value in known), line

    def title(self, line):
        number, last, symbol, node = re.match(
            r"Step (\d+) of (\d+): (\S+) = \w+ \(#(\d+)\)", line
        ).groups()
        assert int(number) == self.number and int(last) == len(self.graph.trace.frames) - 1
        assert symbol == self.node.symbol and int(node) == self.node.number

    KINDS = {
        "title": title, "shapes": shapes, "memory": memory, "goes out": out, "numbers": numbers,
        "came in": came, "values": value,
    }  # fmt: skip


@pytest.mark.parametrize("name", LESSONS)
def test_every_line_of_every_step_is_recomputed(graphs, unwrapped, name):
    graph = graphs[name]
    screens, read = Screens(graph.trace), 0
    frames = range(graph.trace.seed + 1, len(graph.trace.frames))
    for number in frames if len(frames) < 40 else frames[::4]:
        reader = Reader(graph, number)
        for label, line in labelled(screens.step(number)):
            kind = reader.KINDS.get(label)
            if kind is not None:
                kind(reader, line)
                read += 1
            else:
                assert label in ("forward", "backward", "where", "options"), (label, line)
    assert read > 4 * len(graph.trace.steps[:10])


@pytest.mark.parametrize("name", LESSONS)
def test_the_letters_of_a_formula_are_names_of_its_tensors_or_of_nothing_in_the_graph(graphs, name):
    trace = graphs[name].trace
    taken = {n.symbol for n in trace.nodes} | {n.gradient_symbol for n in trace.nodes}
    for step in trace.steps:
        node = step.node
        mine = {trace.nodes[i].symbol for i in node.inputs} | {node.symbol}
        mine |= {trace.nodes[i].gradient_symbol for i in node.inputs} | {node.gradient_symbol}
        said = formula(trace, node)
        for word in re.findall(r"[A-Za-z_]\w*", " ".join(said)):
            assert word not in taken or word in mine, (node.title, word)


def test_a_rule_never_uses_a_name_of_the_graph_for_another_thing():
    """All letters that a rule indexes with are tensors here."""
    x, w = leaf(np.ones((1, 2, 3, 3))), leaf(np.ones((2, 2, 2, 2)))
    with record():
        h = F.conv2d(x, w)
        i, n, c = h * 2, h + 1, h * h
        a = i + n
        o = a * c
        loss = o.sum()
    trace = Trace(loss)
    conv = next(step.node for step in trace.steps if step.node.name == "Conv2d")
    said = formula(trace, conv)
    taken = {node.symbol for node in trace.nodes} - {"x", "w", "h"}
    assert {"i", "n", "c", "o"} <= taken
    assert not taken & {*re.findall(r"[A-Za-z_]\w*", " ".join(said[:3]))}
    assert re.match(r"h\[(\w),(\w),(\w),(\w)\] = sum over \w,\w,\w of w\[\2,", said.forward)
    add = next(step.node for step in trace.steps if step.node.label == "a")
    assert formula(trace, add)[:2] == ("a = i + n", "gi = ga, gn = ga")


def test_names():
    a, ga = leaf([1.0, 2.0]), leaf(2.0)
    with record():
        b = a * ga
        b = b + a
        loss = (b * 0.5).sum()
    trace = Trace(loss)
    assert [node.symbol for node in trace.nodes] == ["a", "ga", "b_1", "b_2", "0.5", "t5", "loss"]
    assert trace.nodes[0].gradient_symbol == "grad_a"  # ga is a tensor
    assert formula(trace, trace.nodes[2])[:2] == (
        "b_1 = a ga",
        "grad_a += gb_1 ga, gga = (gb_1 a) summed over its axis",
    )
    model = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    with record():
        y = model(tn.ones(1, 1)).sum()
    assert {n.symbol for n in Trace(y).nodes if n.kind == "parameter"} == {"weight", "bias"}


def test_every_local_letter_of_a_rule_is_found():
    x = leaf(np.ones((1, 1, 2, 2)))
    assert {"n", "o", "h", "w", "c", "i", "j", "r", "q", "sh", "dw", "top"} <= {
        *local_letters(F.conv2d(x, leaf(np.ones((1, 1, 1, 1)))).grad_fn)
    }
    y = F.batch_norm(x, None, None, leaf([1.0]), leaf([0.0]), training=True)
    assert {*local_letters(y.grad_fn)} == {"xhat", "std", "mean", "var"}


def test_a_broadcast_shows_its_sum():
    x, bias, one = leaf(np.arange(6.0).reshape(2, 3)), leaf([1.0, 2.0, 3.0]), leaf([[2.0]])
    with record():
        y = x + bias
        loss = (y * one).sum()
    trace = Trace(loss)
    add, multiply = (next(n for n in trace.nodes if n.name == k) for k in ("Add", "Multiply"))
    assert formula(trace, add).backward == "gx = gy, gbias = gy summed over axis 0"
    assert "gone = (gt4 y) summed over all axes" in formula(trace, multiply).backward
    said = answer(loss, "r add")
    assert "gbias[0] = the sum over the 2 outputs that move with bias[0] of" in said


def test_batchnorm_in_evaluation_has_the_rule_of_evaluation():
    x, mean, var = leaf(np.ones((1, 1, 2, 2))), tn.Tensor(np.ones(1)), tn.Tensor(np.ones(1))
    with record():
        loss = F.batch_norm(x, mean, var, leaf([1.0]), leaf([0.0])).sum()
    said = formula(Trace(loss), Trace(loss).steps[1].node)
    assert "gx = t3/std" not in said.backward and "mean(" not in said.backward
    assert "fixed (evaluation)" in said.where


# worked examples of ops that no lesson has


def recomputed(loss, op):
    trace = Trace(loss)
    graph = Graph(trace, Replay(trace))
    step = next(step for step in trace.steps if step.node.name == op)
    from tinynet.stepper.examples import made

    lines = 0
    for k in np.ndindex(step.node.shape):
        for line in made(graph.replay, step.node, k):
            if re.match(r"p = |label of|of channel", line):
                continue
            equation(re.sub(r"max of \S+ there = |min of \S+ there = ", "", line), graph, step)
            lines += 1
    assert lines >= np.prod(step.node.shape, dtype=int)


@pytest.mark.parametrize(("op", "compute"), [
    ("Softmax", lambda x: F.softmax(x[0, 0], 1)),
    ("LogSoftmax", lambda x: F.log_softmax(x[0, 0], 0)),
    ("MaxPool2d", lambda x: F.max_pool2d(x, 2, stride=1, padding=1)),
    ("AveragePool2d", lambda x: F.avg_pool2d(x, 2, stride=2, padding=1)),
    ("AdaptiveAveragePool2d", lambda x: F.adaptive_avg_pool2d(x, 2)),
    ("Max", lambda x: x.amax(1, keepdim=True)),
    ("Mean", lambda x: x.mean(2)),
    ("MatMul", lambda x: x @ x),
    ("Exp", lambda x: x.exp()),
    ("Sigmoid", lambda x: x.sigmoid()),
    ("Tanh", lambda x: x.tanh()),
    ("Clip", lambda x: x.clamp(-0.5, 0.5)),
])  # fmt: skip
def test_a_worked_example_suffices_to_recompute_the_result(rng, op, compute):
    x = leaf(rng.standard_normal((1, 2, 3, 3)))
    with record():
        loss = compute(x).sum()
    recomputed(loss, op)


@pytest.mark.parametrize("options", [
    {}, {"label_smoothing": 0.1}, {"ignore_index": 1}, {"weight": tn.Tensor(np.array([1.0, 2, 3]))},
])  # fmt: skip
def test_a_worked_cross_entropy(rng, options):
    x = leaf(rng.standard_normal((2, 3)))
    with record():
        loss = F.cross_entropy(x, tn.tensor([1, 2]), reduction="sum", **options)
    recomputed(loss, "SoftmaxCrossEntropy")
    text = shown(loss)
    assert ("one-hot" in text) == (not options or "ignore_index" in options)


# finite differences


class Half(Function):
    """A square with half of its gradient."""

    def forward(self, x):
        self.save(x)
        return x * x

    def backward(self, gy):
        return gy * self.saved[0]


@pytest.mark.parametrize("scale", [1, 1e-9, 1e9])
@pytest.mark.parametrize("offset", [0, 1])
def test_a_wrong_backward_is_wrong_at_any_size(scale, offset):
    x = leaf([2.0, 3.0])
    with record():
        loss = (Half.apply(x) * scale).sum() + offset
    found = Replay(Trace(loss)).check(0, (1,))
    assert found.verdict == "wrong" and found.difference == pytest.approx(6 * scale, rel=1e-3)


@pytest.mark.parametrize("scale", [1, 1e-9, 1e9])
def test_a_right_backward_agrees_at_any_size(scale):
    x = leaf([2.0, 3.0])
    with record():
        loss = (x * x * scale).sum() + 1
    assert Replay(Trace(loss)).check(0, (1,)).verdict == "agrees"


def test_a_slope_that_rounding_hides_gets_no_tick():
    x = leaf([2.0])
    with record():
        loss = (Half.apply(x) * 1e-15 + 1e3).sum()
    found = Replay(Trace(loss)).check(0, (0,))
    assert found.verdict == "rounding" and "which hides slopes below" in found.reason


def test_a_kink_between_float32_and_float64_is_named():
    x = leaf([0.1, 3.0], np.float32)
    with record():
        y = x * 10
        loss = F.relu(y - 1).sum()
    trace = Trace(loss)
    assert trace.gradient(trace.nodes[0])[0] == 0  # in float32 10 * 0.1 is 1
    found = Replay(trace).check(0, (0,))
    assert found.verdict == "rounded"
    assert "in float64 backprop gives 10" in found.reason
    assert "= ReLU an element lies on the other side of a kink in float32" in found.reason


def test_nan_is_only_the_reason_where_there_is_one():
    x = leaf([-1.0, 0.0, 3.0])
    with record():
        loss = x.log().sum()
    replay = Replay(Trace(loss))
    assert replay.check(0, (2,)).reason.startswith("the loss itself is NaN or infinite")
    with record():
        loss = F.relu6(leaf([0.0])).sum()
    found = Replay(Trace(loss)).check(0, (0,))
    assert found.verdict == "kink" and "NaN" not in found.reason
    x = leaf([4.0, 0.0])
    with record():
        loss = x.sqrt().sum()
    assert "the gradient here is NaN or inf" in Replay(Trace(loss)).check(0, (1,)).reason


# NaN


def test_the_op_that_made_the_first_nan_not_the_constant_that_was_given():
    x, mask = leaf([1.0, 2.0]), tn.Tensor(np.array([0.0, -np.inf]))
    with record():
        y = x * 0
        z = y / y
        loss = (z + mask).sum()
    node, step = Trace(loss).first_not_finite
    assert node.label == "z"
    assert step.node.label == "z"
    assert Trace(LESSONS["linear"].build()).first_not_finite == (None, None)


# the terminal


def test_a_long_screen_waits_at_24_lines(monkeypatch):
    import io

    from tinynet.stepper.terminal import walk

    class Screen(io.StringIO):
        def isatty(self):
            return True

    asked, out = [], Screen()
    answers = iter(["r linear", "", "q"])

    def ask(prompt):
        asked.append((prompt, out.getvalue().count("\n")))
        return next(answers)

    monkeypatch.setattr("builtins.input", ask)
    monkeypatch.setenv("LINES", "24")
    monkeypatch.setenv("COLUMNS", "80")
    walk(LESSONS["linear"].build(), out)
    lines = [count for _, count in asked]
    assert [prompt.startswith("-- ") for prompt, _ in asked] == [False, True, False]
    assert np.diff(lines).max() <= 22 and max(map(len, out.getvalue().split("\n"))) <= 88
