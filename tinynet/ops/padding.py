"""Constant padding."""

from tinynet.autograd.tape import Function
from tinynet.backend import array_module
from tinynet.ops.layout import batch_first


class Pad(Function):
    """y = x inside a border of `value`;  gx = gy without the border

    Args: sides: (before, after) for each of the last axes, not negative.
    """

    def __init__(self, sides, value=0.0):
        self.sides, self.value = sides, value

    def forward(self, x):
        first = x.ndim - len(self.sides)
        sides = ((0, 0),) * first + self.sides
        shape = [a + size + b for size, (a, b) in zip(x.shape, sides, strict=True)]
        self.inside = tuple(slice(a, a + size) for size, (a, _) in zip(x.shape, sides, strict=True))
        full = array_module(x).full
        if x.ndim == 4:  # pictures: in the engine's own layout
            y = batch_first(full(shape[1:] + shape[:1], self.value, x.dtype))
        else:
            y = full(shape, self.value, x.dtype)
        y[self.inside] = x
        return y

    def backward(self, gy):
        return gy[self.inside]
