"""The three ways of depthwise convolution: each against torch, and against each other. On a GPU
there is the definition here; its kernel has tests of its own."""

import itertools
from unittest import mock

import numpy as np
import pytest
import torch
from helpers import compare_with_torch, host

import tinynet.nn.functional as F
from tinynet import backend
from tinynet.autograd import tape
from tinynet.fast.cpu import banded
from tinynet.fast.cpu import depthwise as fast
from tinynet.ops.depthwise import DepthwiseConv2d
from tinynet.ops.window import Window


def nan_filled(shape, dtype):
    return np.full(shape, np.nan, dtype)


def computed(way, x, weight, gy, window):
    """(y, gx, gw) by one way, into memory that holds NaN before; without its way out, by which
    the banded products leave it to the definition where their result is not finite."""
    op = way(window=window)
    op.needs, op.input_shapes = (True, True), (x.shape, weight.shape)
    with (
        mock.patch.object(fast, "empty_like", lambda x, shape: nan_filled(shape, x.dtype)),
        mock.patch.object(banded, "empty", nan_filled),
        mock.patch.object(banded, "is_exact", lambda *_, **__: True),
    ):
        y = op.forward(x, weight)
        return tuple(map(host, (y, *op.backward(gy))))


def check_ways(rng, C, N, size, window, device, dtype=np.float64):
    """Forward and both gradients of each way against torch's, and one way against the other."""
    tolerance = (
        {"rtol": 1e-9, "atol": 1e-9} if dtype == np.float64 else {"rtol": 1e-4, "atol": 2e-4}
    )
    x = rng.standard_normal((N, C, *size)).astype(dtype)
    weight = rng.standard_normal((C, 1, *window.kernel)).astype(dtype)
    xt, wt = (torch.tensor(array, requires_grad=True) for array in (x, weight))
    (top, bottom), (left, right) = window.padding
    yt = torch.nn.functional.conv2d(
        torch.nn.functional.pad(xt, (left, right, top, bottom)),
        wt,
        stride=window.stride,
        dilation=window.dilation,
        groups=C,
    )
    gy = rng.standard_normal((N, C, *window.output_size(*size))).astype(dtype)
    yt.backward(torch.tensor(gy))

    given = [backend.to_device(array, device) for array in (x, weight, gy)]
    results = [computed(DepthwiseConv2d, *given, window)]
    if device == "cpu" and window.dilation[0] == 1:
        results.append(computed(fast.Banded, x, weight, gy, window))
        with mock.patch.multiple(banded, WIDE=2, TILE=int(rng.integers(1, 5))):
            results.append(computed(fast.Banded, x, weight, gy, window))
    if device == "cpu":
        results.append(computed(fast.Flat, x, weight, gy, window))
    expected = [yt.detach().numpy(), xt.grad.numpy(), wt.grad.numpy()]
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
            check_ways(rng, 3, next(batches), size, window, device, dtype)


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
    check_ways(rng, C, N, size, window, device)


@pytest.mark.fast_only
@pytest.mark.cpu_only
@pytest.mark.parametrize(("way", "N"), [(way, N) for way in ("Banded", "Flat") for N in (1, 9)])
@pytest.mark.parametrize(("C", "multiplier"), [(5, 1), (4, 2), (2, 3)])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_op_by_either_way(rng, monkeypatch, way, C, multiplier, stride, N):
    """The op with its choice of way overruled, filters that share a channel included."""
    used = []

    def choose(definition, arrays, options):
        used.append(definition)
        return getattr(fast, way)

    monkeypatch.setattr(tape, "faster", choose)
    how = {"stride": stride, "padding": 1, "groups": C}
    compare_with_torch(
        lambda *inputs: F.conv2d(*inputs, **how),
        lambda *inputs: torch.nn.functional.conv2d(*inputs, **how),
        rng.standard_normal((N, C, 7, 6)),
        rng.standard_normal((C * multiplier, 1, 3, 3)),
        rng.standard_normal(C * multiplier),
    )
    assert used == [DepthwiseConv2d]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    "way",
    [
        DepthwiseConv2d,
        pytest.param(fast.Banded, marks=pytest.mark.cpu_only),
        pytest.param(fast.Flat, marks=pytest.mark.cpu_only),
    ],
    ids=["definition", "banded", "flat"],
)
def test_what_is_given_is_not_changed(rng, device, way, stride):
    window = Window((3, 3), (stride, stride), ((1, 1), (1, 1)))
    N, out = 9, 6 // stride
    arrays = [rng.standard_normal(s) for s in [(N, 2, 6, 6), (2, 1, 3, 3), (N, 2, out, out)]]
    given = [backend.to_device(a.copy(), device) for a in arrays]
    computed(way, *given, window)
    for now, before in zip(given, arrays, strict=True):
        np.testing.assert_array_equal(host(now), before)


def test_rows_wide_enough_to_be_cut(rng, device):
    for size, stride in [((3, 33), 1), ((4, 57), 2), ((2, 70), 3)]:
        window = Window((3, 3), (stride, stride), ((1, 1), (1, 1)))
        check_ways(rng, 2, 8, size, window, device)


@pytest.mark.fast_only
@pytest.mark.cpu_only
def test_the_choice():
    """Batches go by band matrices, all other floats flat."""
    near, dilated = Window((3, 3)), Window((3, 3), dilation=(2, 1))
    for N, dtype, window, way in [
        (32, np.float32, near, fast.Banded),
        (8, np.float64, near, fast.Banded),
        (1, np.float64, near, fast.Flat),
        (4, np.float32, near, fast.Flat),
        (32, np.float32, dilated, fast.Flat),
        (0, np.float32, near, DepthwiseConv2d),
    ]:
        x, weight = np.zeros((N, 2, 5, 5), dtype), np.zeros((2, 1, 3, 3), dtype)
        assert tape.implementation(DepthwiseConv2d, x, weight, window=window) is way
