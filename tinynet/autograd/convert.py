"""What a user gives, as arrays: numbers, nested lists, dtypes, indices, shapes with a -1."""

import math
import operator

import numpy as np

from tinynet import backend, check
from tinynet.autograd.tape import Function

NUMBERS = (bool, int, float, np.bool_, np.integer, np.floating)
RANKS = {"b": 0, "i": 1, "u": 1, "f": 2}  # bool < integer < floating: decides when dtypes meet
REFLECTED = {
    "+": "__radd__",
    "-": "__rsub__",
    "*": "__rmul__",
    "/": "__rtruediv__",
    "%": "__rmod__",
    "**": "__rpow__",
    "@": "__rmatmul__",
    "&": "__rand__",
    "|": "__ror__",
    "^": "__rxor__",
    "<": "__gt__",
    "<=": "__ge__",
    ">": "__lt__",
    ">=": "__le__",
}


def promote(name, tensor, other, floating=False):
    """`tensor` and `other` (Tensor, array, number) in the dtype torch computes them in.

    Numbers and 0-axis tensors bend to the other side's dtype unless they are of a higher
    kind (bool < integer < float); integers meet floats in the floats' dtype.
    NotImplemented for another class's object that may know better. `floating`: integers
    become float32.
    """
    new = Function.tensor_type
    if isinstance(other, NUMBERS):
        value = number(name, other, tensor.dtype)
        if tensor.device != "cpu":  # a number given to a kernel: nothing is copied to the GPU
            value = backend.array_module(tensor.array).full((), value.item(), value.dtype)
        other = new(value)
    elif backend.is_array(other):
        array = check.array(name, "the other side", other)
        other = new(backend.to_device(array, tensor.device).copy())
    elif not isinstance(other, new):
        knows = type(other).__module__ != "builtins" and hasattr(other, REFLECTED.get(name, ""))
        if name in ("==", "!=") or knows:
            return NotImplemented
        raise TypeError(
            f"{name}: expected a Tensor, an array or a number, got {type(other).__name__}"
        )
    if other.device != tensor.device:
        raise ValueError(
            f"{name}: one side is on {tensor.device}, the other on {other.device}; "
            "move one of them with .to()"
        )
    a, b = tensor, other
    if a.dtype != b.dtype:
        common = _common_dtype(a.array, b.array)
        a, b = a.to(common), b.to(common)
    return (a.floating(), b.floating()) if floating else (a, b)


def device_and_dtype(name, targets, device=None, dtype=None):
    """What `to("cuda", np.float64)` asks for: each target is a device if it names one."""
    for target in targets:
        if isinstance(target, Function.tensor_type):
            device, dtype = target.device, target.dtype
        elif isinstance(target, str) and target in backend.DEVICES:
            device = target
        elif target is not None:
            dtype = target
    device = None if device is None else backend.check_device(device)
    return device, None if dtype is None else check.dtype(name, dtype)


def gpu(device):
    """The device that `cuda(...)` is given: a name or the GPU's number."""
    return backend.device(*(("cuda", device) if isinstance(device, int) else (device,)))


def correction(name, correction, unbiased):
    """What is subtracted from n: of torch's newer and its older argument, of which one is given.
    (The older one may stand in the newer one's place.)"""
    if isinstance(correction, bool):
        correction, unbiased = None, correction
    if unbiased is None:
        return check.number(name, "correction", 1 if correction is None else correction)
    if correction is not None:
        raise TypeError(f"{name}: correction and unbiased are two words for one; give one")
    check.choice(name, "unbiased", unbiased, (False, True))
    return int(unbiased)


def promote_dtypes(a, b):
    """The dtype two dtypes meet in: the one of higher rank, within a rank the wider."""
    if RANKS[a.kind] == RANKS[b.kind]:
        return np.promote_types(a, b)
    return a if RANKS[a.kind] > RANKS[b.kind] else b


def _common_dtype(a, b):
    """torch's promotion: as `promote_dtypes`, but within a rank a 0-axis array gives way."""
    if RANKS[a.dtype.kind] == RANKS[b.dtype.kind] and (a.ndim == 0) != (b.ndim == 0):
        return b.dtype if a.ndim == 0 else a.dtype
    return promote_dtypes(a.dtype, b.dtype)


def number(name, value, dtype):
    """A Python or NumPy number as an array, in `dtype` unless it is of a higher kind."""
    kind = np.asarray(value).dtype.kind
    if kind not in RANKS or (kind != "f" and dtype.kind != "f" and not -(2**63) <= value < 2**64):
        if dtype.kind != "f":
            raise ValueError(f"{name}: {value} does not fit {dtype}")
    elif RANKS[kind] > RANKS[dtype.kind]:
        dtype = np.dtype(np.int64 if RANKS[kind] == 1 else np.float32)
    # astype, since uint8 + (-1) wraps around as in torch where NumPy refuses the -1
    return np.asarray(float(value) if dtype.kind == "f" else value).astype(dtype)


