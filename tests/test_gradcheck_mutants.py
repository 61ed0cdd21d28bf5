"""gradcheck rejects mutated backwards: each mutation here has been a bug somewhere."""

import numpy as np
import pytest
from test_gradcheck import Square, normal, wrong

import tinynet as tn
from tinynet.backend import array_module
from tinynet.gradcheck import MAX_ELEMENTS, gradcheck
from tinynet.ops.activation import ReLU6
from tinynet.ops.batchnorm import BatchNorm
from tinynet.ops.depthwise import DepthwiseConv2d
from tinynet.ops.elementwise import Multiply
from tinynet.ops.matmul import MatMul
from tinynet.ops.window import Window


def mutant(op, change):
    """The class `op`, but its backward returns `change(self, gy, gxs)`; it knows its `inputs`."""

    class Mutant(op):
        def forward(self, *inputs):
            self.inputs = inputs
            return super().forward(*inputs)

        def backward(self, gy):
            return change(self, gy, super().backward(gy))

    return Mutant


def rejected(number, fn, inputs):
    wrong(f"input {number}, element .*: backward gives", fn, inputs)


def batch_norm_with(change):
    op = mutant(BatchNorm, change)

    def fn(x, weight, bias):
        return op.apply(x, weight, bias, training=True)

    return fn, [normal(4, 3, 3, 3), normal(3, seed=1) + 3, normal(3, seed=2)]


def test_accepts_the_unchanged_batch_norm():
    assert gradcheck(*batch_norm_with(lambda op, gy, gxs: gxs))


def direct_path(op, gy, gxs):
    """gx as if the statistics did not depend on x."""
    x, weight, _ = op.inputs
    std = (x.var(axis=(0, 2, 3)) + 1e-5) ** 0.5
    return gy * (weight / std)[:, None, None], *gxs[1:]


BATCH_NORM_MUTATIONS = {
    "gx times 7": (0, lambda op, gy, gxs: (7 * gxs[0], *gxs[1:])),
    "gx with the wrong sign": (0, lambda op, gy, gxs: (-gxs[0], *gxs[1:])),
    "only the direct path": (0, direct_path),
    "gx slightly off": (0, lambda op, gy, gxs: (1.0001 * gxs[0], *gxs[1:])),
    "gweight times 7": (1, lambda op, gy, gxs: (gxs[0], 7 * gxs[1], gxs[2])),
    "gweight of the wrong sign": (1, lambda op, gy, gxs: (gxs[0], -gxs[1], gxs[2])),
    "gbias averaged, not summed": (2, lambda op, gy, gxs: (*gxs[:2], gxs[2] / 36)),
    "no gbias": (2, lambda op, gy, gxs: (*gxs[:2], None)),
}


@pytest.mark.parametrize(
    ("number", "change"), BATCH_NORM_MUTATIONS.values(), ids=BATCH_NORM_MUTATIONS
)
def test_rejects_a_wrong_batch_norm(number, change):
    rejected(number, *batch_norm_with(change))


def test_rejects_a_missing_factor_two_and_a_wrong_sign():
    rejected(0, lambda x: Square.apply(x, factor=1.0), normal(3))
    rejected(0, lambda x: Square.apply(x, factor=-2.0), normal(3))


def test_rejects_a_transposed_matrix():
    transposed = mutant(MatMul, lambda op, gy, gxs: (gxs[0].T, gxs[1]))
    rejected(0, transposed.apply, [normal(3, 3), normal(3, 3, seed=1)])
    transposed = mutant(MatMul, lambda op, gy, gxs: (gxs[0], gxs[1].T))
    rejected(1, transposed.apply, [normal(3, 3), normal(3, 3, seed=1)])


def test_rejects_a_missing_sum_over_the_broadcast_axes():
    def first_row_only(op, gy, gxs):  # has the right shape
        a, _ = op.inputs
        return gxs[0], (gy * a)[:1]

    rejected(1, mutant(Multiply, first_row_only).apply, [normal(4, 3), normal(1, 3, seed=1)])


@pytest.mark.parametrize("axis", [2, 3])
@pytest.mark.parametrize("pictures", [2, 9])  # the two ways to compute a depthwise convolution
def test_rejects_a_depthwise_gx_shifted_by_one_pixel(pictures, axis):
    def one_pixel_on(op, gy, gxs):
        return array_module(gy).roll(gxs[0], 1, axis=axis), *gxs[1:]

    shifted = mutant(DepthwiseConv2d, one_pixel_on)
    window = Window(kernel=(3, 3), padding=((1, 1), (1, 1)))
    inputs = [normal(pictures, 2, 4, 4), normal(2, 1, 3, 3, seed=1)]
    rejected(0, lambda x, w: shifted.apply(x, w, window=window), inputs)


@pytest.mark.parametrize("dead", [-1.5, 7.5])
def test_rejects_a_relu6_that_passes_the_gradient_at_dead_places(dead):
    def passing(op, gy, gxs):
        return array_module(gy).where(op.inputs[0] == dead, gy, gxs)

    x = tn.Tensor(np.array([1.0, 2.0, dead, 3.0]))
    assert gradcheck(ReLU6.apply, x)
    wrong(r"element \(2,\): backward gives", mutant(ReLU6, passing).apply, x)


@pytest.mark.parametrize(
    ("at", "factor"), [((0, 0, 0), 1.1), ((117, 5, 3), 1.1), ((249, 19, 8), np.nan)]
)
def test_rejects_one_wrong_element_among_fifty_thousand_and_names_it(at, factor):
    def spoil(op, gy, gxs):
        gxs[at] *= factor
        return gxs

    place = ", ".join(map(str, at))
    x = normal(250, 20, 10)
    x.array[at] = 1.7
    wrong(rf"element \({place}\): backward gives", mutant(Square, spoil).apply, x)


def test_rejects_a_big_tensor_wrong_everywhere():
    wrong("backward gives", lambda x: Square.apply(x, factor=2.001), normal(100, 30))


def test_rejects_errors_that_the_sum_of_the_result_would_hide():
    class Centre(tn.Function):
        """y = x - mean(x); gx = gy - mean(gy), here without its second term"""

        def forward(self, x):
            return x - x.mean()

        def backward(self, gy):
            return gy

    rejected(0, Centre.apply, normal(4))


def test_rejects_a_backward_that_is_right_only_the_first_time():
    calls = []

    def spoil(op, gy, gxs):
        calls.append(1)
        return gxs * len(calls)

    wrong("a second backward does not add", mutant(Square, spoil).apply, normal(3))


def test_rejects_a_gradient_that_does_not_arrive():
    rejected(1, lambda a, b: a * b.detach(), [normal(3), normal(3, seed=1)])


def test_rejects_a_gradient_of_nan():
    nan = mutant(Square, lambda op, gy, gxs: gxs * np.nan)
    wrong("backward gives nan", nan.apply, normal(3))
    wrong("backward gives nan", nan.apply, normal(MAX_ELEMENTS + 5))
