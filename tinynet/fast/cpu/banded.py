"""Depthwise convolution as matrix products with banded (Toeplitz) matrices.

Along one row a filter is a matrix: output position w looks at pixels sw*w + dw*j - left, so the
filter's row i is a band matrix B_i (WO, W), in which horizontal stride, dilation and padding are
just where the entries stand. An output row is then y[h] = sum over i of B_i x[sh*h + i - top],
and since the KH input rows lie one after the other in memory (C, H, W, N), that sum is ONE
matrix product: (WO, KH*W) @ (KH*W, N), with the KH*W rows of x a view, not a copy.

Most entries of the bands are zero, yet it pays: a matrix product runs near the processor's
peak, while the nine shifted products of the definition wait for memory at each pass. But 0 times
infinity is NaN: `is_exact` finds out whether an infinity or a NaN met a zero of the bands.

x (C, H, W, N), weight (C, KH, KW), gy (C, HO, WO, N).
"""

import itertools

import numpy as np

from tinynet.backend import empty
from tinynet.fast.cpu.tiles import channel_tiles

MIN_BATCH = 8  # below, the products degenerate to matrix times vector
WIDE = 32  # rows of more results are cut, for the share of zeros in a band matrix grows with it,
TILE = 16  # into pieces of at most this many
NARROW, THICK = 8, 32  # results in a row, and images, for the weight's gradient by bands


def _pixel(window, j, w):
    """The pixel of a row that output w sees through tap j."""
    return w * window.stride[1] + j * window.dilation[1] - window.padding[1][0]


def _bands(weight, window, outputs, pixels):
    """(C, KH, KW) -> (C, V, KH, P): every B_i, of these V outputs and P pixels (two ranges)."""
    C, KH, KW = weight.shape
    bands = np.zeros((C, len(outputs), KH, len(pixels)), dtype=weight.dtype)
    every_w, every_pixel = np.arange(len(outputs)), np.arange(len(pixels))
    for j in range(KW):
        offset = _pixel(window, j, outputs.start) - pixels.start
        w, pixel = _meeting(len(outputs), len(pixels), window.stride[1], offset)
        # the two index arrays put their axis first
        bands[:, every_w[w], :, every_pixel[pixel]] = weight[:, :, j]
    return bands


