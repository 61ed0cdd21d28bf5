"""What the stepper says of an op in formulas and in numbers, and that they are right."""

import importlib
import inspect
import itertools
import math
import pkgutil
import re

import numpy as np
import pytest
from walks import answer, leaf

import tinynet
import tinynet.nn as nn
import tinynet.nn.functional as F
from tinynet.autograd import tape
from tinynet.autograd.mode import mode
from tinynet.autograd.tape import Function
from tinynet.ops.matmul import Linear
from tinynet.stepper import Trace, record
from tinynet.stepper.batchnorm import batchnorm_paths
from tinynet.stepper.formula import formula, in_numbers, input_names
from tinynet.stepper.lessons import LESSONS
from tinynet.stepper.numbers import Replay, relative_error

for found in pkgutil.walk_packages(tinynet.__path__, "tinynet."):
    importlib.import_module(found.name)


@pytest.fixture(scope="module")
def traces():
    """{lesson: (trace, replay)}"""
    found = {name: Trace(lesson.build()) for name, lesson in LESSONS.items()}
    return {name: (trace, Replay(trace)) for name, trace in found.items()}


class Silent(Function):
    def forward(self, x):
        return x * 1

    def backward(self, gy):
        return None


# formulas


def functions(cls=Function):
    for sub in cls.__subclasses__():
        if sub.__module__.startswith("tinynet."):
            yield sub
        yield from functions(sub)


def is_public(cls):
    return not cls.__name__.startswith("_") and not cls.__module__.startswith("tinynet.fast")


PUBLIC = [cls for cls in functions() if is_public(cls)]


@pytest.mark.parametrize("cls", PUBLIC, ids=lambda cls: cls.__name__)
def test_every_op_has_a_formula_forward_and_for_each_gradient(cls):
    result, *gradients = (left.partition("[")[0] for left in cls.rule)
    _, *parameters = inspect.signature(cls.forward).parameters
    assert result == "y" and gradients == [f"g{name}" for name in parameters]
    assert all(right and right == right.strip() for right in cls.rule.values())
    assert isinstance(cls.where, str)
    assert not re.search(r"\bms\b|\bcores?\b|\n", " ".join([*cls.rule.values(), cls.where]))


def test_all_ops_are_found():
    assert {"Add", "Conv2d", "DepthwiseConv2d", "BatchNorm", "ReLU6", "Linear"} <= {
        cls.__name__ for cls in PUBLIC
    }


def said(loss, name):
    """The formula of the op of that name in a graph."""
    trace = Trace(loss)
    return formula(trace, next(step.node for step in trace.steps if step.node.name == name))


def test_an_op_without_a_rule():
    with record():
        loss = Silent.apply(leaf(1.0))
    assert said(loss, "Silent")[:3] == ("loss = Silent(...)", "", "")


def test_a_gradient_of_an_input_that_is_not_there_is_left_out():
    x, weight, bias = leaf([[1.0]]), leaf([[2.0]]), leaf([3.0])
    with record():
        y, z = F.linear(x, weight, bias), F.linear(x, weight)
    assert said(y, "Linear")[:2] == (
        "y = x @ weight^T + bias",
        "gx = gy @ weight, gweight = gy^T @ x, gbias = gy summed over rows",
    )
    assert said(z, "Linear")[:2] == ("z = x @ weight^T", "gx = gz @ weight, gweight = gz^T @ x")


class Places:
    """An array that is 0 outside of itself."""

    def __init__(self, array):
        self.array = array

    def __contains__(self, index):
        sizes = self.array.shape
        return all(0 <= place < size for place, size in zip(index, sizes, strict=True))

    def __getitem__(self, index):
        return self.array[index] if index in self else 0


