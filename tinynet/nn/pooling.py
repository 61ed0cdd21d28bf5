"""Pooling layers."""

from tinynet import check
from tinynet.nn import functional as F
from tinynet.nn.module import Module


def _check(name, kernel_size, stride, padding, dilation=1):
    check.pair(name, "kernel_size", kernel_size, least=1)
    check.pair(name, "stride", 1 if stride is None else stride, least=1)
    check.pair(name, "padding", padding)
    check.pair(name, "dilation", dilation, least=1)


class AdaptiveAvgPool2d(Module):
    """Average to output_size: an int or (HO, WO), None keeping that axis."""

    def __init__(self, output_size):
        super().__init__()
        for size in output_size if isinstance(output_size, tuple | list) else (output_size,):
            if size is not None:
                check.integer("AdaptiveAvgPool2d", "output_size", size, least=1)
        self.output_size = output_size

    def forward(self, x):
        return F.adaptive_avg_pool2d(x, self.output_size)

    def extra_repr(self):
        return f"output_size={self.output_size}"


class AvgPool2d(Module):
    """The mean of each window; stride defaults to the kernel size."""

    def __init__(
        self, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True
    ):
        super().__init__()
        _check("AvgPool2d", kernel_size, stride, padding)
        self.kernel_size, self.padding = kernel_size, padding
        self.stride = kernel_size if stride is None else stride
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, x):
        return F.avg_pool2d(
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )

    def extra_repr(self):
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxPool2d(Module):
    """The largest value of each window; stride defaults to the kernel size."""

    def __init__(self, kernel_size, stride=None, padding=0, dilation=1, *, ceil_mode=False):
        super().__init__()
        _check("MaxPool2d", kernel_size, stride, padding, dilation)
        self.kernel_size, self.padding = kernel_size, padding
        self.stride = kernel_size if stride is None else stride
        self.dilation, self.ceil_mode = dilation, ceil_mode

    def forward(self, x):
        return F.max_pool2d(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            ceil_mode=self.ceil_mode,
        )

    def extra_repr(self):
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )
