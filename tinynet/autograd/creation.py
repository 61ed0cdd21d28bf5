"""Making tensors: `tensor(data)`, `zeros`, `randn`, ..., by torch's names."""

import numpy as np

from tinynet import backend
from tinynet.autograd.conversion import check_dtype
from tinynet.autograd.shaping import check_sizes
from tinynet.autograd.tensor import Tensor


def _finish(name, array, dtype, device, requires_grad):
    if dtype is not None:
        array = array.astype(check_dtype(name, dtype), copy=False)
    if device is not None:
        array = backend.to_device(array, device)
    return Tensor(array, requires_grad)


def tensor(data, requires_grad=False, dtype=None, device=None):
    """A tensor with a copy of `data`: a number, nested lists, an array or a Tensor.

    Python floats become float32 and integers int64; arrays keep their dtype.
    Raises TypeError for data that is not numeric, ValueError for ragged lists.
    """
    if isinstance(data, Tensor):
        data = data.array
    array = data.copy() if backend.is_array(data) else Tensor(data).array
    return _finish(
        "tensor", np.asarray(array) if np.isscalar(array) else array, dtype, device, requires_grad
    )


def from_numpy(array):
    """A tensor that shares the memory of a NumPy array."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: expected a NumPy array, got {type(array).__name__}")
    return Tensor(array)


def full(size, fill_value, requires_grad=False, dtype=np.float32, device=None):
    shape = check_sizes("full", (size,))
    return _finish("full", np.full(shape, fill_value), dtype, device, requires_grad)


def zeros(*size, requires_grad=False, dtype=np.float32, device=None):
    return _finish(
        "zeros", np.zeros(check_sizes("zeros", size), dtype), None, device, requires_grad
    )


def ones(*size, requires_grad=False, dtype=np.float32, device=None):
    return _finish("ones", np.ones(check_sizes("ones", size), dtype), None, device, requires_grad)


def zeros_like(input):
    return Tensor(backend.array_module(input.array).zeros_like(input.array))


def ones_like(input):
    return Tensor(backend.array_module(input.array).ones_like(input.array))


def randn(*size, requires_grad=False, dtype=np.float32, device=None):
    """Draws from N(0, 1)."""
    draws = backend.random_generator().standard_normal(check_sizes("randn", size))
    return _finish("randn", np.asarray(draws), dtype, device, requires_grad)


def rand(*size, requires_grad=False, dtype=np.float32, device=None):
    """Draws from [0, 1)."""
    draws = backend.random_generator().random(check_sizes("rand", size))
    return _finish("rand", np.asarray(draws), dtype, device, requires_grad)


def arange(*bounds, requires_grad=False, dtype=None, device=None):
    """`arange(stop)`, `arange(start, stop)`, `arange(start, stop, step)`."""
    array = np.arange(*bounds)
    if dtype is None and array.dtype == np.float64:
        dtype = np.float32
    return _finish("arange", array, dtype, device, requires_grad)
