"""Making tensors: `tensor(data)`, `zeros`, `randn`, ..., by torch's names.

Without `dtype`, `zeros`, `ones`, `rand` and `randn` give float32.
"""

import math

import numpy as np

from tinynet import backend, check
from tinynet.autograd.convert import NUMBERS
from tinynet.autograd.tensor import Tensor


def _finish(name, array, dtype, device, requires_grad):
    if dtype is not None:
        array = array.astype(check.dtype(name, dtype), copy=False)
    if device is not None:
        array = backend.to_device(array, device)
    return Tensor(array, requires_grad)


def tensor(data, requires_grad=False, dtype=None, device=None):
    """A tensor with a copy of `data`: a number, nested lists, an array or a Tensor.

    Python floats become float32 and integers int64; arrays keep their dtype.
    Raises TypeError for data that is not numeric, ValueError for ragged lists.
    """
    data = data.detach() if isinstance(data, Tensor) else Tensor(data)
    return _finish("tensor", data.array.copy(), dtype, device, requires_grad)


def from_numpy(array):
    """A tensor that shares the memory of a NumPy array."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: expected a NumPy array, got {type(array).__name__}")
    return Tensor(check.array("from_numpy", "the data", array))


def _shape(name, size):
    return check.sizes(name, size, least=0)


def _dtype(name, dtype):
    return np.dtype(np.float32) if dtype is None else check.dtype(name, dtype)


def _floating(name, dtype):
    dtype = _dtype(name, dtype)
    if dtype.kind != "f":
        raise TypeError(f"{name}: dtype must be floating, got {dtype}")
    return dtype


def full(size, fill_value, requires_grad=False, dtype=None, device=None):
    """`fill_value` everywhere, in its own dtype (float32 for a Python float)."""
    value = Tensor(fill_value).array
    if value.size != 1:
        raise ValueError(f"full: fill_value must be one number, got shape {value.shape}")
    array = np.full(_shape("full", (size,)), value.item(), value.dtype)
    return _finish("full", array, dtype, device, requires_grad)


def zeros(*size, requires_grad=False, dtype=None, device=None):
    array = np.zeros(_shape("zeros", size), _dtype("zeros", dtype))
    return _finish("zeros", array, None, device, requires_grad)


def ones(*size, requires_grad=False, dtype=None, device=None):
    array = np.ones(_shape("ones", size), _dtype("ones", dtype))
    return _finish("ones", array, None, device, requires_grad)


def empty(*size, requires_grad=False, dtype=None, device=None):
    """Whatever values the memory holds: to be filled."""
    array = np.empty(_shape("empty", size), _dtype("empty", dtype))
    return _finish("empty", array, None, device, requires_grad)


def eye(n, m=None, requires_grad=False, dtype=None, device=None):
    """Ones on the diagonal of n rows and m columns (n, if not given), zeros beside it."""
    rows, columns = _shape("eye", (n, n if m is None else m))
    return _finish(
        "eye", np.eye(rows, columns, 0, _dtype("eye", dtype)), None, device, requires_grad
    )


def _like(name, make):
    def like(input, requires_grad=False, dtype=None, device=None):
        if not isinstance(input, Tensor):
            raise TypeError(f"{name}: expected a Tensor, got {type(input).__name__}")
        options = {"dtype": input.dtype if dtype is None else dtype, "requires_grad": requires_grad}
        return make(input.shape, device=input.device if device is None else device, **options)

    like.__name__ = like.__qualname__ = name
    like.__doc__ = f"`{name.removesuffix('_like')}` in the shape, dtype and device of `input`."
    return like


def randn(*size, requires_grad=False, dtype=None, device=None):
    """Draws from N(0, 1)."""
    draws = backend.random_generator().standard_normal(_shape("randn", size))
    return _finish("randn", np.asarray(draws), _floating("randn", dtype), device, requires_grad)


def rand(*size, requires_grad=False, dtype=None, device=None):
    """Draws from [0, 1)."""
    draws = backend.random_generator().random(_shape("rand", size))
    return _finish("rand", np.asarray(draws), _floating("rand", dtype), device, requires_grad)


def arange(*bounds, requires_grad=False, dtype=None, device=None):
    """`arange(stop)`, `arange(start, stop)`, `arange(start, stop, step)`."""
    if not 1 <= len(bounds) <= 3 or not all(isinstance(b, NUMBERS) for b in bounds):
        raise TypeError(f"arange: expected one to three numbers, got {bounds!r}")
    for bound in bounds:
        check.number("arange", "every bound", bound)
    if len(bounds) == 3 and bounds[2] == 0:
        raise ValueError("arange: step must not be 0")
    start, stop, step = (0, *bounds, 1) if len(bounds) == 1 else (*bounds, 1)[:3]
    check.sizes("arange", (max(math.ceil((stop - start) / step), 0),))
    array = np.arange(*bounds)
    if dtype is None and array.dtype == np.float64:
        dtype = np.float32
    return _finish("arange", array, dtype, device, requires_grad)


def linspace(start, end, steps, requires_grad=False, dtype=None, device=None):
    """`steps` numbers at equal distances, from start to end, both included."""
    for argument, value in (("start", start), ("end", end)):
        check.number("linspace", argument, value)
    (steps,) = check.sizes("linspace", (steps,), least=0)
    array = np.linspace(start, end, steps).astype(_dtype("linspace", dtype))
    return _finish("linspace", array, None, device, requires_grad)


def randint(*bounds, size=None, generator=None, dtype=np.int64, device=None):
    """Integers from low (0, if not given) up to, not including, high: `randint(high, size)` or
    `randint(low, high, size)`."""
    if size is None and bounds:
        *bounds, size = bounds
    if size is None or len(bounds) not in (1, 2):
        raise TypeError(
            f"randint: expected high or low and high, and a size, got {bounds} and {size}"
        )
    low, high = [0, *bounds][-2:]
    high = check.integer("randint", "high", high, check.integer("randint", "low", low) + 1)
    draws = backend.numbers_of(generator).integers(low, high, _shape("randint", (size,)))
    return _finish("randint", np.asarray(draws), dtype, device, False)


def randperm(n, generator=None, device=None):
    """The integers from 0 to n - 1 in random order."""
    (n,) = _shape("randperm", (n,))
    draws = backend.numbers_of(generator).permutation(n)
    return _finish("randperm", draws, np.int64, device, False)


def as_tensor(data, dtype=None, device=None):
    """`data` as a tensor; one that is a tensor already, or an array, shares its memory."""
    data = data if isinstance(data, Tensor) else Tensor(data)
    return data.to(device=device, dtype=dtype)


def full_like(input, fill_value, dtype=None, device=None):
    """`fill_value` in the shape, dtype and device of `input`."""
    return empty_like(input, dtype=dtype, device=device).fill_(fill_value)


empty_like, zeros_like = _like("empty_like", empty), _like("zeros_like", zeros)
ones_like, rand_like = _like("ones_like", ones), _like("rand_like", rand)
randn_like = _like("randn_like", randn)
