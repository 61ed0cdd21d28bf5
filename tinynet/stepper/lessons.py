"""The built-in lessons: ten small graphs, from one shared number to a whole MobileNetV1.

    loss = LESSONS["shared"].build()
    stepper.walk(loss)

All are in float64 and start from the same numbers each time.
"""
# ruff: noqa: RET504  (the walk shows the names of variables)

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import tinynet as tn
import tinynet.nn as nn
import tinynet.nn.functional as F
from tinynet.stepper.recording import record


class Lesson(NamedTuple):
    """about: what to look for. build(): the loss of a recorded graph."""

    name: str
    title: str
    about: str
    build: Callable


LESSONS = {}


def lesson(name, title, about):
    """Put a function into LESSONS as the `build` of the lesson of that name."""

    def keep(build):
        LESSONS[name] = Lesson(name, title, about, build)
        return build

    return keep


def _leaf(values, shape=None):
    """A float64 tensor that requires a gradient."""
    array = np.array(values, np.float64)
    return tn.Tensor(array if shape is None else array.reshape(shape), requires_grad=True)


def _constant(values, shape=None):
    return _leaf(values, shape).detach()


def _digits(seed, *shape):
    """Whole numbers from -2 to 2, easy to follow by hand."""
    return np.random.default_rng(seed).integers(-2, 3, shape).astype(np.float64)


@lesson(
    "shared",
    "A value used twice",
    "b is an input of c twice, so two gradients come back to it, and so it is with a. Watch "
    "them arrive: b's own step can only be taken when both are there and added. Nothing is "
    "forgotten and nothing counted twice, so da is 4: c = 4 a.",
)
def shared():
    a = _leaf(3)
    with record():
        b = a + a
        c = b + b
    return c


@lesson(
    "linear",
    "A linear layer",
    "y = x weight^T + bias, then half the squared error. Each gradient has the shape of its "
    "tensor, and that alone tells which matrix must be transposed. weight[o,i] is used by "
    "every row of x, so its gradient is a sum over the rows; error is used twice, by one "
    "Multiply.",
)
def linear():
    x = _leaf([[1, 2, 0], [-1, 0, 3]])
    weight = _leaf([[1, -1, 2], [0, 1, 1]])
    bias = _leaf([0.5, -0.5])
    target = _constant([[0, 1], [2, 2]])
    with record():
        y = F.linear(x, weight, bias)
        error = y - target
        squares = error * error
        loss = squares.sum() / 2
    return loss


@lesson(
    "cross-entropy",
    "Softmax cross-entropy",
    "The gradient of the logits is softmax(logits) minus 1 at the right class, over the "
    "number of rows. Each row of it adds up to 0, it is at most 1/2 here, and where the "
    "network is confidently wrong (row 1) it is largest. Compare row 0, which is nearly right.",
)
def cross_entropy():
    logits = _leaf([[3, 0, 1], [4, -1, 0]])
    labels = tn.Tensor(np.array([0, 2]))
    with record():
        loss = F.cross_entropy(logits, labels)
    return loss


@lesson(
    "relu6",
    "ReLU6 at its kinks",
    "x lies below 0, at 0, between, at 6 and above 6. Between, the gradient passes "
    "unchanged; elsewhere it is stopped. At 0 and at 6 there is no derivative: left and right"
    " differ (`e 1`, then `f`), and the op takes 0 at both, as torch does.",
)
def relu6():
    x = _leaf([-2, 0, 1, 5, 6, 8])
    factors = _constant([1, 2, 3, 4, 5, 6])
    with record():
        y = F.relu6(x)
        loss = (y * factors).sum()
    return loss


