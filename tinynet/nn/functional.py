"""Layers as functions, by torch's names: arguments are checked here, then an op is applied."""

import functools
import math

import numpy as np

from tinynet import absent, check
from tinynet.autograd import Tensor
from tinynet.autograd.functions import sigmoid, tanh
from tinynet.backend import random_generator, to_device
from tinynet.nn.activation_functions import (
    elu,
    gelu,
    hardsigmoid,
    hardswish,
    leaky_relu,
    silu,
    softplus,
)
from tinynet.nn.cross_entropy import cross_entropy
from tinynet.nn.loss_functions import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    l1_loss,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
)
from tinynet.nn.norm import group_norm, layer_norm, normalize
from tinynet.nn.upsample import interpolate
from tinynet.ops.activation import LogSoftmax, ReLU, ReLU6, Softmax
from tinynet.ops.batchnorm import BatchNorm
from tinynet.ops.conv import Conv2d
from tinynet.ops.depthwise import DepthwiseConv2d
from tinynet.ops.matmul import Linear
from tinynet.ops.pooling import AdaptiveAveragePool2d, AveragePool2d, MaxPool2d
from tinynet.ops.shapes import Pad
from tinynet.ops.window import Window

__getattr__ = absent.names_of(__name__)
__all__ = [
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "conv2d",
    "cross_entropy",
    "dropout",
    "dropout2d",
    "elu",
    "gelu",
    "group_norm",
    "hardsigmoid",
    "hardswish",
    "interpolate",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "max_pool2d",
    "mse_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "relu",
    "relu6",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "softmax",
    "softplus",
    "tanh",
]


def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Convolution (N, C, H, W) -> (N, O, HO, WO), HO = floor((H + 2p - d(KH-1) - 1)/s) + 1.

    Args: weight (O, C/groups, KH, KW); bias (O,) or None; stride, padding, dilation: an int
    or (height, width); padding also 'valid' or 'same' (output as large as the input, stride 1).
    groups: the channels fall into groups that do not meet; groups == C is depthwise. A single image
    (C, H, W) gives a single one.
    """
    check.floats("conv2d", input=input, weight=weight, bias=bias)
    if weight.array.ndim != 4:
        raise ValueError(f"conv2d: weight must be (O, C/groups, KH, KW), got shape {weight.shape}")
    if input.array.ndim == 3:
        one = conv2d(input.unsqueeze(0), weight, bias, stride, padding, dilation, groups)
        return one.squeeze(0)
    (_, C, H, W), (O, Cg, *kernel) = _images("conv2d", input), weight.array.shape
    if 0 in weight.array.shape:
        raise ValueError(f"conv2d: weight has no elements, got shape {weight.shape}")
    groups = check.integer("conv2d", "groups", groups, least=1)
    if O % groups:
        raise ValueError(f"conv2d: groups={groups} does not divide the {O} output channels")
    if Cg * groups != C:
        raise ValueError(
            f"conv2d: the input has {C} channels, expected {Cg * groups} "
            f"(weight of shape {weight.shape}, groups={groups})"
        )
    if bias is not None and bias.shape != (O,):
        raise ValueError(f"conv2d: bias must have shape ({O},), got {bias.shape}")
    # what layers hold comes again at every step; what else a user may give is not kept
    usual = {int, tuple, str}.issuperset(map(type, (stride, padding, dilation)))
    make = conv_window if usual else conv_window.__wrapped__
    window = make(tuple(kernel), stride, padding, dilation)
    if min(window.output_size(H, W)) < 1:
        _refuse_misfit("conv2d", window, H, W)
    inputs = (input, weight) if bias is None else (input, weight, bias)
    if groups == C > 1:
        return DepthwiseConv2d.apply(*inputs, window=window)
    return Conv2d.apply(*inputs, window=window, groups=groups)


@functools.lru_cache(maxsize=256, typed=True)
def conv_window(kernel, stride, padding, dilation):
    """The geometry that torch's convolution arguments describe."""
    stride = check.pair("conv2d", "stride", stride, least=1)
    dilation = check.pair("conv2d", "dilation", dilation, least=1)
    if padding == "valid":
        padding = 0
    if padding == "same":
        if stride != (1, 1):
            raise ValueError(f"conv2d: padding='same' needs stride 1, got {stride}")
        (dh, dw), (KH, KW) = dilation, kernel
        rows, columns = dh * (KH - 1), dw * (KW - 1)
        sides = (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)
    elif isinstance(padding, str):
        raise ValueError(f"conv2d: padding must be numbers, 'same' or 'valid', got {padding!r}")
    else:
        rows, columns = check.pair("conv2d", "padding", padding)
        sides = (rows, rows), (columns, columns)
    return Window(kernel, stride, sides, dilation)


