"""ReLU, ReLU6, sigmoid, tanh and the softmaxes against torch: kinks, extremes, in-place use."""

import numpy as np
import pytest
import torch
from helpers import assert_same, channel_major, compare_with_torch

import tinynet as tn
import tinynet.nn as nn
import tinynet.nn.functional as F

KINKS = [-np.inf, -7, -1e-30, -0.0, 0.0, 1e-30, 3, np.nextafter(6, 0), 6, np.nextafter(6, 7), 9]


@pytest.mark.parametrize("name", ["relu", "relu6"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_relu_at_and_around_the_kinks(name, dtype):
    ours, theirs = getattr(F, name), getattr(torch.nn.functional, name)
    compare_with_torch(ours, theirs, np.array([*KINKS, np.inf], dtype), rtol=0, atol=0)


def test_the_gradient_at_the_kinks_is_zero():
    x = tn.tensor([0.0, -0.0, 6.0, 3.0], requires_grad=True)
    F.relu6(x).backward(tn.ones(4))
    assert x.grad.tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("name", ["ReLU", "ReLU6"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 3, 5, 4)])
@pytest.mark.parametrize("inplace", [False, True])
def test_relu_layers(rng, name, shape, inplace):
    """In place on a computed tensor: as torch, with the gradient through both ops."""
    ours, theirs = getattr(nn, name)(inplace=inplace), getattr(torch.nn, name)(inplace=inplace)
    x = rng.normal(3, 4, shape)
    compare_with_torch(
        lambda t: ours(t * 1.5), lambda t: theirs(t * 1.5), channel_major(x) if x.ndim == 4 else x
    )


@pytest.mark.parametrize("name", ["relu", "relu6"])
@pytest.mark.parametrize("library", [tn, torch])
def test_in_place_changes_the_input_itself(name, library):
    """The same steps in either library, with the same outcome."""
    function = getattr(library.nn.functional, name)
    leaf = library.tensor([-1.0, 2.0, 7.0], requires_grad=True)
    hidden = leaf * 2
    out = function(hidden, inplace=True)
    assert out is hidden
    assert hidden.tolist() == ([0, 4, 14] if name == "relu" else [0, 4, 6])
    (hidden * hidden).sum().backward()
    assert leaf.grad.tolist() == ([0, 16, 56] if name == "relu" else [0, 16, 0])
    with pytest.raises(RuntimeError, match="leaf"):
        function(leaf, inplace=True)
    plain = library.tensor([-1.0, 2.0])
    assert function(plain, inplace=True) is plain
    assert plain.tolist() == [0, 2]


def test_in_place_on_what_an_op_has_saved():
    """exp saved its result, which ReLU6 overwrites: refused, as in torch."""
    for library, function in ((tn, F.relu6), (torch, torch.nn.functional.relu6)):
        x = library.tensor([-1.0, 1.0, 2.0], requires_grad=True)
        y = function(x.exp(), inplace=True).sum()
        with pytest.raises(RuntimeError, match="Exp"):
            y.backward()
        assert x.grad is None


SIGMOIDAL = [0, -0.0, 1e-30, -1e-8, 0.5, -3, 17, -17, 40, -87, 88, -104, 710, -745, 1e30, -1e30]


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_sigmoid_and_tanh_far_out_and_not_finite(name, dtype):
    """Forward and backward, without a warning, and small values to their last digits."""
    x = np.array([*SIGMOIDAL, np.inf, -np.inf, np.nan], dtype)
    ours, theirs = getattr(F, name), getattr(torch, name)
    info = np.finfo(dtype)
    # 1 - y**2 cancels where y is nearly 1; below the smallest normal torch's kernels round to 0
    atol = info.eps if name == "tanh" else info.smallest_normal
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        compare_with_torch(ours, theirs, x, rtol=20 * info.eps, atol=atol)
    y = ours(tn.Tensor(x[-3:-1])).tolist()
    assert y == ([1, 0] if name == "sigmoid" else [1, -1])


def test_sigmoid_keeps_the_digits_of_what_is_nearly_nothing():
    np.testing.assert_allclose(tn.tensor([-80.0]).sigmoid().numpy(), np.exp([-80.0]), 1e-6)


@pytest.mark.parametrize("name", ["Sigmoid", "Tanh"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 5, 4)])
def test_sigmoid_and_tanh_by_all_their_names(rng, name, shape):
    x = rng.standard_normal(shape)
    x = channel_major(x) if x.ndim == 4 else x
    lower, theirs = name.lower(), getattr(torch.nn, name)()
    assert repr(getattr(nn, name)()) == repr(theirs)
    for ours in (getattr(nn, name)(), getattr(tn, lower), lambda t: getattr(t, lower)()):
        compare_with_torch(ours, theirs, x)


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_sigmoid_and_tanh_make_integers_floating(name):
    ours, theirs = getattr(tn, name)(tn.tensor([1, -2])), getattr(torch, name)
    assert_same(ours, theirs(torch.tensor([1, -2])))


