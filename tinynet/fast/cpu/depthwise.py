"""Depthwise convolution in two other ways: batches by matrix products, few images laid flat."""

import numpy as np

from tinynet.fast.cpu import banded
from tinynet.fast.cpu.tiles import SPAN, channel_tiles
from tinynet.fast.layout import batch_first, channels_first, empty_like, is_float
from tinynet.ops.depthwise import DepthwiseConv2d

MIN_BATCH = 8  # with fewer images the products of `banded` degenerate to matrix times vector


class ChannelsFirst(DepthwiseConv2d):
    """What all ways have in common, on a GPU too: images in the order of their memory, and each
    channel once per filter. x (O, H, W, N), weight (O, KH, KW), gy (O, HO, WO, N)."""

    def forward(self, given, weight, bias=None):
        x = channels_first(given)
        self.save(batch_first(x) if self.needs[1] else None, weight if self.needs[0] else None)
        O = len(weight)
        y = empty_like(x, (O, *self.window.output_size(*x.shape[1:3]), x.shape[3]))
        if not self.convolve(repeated(x, O), weight[:, 0], out=y):
            return super().forward(given, weight, bias)
        if bias is not None:
            y += bias[:, None, None, None]
        return batch_first(y)

    def backward(self, given):
        x, weight = self.saved
        N, C, H, W = self.input_shapes[0]
        gy = channels_first(given)
        O = len(gy)
        gx = gw = gb = None
        if self.needs[1]:  # before gx, which the next op then finds in the cache
            gw = self.weight_gradient(gy, repeated(channels_first(x), O))[:, None]
        if self.needs[0]:
            gx = empty_like(gy, (O, H, W, N))
            if not self.input_gradient(gy, weight[:, 0], out=gx):
                return super().backward(given)
            if O > C:
                gx = gx.reshape(C, O // C, H, W, N).sum(axis=1)
            gx = batch_first(gx)
        if len(self.needs) == 3:
            gb = gy.reshape(O, gy.size // O).sum(axis=1)
        return (gx, gw, gb)[: len(self.needs)]


def repeated(x, O):
    """x (C, H, W, N) -> (O, H, W, N): every channel once for each of its filters."""
    return x if len(x) == O else x.repeat(O // len(x), axis=0)


class Banded(ChannelsFirst):
    """By matrix products with the filters' band matrices: see banded.py."""

    @staticmethod
    def suits(x, weight, bias=None, *, window):
        return is_float(x, weight, bias) and len(x) >= MIN_BATCH and window.dilation[0] == 1

    def convolve(self, x, weight, out):
        banded.forward(x, weight, self.window, out=out)
        return banded.is_exact(out)

    def input_gradient(self, gy, weight, out):
        banded.input_gradient(gy, weight, self.window, out=out)
        return banded.is_exact(out, even=self.window.stride[1])

    def weight_gradient(self, gy, x):
        return banded.weight_gradient(gy, x, self.window)


class Flat(ChannelsFirst):
    """Few images, each laid out as one long row: moving the filter's tap by (i, j) is then moving
    along that row by i*width + j, so each tap is one product and one sum of whole images. The
    positions at the end of each row of pixels, where the window would wrap around, are computed
    too and left out of the result.

    With a stride, the image is first sorted into sh*sw "phases", the pixels that one tap can meet
    (every sh-th row, every sw-th column), and a tap moves along its phase. Gradients go by the
    definition.
    """

    backward = DepthwiseConv2d.backward

    @staticmethod
    def suits(x, weight, bias=None, *, window):
        return is_float(x, weight, bias)

    def convolve(self, x, weight, out):
        flat_forward(x, weight, self.window, out=out)
        return True


def flat_forward(x, weight, window, out):
    """Write y into `out` (C, HO, WO, N)."""
    (sh, sw), (dh, dw) = window.stride, window.dilation
    _, HO, WO, N = out.shape
    for c in channel_tiles(x, SPAN // 2):
        phases, width = _phases(x[c], window)
        total, product = np.empty((2, len(phases), HO * width * N), x.dtype)
        for i, j in np.ndindex(window.kernel):
            (down, row), (right, column) = divmod(i * dh, sh), divmod(j * dw, sw)
            start = (down * width + right) * N
            seen = phases[:, row, column, start : start + HO * width * N]
            first = (i, j) == (0, 0)
            np.multiply(seen, weight[c, i, j, None], out=total if first else product)
            if not first:
                total += product
        out[c] = total.reshape(len(phases), HO, width, N)[:, :, :WO]


def _phases(x, window):
    """(C, H, W, N) -> (C, sh, sw, rows*width*N and a little more), and the width.

    Phase (p, q) holds rows p, p + sh, ... and columns q, q + sw, ... of the padded image. At
    its end there is room for the last tap to look beyond it. The pixels go straight to their
    places, without a padded copy.
    """
    C, H, W, N = x.shape
    height, width = window.padded_shape((H, W))
    sh, sw = window.stride
    (top, _), (left, _) = window.padding
    rows, columns = -(-height // sh), -(-width // sw)
    beyond = (window.span[1] - 1) // sw
    phases = np.zeros((C, sh, sw, (rows * columns + beyond) * N), x.dtype)
    grid = phases[..., : rows * columns * N].reshape(C, sh, sw, rows, columns, N)
    for p in range(sh):
        for q in range(sw):
            first_row, first_column = (p - top) % sh, (q - left) % sw
            part = x[:, first_row::sh, first_column::sw]
            h, w = (first_row + top) // sh, (first_column + left) // sw
            grid[:, p, q, h : h + part.shape[1], w : w + part.shape[2]] = part
    return phases, columns
