"""Linear, Flatten, Dropout, Identity, Parameter; Conv2d's own checks; what the layers print."""

import itertools

import numpy as np
import pytest
import torch
from helpers import assert_same, compare_with_torch

import tinynet as tn
import tinynet.nn as nn
import tinynet.nn.functional as F


@pytest.mark.parametrize("shape", [(5,), (1, 5), (4, 5), (2, 3, 5), (2, 1, 3, 5), (0, 5)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_linear(rng, shape, bias, dtype):
    arrays = [rng.standard_normal(s).astype(dtype) for s in [shape, (3, 5), (3,)][: 2 + bias]]
    compare_with_torch(F.linear, torch.nn.functional.linear, *arrays)


def test_linear_on_any_strides_and_a_broadcast_cotangent(rng):
    x, weight = rng.standard_normal((3, 10, 4)).T[:, ::-2], rng.standard_normal((5, 2)).T
    xo, wo = tn.Tensor(x[:, :, 0]), tn.Tensor(weight)
    xt, wt = torch.tensor(x[:, :, 0].copy()), torch.tensor(weight.copy())
    for tensor in (xo, wo, xt, wt):
        tensor.requires_grad_()
    F.linear(xo, wo).sum().backward()
    torch.nn.functional.linear(xt, wt).sum().backward()
    assert_same(xo.grad, xt.grad)
    assert_same(wo.grad, wt.grad)


@pytest.mark.parametrize("wanted", list(itertools.product([True, False], repeat=3)))
def test_linear_with_frozen_parts(rng, wanted):
    arrays = [rng.standard_normal(s) for s in [(4, 5), (3, 5), (3,)]]
    pairs = [
        (tn.tensor(a, requires_grad=want), torch.tensor(a, requires_grad=want))
        for a, want in zip(arrays, wanted, strict=True)
    ]
    y, expected = (
        F.linear(*(o for o, _ in pairs)),
        torch.nn.functional.linear(*(t for _, t in pairs)),
    )
    if any(wanted):
        (y * y).sum().backward()
        (expected * expected).sum().backward()
    for ours, theirs in pairs:
        assert_same(ours.grad, theirs.grad)


@pytest.mark.parametrize(
    ("start", "end"), [(1, -1), (0, -1), (2, 3), (1, 2), (0, 0), (-2, -1), (-1, -1)]
)
def test_flatten(rng, start, end):
    x = rng.standard_normal((3, 4, 5, 2)).transpose(3, 0, 1, 2)
    compare_with_torch(nn.Flatten(start, end), torch.nn.Flatten(start, end), x)
    compare_with_torch(nn.Flatten(), torch.nn.Flatten(), x)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("BatchNorm2d", (4,)),
        ("AvgPool2d", (3, 2, 1)),
        ("MaxPool2d", (3, 2, 1)),
        ("AdaptiveAvgPool2d", (2,)),
        ("ReLU", ()),
        ("ReLU6", ()),
        ("Flatten", ()),
        ("Softmax", (1,)),
        ("LogSoftmax", (2,)),
        ("ZeroPad2d", (1,)),
    ],
)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_any_strides_and_a_broadcast_cotangent(rng, name, args, training):
    """The input is a mirrored, thinned-out view; the cotangent one number a picture, repeated."""
    x = 4 * rng.standard_normal((6, 10, 8, 5)).transpose(1, 0, 3, 2)[::2, 1:5, ::-1]
    ours, theirs = two_layers(name, *args)
    ours.double().train(training)
    theirs.double().train(training)
    xo, xt = tn.Tensor(x).requires_grad_(), torch.tensor(x.copy()).requires_grad_()
    y, expected = ours(xo), theirs(xt)
    assert_same(y, expected, "y")
    gy = rng.standard_normal((5,) + (1,) * (y.ndim - 1))
    y.backward(tn.Tensor(np.broadcast_to(gy, y.shape)))
    expected.backward(torch.tensor(gy).expand(expected.shape))
    assert_same(xo.grad, xt.grad, "gx")
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert_same(p.grad, q.grad, "parameter")


def two_layers(name, *args, **options):
    return getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)


