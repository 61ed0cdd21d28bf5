"""Depthwise convolution by kernels: see depthwise.cu."""

import functools
import math

from tinynet.backend import array_module
from tinynet.fast.cpu.depthwise import ChannelsFirst
from tinynet.fast.cuda.kernel import (
    MOST_BLOCKS,
    MOST_VALUES,
    PACKED,
    SINGLE,
    Kernel,
    blocks,
    packing,
    pieces,
    suits_images,
)

ROWS = 4
MOBILENET = (1, 1, 1, 1, 1, 1), (2, 2, 1, 1, 1, 1)  # the `moves` that kernels know beforehand
FORWARD = Kernel("depthwise_forward", "depthwise.cu")
INPUT_GRADIENT = Kernel("depthwise_input_gradient", "depthwise.cu")
WEIGHT_GRADIENT = Kernel("depthwise_weight_gradient", "depthwise.cu")
ADD_PARTS = Kernel("add_parts", "depthwise.cu")


class DepthwiseConv2d(ChannelsFirst):
    @staticmethod
    def suits(x, weight, bias=None, *, window):
        outputs = x.shape[0] * len(weight) * math.prod(window.output_size(*x.shape[2:]))
        return (
            suits_images(x, weight, bias)
            and outputs < MOST_VALUES
            and len(weight) < MOST_BLOCKS
            and x.size // x.shape[1] * len(weight) < MOST_VALUES
        )

    def convolve(self, x, weight, out):
        fill(out, FORWARD, x, weight, x, out, self.window)
        return True

    def input_gradient(self, gy, weight, out):
        fill(out, INPUT_GRADIENT, gy, weight, out, gy, self.window)
        return True

    def weight_gradient(self, gy, x):
        return weight_gradient(gy, x, self.window)


def weight_gradient(gy, x, window):
    """gw (O, KH, KW)"""
    O, _, WO, N = gy.shape
    known = constants(window, gy, x)
    gw = array_module(gy).empty((O, *window.kernel), gy.dtype)
    split = pieces(O, strips(gy) * WO * N // known["PACK"], values=2)
    parts = gw if split == 1 else array_module(gy).empty((split, *gw.shape), gw.dtype)
    numbers = *sizes(x, gy, known), *moves(window)
    WEIGHT_GRADIENT((split, O), (gy, x, parts), *numbers, **known)
    if split > 1:
        ADD_PARTS((blocks(gw.size),), (parts, gw), split, gw.size, **known)
    return gw


def fill(out, kernel, source, weight, x, y, window):
    """Launch a kernel that has a thread for each strip of ROWS values, a pack each, of `out`. x
    and y: the pixels and the outputs of the convolution, for their sizes."""
    known = constants(window, source, out)
    grid = blocks(out.shape[2] * out.shape[3] // known["PACK"]), strips(out), out.shape[0]
    kernel(grid, (source, weight, out), *sizes(x, y, known), *moves(window), **known)


def strips(y):
    """How many strips of ROWS rows there are in (C, H, W, N)."""
    return -(-y.shape[1] // ROWS)


def sizes(x, y, known):
    """H, W, HO, WO, and N in packs."""
    (_, H, W, N), (_, HO, WO, _) = x.shape, y.shape
    return H, W, HO, WO, N // known["PACK"]


def moves(window):
    """sh, sw, dh, dw, top, left"""
    (top, _), (left, _) = window.padding
    return *window.stride, *window.dilation, top, left


def constants(window, *arrays):
    """What the kernels know when they are compiled: the filter's size; how many images make a pack;
    and stride, dilation and padding where they are MobileNet's, for the loops then unroll
    (elsewhere their capital names stand for the arguments)."""
    return _constants(window, packing(*arrays) is PACKED)


@functools.lru_cache(maxsize=256)
def _constants(window, packed):
    KH, KW = window.kernel
    names = "SH", "SW", "DH", "DW", "TOP", "LEFT"
    known = dict(zip(names, moves(window), strict=True))
    if window.kernel != (3, 3) or tuple(known.values()) not in MOBILENET:
        known = {name: name.lower() for name in names}
    return {"ROWS": ROWS, "KH": KH, "KW": KW, **(PACKED if packed else SINGLE), **known}
