"""conv2d, dense, grouped and depthwise, against torch: the result and every gradient."""

import itertools

import numpy as np
import pytest
import torch
from helpers import assert_same, channel_major, compare_with_torch

import tinynet as tn
import tinynet.nn.functional as F

CHANNELS = [  # (C, O, groups)
    (1, 1, 1),
    (3, 4, 1),
    (4, 6, 2),
    (3, 3, 3),  # depthwise
    (3, 6, 3),  # depthwise, two filters a channel
    (2, 6, 2),  # depthwise, three filters a channel
]
SIZES = [(7, 7), (8, 6), (5, 9), (11, 4)]
BATCHES = [1, 2, 7, 9, 33]
CHANGING = list(itertools.product(CHANNELS, SIZES, BATCHES))

# torch mentions that it copies the input for padding='same' with even kernels
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")


def plain(array):
    return array


def check(rng, N, C, O, size, kernel, groups=1, dtype=np.float64, layout=plain, bias=True, **how):
    """One configuration against torch. In float32 sums of a thousand terms differ by 1e-4."""
    x = layout(rng.standard_normal((N, C, *size)).astype(dtype))
    weight = rng.standard_normal((O, C // groups, *kernel)).astype(dtype)
    arrays = (x, weight, rng.standard_normal(O).astype(dtype)) if bias else (x, weight)
    compare_with_torch(
        lambda *inputs: F.conv2d(*inputs, groups=groups, **how),
        lambda *inputs: torch.nn.functional.conv2d(*inputs, groups=groups, **how),
        *arrays,
        atol=1e-9 if dtype == np.float64 else 2e-4,
    )


def fits(size, kernel, padding, dilation):
    pads = padding if isinstance(padding, tuple) else (padding, padding)
    gaps = dilation if isinstance(dilation, tuple) else (dilation, dilation)
    return all(
        p == "same" or s + 2 * (0 if p == "valid" else p) >= d * (k - 1) + 1
        for s, k, p, d in zip(size, kernel, pads, gaps, strict=True)
    )


def grid():
    """Every kernel x stride x padding x dilation; channels, size and batch take turns."""
    kernels = [(1, 1), (2, 2), (3, 3), (5, 5), (3, 1), (2, 5)]
    strides = [1, 2, 3, (1, 2), (3, 1)]
    paddings = [0, 1, 3, (2, 0), "valid", "same"]
    dilations = [1, 2, (1, 3)]
    cases = itertools.product(kernels, strides, paddings, dilations)
    for number, (kernel, stride, padding, dilation) in enumerate(cases):
        # 31 shares no factor with the 120 combinations: all of them get their turn
        (C, O, groups), size, N = CHANGING[31 * number % len(CHANGING)]
        if (padding == "same" and stride != 1) or not fits(size, kernel, padding, dilation):
            continue
        dtype = np.float32 if number % 4 == 3 else np.float64
        how = {"stride": stride, "padding": padding, "dilation": dilation}
        yield pytest.param(
            N, C, O, size, kernel, groups, dtype, how, id=f"{N}x{C}x{size}-{O}-{kernel}-{how}"
        )


@pytest.mark.parametrize(("N", "C", "O", "size", "kernel", "groups", "dtype", "how"), [*grid()])
def test_grid(rng, N, C, O, size, kernel, groups, dtype, how):
    check(rng, N, C, O, size, kernel, groups, dtype, **how)


@pytest.mark.parametrize(("C", "O", "groups"), CHANNELS)
@pytest.mark.parametrize("N", BATCHES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_shapes_of_mobilenet(rng, C, O, groups, N, dtype):
    for size in [(8, 8), (7, 5)]:
        check(rng, N, C, O, size, (3, 3), groups, dtype, channel_major, padding=1)
        check(rng, N, C, O, size, (3, 3), groups, dtype, channel_major, stride=2, padding=1)
        check(rng, N, C, O, size, (1, 1), groups, dtype, channel_major, bias=False)


def draw(rng):
    """A random configuration whose window fits; a third of them are depthwise."""
    while True:
        groups = int(rng.integers(1, 5))
        C = groups if rng.random() < 0.4 else groups * int(rng.integers(1, 4))
        size = tuple(rng.integers(1, 13, 2).tolist())
        kernel = tuple(rng.integers(1, 7, 2).tolist())
        how = {
            "stride": tuple(rng.integers(1, 6, 2).tolist()),
            "padding": tuple(rng.integers(0, 5, 2).tolist()),
            "dilation": tuple(rng.integers(1, 4, 2).tolist() if rng.random() < 0.5 else (1, 1)),
        }
        if fits(size, kernel, how["padding"], how["dilation"]):
            N = int(rng.choice([1, 2, 3, 8, 9, 17]))
            return N, C, groups * int(rng.integers(1, 4)), size, kernel, groups, how


@pytest.mark.parametrize("seed", range(160))
def test_random_configurations(seed):
    rng = np.random.default_rng(seed)
    N, C, O, size, kernel, groups, how = draw(rng)
    layout = [plain, channel_major][seed % 2]
    dtype = np.float32 if seed % 5 == 0 else np.float64
    check(rng, N, C, O, size, kernel, groups, dtype, layout, bias=seed % 3 > 0, **how)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("N", [1, 9])
@pytest.mark.parametrize(
    ("size", "kernel", "how"),
    [
        ((1, 1), (1, 1), {}),
        ((1, 1), (3, 3), {"padding": 1}),
        ((1, 1), (5, 5), {"padding": 4, "stride": 2}),
        ((2, 3), (5, 6), {"padding": 3}),  # the window is larger than the picture
        ((2, 2), (2, 2), {"padding": 3}),  # some windows lie wholly in the padding
        ((9, 9), (2, 2), {"stride": 5}),  # some pixels are never seen
        ((10, 7), (1, 1), {"stride": 3, "padding": 2}),
        ((4, 4), (4, 4), {}),  # one position
        ((12, 3), (3, 3), {"dilation": (5, 1)}),
    ],
)
def test_extreme_shapes(rng, groups, N, size, kernel, how):
    check(rng, N, 4, 4, size, kernel, groups, **how)


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_an_empty_batch(rng, groups):
    check(rng, 0, 6, 6, (5, 5), (3, 3), groups, stride=2, padding=1)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("N", [2, 9])
@pytest.mark.parametrize("kernel", [1, 3])
def test_any_strides_and_a_broadcast_cotangent(rng, groups, N, kernel):
    """The input is a mirrored, thinned-out view, the cotangent one number seen everywhere."""
    x = rng.standard_normal((6, 2 * N, 8, 5)).transpose(1, 0, 3, 2)[::2, 1:5, ::-1]
    weight = rng.standard_normal((3, kernel, kernel, 4 // groups, 4)).T[:, :, :, :, 1]
    xt, wt = torch.tensor(x.copy()), torch.tensor(weight.copy())
    xo, wo = tn.Tensor(x), tn.Tensor(weight)
    for tensor in (xo, wo, xt, wt):
        tensor.requires_grad_()
    how = {"stride": 2, "padding": 1, "groups": groups}
    y, expected = F.conv2d(xo, wo, **how), torch.nn.functional.conv2d(xt, wt, **how)
    assert_same(y, expected)
    y.backward(tn.Tensor(np.broadcast_to(np.float64(0.7), y.shape)))
    expected.backward(torch.full(y.shape, 0.7, dtype=torch.float64))
    assert_same(xo.grad, xt.grad, "gx")
    assert_same(wo.grad, wt.grad, "gw")


@pytest.mark.parametrize("wanted", [*itertools.product([True, False], repeat=3)])
@pytest.mark.parametrize("groups", [1, 4])
def test_only_the_wanted_gradients(rng, wanted, groups):
    arrays = [rng.standard_normal(s) for s in [(9, 4, 6, 6), (4, 4 // groups, 3, 3), (4,)]]
    ours = [tn.Tensor(a, requires_grad=want) for a, want in zip(arrays, wanted, strict=True)]
    theirs = [torch.tensor(a, requires_grad=want) for a, want in zip(arrays, wanted, strict=True)]
    y = F.conv2d(*ours, padding=1, groups=groups)
    expected = torch.nn.functional.conv2d(*theirs, padding=1, groups=groups)
    assert_same(y, expected)
    assert y.requires_grad == any(wanted)
    if any(wanted):
        gy = rng.standard_normal(y.shape)
        y.backward(tn.Tensor(gy))
        expected.backward(torch.tensor(gy))
    for name, x, xt in zip("xwb", ours, theirs, strict=True):
        assert_same(x.grad, xt.grad, f"g{name}")


@pytest.mark.parametrize(
    ("shapes", "how", "message"),
    [
        ([(2, 3, 5, 5), (4, 2, 3, 3)], {}, r"3 channels, expected 2"),
        ([(5, 5), (4, 3, 3, 3)], {}, r"\(N, C, H, W\), got shape \(5, 5\)"),
        ([(2, 3, 5, 5), (4, 3, 3)], {}, r"weight must be \(O, C/groups, KH, KW\)"),
        ([(2, 3, 5, 5), (4, 3, 3, 3), (3,)], {}, r"bias must have shape \(4,\), got \(3,\)"),
        ([(2, 4, 5, 5), (3, 2, 3, 3)], {"groups": 2}, r"groups=2 does not divide the 3"),
        ([(2, 3, 2, 2), (4, 3, 3, 3)], {}, r"does not fit an input of 2x2"),
        ([(2, 3, 5, 5), (4, 3, 3, 3)], {"stride": 0}, r"stride must be .* at least 1, got 0"),
        ([(2, 3, 5, 5), (4, 3, 3, 3)], {"padding": -1}, r"padding must be .* at least 0, got -1"),
        ([(2, 3, 5, 5), (4, 3, 3, 3)], {"padding": "full"}, r"'same' or 'valid', got 'full'"),
        ([(2, 3, 5, 5), (4, 3, 3, 3)], {"padding": "same", "stride": 2}, r"needs stride 1"),
        ([(2, 3, 5, 5), (4, 3, 3, 3)], {"dilation": (1, 2, 3)}, r"dilation must be an integer or"),
    ],
)
def test_wrong_arguments(shapes, how, message):
    with pytest.raises(ValueError, match=message):
        F.conv2d(*(tn.zeros(shape) for shape in shapes), **how)


def test_wrong_types():
    x, weight = tn.zeros(1, 3, 5, 5), tn.zeros(4, 3, 3, 3)
    with pytest.raises(TypeError, match="input is float32 but weight is float64"):
        F.conv2d(x, weight.double())
    with pytest.raises(TypeError, match="the input must be floating, got int64"):
        F.conv2d(x.long(), weight)
    with pytest.raises(TypeError, match="input must be a Tensor, got ndarray"):
        F.conv2d(x.numpy(), weight)
    with pytest.raises(TypeError, match="stride must be an integer or a pair"):
        F.conv2d(x, weight, stride=1.5)
