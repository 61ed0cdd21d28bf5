"""Depthwise convolution by its definition: a multiply-add of the whole picture for each tap.

Tap (i, j) of the filter sees the picture shifted by (i, j), so KH*KW shifted products make the
convolution. Forward, input gradient and weight gradient are the same loop read three ways.

x (C, H, W, N), weight (C, KH, KW), gy (C, HO, WO, N).
"""

from tinynet.backend import array_module


def forward(x, weight, window, out_size):
    padded = window.pad(x)
    y = array_module(x).zeros((x.shape[0], *out_size, x.shape[3]), dtype=x.dtype)
    for i, j in window.taps():
        y += weight[:, i, j, None, None, None] * window.tap(padded, i, j, out_size)
    return y


def input_gradient(gy, weight, x_shape, window):
    padded = array_module(gy).zeros(window.padded_shape(x_shape), dtype=gy.dtype)
    for i, j in window.taps():
        window.tap(padded, i, j, gy.shape[1:3])[...] += weight[:, i, j, None, None, None] * gy
    return window.unpad(padded)


def weight_gradient(gy, x, window):
    padded = window.pad(x)
    gw = array_module(gy).empty((gy.shape[0], *window.kernel), dtype=gy.dtype)
    for i, j in window.taps():
        seen = window.tap(padded, i, j, gy.shape[1:3])
        gw[:, i, j] = (gy * seen).sum(axis=(1, 2, 3))
    return gw
