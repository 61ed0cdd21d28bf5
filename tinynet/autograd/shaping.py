"""Ops that move elements and change none, and the Tensor methods that reach them."""

import functools

import numpy as np

from tinynet.autograd.conversion import promote_dtypes
from tinynet.autograd.reductions import normalize_dims
from tinynet.autograd.tape import Function, unbroadcast
from tinynet.backend import array_module


def check_sizes(name, sizes):
    """`f(2, 3)` and `f((2, 3))` alike, as a tuple of ints."""
    if len(sizes) == 1 and isinstance(sizes[0], tuple | list):
        sizes = sizes[0]
    for size in sizes:
        if isinstance(size, bool) or not hasattr(size, "__index__"):
            raise TypeError(f"{name}: sizes must be integers, got {tuple(sizes)!r}")
    return tuple(size.__index__() for size in sizes)


class Reshape(Function):
    """y = x with its elements, read row by row, in another shape;  gx = gy reshaped back"""

    def __init__(self, shape):
        self.shape = shape

    def forward(self, x):
        known = 1
        for size in self.shape:
            known *= size if size != -1 else 1
        unknown = self.shape.count(-1)
        fits = known == x.size if not unknown else known and x.size % known == 0
        if not fits or unknown > 1 or min(self.shape, default=0) < -1:
            raise ValueError(
                f"Reshape: a tensor of shape {x.shape} ({x.size} elements) does not fit "
                f"the shape {self.shape}; at most one size may be -1"
            )
        return x.reshape(self.shape)

    def backward(self, gy):
        return gy.reshape(self.input_shapes[0])


class Permute(Function):
    """y = x with its axes in another order (a view);  gx = gy with the order undone"""

    def __init__(self, dims):
        self.dims = dims

    def forward(self, x):
        axes = [axis % x.ndim for axis in self.dims if -x.ndim <= axis < x.ndim]
        if sorted(axes) != list(range(x.ndim)) or len(self.dims) != x.ndim:
            raise ValueError(
                f"Permute: dims must name each of the {x.ndim} axes once, got {self.dims}"
            )
        self.dims = tuple(axes)
        return x.transpose(axes)

    def backward(self, gy):
        return gy.transpose(np.argsort(self.dims).tolist())


class Expand(Function):
    """y = x repeated along axes of size 1 (a view);  gx = gy summed over the repeats"""

    def __init__(self, shape):
        self.shape = shape

    def forward(self, x):
        extra = len(self.shape) - x.ndim
        sizes = [
            x.shape[i - extra] if size == -1 and i >= extra else size
            for i, size in enumerate(self.shape)
        ]
        try:
            if min(sizes, default=0) < 0:  # CuPy would take it
                raise ValueError
            return array_module(x).broadcast_to(x, sizes)
        except ValueError:
            raise ValueError(
                f"Expand: a tensor of shape {x.shape} does not expand to {self.shape}; "
                "only axes of size 1 grow"
            ) from None

    def backward(self, gy):
        return unbroadcast(gy, self.input_shapes[0])


def index_for(x, index):
    """A user's `index` as a tuple for the array `x`: no Tensors in it, arrays on x's device.

    CuPy lets positions beyond the end start again at the other one, so an index is shown to NumPy
    here, unless a Tensor on the GPU is part of it: the CPU would have to wait for the GPU.
    """
    parts = index if isinstance(index, tuple) else (index,)
    parts = tuple(getattr(part, "array", part) for part in parts)
    xp = array_module(x)
    if xp is np:
        return parts
    if not any(isinstance(part, xp.ndarray) for part in parts):
        np.broadcast_to(np.False_, x.shape)[parts]
    return tuple(xp.asarray(part) if isinstance(part, np.ndarray) else part for part in parts)


class Index(Function):
    """y = x[index];  gx = 0, with gy added at index (several times where index repeats)"""

    def __init__(self, index):
        self.index = index

    def forward(self, x):
        try:
            self.index = index_for(x, self.index)
            return array_module(x).asarray(x[self.index])
        except IndexError as error:
            raise IndexError(f"Index: {error} (the tensor has shape {x.shape})") from None

    def backward(self, gy):
        xp = array_module(gy)
        gx = xp.zeros(self.input_shapes[0], dtype=gy.dtype)
        if all(isinstance(part, slice | int | type(None) | type(...)) for part in self.index):
            gx[self.index] = gy
        elif xp is np:  # an index array may name an element twice
            np.add.at(gx, self.index, gy)
        else:
            _add_in_order(gx, self.index, gy)
        return gx


def _add_in_order(gx, index, gy):
    """gx[index] += gy with all repeats of an element, in the order in which they come in gy.

    CuPy's add.at adds in the order in which threads arrive: the last digits differ from run to
    run. Here all first additions come before all second ones, and so on.
    """
    xp = array_module(gx)
    positions = xp.arange(gx.size).reshape(gx.shape)[index].ravel()
    order = xp.argsort(positions, kind="stable")
    positions, values = positions[order], gy.ravel()[order]
    repeat = xp.arange(positions.size) - xp.searchsorted(positions, positions)
    flat = gx.reshape(-1)
    for number in range(int(repeat.max()) + 1 if repeat.size else 0):
        now = repeat == number
        flat[positions[now]] += values[now]


