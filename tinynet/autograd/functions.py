"""Some of Tensor's methods as functions, by torch's names: `flatten(x, 1)` for `x.flatten(1)`."""

import functools

from tinynet import check
from tinynet.autograd.convert import promote_dtypes
from tinynet.autograd.tensor import Tensor
from tinynet.ops.shapes import Concatenate


def _function(name):
    method = getattr(Tensor, name)

    def function(input, *args, **kwargs):
        if not isinstance(input, Tensor):
            raise TypeError(f"{name}: expected a Tensor, got {type(input).__name__}")
        return method(input, *args, **kwargs)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = method.__doc__ or f"`input.{name}(...)`."
    return function


abs = _function("abs")
add = _function("add")
amax = _function("amax")
amin = _function("amin")
argmax = _function("argmax")
argmin = _function("argmin")
chunk = _function("chunk")
clamp = _function("clamp")
clip = _function("clip")
div = _function("div")
exp = _function("exp")
flatten = _function("flatten")
log = _function("log")
matmul = _function("matmul")
max = _function("max")
maximum = _function("maximum")
mean = _function("mean")
min = _function("min")
minimum = _function("minimum")
mul = _function("mul")
permute = _function("permute")
pow = _function("pow")
reshape = _function("reshape")
sigmoid = _function("sigmoid")
split = _function("split")
sqrt = _function("sqrt")
squeeze = _function("squeeze")
std = _function("std")
sub = _function("sub")
sum = _function("sum")
tanh = _function("tanh")
transpose = _function("transpose")
unsqueeze = _function("unsqueeze")
var = _function("var")


def cat(tensors, dim=0):
    """The tensors, alike but for axis `dim`, one after the other along it."""
    first, *others = tensors = _tensors("cat", tensors)
    if first.ndim == 0:
        raise ValueError("cat: tensors of 0 axes cannot be joined; use stack")
    (axis,) = check.dims("cat", check.integer("cat", "dim", dim), first.ndim)
    for other in others:
        a, b = list(first.shape), list(other.shape)
        if len(a) != len(b) or a[:axis] + a[axis + 1 :] != b[:axis] + b[axis + 1 :]:
            raise ValueError(
                f"cat: shapes {first.shape} and {other.shape} may differ in axis {axis} only"
            )
    dtype = functools.reduce(promote_dtypes, [tensor.dtype for tensor in tensors])
    return Concatenate.apply(*[tensor.to(dtype=dtype) for tensor in tensors], dim=axis)


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
    try:
        tensors = list(tensors)
    except TypeError:
        raise TypeError(f"{name}: expected Tensors, got {type(tensors).__name__}") from None
    if not tensors:
        raise ValueError(f"{name}: expected at least one tensor, got none")
    for position, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"{name}: expected Tensors, got {type(tensor).__name__} at position {position}"
            )
    return tensors