@lesson(
    "batchnorm",
    "BatchNorm's three paths",
    "Every x in a channel moves every y in it: directly, through the mean, and through the "
    "variance. The gradient of x is the sum of the three. It adds up to 0 in each channel, "
    "and so does its product with xhat: no gradient remains for shifting or scaling what is "
    "normalised.",
)
def batchnorm():
    x = _leaf([1, 3, 5, 7, 2, 2, 4, 0, -1, 1, 3, 5, 4, 6, 8, 6], (2, 2, 2, 2))
    weight = _leaf([2, 1])
    bias = _leaf([0, 1])
    factors = _constant(_digits(7, 2, 2, 2, 2))
    with record():
        y = F.batch_norm(x, None, None, weight, bias, training=True)
        loss = (y * factors).sum()
    return loss


def _convolution(x_shape, weight_shape, **options):
    """Half the sum of squares of a convolution of whole numbers."""
    x, weight = _leaf(_digits(1, *x_shape)), _leaf(_digits(2, *weight_shape))
    with record():
        y = F.conv2d(x, weight, **options)
        squares = y * y
        loss = squares.sum() / 2
    return loss


@lesson(
    "conv",
    "A standard convolution",
    "Each output adds up a 3x3 patch of all input channels: 18 products. Backward, an inner "
    "pixel of x gets a gradient from every output whose patch it was in, 9 places in 2 "
    "channels, a corner from fewer; a weight gets one from every position of its output "
    "channel.",
)
def conv():
    return _convolution((1, 2, 4, 4), (2, 2, 3, 3), padding=1)


@lesson(
    "depthwise",
    "A depthwise convolution",
    "One 3x3 filter per channel, and no sum over channels: each output adds up 9 products, not "
    "18 as in the lesson 'conv' on the same sizes. Backward, channels do not meet either: the"
    " gradient of x in a channel comes from that channel's outputs alone.",
)
def depthwise():
    return _convolution((1, 2, 4, 4), (2, 1, 3, 3), padding=1, groups=2)


@lesson(
    "pointwise",
    "A pointwise convolution",
    "A 1x1 convolution is a matrix product at each pixel: it mixes channels and sees no "
    "neighbours. So a pixel of x gets its gradient from one position only, through one column"
    " of the weights, while a weight gets one from every pixel.",
)
def pointwise():
    return _convolution((1, 3, 3, 3), (2, 3, 1, 1))


@lesson(
    "separable",
    "A separable block",
    "A depthwise 3x3 filters each channel, a pointwise 1x1 combines them, each followed by"
    " BatchNorm and ReLU6: the block that MobileNet is built from. Follow the gradient back: "
    "ReLU6 stops part of it, BatchNorm centres what remains, the convolutions pass it on.",
)
def separable():
    tn.manual_seed(0)
    block = nn.Sequential()
    block.add_module("depthwise", _unit(2, 2, 3, padding=1, groups=2))
    block.add_module("pointwise", _unit(2, 3, 1))
    block.to(np.float64)
    x = _leaf(_digits(4, 2, 2, 4, 4))
    factors = _constant(_digits(5, 2, 3, 4, 4))
    with record():
        y = block(x)
        loss = (y * factors).sum()
    return loss


def _unit(in_channels, out_channels, kernel, **options):
    conv = nn.Conv2d(in_channels, out_channels, kernel, bias=False, **options)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU6())


@lesson(
    "mobilenet",
    "A whole MobileNetV1",
    "The network of the paper, a tenth as wide, on two 32x32 images: a stem, 13 separable "
    "blocks, a mean over the pixels, a linear layer. Each op is one you have met. Watch the "
    "shapes grow back from (2, 10) to (2, 3, 32, 32), and the memory that each step frees.",
)
def mobilenet_v1():
    import mobilenet  # which lies in the checkout and is not installed

    tn.manual_seed(0)
    model = mobilenet.build("cifar-2x2", num_classes=10, width=0.1)
    model.to(np.float64)
    images = _constant(np.random.default_rng(0).standard_normal((2, 3, 32, 32)))
    labels = tn.Tensor(np.array([3, 8]))
    with record():
        logits = model(images)
        loss = F.cross_entropy(logits, labels)
    return loss
