"""Depthwise and pointwise convolution."""

import numpy as np

from tinynet.exercises.course.convolution import (
    ASSIGNED,
    BY_MINUS,
    CUT_BEHIND,
    MINUS,
    NO_STRIDE,
    NOT_CUT,
    PADDED_BEHIND,
    SEEN_WITHOUT_STRIDE,
    UNFLIPPED,
    square,
)
from tinynet.exercises.course.gradients import numbers
from tinynet.exercises.definition import Backward, Forward
from tinynet.exercises.exercise import exercise
from tinynet.ops.conv import Conv2d
from tinynet.ops.depthwise import DepthwiseConv2d
from tinynet.ops.window import Window

ONE_FILTER = "every channel is filtered by channel 0's filter; each has its own, w[c]."


def _images(rng):
    for N, C, H, W, K, stride, padding in (
        *((1, 1, 3, 3, 2, 1, 0), (1, 3, 4, 5, 3, 1, 1), (2, 2, 5, 6, 3, 2, 1)),
        *((2, 3, 6, 5, 3, 2, 0), (3, 2, 4, 4, 1, 2, 0)),
    ):
        x, w = numbers(rng, N, C, H, W), numbers(rng, C, 1, K, K)
        gy = numbers(rng, N, C, *square(K, stride, padding).output_size(H, W))
        yield {"gy": gy, "x": x, "w": w, "stride": stride, "padding": padding}


def _depthwise(x, w, stride, padding):
    return DepthwiseConv2d.apply(x, w, window=square(w.shape[2], stride, padding))


@exercise(
    title="Depthwise convolution, forward",
    aim="""
    One filter per channel, and no sum over channels:

        y[n,c,h,v] = sum over i,j of w[c,0,i,j] x[n,c,r,q]
        r = stride h + i - padding,  q = stride v + j - padding

    x is 0 outside the image. w has PyTorch's shape (C, 1, K, K).""",
    gives="y",
    cases=_images,
    reference=Forward("x w", _depthwise),
    hint="""Pad x. For each tap (i, j), w[:, 0, i, j] times the pixels that the tap sees,
    [i : i + stride (HO - 1) + 1 : stride] by the same with j. w[:, 0, i, j, None, None] has the
    shape (C, 1, 1), which broadcasts.""",
    mistakes={
        "summed-over-channels": (
            "w[:, 0, i, j, None, None] * seen",
            "(w[:, 0, i, j, None, None] * seen).sum(axis=1, keepdims=True)",
            "the channels are summed, as a standard convolution does; here each stays by itself.",
        ),
        "one-filter": ("w[:, 0, i, j, None, None]", "w[0, 0, i, j]", ONE_FILTER),
        "flipped": (
            "w[:, 0, i, j, None, None]",
            "w[:, 0, K - 1 - i, K - 1 - j, None, None]",
            "the filters are flipped; here they lie on the image as they are.",
        ),
        "transposed": (
            "w[:, 0, i, j, None, None]",
            "w[:, 0, j, i, None, None]",
            "rows and columns of the filters change places.",
        ),
        "no-stride": SEEN_WITHOUT_STRIDE,
        "padded-behind": PADDED_BEHIND,
        "assigned": ("y += ", "y = ", "only the last tap is left: add up all taps with +=."),
    },
)
def depthwise_forward(x, w, stride, padding):
    """x (N, C, H, W), w (C, 1, K, K); stride, padding: numbers. Returns y (N, C, HO, WO)."""
    N, C, H, W = x.shape
    K = w.shape[2]
    HO, WO = (H + 2 * padding - K) // stride + 1, (W + 2 * padding - K) // stride + 1
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    y = np.zeros((N, C, HO, WO))
    for i, j in np.ndindex(K, K):
        rows = slice(i, i + stride * (HO - 1) + 1, stride)
        columns = slice(j, j + stride * (WO - 1) + 1, stride)
        seen = padded[:, :, rows, columns]
        y += w[:, 0, i, j, None, None] * seen
    return y


