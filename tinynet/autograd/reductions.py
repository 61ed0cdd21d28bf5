"""Sums, means and maxima over axes, and the Tensor methods that reach them.

`dim` is None (all axes), an axis or a tuple of axes, negative ones counted from the end.
"""

from typing import Any, NamedTuple

import numpy as np

from tinynet.autograd.elementwise import Sqrt
from tinynet.autograd.tape import Function
from tinynet.backend import array_module


def normalize_dims(name, dim, ndim):
    """`dim` as a sorted tuple of axes from 0 up; ValueError or TypeError for a wrong one."""
    if dim is None:
        return tuple(range(ndim))
    dims = tuple(dim) if isinstance(dim, tuple | list) else (dim,)
    axes = set()
    for axis in dims:
        if isinstance(axis, bool) or not hasattr(axis, "__index__"):
            raise TypeError(f"{name}: dim must be an int or a tuple of ints, got {dim!r}")
        axis = axis.__index__()
        if not -max(ndim, 1) <= axis < max(ndim, 1):
            raise ValueError(f"{name}: dim {axis} is out of range for a tensor of {ndim} axes")
        if axis % max(ndim, 1) in axes:
            raise ValueError(f"{name}: dim {axis} appears twice in {dim!r}")
        axes.add(axis % max(ndim, 1))
    return tuple(sorted(axes)) if ndim else ()


class _Reduction(Function):
    """An op over the axes `dim`, which are dropped or, with `keepdim`, kept with size 1."""

    def __init__(self, dim=None, keepdim=False):
        self.dim, self.keepdim = dim, keepdim

    def axes(self, x):
        self.dim = normalize_dims(self.name, self.dim, x.ndim)
        return self.dim

    def spread(self, y, like_shape):
        """A reduced array as a read-only view of the input's shape."""
        kept = tuple(1 if i in self.dim else size for i, size in enumerate(like_shape))
        return array_module(y).broadcast_to(y.reshape(kept), like_shape)


class Sum(_Reduction):
    """y = sum of x over dim;  gx = gy, repeated"""

    def forward(self, x):
        dtype = x.dtype if x.dtype.kind == "f" else np.int64  # of bools: how many
        return x.sum(axis=self.axes(x), keepdims=self.keepdim, dtype=dtype)

    def backward(self, gy):
        return self.spread(gy, self.input_shapes[0])


class Mean(_Reduction):
    """y = sum of x over dim / n;  gx = gy / n, repeated"""

    def forward(self, x):
        axes = self.axes(x)
        self.count = 1
        for axis in axes:
            self.count *= x.shape[axis]
        if self.count == 0:
            raise ValueError(f"Mean: no elements to average in a tensor of shape {x.shape}")
        return x.mean(axis=axes, keepdims=self.keepdim)

    def backward(self, gy):
        return self.spread(gy / self.count, self.input_shapes[0])


class Max(_Reduction):
    """y = max of x over dim;  gx = gy shared equally among the elements that attain it

    This is torch's rule for `x.max()` and `x.amax(dim)`. A NaN counts as largest.
    """

    method = "max"

    def forward(self, x):
        axes = self.axes(x)
        if x.size == 0:
            raise ValueError(f"{self.name}: a tensor of shape {x.shape} has no such element")
        y = getattr(x, self.method)(axis=axes, keepdims=self.keepdim)
        if any(self.needs):
            # x != x is true of a NaN only, and where there is one it is y
            self.save((x == self.spread(array_module(x).asarray(y), x.shape)) | (x != x))
        return y

    def backward(self, gy):
        (attains,) = self.saved
        count = attains.sum(axis=self.dim, keepdims=True)
        return attains * (self.spread(gy, attains.shape) / count.astype(gy.dtype))


class Min(Max):
    """y = min of x over dim;  gx = gy shared equally among the elements that attain it"""

    method = "min"


class Deviation(Sqrt):
    """y = sqrt(x);  gx = gy / (2 y), but 0 where y = 0: torch's rule for the std of equal values"""

    def backward(self, gy):
        (y,) = self.saved
        flat = y == 0
        return gy * ~flat / (2 * y + flat)


