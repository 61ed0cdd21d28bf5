"""Tensor's shapes: other sizes, another order of the axes, parts."""

import math

import numpy as np

from tinynet import check
from tinynet.autograd import convert
from tinynet.ops import shapes as s


class Shaping:
    """What Tensor inherits from here."""

    def reshape(self, *shape):
        sizes = check.sizes("reshape", shape, least=-1)
        return s.Reshape.apply(self, shape=convert.filled_in(sizes, self.shape))

    view = reshape

    def flatten(self, start_dim=0, end_dim=-1):
        """Axes start_dim to end_dim (both included) as one."""
        if self.ndim == 0:
            return self.reshape(1)
        first, last = self._one_dim("flatten", start_dim), self._one_dim("flatten", end_dim)
        if first > last:
            raise ValueError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
        merged = math.prod(self.shape[first : last + 1])
        return self.reshape(*self.shape[:first], merged, *self.shape[last + 1 :])

    def permute(self, *dims):
        dims = check.sizes("permute", dims)
        axes = [d + self.ndim if d < 0 else d for d in dims]
        if sorted(axes) != list(range(self.ndim)):
            raise ValueError(
                f"permute: dims must name each of the {self.ndim} axes once, got {dims}"
            )
        return s.Permute.apply(self, dims=tuple(axes))

    def transpose(self, dim0, dim1):
        dims = list(range(self.ndim))
        if dims:
            i, j = self._one_dim("transpose", dim0), self._one_dim("transpose", dim1)
            dims[i], dims[j] = dims[j], dims[i]
        return self.permute(*dims)

    def t(self):
        if self.ndim > 2:
            raise ValueError(f"t: takes at most 2 axes, got shape {self.shape}; use transpose")
        return self.transpose(0, 1) if self.ndim == 2 else self

    T = property(t)

    def squeeze(self, dim=None):
        """Without the axes of size 1 (all of them, or those of `dim`)."""
        axes = check.dims("squeeze", dim, self.ndim)
        kept = [size for i, size in enumerate(self.shape) if i not in axes or size != 1]
        return self.reshape(tuple(kept))

    def unsqueeze(self, dim):
        (axis,) = check.dims("unsqueeze", check.integer("unsqueeze", "dim", dim), self.ndim + 1)
        return self.reshape(*self.shape[:axis], 1, *self.shape[axis:])

    def expand(self, *sizes):
        sizes = check.sizes("expand", sizes, least=-1)
        shape = convert.grown(sizes, self.shape)
        # nothing repeated: still a view that may be changed in place
        return (s.Reshape if math.prod(shape) == self.numel() else s.Expand).apply(
            self, shape=shape
        )

    def expand_as(self, other):
        check.tensors("expand_as", other=other)
        return self.expand(other.shape)

    def view_as(self, other):
        check.tensors("view_as", other=other)
        return self.reshape(other.shape)

    def split(self, split_size, dim=0):
        """A tuple of consecutive parts of axis `dim`: all of one length (the last may be shorter),
        or of the lengths of a list."""
        axis = self._one_dim("split", dim)
        total, before = self.shape[axis], (slice(None),) * axis
        if isinstance(split_size, tuple | list):
            lengths = check.sizes("split", (split_size,), least=0)
        else:
            step = check.integer("split", "split_size", split_size, least=1)
            lengths = [min(step, total - first) for first in range(0, total, step)] or [0]
        if sum(lengths) != total:
            raise ValueError(f"split: lengths {lengths} do not make up axis {dim} of {total}")
        ends = np.cumsum(lengths).tolist()
        parts = [(*before, slice(end - n, end)) for n, end in zip(lengths, ends, strict=True)]
        return tuple(self[part] for part in parts)

    def chunk(self, chunks, dim=0):
        """At most `chunks` consecutive parts of axis `dim`, all but the last equally long."""
        chunks, axis = check.integer("chunk", "chunks", chunks, 1), self._one_dim("chunk", dim)
        return self.split(max(1, -(-self.shape[axis] // chunks)), dim)

    def __getitem__(self, index):
        index = convert.index(self.array, index)
        try:
            return s.Index.apply(self, index=index)
        except (IndexError, TypeError, ValueError) as error:
            raise type(error)(f"index: {error} (the tensor has shape {self.shape})") from None

    def flip(self, *axes, dims=()):
        """A copy with the elements of these axes in the opposite order; `dims` names them too."""
        axes = check.dims("flip", check.sizes("flip", axes or (dims,)), self.ndim)
        back = [slice(None, None, -1 if axis in axes else None) for axis in range(self.ndim)]
        return self[tuple(back)].clone()

    def repeat(self, *sizes):
        """A copy that has each axis so many times, one after the other; new axes come first."""
        sizes = check.sizes("repeat", sizes, least=0)
        new = len(sizes) - self.ndim
        if new < 0:
            raise ValueError(f"repeat: needs a number for each axis of {self.shape}, got {sizes}")
        old = (1,) * new + self.shape
        pairs = (
            [n for size in old for n in (1, size)],
            [n for pair in zip(sizes, old, strict=True) for n in pair],
        )
        return (
            self.reshape(pairs[0])
            .expand(pairs[1])
            .clone()
            .reshape([a * b for a, b in zip(sizes, old, strict=True)])
        )

    def _one_dim(self, name, dim):
        axes = check.dims(name, check.integer(name, "dim", dim), self.ndim)
        if not axes:
            raise ValueError(f"{name}: a tensor of 0 axes has no dim {dim}")
        return axes[0]