def test_identity_takes_any_arguments(rng):
    x = tn.randn(3)
    assert nn.Identity(54, unused=True)(x) is x


class TestDropout:
    @pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
    def test_fraction_and_scale(self, p):
        y = nn.Dropout(p)(tn.ones(200, 500)).numpy()
        assert y.dtype == np.float32
        np.testing.assert_allclose(np.unique(y), np.unique([0, 1 / (1 - p)])[-2 + (p == 0) :], 1e-6)
        assert abs((y == 0).mean() - p) < 0.01

    def test_everything(self):
        x = tn.ones(3, 4, requires_grad=True)
        y = nn.Dropout(1.0)(x)
        y.sum().backward()
        assert not y.numpy().any()
        assert not x.grad.numpy().any()

    def test_the_gradient_is_the_mask(self, rng):
        x = tn.tensor(rng.uniform(1, 2, (20, 30)), requires_grad=True)
        gy = rng.standard_normal(x.shape)
        y = F.dropout(x, 0.3)
        y.backward(tn.tensor(gy))
        np.testing.assert_allclose(x.grad.numpy(), gy * (y.numpy() != 0) / 0.7)
        assert x.grad.dtype == np.float64

    def test_evaluation_and_p_0_pass_everything(self):
        x = tn.ones(50)
        for layer in (nn.Dropout(0.5).eval(), nn.Dropout(0.0)):
            assert layer(x).tolist() == [1] * 50
        assert F.dropout(x, 0.5, training=False).tolist() == [1] * 50

    def test_the_seed_repeats_and_calls_differ(self):
        x = tn.ones(100)
        tn.manual_seed(3)
        first, second = F.dropout(x).tolist(), F.dropout(x).tolist()
        tn.manual_seed(3)
        assert F.dropout(x).tolist() == first != second

    def test_in_place(self):
        x = tn.ones(100) * 1
        assert nn.Dropout(0.5, inplace=True)(x) is x
        assert set(x.tolist()) == {0, 2}

    @pytest.mark.parametrize("p", [-0.1, 1.1])
    def test_wrong_p(self, p):
        for call in (lambda: nn.Dropout(p), lambda: F.dropout(tn.ones(2), p)):
            with pytest.raises(ValueError, match="p must be at least 0 and at most 1"):
                call()