def _runs(count, even=1):
    """A row's `count` results as runs of equal tiles: (first result, tiles, results in a tile).

    One tile of all if they are few; else tiles of about TILE, a multiple of `even`, and what
    is left over as a run of its own.
    """
    if count <= WIDE:
        return [(0, 1, count)]
    pieces = -(-count // TILE)
    size = -(-count // (pieces * even)) * even
    tiles, rest = divmod(count, size)
    return [(0, tiles, size)] + ([(tiles * size, 1, rest)] if rest else [])


def _cut(x, tiles, start, step, width):
    """(C, H, W, N) -> (C, tiles, H, width, N): columns start + t*step and on, zero beyond x.

    A copy, since the rows of a tile must lie one after the other; x itself if that is all of it.
    """
    C, H, W, N = x.shape
    if (tiles, start, width) == (1, 0, W):
        return x[:, None]
    parts = empty((C, tiles, H, width, N), x.dtype)
    for t in range(tiles):
        low = start + t * step
        first, last = min(max(low, 0), W), min(max(low + width, 0), W)
        if last - first < width:
            parts[:, t] = 0
        parts[:, t, :, first - low : last - low] = x[:, :, first:last]
    return parts


def _tiled(out, first, tiles, size):
    """(C, H, W, N) -> (C, tiles, H, size, N), a view of the columns from `first` on."""
    C, H, _, N = out.shape
    columns = out[:, :, first : first + tiles * size]
    return columns.reshape(C, H, tiles, size, N).swapaxes(1, 2)


def _row_groups(count, height, K, stride, top):
    """Which filter rows see the image: for runs of equal output rows (first, last, i0, i1).

    Output row h looks at image rows stride*h + i - top for i in 0 .. K-1, and those outside
    0 .. height-1 are padding, that is, zero: only i0 <= i < i1 count. Leaving the others out
    spares a padded copy of the image.
    """
    seen = [(max(top - stride * h, 0), min(height + top - stride * h, K)) for h in range(count)]
    first = 0
    for (i0, i1), run in itertools.groupby(seen):
        last = first + len(list(run))
        yield first, last, i0, max(i0, i1)
        first = last


def _stacked(x, start, count, stride, height):
    """(..., H, W, N) -> (..., count, height*W, N), a view: `height` rows from start + stride*h."""
    *some, _, W, N = x.shape
    *strides, sh, sw, sn = x.strides
    shape, strides = (*some, count, height * W, N), (*strides, stride * sh, sw, sn)
    if x.flags.c_contiguous:  # the same as below, in a quarter of the time
        return np.ndarray(shape, x.dtype, x, start * sh, strides)
    return np.lib.stride_tricks.as_strided(x[..., start:, :, :], shape, strides, writeable=False)


def _multiply(bands, x, stride, top, out):
    """out[h] = sum over i of bands[:, i] x[stride*h + i - top], rows of padding left out.

    bands (C, V, K, P), x (C, tiles, H, P, N), out (C, tiles, count, V, N).
    """
    C, V, K, P = bands.shape
    for first, last, i0, i1 in _row_groups(out.shape[2], x.shape[2], K, stride, top):
        if i0 == i1:
            out[:, :, first:last] = 0
            continue
        rows = _stacked(x, stride * first + i0 - top, last - first, stride, i1 - i0)
        band = bands[:, :, i0:i1].reshape(C, 1, 1, V, (i1 - i0) * P)
        np.matmul(band, rows, out=out[:, :, first:last])


def is_exact(out, even=1):
    """Whether no infinity or NaN has met a zero of a band. Where one has, all results of its rows
    in that tile are no longer finite, so that one column per tile tells."""
    return all(
        np.isfinite(out[:, :, first : first + tiles * size : size]).all()
        for first, tiles, size in _runs(out.shape[2], even)
    )


def forward(x, weight, window, out):
    """Write y into `out` (C, HO, WO, N)."""
    sw, left, W = window.stride[1], window.padding[1][0], x.shape[2]
    for first, tiles, size in _runs(out.shape[2]):
        start, width = first * sw - left, (size - 1) * sw + window.span[1]
        if size == out.shape[2]:
            start, width = 0, W  # one tile: padding is what its band leaves out
        outputs, pixels = range(first, first + size), range(start, start + width)
        _multiply(
            _bands(weight, window, outputs, pixels),
            _cut(x, tiles, start, size * sw, width),
            window.stride[0],
            window.padding[0][0],
            out=_tiled(out, first, tiles, size),
        )


def input_gradient(gy, weight, window, out):
    """Write gx[r] = sum over i of B_i^T gy[h] with sh*h + i - top = r into `out` (C, H, W, N).

    Of the filter's rows only every sh-th can meet a given pixel row, so the pixel rows fall
    into sh classes ("phases"), each one product like the forward one, of gy with the
    transposed bands of its share of the filter's rows.
    """
    (_, H, W, _), WO = out.shape, gy.shape[2]
    KH, (stride, sw), top = window.kernel[0], window.stride, window.padding[0][0]
    left, reach = window.padding[1][0], window.span[1] - 1
    for start, tiles, size in _runs(W, even=sw):
        first = -((reach - left - start) // sw)  # the first output that sees pixel `start`
        width = (start + size - 1 + left) // sw - first + 1
        if size == W:
            first, width = 0, WO
        pixels, outputs = range(start, start + size), range(first, first + width)
        bands = _bands(weight, window, outputs, pixels).transpose(0, 3, 2, 1)  # (C, P, KH, V)
        parts = _cut(gy, tiles, first, size // sw, width)
        gx = _tiled(out, start, tiles, size)
        for phase in range(stride):
            row = (phase - top) % stride  # the first pixel row of this phase
            taps = list(range(phase, KH, stride))[::-1]  # falling i: rising h
            if row >= H:
                continue
            if not taps:
                gx[:, :, row::stride] = 0
                continue
            newest = (row + top - phase) // stride  # the h that tap `phase` pairs with `row`
            oldest = newest - (len(taps) - 1)
            _multiply(bands[:, :, taps], parts, 1, -oldest, out=gx[:, :, row::stride])


def weight_gradient(gy, x, window):
    """gw[i, j] = sum over h, w of gy[h, w] x[sh*h + i - top, sw*w + j - left], by one of two ways.

    Along short rows the products of the band matrices' gradients are the faster, if they are not
    too thin; else dot products, since a band's gradient has KH*W entries of which KH*KW are wanted.
    """
    narrow = gy.shape[2] <= NARROW and gy.shape[3] >= THICK
    return (_gradient_of_bands if narrow else _dot_products)(gy, x, window)


def _gradient_of_bands(gy, x, window):
    C, HO, WO, _ = gy.shape
    (H, W), (KH, KW) = x.shape[1:3], window.kernel
    stride, top = window.stride[0], window.padding[0][0]
    gbands = np.zeros((C, WO, KH, W), dtype=gy.dtype)
    for first, last, i0, i1 in _row_groups(HO, H, KH, stride, top):
        if i0 < i1:
            rows = _stacked(x, stride * first + i0 - top, last - first, stride, i1 - i0)
            product = gy[:, first:last] @ rows.swapaxes(2, 3)  # (C, last-first, WO, (i1-i0)*W)
            gbands[:, :, i0:i1] += product.sum(axis=1).reshape(C, WO, i1 - i0, W)
    gw = np.empty((C, KH, KW), dtype=gy.dtype)
    for j in range(KW):
        w, pixel = _meeting(WO, W, window.stride[1], _pixel(window, j, 0))
        diagonal = gbands[:, w, :, pixel].diagonal(axis1=1, axis2=3)  # (C, KH, outputs)
        gw[:, :, j] = diagonal.sum(axis=2)
    return gw


def _dot_products(gy, x, window):
    """gw[i, j] is one dot product per channel, of gy with x shifted by (i, j)."""
    gw = np.empty((x.shape[0], *window.kernel), dtype=gy.dtype)
    (top, _), (sh, sw) = window.padding[0], window.stride
    seen = []  # for each tap: which outputs meet which pixels
    for i, j in np.ndindex(window.kernel):
        rows, pixel_rows = _meeting(gy.shape[1], x.shape[1], sh, i - top)
        columns, pixels = _meeting(gy.shape[2], x.shape[2], sw, _pixel(window, j, 0))
        first, phase = divmod(pixels.start, sw)
        place = slice(first, first + columns.stop - columns.start)
        seen.append((i, j, (slice(None), rows, columns), phase, (slice(None), pixel_rows, place)))
    for c in channel_tiles(gy):  # a tile stays in the cache for all taps
        # every sw-th column by itself, so that what a tap sees lies in long rows
        phases = [_packed(x[c][:, :, phase::sw]) for phase in range(sw)] if sw > 1 else [x[c]]
        for i, j, outputs, phase, pixels in seen:
            g, p = gy[c][outputs], phases[phase][pixels]
            g, p = (a.reshape(*a.shape[:2], a.shape[2] * a.shape[3]) for a in (g, p))  # views
            gw[c, i, j] = np.vecdot(g, p).sum(axis=1)
    return gw


def _packed(x):
    packed = empty(x.shape, x.dtype)
    packed[...] = x
    return packed


def _meeting(count, size, stride, offset):
    """Slices of the outputs o in 0 .. count-1 and the pixels stride*o + offset in 0 .. size-1."""
    first = max(0, -(offset // stride))
    last = max(first, min(count, (size - 1 - offset) // stride + 1))
    start = stride * first + offset
    return slice(first, last), slice(start, start + stride * (last - first), stride)
