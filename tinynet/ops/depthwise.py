"""Depthwise convolution: one small filter a channel, no sum over channels.

Howard et al., "MobileNets" (arXiv 1704.04861), section 3.1, equation 3.

The three sums of the op below are written more than once. `depthwise_shifted.py` is the
definition, short enough to check by eye, and has the kernels for a GPU; `depthwise_banded.py`
computes the same numbers with matrix products and is the way for batches on a CPU,
`depthwise_flat.py` for a few pictures.
"""

import numpy as np

from tinynet.autograd.tape import Function
from tinynet.backend import array_module
from tinynet.ops import depthwise_banded as banded
from tinynet.ops import depthwise_flat as flat
from tinynet.ops import depthwise_shifted as shifted
from tinynet.ops.layout import batch_first, channels_first, check_images


class DepthwiseConv2d(Function):
    """y[n,c,h,w] = sum over i,j of weight[c,0,i,j] x[n,c, sh*h + dh*i, sw*w + dw*j] (+ bias[c])

    gx[n,c, sh*h + dh*i, sw*w + dw*j] += weight[c,0,i,j] gy[n,c,h,w];
    gweight[c,0,i,j] = sum over n,h,w of gy[n,c,h,w] x[n,c, sh*h + dh*i, sw*w + dw*j];
    gbias = gy summed over n,h,w.

    Args: x (N, C, H, W), padded by zeros, weight (C*M, 1, KH, KW), optionally bias (C*M,);
    window: the geometry, stride (sh, sw), dilation (dh, dw).
    M filters a channel (M = 1 in MobileNet) give outputs c*M .. c*M + M-1.
    """

    def __init__(self, window):
        self.window = window

    def forward(self, x, weight, bias=None):
        check_images("DepthwiseConv2d", x)
        C, M = x.shape[1], weight.shape[0] // x.shape[1]
        if weight.shape[0] != C * M or weight.shape[1] != 1 or M == 0:
            raise ValueError(
                f"DepthwiseConv2d: a weight of shape {weight.shape} does not filter {C} channels; "
                f"expected ({C} times a whole number, 1, KH, KW)"
            )
        x = channels_first(x)  # (C, H, W, N)
        out_size = self.window.output_size("DepthwiseConv2d", *x.shape[1:3])
        if M > 1:
            x = x.repeat(M, axis=0)
        self.method = shifted if array_module(x) is not np else flat
        if banded.suits(x, self.window):
            self.method = banded
        self.save(x if self.needs[1] else None, weight if self.needs[0] else None)
        y = array_module(x).empty((C * M, *out_size, x.shape[3]), dtype=x.dtype)
        self.method.forward(x, weight[:, 0], self.window, out=y)
        if bias is not None:
            y += bias[:, None, None, None]
        return batch_first(y)

    def backward(self, gy):
        x, weight = self.saved
        N, C, H, W = self.input_shapes[0]
        gy = channels_first(gy)  # (C*M, HO, WO, N)
        gx = gw = gb = None
        if self.needs[1]:
            gw = self.later(
                lambda: self.method.weight_gradient(gy, x, self.window)[:, None], x.size + gy.size
            )
        if self.needs[0]:
            gx = array_module(gy).empty((gy.shape[0], H, W, N), dtype=gy.dtype)
            self.method.input_gradient(gy, weight[:, 0], self.window, out=gx)
            if gy.shape[0] > C:
                gx = gx.reshape(C, -1, H, W, N).sum(axis=1)
            gx = batch_first(gx)
        if len(self.needs) == 3 and self.needs[2]:
            gb = gy.reshape(gy.shape[0], -1).sum(axis=1)
        return (gx, gw, gb)[: len(self.needs)]
