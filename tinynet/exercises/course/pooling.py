"""Max pooling."""

import numpy as np

from tinynet.exercises.course.gradients import numbers
from tinynet.exercises.definition import Backward
from tinynet.exercises.exercise import exercise
from tinynet.ops.pooling import MaxPool2d
from tinynet.ops.window import Window


def _maps(rng):
    for N, C, H, W, k, stride in (
        (1, 1, 2, 4, 2, 2),
        (1, 1, 4, 4, 2, 2),
        (2, 3, 5, 7, 3, 2),
        (1, 2, 4, 5, 3, 1),
    ):
        x = rng.integers(0, 4, (N, C, H, W)).astype(float)  # with ties
        gy = numbers(rng, N, C, (H - k) // stride + 1, (W - k) // stride + 1)
        yield {"gy": gy, "x": x, "k": k, "stride": stride}


@exercise(
    title="The backward of max pooling, with ties",
    aim="""
    Each output is the largest pixel of its window, k by k pixels that begin at row stride h
    and column stride w. Its gradient goes to that pixel alone. Of several equally large ones the
    first takes it, row by row. Windows may overlap: a pixel that wins in two gets both
    gradients.""",
    gives="gx",
    cases=_maps,
    reference=Backward(
        "x", lambda x, k, stride: MaxPool2d.apply(x, window=Window((k, k), (stride, stride)))
    ),
    hint="""Go over the outputs. np.argmax of a window gives the first largest one, numbered row by
    row; divmod(number, k) makes a row and a column of it. Add to gx, do not assign.""",
    mistakes={
        "all-ties": (
            "gx[n, c, r, q] += gy[n, c, h, w]",
            "gx[n, c, h * stride : h * stride + k, w * stride : w * stride + k] += "
            "(window == window.max()) * gy[n, c, h, w]",
            "all pixels that tie for the maximum get gy; only the first one should.",
        ),
        "shared-ties": (
            "gx[n, c, r, q] += gy[n, c, h, w]",
            "gx[n, c, h * stride : h * stride + k, w * stride : w * stride + k] += "
            "(window == window.max()) / (window == window.max()).sum() * gy[n, c, h, w]",
            "pixels that tie share gy among them; here the first one takes all of it.",
        ),
        "last-tie": (
            "np.argmax(window)",
            "k * k - 1 - np.argmax(window[::-1, ::-1])",
            "of equal pixels the last one gets gy; take the first, as np.argmax does.",
        ),
        "assigned": (
            "gx[n, c, r, q] += gy",
            "gx[n, c, r, q] = gy",
            "a pixel that wins in two overlapping windows keeps one gradient only: add with +=.",
        ),
        "steps-of-k": (
            "    for n, c, h, w in",
            "    stride = k\n    for n, c, h, w in",
            "the windows lie side by side, k pixels apart; they begin `stride` pixels apart.",
        ),
        "as-average": (
            "gx[n, c, r, q] += gy[n, c, h, w]",
            "gx[n, c, h * stride : h * stride + k, w * stride : w * stride + k] += "
            "gy[n, c, h, w] / k**2",
            "this is average pooling's backward: every pixel gets a share.",
        ),
        "column-first": (
            "np.argmax(window)",
            "np.argmax(window.T)",
            "row and column are swapped: argmax counts row by row, number = k i + j.",
        ),
    },
)
def max_pool_backward(gy, x, k, stride):
    """gy (N, C, HO, WO), x (N, C, H, W). Returns gx (N, C, H, W)."""
    gx = np.zeros(x.shape)
    for n, c, h, w in np.ndindex(gy.shape):
        window = x[n, c, h * stride : h * stride + k, w * stride : w * stride + k]
        i, j = divmod(np.argmax(window), k)
        r, q = h * stride + i, w * stride + j
        gx[n, c, r, q] += gy[n, c, h, w]
    return gx
