"""Pooling: averages and maxima over windows."""

import numpy as np

from tinynet.autograd.tape import Function


class AveragePool2d(Function):
    """Args: x (N, C, H, W); window: the geometry; divisor (HO, WO): how many pixels each average
    counts, those of the padding among them or not."""

    rule = {
        "y[n,c,h,w]": "(sum over i,j of x[n,c,r,q]) / m[h,w]",
        "gx[n,c,r,q]": "sum over the i,j,h,w that read it of gy[n,c,h,w] / m[h,w]",
    }
    where = (
        "r = sh*h + dh*i - top, q = sw*w + dw*j - left: the pixel that place (i, j) of the window "
        "reads for output (h, w); x is 0 outside the image; m[h,w]: how many pixels the average "
        "counts; sh, sw: stride; dh, dw: dilation; top, left: padding above and to the left"
    )

    def __init__(self, window, divisor):
        self.window, self.divisor = window, divisor

    def forward(self, x):
        return sum(seen for _, _, seen in self.window.taps(self.window.pad(x))) / self.divisor

    def backward(self, gy):
        padded = np.zeros_like(gy, shape=self.window.padded_shape(self.input_shapes[0]))
        for _, _, seen in self.window.taps(padded):
            seen += gy / self.divisor
        return self.window.unpad(padded)


class AdaptiveAveragePool2d(Function):
    """Output (o, p) is the mean of the pixels from floor(o*H/HO) up to, not including,
    ceil((o+1)*H/HO), and likewise of the columns, as torch's adaptive pooling does."""

    rule = {
        "y[n,c,h,w]": "(sum over r,q of x[n,c,r,q]) / m[h,w]",
        "gx[n,c,r,q]": "sum over the h,w that read it of gy[n,c,h,w] / m[h,w]",
    }
    where = (
        "r, q: the pixels that output (h, w) averages, its part of the image; m[h,w]: how many "
        "these are"
    )

    def __init__(self, output_size):
        self.output_size = output_size

    def forward(self, x):
        y = np.zeros_like(x, shape=(*x.shape[:2], *self.output_size))
        for o, p, part in self.parts(x):
            y[:, :, o, p] = part.mean(axis=(2, 3))
        return y

    def backward(self, gy):
        gx = np.zeros_like(gy, shape=self.input_shapes[0])
        for o, p, part in self.parts(gx):
            part += gy[:, :, o, p, None, None] / part[0, 0].size if part.size else 0
        return gx

    def parts(self, x):
        """[(o, p, the pixels that output (o, p) averages, a view of x), ...]"""
        (HO, WO), (H, W) = self.output_size, x.shape[2:]
        rows = [(o, slice(o * H // HO, -(-(o + 1) * H // HO))) for o in range(HO)]
        columns = [(p, slice(p * W // WO, -(-(p + 1) * W // WO))) for p in range(WO)]
        return [(o, p, x[:, :, r, c]) for o, r in rows for p, c in columns]


class MaxPool2d(Function):
    """Args: x (N, C, H, W); window: the geometry. Among equals the first pixel wins, of NaNs, which
    count as largest, the last, as in torch; never the padding."""

    rule = {
        "y[n,c,h,w]": "max over i,j of x[n,c,r,q]",
        "gx[n,c,r,q]": "sum over the h,w whose first largest pixel it is of gy[n,c,h,w]",
    }
    where = (
        "r = sh*h + dh*i - top, q = sw*w + dw*j - left: the pixel that place (i, j) of the window "
        "reads for output (h, w); the padding is never the largest; sh, sw: stride; dh, dw: "
        "dilation; top, left: padding above and to the left"
    )

    def __init__(self, window):
        self.window = window

    def forward(self, x):
        inside = self.window.pad(np.ones_like(x[:1, :1], dtype=bool), False)
        reals, taps = self.window.taps(inside), self.window.taps(self.window.pad(x, -np.inf))
        y = np.full_like(taps[0][2], -np.inf)
        winner = np.full_like(y, -1, dtype=np.int32)  # which tap gave y
        for tap, (_, _, seen) in enumerate(taps):
            better = reals[tap][2] & ((seen > y) | (seen != seen) | (winner < 0))
            y, winner = np.where(better, seen, y), np.where(better, tap, winner)
        self.save(winner)
        return y

    def backward(self, gy):
        (winner,) = self.saved
        padded = np.zeros_like(gy, shape=self.window.padded_shape(self.input_shapes[0]))
        for tap, (_, _, seen) in enumerate(self.window.taps(padded)):
            seen += np.where(winner == tap, gy, 0)
        return self.window.unpad(padded)
