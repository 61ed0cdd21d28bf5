"""Every quicker implementation against the definition it stands for, on random cases."""

import numpy as np
import pytest
from helpers import channel_major

from tinynet.autograd import tape
from tinynet.fast import registry
from tinynet.fast.cpu.batchnorm import WithReLU
from tinynet.ops.activation import ReLU, ReLU6
from tinynet.ops.batchnorm import BatchNorm
from tinynet.ops.conv import Conv2d
from tinynet.ops.depthwise import DepthwiseConv2d
from tinynet.ops.pooling import AdaptiveAveragePool2d
from tinynet.ops.window import Window

pytestmark = pytest.mark.fast_only


def in_some_layout(rng, array):
    """The same values in one of the layouts in which they may come."""
    if array.ndim != 4:
        return array
    N, C, H, W = array.shape
    wide = np.zeros((N, C, 2 * H, W + 1))
    wide[:, :, ::2, 1:] = array
    return [
        array,
        channel_major(array),
        np.asfortranarray(array),
        wide[:, :, ::2, 1:],
        array[::-1].copy()[::-1],
    ][rng.integers(5)]


def applied(op, arrays, options, needs, gy):
    """What a class makes of arrays: the result, and the gradients where they are wanted."""
    op = op(**options)
    op.needs, op.parents = needs, (None,) * len(needs)
    op.input_shapes = tuple(array.shape for array in arrays)
    op.input_dtypes = tuple(array.dtype for array in arrays)
    y = op.forward(*arrays)
    gxs = op.backward(gy) if any(needs) else (None,) * len(arrays)
    gxs = gxs if isinstance(gxs, tuple) else (gxs,)
    assert len(gxs) == len(arrays)
    return y, [gx if needed else None for gx, needed in zip(gxs, needs, strict=True)]


def check(rng, definition, implementation, arrays, options, changed=()):
    """Both classes on the same arrays, with a random choice of gradients; `changed`: names of
    options that are arrays which the op writes to."""
    needs = tuple((rng.random(len(arrays)) < 0.7).tolist())
    results = []
    with np.errstate(all="ignore"):
        probe = dict(options, **{k: options[k].copy() for k in changed})
        y, _ = applied(definition, arrays, probe, (False,) * len(arrays), None)
        gy = rng.standard_normal(y.shape)
        for op in (definition, implementation):
            own = dict(options, **{k: options[k].copy() for k in changed})
            given = [in_some_layout(rng, array) for array in arrays]
            while not implementation.suits(*given, **own):
                given = [in_some_layout(rng, array) for array in arrays]
            gy_given = in_some_layout(rng, gy)
            y, gxs = applied(op, given, own, needs, gy_given)
            for array, was in zip([*given, gy_given], [*arrays, gy], strict=True):
                np.testing.assert_array_equal(array, was, err_msg="what was given has changed")
            results.append((y, *gxs, *(own[k] for k in changed)))
    for number, (theirs, ours) in enumerate(zip(*results, strict=True)):
        if theirs is None:
            assert ours is None
            continue
        assert ours.shape == theirs.shape
        assert ours.dtype == theirs.dtype
        scale = max(1, abs(theirs).max())
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-10 * scale, err_msg=f"{number}")


def pick(rng, *values):
    return values[rng.integers(len(values))]


def window_and_size(rng, dilate=True):
    """A window and the size of an image that it fits."""
    while True:
        window = Window(
            kernel=tuple(rng.integers(1, 6, 2).tolist()),
            stride=tuple(rng.integers(1, 4, 2).tolist()),
            padding=tuple(map(tuple, rng.integers(0, 4, (2, 2)).tolist())),
            dilation=tuple(rng.integers(1, 4, 2).tolist()) if dilate else (1, pick(rng, 1, 1, 2)),
        )
        size = tuple(rng.integers(1, 12, 2).tolist())
        if rng.random() < 0.15:
            size = size[0], int(rng.integers(33, 75))  # wide enough for tiles
        if min(window.output_size(*size)) >= 1:
            return window, size


