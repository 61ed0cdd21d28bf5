"""Depthwise convolution by its definition: a multiply-add of the whole picture for each tap.

Tap (i, j) of the filter sees the picture shifted by (i, j), so KH*KW shifted products make the
convolution. Forward, input gradient and weight gradient are the same loop read three ways.

x (C, H, W, N), weight (C, KH, KW), gy (C, HO, WO, N).
"""

from tinynet.backend import array_module


def forward(x, weight, window, out):
    padded = window.pad(x)
    out[...] = 0
    for i, j in window.taps():
        out += weight[:, i, j, None, None, None] * window.tap(padded, i, j, out.shape[1:3])


def input_gradient(gy, weight, window, out):
    padded = array_module(gy).zeros(window.padded_shape(out.shape), dtype=gy.dtype)
    for i, j in window.taps():
        window.tap(padded, i, j, gy.shape[1:3])[...] += weight[:, i, j, None, None, None] * gy
    out[...] = window.unpad(padded)


def weight_gradient(gy, x, window):
    padded = window.pad(x)
    gw = array_module(gy).empty((gy.shape[0], *window.kernel), dtype=gy.dtype)
    for i, j in window.taps():
        seen = window.tap(padded, i, j, gy.shape[1:3])
        gw[:, i, j] = (gy * seen).sum(axis=(1, 2, 3))
    return gw
