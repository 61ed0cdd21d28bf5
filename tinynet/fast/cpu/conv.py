"""Convolution by im2col with the batch innermost: one matrix product for all images, and a
pointwise layer copies nothing.

It serves a GPU, too. Letters: N images, C input channels, O output channels, G groups, P = HO*WO*N.
"""

import numpy as np

from tinynet.fast.layout import batch_first, channels_first, empty_like, is_float
from tinynet.ops.conv import Conv2d as Definition


def padded(x, window):
    """x (C, H, W, N) with the window's padding around it; `x` itself if nothing is added."""
    (top, bottom), (left, right) = window.padding
    if not (top or bottom or left or right):
        return x
    C, H, W, N = x.shape
    out = empty_like(x, (C, top + H + bottom, left + W + right, N))
    out[:, :top], out[:, top + H :] = 0, 0
    out[:, top : top + H, :left], out[:, top : top + H, left + W :] = 0, 0
    out[:, top : top + H, left : left + W] = x
    return out


def is_pointwise(window):
    return window.kernel == window.stride == (1, 1) and window.padding == ((0, 0), (0, 0))


def im2col(x, window):
    """(C, H, W, N) -> (C*KH*KW, P): row (c, i, j) holds what tap (i, j) of channel c sees."""
    C, _, _, N = x.shape
    if is_pointwise(window):
        return x.reshape(C, -1)  # no copy
    taps = window.taps(batch_first(padded(x, window)))
    HO, WO = taps[0][2].shape[2:]
    columns = empty_like(x, (C, len(taps), HO, WO, N))
    for tap, (_, _, seen) in enumerate(taps):
        columns[:, tap] = seen.transpose(1, 2, 3, 0)
    return columns.reshape(C * len(taps), HO * WO * N)


def col2im(columns, shape, window):
    """The transpose of `im2col`: every pixel gets the sum of its copies' gradients."""
    C, H, W, N = shape
    if is_pointwise(window):
        return columns.reshape(shape)
    *_, high, wide = window.padded_shape((N, C, H, W))
    image = batch_first(empty_like(columns, (C, high, wide, N)))
    image[...] = 0
    taps = window.taps(image)
    HO, WO = taps[0][2].shape[2:]
    columns = columns.reshape(C, len(taps), HO, WO, N)
    for tap, (_, _, seen) in enumerate(taps):
        seen += batch_first(columns[:, tap])
    return window.unpad(image).transpose(1, 2, 3, 0)


def grouped(rows, G):
    """(R, ...) -> (G, R/G, -1), the rows of each group; without groups (R, -1), one product."""
    R = len(rows)
    rest = rows.size // R
    return rows.reshape(R, rest) if G == 1 else rows.reshape(G, R // G, rest)


class Conv2d(Definition):
    im2col, matmul = staticmethod(im2col), np.matmul  # a GPU has its own

    @staticmethod
    def suits(x, weight, bias=None, *, window, groups=1):
        return is_float(x, weight, bias)

    def forward(self, x, weight, bias=None):
        x = channels_first(x)
        self.save(batch_first(x) if self.needs[1] else None, weight if self.needs[0] else None)
        y = empty_like(x, (len(weight), *self.window.output_size(*x.shape[1:3]), x.shape[3]))
        G = self.groups
        self.matmul(grouped(weight, G), grouped(self.im2col(x, self.window), G), out=grouped(y, G))
        if bias is not None:
            y += bias[:, None, None, None]
        return batch_first(y)

    def backward(self, gy):
        x, weight = self.saved
        gx = gw = gb = None
        gY = grouped(channels_first(gy), self.groups)  # (G, O/G, P)
        if self.needs[1]:
            X = grouped(self.im2col(channels_first(x), self.window), self.groups)
            gw = empty_like(gy, self.input_shapes[1])
            self.matmul(gY, X.swapaxes(-1, -2), out=grouped(gw, self.groups))
        if self.needs[0]:
            N, C, H, W = self.input_shapes[0]
            W_T = grouped(weight, self.groups).swapaxes(-1, -2)
            gX = empty_like(gy, (*W_T.shape[:-1], gY.shape[-1]))
            self.matmul(W_T, gY, out=gX)
            gx = batch_first(col2im(gX, (C, H, W, N), self.window))
        if len(self.needs) == 3:
            gb = channels_first(gy).reshape(gy.shape[1], -1).sum(axis=1)
        return (gx, gw, gb)[: len(self.needs)]
