"""All parameters of a group in one launch, on a GPU.

MobileNet has 83 parameters, most of them small: a launch for each would take longer than the work.
So a kernel is given a table that tells where each parameter, its gradient and its buffers lie, and
runs over pieces of PART values, each of one parameter.
"""

import functools

import numpy as np

from tinynet.backend import array_module

PART = 4096  # values of a parameter that a block has


def launch(kernel, columns, *numbers):
    """Launch `kernel(table, parts, *numbers)` over all values of several parameters.

    Args: columns: parameters of one dtype, each with what the kernel needs besides it and its
    gradient: arrays of its shape, None, ints. All arrays must suit kernels. The kernel finds a
    parameter's row as `part_of` says: its size; the addresses of itself and of its gradient; the
    columns, arrays as addresses.
    """
    first = next(iter(columns)).array
    xp = array_module(first)
    table = tuple(
        (p.array.size, p.array.data.ptr, p.grad.array.data.ptr, *map(_cell, column))
        for p, column in columns.items()
    )
    parts = _parts(xp, tuple(row[0] for row in table))
    arrays = _on_the_gpu(xp, table), parts  # most often all lies where it lay at the last step
    kernel((len(parts),), arrays, *numbers, dtype=first.dtype, PART=PART, ROW=len(table[0]))


def _cell(value):
    return 0 if value is None else value if isinstance(value, int) else value.data.ptr


@functools.lru_cache(maxsize=16)
def _parts(xp, sizes):
    starts = ((i, start) for i, size in enumerate(sizes) for start in range(0, size, PART))
    return _on_the_gpu(xp, tuple(starts))


@functools.lru_cache(maxsize=16)
def _on_the_gpu(xp, rows):
    return xp.asarray(np.array(rows, np.int64))


PARTS = r"""
struct Part { const long long *row; long long first, end; };

// What this block has: values `first` up to `end` of the parameter of this row of the table. Rows
// have ROW columns; `parts` holds which row, and from which value on.
__device__ Part part_of(const long long *table, const long long *parts)
{
    const long long *row = table + ROW * parts[2 * blockIdx.x], first = parts[2 * blockIdx.x + 1];
    const long long end = first + PART < row[0] ? first + PART : row[0];
    const Part part = {row, first, end};
    return part;
}
"""
