"""Batch normalisation against torch: values, gradients, running statistics, refusals."""

import itertools

import numpy as np
import pytest
import torch
from helpers import assert_same, channel_major, compare_with_torch

import tinynet as tn
import tinynet.nn as nn
import tinynet.nn.functional as F
from tinynet.autograd.mode import mode
from tinynet.fast.cpu import batchnorm, tiles

OPTIONS = [
    {},
    {"affine": False},
    {"bias": False},
    {"track_running_stats": False},
    {"momentum": None},
    {"momentum": 0.5, "eps": 1e-3},
    {"momentum": 0.0, "eps": 0.1},
    {"momentum": 1.0, "affine": False},
    {"momentum": None, "track_running_stats": False, "affine": False},
]


def twin_layers(rng, C, dtype, **options):
    """The layer and torch's, with equal random weights and running statistics."""
    ours = nn.BatchNorm2d(C, **options).to(dtype)
    theirs = torch.nn.BatchNorm2d(C, **options).to(torch.from_numpy(np.zeros(0, dtype)).dtype)
    state = {
        name: np.array(3) if name == "num_batches_tracked" else rng.uniform(0.5, 2, C).astype(dtype)
        for name in ours.state_dict()
    }
    ours.load_state_dict(state)
    theirs.load_state_dict({name: torch.tensor(value) for name, value in state.items()})
    return ours, theirs


def assert_same_state(ours, theirs):
    expected = theirs.state_dict()
    assert list(ours.state_dict()) == list(expected)
    for name, tensor in ours.state_dict().items():
        assert_same(tensor, expected[name], name)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(4, 3, 5, 6), (2, 1, 1, 1), (1, 5, 3, 2), (33, 2, 1, 1)])
def test_layer(rng, options, dtype, shape):
    """Two batches in a row, forward and backward; the running statistics after each."""
    for training in (True, False):
        check_layer(rng, options, dtype, training, shape)


def check_layer(rng, options, dtype, training, shape):
    ours, theirs = twin_layers(rng, shape[1], dtype, **options)
    ours.train(training)
    theirs.train(training)
    for turn in range(2):
        x = rng.normal(2, 3, shape).astype(dtype)
        gy = rng.standard_normal(shape).astype(dtype)
        xo = tn.Tensor(channel_major(x) if turn else x, requires_grad=True)
        xt = torch.tensor(x, requires_grad=True)
        y, expected = ours(xo), theirs(xt)
        assert_same(y, expected, "y")
        assert_same_state(ours, theirs)
        y.backward(tn.Tensor(gy))
        expected.backward(torch.tensor(gy))
        # two values per channel: the gradient is a small difference of large numbers
        loose = 1e-7 if dtype == np.float64 else 2e-2 if shape[0] == 2 else 1e-4
        assert_same(xo.grad, xt.grad, "gx", atol=loose)
        for name, parameter in theirs.named_parameters():
            assert_same(getattr(ours, name).grad, parameter.grad, name, atol=1e-4)
        assert_same_state(ours, theirs)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("wanted", list(itertools.product([True, False], repeat=3)))
def test_frozen_parts(rng, training, wanted):
    """Any of input, weight and bias may be frozen: the others get their gradients all the same."""
    ours, theirs = twin_layers(rng, 3, np.float64)
    x = rng.standard_normal((4, 3, 2, 5))
    gy = rng.standard_normal(x.shape)
    results = []
    for layer, make in ((ours, tn.tensor), (theirs, torch.tensor)):
        layer.train(training)
        inputs = make(x), layer.weight, layer.bias
        for tensor, want in zip(inputs, wanted, strict=True):
            tensor.requires_grad_(want)
        y = layer(inputs[0])
        if any(wanted):
            y.backward(make(gy))
        results.append([y, *(tensor.grad for tensor in inputs)])
    for what, a, b in zip(["y", "gx", "gw", "gb"], *results, strict=True):
        assert_same(a, b, what)


@pytest.mark.parametrize("mean", [1e3, -1e4])
def test_a_mean_far_from_zero(rng, mean):
    """In float32 E[x^2] - E[x]^2 would lose the variance altogether."""
    x = (mean + 0.01 * rng.standard_normal((8, 4, 9, 9))).astype(np.float32)
    layer = nn.BatchNorm2d(4, momentum=1.0, eps=0)
    layer(tn.Tensor(x))
    exact = x.astype(np.float64).var(axis=(0, 2, 3), ddof=1)
    # the definition's mean is one float32, which near 1e4 is off by up to 5e-4
    rtol = 2e-2 if mode.plain and mean == -1e4 else 5e-3
    np.testing.assert_allclose(layer.running_var.numpy(), exact, rtol=rtol)
    y = layer(tn.Tensor(x)).numpy()
    np.testing.assert_allclose(y.std(axis=(0, 2, 3)), 1, rtol=rtol)


def test_the_running_variance_is_unbiased():
    layer = nn.BatchNorm2d(1, momentum=0.25)
    layer(tn.tensor([[[[0.0, 2.0]]]]))  # mean 1, variance 1 biased, 2 unbiased
    assert layer.running_mean.item() == 0.25
    assert layer.running_var.item() == 0.75 + 0.25 * 2
    assert layer.num_batches_tracked.item() == 1


