"""The checks of arguments, one for each kind: every public function asks these, once.

Each raises a TypeError or ValueError that says where, which argument, what was expected and what
came: "Conv2d: stride must be ..., got ...". Most return the value in its plain form.
"""

import math
import operator
from numbers import Real

import numpy as np

from tinynet import backend
from tinynet.autograd.tape import Function

DTYPES = frozenset(map(np.dtype, ("f4", "f8", "?", *"bhilqBHILQ")))
MOST = 2**48  # elements: more than any memory holds, and NumPy can still count them
MOST_AXES = 64  # of an array, for NumPy


def tensors(name, **values):
    """Every value must be a Tensor."""
    for argument, value in values.items():
        if not isinstance(value, Function.tensor_type):
            raise TypeError(
                f"{name}: {argument} must be a Tensor, got {type(value).__name__}; "
                "wrap it with tinynet.tensor(...)"
            )


def floats(name, **values):
    """Tensors of one floating dtype on one device, those of the first; None stands for none.

    Mixed dtypes would be computed in the wider one, slowly and silently.
    """
    first = reference = None
    for argument, value in values.items():
        if value is None and first is not None:
            continue
        if not isinstance(value, Function.tensor_type):
            tensors(name, **{argument: value})
        array = value.array
        if first is None:
            first, reference = argument, array
            if array.dtype.kind != "f":
                raise TypeError(
                    f"{name}: the {first} must be floating, got {array.dtype}; "
                    "convert it with x.float()"
                )
        elif array.dtype != reference.dtype:
            raise TypeError(
                f"{name}: the {first} is {reference.dtype} but {argument} is {array.dtype}; "
                "convert one of them, for example with x.float() or model.double()"
            )
        elif type(array) is not type(reference):
            devices = backend.device_of(reference), backend.device_of(array)
            if devices[0] != devices[1]:
                raise ValueError(
                    f"{name}: the {first} is on {devices[0]} but {argument} on {devices[1]}; "
                    "move one of them with .to()"
                )


def integer(name, argument, value, least=None):
    """A Python int, at least `least`."""
    if type(value) is not int:
        value = _index(value, f"{name}: {argument} must be an integer, got {value!r}")
    if least is not None and value < least:
        raise ValueError(f"{name}: {argument} must be at least {least}, got {value}")
    return value


def pair(name, argument, value, least=0):
    """An int or two of them, each at least `least`, as a tuple (height, width)."""
    both = tuple(value) if isinstance(value, tuple | list) else (value,)
    wrong = (
        f"{name}: {argument} must be an integer or a pair of integers, "
        f"at least {least}, got {value!r}"
    )
    both = tuple(_index(v, wrong) for v in both)
    if len(both) not in (1, 2) or min(both) < least or max(both) >= MOST:
        raise ValueError(wrong)
    return both if len(both) == 2 else both * 2


def number(name, argument, value, low=-math.inf, high=math.inf, above=False, below=False):
    """A finite number with low <= value <= high; above: low < value; below: value < high."""
    if type(value) is not float and (isinstance(value, bool) or not isinstance(value, Real)):
        raise TypeError(f"{name}: {argument} must be a number, got {type(value).__name__}")
    try:
        finite = math.isfinite(value)
    except OverflowError:  # an int beyond every float
        finite = False
    fits = finite and (low < value if above else low <= value)
    if not (fits and (value < high if below else value <= high)):
        bounds = [] if low == -math.inf else [f"more than {low}" if above else f"at least {low}"]
        bounds += [] if high == math.inf else [f"below {high}" if below else f"at most {high}"]
        bounds += [] if finite else ["finite"]
        raise ValueError(f"{name}: {argument} must be {' and '.join(bounds)}, got {value}")
    return value


def choice(name, argument, value, allowed):
    """One of a few values, such as strings."""
    if not any(isinstance(value, type(each)) and value == each for each in allowed):
        *others, last = map(repr, allowed)
        wanted = f"{', '.join(others)} or {last}" if others else last
        raise ValueError(f"{name}: {argument} must be {wanted}, got {value!r}")
    return value


