"""NaN, infinities, ties and empty batches, against torch."""

import itertools

import numpy as np
import pytest
import torch
from helpers import channel_major

import tinynet as tn
import tinynet.nn.functional as F

FT = torch.nn.functional
NAN, INF = np.nan, np.inf


@pytest.fixture(autouse=True, params=["fast", "plain"])
def way(request):
    with tn.plain() if request.param == "plain" else tn.enable_grad():
        yield request.param


def both(ours, theirs, arrays, gy=None, rtol=1e-9):
    """Results and gradients of both libraries on the same arrays; NaN equals NaN."""
    xs = [tn.Tensor(np.array(a), requires_grad=True) for a in arrays]
    xts = [torch.tensor(np.array(a), requires_grad=True) for a in arrays]
    y, yt = ours(*xs), theirs(*xts)
    np.testing.assert_allclose(y.numpy(), yt.detach().numpy(), rtol=rtol, atol=rtol, err_msg="y")
    if gy is None:
        gy = np.random.default_rng(1).standard_normal(y.shape)
    gy = np.broadcast_to(gy, y.shape).astype(y.dtype)
    y.backward(tn.Tensor(gy.copy()))
    yt.backward(torch.tensor(gy))
    for i, (x, xt) in enumerate(zip(xs, xts, strict=True)):
        if xt.grad is None:
            assert x.grad is None
        else:
            np.testing.assert_allclose(
                x.grad.numpy(), xt.grad.numpy(), rtol=rtol, atol=rtol, err_msg=f"input {i}"
            )


def same(function, *arrays, gy=None):
    both(function, function, arrays, gy)


# windows


def windows_holding(value_at, shape, kernel, stride, padding):
    """Which outputs have this pixel in their window: a boolean image (HO, WO)."""
    image = np.zeros(shape)
    image[value_at] = 1
    seen = FT.conv2d(
        torch.tensor(image)[None, None], torch.ones(1, 1, *kernel).double(), None, stride, padding
    )
    return seen[0, 0].numpy() > 0


CONVOLUTIONS = {
    "conv": (3, 1, (5, 3)),
    "pointwise": (2, 1, (4, 3)),
    "depthwise, few images": (2, 3, (3, 3)),
    "depthwise, a batch": (9, 3, (3, 3)),
    "depthwise, two filters per channel": (9, 3, (6, 3)),
    "depthwise, dilated": (9, 3, (3, 3)),
}


