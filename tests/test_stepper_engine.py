"""The page's own engine against the ops of tinynet, op by op, forward and backward."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from browser import open_page  # noqa: F401  (a fixture)

import tinynet as tn
import tinynet.nn.functional as F
from tinynet import stepper
from tinynet.autograd.tape import Function
from tinynet.ops.elementwise import Maximum, Minimum
from tinynet.pages import as_json
from tinynet.stepper.lessons import LESSONS
from tinynet.stepper.page import PARTS
from tinynet.stepper.page.alive import alive
from tinynet.stepper.page.data import Details, page_data

SCRIPTS = ("tensors", "elementwise", "rows", "spatial", "engine")
RUN = """
function compute(graph) {
  for (const node of graph.nodes) node.inputs = node.inputs || [];
  if (engine.unknown(graph)) return {unknown: engine.unknown(graph).name};
  const point = engine.recorded(graph);
  const values = engine.forward(graph, point);
  const {gradients, gifts} = engine.backward(graph, point, values);
  const text = (list) => Array.from(list, (x) => x ? Array.from(x.v, String) : null);
  return {values: text(values), gradients: text(gradients)};
}
"""


def random(seed, *shape, low=None):
    """Random values; with `low`, from `low` to `low` + 2."""
    draw = np.random.default_rng(seed)
    values = draw.standard_normal(shape) if low is None else low + 2 * draw.random(shape)
    return tn.Tensor(values, requires_grad=True)


a, b, row = random(0, 2, 3, 4), random(1, 2, 3, 4), random(2, 3, 1)
positive, base = random(3, 2, 3, 4, low=0.5), random(4, 2, 3, 4, low=0.2)
image, kernel, bias = random(5, 2, 4, 5, 6), random(6, 6, 2, 3, 2), random(7, 6)
filters, logits = random(8, 8, 1, 3, 3), random(9, 5, 4)
weight, shift = random(10, 4), random(11, 4)
holes = tn.Tensor(np.array([[1.0, np.nan, 3, 3], [2, 2, -1, 0]]), requires_grad=True)
ties = tn.Tensor(np.array([[0.0, 6, -0.0, 7], [2, 2, 6, 3]]), requires_grad=True)
labels = tn.tensor([0, 3, 1, -100, 2])
classes = tn.Tensor(np.array([1.0, 0, 2, 0.5]))
shares = tn.Tensor(np.random.default_rng(12).dirichlet(np.ones(4), 5))
statistics = tn.Tensor(np.array([0.1, -1, 2, 0])), tn.Tensor(np.array([1.0, 0.5, 3, 0.1]))
geometry = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2)}


def written():
    x = random(13, 3, 4) * 2
    x[1:, 1:3].mul_(random(14, 2))
    return x + x.reshape(12)[:4]


CASES = {
    "Add": lambda: a + row,
    "Add, the same twice": lambda: a + a,
    "Subtract": lambda: row - a,
    "Multiply": lambda: a * row,
    "Divide": lambda: a / (row + 4),
    "Remainder": lambda: a % row,
    "Power": lambda: base**a,
    "Power, whole": lambda: a**3,
    "Power of 0": lambda: ties**2 + ties**0,
    "Maximum": lambda: Maximum.apply(a, row),
    "Maximum, ties": lambda: Maximum.apply(ties, ties * 1),
    "Minimum": lambda: Minimum.apply(a, row),
    "Negate": lambda: -a,
    "Exp": lambda: a.exp(),
    "Log": lambda: positive.log(),
    "Sqrt": lambda: positive.sqrt(),
    "Deviation": lambda: a.std(dim=1) + a.std(),
    "Deviation of equals": lambda: (row * 0).std(),
    "Sigmoid": lambda: a.sigmoid() + (a * 500).sigmoid(),
    "Tanh": lambda: a.tanh(),
    "Abs": lambda: abs(ties - 2),
    "Clip": lambda: ties.clamp(0, 6) + ties.clamp(min=2) + ties.clamp(max=2),
    "Where": lambda: (row * 1).where(a > 0, b),
    "Where, one number": lambda: a.where(row < 0, 2.5),
    "Round": lambda: (ties / 4).round() * ties,
    "ELU": lambda: F.elu(a * 3, 0.7) + F.elu(ties).sum(),
    "Softplus": lambda: F.softplus(a * 9, 1.5, 8.0),
    "GELU": lambda: F.gelu(a * 3),
    "LeakyReLU": lambda: F.leaky_relu(a, 0.2) + F.leaky_relu(ties).sum(),
    "Softplus in a loss": lambda: F.binary_cross_entropy_with_logits(a * 9, b.sigmoid()),
    "BinaryCrossEntropy": lambda: F.binary_cross_entropy(a.sigmoid(), b.sigmoid()),
    "BinaryCrossEntropy of 0 and 1": lambda: F.binary_cross_entropy(
        F.relu6(ties) / 6, tn.ones(2, 4, dtype=tn.float64)
    ),
    "ReLU": lambda: F.relu(a) + F.relu(row),
    "ReLU at its kink": lambda: F.relu(ties),
    "ReLU6 at its kinks": lambda: F.relu6(ties),
    "ReLU6": lambda: F.relu6(a * 5),
    "Softmax": lambda: F.softmax(a, dim=1),
    "LogSoftmax": lambda: F.log_softmax(a, dim=-1),
    "Softmax of large numbers": lambda: F.softmax(a * 800, dim=2),
    "Cast": lambda: ties.to(np.float32),
    "Sum": lambda: a.sum(dim=(0, 2)) + a.sum(),
    "Sum, kept": lambda: a.sum(dim=1, keepdim=True),
    "Mean": lambda: a.mean(dim=(0, 2)),
    "Max": lambda: a.amax(dim=1),
    "Max, ties and NaN": lambda: holes.amax(dim=1),
    "Min, ties and NaN": lambda: holes.amin(dim=0),
    "Gather": lambda: a.max(dim=2)[0],
    "MatMul": lambda: random(15, 2, 1, 3, 4) @ random(16, 5, 4, 2),
    "MatMul, a row": lambda: random(17, 3) @ random(18, 2, 3, 4),
    "MatMul, a column": lambda: a @ random(19, 4),
    "MatMul, a dot product": lambda: random(20, 4) @ random(21, 4),
    "Linear": lambda: F.linear(a, random(22, 5, 4), random(23, 5)),
    "Linear without bias": lambda: F.linear(a[0], random(22, 5, 4)),
    "Reshape": lambda: a.reshape(4, 6),
    "Permute": lambda: a.permute(2, 0, 1),
    "Expand": lambda: row.expand(2, 3, 4),
    "Index": lambda: a[1, None, ..., 1:3],
    "Index by arrays": lambda: a[[0, 1, 0], [2, 1, 2]],
    "Index by a mask": lambda: a[a > 0],
    "Concatenate": lambda: tn.cat([a, row.expand(2, 3, 1), b], dim=2),
    "Pad": lambda: F.pad(a, (1, 2, 0, 1), value=3.5),
    "Write": written,
    "Conv2d": lambda: F.conv2d(image, kernel, bias, groups=2, **geometry),
    "Conv2d, plain": lambda: F.conv2d(image, random(24, 3, 4, 2, 2)),
    "Conv2d, same": lambda: F.conv2d(image, random(24, 3, 4, 2, 2), padding="same"),
    "DepthwiseConv2d": lambda: F.conv2d(image, filters, random(25, 8), groups=4, **geometry),
    "BatchNorm": lambda: F.batch_norm(image, None, None, weight, shift, training=True),
    "BatchNorm, fixed": lambda: F.batch_norm(image, *statistics, weight, shift, training=False),
    "AveragePool2d": lambda: F.avg_pool2d(image, 3, 2, 1),
    "AveragePool2d, inside": lambda: F.avg_pool2d(image, 3, 2, 1, count_include_pad=False),
    "AdaptiveAveragePool2d": lambda: F.adaptive_avg_pool2d(image, (2, 4)),
    "MaxPool2d": lambda: F.max_pool2d(image, 3, 2, 1),
    "MaxPool2d, ties": lambda: F.max_pool2d(F.relu(image - 1), 2, 1),
    "MaxPool2d of NaN": lambda: F.max_pool2d(holes.reshape(1, 1, 2, 4), 2, 1),
    "SoftmaxCrossEntropy": lambda: F.cross_entropy(logits, labels),
    "SoftmaxCrossEntropy, smoothed": lambda: F.cross_entropy(
        logits, labels, label_smoothing=0.1, reduction="none"
    ),
    "SoftmaxCrossEntropy, weighted": lambda: F.cross_entropy(
        logits, labels, classes, label_smoothing=0.2
    ),
    "SoftmaxCrossEntropy of shares": lambda: F.cross_entropy(logits, shares, label_smoothing=0.1),
}


def traced(build):
    """The trace of a random gradient through what `build` computes."""
    with stepper.record():
        y = build()
    gradient = np.random.default_rng(99).standard_normal(y.shape)
    return stepper.Trace(y, gradient)


def graph_of(trace):
    """What the page is given of a trace, without what takes time."""
    details = Details.__new__(Details)
    details.elements = {n: [] for n in trace.gradients}
    details.checks, details.terms, details.made, details.labels = {}, {}, {}, {}
    return page_data(trace, details, "", 4)


def close(got, expected, what, rounding=0.0):
    """Equal to 1e-12 of the largest element, and NaN and infinity where they are expected.
    rounding: of summands that cancel."""
    got = np.array(got, np.float64).reshape(expected.shape)
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(np.isfinite(got), finite, what)
    np.testing.assert_array_equal(got[~finite], expected[~finite], what)
    size = abs(expected[finite]).max(initial=0)
    atol = 1e-12 * size + rounding
    np.testing.assert_allclose(got[finite], expected[finite], 1e-12, atol, err_msg=what)


def check(trace, result):
    rounding = 1e-15 * max(np.nanmax(abs(g), initial=0) for g in trace.gradients.values())
    for node in trace.nodes:
        close(result["values"][node.number], np.asarray(node.value, np.float64), node.title)
        gradient, got = trace.gradient(node), [*result["gradients"], *[None] * 999][node.number]
        assert (gradient is None) == (got is None)
        if gradient is not None:
            close(got, gradient, f"gradient of {node.title}", rounding)


def engine_text():
    return "\n".join((PARTS / f"{name}.js").read_text("utf-8") for name in SCRIPTS)


@pytest.fixture(scope="module")
def traces():
    with np.errstate(all="ignore"):
        lessons = {name: stepper.Trace(LESSONS[name].build()) for name in LESSONS}
        cases = {name: traced(build) for name, build in CASES.items()}
    return {**cases, **{n: t for n, t in lessons.items() if "why" not in alive(t)}}


@pytest.fixture
def compare(traces, open_page, tmp_path):  # noqa: F811
    """All graphs, computed by the page's engine in a browser: {name: the result}."""
    path = tmp_path / "engine.html"
    path.write_text(f'<meta charset="utf-8"><script>"use strict";{engine_text()}{RUN}</script>')
    page = open_page(path)
    graphs = {name: json.loads(as_json(graph_of(trace))) for name, trace in traces.items()}
    return page.evaluate(
        "graphs => Object.fromEntries(Object.entries(graphs).map(([n, g]) => [n, compute(g)]))",
        graphs,
    )


