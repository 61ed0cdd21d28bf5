"""The two ways of depthwise convolution: each against torch, and against each other."""

import itertools

import numpy as np
import pytest
import torch
from helpers import compare_with_torch

import tinynet.nn.functional as F
from tinynet.ops import depthwise, depthwise_banded, depthwise_shifted
from tinynet.ops.window import Window

WAYS = [depthwise_shifted, depthwise_banded]


def check_both(rng, C, N, size, window, dtype=np.float64):
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

    results = [
        (
            way.forward(x, weight, window, out_size),
            way.input_gradient(gy, weight, x.shape, window),
            way.weight_gradient(gy, x, window),
        )
        for way in WAYS
        if way is depthwise_shifted or window.dilation[0] == 1
    ]
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
def test_grid(rng, kernel, stride, padding):
    sizes = itertools.cycle([(7, 7), (8, 6), (5, 9), (6, 5)])
    batches = itertools.cycle([1, 2, 8, 9, 33])
    for dilation in [(1, 1), (1, 2), (2, 1), (3, 3)]:
        size = next(sizes)
        window = Window(kernel, stride, padding, dilation)
        room = [s + sum(p) - k for s, p, k in zip(size, padding, window.span, strict=True)]
        if min(room) >= 0:
            dtype = np.float32 if dilation == (1, 2) else np.float64
            check_both(rng, 3, next(batches), size, window, dtype)


@pytest.mark.parametrize("seed", range(100))
def test_random_windows(seed):
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
    check_both(rng, int(rng.integers(1, 5)), int(rng.choice([1, 2, 8, 9, 16])), size, window)


@pytest.mark.parametrize("way", WAYS, ids=["shifted", "banded"])
@pytest.mark.parametrize(("C", "multiplier"), [(5, 1), (4, 2), (2, 3)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("N", [1, 9])
def test_the_op_by_either_way(rng, monkeypatch, way, C, multiplier, stride, N):
    """The op with its choice of way overruled, filters that share a channel included."""
    suits = {depthwise_banded: True, depthwise_shifted: False}[way]
    monkeypatch.setattr(depthwise.banded, "suits", lambda *_: suits)
    used = []
    forward = way.forward
    monkeypatch.setattr(way, "forward", lambda *args: used.append(way) or forward(*args))
    how = {"stride": stride, "padding": 1, "groups": C}
    compare_with_torch(
        lambda *inputs: F.conv2d(*inputs, **how),
        lambda *inputs: torch.nn.functional.conv2d(*inputs, **how),
        rng.standard_normal((N, C, 7, 6)),
        rng.standard_normal((C * multiplier, 1, 3, 3)),
        rng.standard_normal(C * multiplier),
    )
    assert used == [way]


def test_what_is_given_is_not_changed(rng):
    window = Window((3, 3), (2, 2), ((1, 1), (1, 1)))
    arrays = [rng.standard_normal(s) for s in [(2, 6, 6, 9), (2, 3, 3), (2, 3, 3, 9)]]
    copies = [a.copy() for a in arrays]
    x, weight, gy = arrays
    for way in WAYS:
        way.forward(x, weight, window, (3, 3))
        way.input_gradient(gy, weight, x.shape, window)
        way.weight_gradient(gy, x, window)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_the_choice():
    """Batches go by matrix products, single pictures and dilated rows by shifted ones."""
    plain, dilated = Window((3, 3)), Window((3, 3), dilation=(2, 1))
    assert depthwise_banded.suits(np.zeros((2, 5, 5, 32), np.float32), plain)
    assert not depthwise_banded.suits(np.zeros((2, 5, 5, 1), np.float32), plain)
    assert not depthwise_banded.suits(np.zeros((2, 5, 5, 32), np.float32), dilated)
    assert not depthwise_banded.suits(np.zeros((2, 5, 5, 32), np.float16), plain)
