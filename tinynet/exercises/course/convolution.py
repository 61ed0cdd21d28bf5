"""Convolution: sizes, one channel, and the two gradients."""

import numpy as np

from tinynet.exercises.course.gradients import numbers
from tinynet.exercises.definition import Backward, Forward
from tinynet.exercises.exercise import exercise
from tinynet.ops.conv import Conv2d
from tinynet.ops.window import Window


def square(k, stride, padding):
    """A window of k by k pixels, moved and padded alike in both directions."""
    return Window((k, k), (stride, stride), ((padding, padding), (padding, padding)))


def _one_channel(rng):
    for H, W, K, stride, padding in (
        *((3, 3, 2, 1, 0), (4, 5, 3, 1, 0), (4, 4, 3, 1, 1), (6, 5, 3, 2, 1), (7, 6, 2, 3, 0)),
    ):
        x, w = numbers(rng, H, W), numbers(rng, K, K)
        yield {"x": x, "w": w, "stride": stride, "padding": padding}


def _convolved(x, w, stride, padding):
    y = Conv2d.apply(x[None, None], w[None, None], window=square(w.shape[0], stride, padding))
    return y[0, 0]


@exercise(
    title="A convolution of one channel",
    aim="""
    Lay the K by K filter w on the image x, which has `padding` zeros around it, at row stride h and
    column stride v. Multiply each weight by the pixel under it and add up: that is y[h,v]. The
    filter is not flipped (this is what PyTorch calls convolution).""",
    gives="y",
    cases=_one_channel,
    reference=Forward("x w", _convolved),
    hint="""np.pad(x, padding) makes the border. Two loops, over h and v; a slice of K rows and K
    columns times w, summed. The size of y: see conv_size.""",
    mistakes={
        "flipped": (
            "* w).sum()",
            "* w[::-1, ::-1]).sum()",
            "the filter is flipped, as in mathematics' convolution; here it lies as it is.",
        ),
        "transposed": (
            "* w).sum()",
            "* w.T).sum()",
            "the filter's rows lie on the image's columns: w is transposed.",
        ),
        "no-stride": (
            "padded[h * stride : h * stride + K, v * stride : v * stride + K]",
            "padded[h : h + K, v : v + K]",
            "the size of y is right, but the window moves by 1 and not by `stride`.",
        ),
        "no-padding": (
            "np.pad(x, padding)",
            "x",
            "there is no border of zeros: pad x on all four sides first.",
        ),
        "padded-behind": (
            "np.pad(x, padding)",
            "np.pad(x, (0, 2 * padding))",
            "all zeros are below and to the right; half of them belong above and to the left.",
        ),
        "padded-with-edges": (
            "np.pad(x, padding)",
            'np.pad(x, padding, mode="edge")',
            "the border repeats the pixels at the edge; it should hold zeros.",
        ),
        "mean": (".sum()", ".mean()", "this is a mean of the products; take their sum."),
    },
)
def conv_forward(x, w, stride, padding):
    """x (H, W), w (K, K); stride, padding: whole numbers. Returns y (HO, WO)."""
    K = len(w)
    padded = np.pad(x, padding)
    HO, WO = ((size - K) // stride + 1 for size in padded.shape)
    y = np.zeros((HO, WO))
    for h, v in np.ndindex(HO, WO):
        y[h, v] = (padded[h * stride : h * stride + K, v * stride : v * stride + K] * w).sum()
    return y


def _images(rng):
    for N, C, O, H, W, K, stride, padding in (
        *((1, 1, 1, 3, 3, 2, 1, 0), (1, 2, 3, 4, 5, 3, 1, 1), (2, 3, 2, 5, 6, 3, 2, 1)),
        *((2, 2, 2, 6, 5, 3, 2, 0), (3, 1, 2, 4, 4, 1, 2, 0)),
    ):
        x, w = numbers(rng, N, C, H, W), numbers(rng, O, C, K, K)
        gy = numbers(rng, N, O, *square(K, stride, padding).output_size(H, W))
        yield {"gy": gy, "x": x, "w": w, "stride": stride, "padding": padding}


def _conv(x, w, stride, padding):
    return Conv2d.apply(x, w, window=square(w.shape[2], stride, padding))


UNFLIPPED = """the filter lies the wrong way round. Add w[..., i, j] gy at the pixel that tap (i, j)
    read: then nothing is flipped. If you slide the filter over gy instead, to collect what each
    pixel gets, flip it first: w[..., ::-1, ::-1]."""
NOT_CUT = "the border of the padding is still there: cut it off on all four sides."
CUT_BEHIND = """the padding is cut off below and to the right only, so gx is shifted: begin at row
    and column `padding`."""
BY_MINUS = "padding:-padding, padding:-padding]"
MINUS = "[p:-p] is empty where the padding p is 0; write [p : p + H]."
ASSIGNED = "several outputs read the same pixel, and only one gradient is kept: add with +=."
NO_STRIDE = "the outputs are laid next to each other; they are `stride` pixels apart."
SEEN_WITHOUT_STRIDE = (
    "seen = padded[:, :, rows, columns]",
    "seen = padded[:, :, i : i + HO, j : j + WO]",
    NO_STRIDE,
)
PADDED_BEHIND = (
    "((0, 0), (0, 0), (padding, padding), (padding, padding))",
    "((0, 0), (0, 0), (0, 2 * padding), (0, 2 * padding))",
    "the zeros are all below and to the right; half of them belong above and to the left.",
)


@exercise(
    title="Convolution: the gradient of the image",
    aim="""
    Forward, with x = 0 outside the image, is

        y[n,o,h,v] = sum over c,i,j of w[o,c,i,j] x[n,c,r,q]
        r = stride h + i - padding,  q = stride v + j - padding

    Every pixel sent its value to several outputs; now it gets back, from each of them,
    w[o,c,i,j] gy[n,o,h,v].""",
    gives="gx",
    cases=_images,
    reference=Backward("x w", _conv, wanted="x"),
    hint="""Make zeros of the PADDED size. For each tap (i, j), the pixels that it read are
    [i : i + stride (HO - 1) + 1 : stride] by the same with j: add there what w[:, :, i, j] and gy
    give, summed over o. At the end cut the padding off.""",
    mistakes={
        "unflipped": ("w[:, :, i, j]", "w[:, :, K - 1 - i, K - 1 - j]", UNFLIPPED),
        "transposed": (
            "w[:, :, i, j]",
            "w[:, :, j, i]",
            "rows and columns of the filter change places.",
        ),
        "not-cut": (
            "padded[:, :, padding : padding + H, padding : padding + W]",
            "padded",
            NOT_CUT,
        ),
        "cut-behind": (
            "padding : padding + H, padding : padding + W]",
            ":H, :W]",
            CUT_BEHIND,
        ),
        "cut-by-minus": ("padding : padding + H, padding : padding + W]", BY_MINUS, MINUS),
        "assigned": ("columns] += ", "columns] = ", ASSIGNED),
        "no-stride": (
            "padded[:, :, rows, columns]",
            "padded[:, :, i : i + HO, j : j + WO]",
            NO_STRIDE,
        ),
        "channels-swapped": (
            '"nohv,oc->nchv"',
            '"nohv,co->nchv"',
            "input and output channels of w change places: w is (O, C, K, K), and the sum is over "
            "o, its FIRST axis.",
        ),
    },
)
def conv_gx(gy, x, w, stride, padding):
    """gy (N, O, HO, WO), x (N, C, H, W), w (O, C, K, K). Returns gx (N, C, H, W)."""
    N, C, H, W = x.shape
    K, HO, WO = w.shape[2], *gy.shape[2:]
    padded = np.zeros((N, C, H + 2 * padding, W + 2 * padding))
    for i, j in np.ndindex(K, K):
        rows = slice(i, i + stride * (HO - 1) + 1, stride)
        columns = slice(j, j + stride * (WO - 1) + 1, stride)
        padded[:, :, rows, columns] += np.einsum("nohv,oc->nchv", gy, w[:, :, i, j])
    return padded[:, :, padding : padding + H, padding : padding + W]


@exercise(
    title="Convolution: the gradient of the filters",
    aim="""
    Forward, with x = 0 outside the image, is

        y[n,o,h,v] = sum over c,i,j of w[o,c,i,j] x[n,c,r,q]
        r = stride h + i - padding,  q = stride v + j - padding

    One weight meets a pixel at every place of every image, so

        gw[o,c,i,j] = sum over n,h,v of gy[n,o,h,v] x[n,c,r,q]""",
    gives="gw",
    cases=_images,
    reference=Backward("x w", _conv, wanted="w"),
    hint="""Pad x. For each tap (i, j) take the pixels that it saw,
    [i : i + stride (HO - 1) + 1 : stride] by the same with j, multiply by gy, and sum over images
    and places.""",
    mistakes={
        "first-image": (
            '"nohv,nchv->oc", gy, seen',
            '"nohv,nchv->oc", gy[:1], seen[:1]',
            "only the first image counts: sum over all of them.",
        ),
        "mean": (
            "gy, seen)",
            "gy, seen) / len(x)",
            "this is a mean over the images; if the loss takes a mean, gy has that factor already.",
        ),
        "flipped": (
            "gw[:, :, i, j] =",
            "gw[:, :, K - 1 - i, K - 1 - j] =",
            "the taps are filled in from the wrong end: what tap (i, j) saw belongs to "
            "gw[:, :, i, j].",
        ),
        "transposed": (
            "gw[:, :, i, j] =",
            "gw[:, :, j, i] =",
            "rows and columns of gw change places.",
        ),
        "padded-behind": PADDED_BEHIND,
        "no-stride": SEEN_WITHOUT_STRIDE,
        "channels-swapped": (
            "nchv->oc",
            "nchv->co",
            "input and output channels change places: gw is (O, C, K, K), as w.",
        ),
    },
)
def conv_gw(gy, x, w, stride, padding):
    """gy (N, O, HO, WO), x (N, C, H, W), w (O, C, K, K). Returns gw (O, C, K, K)."""
    K, HO, WO = w.shape[2], *gy.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    gw = np.zeros(w.shape)
    for i, j in np.ndindex(K, K):
        rows = slice(i, i + stride * (HO - 1) + 1, stride)
        columns = slice(j, j + stride * (WO - 1) + 1, stride)
        seen = padded[:, :, rows, columns]
        gw[:, :, i, j] = np.einsum("nohv,nchv->oc", gy, seen)
    return gw