def linear(input, weight, bias=None):
    """y = input weight^T + bias: (..., I) -> (..., O); weight (O, I), bias (O,) or None."""
    check.floats("linear", input=input, weight=weight, bias=bias)
    if weight.ndim != 2:
        raise ValueError(f"linear: weight must be (O, I), got shape {weight.shape}")
    if input.ndim == 0 or input.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"linear: expected an input whose last axis has {weight.shape[1]} features, "
            f"got shape {input.shape}"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"linear: bias must have shape {weight.shape[:1]}, got {bias.shape}")
    return Linear.apply(*((input, weight) if bias is None else (input, weight, bias)))


def batch_norm(
    input,
    running_mean,
    running_var,
    weight=None,
    bias=None,
    training=False,
    momentum=0.1,
    eps=1e-5,
    num_batches_tracked=None,
    group=None,
):
    """Batch normalisation of (N, C, H, W), (N, C, L) or (N, C) over all axes but C; the running
    tensors change in training.

    num_batches_tracked: a tensor of one int64, to which training adds 1. group: of workers with a
    share of the batch each (`parallel.current()`): training then normalises the batch as a whole.
    """
    check.tensors("batch_norm", input=input)
    given = input.array.shape
    if len(given) in (2, 3):
        input = input.reshape(*given[:2], 1, math.prod(given[2:]))
    N, C, H, W = _images("batch_norm", input)
    if weight is None:
        weight = Tensor(np.ones_like(input.array, shape=C))
    if bias is None:
        bias = Tensor(np.zeros_like(input.array, shape=C))
    parts = {"weight": weight, "bias": bias}
    parts |= {"running_mean": running_mean, "running_var": running_var}
    check.floats("batch_norm", input=input, **parts)
    check.number("batch_norm", "momentum", momentum, 0, 1)
    check.number("batch_norm", "eps", eps, 0)
    if num_batches_tracked is not None:
        check.tensors("batch_norm", num_batches_tracked=num_batches_tracked)
    if not training and (running_mean is None or running_var is None):
        raise ValueError("batch_norm: evaluation needs running_mean and running_var, got None")
    if group is not None and group.size == 1:
        group = None
    if training and group is None and N * H * W < 2:
        raise ValueError(
            f"batch_norm: training needs more than one value per channel, got an input of "
            f"shape {input.shape}; use a larger batch or call eval()"
        )
    for name, tensor in parts.items():
        if tensor is not None and tensor.array.shape != (C,):
            raise ValueError(
                f"batch_norm: {name} has shape {tensor.shape}, expected ({C},) "
                f"for an input of {C} channels"
            )
    y = BatchNorm.apply(
        input,
        weight,
        bias,
        training=training,
        running_mean=None if running_mean is None else running_mean.array,
        running_var=None if running_var is None else running_var.array,
        momentum=momentum,
        eps=eps,
        num_batches_tracked=None if num_batches_tracked is None else num_batches_tracked.array,
        group=group,
    )
    for tensor in (running_mean, running_var, num_batches_tracked) if training else ():
        if tensor is not None:
            tensor.changed()
    return y if len(given) == 4 else y.reshape(given)


def relu(input, inplace=False):
    """max(x, 0). inplace: `input` itself becomes the result."""
    check.tensors("relu", input=input)
    y = ReLU.apply(input)
    return input.become("relu", y) if inplace else y


def relu6(input, inplace=False):
    """min(max(x, 0), 6). inplace: `input` itself becomes the result."""
    check.tensors("relu6", input=input)
    y = ReLU6.apply(input)
    return input.become("relu6", y) if inplace else y


def _or_one_image(function):
    """A function of (N, C, H, W) that also takes a single image (C, H, W), and then gives one."""

    @functools.wraps(function)
    def either(input, *args, **kwargs):
        if isinstance(input, Tensor) and input.array.ndim == 3:
            return function(input.unsqueeze(0), *args, **kwargs).squeeze(0)
        return function(input, *args, **kwargs)

    return either


