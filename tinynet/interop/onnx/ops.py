"""Ops of ONNX, run by those of tinynet. https://onnx.ai/onnx/operators says what each one does.

Floating values are Tensors; integers and bools, with which files compute shapes, are NumPy's
arrays. Inputs come as positional arguments, attributes as keywords, with ONNX's defaults; None
stands for integers. Of the keywords `training` is the module's mode, `opset` the file's, `outputs`
how many results are wanted, `tracked` BatchNorm's counter of batches, and `room(shape)` refuses a
result that is too large.
"""

import functools
import math

import numpy as np

import tinynet.nn.functional as F
from tinynet.autograd import Tensor
from tinynet.interop.onnx.shapes import SHAPES, integers
from tinynet.ops.shapes import Pad

PATCHES = 8  # times the room of a result, for the patches that a convolution lays out


def sides(x, kernel, strides, dilations, auto_pad, pads):
    """((top, bottom), (left, right)) of a convolution or pooling of x."""
    if x.ndim != 4:
        raise ValueError(f"takes images (N, C, H, W), got shape {x.shape}")
    if auto_pad in ("NOTSET", "VALID"):
        top, left, bottom, right = pads or (0, 0, 0, 0)
        return (top, bottom), (left, right)
    if auto_pad not in ("SAME_UPPER", "SAME_LOWER"):
        raise ValueError(f"auto_pad is {auto_pad!r:.40}")
    found = []
    for size, k, s, d in zip(x.shape[2:], kernel, strides, dilations, strict=True):
        total = max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0)
        halves = total // 2, total - total // 2
        found.append(halves if auto_pad == "SAME_UPPER" else halves[::-1])
    return tuple(found)


def bordered(x, around, room, value=0.0):
    (top, bottom), (left, right) = around
    if min(top, bottom, left, right) < 0:
        raise ValueError(f"its pads must be from 0 up, got {around}")
    room((*x.shape[:2], x.shape[2] + top + bottom, x.shape[3] + left + right))
    return Pad.apply(x, sides=around, value=value)


