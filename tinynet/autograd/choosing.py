"""Tensor's methods that choose elements: by a condition, by their order, by positions."""

import numpy as np

from tinynet import check
from tinynet.autograd import convert, inplace
from tinynet.autograd.reducing import ValuesAndIndices, taken
from tinynet.autograd.tape import Function
from tinynet.ops.elementwise import Where


class Choosing:
    """What Tensor inherits from here."""

    def where(self, condition, other):
        """The tensor where `condition` holds, `other` (a tensor or a number) elsewhere."""
        check.tensors("where", condition=condition)
        if condition.dtype.kind != "b":
            raise TypeError(
                f"where: condition must hold bools, got {condition.dtype}; compare first"
            )
        if condition.device != self.device:
            raise ValueError(
                f"where: condition is on {condition.device}, the tensor on {self.device}; move one"
            )
        a, b = convert.promote("where", self, other)
        check.broadcast("where", a.shape, b.shape)
        check.broadcast("where", np.broadcast_shapes(a.shape, b.shape), condition.shape)
        return Where.apply(a, b, condition=inplace.fresh(condition).array.copy())

    def masked_fill(self, mask, value):
        """`value`, a number, where `mask` holds, the tensor elsewhere."""
        check.tensors("masked_fill", mask=mask)
        filled = self.where(mask.logical_not(), value)
        if filled.dtype != self.dtype:
            raise TypeError(f"masked_fill: {value!r} does not fit a tensor of {self.dtype}")
        return filled

    def gather(self, dim, index):
        """y[i, j] = x[index[i, j], j] for dim 0, x[i, index[i, j]] for dim 1, and so on: `index`
        has x's number of axes, and no axis but `dim` is longer than x's."""
        return self[_places("gather", self, dim, index)]

    def scatter_(self, dim, index, src):
        """In place, x[index[i, j], j] = src[i, j] for dim 0, and so on as in `gather`; src: a
        number, or a tensor of the shape of `index`."""
        return inplace.overwrite(self, "scatter_", src, _places("scatter_", self, dim, index))

    def sort(self, dim=-1, descending=False, stable=False):
        """(values, indices) along `dim`, from the smallest up; equals keep their order, and a NaN
        is largest. descending: from the largest down."""
        indices = self.argsort(dim, descending)
        if not self.ndim:
            return ValuesAndIndices(self, indices)
        axis = self._one_dim("sort", dim)
        return ValuesAndIndices(taken(self, axis, indices), indices)

    def argsort(self, dim=-1, descending=False, stable=False):
        """The positions that `sort` gives."""
        check.choice("argsort", "descending", descending, (False, True))
        x = inplace.fresh(self).array
        if not self.ndim:
            return Function.tensor_type(np.zeros_like(x, dtype=np.int64))
        axis = self._one_dim("argsort", dim)
        if not descending:
            return Function.tensor_type(np.argsort(x, axis=axis, kind="stable"))
        # the last of the equals comes first in the reversed array, and turned round last again
        found = np.argsort(np.flip(x, axis), axis=axis, kind="stable")
        return Function.tensor_type(self.shape[axis] - 1 - np.flip(found, axis))

    def topk(self, k, dim=-1, largest=True, sorted=True):
        """(values, indices) of the k largest along `dim`, or smallest, in order."""
        check.choice("topk", "largest", largest, (False, True))
        size = self.shape[self._one_dim("topk", dim)] if self.ndim else 1
        if check.integer("topk", "k", k, least=0) > size:
            raise ValueError(f"topk: k must be at most {size}, the size of dim {dim}, got {k}")
        indices = self.argsort(dim, descending=largest)
        if not self.ndim:
            return ValuesAndIndices(self, indices)
        axis = self._one_dim("topk", dim)
        indices = indices[(slice(None),) * axis + (slice(k),)].clone()
        return ValuesAndIndices(taken(self, axis, indices), indices)


def _places(name, x, dim, index):
    """The elements that `gather` names, as an index."""
    check.tensors(name, index=index)
    axis = x._one_dim(name, dim)
    within = zip(index.shape, x.shape, strict=False)
    fits = all(n <= size or i == axis for i, (n, size) in enumerate(within))
    if index.ndim != x.ndim or not fits or index.dtype.kind not in "iu":
        raise ValueError(
            f"{name}: index must hold integers and lie within the shape {x.shape} but for "
            f"dim {dim}, got {index.dtype} of shape {index.shape}"
        )
    places = list(np.ogrid[tuple(map(slice, index.shape))])
    places[axis] = index
    return convert.index(x.array, tuple(places))
