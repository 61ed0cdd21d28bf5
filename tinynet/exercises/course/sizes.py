"""Sizes of maps and of receptive fields, and what layers cost."""

import numpy as np

from tinynet import nn
from tinynet.autograd import Tensor
from tinynet.exercises.course.convolution import square
from tinynet.exercises.definition import Backward
from tinynet.exercises.exercise import exercise
from tinynet.ops.conv import Conv2d
from tinynet.ops.window import Window
from tinynet.summary import summary


def _sizes(rng):
    for size, k, stride, padding in (
        *((5, 3, 1, 0), (5, 3, 1, 1), (6, 2, 2, 0), (224, 3, 2, 1), (7, 3, 2, 0), (8, 3, 2, 0)),
        *((32, 5, 3, 2), (3, 3, 1, 0), (9, 1, 4, 0)),
    ):
        yield {"size": size, "k": k, "stride": stride, "padding": padding}


def _size(inputs):
    window = square(inputs["k"], inputs["stride"], inputs["padding"])
    return window.output_size(inputs["size"], inputs["size"])[0]


@exercise(
    title="The output size of a convolution",
    aim="""
    A row of `size` pixels gets `padding` zeros at BOTH ends. A window of k pixels begins at
    the left end and moves by `stride` as long as it fits. At how many places does it stand?""",
    gives="places",
    cases=_sizes,
    reference=_size,
    hint="""The first place is there if k pixels fit. What is left, size + 2 padding - k, holds so
    many steps of `stride`, rounded down.""",
    mistakes={
        "no-one": (
            "// stride + 1",
            "// stride",
            "the steps are counted; there is one more place than steps, so add 1.",
        ),
        "rounded-up": (
            "(size + 2 * padding - k) // stride",
            "-(-(size + 2 * padding - k) // stride)",
            "the last window sticks out over the end: round down, a window must fit whole.",
        ),
        "one-sided": (
            "2 * padding",
            "padding",
            "padding is counted once; the row gets it at both ends.",
        ),
        "no-padding": ("size + 2 * padding", "size", "the padding is not counted, at both ends."),
        "no-stride": ("// stride + 1", "+ 1", "the stride is forgotten: divide before adding 1."),
        "no-window": (
            "(size + 2 * padding - k) // stride + 1",
            "(size + 2 * padding) // stride",
            "this forgets the window's own k pixels: it must fit whole.",
        ),
        "fraction": (
            "// stride",
            "/ stride",
            "a fraction of a place: use whole-number division, //.",
        ),
    },
)
def conv_size(size, k, stride, padding):
    """All are whole numbers. Returns the number of places."""
    return (size + 2 * padding - k) // stride + 1


PAPER = ((3, 2),)  # MobileNetV1: the stem, then depthwise (3, stride) and pointwise (1, 1) layers
for _stride in (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1):
    PAPER += (3, _stride), (1, 1)


def _stacks(rng):
    for layers in (
        *(((3, 1),), ((3, 1), (3, 1)), ((3, 2), (3, 1)), ((5, 3), (2, 2), (3, 1))),
        *(((1, 2), (3, 1), (3, 1)), PAPER),
    ):
        yield {"layers": layers}


def _pixels_seen(inputs):
    """From the first pixel of a row that has a gradient from one output to the last one."""

    def stack(x):
        for k, stride in inputs["layers"]:
            window = Window((1, k), (1, stride))
            x = Conv2d.apply(x, Tensor(np.ones((1, 1, 1, k))), window=window)
        return x[0, 0, 0, 0]

    (gx,) = Backward("x", stack)({"x": np.ones((1, 1, 1, 400))})
    seen = np.nonzero(gx)[3]
    return seen[-1] - seen[0] + 1