def bound(name, bound):
    """A bound of clip: a Python number, which unlike NumPy's leaves a float32 tensor its dtype."""
    if bound is not None and not isinstance(bound, NUMBERS):
        raise TypeError(f"clip: {name} must be a number, got {type(bound).__name__}")
    return bound.item() if isinstance(bound, np.generic) else bound


def filled_in(shape, old):
    """`shape` with what its -1 stands for, for a tensor of the shape `old`."""
    known, total = math.prod(size for size in shape if size != -1), math.prod(old)
    unknown = shape.count(-1)
    fits = known == total if not unknown else known and total % known == 0
    if not fits or unknown > 1:
        raise ValueError(
            f"reshape: a tensor of shape {old} ({total} elements) does not fit "
            f"the shape {shape}; at most one size may be -1"
        )
    return tuple(total // known if size == -1 else size for size in shape)


def grown(shape, old):
    """`shape` with what its -1s stand for: sizes of `old`, whose axes of size 1 may grow."""
    extra = len(shape) - len(old)
    sizes = tuple(
        old[i - extra] if size == -1 and i >= extra >= 0 else size for i, size in enumerate(shape)
    )
    same = all(a in (1, b) for a, b in zip(old, sizes[max(extra, 0) :], strict=False))
    if extra < 0 or min(sizes, default=0) < 0 or not same:
        raise ValueError(
            f"expand: a tensor of shape {old} does not expand to {shape}; only axes of size 1 grow"
        )
    return sizes


def index(x, index):
    """A user's `index` as a tuple for the array `x`: no Tensors in it, arrays on x's device.

    Arrays are copied, since the op keeps them for backward. CuPy lets positions beyond the end
    start again at the other one, so an index is shown to NumPy here, unless a Tensor on the GPU is
    part of it: the CPU would have to wait for the GPU.
    """
    parts = list(index) if isinstance(index, tuple) else [index]
    for i, part in enumerate(parts):
        if isinstance(part, list):
            part = as_array(part, "index") if part else np.zeros(0, int)
        if isinstance(part, Function.tensor_type):
            part = part.detach().array
        if backend.is_array(part):
            part = check.array("index", "an index", part)
            if part.dtype == np.uint8:
                raise TypeError(
                    "index: got uint8, which torch takes for a mask and NumPy for positions; "
                    "convert it with .bool() or .long()"
                )
            if part.dtype.kind == "f":
                raise IndexError(f"index: positions are integers and masks bools, got {part.dtype}")
            alone = part.ndim == 0 and part.dtype.kind != "b" and backend.device_of(part) == "cpu"
            parts[i] = int(part) if alone else part.copy()
        elif hasattr(part, "__index__") and not isinstance(part, bool):
            parts[i] = operator.index(part)
        elif not (part is None or part is ... or isinstance(part, slice | bool)):
            raise IndexError(
                "index: expected integers, slices, None, ... and lists or tensors of integers or "
                f"bools, got {part!r:.60}"
            )
    xp = backend.array_module(x)
    if xp is not np:
        if not any(isinstance(part, xp.ndarray) for part in parts):
            try:
                np.broadcast_to(np.False_, x.shape)[tuple(parts)]
            except IndexError as error:
                raise IndexError(f"index: {error} (the tensor has shape {x.shape})") from None
        parts = [xp.asarray(part) if isinstance(part, np.ndarray) else part for part in parts]
    return tuple(parts)


def as_array(data, name="Tensor"):
    """Numbers, nested lists (of numbers, arrays or tensors) and arrays as an array in torch's
    dtypes: float32 for Python's floats, while arrays and those in a list keep theirs."""
    if isinstance(data, Function.tensor_type):
        raise TypeError(f"{name}: got a Tensor; use .detach() or .clone()")
    if backend.is_array(data) or isinstance(data, np.ma.MaskedArray):
        return check.array(name, "the data", data)
    try:
        array = np.asarray(data)
    except ValueError:
        raise ValueError(
            f"{name}: the nested lists are ragged; rows must be equally long"
        ) from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name}: expected numbers, got {type(data).__name__} {data!r:.60}")
    first = data
    while isinstance(first, list | tuple) and first:
        first = first[0]
    if isinstance(first, np.ma.MaskedArray):
        check.array(name, "the data", first)  # refuses
    if array.dtype == np.float64 and not hasattr(first, "dtype"):
        return array.astype(np.float32)
    check.dtype(name, array.dtype)
    return array
