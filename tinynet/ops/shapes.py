"""Ops that move elements and change none. Those that NumPy can do without copying give views."""

import numpy as np

from tinynet.autograd.tape import Function, unbroadcast
from tinynet.backend import array_module


class Reshape(Function):
    rule = {"y": "x, read row by row, in another shape", "gx": "gy in the shape of x"}
    is_view = True

    def __init__(self, shape):
        self.shape = shape

    def forward(self, x):
        return x.reshape(self.shape)

    def backward(self, gy):
        return gy.reshape(self.input_shapes[0])


class Permute(Function):
    rule = {"y": "x with its axes in another order", "gx": "gy with its axes in the order of x"}
    is_view = True

    def __init__(self, dims):
        self.dims = dims

    def forward(self, x):
        return x.transpose(self.dims)

    def backward(self, gy):
        return gy.transpose(np.argsort(self.dims).tolist())


class Expand(Function):
    rule = {"y": "x repeated along axes of size 1", "gx": "gy summed over the repeats"}
    is_view = True

    def __init__(self, shape):
        self.shape = shape

    def forward(self, x):
        return np.broadcast_to(x, self.shape)

    def backward(self, gy):
        return unbroadcast(gy, self.input_shapes[0])


class Index(Function):
    """Args: index: a tuple of integers, slices, None, ... and arrays."""

    rule = {"y": "x[index]", "gx": "zeros, with gy added at index"}
    where = "an element that index names several times gets the sum"

    def __init__(self, index):
        self.index = index
        self.is_view = all(isinstance(part, slice | int | type(None) | type(...)) for part in index)

    def forward(self, x):
        # of integers alone NumPy would make a number, which is no view
        return x[(*self.index, ...)] if self.is_view and ... not in self.index else x[self.index]

    def backward(self, gy):
        gx = np.zeros_like(gy, shape=self.input_shapes[0])
        if self.is_view:
            gx[self.index] = gy
        else:
            array_module(gx).add.at(gx, self.index, gy)
        return gx


class Concatenate(Function):
    rule = {"y": "xs[0], xs[1], ... joined along dim", "gxs[i]": "the part of gy made from xs[i]"}

    def __init__(self, dim):
        self.dim = dim

    def forward(self, *xs):
        return np.concatenate(xs, axis=self.dim)

    def backward(self, gy):
        ends = np.cumsum([shape[self.dim] for shape in self.input_shapes])[:-1].tolist()
        return tuple(np.split(gy, ends, axis=self.dim))


class Pad(Function):
    """Args: sides: (before, after) for each of the last axes, from 0 up. value: of the border."""

    rule = {"y": "x inside a border of value", "gx": "gy without the border"}

    def __init__(self, sides, value=0.0):
        self.sides, self.value = sides, value

    def forward(self, x):
        sides = ((0, 0),) * (x.ndim - len(self.sides)) + self.sides
        self.inside = tuple(slice(a, a + size) for size, (a, _) in zip(x.shape, sides, strict=True))
        return np.pad(x, sides, constant_values=self.value)

    def backward(self, gy):
        return gy[self.inside]


class Write(Function):
    """What an in-place change of a view means for the tensor that it is a view of: `x`, into whose
    memory the values `v` of the view have been written already. Args: positions: of the view's
    elements in x, read row by row."""

    rule = {"y": "x with v in a part of it", "gx": "gy, 0 in that part", "gv": "gy in that part"}

    def __init__(self, positions):
        self.positions = positions

    def forward(self, x, v):
        return x

    def backward(self, gy):
        row = gy.reshape(-1).copy()
        gv = row[self.positions]
        row[self.positions] = 0
        return row.reshape(gy.shape), gv
