"""Convolution layers."""

import numpy as np

from tinynet import check
from tinynet.nn import functional as F
from tinynet.nn import init
from tinynet.nn.module import Module, Parameter


class Conv2d(Module):
    """Convolution of (N, in_channels, H, W) with weight (out_channels, in_channels/groups, KH, KW).

    Arguments as torch's; padding_mode: 'zeros', or a mode of `functional.pad`. groups ==
    in_channels is a depthwise convolution and has an op of its own (tinynet/ops/depthwise.py).
    Weights start as torch's: uniform within 1/sqrt(fan_in), the bias too.
    """

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        bias=True,
        padding_mode="zeros",
        device=None,
        dtype=None,
    ):
        super().__init__()
        self.in_channels = check.integer("Conv2d", "in_channels", in_channels, least=1)
        self.out_channels = check.integer("Conv2d", "out_channels", out_channels, least=1)
        self.groups = check.integer("Conv2d", "groups", groups, least=1)
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"Conv2d: groups={groups} must divide in_channels={in_channels} "
                f"and out_channels={out_channels}"
            )
        check.choice("Conv2d", "padding_mode", padding_mode, ("zeros", *F.BEYOND))
        self.padding_mode = padding_mode
        self.kernel_size = check.pair("Conv2d", "kernel_size", kernel_size, least=1)
        self.stride = check.pair("Conv2d", "stride", stride, least=1)
        self.dilation = check.pair("Conv2d", "dilation", dilation, least=1)
        self.padding = (
            padding if isinstance(padding, str) else check.pair("Conv2d", "padding", padding)
        )
        # may refuse
        window = F.conv_window(self.kernel_size, self.stride, self.padding, self.dilation)
        self._border = [side for axis in window.padding[::-1] for side in axis]
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = Parameter(np.empty(shape, np.float32))
        self.register_parameter(
            "bias", Parameter(np.empty(out_channels, np.float32)) if bias else None
        )
        self.reset_parameters()
        self.to(device=device, dtype=dtype)

    def reset_parameters(self):
        init.layer_default_(self.weight, self.bias)

    def forward(self, x):
        padding = self.padding
        if self.padding_mode != "zeros":
            x, padding = F.pad(x, self._border, self.padding_mode), 0
        return F.conv2d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def extra_repr(self):
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        if self.padding != (0, 0):
            text += f", padding={self.padding}"
        if self.dilation != (1, 1):
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class _Pad2d(Module):
    mode = "constant"

    def __init__(self, padding):
        super().__init__()
        name = type(self).__name__
        four = padding if isinstance(padding, tuple | list) else (padding,) * 4
        self.padding = tuple(check.integer(name, "padding", side, least=0) for side in four)
        if len(self.padding) != 4:
            raise ValueError(
                f"{name}: padding must be an integer or (left, right, top, bottom), got {padding!r}"
            )

    def forward(self, x):
        return F.pad(x, self.padding, self.mode)

    def extra_repr(self):
        return f"{self.padding}"


class ZeroPad2d(_Pad2d):
    """A border of zeros; padding: an int or (left, right, top, bottom)."""


class ConstantPad2d(_Pad2d):
    """A border of `value`."""

    def __init__(self, padding, value):
        super().__init__(padding)
        self.value = check.number("ConstantPad2d", "value", value)

    def forward(self, x):
        return F.pad(x, self.padding, value=self.value)

    def extra_repr(self):
        return f"padding={self.padding}, value={self.value}"


class ReflectionPad2d(_Pad2d):
    """A border of what lies beyond a mirror in the outermost pixels."""

    mode = "reflect"


class ReplicationPad2d(_Pad2d):
    """A border of the outermost pixels, repeated."""

    mode = "replicate"