class Concatenate(Function):
    """y = the inputs one after the other along dim;  each gx = its slice of gy"""

    def __init__(self, dim):
        self.dim = dim

    def forward(self, *xs):
        if xs[0].ndim == 0:
            raise ValueError("cat: tensors of 0 axes cannot be joined; use stack")
        (self.dim,) = normalize_dims("cat", self.dim, xs[0].ndim)
        for x in xs:
            same = x.ndim == xs[0].ndim and all(
                a == b or i == self.dim
                for i, (a, b) in enumerate(zip(x.shape, xs[0].shape, strict=True))
            )
            if not same:
                raise ValueError(
                    f"cat: shapes {xs[0].shape} and {x.shape} may differ in axis {self.dim} only"
                )
        return array_module(xs[0]).concatenate(xs, axis=self.dim)

    def backward(self, gy):
        ends = np.cumsum([shape[self.dim] for shape in self.input_shapes])[:-1].tolist()
        return tuple(array_module(gy).split(gy, ends, axis=self.dim))


class ShapeMethods:
    """Tensor's shape methods. `view` is `reshape`: it copies where the memory demands it."""

    def reshape(self, *shape):
        return Reshape.apply(self, shape=check_sizes("reshape", shape))

    view = reshape

    def flatten(self, start_dim=0, end_dim=-1):
        """Axes start_dim to end_dim (both included) as one."""
        if self.ndim == 0:
            return self.reshape(1)
        (first,) = normalize_dims("flatten", start_dim, self.ndim)
        (last,) = normalize_dims("flatten", end_dim, self.ndim)
        if first > last:
            raise ValueError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
        merged = 1
        for size in self.shape[first : last + 1]:
            merged *= size
        return self.reshape(*self.shape[:first], merged, *self.shape[last + 1 :])

    def permute(self, *dims):
        return Permute.apply(self, dims=check_sizes("permute", dims))

    def transpose(self, dim0, dim1):
        if self.ndim == 0:
            return self.permute()
        (first,) = normalize_dims("transpose", dim0, self.ndim)
        (second,) = normalize_dims("transpose", dim1, self.ndim)
        dims = list(range(self.ndim))
        dims[first], dims[second] = dims[second], dims[first]
        return self.permute(*dims)

    def t(self):
        if self.ndim > 2:
            raise ValueError(f"t: takes at most 2 axes, got shape {self.shape}; use transpose")
        return self.transpose(0, 1) if self.ndim == 2 else self

    T = property(t)

    def squeeze(self, dim=None):
        """Without the axes of size 1 (all of them, or those of `dim`)."""
        axes = normalize_dims("squeeze", dim, self.ndim)
        return self.reshape(
            tuple(size for i, size in enumerate(self.shape) if i not in axes or size != 1)
        )

    def unsqueeze(self, dim):
        (axis,) = normalize_dims("unsqueeze", dim, self.ndim + 1)
        return self.reshape(*self.shape[:axis], 1, *self.shape[axis:])

    def expand(self, *sizes):
        return Expand.apply(self, shape=check_sizes("expand", sizes))

    def expand_as(self, other):
        return self.expand(other.shape)

    def view_as(self, other):
        return self.reshape(other.shape)

    def split(self, split_size, dim=0):
        """A tuple of consecutive parts of axis `dim`: all of one length (the last may be shorter),
        or of the lengths of a list."""
        (axis,) = normalize_dims("split", dim, self.ndim)
        total = self.shape[axis]
        if isinstance(split_size, tuple | list):
            sizes = check_sizes("split", split_size)
        elif split_size > 0:
            sizes = [min(split_size, total - first) for first in range(0, total, split_size)]
        else:
            raise ValueError(f"split: split_size must be at least 1, got {split_size}")
        if sum(sizes) != total or min(sizes, default=0) < 0:
            raise ValueError(f"split: lengths {tuple(sizes)} do not make up axis {dim} of {total}")
        ends = np.cumsum(sizes).tolist()
        before = (slice(None),) * axis
        return tuple(
            self[(*before, slice(end - size, end))] for size, end in zip(sizes, ends, strict=True)
        )

    def chunk(self, chunks, dim=0):
        """At most `chunks` consecutive parts of axis `dim`, all but the last equally long."""
        if not isinstance(chunks, int) or chunks < 1:
            raise ValueError(f"chunk: chunks must be an integer from 1 up, got {chunks!r}")
        (axis,) = normalize_dims("chunk", dim, self.ndim)
        return self.split(max(1, -(-self.shape[axis] // chunks)), dim)

    def contiguous(self):
        """The tensor itself: every op takes any memory layout (kept for torch code)."""
        return self

    def __getitem__(self, index):
        return Index.apply(self, index=index)

    def __iter__(self):
        if self.ndim == 0:
            raise TypeError("a tensor of 0 axes cannot be iterated over")
        return (self[i] for i in range(len(self)))


def cat(tensors, dim=0):
    """The tensors, alike but for axis `dim`, one after the other along it."""
    tensors = _tensors("cat", tensors)
    dtype = functools.reduce(promote_dtypes, [tensor.dtype for tensor in tensors])
    return Concatenate.apply(*[tensor.to(dtype=dtype) for tensor in tensors], dim=dim)


def stack(tensors, dim=0):
    """The tensors, all of one shape, side by side along a new axis `dim`."""
    tensors = _tensors("stack", tensors)
    for tensor in tensors:
        if tensor.shape != tensors[0].shape:
            raise ValueError(
                f"stack: all tensors must have one shape, got {tensors[0].shape} and {tensor.shape}"
            )
    return cat([tensor.unsqueeze(dim) for tensor in tensors], dim)


def _tensors(name, tensors):
    tensors = list(tensors)
    if not tensors:
        raise ValueError(f"{name}: expected at least one tensor, got none")
    for position, tensor in enumerate(tensors):
        if not isinstance(tensor, ShapeMethods):
            raise TypeError(
                f"{name}: expected Tensors, got {type(tensor).__name__} at position {position}"
            )
    return tensors
