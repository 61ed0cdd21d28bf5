"""Pooling: averages and maxima over windows."""

import numpy as np

from tinynet.autograd.tape import Function
from tinynet.backend import array_module
from tinynet.ops.layout import batch_first, channels_first, check_images


def adaptive_averages(size, out_size, dtype):
    """(out_size, size): row o averages the pixels floor(o*size/out_size) up to, not including,
    ceil((o+1)*size/out_size), as torch's adaptive pooling does."""
    averages = np.zeros((out_size, size), dtype)
    for o in range(out_size):
        first, last = o * size // out_size, -(-(o + 1) * size // out_size)
        averages[o, first:last] = 1 / (last - first)
    return averages


def window_averages(size, out_size, kernel, stride, padding, count_padding, dtype):
    """(out_size, size): row o averages the window of `kernel` pixels from o*stride - padding on.

    The zeros of the padding count in the divisor, or not (`count_padding`). A last window that
    reaches beyond the padding ends with it.
    """
    averages = np.zeros((out_size, size), dtype)
    for o in range(out_size):
        start = o * stride - padding
        stop = min(start + kernel, size + padding)
        first, last = max(start, 0), min(stop, size)
        averages[o, first:last] = 1 / (stop - start if count_padding else last - first)
    return averages


class AveragePool2d(Function):
    """y = A x B^T for each channel and picture, A averages rows, B columns;  gx = A^T gy B

    An average over rectangles is an average over rows of averages over columns, so every kind of
    average pooling is two small matrices: A (HO, H) and B (WO, W). One average of all pixels,
    which ends MobileNet, is a sum instead: products that small are slow, and on a GPU they would
    be a dozen launches. Backward took 1.1 ms where they took 7.4 (1024 channels of 4x4, batch
    128, two cores).
    """

    def __init__(self, row_averages, column_averages):
        self.A, self.B = row_averages, column_averages
        even = all(len(m) == 1 and (m == m[0, 0]).all() for m in (self.A, self.B))
        self.share = self.A[0, 0] * self.B[0, 0] if even else None  # of a pixel in the average

    @staticmethod
    def _apply(A, B, x):
        """A, B on the two middle axes of x (C, H, W, N)."""
        C, H, W, N = x.shape
        xp = array_module(x)
        A, B = xp.asarray(A), xp.asarray(B)
        rows = A @ x.reshape(C, H, W * N)  # (C, HO, W*N)
        return (B @ rows.reshape(-1, W, N)).reshape(C, A.shape[0], B.shape[0], N)

    def forward(self, x):
        check_images("AveragePool2d", x)
        x = channels_first(x)
        if self.share is None:
            return batch_first(self._apply(self.A, self.B, x))
        C, H, W, N = x.shape
        pixels = x.reshape(C, H * W, N)
        # NumPy's own sum takes up to three times as long
        y = np.einsum("cin->cn", pixels) if array_module(x) is np else pixels.sum(axis=1)
        return batch_first((y * self.share).reshape(C, 1, 1, N))

    def backward(self, gy):
        gy = channels_first(gy)
        if self.share is None:
            return batch_first(self._apply(self.A.T, self.B.T, gy))
        N, C, H, W = self.input_shapes[0]
        gx = array_module(gy).empty((C, H, W, N), gy.dtype)
        gx[...] = gy * self.share
        return batch_first(gx)


class MaxPool2d(Function):
    """y = max over the window;  gx = gy at the window's first largest pixel, else 0

    Args: x (N, C, H, W); window: the geometry; its padding counts as minus infinity.
    """

    def __init__(self, window):
        self.window = window

    def forward(self, x):
        check_images("MaxPool2d", x)
        xp = array_module(x)
        x = channels_first(x)
        self.out_size = self.window.output_size("MaxPool2d", *x.shape[1:3])
        padded = self.window.pad(x, -np.inf)
        taps = self.window.taps()
        y = self.window.tap(padded, 0, 0, self.out_size).copy()
        winner = xp.zeros(y.shape, np.int16)  # the number of the tap that gave y
        for number, (i, j) in enumerate(taps):
            seen = self.window.tap(padded, i, j, self.out_size)
            larger = (seen > y) | xp.isnan(seen)
            xp.copyto(y, seen, where=larger)
            xp.copyto(winner, number, where=larger)
        self.save(winner)
        self.padded_shape = padded.shape
        return batch_first(y)

    def backward(self, gy):
        (winner,) = self.saved
        gy = channels_first(gy)
        padded = array_module(gy).zeros(self.padded_shape, gy.dtype)
        for number, (i, j) in enumerate(self.window.taps()):
            seen = self.window.tap(padded, i, j, self.out_size)
            seen += gy * (winner == number)
        return batch_first(self.window.unpad(padded))
