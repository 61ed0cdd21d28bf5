"""Between the axes that a user sees, (N, C, H, W), and the memory, (C, H, W, N), on CPU and GPU.

All views are free when the memory is laid out so already; an op that gets another layout (a user's
plain NCHW array) copies once.
"""

import numpy as np

from tinynet import backend


def channels_first(x):
    """(N, C, H, W) in any layout -> (C, H, W, N), contiguous."""
    x = x.transpose(1, 2, 3, 0)
    return x if x.flags.c_contiguous else x.copy()


def batch_first(y):
    """(C, H, W, N) -> (N, C, H, W), a view: what the user sees."""
    return y.transpose(3, 0, 1, 2)


def in_memory(x):
    """`x` as one row, in the order of its memory, where that is without gaps; else None."""
    if x.ndim == 4 and not x.flags.c_contiguous:
        x = x.transpose(1, 2, 3, 0)
    return x.reshape(x.size) if x.flags.c_contiguous else None


def like(row, x):
    """A row of values in the order of x's memory, with x's axes."""
    if x.flags.c_contiguous:
        return row.reshape(x.shape)
    N, C, H, W = x.shape
    return batch_first(row.reshape(C, H, W, N))


def lie_alike(a, b):
    """Whether the elements of two arrays of one shape follow in the same order in their memory."""
    return [s // a.itemsize for s in a.strides] == [s // b.itemsize for s in b.strides]


def empty_like(x, shape):
    """An array of this shape, of x's dtype and on its device, with whatever its memory holds."""
    if type(x) is np.ndarray:
        return backend.empty(shape, x.dtype)
    return backend.array_module(x).empty(shape, x.dtype)


def is_float(*arrays):
    """Whether all arrays have one floating dtype and some elements; None stands for no array."""
    dtype = arrays[0].dtype
    if dtype.kind != "f" or arrays[0].size == 0:
        return False
    for array in arrays:  # noqa: SIM110 (all() costs a generator at every call)
        if array is not None and array.dtype != dtype:
            return False
    return True