@exercise(
    title="The receptive field",
    aim="""
    A stack of convolutions, each (k, stride), the first one nearest to the image. How many
    pixels wide is what one output of the last layer sees, from the first pixel to the last one?
    (Neighbouring outputs of a layer are as many pixels of the image apart as the product of the
    strides up to it.)""",
    gives="pixels",
    cases=_stacks,
    reference=_pixels_seen,
    hint="""Walk from the image up with two numbers: the field, at first 1, and the distance of
    neighbours, at first 1. A layer adds (k - 1) distances to the field; then its stride multiplies
    the distance.""",
    mistakes={
        "no-strides": (
            "distance *= stride",
            "pass",
            "all strides count as 1: behind a stride of 2, neighbours are 2 pixels apart.",
        ),
        "stride-too-early": (
            "        field += (k - 1) * distance\n        distance *= stride",
            "        distance *= stride\n        field += (k - 1) * distance",
            "a layer's own stride is used for its own window; it spreads the NEXT layer's inputs.",
        ),
        "k": (
            "(k - 1)",
            "k",
            "each layer adds k distances; of k neighbours the outermost are k - 1 apart.",
        ),
        "from-zero": (
            "field = distance = 1",
            "field, distance = 0, 1",
            "one pixel is missing: with no layer at all, one pixel sees itself.",
        ),
        "added-strides": (
            "distance *= stride",
            "distance += stride",
            "strides are added; two strides of 2 put neighbours 4 pixels apart: multiply.",
        ),
        "from-the-top": (
            "in layers:",
            "in layers[::-1]:",
            "the stack is walked from the wrong end: the first layer is nearest to the image.",
        ),
    },
)
def receptive_field(layers):
    """layers: ((k, stride), ...). Returns how many pixels wide the field is."""
    field = distance = 1
    for k, stride in layers:
        field += (k - 1) * distance
        distance *= stride
    return field


def _layers(rng):
    for C, O, K, size, stride in (
        *((1, 1, 3, 4, 1), (64, 128, 3, 56, 1), (512, 1024, 3, 14, 2), (8, 16, 5, 9, 2)),
    ):
        yield {"C": C, "O": O, "K": K, "size": size, "stride": stride}


def _counted(inputs):
    C, O, K, size = (inputs[letter] for letter in ("C", "O", "K", "size"))
    depthwise = nn.Conv2d(C, C, K, inputs["stride"], padding=K // 2, groups=C, bias=False)
    block = nn.Sequential(depthwise, nn.Conv2d(C, O, 1, bias=False))
    return summary(block, (C, size, size)).mult_adds


@exercise(
    title="What a separable layer costs",
    aim="""
    A depthwise KxK convolution (K odd, padding K // 2, `stride`) of C channels, then a
    pointwise one from C to O channels, on a map of size by size pixels. How many multiply-adds are
    that, borders included, without biases?""",
    gives="multiply_adds",
    cases=_layers,
    reference=_counted,
    hint="""How many pixels has the map BEHIND the stride? Each takes K K multiply-adds per channel
    in the depthwise layer, and C per output channel in the pointwise one. With stride 2 the size is
    halved and rounded up.""",
    mistakes={
        "input-size": (
            "out = -(-size // stride)",
            "out = size",
            "the pixels of the input are counted; work is done per OUTPUT pixel, behind the "
            "stride.",
        ),
        "rounded-down": (
            "-(-size // stride)",
            "size // stride",
            "an odd size is rounded down; with padding K // 2 it is rounded up.",
        ),
        "standard": (
            "K * K * C + C * O",
            "K * K * C * O",
            "this is the standard convolution, K K C O per pixel; the separable one splits that.",
        ),
        "no-pointwise": (
            "(K * K * C + C * O)",
            "(K * K * C)",
            "the pointwise layer is missing: C O per pixel, by far the larger part.",
        ),
        "no-depthwise": (
            "(K * K * C + C * O)",
            "(C * O)",
            "the depthwise layer is missing: K K per pixel and channel.",
        ),
        "K-once": ("K * K * C + C", "K * C + C", "the window has K rows of K: K K taps, not K."),
        "weights": (
            "out * out * (",
            "(",
            "these are the weights; each is used once per output pixel.",
        ),
    },
)
def separable_cost(C, O, K, size, stride):
    """All are whole numbers. Returns the number of multiply-adds."""
    out = -(-size // stride)
    return out * out * (K * K * C + C * O)
