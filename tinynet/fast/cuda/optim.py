"""The optimisers' steps on a GPU: all parameters of a group in one launch.

MobileNet has 83 parameters, most of them small: a launch for each would take longer than the work.
So a kernel is given a table that tells where each parameter, its gradient and its buffers lie, and
runs over pieces of PART values, each of one parameter.
"""

import functools
from collections import defaultdict

import numpy as np

from tinynet.backend import array_module, refuse_capture
from tinynet.fast.cuda.kernel import Kernel, suits
from tinynet.optim.adam import adam as plain_adam
from tinynet.optim.sgd import sgd as plain_sgd

PART = 4096  # values of a parameter that a block has
VALUES = 4  # that a thread of SGD reads at a time
SGD_STEP = Kernel("sgd_step", "sgd.cu")
ADAM_STEP = Kernel("adam_step", "adam.cu")


def sgd(xs, gs, vs, firsts, lr, momentum, dampening, weight_decay, nesterov, maximize):
    numbers = lr, momentum, dampening, weight_decay, bool(nesterov), bool(maximize)
    together = defaultdict(list)  # the parameters that one launch can change
    for x, g, v, first in zip(xs, gs, vs, firsts, strict=True):
        together[x.dtype if suits(x, g, v) else None].append((x, g, v, first))
    for dtype, rows in together.items():
        if dtype is not None:
            launch(SGD_STEP, rows, *numbers, VALUES=VALUES)
        else:
            plain_sgd(*zip(*rows, strict=True), *numbers)


def adam(xs, gs, ms, vs, tops, steps, lr, beta1, beta2, eps, weight_decay, decoupled, maximize):
    numbers = lr, beta1, beta2, eps, weight_decay
    flags = bool(decoupled), bool(maximize)
    together = defaultdict(list)  # parameters that got gradients later are some steps behind
    for *arrays, t in zip(xs, gs, ms, vs, tops, steps, strict=True):
        together[arrays[0].dtype if suits(*arrays) else None, t].append(arrays)
    for (dtype, t), rows in together.items():
        if dtype is not None:
            corrections = lr / (1 - beta1**t), (1 - beta2**t) ** 0.5
            launch(ADAM_STEP, rows, *numbers, *corrections, *flags)
        else:
            plain_adam(*zip(*rows, strict=True), [t] * len(rows), *numbers, *flags)


def launch(kernel, rows, *numbers, **constants):
    """Launch `kernel(table, parts, *numbers)` over all values of several parameters.

    Args: rows: for each parameter its array, and what else the kernel needs of it: arrays of its
    shape, None, bools. All arrays must suit kernels and have one dtype. The kernel finds a row as
    `part_of` in table.cuh says: the size; then the row, arrays as addresses.
    """
    refuse_capture("an optimiser's step takes its learning rate as a plain number; keep it outside")
    first = rows[0][0]
    xp = array_module(first)
    table = tuple((row[0].size, *map(_cell, row)) for row in rows)
    parts = _parts(xp, tuple(row[0] for row in table))
    arrays = _on_the_gpu(xp, table), parts  # most often all lies where it lay at the last step
    constants |= {"PART": PART, "ROW": len(table[0])}
    kernel((len(parts),), arrays, *numbers, dtype=first.dtype, **constants)


def _cell(value):
    return value.data.ptr if hasattr(value, "data") else int(value or 0)


@functools.lru_cache(maxsize=16)
def _parts(xp, sizes):
    starts = ((i, start) for i, size in enumerate(sizes) for start in range(0, size, PART))
    return _on_the_gpu(xp, tuple(starts))


@functools.lru_cache(maxsize=16)
def _on_the_gpu(xp, rows):
    return xp.asarray(np.array(rows, np.int64))