@exercise(
    title="Depthwise convolution: the gradient of the image",
    aim="""
    Forward, with x = 0 outside the image, is

        y[n,c,h,v] = sum over i,j of w[c,0,i,j] x[n,c,r,q]
        r = stride h + i - padding,  q = stride v + j - padding

    Each pixel gets back, from every output of its channel that read it, w[c,0,i,j] gy[n,c,h,v].""",
    gives="gx",
    cases=_images,
    reference=Backward("x w", _depthwise, wanted="x"),
    hint="""The loop of forward, read backwards: make zeros of the PADDED size; for each tap add
    w[:, 0, i, j] gy at the pixels that the tap read. At the end cut the padding off.""",
    mistakes={
        "unflipped": ("w[:, 0, i, j, None", "w[:, 0, K - 1 - i, K - 1 - j, None", UNFLIPPED),
        "one-filter": ("w[:, 0, i, j, None, None]", "w[0, 0, i, j]", ONE_FILTER),
        "summed-over-channels": (
            "* gy\n",
            "* gy.sum(axis=1, keepdims=True)\n",
            "gy is summed over the channels; a pixel was read by its own channel's outputs only.",
        ),
        "not-cut": (
            "padded[:, :, padding : padding + H, padding : padding + W]",
            "padded",
            NOT_CUT,
        ),
        "cut-behind": ("padding : padding + H, padding : padding + W]", ":H, :W]", CUT_BEHIND),
        "cut-by-minus": ("padding : padding + H, padding : padding + W]", BY_MINUS, MINUS),
        "assigned": ("columns] += ", "columns] = ", ASSIGNED),
        "no-stride": (
            "padded[:, :, rows, columns]",
            "padded[:, :, i : i + HO, j : j + WO]",
            NO_STRIDE,
        ),
    },
)
def depthwise_gx(gy, x, w, stride, padding):
    """gy (N, C, HO, WO), x (N, C, H, W), w (C, 1, K, K). Returns gx (N, C, H, W)."""
    N, C, H, W = x.shape
    K, HO, WO = w.shape[2], *gy.shape[2:]
    padded = np.zeros((N, C, H + 2 * padding, W + 2 * padding))
    for i, j in np.ndindex(K, K):
        rows = slice(i, i + stride * (HO - 1) + 1, stride)
        columns = slice(j, j + stride * (WO - 1) + 1, stride)
        padded[:, :, rows, columns] += w[:, 0, i, j, None, None] * gy
    return padded[:, :, padding : padding + H, padding : padding + W]


@exercise(
    title="Depthwise convolution: the gradient of the filters",
    aim="""
    Forward, with x = 0 outside the image, is

        y[n,c,h,v] = sum over i,j of w[c,0,i,j] x[n,c,r,q]
        r = stride h + i - padding,  q = stride v + j - padding

    A weight meets one pixel at every place of every image, so

        gw[c,0,i,j] = sum over n,h,v of gy[n,c,h,v] x[n,c,r,q]""",
    gives="gw",
    cases=_images,
    reference=Backward("x w", _depthwise, wanted="w"),
    hint="""Pad x. For each tap, gy times the pixels that the tap saw, summed over images, rows and
    columns (axes 0, 2, 3): one number per channel.""",
    mistakes={
        "summed-over-channels": (
            "(gy * seen).sum(axis=(0, 2, 3))",
            "(gy * seen).sum()",
            "all channels are added up; each channel's filter has a gradient of its own.",
        ),
        "first-image": (
            "(gy * seen)",
            "(gy * seen)[:1]",
            "only the first image counts: sum over all of them.",
        ),
        "mean": (
            "sum(axis=(0, 2, 3))",
            "mean(axis=(0, 2, 3))",
            "this is a mean; a weight that is used at many places gets the SUM of what they say.",
        ),
        "no-axis": (
            "return gw",
            "return gw[:, 0]",
            "the axis of size 1 is missing: w is (C, 1, K, K), and so is gw.",
        ),
        "flipped": (
            "gw[:, 0, i, j] =",
            "gw[:, 0, K - 1 - i, K - 1 - j] =",
            "the taps are filled in from the wrong end: what tap (i, j) saw belongs to "
            "gw[:, 0, i, j].",
        ),
        "no-stride": SEEN_WITHOUT_STRIDE,
        "padded-behind": PADDED_BEHIND,
    },
)
def depthwise_gw(gy, x, w, stride, padding):
    """gy (N, C, HO, WO), x (N, C, H, W), w (C, 1, K, K). Returns gw (C, 1, K, K)."""
    K, HO, WO = w.shape[2], *gy.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    gw = np.zeros(w.shape)
    for i, j in np.ndindex(K, K):
        rows = slice(i, i + stride * (HO - 1) + 1, stride)
        columns = slice(j, j + stride * (WO - 1) + 1, stride)
        seen = padded[:, :, rows, columns]
        gw[:, 0, i, j] = (gy * seen).sum(axis=(0, 2, 3))
    return gw