LOGITS = {
    "plain": [[0.5, -1, 2], [3, 3, 3]],
    "far apart": [[1e4, -1e4, 0], [-1e30, 1e30, 1]],
    "all huge": [[1e30, 1e30, 1e30], [-1e30, -1e30, -1e30]],
    "minus infinity": [[-np.inf, 0, 1], [2, -np.inf, -np.inf]],
}


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("logits", LOGITS.values(), ids=LOGITS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_softmax_of_extreme_logits(name, logits, dtype):
    compare_with_torch(
        lambda x: getattr(F, name)(x, 1),
        lambda x: getattr(torch.nn.functional, name)(x, 1),
        np.array(logits, dtype),
    )


@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize(
    ("shape", "dim"),
    [((4,), 0), ((3, 5), 0), ((3, 5), -1), ((2, 3, 4), 1), ((2, 3, 4, 5), 1), ((2, 3, 4, 5), -2)],
)
def test_softmax_layers(rng, name, shape, dim):
    ours, theirs = getattr(nn, name)(dim=dim), getattr(torch.nn, name)(dim=dim)
    compare_with_torch(ours, theirs, 5 * rng.standard_normal(shape))


@pytest.mark.filterwarnings("ignore:Implicit dimension choice")
@pytest.mark.parametrize("shape", [(4,), (3, 5), (2, 3, 4), (2, 3, 4, 5)])
def test_softmax_without_a_dim(rng, shape):
    x = rng.standard_normal(shape)
    for name in ("Softmax", "LogSoftmax"):
        compare_with_torch(getattr(nn, name)(), getattr(torch.nn, name)(), x)


def test_softmax_of_other_layouts(rng):
    x = rng.standard_normal((4, 3, 6)).transpose(2, 0, 1)
    ours, theirs = tn.Tensor(x), torch.tensor(x)
    assert_same(F.softmax(ours, 1), torch.softmax(theirs, 1))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: F.softmax(tn.zeros(2, 3), 2),
            ValueError,
            "softmax: dim 2 is out of range for a tensor of 2 axes",
        ),
        (
            lambda: F.log_softmax(tn.zeros(2, 3), -3),
            ValueError,
            "log_softmax: dim -3 is out of range",
        ),
        (
            lambda: F.softmax(tn.zeros(2, 3), 1.0),
            TypeError,
            "softmax: dim must be an integer, got 1.0",
        ),
        (lambda: F.softmax(np.zeros(3), 0), TypeError, "input must be a Tensor, got ndarray"),
        (lambda: F.tanh(np.zeros(3)), TypeError, "tanh: expected a Tensor, got ndarray"),
        (lambda: F.relu(np.zeros(3)), TypeError, "must be a Tensor, got ndarray"),
    ],
)
def test_wrong_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()
