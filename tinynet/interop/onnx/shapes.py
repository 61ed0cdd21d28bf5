"""The ops of ONNX that move elements and tell of shapes, as those in `ops`."""

import math

import numpy as np

import tinynet.nn.functional as F
from tinynet.autograd import Tensor, cat
from tinynet.interop.onnx.file import FLOATS, OTHERS
from tinynet.ops.shapes import Pad

MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}

ZERO = np.zeros(1, np.float32)


def integers(values):
    if not isinstance(values, np.ndarray):
        raise TypeError("shapes and axes must be integers that follow from sizes alone")
    return tuple(int(value) for value in values.reshape(-1))


def reshape(x, shape, *, allowzero=0):
    sizes = [
        x.shape[place] if size == 0 and not allowzero else size
        for place, size in enumerate(integers(shape))
    ]
    return x.reshape(sizes) if sizes else x.reshape(())


def flatten(x, *, axis=1):
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def transpose(x, *, perm=None):
    axes = tuple(reversed(range(x.ndim))) if perm is None else perm
    return x.permute(axes) if isinstance(x, Tensor) else x.transpose(axes)


def squeeze(x, given=None, *, axes=None):
    axes = axes if given is None else integers(given)
    if axes is None:
        axes = tuple(i for i, size in enumerate(x.shape) if size == 1)
    axes = {axis + x.ndim if axis < 0 else axis for axis in axes}
    if any(x.shape[axis] != 1 for axis in axes):
        raise ValueError(f"of the shape {x.shape} the axes {sorted(axes)} are to go")
    return x.reshape([size for i, size in enumerate(x.shape) if i not in axes] or ())


def unsqueeze(x, given=None, *, axes=None):
    axes = axes if given is None else integers(given)
    ndim = x.ndim + len(axes)
    axes, sizes = {axis + ndim if axis < 0 else axis for axis in axes}, iter(x.shape)
    return x.reshape([1 if i in axes else next(sizes) for i in range(ndim)])


def expand(x, shape, *, room):
    sizes = np.broadcast_shapes(x.shape, integers(shape))
    room(sizes)
    return x.expand(sizes) if isinstance(x, Tensor) else np.broadcast_to(x, sizes)


def concat(*xs, axis, room):
    sizes = list(xs[0].shape)
    sizes[axis] = sum(x.shape[axis] for x in xs)
    room(sizes)
    return cat(xs, axis) if isinstance(xs[0], Tensor) else np.concatenate(xs, axis)


def slice_(x, first=None, last=None, along=None, by=None, *, axes=None, ends=None, starts=None):
    if first is not None:
        starts, ends = integers(first), integers(last)
        axes = None if along is None else integers(along)
    axes = range(len(starts)) if axes is None else axes
    steps = (1,) * len(starts) if by is None else integers(by)
    cuts = [slice(None)] * x.ndim
    for axis, low, high, step in zip(axes, starts, ends, steps, strict=True):
        if step < 0 and high < -x.shape[axis]:
            high = None  # to the very first, which has no number before it
        cuts[axis] = slice(low, high, step)
    return x[tuple(cuts)]


def gather(x, places, *, axis=0, room):
    room((*x.shape[:axis], *places.shape, *x.shape[axis:][1:]))
    if isinstance(x, np.ndarray):
        return np.asarray(np.take(x, places, axis))
    axis = axis + x.ndim if axis < 0 else axis
    return x[(*[slice(None)] * axis, int(places) if places.ndim == 0 else places)]


def split(x, given=None, *, axis=0, num_outputs=0, split=None, outputs):
    lengths = split if given is None else integers(given)
    if lengths is None:
        each = -(-x.shape[axis] // outputs)
        lengths = [each] * (outputs - 1)
        lengths.append(x.shape[axis] - sum(lengths))
    return x.split(list(lengths), axis)


def pad(x, given=None, number=None, along=None, *, mode="constant", pads=None, value=0.0, room):
    pads = pads if given is None else integers(given)
    value = value if number is None else number.item()
    axes = range(x.ndim) if along is None else integers(along)
    around = [(0, 0)] * x.ndim
    for axis, before, after in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        around[axis] = before, after
    if mode not in MODES or min(pads, default=0) < 0:
        raise ValueError(f"its mode is {mode!r:.40} and its pads {pads!s:.80}")
    room([size + sum(extra) for size, extra in zip(x.shape, around, strict=True)])
    if mode == "constant":
        return Pad.apply(x, sides=tuple(around), value=value)
    return F.pad(x, [side for extra in reversed(around) for side in extra], MODES[mode])


def shape(x, *, end=2**31, start=0):
    return np.array(x.shape[start:end], np.int64)


def cast(x, *, saturate=1, to):
    if to in FLOATS:  # half precision is computed in float32
        dtype = np.float64 if FLOATS[to] == "<f8" else np.float32
        return x.to(dtype) if isinstance(x, Tensor) else Tensor(x.astype(dtype))
    if to not in OTHERS:
        raise ValueError(f"casts to type {to}, which no Tensor has")
    return (x.detach().numpy() if isinstance(x, Tensor) else x).astype(OTHERS[to])


def constant_of_shape(sizes, *, value=ZERO, room):
    room(integers(sizes))
    full = np.full(integers(sizes), value.item(), value.dtype)
    return Tensor(full) if full.dtype.kind == "f" else full


def where(condition, a, b, *, room):
    room(np.broadcast_shapes(condition.shape, a.shape, b.shape))
    if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray):
        raise TypeError("Where chooses between integers only")
    return np.where(condition, a, b)


SHAPES = {
    "Cast": cast,
    "Concat": concat,
    "ConstantOfShape": constant_of_shape,
    "Expand": expand,
    "Flatten": flatten,
    "Gather": gather,
    "Identity": lambda x: x,
    "Pad": pad,
    "Reshape": reshape,
    "Shape": shape,
    "Slice": slice_,
    "Split": split,
    "Squeeze": squeeze,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
    "Where": where,
}
