"""Depthwise convolution of a few pictures: shifted products of pictures laid out flat.

With a small batch the products of `depthwise_banded` would be matrix times vector, and the shifted
products of the definition go along rows of the picture, too short for NumPy. But in a padded
picture laid out as one long row, moving the filter's tap by (i, j) is moving along that row by
i*width + j: each tap is one product and one sum of whole pictures. The positions at the end of
each row, where the window would wrap around, are computed too and left out of the result.

With a stride, the picture is first sorted into sh*sw "phases", the pixels that one tap can meet
(every sh-th row, every sw-th column), and a tap moves along its phase. (128 channels of 56x56,
batch 1: 2.5 ms where the definition took 9.3 and im2col 4.6.)

x (C, H, W, N), weight (C, KH, KW). Gradients go by the definition.
"""

from tinynet.backend import array_module
from tinynet.ops.depthwise_shifted import input_gradient, weight_gradient
from tinynet.ops.tiles import SPAN, channel_tiles

__all__ = ["forward", "input_gradient", "weight_gradient"]


def forward(x, weight, window, out):
    """Write y into `out` (C, HO, WO, N)."""
    xp = array_module(x)
    (sh, sw), (dh, dw) = window.stride, window.dilation
    _, HO, WO, N = out.shape
    for c in channel_tiles(x, SPAN // 2):
        phases, width = _phases(x[c], window)
        total, product = xp.empty((2, len(phases), HO * width * N), x.dtype)
        for i, j in window.taps():
            (down, row), (right, column) = divmod(i * dh, sh), divmod(j * dw, sw)
            start = (down * width + right) * N
            seen = phases[:, row, column, start : start + HO * width * N]
            first = (i, j) == (0, 0)
            xp.multiply(seen, weight[c, i, j, None], out=total if first else product)
            if not first:
                total += product
        out[c] = total.reshape(len(phases), HO, width, N)[:, :, :WO]


def _phases(x, window):
    """(C, H, W, N) -> (C, sh, sw, rows*width*N and a little more), and the width.

    Phase (p, q) holds rows p, p + sh, ... and columns q, q + sw, ... of the padded picture. At
    its end there is room for the last tap to look beyond it. The pixels go straight to their
    places: with `window.pad` first, the whole op took a tenth longer.
    """
    C, height, width, N = window.padded_shape(x.shape)
    sh, sw = window.stride
    (top, _), (left, _) = window.padding
    rows, columns = -(-height // sh), -(-width // sw)
    beyond = (window.span[1] - 1) // sw
    phases = array_module(x).zeros((C, sh, sw, (rows * columns + beyond) * N), x.dtype)
    grid = phases[..., : rows * columns * N].reshape(C, sh, sw, rows, columns, N)
    for p in range(sh):
        for q in range(sw):
            first_row, first_column = (p - top) % sh, (q - left) % sw
            part = x[:, first_row::sh, first_column::sw]
            h, w = (first_row + top) // sh, (first_column + left) // sw
            grid[:, p, q, h : h + part.shape[1], w : w + part.shape[2]] = part
    return phases, columns
