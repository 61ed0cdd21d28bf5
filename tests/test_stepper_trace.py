"""What the stepper records and traces: the engine untouched, every gradient accounted for."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from walks import leaf

import mobilenet
import tinynet as tn
import tinynet.nn as nn
import tinynet.nn.functional as F
from tinynet.autograd.tape import Function
from tinynet.stepper import Trace, record
from tinynet.stepper.lessons import LESSONS
from tinynet.stepper.numbers import Replay
from tinynet.stepper.recording import call_of


@pytest.fixture(scope="module")
def traces():
    """{lesson: its trace}"""
    return {name: Trace(lesson.build()) for name, lesson in LESSONS.items()}


class Cube(Function):
    rule = {"y": "x**3", "gx": "3 gy x**2"}

    def forward(self, x):
        self.save(x)
        return x**3

    def backward(self, gy):
        (x,) = self.saved
        return 3 * gy * x**2


class Silent(Function):
    def forward(self, x):
        return x * 1

    def backward(self, gy):
        return None


# recording


def is_watched():
    """Whether an op that is applied now, in this thread, is written down."""
    return call_of((leaf(1.0) * 2).grad_fn) is not None


def test_ops_are_written_down_in_the_block_only():
    apply = Function.__dict__["apply"]
    with record():
        assert is_watched()
        assert Function.__dict__["apply"] is apply
    assert not is_watched()
    with pytest.raises(ZeroDivisionError), record():
        1 / 0  # noqa: B018
    assert not is_watched()
    with record():
        with record():
            assert is_watched()
        assert is_watched()
    assert not is_watched()


def test_overlapping_blocks_in_two_threads_leave_nothing_behind():
    ends = threading.Barrier(2, timeout=10)  # a begins, b begins, a ends, b ends
    watched = {}

    def a():
        with record():
            watched["a, alone"] = is_watched()
            ends.wait()
            ends.wait()
        watched["a, after"] = is_watched()
        ends.wait()

    def b():
        ends.wait()
        watched["b, before"] = is_watched()
        with record():
            ends.wait()
            ends.wait()
            watched["b, alone"] = is_watched()
        watched["b, after"] = is_watched()

    run_together(a, b)
    assert watched == {
        "a, alone": True,
        "b, before": False,
        "a, after": False,
        "b, alone": True,
        "b, after": False,
    }
    assert not is_watched()


def run_together(*functions):
    with ThreadPoolExecutor(len(functions)) as pool:
        for done in [pool.submit(function) for function in functions]:
            done.result()


def test_blocks_of_generators_end_in_any_order():
    def block():
        with record():
            yield

    first, second = block(), block()
    next(first), next(second)
    first.close()
    assert is_watched()
    second.close()
    assert not is_watched()


def test_a_failing_op_is_not_written_down():
    class Broken(Cube):
        def forward(self, x):
            raise ArithmeticError("broken")

    with record():
        with pytest.raises(ArithmeticError):
            Broken.apply(leaf(1.0))
        assert is_watched()


def gradients(step):
    """Gradients of a small separable network in float32, the same each time but for `step`."""
    tn.manual_seed(0)
    model = mobilenet.build("cifar-2x2", num_classes=3, width=0.1)
    x = tn.Tensor(np.random.default_rng(0).standard_normal((2, 3, 32, 32)).astype(np.float32))
    loss = step(lambda: F.cross_entropy(model(x), tn.Tensor(np.array([0, 2]))))
    loss.backward()
    return [parameter.grad.array for parameter in model.parameters()]


def recorded(compute):
    with record():
        return compute()


def traced(compute):
    loss = recorded(compute)
    Trace(loss)
    return loss


@pytest.mark.parametrize("step", [recorded, traced])
def test_gradients_are_bit_equal_with_and_without_the_stepper(step):
    for a, b in zip(gradients(lambda compute: compute()), gradients(step), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_trace_leaves_every_grad_as_it_was_and_can_be_repeated():
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    x.grad = before = tn.Tensor(np.array([5.0, 6.0]))
    loss = (x * w).sum()
    for _ in range(2):
        trace = Trace(loss)
        assert x.grad is before and w.grad is None
        np.testing.assert_array_equal(before.array, [5, 6])
    loss.backward()
    np.testing.assert_array_equal(x.grad.array, [8, 10])
    np.testing.assert_array_equal(trace.gradient(trace.nodes[0]), [3, 4])


def test_a_trace_restores_grads_when_a_backward_raises():
    class Broken(Cube):
        def backward(self, gy):
            raise ArithmeticError("broken")

    x = leaf([1.0])
    x.grad = before = tn.Tensor(np.array([5.0]))
    with pytest.raises(ArithmeticError):
        Trace(Broken.apply(x * 2))
    assert x.grad is before


def test_recorded_values_are_copies():
    x, running = leaf([[1.0, 2.0]]), np.ones(1)
    with record():
        loss = (x * 3).sum()
    with tn.no_grad():
        x.fill_(9)
    trace = Trace(loss)
    np.testing.assert_array_equal(trace.nodes[0].value, [[1, 2]])
    picture, weight = leaf(np.arange(4.0).reshape(1, 1, 2, 2)), leaf([1.0])
    mean, var = tn.Tensor(running), tn.Tensor(np.ones(1))
    with record():
        loss = F.batch_norm(picture, mean, var, weight, leaf([0.0])).sum()
    running += 7
    trace = Trace(loss)
    np.testing.assert_allclose(Replay(trace).values[trace.loss.number], trace.loss.value)


# the trace


def test_a_shared_node_gets_its_gradient_in_two_parts(traces):
    trace = traces["shared"]
    assert [node.title for node in trace.nodes] == ["a", "b = Add", "c = Add"]
    assert [node.contributions for node in trace.nodes] == [2, 2, 1]
    for step, sums in zip(trace.steps, ((1, 2), (2, 4)), strict=True):
        assert step.arrived == (1, 2)
        assert tuple(map(float, step.totals)) == sums
    assert float(trace.gradient(trace.nodes[0])) == 4


def test_a_leaf_used_twice_by_one_op_gets_two_gradients_that_stay_what_they_were():
    x = leaf([2.0, 3.0])
    with record():
        loss = (x * x).sum()
    trace = Trace(loss)
    for gx in trace.steps[-1].gxs:
        np.testing.assert_array_equal(gx, [2, 3])
    np.testing.assert_array_equal(trace.gradient(trace.nodes[0]), [4, 6])


@pytest.mark.parametrize("name", LESSONS)
def test_totals_are_the_gradients_of_backward(name):
    loss = LESSONS[name].build()
    trace = Trace(loss)
    leaves = {}
    for step in trace.steps:
        for parent, number in zip(step.node.op.parents, step.node.inputs, strict=True):
            if isinstance(parent, tn.Tensor):
                leaves[number] = parent
    loss.backward()
    assert leaves
    for number, tensor in leaves.items():
        np.testing.assert_allclose(trace.gradients[number], tensor.grad.array, rtol=1e-12)
        assert tensor.dtype == np.float64


def test_names_and_paths(traces):
    trace = traces["mobilenet"]
    convs = [node for node in trace.nodes if node.name == "DepthwiseConv2d"]
    assert convs[0].path == "blocks.0.depthwise.0"
    weight = trace.nodes[convs[0].inputs[1]]
    assert (weight.kind, weight.name) == ("parameter", "blocks.0.depthwise.0.weight")
    assert trace.nodes[0].name == "images" and trace.nodes[0].kind == "constant"
    assert trace.loss.title == "loss = Divide"
    assert trace.recorded


def test_a_variable_that_is_used_again_names_each_result():
    a = leaf(2.0)
    with record():
        b = a * 3
        b = b * b
    assert [node.label for node in Trace(b).nodes if node.op] == ["b", "b"]


def test_an_unrecorded_graph_has_gradients_but_no_values():
    x = leaf([1.0, -2.0])
    trace = Trace(F.relu(x * 2).sum())
    assert not trace.recorded
    assert trace.nodes[0].value is not None  # the leaf is still there
    assert all(node.value is None for node in trace.nodes if node.op)
    np.testing.assert_array_equal(trace.gradient(trace.nodes[0]), [2, 0])
    with pytest.raises(ValueError, match="were not recorded"):
        Replay(trace)


def test_an_op_of_the_users():
    x = leaf(2.0)
    with record():
        loss = Cube.apply(x) + x
    trace = Trace(loss)
    replay = Replay(trace)
    assert float(trace.gradient(trace.nodes[0])) == 13
    assert replay.finite_difference(0, ()) == pytest.approx(13)
    terms = replay.terms(trace.steps[1], 0, ())
    assert (terms.total, terms.count) == (12, 1)


def test_an_op_that_passes_nothing_on_is_no_contribution():
    x = leaf([2.0])
    with record():
        y = x * 3
        loss = (Silent.apply(y) + y).sum()
    trace = Trace(loss)
    (node,) = [node for node in trace.nodes if node.label == "y"]
    assert node.contributions == 1
    np.testing.assert_array_equal(trace.gradient(trace.nodes[0]), [3])


def test_ten_thousand_ops():
    y = x = leaf(1.0)
    with record():
        for _ in range(10_000):
            y = y + 1
    trace = Trace(y)
    assert len(trace.steps) == 10_000
    assert trace.loss.value == 10_001
    assert Replay(trace).finite_difference(0, ()) == pytest.approx(1, rel=1e-3)
    assert x.grad is None


def test_frozen_parameters_are_constants():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    for parameter in model[0].parameters():
        parameter.requires_grad = False
    with record():
        loss = model(tn.ones(2, 3)).sum()
    trace = Trace(loss)
    kinds = {node.name: node.kind for node in trace.nodes if node.name[1:2] == "."}
    assert kinds == {"1.weight": "parameter", "1.bias": "parameter"}
    assert [step.node.path for step in trace.steps] == ["", "1"]
    assert trace.steps[1].gxs[0] is None


def test_ops_in_place():
    x = leaf([1.0, 2.0])
    with record():
        y = x * 2
        y += 1
        y *= y
        loss = y.sum()
    trace = Trace(loss)
    assert [step.node.name for step in trace.steps] == ["Sum", "Multiply", "Add", "Multiply"]
    np.testing.assert_array_equal(trace.gradient(trace.nodes[0]), 4 * (2 * x.array + 1))
    assert Replay(trace).finite_difference(0, (1,)) == pytest.approx(20)


def test_a_constant_overwritten_between_two_uses_is_two_constants():
    x, c = leaf([1.0]), tn.Tensor(np.array([2.0]))
    with record():
        y = x + c  # an op that saves c would refuse to go back
        c.fill_(5)
        loss = (y * c).sum()
    replay = Replay(Trace(loss))
    assert replay.values[replay.trace.loss.number] == 15
    assert replay.finite_difference(0, (0,)) == pytest.approx(5)


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: tn.ones(2), ValueError, "no graph"),
        (lambda: leaf(1.0), ValueError, "is a leaf"),
        (lambda: leaf([1.0, 2.0]) * 2, ValueError, "needs a gradient of that shape"),
        (lambda: 3.0, TypeError, "expected a Tensor"),
    ],
)
def test_what_cannot_be_traced_is_refused_in_a_sentence(make, error, sentence):
    with pytest.raises(error, match=sentence):
        Trace(make())


def test_a_freed_graph_is_refused():
    loss = (leaf([1.0]) * leaf([2.0])).sum()
    loss.backward()
    with pytest.raises(RuntimeError, match="freed by an earlier backward"):
        Trace(loss)