def added_up(op, left, arrays, sizes):
    """The left side of an equation of a convolution's, added up index by index as it says.

    arrays: by their names. sizes: of the letters that run, and the values of those that do not.
    """
    where = dict(re.findall(r"\b(\w) = ([^,;:]+)", op.where))  # 'r': 'sh*h + dh*i - top'
    sentence = r"sum over (?:the )?([\w,]+)(?: that read it)? of (.*)"
    summed, term = re.fullmatch(sentence, op.rule[left].replace(" (+ bias[o])", "")).groups()
    name, indices = re.fullmatch(r"(\w+)\[(.*)\]", left).groups()
    letters = sorted({*summed.split(","), *re.findall(r"[a-z]", indices)} - where.keys())
    out = Places(np.zeros_like(arrays[name]))
    for places in itertools.product(*(range(sizes[letter]) for letter in letters)):
        known = {**sizes, **dict(zip(letters, places, strict=True))}
        known.update({letter: eval(text, {}, known) for letter, text in where.items()})
        index = eval(f"({indices},)", {}, known)
        if index in out:
            values = {name: Places(array) for name, array in arrays.items()}
            factors = [eval(factor, {}, {**values, **known}) for factor in term.split()]
            out.array[index] += math.prod(factors)
    return out.array


@pytest.mark.parametrize("groups", [1, 3], ids=["Conv2d", "DepthwiseConv2d"])
def test_the_formulas_of_a_convolution_compute_to_the_result(rng, groups):
    """With unlike strides, dilations and paddings, and two filters per channel."""
    x, weight = (leaf(rng.standard_normal(s)) for s in ((2, 3, 5, 4), (6, 3 // groups, 2, 3)))
    bias = leaf(rng.standard_normal(6))
    options = {"stride": (2, 1), "padding": (1, 2), "dilation": (2, 1), "groups": groups}
    y = F.conv2d(x, weight, bias, **options)
    op, gy = y.grad_fn, rng.standard_normal(y.shape)
    assert op.name == ("Conv2d" if groups == 1 else "DepthwiseConv2d")
    y.backward(gy)
    arrays = {"x": x.array, "weight": weight.array, "bias": bias.array, "y": y.array, "gy": gy}
    arrays |= {"gx": x.grad.array, "gweight": weight.grad.array, "gbias": bias.grad.array}
    sizes = dict(zip("nohwcij", (*y.shape, 3, 2, 3), strict=True), M=2)
    sizes.update({"sh": 2, "sw": 1, "dh": 2, "dw": 1, "top": 1, "left": 2})
    for left in op.rule:
        expected = arrays[left.partition("[")[0]]
        if "(+ bias[o])" in op.rule[left]:
            expected = expected - bias.array[:, None, None]
        np.testing.assert_allclose(added_up(op, left, arrays, sizes), expected, atol=1e-12)


def test_a_matrix_product_is_never_put_in_numbers_element_by_element():
    """Though all the shapes are alike."""
    x, weight = leaf([[1.0, 2.0], [3.0, 4.0]]), leaf([[5.0, 6.0], [7.0, 8.0]])
    for product in (F.linear, lambda x, weight: x @ weight):
        with record():
            loss = product(x, weight).sum()
        assert answer(loss, "n", "n").count("= the sum over the 2 outputs") == 2


def test_a_faster_implementation_is_shown_and_replayed_by_its_definition(monkeypatch):
    x, weight = leaf([[1.0, 2.0]], np.float32), leaf([[3.0, 4.0]], np.float32)

    class Quick(Linear):
        def forward(self, a, b, c=None):
            if a.dtype == np.float64:
                raise TypeError("single precision only")
            return super().forward(a, b, c)

    with record(), monkeypatch.context() as patch:
        patch.setattr(tape, "faster", lambda kind, *_: Quick if kind is Linear else kind)
        patch.setattr(mode, "plain", False)
        loss = F.linear(x, weight).sum()
    trace = Trace(loss)
    op = trace.steps[-1].node.op
    assert type(op) is Quick and op.definition is Linear and trace.steps[-1].node.name == "Linear"
    assert input_names(trace.steps[-1].node.op) == ("x", "weight")
    assert Replay(trace).values[trace.loss.number] == 11


def test_the_words_around_an_op(traces):
    trace = traces["linear"][0]
    node = trace.steps[-1].node
    assert input_names(node.op) == ("x", "weight", "bias")
    assert formula(trace, node)[3:] == (
        "y (2, 2) from x (2, 3), weight (2, 3), bias (2,)",
        "gx (2, 3), gweight (2, 3), gbias (2,) from gy (2, 2)",
    )


MATHS = {name: getattr(math, name) for name in ("exp", "log", "sqrt", "tanh")}
MATHS |= {"min": min, "max": max}
SIMPLE = [
    (lambda a, b: a + b, "Add"),
    (lambda a, b: a - b, "Subtract"),
    (lambda a, b: a * b, "Multiply"),
    (lambda a, b: a / b, "Divide"),
    (lambda a, b: a**b, "Power"),
    (lambda a, b: (-a) * b, "Negate"),
    (lambda a, b: a.exp() * b, "Exp"),
    (lambda a, b: a.log() * b, "Log"),
    (lambda a, b: a.sqrt() * b, "Sqrt"),
    (lambda a, b: a.sigmoid() * b, "Sigmoid"),
    (lambda a, b: a.tanh() * b, "Tanh"),
]


@pytest.mark.parametrize(("compute", "name"), SIMPLE, ids=[name for _, name in SIMPLE])
def test_numbers_in_a_formula_compute_to_the_result(compute, name):
    with record():
        loss = compute(leaf(1.5), leaf(-2.5))
    trace = Trace(loss)
    (step,) = [step for step in trace.steps if step.node.name == name]
    names = input_names(step.node.op)
    arrays = {n: trace.nodes[i].value for n, i in zip(names, step.node.inputs, strict=True)}
    values = {n: repr(float(v)) for n, v in {**arrays, "y": step.node.value, "gy": step.gy}.items()}
    written = step.node.op.rule
    expected = {"y": step.node.value} | {
        f"g{n}": g for n, g in zip(names, step.gxs, strict=True) if name != "Power" or n == "a"
    }
    for left, total in expected.items():
        text = in_numbers(written[left], values)
        assert eval(text, MATHS) == pytest.approx(float(total)), text


def test_a_formula_with_a_function_in_it():
    values = {"a": "7", "b": "-2"}
    assert in_numbers("a - b floor(a / b)", values) == "7 - (-2) * floor(7 / (-2))"


def test_a_formula_that_says_more_is_left_alone():
    assert in_numbers("gy where 0 < x < 6, 0 elsewhere", {"gy": "1", "x": "2"}) is None
    assert in_numbers("a @ b", {"a": "1", "b": "2"}) is None


# numbers


@pytest.mark.parametrize("name", LESSONS)
def test_replayed_values_are_the_recorded_ones(traces, name):
    trace, replay = traces[name]
    for node in trace.nodes:
        np.testing.assert_allclose(replay.values[node.number], node.value, rtol=1e-9, atol=1e-9)


def some(rng, array, how_many=2):
    return [tuple(int(rng.integers(size)) for size in array.shape) for _ in range(how_many)]


@pytest.mark.parametrize("name", LESSONS)
def test_the_terms_add_up_to_the_gradient(traces, rng, name):
    trace, replay = traces[name]
    steps = trace.steps if len(trace.steps) < 20 else trace.steps[:10] + trace.steps[10::7]
    for step in steps:
        for i, gx in enumerate(step.gxs):
            for index in [] if gx is None else some(rng, gx):
                terms = replay.terms(step, i, index, most=10**6)
                assert terms.total == pytest.approx(gx[index], rel=1e-9, abs=1e-9)
                added = sum(term.value for term in terms.terms)
                assert added == pytest.approx(gx[index], rel=1e-6, abs=1e-9)
                assert terms.count == len(terms.terms)


@pytest.mark.parametrize("name", LESSONS)
def test_finite_differences_agree_with_the_gradients(traces, rng, name):
    trace, replay = traces[name]
    nodes = [node for node in trace.nodes if node.contributions and node.shape]
    for node in nodes if len(nodes) < 20 else nodes[::6]:
        gradient = trace.gradient(node)
        index = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
        difference = replay.finite_difference(node.number, tuple(map(int, index)))
        # a loss of 1 leaves 1e-9 of rounding in a difference over 1e-7
        assert difference == pytest.approx(gradient[index], rel=1e-5, abs=1e-7)


def test_at_the_kinks_the_two_sides_differ(traces):
    trace, replay = traces["relu6"]
    np.testing.assert_array_equal(trace.nodes[0].value, [-2, 0, 1, 5, 6, 8])
    np.testing.assert_array_equal(trace.gradient(trace.nodes[0]), [0, 0, 3, 4, 0, 0])
    assert replay.one_sided_differences(0, (1,)) == pytest.approx((0, 2), abs=1e-5)
    assert replay.one_sided_differences(0, (4,)) == pytest.approx((5, 0), abs=1e-5)


@pytest.mark.parametrize("name", ["batchnorm", "separable"])
def test_the_three_paths_of_batchnorm_add_up(traces, name):
    trace, replay = traces[name]
    steps = [step for step in trace.steps if step.node.name == "BatchNorm"]
    assert steps
    for step in steps:
        paths = batchnorm_paths(replay, step)
        assert list(paths) == ["directly", "through the mean", "through the variance"]
        assert all(np.abs(array).max() > 1e-3 for array in paths.values())
        np.testing.assert_allclose(sum(paths.values()), step.gxs[0], atol=1e-12)
    assert batchnorm_paths(replay, trace.steps[0]) is None


def test_products_are_the_sum_behind_an_output(traces):
    for name, constant in (("linear", True), ("conv", False), ("depthwise", False)):
        trace, replay = traces[name]
        node = trace.steps[-1].node
        k = tuple(size - 1 for size in node.shape)
        found = replay.products(node, k, 10**6)
        assert found.total == pytest.approx(node.value[k])
        added = sum(slope * x for _, slope, x in found.terms) + found.constant
        assert added == pytest.approx(found.total)
        assert (found.constant != 0) == constant
    trace, replay = traces["batchnorm"]
    assert replay.products(trace.steps[-1].node, (0, 0, 0, 0)) is None


def test_a_replay_leaves_running_statistics_alone():
    norm = nn.BatchNorm2d(2)
    x = leaf(np.random.default_rng(0).standard_normal((3, 2, 2, 2)), np.float32)
    with record():
        loss = (norm(x) * x).sum()
    before = [buffer.array.copy() for buffer in (norm.running_mean, norm.running_var)]
    trace = Trace(loss)
    replay = Replay(trace)
    replay.terms(trace.steps[-1], 0, (0, 0, 0, 0))
    replay.finite_difference(0, (0, 0, 0, 0))
    for buffer, array in zip((norm.running_mean, norm.running_var), before, strict=True):
        np.testing.assert_array_equal(buffer.array, array)


def test_relative_error():
    assert relative_error(0, 0) == 0
    assert relative_error(2, 1) == relative_error(-1, -2) == 0.5


def test_dropout_is_replayed_with_the_mask_of_the_pass():
    x = leaf(np.arange(1.0, 9.0))
    with record():
        loss = F.dropout(x, 0.5).sum()
    trace = Trace(loss)
    replay = Replay(trace)
    assert replay.values[trace.loss.number] == pytest.approx(loss.item())
    gradient = trace.gradient(trace.nodes[0])
    assert {*gradient} == {0, 2}
    for i, g in enumerate(gradient):
        assert replay.finite_difference(0, (i,)) == pytest.approx(g, abs=1e-6)


def test_a_cast_does_not_round_the_replay():
    x = leaf([1.0, 2.0])
    with record():
        loss = (x.to(np.float32) * x.to(np.float32)).sum()
    replay = Replay(Trace(loss))
    assert replay.finite_difference(0, (1,)) == pytest.approx(4, rel=1e-6)