@pytest.mark.parametrize("momentum", [0.1, 0.5, None])
def test_many_batches(rng, momentum):
    ours, theirs = nn.BatchNorm2d(3, momentum=momentum), torch.nn.BatchNorm2d(3, momentum=momentum)
    for number in range(6):
        x = rng.normal(number, 1 + number, (4, 3, 3, 3)).astype(np.float32)
        ours(tn.Tensor(x))
        theirs(torch.tensor(x))
    assert_same_state(ours, theirs)
    assert ours.num_batches_tracked.item() == 6
    ours.eval()
    ours(tn.Tensor(x))
    assert_same_state(ours, theirs)  # evaluation changes nothing


def test_statistics_stand_still_once_they_are_no_longer_tracked(rng):
    """track_running_stats switched off later: no update, though evaluation still uses them."""
    ours, theirs = twin_layers(rng, 3, np.float64)
    ours.track_running_stats = theirs.track_running_stats = False
    for training in (True, False):
        ours.train(training)
        theirs.train(training)
        x = rng.standard_normal((4, 3, 2, 2))
        assert_same(ours(tn.Tensor(x)), theirs(torch.tensor(x)))
        assert_same_state(ours, theirs)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_one_value_per_channel_is_refused_and_nothing_changed(momentum):
    layer = nn.BatchNorm2d(3, momentum=momentum)
    before = {name: tensor.numpy().copy() for name, tensor in layer.state_dict().items()}
    with pytest.raises(ValueError, match="more than one value per channel.* use a larger batch or"):
        layer(tn.ones(1, 3, 1, 1))
    for name, tensor in layer.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), before[name])
    assert layer.eval()(tn.ones(1, 3, 1, 1)).shape == (1, 3, 1, 1)


@pytest.mark.parametrize("training", [True, False])
def test_as_a_function(rng, training):
    """F.batch_norm on arrays; the running tensors that are passed change in place."""
    running = [rng.uniform(0.5, 2, 3) for _ in range(2)]
    ours, theirs = [tn.tensor(r) for r in running], [torch.tensor(r) for r in running]
    compare_with_torch(
        lambda x, w, b: F.batch_norm(x, *ours, w, b, training, 0.3, 0.01),
        lambda x, w, b: torch.nn.functional.batch_norm(x, *theirs, w, b, training, 0.3, 0.01),
        rng.standard_normal((5, 3, 4, 2)),
        rng.standard_normal(3),
        rng.standard_normal(3),
    )
    for a, b in zip(ours, theirs, strict=True):
        assert_same(a, b)


def test_no_grad_gives_the_same(rng):
    x = tn.tensor(rng.standard_normal((4, 3, 2, 2)).astype(np.float32))
    for training in (True, False):
        layer = nn.BatchNorm2d(3).train(training)
        with tn.no_grad():
            quiet = layer(x)
        assert not quiet.requires_grad
        np.testing.assert_allclose(quiet.numpy(), layer(x).detach().numpy(), rtol=1e-4, atol=1e-6)


def test_reset(rng):
    layer, _ = twin_layers(rng, 3, np.float32)
    layer.reset_parameters()
    fresh = nn.BatchNorm2d(3).state_dict()
    for name, tensor in layer.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), fresh[name].numpy(), err_msg=name)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.BatchNorm2d(0), ValueError, "num_features must be at least 1, got 0"),
        (lambda: nn.BatchNorm2d(2.5), TypeError, "num_features must be an integer"),
        (lambda: nn.BatchNorm2d(3, eps=-1), ValueError, "eps must be at least 0, got -1"),
        (
            lambda: nn.BatchNorm2d(3, momentum=2),
            ValueError,
            "momentum must be at least 0 and at most 1",
        ),
        (lambda: nn.BatchNorm2d(3)(tn.zeros(2, 3, 4)), ValueError, r"\(N, C, H, W\)"),
        (lambda: nn.BatchNorm2d(3)(tn.zeros(2, 4, 5, 5)), ValueError, r"\(3,\), expected \(4,\)"),
        (lambda: nn.BatchNorm2d(3)(tn.zeros(2, 3, 5, 5).double()), TypeError, "float64 but weight"),
        (lambda: F.batch_norm(tn.zeros(2, 3, 5, 5), None, None), ValueError, "running_mean and"),
    ],
)
def test_wrong_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.fast_only
@pytest.mark.cpu_only
@pytest.mark.parametrize("mean", [0.5, -200])
def test_rows_in_pieces(rng, monkeypatch, mean):
    """Spans of 50 values, and means near to and far from 0: as in one piece."""
    x = rng.normal(mean, 2, (7, 5, 6, 3)).astype(np.float64)
    gy = tn.Tensor(rng.standard_normal(x.shape))
    results = []
    for span in (10**6, 50):
        monkeypatch.setattr(
            batchnorm, "row_tiles", lambda x, _=None, span=span: tiles.row_tiles(x, span)
        )
        layer = nn.BatchNorm2d(5, dtype=np.float64)
        leaf = tn.Tensor(x, requires_grad=True)
        y = layer(leaf)
        y.backward(gy)
        results.append((y, leaf.grad, layer.weight.grad, layer.bias.grad, layer.running_var))
    for whole, pieces in zip(*results, strict=True):
        np.testing.assert_allclose(pieces.numpy(), whole.numpy(), rtol=1e-9, atol=1e-11)
