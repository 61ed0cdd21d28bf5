"""Pieces of cache size of arrays (C, H, W, N)."""

import math

SPAN = 131072  # values of one array in a piece: 512 KB in float32


def row_tiles(x, span=SPAN):
    """Pieces of `x` (C, M): pairs of a slice of rows and the slices of columns to go through.

    Short rows come several at a time; long ones singly, in spans, one after the other, so that
    a second pass over the row still finds it in the cache.
    """
    M = x.shape[1]
    pieces = max(1, round(M / span))
    spans = [slice(M * i // pieces, M * (i + 1) // pieces) for i in range(pieces)]
    return [(rows, spans) for rows in channel_tiles(x, span)]


def channel_tiles(x, span=SPAN):
    """Slices of the first axis of `x`, about `span` values each, at least one of the axis.

    An op of several passes over memory does all of them on one piece before the next, and so
    fetches a large array from memory once and not once per pass.
    """
    C = x.shape[0]
    step = max(1, span // max(math.prod(x.shape[1:]), 1))
    return [slice(first, min(first + step, C)) for first in range(0, C, step)]