def conv(
    x,
    weight,
    bias=None,
    *,
    auto_pad="NOTSET",
    dilations=None,
    group=1,
    kernel_shape=None,
    pads=None,
    strides=None,
    room,
):
    kernel, strides, dilations = weight.shape[2:], strides or (1, 1), dilations or (1, 1)
    if kernel_shape not in (None, kernel):
        raise ValueError(f"kernel_shape is {kernel_shape}, the weight {weight.shape}")
    around = sides(x, kernel, strides, dilations, auto_pad, pads)
    (top, bottom), (left, right) = around
    rows = (x.shape[2] + top + bottom) // max(strides[0], 1) + 1
    columns = (x.shape[3] + left + right) // max(strides[1], 1) + 1
    patches = math.prod(weight.shape[1:]) * (1 if group == x.shape[1] else group)
    room((len(x), max(len(weight), patches // PATCHES), rows, columns))
    padding = top, left
    if top != bottom or left != right:
        x, padding = bordered(x, around, room), 0
    return F.conv2d(x, weight, bias, strides, padding, dilations, group)


def average_pool(
    x,
    *,
    auto_pad="NOTSET",
    ceil_mode=0,
    count_include_pad=0,
    dilations=None,
    kernel_shape=None,
    pads=None,
    strides=None,
    room,
):
    strides = strides or (1, 1)
    if set(dilations or (1, 1)) != {1}:
        raise ValueError("a dilated AveragePool cannot be run")
    around = sides(x, kernel_shape, strides, (1, 1), auto_pad, pads)
    (top, bottom), (left, right) = around
    if (top, left) == (bottom, right):
        how = bool(ceil_mode), bool(count_include_pad)
        return F.avg_pool2d(x, kernel_shape, strides, (top, left), *how)
    if ceil_mode:
        raise ValueError("ceil_mode with unequal pads cannot be run")
    y = F.avg_pool2d(bordered(x, around, room), kernel_shape, strides)
    if count_include_pad:
        return y
    ones = Tensor(np.ones((1, 1, *x.shape[2:]), x.dtype)).to(x.device)
    inside = bordered(ones, around, room)
    return y / F.avg_pool2d(inside, kernel_shape, strides)


def max_pool(
    x,
    *,
    auto_pad="NOTSET",
    ceil_mode=0,
    dilations=None,
    kernel_shape=None,
    pads=None,
    storage_order=0,
    strides=None,
    room,
):
    strides, dilations = strides or (1, 1), dilations or (1, 1)
    around = sides(x, kernel_shape, strides, dilations, auto_pad, pads)
    (top, bottom), (left, right) = around
    padding = top, left
    if padding != (bottom, right):
        x, padding = bordered(x, around, room, -math.inf), 0
    return F.max_pool2d(x, kernel_shape, strides, padding, dilations, ceil_mode=bool(ceil_mode))


def batch_norm(
    x,
    scale,
    bias,
    mean,
    var,
    *,
    epsilon=1e-5,
    momentum=0.9,
    spatial=1,
    training_mode=0,
    training,
    tracked,
):
    if training_mode or not spatial:
        raise ValueError("a BatchNormalization in training mode, or one for each pixel, is not run")
    return F.batch_norm(x, mean, var, scale, bias, training, 1 - momentum, epsilon, tracked)


def gemm(a, b, c=None, *, alpha=1.0, beta=1.0, transA=0, transB=0, room):  # noqa: N803
    if transB and not transA and alpha == beta == 1 and (c is None or c.ndim == 1):
        room((len(a), len(b)))
        return F.linear(a, b, c)
    y = matmul(a.t() if transA else a, b.t() if transB else b, room=room)
    y = y if alpha == 1 else y * alpha
    return y if c is None else y + (c if beta == 1 else c * beta)


def matmul(a, b, *, room):
    if a.ndim > 1 and b.ndim > 1:
        room((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]))
    return a @ b


def binary(method, on_integers):
    """An op of two inputs: on Tensors the method, on integers NumPy's function."""

    def run(a, b, *, room):
        room(np.broadcast_shapes(a.shape, b.shape))
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            return getattr(a, method)(b)
        if isinstance(a, Tensor) or isinstance(b, Tensor):
            raise TypeError("one input holds integers, the other floating numbers")
        return np.asarray(getattr(np, on_integers)(a, b))

    return run


def each(function):
    """An op of any number of inputs, two at a time."""
    return lambda first, *others, room: functools.reduce(
        functools.partial(function, room=room), others, first
    )


def unary(method):
    return lambda x: getattr(x, method)()


def mod(a, b, *, fmod=0, room):
    """fmod has the sign of a, `%` that of b."""
    if not fmod:
        return binary("__mod__", "mod")(a, b, room=room)
    room(np.broadcast_shapes(a.shape, b.shape))
    sign = Tensor(np.sign(a.detach().numpy())).to(a.device)
    return sign * (abs(a) % abs(b))


def clip(x, low=None, high=None, *, min=-math.inf, max=math.inf):
    low = min if low is None else low.item()
    high = max if high is None else high.item()
    if (low, high) == (0, 6):
        return F.relu6(x)
    return x.clip(None if low == -math.inf else low, None if high == math.inf else high)


def soft(function):
    def run(x, *, axis=-1, opset):
        if opset < 13 and axis not in (-1, x.ndim - 1):
            raise ValueError(f"before opset 13 the axis must be the last, got {axis}")
        return function(x, axis)

    return run


def reduction(method):
    def run(x, given=None, *, axes=None, keepdims=1, noop_with_empty_axes=0):
        axes = axes if given is None else integers(given)
        if not axes:
            if noop_with_empty_axes:
                return x
            axes = tuple(range(x.ndim))
        return getattr(x, method)(axes, bool(keepdims))

    return run


def dropout(x, share=None, mode=None, *, ratio=0.5, seed=0, training):
    return F.dropout(x, ratio if share is None else share.item(), training)


OPS = {
    **SHAPES,
    "Abs": unary("__abs__"),
    "Add": binary("__add__", "add"),
    "AveragePool": average_pool,
    "BatchNormalization": batch_norm,
    "Clip": clip,
    "Conv": conv,
    "Div": binary("__truediv__", "floor_divide"),
    "Dropout": dropout,
    "Elu": lambda x, *, alpha=1.0: F.elu(x, alpha),
    "Equal": binary("__eq__", "equal"),
    "Exp": unary("exp"),
    "Floor": lambda x: x - x % 1,
    "Gemm": gemm,
    "GlobalAveragePool": lambda x: F.adaptive_avg_pool2d(x, 1),
    "GlobalMaxPool": lambda x: x.amax((2, 3), True),
    "HardSigmoid": lambda x, *, alpha=0.2, beta=0.5: (x * alpha + beta).clip(0, 1),
    "HardSwish": lambda x: F.hardswish(x),
    "LeakyRelu": lambda x, *, alpha=0.01: F.leaky_relu(x, alpha),
    "Log": unary("log"),
    "LogSoftmax": soft(F.log_softmax),
    "MatMul": matmul,
    "Max": each(binary("maximum", "maximum")),
    "MaxPool": max_pool,
    "Min": each(binary("minimum", "minimum")),
    "Mod": mod,
    "Mul": binary("__mul__", "multiply"),
    "Neg": unary("__neg__"),
    "Pow": binary("__pow__", "power"),
    "ReduceMax": reduction("amax"),
    "ReduceMean": reduction("mean"),
    "ReduceMin": reduction("amin"),
    "ReduceSum": reduction("sum"),
    "Relu": lambda x: F.relu(x),
    "Round": unary("round"),
    "Sigmoid": unary("sigmoid"),
    "Softmax": soft(F.softmax),
    "Softplus": lambda x: F.softplus(x),
    "Sqrt": unary("sqrt"),
    "Sub": binary("__sub__", "subtract"),
    "Sum": each(binary("__add__", "add")),
    "Tanh": unary("tanh"),
}
