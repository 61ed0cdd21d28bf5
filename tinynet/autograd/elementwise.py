"""Ops on one tensor, element by element, and the Tensor methods that reach them."""

import numpy as np

from tinynet.autograd.conversion import NUMBERS
from tinynet.autograd.tape import Function
from tinynet.backend import array_module


def as_ieee():
    """1/0 is inf and log(-1) is nan without a warning, as in torch."""
    return np.errstate(divide="ignore", invalid="ignore", over="ignore")


class Negate(Function):
    """y = -x;  gx = -gy"""

    def forward(self, x):
        return -x

    def backward(self, gy):
        return -gy


class Exp(Function):
    """y = exp(x);  gx = gy y"""

    def forward(self, x):
        with as_ieee():
            y = array_module(x).exp(x)
        self.save(y)
        return y

    def backward(self, gy):
        (y,) = self.saved
        with as_ieee():
            return gy * y


class Log(Function):
    """y = log(x), the natural logarithm;  gx = gy / x"""

    def forward(self, x):
        self.save(x)
        with as_ieee():
            return array_module(x).log(x)

    def backward(self, gy):
        (x,) = self.saved
        with as_ieee():
            return gy / x


class Sqrt(Function):
    """y = sqrt(x);  gx = gy / (2 y)"""

    def forward(self, x):
        with as_ieee():
            y = array_module(x).sqrt(x)
        self.save(y)
        return y

    def backward(self, gy):
        (y,) = self.saved
        with as_ieee():
            return gy / (2 * y)


class Abs(Function):
    """y = |x|;  gx = gy sign(x), 0 at 0"""

    def forward(self, x):
        self.save(x)
        return abs(x)

    def backward(self, gy):
        (x,) = self.saved
        return gy * array_module(x).sign(x)


class Clip(Function):
    """y = min(max(x, low), high);  gx = gy where low <= x <= high, else 0

    The bounds themselves pass the gradient, as in torch.clamp (not as in ReLU6).
    """

    def __init__(self, low, high):
        self.low, self.high = low, high

    def forward(self, x):
        xp = array_module(x)
        inside = xp.ones(x.shape, dtype=bool)
        if self.low is not None:
            inside &= x >= self.low
        if self.high is not None:
            inside &= x <= self.high
        self.save(inside)
        return xp.clip(x, self.low, self.high)

    def backward(self, gy):
        (inside,) = self.saved
        return gy * inside


class ElementwiseMethods:
    """Tensor's methods that work element by element."""

    def __neg__(self):
        return Negate.apply(self)

    def __abs__(self):
        return Abs.apply(self)

    def exp(self):
        return Exp.apply(self.floating())

    def log(self):
        return Log.apply(self.floating())

    def sqrt(self):
        return Sqrt.apply(self.floating())

    def abs(self):
        return Abs.apply(self)

    def clip(self, min=None, max=None):
        """Limit every element to [min, max]; either bound may be None."""
        if min is None and max is None:
            raise ValueError("clip: give min, max or both; got neither")
        for name, bound in (("min", min), ("max", max)):
            if bound is not None and not isinstance(bound, NUMBERS):
                raise TypeError(f"clip: {name} must be a number, got {type(bound).__name__}")
        # a NumPy number would drag a float32 tensor to its own dtype, a Python number does not
        bounds = [b.item() if isinstance(b, np.generic) else b for b in (min, max)]
        x = self.floating() if any(isinstance(b, float) for b in bounds) else self
        return Clip.apply(x, low=bounds[0], high=bounds[1])

    clamp = clip