class Gather(Function):
    """y = x at the positions `index` along `dim`;  gx = gy at those positions, else 0

    Sizes: index has the shape of x but for `dim`; positions along it must differ.
    """

    def __init__(self, dim, index):
        self.dim, self.index = dim, index

    def forward(self, x):
        return array_module(x).take_along_axis(x, self.index, axis=self.dim)

    def backward(self, gy):
        xp = array_module(gy)
        gx = xp.zeros(self.input_shapes[0], dtype=gy.dtype)
        xp.put_along_axis(gx, self.index, gy, axis=self.dim)
        return gx


class ValuesAndIndices(NamedTuple):
    """What `x.max(dim)` returns, as torch does."""

    values: Any
    indices: Any


class ReductionMethods:
    """Tensor's reductions."""

    def sum(self, dim=None, keepdim=False):
        return Sum.apply(self, dim=dim, keepdim=keepdim)

    def mean(self, dim=None, keepdim=False):
        return Mean.apply(self.floating(), dim=dim, keepdim=keepdim)

    def var(self, dim=None, correction=1, keepdim=False):
        """Mean squared distance from the mean, in two passes; divided by n - correction."""
        axes = normalize_dims("var", dim, self.ndim)
        count = 1
        for axis in axes:
            count *= self.shape[axis]
        centred = self.floating() - self.mean(axes, keepdim=True)
        divisor = max(count - correction, 0)
        return (centred * centred).sum(axes, keepdim) / divisor

    def std(self, dim=None, correction=1, keepdim=False):
        """The square root of `var`; its gradient is 0 where all values are equal."""
        return Deviation.apply(self.var(dim, correction, keepdim))

    def amax(self, dim=None, keepdim=False):
        """The largest element; among equals the gradient is shared."""
        return Max.apply(self, dim=dim, keepdim=keepdim)

    def amin(self, dim=None, keepdim=False):
        """The smallest element; among equals the gradient is shared."""
        return Min.apply(self, dim=dim, keepdim=keepdim)

    def max(self, dim=None, keepdim=False):
        """`x.max()`: the largest element. `x.max(dim)`: (values, indices) along one axis, the
        gradient going to the first largest. `x.max(other)`: elementwise, as `maximum`."""
        return self._extreme("max", dim, keepdim)

    def min(self, dim=None, keepdim=False):
        """As `max`, for the smallest."""
        return self._extreme("min", dim, keepdim)

    def _extreme(self, name, dim, keepdim):
        if isinstance(dim, ReductionMethods):
            return self.maximum(dim) if name == "max" else self.minimum(dim)
        if dim is None:
            return self.amax() if name == "max" else self.amin()
        indices = getattr(self, "arg" + name)(dim, keepdim=True)
        if self.ndim == 0:
            return ValuesAndIndices(self, indices)
        (axis,) = normalize_dims(name, dim, self.ndim)
        values = Gather.apply(self, dim=axis, index=indices.array)
        if not keepdim:
            values, indices = values.squeeze(axis), indices.squeeze(axis)
        return ValuesAndIndices(values, indices)

    def argmax(self, dim=None, keepdim=False):
        """The position of the (first) largest element, in the flattened tensor without dim."""
        return self._argument("argmax", dim, keepdim)

    def argmin(self, dim=None, keepdim=False):
        return self._argument("argmin", dim, keepdim)

    def _argument(self, name, dim, keepdim):
        if self.array.size == 0:
            raise ValueError(f"{name}: a tensor of shape {self.shape} has no elements")
        if dim is not None:
            axes = normalize_dims(name, dim, self.ndim)
            if len(axes) > 1:
                raise ValueError(f"{name}: takes one axis, got {dim!r}")
            dim = axes[0] if axes else None
        xp = array_module(self.array)
        found = getattr(xp, name)(self.array, axis=dim, keepdims=keepdim)
        return type(self).constant(xp.asarray(found))