def conv_case(rng):
    window, size = window_and_size(rng)
    groups, N = pick(rng, 1, 1, 2, 3), int(rng.integers(1, 10))
    C, O = groups * int(rng.integers(1, 4)), groups * int(rng.integers(1, 4))
    if rng.random() < 0.3:  # pointwise, which copies nothing
        window = Window((1, 1), pick(rng, (1, 1), (2, 2)))
    weight = rng.standard_normal((O, C // groups, *window.kernel))
    arrays = [rng.standard_normal((N, C, *size)), weight]
    if rng.random() < 0.5:
        arrays.append(rng.standard_normal(O))
    return arrays, {"window": window, "groups": groups}, ()


def depthwise_case(rng, N, dilate):
    window, size = window_and_size(rng, dilate)
    C, M = int(rng.integers(1, 5)), pick(rng, 1, 1, 1, 2, 3)
    arrays = [rng.standard_normal((N, C, *size)), rng.standard_normal((C * M, 1, *window.kernel))]
    if rng.random() < 0.5:
        arrays.append(rng.standard_normal(C * M))
    return arrays, {"window": window}, ()


def batch_norm_case(rng):
    N, C, H, W = (int(rng.integers(1, high)) for high in (10, 6, 8, 8))
    N += N * H * W == 1
    x = pick(rng, 0, 1, -50) + rng.standard_normal((N, C, H, W))
    training, tracked = bool(rng.random() < 0.7), bool(rng.random() < 0.7)
    options = {"training": training, "eps": pick(rng, 1e-5, 1e-2), "momentum": pick(rng, 0.1, 0.9)}
    changed = ()
    if tracked or not training:
        changed = ("running_mean", "running_var")
        options |= {"running_mean": rng.standard_normal(C), "running_var": rng.uniform(0.5, 2, C)}
    if training and tracked:
        changed = (*changed, "num_batches_tracked")
        options["num_batches_tracked"] = np.array(3)
    return [x, rng.standard_normal(C), rng.standard_normal(C)], options, changed


def activation_case(rng):
    shape = pick(rng, (4, 8, 32, 33), (70_000,), (300, 100), (9, 16, 15, 11), (2, 5, 60, 31))
    x = 4 * rng.standard_normal(shape)
    x.reshape(-1)[::7], x.reshape(-1)[1::7] = 0, 6  # the kinks
    return [x], {}, ()


def average_case(rng):
    shape = tuple(rng.integers(1, 9, 4).tolist())
    return [rng.standard_normal(shape)], {"output_size": (1, 1)}, ()


CASES = {
    "conv": (Conv2d, 0, conv_case),
    "depthwise, banded": (
        DepthwiseConv2d,
        0,
        lambda rng: depthwise_case(rng, int(rng.integers(8, 18)), dilate=False),
    ),
    "depthwise, flat": (
        DepthwiseConv2d,
        1,
        lambda rng: depthwise_case(rng, int(rng.integers(1, 18)), dilate=True),
    ),
    "batch norm": (BatchNorm, 2, batch_norm_case),
    "relu": (ReLU, 0, activation_case),
    "relu6": (ReLU6, 0, activation_case),
    "average": (AdaptiveAveragePool2d, 0, average_case),
}


def test_every_implementation_has_a_case():
    """All of the table but functions and fused ops, which have tests of their own: test_optim_fast
    and test_fast_sequential."""
    wanted = {
        (op, place)
        for op, table in registry.CPU.items()
        for place, implementation in enumerate(table)
        if isinstance(op, type) and not issubclass(implementation, WithReLU)
    }
    assert wanted == {(op, place) for op, place, _ in CASES.values()}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("block", range(10))
def test_against_the_definition(name, block):
    """Values and gradients in float64 to 1e-10, whatever the layout and whatever is wanted."""
    definition, place, case = CASES[name]
    implementation = registry.CPU[definition][place]
    for turn in range(3 if case is activation_case else 12):
        rng = np.random.default_rng([block, turn, len(name)])
        arrays, options, changed = case(rng)
        assert implementation.suits(*arrays, **options)
        check(rng, definition, implementation, arrays, options, changed)


@pytest.mark.parametrize("name", CASES)
def test_the_interface_is_the_definitions(name):
    definition, place, _ = CASES[name]
    implementation = registry.CPU[definition][place]
    assert issubclass(implementation, definition)
    assert implementation.__init__ is definition.__init__
    assert (implementation.rule, implementation.where) == (definition.rule, definition.where)


@pytest.mark.parametrize("dtype", [np.int64, bool, np.float32])
@pytest.mark.parametrize("name", CASES)
def test_only_floats_of_one_dtype_are_taken(name, dtype):
    definition, place, case = CASES[name]
    arrays, options, _ = case(np.random.default_rng(0))
    arrays[0] = arrays[0].astype(dtype)
    suits = registry.CPU[definition][place].suits(*arrays, **options)
    assert suits == (dtype is np.float32 and len(arrays) == 1)


@pytest.mark.parametrize("name", CASES)
def test_without_images_it_is_left_to_the_definition(name):
    definition, place, case = CASES[name]
    arrays, options, _ = case(np.random.default_rng(0))
    empty = [arrays[0][:0], *arrays[1:]]
    assert tape.implementation(definition, *empty, **options) is definition
    chosen = tape.implementation(definition, *arrays, **options)
    assert chosen in registry.CPU[definition][: place + 1]
