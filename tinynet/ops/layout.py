"""The memory layout of pictures: logical (N, C, H, W), in memory (C, H, W, N).

A user sees torch's axes everywhere. In memory the channels come first and the batch is
innermost, so that a pointwise convolution is ONE matrix product (O, C) @ (C, H*W*N), the
statistics of BatchNorm are sums over contiguous rows, and every elementwise loop is long and
contiguous whatever the picture's size. Both functions are free when the layout is right
already; an op that gets another layout (a user's plain NCHW array) copies once.
"""

import numpy as np

from tinynet.backend import array_module

TILE_BYTES = 512 * 1024  # half of a common second-level cache


def channels_first(x):
    """(N, C, H, W) in any layout -> (C, H, W, N), contiguous."""
    return array_module(x).ascontiguousarray(x.transpose(1, 2, 3, 0))


def batch_first(y):
    """(C, H, W, N) -> (N, C, H, W), a view: what the user sees."""
    return y.transpose(3, 0, 1, 2)


def channel_tiles(x):
    """Slices of the first axis of `x` (C, H, W, N), each small enough for the processor's cache.

    An op of several passes over memory does all of them on one tile before the next, and so
    fetches a big array once and not once a pass. On a GPU there is one tile.
    """
    C = x.shape[0]
    if array_module(x) is not np or x.nbytes <= TILE_BYTES:
        return [slice(0, C)]
    step = max(1, TILE_BYTES * C // x.nbytes)
    return [slice(first, first + step) for first in range(0, C, step)]


def check_images(name, x):
    """Raise ValueError unless `x` has the four axes (N, C, H, W)."""
    if x.ndim != 4:
        raise ValueError(
            f"{name}: expected an input of shape (N, C, H, W), got shape {x.shape}"
            + ("; add the batch axis with x.unsqueeze(0)" if x.ndim == 3 else "")
        )
