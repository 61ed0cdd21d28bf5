"""Convolution by im2col: lay the patches out as a matrix, then multiply.

Chellapilla, Puri, Simard, "High performance convolutional neural networks for document
processing" (2006), section 3.1. "Convolution" is cross-correlation here, as in torch.
"""

import numpy as np

from tinynet.autograd.tape import Function


def im2col(x, window):
    """(N, C, H, W) -> (N, C*KH*KW, HO*WO): row (c, i, j) is what tap (i, j) sees of channel c."""
    N, C = x.shape[:2]
    patches = np.stack([seen for _, _, seen in window.taps(window.pad(x))], axis=2)
    return patches.reshape(N, C * patches.shape[2], patches[0, 0, 0].size if N * C else 0)


def col2im(columns, x_shape, window):
    """The transpose of `im2col`: every pixel gets the sum of what its copies got."""
    padded = np.zeros_like(columns, shape=window.padded_shape(x_shape))
    taps = window.taps(padded)
    N, C = x_shape[:2]
    patches = columns.reshape(N, C, len(taps), *taps[0][2].shape[2:])
    for tap, (_, _, seen) in enumerate(taps):
        seen += patches[:, :, tap]
    return window.unpad(padded)


class Conv2d(Function):
    """As matrices, for each image and group: y = W X with X = im2col(x), whose columns are the
    patches; gx = col2im(W^T gy), gW = sum over images of gy X^T. The patches are not kept for
    backward but laid out again: they are KH*KW times the size of x.

    Args: x (N, C, H, W), weight (O, C/G, KH, KW), optionally bias (O,); window: the geometry;
    groups: G.
    """

    rule = {
        "y[n,o,h,w]": "sum over c,i,j of weight[o,c,i,j] x[n,c,r,q] (+ bias[o])",
        "gx[n,c,r,q]": "sum over the o,i,j,h,w that read it of weight[o,c,i,j] gy[n,o,h,w]",
        "gweight[o,c,i,j]": "sum over n,h,w of gy[n,o,h,w] x[n,c,r,q]",
        "gbias[o]": "sum over n,h,w of gy[n,o,h,w]",
    }
    where = (
        "r = sh*h + dh*i - top, q = sw*w + dw*j - left: the pixel that tap (i, j) reads for output "
        "(h, w); x is 0 outside the image; sh, sw: stride; dh, dw: dilation; top, left: padding "
        "above and to the left; c: the input channels that o reads, numbered from 0 in weight"
    )

    def __init__(self, window, groups=1):
        self.window, self.groups = window, groups

    def forward(self, x, weight, bias=None):
        self.save(x if self.needs[1] else None, weight if self.needs[0] else None)
        N, _, H, W = x.shape
        X = self.grouped(im2col(x, self.window))  # (N, G, C/G*KH*KW, HO*WO)
        y = self.filters(weight) @ X  # (N, G, O/G, HO*WO)
        y = y.reshape(N, len(weight), *self.window.output_size(H, W))
        return y if bias is None else y + bias[:, None, None]

    def backward(self, gy):
        x, weight = self.saved
        gx = gw = None
        gY = self.grouped(gy.reshape(*gy.shape[:2], gy[0, 0].size if gy.size else 0))
        if self.needs[0]:
            gX = np.swapaxes(self.filters(weight), 1, 2) @ gY
            columns = gX.reshape(len(gX), self.groups * gX.shape[2], gX.shape[3])
            gx = col2im(columns, self.input_shapes[0], self.window)
        if self.needs[1]:
            X = self.grouped(im2col(x, self.window))
            gw = (gY @ np.swapaxes(X, 2, 3)).sum(axis=0).reshape(self.input_shapes[1])
        return (gx, gw, gy.sum(axis=(0, 2, 3)))[: len(self.needs)]

    def filters(self, weight):
        """(O, C/G, KH, KW) -> (G, O/G, C/G*KH*KW)"""
        return weight.reshape(self.groups, len(weight) // self.groups, weight[0].size)

    def grouped(self, rows):
        """(N, R, P) -> (N, G, R/G, P)"""
        N, R, P = rows.shape
        return rows.reshape(N, self.groups, R // self.groups, P)
