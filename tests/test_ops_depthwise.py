"""The three ways of depthwise convolution: each against torch, and against each other. On a GPU
there is one, by kernels."""

import itertools
from unittest import mock

import numpy as np
import pytest
import torch
from helpers import compare_with_torch, host

import tinynet.nn.functional as F
from tinynet import backend
from tinynet.ops import depthwise_banded, depthwise_flat, depthwise_shifted
from tinynet.ops.window import Window


def computed(way, x, weight, gy, window):
    """(y, gx, gw) by one way, into memory that holds NaN before."""
    xp = backend.array_module(x)
    y, gx = xp.full(gy.shape, np.nan, gy.dtype), xp.full(x.shape, np.nan, x.dtype)
    way.forward(x, weight, window, out=y)
    way.input_gradient(gy, weight, window, out=gx)
    return tuple(map(host, (y, gx, way.weight_gradient(gy, x, window))))


def check_both(rng, C, N, size, window, device, dtype=np.float64):
    """Forward and both gradients of each way against torch's, and one way against the other."""
    tolerance = (
        {"rtol": 1e-9, "atol": 1e-9} if dtype == np.float64 else {"rtol": 1e-4, "atol": 2e-4}
    )
    x = rng.standard_normal((C, *size, N)).astype(dtype)
    weight = rng.standard_normal((C, *window.kernel)).astype(dtype)
    xt = torch.tensor(x.transpose(3, 0, 1, 2), requires_grad=True)
    wt = torch.tensor(weight[:, None], requires_grad=True)
    (top, bottom), (left, right) = window.padding
    yt = torch.nn.functional.conv2d(
        torch.nn.functional.pad(xt, (left, right, top, bottom)),
        wt,
        stride=window.stride,
        dilation=window.dilation,
        groups=C,
    )
    out_size = window.output_size("test", *size)
    gy = rng.standard_normal((C, *out_size, N)).astype(dtype)
    yt.backward(torch.tensor(gy.transpose(3, 0, 1, 2)))

    given = [backend.to_device(array, device) for array in (x, weight, gy)]
    results = [computed(depthwise_shifted, *given, window)]
    if device == "cpu" and window.dilation[0] == 1:
        results.append(computed(depthwise_banded, x, weight, gy, window))
        with mock.patch.multiple(depthwise_banded, WIDE=2, TILE=int(rng.integers(1, 5))):
            results.append(computed(depthwise_banded, x, weight, gy, window))
    if device == "cpu":
        results.append(computed(depthwise_flat, x, weight, gy, window))
    expected = [
        yt.detach().numpy().transpose(1, 2, 3, 0),
        xt.grad.numpy().transpose(1, 2, 3, 0),
        wt.grad.numpy()[:, 0],
    ]
    for mine, theirs, what in zip(
        zip(*results, strict=True), expected, ["y", "gx", "gw"], strict=True
    ):
        for result in mine:
            assert result.dtype == dtype
            np.testing.assert_allclose(result, theirs, err_msg=f"{what} against torch", **tolerance)
            np.testing.assert_allclose(result, mine[0], err_msg=f"{what}, way by way", **tolerance)


KERNELS = [(1, 1), (2, 2), (3, 3), (5, 5), (3, 1), (2, 4)]
STRIDES = [(1, 1), (2, 2), (3, 3), (1, 2), (4, 1)]
PADDINGS = [
    ((0, 0), (0, 0)),
    ((1, 1), (1, 1)),
    ((3, 3), (2, 2)),
    ((0, 1), (0, 1)),
    ((4, 0), (0, 5)),
]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("padding", PADDINGS)
def test_grid(rng, device, kernel, stride, padding):
    sizes = itertools.cycle([(7, 7), (8, 6), (5, 9), (6, 5)])
    batches = itertools.cycle([1, 2, 8, 9, 33])
    for dilation in [(1, 1), (1, 2), (2, 1), (3, 3)]:
        size = next(sizes)
        window = Window(kernel, stride, padding, dilation)
        room = [s + sum(p) - k for s, p, k in zip(size, padding, window.span, strict=True)]
        if min(room) >= 0:
            dtype = np.float32 if dilation == (1, 2) else np.float64
            check_both(rng, 3, next(batches), size, window, device, dtype)