def dims(name, dim, ndim):
    """Axes as a sorted tuple, from 0 up: None is all of them, an int one, -1 the last."""
    if dim is None:
        return tuple(range(ndim))
    axes = set()
    for axis in dim if isinstance(dim, tuple | list) else (dim,):
        if type(axis) is not int:
            axis = _index(axis, f"{name}: dim must be an int or a tuple of ints, got {dim!r}")
        if not -max(ndim, 1) <= axis < max(ndim, 1):
            raise ValueError(f"{name}: dim {axis} is out of range for a tensor of {ndim} axes")
        if axis % max(ndim, 1) in axes:
            raise ValueError(f"{name}: dim {axis} appears twice in {dim!r}")
        axes.add(axis % max(ndim, 1))
    return tuple(sorted(axes)) if ndim else ()


def sizes(name, sizes, least=None):
    """The sizes of `f(2, 3)` and `f((2, 3))` alike, as a tuple of ints, each at least `least`."""
    if len(sizes) == 1 and isinstance(sizes[0], tuple | list):
        sizes = sizes[0]
    if any(type(size) is not int for size in sizes):
        wrong = f"{name}: sizes must be integers, got {tuple(sizes)!r}"
        sizes = [_index(size, wrong) for size in sizes]
    sizes = tuple(sizes)
    if least is not None and min(sizes, default=least) < least:
        raise ValueError(f"{name}: sizes must be at least {least}, got {sizes}")
    if len(sizes) > MOST_AXES:
        raise ValueError(f"{name}: a tensor has at most {MOST_AXES} axes, got {len(sizes)} sizes")
    if math.prod(max(abs(size), 1) for size in sizes) >= MOST:
        raise ValueError(f"{name}: sizes must multiply to less than 2**48 elements, got {sizes}")
    return sizes


def dtype(name, dtype):
    """A NumPy dtype that tensors have: float32 or float64, an integer or bool."""
    if isinstance(dtype, np.dtype) and dtype in DTYPES:
        return dtype
    try:
        found = np.dtype(dtype)
    except (TypeError, ValueError, SyntaxError):  # SyntaxError: of "2)", say
        found = None
    if found is None or dtype is None:  # NumPy takes None for float64
        raise TypeError(f"{name}: dtype must name a NumPy dtype, got {dtype!r}")
    if found not in DTYPES:
        order = "" if found.isnative else " in another machine's byte order"
        raise TypeError(
            f"{name}: tensors hold float32 or float64, integers or bools, got dtype "
            f"{found}{order}; convert it first, for example with .astype(np.float32)"
        )
    return found


def array(name, argument, value):
    """A NumPy or CuPy array of numbers, as a plain one; a Tensor's own array."""
    value = getattr(value, "array", value)
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{name}: {argument} is a masked array, whose mask would be lost; "
            "fill it first, for example with .filled(0)"
        )
    if not backend.is_array(value):
        raise TypeError(f"{name}: {argument} must be an array, got {type(value).__name__}")
    if isinstance(value, backend.NUMPYS):
        value = np.asarray(value)  # a np.matrix, say, multiplies otherwise than an array
    dtype(name, value.dtype)
    return value


def broadcast(name, a, b):
    """The shapes `a` and `b` must broadcast: trailing sizes are equal or 1."""
    for size_a, size_b in zip(a[::-1], b[::-1], strict=False):
        if size_a != size_b and 1 not in (size_a, size_b):
            raise ValueError(
                f"{name}: shapes {a} and {b} do not broadcast "
                f"({size_a} against {size_b}); trailing sizes must be equal or 1"
            )


def product(name, a, b):
    """The shapes `a` and `b` must be those of a matrix product."""
    if not a or not b:
        raise ValueError(f"{name}: both sides need at least one axis, got shapes {a} and {b}")
    if a[-1] != b[max(len(b) - 2, 0)]:
        raise ValueError(
            f"{name}: the last axis of {a} must be as long as "
            f"the {'second-last' if len(b) > 1 else 'only'} axis of {b}"
        )
    broadcast(name, a[:-2], b[:-2])


def _index(value, message):
    """`value` as an int; TypeError for anything else, for bools too."""
    if not isinstance(value, bool):
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise TypeError(" ".join(message.split()))  # an array is shown on several lines