def convolution(name, width, stride, rng):
    N, groups, (O, C) = CONVOLUTIONS[name]
    size = 1 if name == "pointwise" else 3
    options = {
        "stride": stride,
        "padding": 0 if size == 1 else 1,
        "groups": groups,
        "dilation": 2 if "dilated" in name else 1,
    }
    x = rng.standard_normal((N, C, 6, width))
    weight = rng.standard_normal((O, C // groups, size, size))
    return x, weight, options


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("width", [7, 40, 80])
def test_not_finite_pixels_stay_in_their_windows(rng, name, stride, width):
    """In x for y and the weights' gradient, and in gy for gx; finite elsewhere, as in torch."""
    x, weight, options = convolution(name, width, stride, rng)
    outputs = FT.conv2d(torch.tensor(x), torch.tensor(weight), **options)
    for value, column in itertools.product((NAN, INF, -INF), (0, width // 2, width - 1)):
        spoilt, gy = x.copy(), rng.standard_normal(outputs.shape)
        spoilt[1, 0, 2, column] = value
        if column:
            gy[0, 1, 1, min(column, gy.shape[3] - 1)] = value
        for order in (np.asarray, channel_major):
            xs = [tn.Tensor(order(a), requires_grad=True) for a in (spoilt, weight)]
            xts = [torch.tensor(a, requires_grad=True) for a in (spoilt, weight)]
            y, yt = F.conv2d(*xs, **options), FT.conv2d(*xts, **options)
            y.backward(tn.Tensor(order(gy)))
            yt.backward(torch.tensor(gy))
            for a, b in zip([y, *(t.grad for t in xs)], [yt, *(t.grad for t in xts)], strict=True):
                a, b = a.numpy(), b.detach().numpy()
                np.testing.assert_array_equal(np.isfinite(a), np.isfinite(b))
                finite = np.isfinite(b)
                np.testing.assert_allclose(a[finite], b[finite], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("value", [NAN, INF])
@pytest.mark.parametrize("N", [2, 9])
def test_exactly_the_windows_that_hold_it(stride, value, N):
    x = np.random.default_rng(0).standard_normal((N, 2, 5, 70))
    x[1, 1, 3, 17] = value
    held = windows_holding((3, 17), (5, 70), (3, 3), stride, 1)
    for groups in (1, 2):
        w = np.ones((2, 2 // groups, 3, 3))
        y = F.conv2d(tn.Tensor(x), tn.Tensor(w), stride=stride, padding=1, groups=groups).numpy()
        np.testing.assert_array_equal(~np.isfinite(y[1, 1]), held)
        assert np.isfinite(y[0]).all()
        assert np.isfinite(y[1, 0]).all() == (groups == 2)


POOLS = {
    "avg": lambda f: lambda x: f.avg_pool2d(x, 3, 2, 1),
    "avg, without the padding": lambda f: (
        lambda x: f.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
    ),
    "avg, ceil": lambda f: lambda x: f.avg_pool2d(x, 2, 2, ceil_mode=True),
    "adaptive": lambda f: lambda x: f.adaptive_avg_pool2d(x, (2, 3)),
    "global": lambda f: lambda x: f.adaptive_avg_pool2d(x, 1),
    "max": lambda f: lambda x: f.max_pool2d(x, 3, 2, 1),
    "max, overlapping": lambda f: lambda x: f.max_pool2d(x, 3, 1, 1),
    "max, dilated": lambda f: lambda x: f.max_pool2d(x, 2, 1, 1, 2),
    "max, ceil": lambda f: lambda x: f.max_pool2d(x, 2, 2, ceil_mode=True),
}


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_pooling_of_what_is_not_finite(rng, name, value):
    x = rng.standard_normal((2, 2, 5, 7))
    x[0, 1, 2, 3] = x[1, 0, 0, 0] = value
    gy = rng.standard_normal(POOLS[name](FT)(torch.tensor(x)).shape)
    both(POOLS[name](F), POOLS[name](FT), [x], gy)
    gy[0, 0, 0, 0] = value
    both(POOLS[name](F), POOLS[name](FT), [rng.standard_normal(x.shape)], gy)


@pytest.mark.parametrize("name", [name for name in POOLS if name.startswith("max")])
@pytest.mark.parametrize("value", [-INF, 0.0, NAN, -1e300])
def test_max_pooling_of_equal_values_beside_padding(name, value):
    """Never the padding, though it counts as minus infinity too."""
    x = np.full((1, 2, 5, 4), value)
    x[0, 1, 2, 2] = 1
    both(POOLS[name](F), POOLS[name](FT), [x])


def test_a_kernel_of_more_pixels_than_int16_counts():
    x = np.random.default_rng(0).standard_normal((1, 1, 190, 190))
    for pool in ("max_pool2d", "avg_pool2d"):
        both(
            lambda x, p=pool: getattr(F, p)(x, 185, 5),
            lambda x, p=pool: getattr(FT, p)(x, 185, 5),
            [x],
        )


# gates: what does not pass is 0, whatever the gradient

SPREAD = np.array([-2.0, -0.0, 0.0, 1.0, 3.0, 6.0, 6.5, 9.0])
GATES = {
    "relu": (F.relu, FT.relu),
    "relu6": (F.relu6, FT.relu6),
    "clamp": (lambda x: x.clamp(0, 3), lambda x: x.clamp(0, 3)),
    "clamp above": (lambda x: x.clamp(max=1), lambda x: x.clamp(max=1)),
    "amax": (lambda x: x.amax(0), lambda x: x.amax(0)),
    "max": (lambda x: x.max(), lambda x: x.max()),
    "max of an axis": (lambda x: x.max(0).values, lambda x: x.max(0).values),
    "amin": (lambda x: x.amin(), lambda x: x.amin()),
    "index": (lambda x: x[2:3], lambda x: x[2:3]),
    "picked": (lambda x: x[[2, 2, 4]], lambda x: x[[2, 2, 4]]),
    "power 0": (lambda x: x**0, lambda x: x**0),
    "pad": (lambda x: F.pad(x, (2, 1)), lambda x: FT.pad(x, (2, 1))),
    "std of equals": (lambda x: (x * 0 + 1).std(), lambda x: (x * 0 + 1).std()),
    "dropout of all": (lambda x: F.dropout(x, 1.0), lambda x: FT.dropout(x, 1.0)),
}


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("value", [INF, -INF, NAN, 2.0])
@pytest.mark.parametrize("large", [False, True])
def test_gates(name, value, large):
    """The closed ones give 0 for infinite and NaN gradients too, as in torch where it does."""
    x = np.tile(SPREAD, 5000) if large else SPREAD
    ours, theirs = GATES[name]
    if name == "dropout of all":
        leaf = tn.Tensor(x, requires_grad=True)
        F.dropout(leaf, 1.0).backward(tn.full(x.shape, 2.0, dtype=np.float64))
        assert not leaf.grad.numpy().any()
    elif name in ("amax", "amin") and not np.isfinite(value):  # NaN everywhere in torch
        leaf = tn.Tensor(x, requires_grad=True)
        y = ours(leaf)
        y.backward(tn.tensor(value, dtype=np.float64))
        np.testing.assert_array_equal(leaf.grad.numpy() != 0, x == y.item())
    elif name == "std of equals" and not np.isfinite(value):
        leaf = tn.Tensor(np.ones(4), requires_grad=True)
        leaf.std().backward(tn.tensor(value, dtype=np.float64))
        assert not leaf.grad.numpy().any()
    else:
        both(ours, theirs, [x], value)


@pytest.mark.parametrize("name", ["maximum", "minimum"])
@pytest.mark.parametrize("value", [INF, NAN, 1.0])
def test_the_larger_of_two(name, value):
    a, b = np.array([1.0, 2.0, 3.0, -0.0, INF, -INF]), np.array([2.0, 2.0, 1.0, 0.0, 5.0, -INF])
    same(lambda a, b: getattr(a, name)(b), a, b, gy=value)


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_the_larger_of_two_with_nan(name):
    """A NaN wins, and counts as a tie."""
    a, b = (tn.tensor(v, requires_grad=True) for v in ([NAN, 1.0, 3.0], [2.0, NAN, 1.0]))
    y = getattr(a, name)(b)
    np.testing.assert_array_equal(y.numpy()[:2], [NAN, NAN])
    y.backward(tn.full(3, 4.0))
    assert (a.grad + b.grad).tolist() == [4, 4, 4]


BASES = [-2.0, -1.0, -0.0, 0.0, 0.5, 1.0, 2.0, INF, -INF, NAN]


@pytest.mark.parametrize("exponent", [0, 0.5, 1, 2, 3, -1, -2, 0.0, -0.5, 2.5])
def test_powers(exponent):
    """C's, while torch takes a root for 0.5, in which -0 and -inf differ."""
    bases = [b for b in BASES if exponent not in (0.5, -0.5) or str(b) not in ("-0.0", "-inf")]
    same(lambda x: x**exponent, np.array(bases))


def test_powers_of_tensors():
    a, b = map(
        np.array, zip(*itertools.product(BASES, [-2.0, -0.5, 0.0, 1.0, 2.0, 3.0]), strict=True)
    )
    finite = np.isfinite(a)
    same(lambda a, b: a**b, a[finite], b[finite])


def test_numbers_to_the_power_of_tensors():
    for base in (0, 1, 2.0, 0.5):
        same(lambda x, base=base: base**x, np.array([-1.0, 0.0, 1.0, 2.0]))


UNARY = {
    "exp": lambda x: x.exp(),
    "log": lambda x: x.log(),
    "sqrt": lambda x: x.sqrt(),
    "abs": lambda x: x.abs(),
    "negative": lambda x: -x,
    "divide": lambda x: 1 / x,
    "divide by 0": lambda x: x / 0,
    "sum": lambda x: x.sum(),
    "mean": lambda x: x.mean(),
    "var": lambda x: x.var(),
    "max": lambda x: x.max(),
    "min": lambda x: x.min(),
    "clip": lambda x: x.clip(-1, 1),
}


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("values", [BASES, BASES[:-1], BASES[:7], [INF, 1.0], [0.0, 0.0]])
def test_one_input(name, values):
    if name == "abs":  # sign(NaN) is NaN here, 0 in torch
        values = [v for v in values if v == v]
    if name == "var" and INF in values:  # NaN in torch too, but for one -inf
        values = [v for v in values if abs(v) != INF] + [NAN]
    same(UNARY[name], np.array(values))


@pytest.mark.parametrize("values", [[1.0, INF, 0], [NAN, 1, 2], [-INF, 0, -INF], [1e308, 1e308, 0]])
def test_softmax_and_cross_entropy(values):
    x = np.array([values, [1.0, 2.0, 3.0]])
    both(lambda x: F.softmax(x, 1), lambda x: FT.softmax(x, 1), [x])
    both(lambda x: F.log_softmax(x, 1), lambda x: FT.log_softmax(x, 1), [x])
    for label in (0, 1):
        both(
            lambda x, t=label: F.cross_entropy(x, tn.tensor([t, 2]), reduction="none"),
            lambda x, t=label: FT.cross_entropy(x, torch.tensor([t, 2]), reduction="none"),
            [x],
        )


@pytest.mark.parametrize("value", [NAN, INF])
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_spoils_one_channel(rng, value, training):
    x = rng.standard_normal((4, 3, 3, 2))
    x[1, 1, 2, 0] = value
    mean, var = np.zeros(3), np.ones(3)
    both(
        lambda x: F.batch_norm(x, tn.tensor(mean), tn.tensor(var), training=training),
        lambda x: FT.batch_norm(x, torch.tensor(mean), torch.tensor(var), training=training),
        [x],
    )
