"""Sums, means and maxima over the axes `dim` (a tuple), which are dropped or kept with size 1."""

import numpy as np

from tinynet.autograd.tape import Function
from tinynet.ops.elementwise import Sqrt


class Sum(Function):
    rule = {"y": "sum of x over dim", "gx": "gy, repeated over dim"}

    def __init__(self, dim, keepdim=False):
        self.dim, self.keepdim = dim, keepdim

    def forward(self, x):
        dtype = x.dtype if x.dtype.kind == "f" else np.int64  # of bools: how many
        return x.sum(axis=self.dim, keepdims=self.keepdim, dtype=dtype)

    def backward(self, gy):
        return self.repeat(gy, self.input_shapes[0])

    def repeat(self, y, shape):
        """A reduced array as a read-only view of the input's shape."""
        kept = tuple(1 if i in self.dim else size for i, size in enumerate(shape))
        return np.broadcast_to(y.reshape(kept), shape)


class Mean(Sum):
    rule = {"y": "(sum of x over dim) / n", "gx": "gy / n, repeated over dim"}
    where = "n: the number of elements in each mean"

    def forward(self, x):
        return x.mean(axis=self.dim, keepdims=self.keepdim)

    def backward(self, gy):
        n = np.prod([self.input_shapes[0][axis] for axis in self.dim], dtype=int).item()
        return self.repeat(gy / n, self.input_shapes[0])


class Max(Sum):
    """This is torch's rule for `x.max()` and `x.amax(dim)`."""

    rule = {"y": "max of x over dim", "gx": "gy / m where x = y, 0 elsewhere"}
    where = "m: the number of elements that attain y; a NaN counts as largest"
    method = np.max

    def forward(self, x):
        y = type(self).method(x, axis=self.dim, keepdims=self.keepdim)
        if self.needs[0]:
            # x != x is true of a NaN only, and where there is one it is y
            self.save((x == self.repeat(y, x.shape)) | (x != x))
        return y

    def backward(self, gy):
        (attains,) = self.saved
        m = attains.sum(axis=self.dim, keepdims=True)
        return np.where(attains, self.repeat(gy, attains.shape) / m.astype(gy.dtype), 0)


class Min(Max):
    rule = {"y": "min of x over dim", "gx": "gy / m where x = y, 0 elsewhere"}
    where = "m: the number of elements that attain y; a NaN counts as smallest"
    method = np.min


class Deviation(Sqrt):
    rule = {"y": "sqrt(x)", "gx": "gy / (2 y), 0 where y = 0"}
    where = "0 is torch's gradient of the std of equal values"

    def backward(self, gy):
        (y,) = self.saved
        return np.where(y == 0, 0, gy / (2 * y))


class Gather(Function):
    """Args: dim: an axis. index: has the shape of x but for `dim`; positions along it differ."""

    rule = {"y": "x at the positions index along dim", "gx": "gy at those positions, 0 elsewhere"}

    def __init__(self, dim, index):
        self.dim, self.index = dim, index

    def forward(self, x):
        return np.take_along_axis(x, self.index, self.dim)

    def backward(self, gy):
        gx = np.zeros_like(gy, shape=self.input_shapes[0])
        np.put_along_axis(gx, self.index, gy, self.dim)
        return gx
