"""Convolution by im2col as on a CPU, with the patches laid out by one launch (conv.cu) and products
that can be part of a graph."""

from tinynet.backend import array_module
from tinynet.fast.cpu import conv
from tinynet.fast.cuda.kernel import MOST_BLOCKS, Kernel, blocks, packing, suits
from tinynet.fast.cuda.products import matmul

IM2COL = Kernel("im2col", "conv.cu")


class Conv2d(conv.Conv2d):
    matmul = staticmethod(matmul)

    @staticmethod
    def im2col(x, window):
        (C, H, W, N), (KH, KW) = x.shape, window.kernel
        rows = C * KH * KW
        if rows == C or rows >= MOST_BLOCKS or not suits(x):
            return conv.im2col(x, window)
        HO, WO = window.output_size(H, W)
        columns = array_module(x).empty((rows, HO, WO, N), x.dtype)
        known = packing(x, columns)
        packs = N // known["PACK"]
        (top, _), (left, _) = window.padding
        numbers = H, W, HO, WO, packs, KH, *window.stride, *window.dilation, top, left
        IM2COL((blocks(HO * WO * packs), C * KH), (x, columns), *numbers, KW=KW, **known)
        return columns.reshape(rows, HO * WO * N)
