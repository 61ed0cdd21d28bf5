"""Depthwise convolution: one filter per channel, no sum over channels.

Howard et al., "MobileNets" (arXiv 1704.04861), section 3.1, equation 3.
"""

import numpy as np

from tinynet.autograd.tape import Function


class DepthwiseConv2d(Function):
    """Tap (i, j) of the filters sees the image shifted by (i, j), so KH*KW shifted products make
    the convolution. Forward and both gradients are the same loop over the taps, read three ways.

    Args: x (N, C, H, W), weight (C*M, 1, KH, KW), optionally bias (C*M,); window: the geometry.
    M filters per channel (M = 1 in MobileNet) give outputs c*M .. c*M + M-1.
    """

    rule = {
        "y[n,o,h,w]": "sum over i,j of weight[o,0,i,j] x[n,c,r,q] (+ bias[o])",
        "gx[n,c,r,q]": "sum over the o,i,j,h,w that read it of weight[o,0,i,j] gy[n,o,h,w]",
        "gweight[o,0,i,j]": "sum over n,h,w of gy[n,o,h,w] x[n,c,r,q]",
        "gbias[o]": "sum over n,h,w of gy[n,o,h,w]",
    }
    where = (
        "r = sh*h + dh*i - top, q = sw*w + dw*j - left: the pixel that tap (i, j) reads for output "
        "(h, w); x is 0 outside the image; sh, sw: stride; dh, dw: dilation; top, left: padding "
        "above and to the left; c = o // M: filter o reads one channel; M: filters per channel, 1 "
        "in MobileNet"
    )

    def __init__(self, window):
        self.window = window

    def forward(self, x, weight, bias=None):
        self.save(x if self.needs[1] else None, weight if self.needs[0] else None)
        x = x.repeat(len(weight) // x.shape[1], axis=1)
        y = 0 if bias is None else bias[:, None, None]
        for i, j, seen in self.window.taps(self.window.pad(x)):
            y = y + weight[:, 0, i, j, None, None] * seen
        return y

    def backward(self, gy):
        x, weight = self.saved
        N, C, H, W = self.input_shapes[0]
        O = gy.shape[1]
        gx = gw = None
        if self.needs[0]:
            padded = np.zeros_like(gy, shape=self.window.padded_shape((N, O, H, W)))
            for i, j, seen in self.window.taps(padded):
                seen += weight[:, 0, i, j, None, None] * gy
            gx = self.window.unpad(padded).reshape(N, C, O // C, H, W).sum(axis=2)
        if self.needs[1]:
            x = x.repeat(O // C, axis=1)
            gw = np.zeros_like(gy, shape=self.input_shapes[1])
            for i, j, seen in self.window.taps(self.window.pad(x)):
                gw[:, 0, i, j] = (gy * seen).sum(axis=(0, 2, 3))
        return (gx, gw, gy.sum(axis=(0, 2, 3)))[: len(self.needs)]
