"""Tensor's reductions. dim: None (all axes), an axis or a tuple of axes; axis and keepdims, NumPy's
names of the arguments, are taken too."""

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from tinynet import check
from tinynet.autograd import convert, inplace
from tinynet.autograd.tape import Function
from tinynet.ops import reductions as r


class ValuesAndIndices(NamedTuple):
    """What `x.max(dim)` returns, as torch does."""

    values: Any
    indices: Any


def taken(x, axis, indices):
    """The elements at `indices` along `axis`."""
    return r.Gather.apply(x, dim=axis, index=indices.array.copy())  # the user gets the other


def _numpys_names(method):
    """A method that takes `axis` for `dim` and `keepdims` for `keepdim`, as torch's do."""

    @functools.wraps(method)
    def either(self, *args, **kwargs):
        for theirs, ours in (("axis", "dim"), ("keepdims", "keepdim")):
            if theirs in kwargs:
                if ours in kwargs:
                    raise TypeError(f"{method.__name__}: {theirs} and {ours} are one; give one")
                kwargs[ours] = kwargs.pop(theirs)
        return method(self, *args, **kwargs)

    return either


class Reducing:
    """What Tensor inherits from here."""

    @_numpys_names
    def sum(self, dim=None, keepdim=False):
        axes, keepdim = self._axes("sum", dim, keepdim)
        return r.Sum.apply(self, dim=axes, keepdim=keepdim)

    @_numpys_names
    def mean(self, dim=None, keepdim=False):
        axes, keepdim = self._some("mean", dim, keepdim)
        return r.Mean.apply(self.floating(), dim=axes, keepdim=keepdim)

    @_numpys_names
    def var(self, dim=None, correction=None, keepdim=False, *, unbiased=None):
        """Mean squared distance from the mean, in two passes; divided by n - correction (1 if not
        given). unbiased=False, torch's older word, is correction=0."""
        axes, keepdim = self._some("var", dim, keepdim)
        correction = convert.correction("var", correction, unbiased)
        count = math.prod(self.shape[axis] for axis in axes)
        centred = self.floating() - self.mean(axes, keepdim=True)
        return (centred * centred).sum(axes, keepdim) / max(count - correction, 0)

    @_numpys_names
    def std(self, dim=None, correction=None, keepdim=False, *, unbiased=None):
        """The square root of `var`; its gradient is 0 where all values are equal."""
        return r.Deviation.apply(self.var(dim, correction, keepdim, unbiased=unbiased))

    @_numpys_names
    def amax(self, dim=None, keepdim=False):
        """The largest element; among equals the gradient is shared."""
        axes, keepdim = self._some("amax", dim, keepdim)
        return r.Max.apply(self, dim=axes, keepdim=keepdim)

    @_numpys_names
    def amin(self, dim=None, keepdim=False):
        """The smallest element; among equals the gradient is shared."""
        axes, keepdim = self._some("amin", dim, keepdim)
        return r.Min.apply(self, dim=axes, keepdim=keepdim)

    @_numpys_names
    def max(self, dim=None, keepdim=False):
        """`x.max()`: the largest element. `x.max(dim)`: (values, indices) along one axis, the
        gradient going to the first largest. `x.max(other)`: elementwise, as `maximum`."""
        if isinstance(dim, Function.tensor_type):
            return self.maximum(dim)
        return self.amax() if dim is None else self._extreme("max", dim, keepdim)

    @_numpys_names
    def min(self, dim=None, keepdim=False):
        """As `max`, for the smallest."""
        if isinstance(dim, Function.tensor_type):
            return self.minimum(dim)
        return self.amin() if dim is None else self._extreme("min", dim, keepdim)

    @_numpys_names
    def argmax(self, dim=None, keepdim=False):
        """The position of the (first) largest element, in the flattened tensor without dim."""
        return self._argument("argmax", dim, keepdim)

    @_numpys_names
    def argmin(self, dim=None, keepdim=False):
        return self._argument("argmin", dim, keepdim)

    @_numpys_names
    def norm(self, p=2, dim=None, keepdim=False):
        """sum(|x|**p)**(1/p) for p of 1, 2 or infinity; 'fro' is 2. The gradient is 0 at norm 0."""
        check.choice(
            "norm", "p", float(p) if isinstance(p, int) else p, (1.0, 2.0, math.inf, "fro")
        )
        x = self.floating()
        if p in (2, "fro"):
            return r.Deviation.apply((x * x).sum(dim, keepdim))
        return abs(x).sum(dim, keepdim) if p == 1 else abs(x).amax(dim, keepdim)

    @_numpys_names
    def any(self, dim=None, keepdim=False):
        """Whether an element is true, or not 0."""
        return self._truth("any", np.any, dim, keepdim)

    @_numpys_names
    def all(self, dim=None, keepdim=False):
        """Whether every element is true, or not 0."""
        return self._truth("all", np.all, dim, keepdim)

    # what several of them ask

    def _truth(self, name, function, dim, keepdim):
        axes, keepdim = self._axes(name, dim, keepdim)
        found = function(inplace.fresh(self).array, axis=axes, keepdims=keepdim)
        return Function.tensor_type(found)

    def _axes(self, name, dim, keepdim):
        """What a reduction is given: `dim` as a tuple of axes, and `keepdim`."""
        check.choice(name, "keepdim", keepdim, (False, True))
        return check.dims(name, dim, self.ndim), keepdim

    def _some(self, name, dim, keepdim):
        """The same, where there must be something to reduce."""
        axes, keepdim = self._axes(name, dim, keepdim)
        if 0 in [self.shape[axis] for axis in axes]:
            raise ValueError(f"{name}: a tensor of shape {self.shape} has no elements along {dim}")
        return axes, keepdim

    def _argument(self, name, dim, keepdim):
        if dim is not None and self.ndim:
            dim = self._one_dim(name, dim)
        self._some(name, dim, keepdim)
        function = np.argmax if name in ("argmax", "max") else np.argmin
        axis = dim if self.ndim else None
        found = function(inplace.fresh(self).array, axis=axis, keepdims=keepdim)
        return Function.tensor_type(found)

    def _extreme(self, name, dim, keepdim):
        check.choice(name, "keepdim", keepdim, (False, True))
        indices = self._argument(name, dim, keepdim=True)
        if self.ndim == 0:
            return ValuesAndIndices(self, indices)
        axis = self._one_dim(name, dim)
        values = taken(self, axis, indices)
        if not keepdim:
            values, indices = values.squeeze(axis), indices.squeeze(axis)
        return ValuesAndIndices(values, indices)
