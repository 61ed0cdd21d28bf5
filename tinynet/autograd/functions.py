"""Some of Tensor's methods as functions, by torch's names: `flatten(x, 1)` for `x.flatten(1)`."""

import functools

import numpy as np

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
all = _function("all")
amax = _function("amax")
amin = _function("amin")
any = _function("any")
argmax = _function("argmax")
argmin = _function("argmin")
argsort = _function("argsort")
chunk = _function("chunk")
clamp = _function("clamp")
clip = _function("clip")
div = _function("div")
eq = _function("eq")
exp = _function("exp")
flatten = _function("flatten")
flip = _function("flip")
gather = _function("gather")
ge = _function("ge")
gt = _function("gt")
isfinite = _function("isfinite")
isinf = _function("isinf")
isnan = _function("isnan")
le = _function("le")
log = _function("log")
lt = _function("lt")
masked_fill = _function("masked_fill")
matmul = _function("matmul")
max = _function("max")
maximum = _function("maximum")
mean = _function("mean")
min = _function("min")
minimum = _function("minimum")
mul = _function("mul")
ne = _function("ne")
neg = _function("neg")
norm = _function("norm")
numel = _function("numel")
permute = _function("permute")
pow = _function("pow")
reshape = _function("reshape")
round = _function("round")
sigmoid = _function("sigmoid")
sort = _function("sort")
split = _function("split")
sqrt = _function("sqrt")
square = _function("square")
squeeze = _function("squeeze")
std = _function("std")
sub = _function("sub")
sum = _function("sum")
tanh = _function("tanh")
topk = _function("topk")
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


def where(condition, input, other):
    """`input` where `condition` holds, `other` elsewhere; both may be numbers."""
    check.tensors("where", condition=condition)
    if not isinstance(input, Tensor):
        input = Tensor(input).to(condition.device)
    return input.where(condition, other)


def equal(input, other):
    """Whether the two have one shape and the same values."""
    check.tensors("equal", input=input, other=other)
    return input.shape == other.shape and bool((input == other).numpy().all())


def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Whether |input - other| <= atol + rtol |other| everywhere."""
    check.tensors("allclose", input=input, other=other)
    check.broadcast("allclose", input.shape, other.shape)
    return bool(np.allclose(input.numpy(), other.numpy(), rtol, atol, equal_nan))
