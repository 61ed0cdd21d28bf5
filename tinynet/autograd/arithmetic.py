"""Elementwise arithmetic, and the Tensor operators and methods that reach it.

Binary ops broadcast as NumPy does; a gradient is summed back over the axes that were
broadcast (`unbroadcast`).
"""

import numpy as np

from tinynet.autograd.matmul import MatMul
from tinynet.autograd.tape import Function, unbroadcast
from tinynet.backend import array_module


def _check_broadcast(op, a, b):
    for size_a, size_b in zip(a.shape[::-1], b.shape[::-1], strict=False):
        if size_a != size_b and 1 not in (size_a, size_b):
            raise ValueError(
                f"{op.name}: shapes {a.shape} and {b.shape} do not broadcast "
                f"({size_a} against {size_b}); trailing sizes must be equal or 1"
            )


def _as_ieee():
    """1/0 is inf and log(-1) is nan without a warning, as in torch."""
    return np.errstate(divide="ignore", invalid="ignore", over="ignore")


class _Binary(Function):
    """An op on two arrays that broadcast: `_gradients` works at the broadcast shape."""

    def forward(self, a, b):
        _check_broadcast(self, a, b)
        return self._forward(a, b)

    def backward(self, gy):
        ga, gb = self._gradients(gy)
        return (
            unbroadcast(ga, self.input_shapes[0]) if self.needs[0] else None,
            unbroadcast(gb, self.input_shapes[1]) if self.needs[1] else None,
        )


class Add(_Binary):
    """y = a + b;  ga = gy, gb = gy"""

    def _forward(self, a, b):
        return a + b

    def _gradients(self, gy):
        return gy, gy


class Subtract(_Binary):
    """y = a - b;  ga = gy, gb = -gy"""

    def _forward(self, a, b):
        return a - b

    def _gradients(self, gy):
        return gy, -gy if self.needs[1] else None


class Multiply(_Binary):
    """y = a b;  ga = gy b, gb = gy a"""

    def _forward(self, a, b):
        # each factor is needed for the gradient of the other only
        self.save(a if self.needs[1] else None, b if self.needs[0] else None)
        return a * b

    def _gradients(self, gy):
        a, b = self.saved
        return None if b is None else gy * b, None if a is None else gy * a


class Divide(_Binary):
    """y = a / b;  ga = gy / b, gb = -gy a / b**2"""

    def _forward(self, a, b):
        self.save(a if self.needs[1] else None, b)
        with _as_ieee():
            return a / b

    def _gradients(self, gy):
        a, b = self.saved
        with _as_ieee():
            ga = gy / b
            return ga, None if a is None else -ga * a / b


class Power(_Binary):
    """y = a**b;  ga = gy b a**(b-1), gb = gy y log(a)

    As in torch, ga is 0 where b = 0 (even at a = 0), and gb is 0 where a = 0 and b >= 0.
    """

    def _forward(self, a, b):
        with _as_ieee():
            y = a**b
        self.save(a, b, y if self.needs[1] else None)
        return y

    def _gradients(self, gy):
        a, b, y = self.saved
        xp = array_module(gy)
        ga = gb = None
        with _as_ieee():
            if self.needs[0]:
                ga = xp.where(b == 0, 0, gy * b * a ** xp.where(b == 0, 1, b - 1))
            if self.needs[1]:
                gb = xp.where((a == 0) & (b >= 0), 0, gy * y * xp.log(a))
        return ga, gb


class Maximum(_Binary):
    """y = max(a, b);  the gradient goes to the larger; at a tie half to each (as in torch)"""

    def _forward(self, a, b):
        xp = array_module(a)
        self.save(a, b)
        return xp.maximum(a, b)

    def _gradients(self, gy):
        a, b = self.saved
        return gy * ((a > b) + (a == b) * 0.5), gy * ((b > a) + (a == b) * 0.5)


