"""The geometry of a window that slides over a picture, shared by convolution and pooling."""

import functools
from dataclasses import dataclass

from tinynet.backend import array_module


@dataclass(frozen=True)
class Window:
    """A window of kernel (KH, KW) that moves by stride and whose taps lie dilation apart.

    padding: ((top, bottom), (left, right)) zeros around the picture.
    """

    kernel: tuple
    stride: tuple = (1, 1)
    padding: tuple = ((0, 0), (0, 0))
    dilation: tuple = (1, 1)

    @property
    def span(self):
        """Pixels from the first tap to the last, both included."""
        return tuple(d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel, strict=True))

    @functools.lru_cache(maxsize=1024)  # noqa: B019  (windows are few and small)
    def output_size(self, name, height, width):
        """(HO, WO) = floor((size + padding - span) / stride) + 1; ValueError if none fits."""
        sizes = []
        for size, pad, span, stride in zip(
            (height, width), self.padding, self.span, self.stride, strict=True
        ):
            room = size + sum(pad) - span
            if room < 0:
                raise ValueError(
                    f"{name}: a window spanning {self.span} does not fit an input of "
                    f"{height}x{width} padded by {self.padding}; use a smaller kernel or more "
                    "padding"
                )
            sizes.append(room // stride + 1)
        return tuple(sizes)

    def padded_shape(self, x_shape):
        """(C, H, W, N) -> (C, top+H+bottom, left+W+right, N)"""
        C, H, W, N = x_shape
        rows, columns = self.padding
        return C, H + sum(rows), W + sum(columns), N

    def pad(self, x, value=0):
        """(C, H, W, N) -> `padded_shape`; `x` itself if nothing is added."""
        (top, bottom), (left, right) = self.padding
        if not (top or bottom or left or right):
            return x
        _, H, W, _ = x.shape
        padded = array_module(x).full(self.padded_shape(x.shape), value, dtype=x.dtype)
        padded[:, top : top + H, left : left + W] = x
        return padded

    def unpad(self, padded):
        """Undo `pad`: a view without the border."""
        (top, bottom), (left, right) = self.padding
        _, H, W, _ = padded.shape
        return padded[:, top : H - bottom, left : W - right]

    def tap(self, padded, i, j, out_size):
        """What tap (i, j) sees at every output position: a view (C, HO, WO, N) of `padded`."""
        (sh, sw), (dh, dw) = self.stride, self.dilation
        HO, WO = out_size
        return padded[:, i * dh : i * dh + sh * HO : sh, j * dw : j * dw + sw * WO : sw]

    def taps(self):
        """All (i, j), row by row."""
        return [(i, j) for i in range(self.kernel[0]) for j in range(self.kernel[1])]
