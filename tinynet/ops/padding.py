"""Constant padding around a picture."""

from tinynet.autograd.tape import Function
from tinynet.ops.layout import batch_first, channels_first, check_images
from tinynet.ops.window import Window


class Pad2d(Function):
    """y = x inside a border of `value`;  gx = gy without the border

    Args: x (N, C, H, W); padding ((top, bottom), (left, right)), not negative.
    """

    def __init__(self, padding, value=0.0):
        self.window, self.value = Window(kernel=(1, 1), padding=padding), value

    def forward(self, x):
        check_images("Pad2d", x)
        return batch_first(self.window.pad(channels_first(x), self.value))

    def backward(self, gy):
        return batch_first(self.window.unpad(channels_first(gy)))
