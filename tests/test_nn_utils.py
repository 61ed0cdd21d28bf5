"""Gradients clipped by their norm, against torch."""

import math
import re

import numpy as np
import pytest
import torch
from helpers import assert_same

import tinynet as tn
from tinynet import nn
from tinynet.nn.utils import clip_grad_norm_, clip_grads_with_norm_, get_total_norm

SHAPES = [(4, 3, 3, 3), (7,), (), (5, 2), (1, 1)]
NORMS = [2.0, 1, 3, 0.5, 0, -1, math.inf, -math.inf, "inf"]


def parameters(rng, shapes=SHAPES, dtypes=(np.float32,), scale=1.0):
    """The same parameters with gradients twice; every third of ours lies otherwise in memory."""
    ours, theirs = [], []
    for i, shape in enumerate(shapes):
        dtype = dtypes[i % len(dtypes)]
        p, g = rng.standard_normal((2, *shape)).astype(dtype) * dtype(scale)
        ours.append(tn.Tensor(np.asarray(p), requires_grad=True))
        order = "F" if i % 3 == 0 else "C"
        ours[-1].grad = tn.Tensor(np.array(g, order=order))
        theirs.append(torch.tensor(p, requires_grad=True))
        theirs[-1].grad = torch.tensor(g)
    return ours, theirs


def compare(ours, theirs, *arguments, **options):
    norm = clip_grad_norm_(ours, *arguments, **options)
    expected = torch.nn.utils.clip_grad_norm_(theirs, *arguments, **options)
    assert isinstance(norm, tn.Tensor)
    assert_same(norm.cpu(), expected, "norm", rtol=1e-6)
    for a, b in zip(ours, theirs, strict=True):
        assert_same(None if a.grad is None else a.grad.cpu(), b.grad, rtol=1e-6, atol=0)
    return float(expected)


@pytest.mark.parametrize("norm_type", NORMS)
@pytest.mark.parametrize("max_norm", [0, 0.7, 1000.0, math.inf])
@pytest.mark.parametrize("dtypes", [(np.float32,), (np.float64,), (np.float32, np.float64)])
def test_norm_and_gradients(rng, norm_type, max_norm, dtypes):
    compare(*parameters(rng, dtypes=dtypes), max_norm, norm_type)


def test_without_gradients(rng):
    ours, theirs = parameters(rng)
    ours[1].grad = theirs[1].grad = None
    compare(ours, theirs, 0.5)
    for a, b in zip(ours, theirs, strict=True):
        a.grad = b.grad = None
    assert compare(ours, theirs, 0.5) == 0
    assert compare([], [], 0.5) == 0


def test_one_tensor_and_iterators(rng):
    ours, theirs = parameters(rng)
    norm = clip_grad_norm_(ours[0], 0.5)
    assert_same(norm.cpu(), torch.nn.utils.clip_grad_norm_(theirs[0], 0.5), rtol=1e-6)
    norm = clip_grad_norm_((p for p in ours), 0.5)
    assert_same(norm.cpu(), torch.nn.utils.clip_grad_norm_((p for p in theirs), 0.5), rtol=1e-6)
    for a, b in zip(ours, theirs, strict=True):
        assert_same(a.grad.cpu(), b.grad, rtol=1e-6, atol=0)
    with pytest.warns(UserWarning, match="used up"):
        assert float(clip_grad_norm_(iter([]), 1.0)) == 0


@pytest.mark.parametrize("scale", [1e30, 1e-30, 1e18, 1e-18])
def test_sizes_whose_squares_float32_does_not_hold(rng, scale):
    compare(*parameters(rng, [(2, 3), (4,)], scale=scale), 1.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("norm_type", [2, "inf"])
def test_what_is_not_finite(rng, value, norm_type):
    ours, theirs = parameters(rng)
    for p in (ours[1], theirs[1]):
        p.grad[2] = value
    before = [p.grad.numpy().copy() for p in ours]
    with pytest.raises(RuntimeError, match=f"is {abs(value)}; look for the cause"):
        clip_grad_norm_(ours, 1.0, norm_type, error_if_nonfinite=True)
    with pytest.raises(RuntimeError):
        torch.nn.utils.clip_grad_norm_(theirs, 1.0, norm_type, error_if_nonfinite=True)
    for p, g in zip(ours, before, strict=True):
        np.testing.assert_array_equal(p.grad.numpy(), g)
    compare(ours, theirs, 1.0, norm_type)


def test_the_two_halves(rng):
    ours, theirs = parameters(rng)
    norm = get_total_norm([p.grad for p in ours])
    expected = torch.nn.utils.get_total_norm([p.grad for p in theirs])
    assert_same(norm.cpu(), expected, rtol=1e-6)
    clip_grads_with_norm_(ours, 0.1, norm * 2)
    torch.nn.utils.clip_grads_with_norm_(theirs, 0.1, expected * 2)
    for a, b in zip(ours, theirs, strict=True):
        assert_same(a.grad.cpu(), b.grad, rtol=1e-6, atol=0)


def test_the_gradient_of_a_backward_pass_and_its_counter():
    model = nn.Linear(3, 2)
    model(tn.ones(4, 3)).sum().backward()
    gradient = model.weight.grad
    counts = gradient.counter[0]
    clip_grad_norm_(model.parameters(), 1e-3)
    assert model.weight.grad is gradient
    assert gradient.counter[0] == counts + 1
    assert float(get_total_norm([p.grad for p in model.parameters()])) == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, 1.0), "clip_grad_norm_: parameters must be a Tensor or an iterable of them, got int"),
        (([1.0], 1.0), "parameters[0] must be a Tensor, got float"),
        (([], -1), "max_norm must be a number from 0 on, got -1"),
        (([], math.nan), "max_norm must be a number from 0 on, got nan"),
        (([], "big"), "max_norm must be a number from 0 on, got 'big'"),
        (([], 1.0, "two"), "norm_type must be a number, got 'two'"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        clip_grad_norm_(*arguments)
