"""Depthwise convolution of a single picture: im2col, a channel's nine rows at a time.

With a batch of 1 the products of `depthwise_banded` would be matrix times vector. Here the KH*KW
shifted pictures of a channel are laid under one another and summed by one product, (1, KH*KW) @
(KH*KW, positions). The copies are made for as many channels as the cache holds. (128 channels of
56x56 took 4.6 ms where the shifted products took 9.3.)

x (C, H, W, 1), weight (C, KH, KW). Gradients go by the definition.
"""

import numpy as np

from tinynet.backend import array_module
from tinynet.ops.conv import im2col
from tinynet.ops.depthwise_shifted import input_gradient, weight_gradient
from tinynet.ops.tiles import SPAN, channel_tiles

__all__ = ["forward", "input_gradient", "suits", "weight_gradient"]


def suits(x, window):
    """Whether this way fits: one picture, and float BLAS dtypes."""
    return x.shape[3] == 1 and x.dtype in (np.float32, np.float64) and array_module(x) is np


def forward(x, weight, window, out):
    """Write y into `out` (C, HO, WO, 1)."""
    lay_out = _long_columns if window.stride == (1, 1) else im2col
    _, HO, WO, _ = out.shape
    for c in channel_tiles(x, SPAN // 2):
        columns = lay_out(x[c], window, (HO, WO)).reshape(len(x[c]), len(window.taps()), -1)
        products = weight[c].reshape(len(x[c]), 1, -1) @ columns
        out[c, ..., 0] = products.reshape(len(x[c]), HO, -1)[:, :, :WO]


def _long_columns(x, window, out_size):
    """im2col for stride 1, with rows as wide as the padded picture: (C, KH*KW, HO*width).

    A tap is then the whole padded picture, shifted: one long row to copy and not HO short ones.
    Each row of the result ends with positions beyond WO, which are of no use.
    """
    C, height, width, _ = window.padded_shape(x.shape)
    padded = np.zeros((C, height * width + window.span[1] - 1), dtype=x.dtype)
    (top, _), (left, _) = window.padding
    picture = padded[:, : height * width].reshape(C, height, width)
    picture[:, top : top + x.shape[1], left : left + x.shape[2]] = x[..., 0]
    length = out_size[0] * width
    columns = np.empty((C, len(window.taps()), length), dtype=x.dtype)
    for row, (i, j) in enumerate(window.taps()):
        start = i * window.dilation[0] * width + j * window.dilation[1]
        columns[:, row] = padded[:, start : start + length]
    return columns
