"""How gradients reach `.grad`: adding up, sharing nothing, no_grad, detach, requires_grad."""

import numpy as np
import pytest
import torch
from helpers import assert_same, leaf, shares_memory

import tinynet as tn
import tinynet.nn as nn


def test_grad_is_none_until_backward_and_then_a_tensor():
    x = leaf(1, 2)
    assert x.grad is None
    y = (x * 3).sum()
    assert x.grad is None
    y.backward()
    assert isinstance(x.grad, tn.Tensor)
    assert x.grad.tolist() == [3, 3]
    assert not x.grad.requires_grad
    assert x.grad.is_leaf


def test_grad_adds_up_in_the_same_tensor_as_in_torch():
    x = leaf(1, 2)
    (x * 3).sum().backward()
    first = x.grad
    (x * x).sum().backward()
    assert x.grad.tolist() == [5, 7]
    assert x.grad is first


def test_a_leaf_used_several_times():
    x = leaf(2, 3)
    y = x * x + x * 4 + (x * x) * x
    y.sum().backward()
    assert x.grad.tolist() == [2 * 2 + 4 + 3 * 4, 2 * 3 + 4 + 3 * 9]


def test_a_result_used_several_times():
    x = leaf(2, 3)
    y = x * 5
    (y * y + y).sum().backward()
    assert x.grad.tolist() == [5 * (2 * 10 + 1), 5 * (2 * 15 + 1)]


def test_a_diamond_waits_for_both_sides():
    """The shared op must run backward once, with the whole gradient."""
    x = leaf(2)
    shared = x * 3
    long_way = ((shared * 2) * 2) * 2
    y = shared + long_way
    steps = list(tn.backprop(y))
    assert x.grad.tolist() == [27]
    assert len({id(step.op) for step in steps}) == len(steps) == 5


def test_grad_can_be_cleared_and_starts_anew():
    x = leaf(1, 2)
    (x * 3).sum().backward()
    x.grad = None
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2, 2]
    x.grad.zero_()
    (x * 4).sum().backward()
    assert x.grad.tolist() == [4, 4]


def test_zero_grad_of_a_module():
    layer = nn.Linear(3, 2)
    layer(tn.ones(1, 3)).sum().backward()
    layer.zero_grad(set_to_none=False)
    assert layer.weight.grad.tolist() == [[0] * 3] * 2
    layer.zero_grad()
    assert layer.weight.grad is None
    assert layer.bias.grad is None


PAIRS = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "cat": lambda a, b: tn.cat([a, b]),
    "stack": lambda a, b: tn.stack([a, b]),
    "reshape": lambda a, b: a.reshape(3) + b.reshape(3, 1).reshape(3),
    "sum": lambda a, b: a.sum() + b.sum(),
    "mean": lambda a, b: a.mean() + b.mean(),
    "cast": lambda a, b: a.float() + b.float(),
    "expand": lambda a, b: a.expand(2, 3) + b.expand(2, 3),
}


@pytest.mark.parametrize("op", PAIRS.values(), ids=PAIRS)
def test_gradients_alias_neither_each_other_nor_what_came_in(op):
    a, b = leaf(1, 2, 3), leaf(4, 5, 6)
    y = op(a, b)
    gy = tn.Tensor(np.ones(y.shape, y.dtype))
    seen = []
    for step in tn.backprop(y, gy):
        seen.append(step.gy)
    for grad, other in ((a.grad, b.grad), (b.grad, a.grad)):
        assert not shares_memory(grad.array, other.array)
        assert not shares_memory(grad.array, gy.array)
        assert not any(shares_memory(grad.array, array) for array in seen)
    before = b.grad.tolist()
    a.grad.array[...] = 77
    a.grad += 1
    assert b.grad.tolist() == before
    assert (gy.array == 1).all()


def test_a_gradient_that_came_in_is_not_kept():
    x = leaf(1, 2)
    gy = tn.Tensor(np.array([3.0, 4.0]))
    x.backward(gy)
    x.backward(gy)
    assert x.grad.tolist() == [6, 8]
    assert gy.tolist() == [3, 4]


def test_a_leaf_gets_gradients_of_its_dtype():
    x = leaf(1, 2, dtype=np.float32)
    (x.double() * np.array([1.5, 2.5])).sum().backward()
    assert x.grad.dtype == np.float32
    assert x.grad.tolist() == [1.5, 2.5]


def test_backward_takes_a_cotangent():
    x = leaf(1, 2)
    y = x * x
    y.backward(tn.tensor([10.0, 1.0]), retain_graph=True)
    assert x.grad.tolist() == [20, 4]
    y.backward(gradient=np.array([1, 1]))
    assert x.grad.tolist() == [22, 8]


def test_backward_of_a_leaf_gives_it_the_cotangent():
    x = leaf(3)
    x.backward()
    assert x.grad.tolist() == [1]
    assert list(tn.backprop(x)) == []
    assert x.grad.tolist() == [2]


def test_retain_graph_allows_a_second_backward():
    x = leaf(1, 2)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [6, 12]
    with pytest.raises(RuntimeError, match="freed"):
        y.backward()


def test_a_freed_graph_says_so_and_changes_nothing():
    x, z = leaf(1, 2), leaf(5, 6)
    shared = x * x
    shared.sum().backward()
    with pytest.raises(
        RuntimeError,
        match=r"backprop: the graph was freed by an earlier backward \(Multiply no longer holds "
        r"what it saved\); run forward again, or pass retain_graph=True",
    ):
        (shared * z).sum().backward()
    assert x.grad.tolist() == [2, 4]
    assert z.grad is None


def test_ops_that_save_nothing_can_be_walked_again_as_in_torch():
    x, xt = leaf(1, 2), torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    for y in ((x + 1).sum(), (xt + 1).sum()):
        y.backward()
        y.backward()
    assert_same(x.grad, xt.grad)


def test_gradients_of_gradients_are_refused():
    with pytest.raises(ValueError, match="create_graph=True .* first-order gradients only"):
        leaf(1).backward(create_graph=True)


# wrong starts


START = {
    "no graph": (lambda: tn.tensor([1.0]).backward(), ValueError, "this tensor has no graph"),
    "of integers": (lambda: tn.tensor(1).backward(), ValueError, "this tensor has no graph"),
    "many elements": (
        lambda: (leaf(1, 2) * 2).backward(),
        ValueError,
        r"backprop: a tensor of shape \(2,\) needs a gradient of that shape",
    ),
    "wrong shape": (
        lambda: (leaf(1, 2) * 2).backward(tn.ones(3)),
        ValueError,
        r"backprop: gradient has shape \(3,\), expected the tensor's \(2,\)",
    ),
    "wrong shape of the right size": (
        lambda: (leaf(1, 2) * 2).backward(tn.ones(2, 1)),
        ValueError,
        r"backprop: gradient has shape \(2, 1\), expected the tensor's \(2,\)",
    ),
    "broadcastable shape": (
        lambda: (leaf(1, 2) * 2).backward(tn.ones(1)),
        ValueError,
        r"backprop: gradient has shape \(1,\)",
    ),
    "a list": (
        lambda: (leaf(1, 2) * 2).backward([1.0, 1.0]),
        TypeError,
        "backprop: gradient must be a Tensor or an array, got list",
    ),
    "an array": (
        lambda: tn.backprop(np.ones(1)),
        TypeError,
        "backprop: expected a Tensor, got ndarray",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), START.values(), ids=START)
def test_wrong_starts_are_refused_before_anything_happens(call, error, message):
    with pytest.raises(error, match=message):
        call()