class Negate(Function):
    """y = -x;  gx = -gy"""

    def forward(self, x):
        return -x

    def backward(self, gy):
        return -gy


class Exp(Function):
    """y = exp(x);  gx = gy y"""

    def forward(self, x):
        y = array_module(x).exp(x)
        self.save(y)
        return y

    def backward(self, gy):
        (y,) = self.saved
        return gy * y


class Log(Function):
    """y = log(x), the natural logarithm;  gx = gy / x"""

    def forward(self, x):
        self.save(x)
        with _as_ieee():
            return array_module(x).log(x)

    def backward(self, gy):
        (x,) = self.saved
        with _as_ieee():
            return gy / x


class Sqrt(Function):
    """y = sqrt(x);  gx = gy / (2 y)"""

    def forward(self, x):
        with _as_ieee():
            y = array_module(x).sqrt(x)
        self.save(y)
        return y

    def backward(self, gy):
        (y,) = self.saved
        with _as_ieee():
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


class ArithmeticMethods:
    """Tensor's operators and elementwise methods. Numbers and arrays are taken as constants."""

    def _binary(self, op, other, swap=False, floating=False):
        pair = self.promote(other, floating)
        if pair is NotImplemented:
            return NotImplemented
        return op.apply(*(pair[::-1] if swap else pair))

    def __add__(self, other):
        return self._binary(Add, other)

    __radd__ = __add__

    def __sub__(self, other):
        return self._binary(Subtract, other)

    def __rsub__(self, other):
        return self._binary(Subtract, other, swap=True)

    def __mul__(self, other):
        return self._binary(Multiply, other)

    __rmul__ = __mul__

    def __truediv__(self, other):
        return self._binary(Divide, other, floating=True)

    def __rtruediv__(self, other):
        return self._binary(Divide, other, swap=True, floating=True)

    def __pow__(self, other):
        return self._binary(Power, other)

    def __rpow__(self, other):
        return self._binary(Power, other, swap=True)

    def __matmul__(self, other):
        return self._binary(MatMul, other)

    def __rmatmul__(self, other):
        return self._binary(MatMul, other, swap=True)

    def __neg__(self):
        return Negate.apply(self)

    def __abs__(self):
        return Abs.apply(self)

    def _compare(self, other, function):
        pair = self.promote(other)
        if pair is NotImplemented:
            return NotImplemented
        a, b = pair
        return type(self).constant(getattr(array_module(a.array), function)(a.array, b.array))

    def __eq__(self, other):
        return self._compare(other, "equal")

    def __ne__(self, other):
        return self._compare(other, "not_equal")

    def __lt__(self, other):
        return self._compare(other, "less")

    def __le__(self, other):
        return self._compare(other, "less_equal")

    def __gt__(self, other):
        return self._compare(other, "greater")

    def __ge__(self, other):
        return self._compare(other, "greater_equal")

    __hash__ = object.__hash__  # tensors are told apart by identity, as in torch

    def _named(self, op, name, other, floating=False):
        out = self._binary(op, other, floating=floating)
        if out is NotImplemented:
            raise TypeError(f"{name}: expected a Tensor or a number, got {type(other).__name__}")
        return out

    def add(self, other):
        return self._named(Add, "add", other)

    def sub(self, other):
        return self._named(Subtract, "sub", other)

    def mul(self, other):
        return self._named(Multiply, "mul", other)

    def div(self, other):
        return self._named(Divide, "div", other, floating=True)

    def pow(self, exponent):
        return self._named(Power, "pow", exponent)

    def matmul(self, other):
        return self._named(MatMul, "matmul", other)

    def maximum(self, other):
        return self._named(Maximum, "maximum", other)

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
            if bound is not None and not isinstance(bound, int | float | np.number):
                raise TypeError(f"clip: {name} must be a number, got {type(bound).__name__}")
        return Clip.apply(self, low=min, high=max)

    clamp = clip
