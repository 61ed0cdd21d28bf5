"""Layers as functions, by torch's names: arguments are checked here, then an op is applied."""

import numpy as np

from tinynet.autograd import Tensor
from tinynet.backend import array_module, random_generator, to_device
from tinynet.nn.arguments import check_tensor, pair, same_dtype
from tinynet.nn.cross_entropy import cross_entropy
from tinynet.ops.activation import ReLU, ReLU6
from tinynet.ops.batchnorm import BatchNorm
from tinynet.ops.conv import Conv2d
from tinynet.ops.depthwise import DepthwiseConv2d
from tinynet.ops.layout import check_images
from tinynet.ops.linear import Linear
from tinynet.ops.padding import Pad
from tinynet.ops.pooling import AveragePool2d, MaxPool2d, adaptive_averages, window_averages
from tinynet.ops.softmax import LogSoftmax, Softmax
from tinynet.ops.window import Window

__all__ = [
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "batch_norm",
    "conv2d",
    "cross_entropy",
    "dropout",
    "linear",
    "log_softmax",
    "max_pool2d",
    "pad",
    "relu",
    "relu6",
    "softmax",
]


def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Convolution (N, C, H, W) -> (N, O, HO, WO), HO = floor((H + 2p - d(KH-1) - 1)/s) + 1.

    Args: weight (O, C/groups, KH, KW); bias (O,) or None; stride, padding, dilation: an int
    or (height, width); padding also 'valid' or 'same' (output as large as the input, stride 1).
    groups: the channels fall into groups that do not meet; groups == C is depthwise.
    """
    check_tensor("conv2d", "input", input)
    check_tensor("conv2d", "weight", weight)
    same_dtype("conv2d", input=input, weight=weight, bias=bias)
    if weight.ndim != 4:
        raise ValueError(f"conv2d: weight must be (O, C/groups, KH, KW), got shape {weight.shape}")
    O, Cg = weight.shape[:2]
    if groups < 1 or O % groups:
        raise ValueError(f"conv2d: groups={groups} does not divide the {O} output channels")
    if bias is not None and bias.shape != (O,):
        raise ValueError(f"conv2d: bias must have shape ({O},), got {bias.shape}")
    window = conv_window(weight.shape[2:], stride, padding, dilation)
    inputs = (input, weight) if bias is None else (input, weight, bias)
    if groups > 1 and Cg == 1 and input.ndim == 4 and input.shape[1] == groups:
        return DepthwiseConv2d.apply(*inputs, window=window)
    return Conv2d.apply(*inputs, window=window, groups=groups)


def conv_window(kernel, stride, padding, dilation):
    """The geometry that torch's convolution arguments describe."""
    stride = pair("conv2d", "stride", stride, least=1)
    dilation = pair("conv2d", "dilation", dilation, least=1)
    if padding == "valid":
        padding = 0
    if padding == "same":
        if stride != (1, 1):
            raise ValueError(f"conv2d: padding='same' needs stride 1, got {stride}")
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        sides = tuple((t // 2, t - t // 2) for t in total)
    elif isinstance(padding, str):
        raise ValueError(f"conv2d: padding must be numbers, 'same' or 'valid', got {padding!r}")
    else:
        sides = tuple((p, p) for p in pair("conv2d", "padding", padding))
    return Window(tuple(kernel), stride, sides, dilation)


def linear(input, weight, bias=None):
    """y = input weight^T + bias: (..., I) -> (..., O); weight (O, I), bias (O,) or None."""
    check_tensor("linear", "input", input)
    check_tensor("linear", "weight", weight)
    same_dtype("linear", input=input, weight=weight, bias=bias)
    if weight.ndim != 2:
        raise ValueError(f"linear: weight must be (O, I), got shape {weight.shape}")
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
    activation=None,
    num_batches_tracked=None,
):
    """Batch normalisation of (N, C, H, W) over N, H, W; the running tensors change in training.

    activation: None, or "relu" or "relu6" to apply to the result in the same op.
    num_batches_tracked: a tensor of one int64, to which training adds 1.
    """
    _need_images("batch_norm", input)
    if not training and (running_mean is None or running_var is None):
        raise ValueError("batch_norm: evaluation needs running_mean and running_var, got None")
    C = input.shape[1]
    xp = array_module(input.array)
    weight = Tensor(xp.ones(C, input.dtype)) if weight is None else weight
    bias = Tensor(xp.zeros(C, input.dtype)) if bias is None else bias
    for name, tensor in (
        ("weight", weight),
        ("bias", bias),
        ("running_mean", running_mean),
        ("running_var", running_var),
    ):
        if tensor is not None and tensor.shape != (C,):
            raise ValueError(
                f"batch_norm: {name} has shape {tensor.shape}, expected ({C},) "
                f"for an input of {C} channels"
            )
    same_dtype("batch_norm", input=input, weight=weight, bias=bias)
    return BatchNorm.apply(
        input,
        weight,
        bias,
        training=training,
        running_mean=None if running_mean is None else running_mean.array,
        running_var=None if running_var is None else running_var.array,
        momentum=momentum,
        eps=eps,
        activation=activation,
        num_batches_tracked=None if num_batches_tracked is None else num_batches_tracked.array,
    )


def relu(input, inplace=False):
    """max(x, 0). inplace: `input` itself becomes the result."""
    y = ReLU.apply(input)
    return input.rebind(y) if inplace else y


def relu6(input, inplace=False):
    """min(max(x, 0), 6). inplace: `input` itself becomes the result."""
    y = ReLU6.apply(input)
    return input.rebind(y) if inplace else y


def adaptive_avg_pool2d(input, output_size):
    """Average to `output_size`: an int or (HO, WO), None keeping that axis."""
    _need_images("adaptive_avg_pool2d", input)
    H, W = input.shape[2:]
    if not isinstance(output_size, tuple | list):
        output_size = (output_size, output_size)
    if len(output_size) == 2:  # None keeps the input's size
        output_size = [
            size if wanted is None else wanted
            for wanted, size in zip(output_size, (H, W), strict=True)
        ]
    HO, WO = pair("adaptive_avg_pool2d", "output_size", output_size, least=1)
    return AveragePool2d.apply(
        input,
        row_averages=adaptive_averages(H, HO, input.dtype),
        column_averages=adaptive_averages(W, WO, input.dtype),
    )


def _pool_window(name, input, kernel_size, stride, padding, dilation, ceil_mode):
    """The geometry that torch's pooling arguments describe, and its output size."""
    _need_images(name, input)
    kernel = pair(name, "kernel_size", kernel_size, least=1)
    stride = kernel if stride is None else pair(name, "stride", stride, least=1)
    padding = pair(name, "padding", padding)
    dilation = pair(name, "dilation", dilation, least=1)
    sides = []
    for size, k, d, s, p in zip(input.shape[2:], kernel, dilation, stride, padding, strict=True):
        span = d * (k - 1) + 1
        if 2 * p > span:
            raise ValueError(
                f"{name}: padding {padding} must be at most half the kernel size {kernel}"
            )
        beyond = 0  # pixels by which the last window may reach beyond the padding
        if ceil_mode:
            start = -(-(size + 2 * p - span) // s) * s  # of the last window, in the padded picture
            if start >= size + p:  # windows that begin in the far padding do not count
                start -= s
            beyond = max(start + span - (size + 2 * p), 0)
        sides.append((p, p + beyond))
    window = Window(kernel, stride, tuple(sides), dilation)
    return window, window.output_size(name, *input.shape[2:])


def avg_pool2d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """Average over windows; stride defaults to the kernel size.

    ceil_mode: a last window may reach beyond the border. count_include_pad: the zeros of the
    padding count.
    """
    window, out_size = _pool_window("avg_pool2d", input, kernel_size, stride, padding, 1, ceil_mode)
    averages = [
        window_averages(size, out, k, s, p, count_include_pad, input.dtype)
        for size, out, k, s, (p, _) in zip(
            input.shape[2:], out_size, window.kernel, window.stride, window.padding, strict=True
        )
    ]
    return AveragePool2d.apply(input, row_averages=averages[0], column_averages=averages[1])


def max_pool2d(input, kernel_size, stride=None, padding=0, dilation=1, *, ceil_mode=False):
    """The largest value of each window; stride defaults to the kernel size.

    ceil_mode: a last window may reach beyond the border.
    """
    window, _ = _pool_window("max_pool2d", input, kernel_size, stride, padding, dilation, ceil_mode)
    return MaxPool2d.apply(input, window=window)


def pad(input, pad, mode="constant", value=None):
    """A border of `value` (by default 0) around the last axes.

    pad = (left, right, top, bottom, ...): the last axis first, two numbers an axis, from 0 up.
    Modes other than 'constant' are not supported.
    """
    check_tensor("pad", "input", input)
    if mode != "constant":
        raise ValueError(f"pad: mode must be 'constant', got {mode!r}")
    pad = tuple(pad) if isinstance(pad, tuple | list) else (pad,)
    whole = all(hasattr(p, "__index__") and p >= 0 for p in pad)
    if len(pad) % 2 or len(pad) > 2 * input.ndim or not whole:
        raise ValueError(
            f"pad: expected (left, right) or (left, right, top, bottom) and so on, "
            f"from 0 up, for an input of shape {input.shape}, got {pad!r}"
        )
    sides = tuple(zip(pad[-2::-2], pad[::-2], strict=True))
    return Pad.apply(input, sides=sides, value=0 if value is None else value)


def dropout(input, p=0.5, training=True, inplace=False):
    """Each element is 0 with probability p, else x / (1 - p) (Srivastava et al., JMLR 2014)."""
    check_tensor("dropout", "input", input)
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p must be a probability from 0 to 1, got {p}")
    if not training or p == 0:
        return input
    kept = random_generator().random(input.shape, dtype=np.float32) >= p
    scale = (kept / (1 - p) if p < 1 else kept).astype(input.dtype)
    y = input * Tensor(to_device(scale, input.device))
    return input.rebind(y) if inplace else y


def softmax(input, dim=None):
    """exp(x) over its sum along `dim`; None is torch's old choice: 0 of 1 or 3 axes, else 1."""
    dim = _one_dim("softmax", input, dim)
    return Softmax.apply(input.floating(), dim=dim)


def log_softmax(input, dim=None):
    """log(softmax(x)) along `dim`, computed stably; None as for `softmax`."""
    dim = _one_dim("log_softmax", input, dim)
    return LogSoftmax.apply(input.floating(), dim=dim)


def _one_dim(name, input, dim):
    check_tensor(name, "input", input)
    if dim is None:
        dim = 0 if input.ndim in (0, 1, 3) else 1
    if not isinstance(dim, int) or not -max(input.ndim, 1) <= dim < max(input.ndim, 1):
        raise ValueError(
            f"{name}: dim must be an axis of a tensor of shape {input.shape}, got {dim!r}"
        )
    return dim


def _need_images(name, input):
    check_tensor(name, "input", input)
    check_images(name, input)
    same_dtype(name, input=input)