@_or_one_image
def adaptive_avg_pool2d(input, output_size):
    """Average to `output_size`: an int or (HO, WO), None keeping that axis."""
    check.floats("adaptive_avg_pool2d", input=input)
    *_, H, W = _images("adaptive_avg_pool2d", input)
    both = output_size if isinstance(output_size, tuple | list) else (output_size, output_size)
    if len(both) == 2:  # None keeps the input's size
        both = [
            size if wanted is None else wanted for wanted, size in zip(both, (H, W), strict=True)
        ]
    size = check.pair("adaptive_avg_pool2d", "output_size", both, least=1)
    if 0 in (H, W):
        raise ValueError(f"adaptive_avg_pool2d: no pixels to average in shape {input.shape}")
    return AdaptiveAveragePool2d.apply(input, output_size=size)


def _pool_window(name, input, kernel_size, stride, padding, dilation, ceil_mode):
    """The geometry that torch's pooling arguments describe."""
    check.floats(name, input=input)
    *_, H, W = _images(name, input)
    kernel = check.pair(name, "kernel_size", kernel_size, least=1)
    stride = kernel if stride is None else check.pair(name, "stride", stride, least=1)
    padding = check.pair(name, "padding", padding)
    dilation = check.pair(name, "dilation", dilation, least=1)
    sides = []
    for size, k, d, s, p in zip((H, W), kernel, dilation, stride, padding, strict=True):
        span = d * (k - 1) + 1
        if 2 * p > span:
            raise ValueError(
                f"{name}: padding {padding} must be at most half the kernel size {kernel}"
            )
        beyond = 0  # pixels by which the last window may reach beyond the padding
        if ceil_mode:
            start = -(-(size + 2 * p - span) // s) * s  # of the last window, in the padded image
            if start >= size + p:  # windows that begin in the far padding do not count
                start -= s
            beyond = max(start + span - (size + 2 * p), 0)
        sides.append((p, p + beyond))
    window = Window(kernel, stride, tuple(sides), dilation)
    if min(window.output_size(H, W)) < 1:
        _refuse_misfit(name, window, H, W)
    return window


@_or_one_image
def avg_pool2d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """Average over windows; stride defaults to the kernel size.

    ceil_mode: a last window may reach beyond the border, and ends with the padding.
    count_include_pad: the zeros of the padding count.
    """
    window = _pool_window("avg_pool2d", input, kernel_size, stride, padding, 1, ceil_mode)
    *_, H, W = input.shape
    (top, _), (left, _) = window.padding
    counts = np.zeros(window.padded_shape((H, W)), input.dtype)
    if count_include_pad:
        counts[: top + H + top, : left + W + left] = 1
    else:
        counts[top : top + H, left : left + W] = 1
    divisor = sum(seen for _, _, seen in window.taps(counts))
    return AveragePool2d.apply(input, window=window, divisor=to_device(divisor, input.device))


@_or_one_image
def max_pool2d(input, kernel_size, stride=None, padding=0, dilation=1, *, ceil_mode=False):
    """The largest value of each window; stride defaults to the kernel size.

    ceil_mode: a last window may reach beyond the border.
    """
    window = _pool_window("max_pool2d", input, kernel_size, stride, padding, dilation, ceil_mode)
    return MaxPool2d.apply(input, window=window)


def pad(input, pad, mode="constant", value=None):
    """A border around the last axes: of `value` (by default 0) or, as the mode says, of what lies
    beyond a mirror in the last pixel ('reflect'), of that pixel itself ('replicate'), of what lies
    at the other side ('circular').

    pad = (left, right, top, bottom, ...): the last axis first, two numbers per axis, from 0 up.
    """
    check.tensors("pad", input=input)
    check.choice("pad", "mode", mode, ("constant", *BEYOND))
    if mode != "constant" and value is not None:
        raise ValueError(f"pad: a value is for mode 'constant', got {value!r} with {mode!r}")
    value = check.number("pad", "value", 0 if value is None else value)
    pad = tuple(pad) if isinstance(pad, tuple | list) else (pad,)
    whole = all(hasattr(p, "__index__") and p >= 0 for p in pad)
    if len(pad) % 2 or len(pad) > 2 * input.ndim or not whole:
        raise ValueError(
            f"pad: expected (left, right) or (left, right, top, bottom) and so on, "
            f"from 0 up, for an input of shape {input.shape}, got {pad!r}"
        )
    sides = tuple(zip(pad[-2::-2], pad[::-2], strict=True))
    if mode == "constant":
        return Pad.apply(input, sides=sides, value=value)
    for axis, (before, after) in enumerate(sides, input.ndim - len(sides)):
        size = input.shape[axis]
        most = size - (mode == "reflect") if mode != "replicate" else math.inf if size else 0
        if max(before, after) > most:
            raise ValueError(
                f"pad: mode {mode!r} can add at most {most} on either side of an axis of {size}, "
                f"got {before} and {after}"
            )
        if before or after:
            places = BEYOND[mode](np.arange(-before, size + after), size)
            input = input[(slice(None),) * axis + (places,)]
    return input


BEYOND = {  # which pixel of an axis of so many stands at a place beyond its ends
    "reflect": lambda place, size: size - 1 - abs(size - 1 - abs(place)),
    "replicate": lambda place, size: place.clip(0, size - 1),
    "circular": lambda place, size: place % size,
}


def dropout(input, p=0.5, training=True, inplace=False):
    """Each element is 0 with probability p, else x / (1 - p) (Srivastava et al., JMLR 2014)."""
    check.tensors("dropout", input=input)
    p = check.number("dropout", "p", p, 0, 1)
    if not training or p == 0:
        return input
    kept = random_generator().random(input.shape, dtype=np.float32) >= p
    scale = (kept / (1 - p) if p < 1 else kept).astype(input.dtype)
    y = input * Tensor(to_device(scale, input.device))
    return input.become("dropout", y) if inplace else y


def dropout2d(input, p=0.5, training=True, inplace=False):
    """As `dropout`, by whole channels of (N, C, H, W): Tompson et al., arXiv 1411.4280."""
    check.tensors("dropout2d", input=input)
    N, C, *_ = _images("dropout2d", input)
    ones = Tensor(np.ones_like(input.array, shape=(N, C, 1, 1)))
    y = input * dropout(ones, p, training)
    return input.become("dropout2d", y) if inplace else y


def one_hot(tensor, num_classes=-1):
    """(...) labels -> (..., num_classes) zeros with a 1 at the label; -1: the largest label + 1."""
    check.tensors("one_hot", tensor=tensor)
    labels = tensor.detach().array
    K = check.integer("one_hot", "num_classes", num_classes, least=-1)
    if labels.dtype.kind not in "iu" or (K < 1 and not labels.size):
        raise ValueError(f"one_hot: expected labels, got {labels.dtype} of shape {labels.shape}")
    K = int(labels.max()) + 1 if K == -1 else K
    if labels.size and not 0 <= labels.min() <= labels.max() < K:
        raise ValueError(
            f"one_hot: labels must be from 0 to {K - 1}, got {labels.min()} to {labels.max()}"
        )
    return Tensor(np.eye(K, dtype=np.int64)[to_device(labels, "cpu")]).to(tensor.device)


def softmax(input, dim=None):
    """exp(x) over its sum along `dim`; None is torch's old choice: 0 of 1 or 3 axes, else 1."""
    dim = _one_dim("softmax", input, dim)
    return Softmax.apply(input.floating(), dim=dim)


def log_softmax(input, dim=None):
    """log(softmax(x)) along `dim`, computed stably; None as for `softmax`."""
    dim = _one_dim("log_softmax", input, dim)
    return LogSoftmax.apply(input.floating(), dim=dim)


def _one_dim(name, input, dim):
    check.tensors(name, input=input)
    if dim is None:
        dim = 0 if input.ndim in (0, 1, 3) else 1
    (axis,) = check.dims(name, check.integer(name, "dim", dim), input.ndim) or (-1,)
    return axis


def _images(name, input):
    """The sizes (N, C, H, W) of a tensor that must have these axes."""
    if input.array.ndim != 4:
        raise ValueError(
            f"{name}: expected an input of shape (N, C, H, W), got shape {input.shape}"
            + ("; add the batch axis with x.unsqueeze(0)" if input.ndim == 3 else "")
        )
    return input.array.shape


def _refuse_misfit(name, window, height, width):
    raise ValueError(
        f"{name}: a window spanning {window.span} does not fit an input of "
        f"{height}x{width} padded by {window.padding}; use a smaller kernel or more padding"
    )
