"""Pooling and padding against torch."""

import functools
import itertools

import numpy as np
import pytest
import torch
from helpers import channel_major, compare_with_torch

import tinynet as tn
import tinynet.nn as nn
import tinynet.nn.functional as F

SIZES = [(1, 1), (4, 4), (7, 5), (8, 6), (3, 11)]


def check_layer(name, x, *args, **options):
    ours, theirs = getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)
    return compare_with_torch(ours, theirs, x)


def pictures(rng, size, dtype=np.float64):
    """Two layouts in turn: plain memory, and the engine's own."""
    x = rng.standard_normal((3, 2, *size)).astype(dtype)
    return channel_major(x) if size[0] % 2 else x


@pytest.mark.parametrize("out", [1, 2, 3, 7, (1, 1), (3, 2), (None, 1), (2, None), (None, None)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_adaptive_average(rng, out, dtype):
    for size in SIZES:
        check_layer("AdaptiveAvgPool2d", pictures(rng, size, dtype), out)


KERNELS = [1, 2, 3, (3, 2), (2, 5)]
STRIDES = [None, 1, 2, (3, 1)]
PADDINGS = [0, 1, (1, 0)]


def window_grid():
    for kernel, stride, padding in itertools.product(KERNELS, STRIDES, PADDINGS):
        both = [v if isinstance(v, tuple) else (v, v) for v in (kernel, padding)]
        if all(2 * p <= k for k, p in zip(*both, strict=True)):
            yield kernel, stride, padding


def fits(size, kernel, padding, dilation=1):
    kernel = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    padding = padding if isinstance(padding, tuple) else (padding, padding)
    return all(
        s + 2 * p >= dilation * (k - 1) + 1 for s, k, p in zip(size, kernel, padding, strict=True)
    )


@pytest.mark.parametrize(("kernel", "stride", "padding"), list(window_grid()))
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_windows(rng, kernel, stride, padding, dtype):
    for size, ceil_mode in itertools.product(SIZES, [False, True]):
        if not fits(size, kernel, padding):
            continue
        x = pictures(rng, size, dtype)
        how = {"stride": stride, "padding": padding, "ceil_mode": ceil_mode}
        check_layer("MaxPool2d", x, kernel, **how)
        for count_include_pad in (True, False):
            check_layer("AvgPool2d", x, kernel, **how, count_include_pad=count_include_pad)


@pytest.mark.parametrize("seed", range(60))
def test_random_windows(seed):
    rng = np.random.default_rng(seed)
    while True:
        size = tuple(rng.integers(1, 15, 2).tolist())
        kernel = tuple(rng.integers(1, 6, 2).tolist())
        padding = tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel)
        if fits(size, kernel, padding):
            break
    stride = tuple(rng.integers(1, 6, 2).tolist())
    how = {"stride": stride, "padding": padding, "ceil_mode": bool(seed % 2)}
    x = pictures(rng, size)
    check_layer("MaxPool2d", x, kernel, **how)
    check_layer("AvgPool2d", x, kernel, count_include_pad=bool(seed % 3), **how)
    # no padding here: where all taps of a window miss the picture, torch writes past its memory
    if fits(size, kernel, 0, dilation=2):
        check_layer("MaxPool2d", x, kernel, stride, dilation=2)


@pytest.mark.parametrize("how", [{"stride": 1}, {"stride": 2, "padding": 1}])
def test_max_pool_ties_and_extremes(rng, how):
    """Equal largest values: the first takes the gradient. Infinities, a nan, and zeros."""
    x = rng.integers(0, 2, (2, 3, 7, 7)).astype(float)
    x[0, 0, ::2] = -np.inf
    x[0, 1] = 0
    x[0, 2, 1, 1] = np.inf
    x[1, 2, 3, 3] = np.nan
    check_layer("MaxPool2d", x, 3, **how)


def test_functions_take_what_the_layers_take(rng):
    x = rng.standard_normal((2, 3, 6, 6))
    for call in (
        lambda f, t: f.avg_pool2d(t, t.shape[2:]),
        lambda f, t: f.avg_pool2d(t, 3, 2, 1, True, False),
        lambda f, t: f.max_pool2d(t, 2),
        lambda f, t: f.max_pool2d(t, 3, 1, 1, 1, ceil_mode=True),
        lambda f, t: f.adaptive_avg_pool2d(t, (1, 1)),
    ):
        compare_with_torch(
            functools.partial(call, F), functools.partial(call, torch.nn.functional), x
        )


@pytest.mark.parametrize(
    ("shape", "sides"),
    [
        ((2, 3, 4, 5), (1, 1, 1, 1)),
        ((2, 3, 4, 5), (0, 1, 2, 3)),
        ((2, 3, 4, 5), (2, 0)),
        ((2, 3, 4, 5), (0, 0, 0, 0, 1, 2)),  # channels: the shortcut of CIFAR's ResNet
        ((2, 3, 4, 5), (1, 0, 0, 2, 3, 0, 1, 1)),
        ((3, 4), (1, 2)),
        ((3,), (2, 1)),
        ((2, 3, 4), (1, 0, 0, 1)),
    ],
)
@pytest.mark.parametrize("value", [0.0, -1.5, None])
def test_pad(rng, shape, sides, value):
    x = rng.standard_normal(shape)
    compare_with_torch(
        lambda t: F.pad(t, sides, "constant", value),
        lambda t: torch.nn.functional.pad(t, sides, "constant", value),
        channel_major(x) if x.ndim == 4 else x,
    )


@pytest.mark.parametrize("padding", [0, 2, (1, 0, 2, 3)])
def test_zero_pad(rng, padding):
    check_layer("ZeroPad2d", rng.standard_normal((2, 3, 4, 5)), padding)


IMAGES = tn.zeros(2, 3, 6, 6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.avg_pool2d(tn.zeros(6, 6), 2), ValueError, r"avg_pool2d: .*\(N, C, H, W\)"),
        (lambda: F.avg_pool2d(IMAGES, 0), ValueError, "kernel_size must be .* at least 1, got 0"),
        (lambda: F.max_pool2d(IMAGES, 2, padding=2), ValueError, "at most half the kernel size"),
        (lambda: F.max_pool2d(IMAGES, 7), ValueError, r"spanning \(7, 7\) does not fit"),
        (lambda: F.avg_pool2d(IMAGES.long(), 2), TypeError, "must be floating, got int64"),
        (lambda: F.max_pool2d(IMAGES.numpy(), 2), TypeError, "must be a Tensor, got ndarray"),
        (lambda: F.adaptive_avg_pool2d(IMAGES, 0), ValueError, "output_size must be"),
        (lambda: F.adaptive_avg_pool2d(IMAGES, (1, 2, 3)), ValueError, "output_size must be"),
        (lambda: F.adaptive_avg_pool2d(IMAGES, "1"), TypeError, "output_size must be"),
        (lambda: F.adaptive_avg_pool2d(IMAGES.long(), 1), TypeError, "must be floating"),
        (lambda: F.pad(IMAGES, (1, 1, 1)), ValueError, r"expected \(left, right\)"),
        (lambda: F.pad(IMAGES, (-1, 1)), ValueError, r"from 0 up"),
        (lambda: F.pad(IMAGES, (1,) * 10), ValueError, r"of shape \(2, 3, 6, 6\)"),
        (lambda: F.pad(IMAGES, (1, 1), mode="mirror"), ValueError, "mode must be 'constant'"),
    ],
)
def test_wrong_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()
