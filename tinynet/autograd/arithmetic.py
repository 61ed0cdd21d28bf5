"""Elementwise arithmetic, and the Tensor operators and methods that reach it.

Binary ops broadcast as NumPy does; a gradient is summed back over the axes that were
broadcast (`unbroadcast`).
"""

from tinynet.autograd.elementwise import as_ieee
from tinynet.autograd.matmul import MatMul
from tinynet.autograd.tape import Function, check_one_device, unbroadcast
from tinynet.backend import array_module


def check_broadcast(name, a, b):
    for size_a, size_b in zip(a.shape[::-1], b.shape[::-1], strict=False):
        if size_a != size_b and 1 not in (size_a, size_b):
            raise ValueError(
                f"{name}: shapes {a.shape} and {b.shape} do not broadcast "
                f"({size_a} against {size_b}); trailing sizes must be equal or 1"
            )


class _Binary(Function):
    """An op on two arrays that broadcast: `_gradients` works at the broadcast shape."""

    def forward(self, a, b):
        check_broadcast(self.name, a, b)
        with as_ieee():
            return self._forward(a, b)

    def backward(self, gy):
        with as_ieee():
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
        return a / b

    def _gradients(self, gy):
        a, b = self.saved
        ga = gy / b
        return ga, None if a is None else -ga * a / b


class Power(_Binary):
    """y = a**b;  ga = gy b a**(b-1), gb = gy y log(a)

    As in torch, ga is 0 where b = 0 (even at a = 0), and gb is 0 where a = 0 and b >= 0.
    """

    def _forward(self, a, b):
        if a.dtype.kind in "iu" and (b < 0).any():
            raise ValueError(
                "Power: integers to negative powers are not integers; convert with .float() first"
            )
        y = a**b
        self.save(a, b, y if self.needs[1] else None)
        return y

    def _gradients(self, gy):
        a, b, y = self.saved
        xp = array_module(gy)
        ga = gb = None
        if self.needs[0]:
            ga = xp.where(b == 0, 0, gy * b * a ** xp.where(b == 0, 1, b - 1))
        if self.needs[1]:
            gb = xp.where((a == 0) & (b >= 0), 0, gy * y * xp.log(a))
        return ga, gb


class Maximum(_Binary):
    """y = max(a, b);  gy goes to the larger of a and b, at a tie half to each (as in torch)"""

    def _forward(self, a, b):
        self.save(a > b, a < b)
        return array_module(a).maximum(a, b)

    def _gradients(self, gy):
        # where neither is the other's better, (1 + 0 - 0) / 2 is a half
        a_wins, b_wins = self.saved
        ahead = a_wins.astype(gy.dtype) - b_wins
        return gy * ((1 + ahead) / 2), gy * ((1 - ahead) / 2)


class Minimum(Maximum):
    """y = min(a, b);  gy goes to the smaller of a and b, at a tie half to each (as in torch)"""

    def _forward(self, a, b):
        self.save(a < b, a > b)
        return array_module(a).minimum(a, b)


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

    def _compare(self, other, function):
        pair = self.promote(other)
        if pair is NotImplemented:
            return NotImplemented
        a, b = (tensor.array for tensor in pair)
        check_one_device(function, a, b)
        check_broadcast(function, a, b)
        return type(self).constant(getattr(array_module(a), function)(a, b))

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

    def minimum(self, other):
        return self._named(Minimum, "minimum", other)