def _pointwise_images(rng):
    for N, C, O, H, W in ((1, 2, 2, 1, 2), (2, 3, 2, 2, 2), (3, 2, 4, 1, 3)):
        gy, x, w = numbers(rng, N, O, H, W), numbers(rng, N, C, H, W), numbers(rng, O, C)
        yield {"gy": gy, "x": x, "w": w}


@exercise(
    title="Pointwise convolution: both gradients as matrix products",
    aim="""
    A 1x1 convolution mixes the channels of every pixel by the same matrix w (O, C). With the pixels
    of an image in a row it is a matrix product:

        Y = w X   with X (C, H W) and Y (O, H W), for each image

    Find gx (N, C, H, W) and gw (O, C) from gy (N, O, H, W).""",
    gives="gx gw",
    cases=_pointwise_images,
    reference=Backward(
        "x w", lambda x, w: Conv2d.apply(x, w[:, :, None, None], window=Window((1, 1)))
    ),
    hint="""Each image is a matrix product: gX = w^T gY, and gw is the sum over the images of gY
    X^T. Reshape (N, C, H, W) to (N, C, H W): that keeps an image's pixels together.""",
    mistakes={
        "w-not-transposed": (
            "w.T @ gY",
            "w @ gY",
            "gX = w gY lacks a transpose: the way back goes from O channels to C.",
        ),
        "gw-not-summed": (
            ".sum(axis=0)",
            "",
            "there is one gw per image; all images share w, so add them up.",
        ),
        "gw-mean": (
            ".sum(axis=0)",
            ".mean(axis=0)",
            "gw is a mean over the images; if the loss takes a mean, gy has that factor already.",
        ),
        "gw-transposed": (
            "gY @ X.transpose(0, 2, 1)",
            "X @ gY.transpose(0, 2, 1)",
            "this gw is (C, O), transposed: w is (O, C).",
        ),
        "images-mixed": (
            "(gY @ X.transpose(0, 2, 1)).sum(axis=0)",
            "gy.reshape(len(w), -1) @ x.reshape(C, -1).T",
            "reshape(C, N H W) puts other images' channels into a row: reshape moves nothing, so "
            "bring the channels to the front (transpose) before, or go image by image.",
        ),
    },
)
def pointwise_backward(gy, x, w):
    """gy (N, O, H, W), x (N, C, H, W), w (O, C). Returns gx (N, C, H, W), gw (O, C)."""
    N, C, H, W = x.shape
    X, gY = x.reshape(N, C, H * W), gy.reshape(N, len(w), H * W)
    gx = (w.T @ gY).reshape(x.shape)
    gw = (gY @ X.transpose(0, 2, 1)).sum(axis=0)
    return gx, gw
