"""Big arrays in pieces that stay in the processor's cache, and the pieces on several cores.

An op of several passes over memory does all of them on one piece before the next, and so
fetches a big array from memory once and not once a pass.
"""

import contextvars
import functools
import math
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tinynet.backend import array_module

SPAN = 131072  # values of one array in a piece: 512 KB in float32
WORTH_SHARING = 16 * SPAN  # values; a smaller array is done before another core has woken up


def row_tiles(x, span=SPAN):
    """Pieces of `x` (C, M): pairs of a slice of rows and the slices of columns to go through.

    Short rows come several at a time; long ones singly, in spans, one after the other, so that
    a second pass over the row still finds it in the cache. On a GPU there is one piece.
    """
    M = x.shape[1]
    pieces = max(1, round(M / span)) if array_module(x) is np else 1
    spans = [slice(M * i // pieces, M * (i + 1) // pieces) for i in range(pieces)]
    return [(rows, spans) for rows in channel_tiles(x, span)]


def channel_tiles(x, span=SPAN):
    """Slices of the first axis of `x`, about `span` values each, at least one of the axis. On a
    GPU there is one slice."""
    C = x.shape[0]
    if array_module(x) is not np:
        return [slice(0, C)]
    step = max(1, span // max(math.prod(x.shape[1:]), 1))
    return [slice(first, min(first + step, C)) for first in range(0, C, step)]


def core_parts(x):
    """Slices of the channels of `x` (C, H, W, N), one a core; a single one of a small array."""
    C = x.shape[0]
    parts = min(cores(), C) if x.size >= WORTH_SHARING and array_module(x) is np else 1
    return [slice(C * i // parts, C * (i + 1) // parts) for i in range(parts)]


def cores():
    """How many threads share the pieces: TINYNET_NUM_THREADS, else 1.

    One, because between its products OpenBLAS keeps its own threads spinning on the other cores
    for some 30 ms: on two cores a second thread here made a training step up to 17 % slower. With
    OPENBLAS_THREAD_TIMEOUT=4 they sleep at once, and two threads make large networks 10 % faster.
    """
    wanted = os.environ.get("TINYNET_NUM_THREADS", "")
    return int(wanted) if wanted.isdigit() and int(wanted) > 0 else 1


class _Pool:
    """The threads beside the main one, started when they are first needed."""

    def __init__(self):
        self.size = cores() - 1
        self.threads = ThreadPoolExecutor(self.size, "tinynet") if self.size else None


_pool = functools.lru_cache(maxsize=1)(_Pool)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process has no threads


def share(work, pieces, values=WORTH_SHARING):
    """work(piece) for each piece, on `cores()` threads; NumPy computes without Python's lock.

    Each core takes the next piece when it is done with its last. The pieces must write to
    different places. values: how many there are in all; few are worked through by one core.
    """
    helpers = min(_pool().size, len(pieces) - 1) if values >= WORTH_SHARING else 0
    queue = iter(pieces)

    def take():
        for piece in queue:  # the step from piece to piece is one, whatever thread takes it
            work(piece)

    # a thread has NumPy's error settings of its own unless it is given ours
    running = [_pool().threads.submit(contextvars.copy_context().run, take) for _ in range(helpers)]
    take()
    for other in running:
        other.result()