@pytest.mark.parametrize("seed", range(100))
def test_random_windows(device, seed):
    rng = np.random.default_rng(seed)
    while True:
        size = tuple(rng.integers(1, 15, 2).tolist())
        window = Window(
            kernel=tuple(rng.integers(1, 7, 2).tolist()),
            stride=tuple(rng.integers(1, 6, 2).tolist()),
            padding=tuple(map(tuple, rng.integers(0, 6, (2, 2)).tolist())),
            dilation=(1, int(rng.integers(1, 4))),
        )
        room = [s + sum(p) - k for s, p, k in zip(size, window.padding, window.span, strict=True)]
        if min(room) >= 0:
            break
    C, N = int(rng.integers(1, 5)), int(rng.choice([1, 2, 8, 9, 16]))
    check_both(rng, C, N, size, window, device)


@pytest.mark.cpu_only  # the CPU's two ways
@pytest.mark.parametrize(
    ("way", "N"), [(way, N) for way in (depthwise_banded, depthwise_flat) for N in (1, 9)]
)
@pytest.mark.parametrize(("C", "multiplier"), [(5, 1), (4, 2), (2, 3)])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_op_by_either_way(rng, monkeypatch, way, C, multiplier, stride, N):
    """The op with its choice of way overruled, filters that share a channel included."""
    monkeypatch.setattr(depthwise_banded, "suits", lambda *_: way is depthwise_banded)
    used = []
    forward = way.forward
    monkeypatch.setattr(way, "forward", lambda *a, **k: used.append(way) or forward(*a, **k))
    how = {"stride": stride, "padding": 1, "groups": C}
    compare_with_torch(
        lambda *inputs: F.conv2d(*inputs, **how),
        lambda *inputs: torch.nn.functional.conv2d(*inputs, **how),
        rng.standard_normal((N, C, 7, 6)),
        rng.standard_normal((C * multiplier, 1, 3, 3)),
        rng.standard_normal(C * multiplier),
    )
    assert used == [way]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    "way",
    [
        depthwise_shifted,
        pytest.param(depthwise_banded, marks=pytest.mark.cpu_only),
        pytest.param(depthwise_flat, marks=pytest.mark.cpu_only),
    ],
    ids=["shifted", "banded", "flat"],
)
def test_what_is_given_is_not_changed(rng, device, way, stride):
    window = Window((3, 3), (stride, stride), ((1, 1), (1, 1)))
    N, out = 9, 6 // stride
    arrays = [rng.standard_normal(s) for s in [(2, 6, 6, N), (2, 3, 3), (2, out, out, N)]]
    given = [backend.to_device(a.copy(), device) for a in arrays]
    x, weight, gy = given
    computed(way, x, weight, gy, window)
    for now, before in zip(given, arrays, strict=True):
        np.testing.assert_array_equal(host(now), before)


def test_rows_wide_enough_to_be_cut(rng, device):
    for size, stride in [((3, 33), 1), ((4, 57), 2), ((2, 70), 3)]:
        window = Window((3, 3), (stride, stride), ((1, 1), (1, 1)))
        check_both(rng, 2, 8, size, window, device)


@pytest.mark.cpu_only  # the CPU's two ways
def test_the_choice():
    """Batches go by band matrices, all else flat."""
    plain, dilated = Window((3, 3)), Window((3, 3), dilation=(2, 1))
    for N, dtype, window, banded in [
        (32, np.float32, plain, True),
        (8, np.float64, plain, True),
        (1, np.float64, plain, False),
        (4, np.float32, plain, False),
        (32, np.float32, dilated, False),
        (32, np.float16, plain, False),
    ]:
        x = np.zeros((2, 5, 5, N), dtype)
        assert depthwise_banded.suits(x, window) == banded
