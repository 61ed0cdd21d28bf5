"""Depthwise convolution as matrix products with banded (Toeplitz) matrices.

Along one row a filter is a matrix: output position w looks at pixels sw*w + j - left, so the
filter's row i is a band matrix B_i (WO, W), in which horizontal stride, dilation and padding are
just where the entries stand. An output row is then y[h] = sum over i of B_i x[sh*h + i - top],
and since the KH input rows lie one after the other in memory (C, H, W, N), that sum is ONE
matrix product: (WO, KH*W) @ (KH*W, N), with the KH*W rows of x a view, not a copy.

Most entries of the bands are zero, yet it pays: a matrix product runs near the processor's
peak, while the nine shifted products of the definition wait for memory at each pass.

x (C, H, W, N), weight (C, KH, KW), gy (C, HO, WO, N).
"""

import itertools

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


def _row_groups(count, height, K, stride, top):
    """Which filter rows see the picture: for runs of equal output rows (first, last, i0, i1).

    Output row h looks at picture rows stride*h + i - top for i in 0 .. K-1, and those outside
    0 .. height-1 are padding, that is, zero: only i0 <= i < i1 count. Leaving the others out
    spares a padded copy of the picture.
    """
    seen = [(max(top - stride * h, 0), min(height + top - stride * h, K)) for h in range(count)]
    first = 0
    for (i0, i1), run in itertools.groupby(seen):
        last = first + len(list(run))
        yield first, last, i0, max(i0, i1)
        first = last


def _stacked(x, start, count, stride, height):
    """(C, H, W, N) -> (C, count, height*W, N), a view: `height` rows from row start + stride*h."""
    C, _, W, N = x.shape
    sc, sh, sw, sn = x.strides
    return np.lib.stride_tricks.as_strided(
        x[:, start:], (C, count, height * W, N), (sc, stride * sh, sw, sn), writeable=False
    )


def _multiply(bands, x, stride, top, out):
    """out[c, h] = sum over i of bands[c, :, i] x[c, stride*h + i - top], rows of padding left out.

    bands (C, V, K, W), x (C, H, W, N), out (C, count, V, N).
    """
    C, V, K, W = bands.shape
    for first, last, i0, i1 in _row_groups(out.shape[1], x.shape[1], K, stride, top):
        if i0 == i1:
            out[:, first:last] = 0
            continue
        rows = _stacked(x, stride * first + i0 - top, last - first, stride, i1 - i0)
        band = bands[:, :, i0:i1].reshape(C, 1, V, -1)
        np.matmul(band, rows, out=out[:, first:last])


def forward(x, weight, window, out_size):
    (C, _, W, N), (HO, WO) = x.shape, out_size
    y = np.empty((C, HO, WO, N), dtype=x.dtype)
    bands = _bands(weight, window, W, WO)
    _multiply(bands, x, window.stride[0], window.padding[0][0], out=y)
    return y


def weight_gradient(gy, x, window):
    C, HO, WO, _ = gy.shape
    (H, W), (KH, KW) = x.shape[1:3], window.kernel
    stride, top = window.stride[0], window.padding[0][0]
    # the gradient of the whole band matrices, of which only the bands are wanted
    gbands = np.zeros((C, WO, KH, W), dtype=gy.dtype)
    for first, last, i0, i1 in _row_groups(HO, H, KH, stride, top):
        if i0 < i1:
            rows = _stacked(x, stride * first + i0 - top, last - first, stride, i1 - i0)
            product = gy[:, first:last] @ rows.swapaxes(2, 3)  # (C, last-first, WO, (i1-i0)*W)
            gbands[:, :, i0:i1] += product.sum(axis=1).reshape(C, WO, i1 - i0, W)
    gw = np.empty((C, KH, KW), dtype=gy.dtype)
    for j, w, pixel in _positions(window, W, WO):
        gw[:, :, j] = gbands[:, w, :, pixel].sum(axis=0)
    return gw


def input_gradient(gy, weight, x_shape, window):
    """gx[r] = sum over i of B_i^T gy[h] with sh*h + i - top = r.

    Of the filter's rows only every sh-th can meet a given pixel row, so the pixel rows fall
    into sh classes ("phases"), each one product like the forward one, of gy with the
    transposed bands of its share of the filter's rows.
    """
    H, W = x_shape[1:3]
    KH, stride, top = window.kernel[0], window.stride[0], window.padding[0][0]
    bands = _bands(weight, window, W, gy.shape[2]).transpose(0, 3, 2, 1)  # (C, W, KH, WO)
    gx = np.empty(x_shape, dtype=gy.dtype)
    for phase in range(stride):
        first = (phase - top) % stride  # the first pixel row of this phase
        taps = list(range(phase, KH, stride))[::-1]  # falling i: rising h
        if first >= H:
            continue
        if not taps:
            gx[:, first::stride] = 0
            continue
        newest = (first + top - phase) // stride  # the h that tap `phase` pairs with `first`
        oldest = newest - (len(taps) - 1)
        _multiply(bands[:, :, taps], gy, 1, -oldest, out=gx[:, first::stride])
    return gx
