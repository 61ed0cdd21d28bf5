"""Convolution by im2col as on a CPU, with the patches laid out by one launch: see conv.cu."""

from tinynet.backend import array_module
from tinynet.fast.cpu import conv
from tinynet.fast.cuda.kernel import MOST_BLOCKS, Kernel, blocks, suits

IM2COL = Kernel("im2col", "conv.cu")


class Conv2d(conv.Conv2d):
    @staticmethod
    def im2col(x, window):
        (C, H, W, N), (KH, KW) = x.shape, window.kernel
        rows = C * KH * KW
        if rows == C or rows >= MOST_BLOCKS or not suits(x):
            return conv.im2col(x, window)
        HO, WO = window.output_size(H, W)
        columns = array_module(x).empty((rows, HO * WO * N), x.dtype)
        (top, _), (left, _) = window.padding
        numbers = H, W, HO, WO, N, KH, KW, *window.stride, *window.dilation, top, left
        IM2COL((blocks(HO * WO * N), rows), (x, columns), *numbers)
        return columns
