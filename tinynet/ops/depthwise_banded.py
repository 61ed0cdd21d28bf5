"""Depthwise convolution as matrix products with banded (Toeplitz) matrices.

Along one row a filter is a matrix: output position w looks at pixels sw*w + j - left, so the
filter's row i is a band matrix B_i (WO, W), in which horizontal stride, dilation and padding are
just where the entries stand. An output row is then y[h] = sum over i of B_i x[sh*h + i - top],
and since the KH input rows lie one after the other in memory (C, H, W, N), that sum is ONE
matrix product: (WO, KH*W) @ (KH*W, N), with the KH*W rows of x a view, not a copy.

Most entries of the bands are zero, yet it pays: at 32x32, batch 128, a layer took 0.1 to
1.0 ms where the nine shifted products took 0.6 to 3.3, because the matrix product runs near the
processor's peak while the shifted products wait for memory.

x (C, H, W, N), weight (C, KH, KW), gy (C, HO, WO, N).
"""

import numpy as np

from tinynet.backend import array_module

MIN_BATCH = 8  # below, the products degenerate to matrix times vector


def suits(x, window):
    """Whether this way fits: a batch, filter rows one below the other, and float BLAS dtypes."""
    return (
        x.shape[3] >= MIN_BATCH
        and window.dilation[0] == 1
        and x.dtype in (np.float32, np.float64)
        and array_module(x) is np
    )


def _positions(window, W, WO):
    """For each tap j: the outputs w that see a pixel through it, and those pixels."""
    for j in range(window.kernel[1]):
        w = np.arange(WO)
        pixel = w * window.stride[1] + j * window.dilation[1] - window.padding[1][0]
        inside = (pixel >= 0) & (pixel < W)
        yield j, w[inside], pixel[inside]


def _bands(weight, window, W, WO):
    """(C, KH, KW) -> (C, WO, KH, W): the band matrices of every filter row."""
    C, KH, _ = weight.shape
    bands = np.zeros((C, WO, KH, W), dtype=weight.dtype)
    for j, w, pixel in _positions(window, W, WO):
        bands[:, w, :, pixel] = weight[:, :, j]  # the two index arrays put their axis first
    return bands


def _rows(x, top, bottom):
    """x with `top` and `bottom` rows of zeros (or, where negative, without that many rows)."""
    C, H, W, N = x.shape
    if top <= 0 and bottom <= 0:
        return x[:, -top : H + bottom]
    padded = np.zeros((C, top + H + bottom, W, N), dtype=x.dtype)
    first = max(-top, 0)
    last = max(H + min(bottom, 0), first)
    padded[:, top + first : top + last] = x[:, first:last]
    return padded


def _stacked(rows, count, stride, height):
    """(C, H, W, N) -> (C, count, height*W, N), a view: `height` rows from row stride*h."""
    C, _, W, N = rows.shape
    sc, sh, sw, sn = rows.strides
    return np.lib.stride_tricks.as_strided(
        rows, (C, count, height * W, N), (sc, stride * sh, sw, sn), writeable=False
    )


def forward(x, weight, window, out_size):
    (C, _, W, _), (HO, WO) = x.shape, out_size
    KH = window.kernel[0]
    bands = _bands(weight, window, W, WO).reshape(C, 1, WO, KH * W)
    return bands @ _stacked(_rows(x, *window.padding[0]), HO, window.stride[0], KH)


def weight_gradient(gy, x, window):
    C, HO, WO, _ = gy.shape
    W, (KH, KW) = x.shape[2], window.kernel
    seen = _stacked(_rows(x, *window.padding[0]), HO, window.stride[0], KH)
    # the gradient of the whole band matrices, of which only the bands are wanted
    gbands = (gy @ seen.swapaxes(2, 3)).sum(axis=1).reshape(C, WO, KH, W)
    gw = np.empty((C, KH, KW), dtype=gy.dtype)
    for j, w, pixel in _positions(window, W, WO):
        gw[:, :, j] = gbands[:, w, :, pixel].sum(axis=0)
    return gw


def input_gradient(gy, weight, x_shape, window):
    """gx[r] = sum over i of B_i^T gy[h] with sh*h + i - top = r.

    Of the filter's rows only every sh-th can meet a given pixel row, so the pixel rows fall
    into sh classes ("phases"), each one matrix product with its share of the filter's rows.
    """
    C, H, W, N = x_shape
    HO, WO = gy.shape[1:3]
    KH, stride, top = window.kernel[0], window.stride[0], window.padding[0][0]
    bands = _bands(weight, window, W, WO).transpose(0, 3, 2, 1)  # (C, W, KH, WO)
    gx = np.empty(x_shape, dtype=gy.dtype)
    for phase in range(stride):
        first = (phase - top) % stride  # the first pixel row of this phase
        count = len(range(first, H, stride))
        taps = list(range(phase, KH, stride))[::-1]  # falling i: rising h
        if not count or not taps:
            gx[:, first::stride] = 0
            continue
        newest = (first + top - phase) // stride  # the h that tap `phase` pairs with `first`
        oldest = newest - (len(taps) - 1)
        rows = _rows(gy, -oldest, newest + count - HO)
        B = bands[:, :, taps].reshape(C, 1, W, len(taps) * WO)
        np.matmul(B, _stacked(rows, count, 1, len(taps)), out=gx[:, first::stride])
    return gx
