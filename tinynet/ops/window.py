"""The geometry of a window that slides over an image, shared by convolution and pooling."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Window:
    """A window of kernel (KH, KW) that moves by stride and whose taps lie dilation apart.

    padding: ((top, bottom), (left, right)) zeros around the image.
    """

    kernel: tuple
    stride: tuple = (1, 1)
    padding: tuple = ((0, 0), (0, 0))
    dilation: tuple = (1, 1)

    @property
    def letters(self):
        """{letter: number} as the formulas of convolution and pooling have them."""
        (sh, sw), (dh, dw), ((top, _), (left, _)) = self.stride, self.dilation, self.padding
        return {"sh": sh, "sw": sw, "dh": dh, "dw": dw, "top": top, "left": left}

    @property
    def span(self):
        """Pixels from the first tap to the last, both included."""
        return tuple(d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel, strict=True))

    def output_size(self, height, width):
        """(HO, WO) = floor((size + padding - span) / stride) + 1; below 1 where nothing fits."""
        (top, bottom), (left, right) = self.padding
        (KH, KW), (sh, sw), (dh, dw) = self.kernel, self.stride, self.dilation
        return (
            (height + top + bottom - dh * (KH - 1) - 1) // sh + 1,
            (width + left + right - dw * (KW - 1) - 1) // sw + 1,
        )

    def padded_shape(self, shape):
        """(..., H, W) -> (..., top+H+bottom, left+W+right)"""
        (top, bottom), (left, right) = self.padding
        return *shape[:-2], top + shape[-2] + bottom, left + shape[-1] + right

    def pad(self, x, value=0):
        """(..., H, W) with the padding around it."""
        return np.pad(x, ((0, 0),) * (x.ndim - 2) + self.padding, constant_values=value)

    def unpad(self, padded):
        """Undo `pad`: a view without the border."""
        (top, bottom), (left, right) = self.padding
        H, W = padded.shape[-2:]
        return padded[..., top : H - bottom, left : W - right]

    def taps(self, padded):
        """[(i, j, seen), ...]: what tap (i, j) sees at every output position, a view (..., HO, WO)
        of the padded image."""
        (KH, KW), (sh, sw), (dh, dw) = self.kernel, self.stride, self.dilation
        H, W = padded.shape[-2:]
        taps = []
        for i in range(KH):
            for j in range(KW):
                rows = slice(i * dh, H - dh * (KH - 1 - i), sh)
                columns = slice(j * dw, W - dw * (KW - 1 - j), sw)
                taps.append((i, j, padded[..., rows, columns]))
        return taps