@pytest.mark.parametrize(
    ("args", "options"),
    [
        ((3, 8, 3), {}),
        ((3, 8, (3, 5), (2, 1), (1, 2), (2, 1)), {"bias": False}),
        ((4, 8, 3, 1, "same", 2, 4), {}),
        ((4, 8, 2), {"padding": "valid", "groups": 2}),
        ((np.int64(4), 4, [3, 1]), {"padding": 1, "groups": 4}),
    ],
)
def test_conv2d_layer(rng, args, options):
    """Attributes, printed form and result of the layer, positional arguments in torch's order."""
    ours, theirs = two_layers("Conv2d", *args, **options)
    for name in ("in_channels", "out_channels", "stride", "dilation", "groups", "padding"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert repr(ours) == repr(theirs).replace("[3, 1]", "(3, 1)")
    assert (ours.bias is None) == (theirs.bias is None)
    x = rng.standard_normal((2, int(args[0]), 9, 8)).astype(np.float32)
    ours.load_state_dict(theirs.state_dict())
    assert_same(ours(tn.tensor(x)), theirs(torch.tensor(x)))


@pytest.mark.parametrize(
    ("args", "options", "error", "message"),
    [
        ((3, 8, 0), {}, ValueError, "kernel_size must be .* at least 1, got 0"),
        ((3, 8, (3, 3, 3)), {}, ValueError, r"a pair of integers, at least 1, got \(3, 3, 3\)"),
        ((3, 8, 3.0), {}, TypeError, "kernel_size must be an integer"),
        ((0, 8, 3), {}, ValueError, "in_channels must be at least 1, got 0"),
        (("3", 8, 3), {}, TypeError, "in_channels must be an integer, got '3'"),
        ((3, 8, 3), {"groups": 2}, ValueError, "groups=2 must divide in_channels=3"),
        ((4, 6, 3), {"groups": 4}, ValueError, "groups=4 must divide .* out_channels=6"),
        ((3, 8, 3), {"padding": "full"}, ValueError, "'same' or 'valid', got 'full'"),
        ((3, 8, 3), {"padding": "same", "stride": 2}, ValueError, "needs stride 1"),
        ((3, 8, 3), {"padding_mode": "mirror"}, ValueError, "padding_mode must be 'zeros'"),
        ((3, 8, 3), {"stride": 0}, ValueError, "stride must be"),
    ],
)
def test_conv2d_refuses(args, options, error, message):
    with pytest.raises(error, match=message):
        nn.Conv2d(*args, **options)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.Linear(0, 3), ValueError, "in_features must be at least 1"),
        (lambda: nn.Linear(3, 2.0), TypeError, "out_features must be an integer"),
        (lambda: nn.Linear(3, 2)(tn.zeros(4, 5)), ValueError, r"3 features, got shape \(4, 5\)"),
        (lambda: nn.Linear(3, 2)(tn.tensor(1.0)), ValueError, "3 features"),
        (lambda: nn.Linear(3, 2)(tn.zeros(4, 3).double()), TypeError, "input is float64 but weigh"),
        (lambda: nn.Linear(3, 2)(np.zeros((4, 3))), TypeError, "input must be a Tensor"),
        (lambda: F.linear(tn.zeros(3), tn.zeros(3)), ValueError, r"weight must be \(O, I\)"),
        (lambda: F.linear(tn.zeros(3), tn.zeros(2, 3), tn.zeros(1)), ValueError, r"\(2,\), got"),
        (lambda: nn.Flatten(2, 1)(tn.zeros(2, 3, 4)), ValueError, "start_dim 2 comes after"),
        (lambda: nn.Flatten()(tn.zeros(3)), ValueError, "out of range"),
    ],
)
def test_wrong_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_parameter():
    source = tn.ones(3)
    parameter = nn.Parameter(source)
    assert isinstance(parameter, tn.Tensor)
    assert parameter.requires_grad
    assert parameter.array is source.array  # the memory is shared, as in torch
    assert not nn.Parameter(source, requires_grad=False).requires_grad
    assert type(parameter * 2) is tn.Tensor
    assert repr(parameter).startswith("Parameter containing:\ntensor([1., 1., 1.]")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_argument(dtype):
    for layer in (
        nn.Conv2d(2, 3, 1, dtype=dtype, device="cpu"),
        nn.Linear(2, 3, dtype=dtype),
        nn.BatchNorm2d(3, dtype=dtype),
    ):
        assert {t.dtype for t in layer.parameters()} == {np.dtype(dtype)}


@pytest.mark.parametrize(
    ("name", "args", "options"),
    [
        ("Linear", (3, 4), {"bias": False}),
        ("BatchNorm2d", (4,), {"momentum": None, "affine": False}),
        ("BatchNorm2d", (4,), {"eps": 1e-3, "track_running_stats": False}),
        ("ReLU", (True,), {}),
        ("ReLU6", (), {}),
        ("MaxPool2d", (2,), {}),
        ("MaxPool2d", ((2, 3), 2, 1), {"ceil_mode": True}),
        ("AvgPool2d", (2,), {}),
        ("AvgPool2d", ((2, 3), (1, 2), 1), {}),
        ("AdaptiveAvgPool2d", (1,), {}),
        ("AdaptiveAvgPool2d", ((1, None),), {}),
        ("Flatten", (), {}),
        ("Dropout", (0.2,), {"inplace": True}),
        ("Softmax", (), {"dim": 1}),
        ("LogSoftmax", (-1,), {}),
        ("Identity", (3,), {}),
        ("ZeroPad2d", (1,), {}),
        ("ZeroPad2d", ((1, 2, 3, 4),), {}),
        ("CrossEntropyLoss", (), {}),
    ],
)
def test_layers_print_as_torchs(name, args, options):
    ours, theirs = two_layers(name, *args, **options)
    assert repr(ours) == repr(theirs)