def test_every_op_and_every_lesson_in_the_browser(traces, compare):
    assert len(traces) > len(CASES) + 8  # the lessons are there
    for name, trace in traces.items():
        assert "unknown" not in compare[name], name
        check(trace, compare[name])


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_every_op_and_every_lesson_in_node(traces):
    graphs = as_json({name: graph_of(trace) for name, trace in traces.items()})
    program = (
        f'"use strict";{engine_text()}{RUN}\n'
        'const graphs = JSON.parse(require("fs").readFileSync(0, "utf-8"));'
        "const all = Object.entries(graphs).map(([n, g]) => [n, compute(g)]);"
        "console.log(JSON.stringify(Object.fromEntries(all)));"
    )
    done = subprocess.run(
        ["node", "-e", program], input=graphs, capture_output=True, text=True, check=True
    )
    results = json.loads(done.stdout)
    for name, trace in traces.items():
        check(trace, results[name])


def test_every_op_has_a_case(traces):
    """Every Function under tinynet/ops but Transfer, which needs a second device."""
    defined = set()
    for file in (PARTS.parents[2] / "ops").glob("*.py"):
        defined |= set(
            re.findall(r"^class (\w+)\((?:Function|[A-Z]\w+)\):", file.read_text(), re.M)
        )
    named = {node.name for name in CASES for node in traces[name].nodes}
    assert len(defined) > 30
    assert defined - {"Transfer"} <= named


def test_a_leaf_that_is_both_factors_gets_two_equal_contributions():
    trace = traced(lambda: base * base)
    ga, gb = trace.steps[0].gxs
    np.testing.assert_array_equal(ga, gb)
    np.testing.assert_array_equal(trace.gradient(trace.nodes[0]), ga + gb)


class Cube(Function):
    rule = {"y": "x**3", "gx": "3 x**2 gy"}

    def forward(self, x):
        self.save(x)
        return x**3

    def backward(self, gy):
        (x,) = self.saved
        return 3 * x * x * gy


def test_where_the_page_cannot_compute_it_says_why():
    assert alive(traced(lambda: Cube.apply(a)))["why"] == (
        "Cube is an op of your own, which the page cannot compute."
    )
    large = alive(traced(lambda: random(0, 150, 150) * 2))["why"]
    assert large == "this graph holds 45,001 values, and the page computes graphs of up to 20,000."
    unrecorded = stepper.Trace((a * b).sum())
    assert alive(unrecorded)["why"] == "the values of this graph were not recorded."
