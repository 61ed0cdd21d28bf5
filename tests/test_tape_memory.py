"""The tape on long and shared graphs, and which arrays it keeps alive."""

import gc
import weakref

import numpy as np
import pytest
from helpers import leaf
from test_tape import Scale

import tinynet as tn
import tinynet.nn.functional as F


class Counted(Scale):
    calls = 0

    def backward(self, gy):
        Counted.calls += 1
        return super().backward(gy)


@pytest.fixture
def counted():
    Counted.calls = 0
    return Counted


@pytest.mark.cpu_only  # about Python's stack, and long
def test_a_hundred_thousand_ops_in_a_chain(counted):
    """No recursion: neither in the sort, nor in the walk, nor when the graph is let go."""
    x = leaf(1.5)
    y = x
    for _ in range(100_000):
        y = counted.apply(y, factor=1.0)
    last = weakref.ref(y.grad_fn)
    y.backward(retain_graph=True)
    assert x.grad.tolist() == [1]
    assert counted.calls == 100_000
    del y
    gc.collect()
    assert last() is None


@pytest.mark.cpu_only  # about Python's stack, and long
def test_a_graph_that_was_never_walked_can_be_let_go():
    y = leaf(1.5)
    for _ in range(50_000):
        y = Scale.apply(y, factor=1.0)
    last = weakref.ref(y.grad_fn)
    del y
    assert last() is None


def test_sixty_doublings_take_sixty_steps(counted):
    """Walking every path would take 2**60."""
    x = leaf(1)
    y = counted.apply(x, factor=1.0)
    for _ in range(60):
        y = y + y
    assert sum(1 for _ in tn.backprop(y)) == 61
    assert counted.calls == 1
    assert x.grad.tolist() == [2.0**60]


def test_a_ladder_of_two_rails_is_walked_once_an_op():
    a, b = leaf(1), leaf(1)
    for _ in range(60):
        a, b = a - b, b - a
    assert sum(1 for _ in tn.backprop(a + b)) == 121


def test_a_wide_graph():
    x = leaf(1)
    total = x * 0
    for _ in range(2000):
        total = total + x
    total.backward()
    assert x.grad.tolist() == [2000]


# memory


def watch(array):
    """A weak reference to the array that owns the memory."""
    return weakref.ref(array if array.base is None else array.base)


def test_results_that_no_op_saved_die_during_forward():
    x = leaf(*range(100))
    a = x + 1
    b = a - 3
    arrays = [watch(a.array), watch(b.array)]
    y = b.sum()
    del a, b
    assert [array() for array in arrays] == [None, None]
    y.backward()
    assert x.grad.tolist() == [1] * 100


def test_a_relu_keeps_a_mask_of_a_byte_and_not_its_input():
    x = leaf(*range(100)) - 50
    before = watch(x.array)
    x = F.relu6(x)
    assert before() is None
    (mask,) = x.grad_fn.saved
    assert mask.dtype == np.bool_
    assert mask.nbytes == 100


def test_a_factor_that_no_gradient_needs_is_not_kept():
    x, c = leaf(1, 2), tn.tensor(np.array([3.0, 4.0]))
    y = x * 2
    array = watch(y.array)
    z = y * c
    del y
    assert array() is None
    z.sum().backward()
    assert x.grad.tolist() == [6, 8]


def test_saved_arrays_die_while_backward_goes_on():
    y = leaf(*range(10))
    arrays = []
    for _ in range(4):
        y = y.exp() * 0.1  # Exp saves its result
        arrays.append(watch(y.grad_fn.parents[0].saved[0]))
    loss = y.sum()
    del y
    alive = [sum(array() is not None for array in arrays) for _ in tn.backprop(loss)]
    assert alive[0] == 4
    assert alive == sorted(alive, reverse=True)
    assert alive[-1] == 1  # the last op that is walked still holds its own
    assert all(array() is None for array in arrays)


def test_gradients_on_the_way_die_as_backward_goes_on():
    y = leaf(*range(10))
    for _ in range(6):
        y = Scale.apply(y)
    seen, most = [], 0
    for step in tn.backprop(y, tn.ones(10)):
        seen.append(watch(step.gy))
        most = max(most, sum(array() is not None for array in seen))
    del step
    assert most <= 2
    assert sum(array() is not None for array in seen) == 0


def test_gradients_that_were_added_up_are_gone_when_the_next_op_runs():
    alive, gradients = [], []

    class Probe(Scale):
        def backward(self, gy):
            alive.extend(gradient() is not None for gradient in gradients)
            return super().backward(gy)

    shared = Probe.apply(leaf(*range(10)))
    y = Scale.apply(shared) + Scale.apply(shared)
    for op, _, gxs in tn.backprop(y, tn.ones(10)):
        if type(op) is Scale:
            gradients.append(watch(gxs[0]))
        del gxs
    assert alive == [False, False]


def test_the_graph_dies_with_the_last_tensor_that_needs_it():
    x = leaf(1, 2)
    y = (x * 3).exp()
    op = weakref.ref(y.grad_fn)
    total = y.detach()
    del y
    assert op() is None
    assert total.shape == (2,)
