"""Ops that work element by element. Two inputs broadcast; the tape sums their gradients back."""

import numpy as np

from tinynet import backend
from tinynet.autograd.tape import Function


class Add(Function):
    rule = {"y": "a + b", "ga": "gy", "gb": "gy"}
    broadcasts = True

    def forward(self, a, b):
        return a + b

    def backward(self, gy):
        return gy, gy


class Subtract(Function):
    rule = {"y": "a - b", "ga": "gy", "gb": "-gy"}
    broadcasts = True

    def forward(self, a, b):
        return a - b

    def backward(self, gy):
        return gy, -gy


class Multiply(Function):
    rule = {"y": "a b", "ga": "gy b", "gb": "gy a"}
    broadcasts = True

    def forward(self, a, b):
        # each factor is needed for the gradient of the other only
        self.save(a if self.needs[1] else None, b if self.needs[0] else None)
        return a * b

    def backward(self, gy):
        a, b = self.saved
        return None if b is None else gy * b, None if a is None else gy * a


class Divide(Function):
    rule = {"y": "a / b", "ga": "gy / b", "gb": "-gy a / b**2"}
    broadcasts = True

    def forward(self, a, b):
        self.save(a if self.needs[1] else None, b)
        return a / b

    def backward(self, gy):
        a, b = self.saved
        ga = gy / b
        return ga, None if a is None else -ga * a / b


class Remainder(Function):
    rule = {"y": "a - b floor(a / b)", "ga": "gy", "gb": "-gy floor(a / b)"}
    where = "y has the sign of b, as in Python"
    broadcasts = True

    def forward(self, a, b):
        self.save(a if self.needs[1] else None, b if self.needs[1] else None)
        return a % b

    def backward(self, gy):
        a, b = self.saved
        return gy, None if a is None else -gy * np.floor(a / b)


class Power(Function):
    rule = {"y": "a**b", "ga": "gy b a**(b-1)", "gb": "gy y log(a)"}
    where = "as in torch, ga is 0 where b = 0, and gb is 0 where a = 0 and b >= 0"
    broadcasts = True

    def forward(self, a, b):
        y = a**b
        self.save(a, b, y if self.needs[1] else None)
        return y

    def backward(self, gy):
        a, b, y = self.saved
        ga = gb = None
        if self.needs[0]:
            ga = np.where(b == 0, 0, gy * b * a ** np.where(b == 0, 1, b - 1))
        if self.needs[1]:
            gb = np.where((a == 0) & (b >= 0), 0, gy * y * np.log(a))
        return ga, gb


class Maximum(Function):
    rule = {
        "y": "max(a, b)",
        "ga": "gy where a > b, gy / 2 where a = b, 0 elsewhere",
        "gb": "gy where b > a, gy / 2 where a = b, 0 elsewhere",
    }
    broadcasts = True

    def forward(self, a, b):
        self.save(a > b, b > a)
        return np.maximum(a, b)

    def backward(self, gy):
        a_wins, b_wins = self.saved
        tie = np.where(a_wins | b_wins, 0, gy / 2)
        return np.where(a_wins, gy, tie), np.where(b_wins, gy, tie)


class Minimum(Maximum):
    rule = {
        "y": "min(a, b)",
        "ga": "gy where a < b, gy / 2 where a = b, 0 elsewhere",
        "gb": "gy where b < a, gy / 2 where a = b, 0 elsewhere",
    }

    def forward(self, a, b):
        self.save(a < b, b < a)
        return np.minimum(a, b)


class Where(Function):
    """Args: condition: an array of bools that broadcasts with a and b."""

    rule = {
        "y": "a where condition holds, b elsewhere",
        "ga": "gy where condition holds, 0 elsewhere",
        "gb": "0 where condition holds, gy elsewhere",
    }
    broadcasts = True

    def __init__(self, condition):
        self.condition = condition

    def forward(self, a, b):
        return np.where(self.condition, a, b)

    def backward(self, gy):
        return np.where(self.condition, gy, 0), np.where(self.condition, 0, gy)


class Negate(Function):
    rule = {"y": "-x", "gx": "-gy"}

    def forward(self, x):
        return -x

    def backward(self, gy):
        return -gy


class Exp(Function):
    rule = {"y": "exp(x)", "gx": "gy y"}

    def forward(self, x):
        y = np.exp(x)
        self.save(y)
        return y

    def backward(self, gy):
        (y,) = self.saved
        return gy * y


class Log(Function):
    rule = {"y": "log(x)", "gx": "gy / x"}
    where = "log: the natural logarithm"

    def forward(self, x):
        self.save(x)
        return np.log(x)

    def backward(self, gy):
        (x,) = self.saved
        return gy / x


class Sqrt(Function):
    rule = {"y": "sqrt(x)", "gx": "gy / (2 y)"}

    def forward(self, x):
        y = np.sqrt(x)
        self.save(y)
        return y

    def backward(self, gy):
        (y,) = self.saved
        return gy / (2 * y)


class Abs(Function):
    rule = {"y": "|x|", "gx": "gy sign(x)"}
    where = "sign(0) = 0"

    def forward(self, x):
        self.save(x)
        return abs(x)

    def backward(self, gy):
        (x,) = self.saved
        return gy * np.sign(x)


class Round(Function):
    rule = {"y": "the whole number nearest to x", "gx": "0"}
    where = "halves go to the even neighbour, as in torch"

    def forward(self, x):
        return np.rint(x)

    def backward(self, gy):
        return np.zeros_like(gy)


class Clip(Function):
    """Args: low, high: numbers or None."""

    rule = {"y": "min(max(x, low), high)", "gx": "gy where low <= x <= high, 0 elsewhere"}
    where = "at a bound the gradient passes, as in torch.clamp (not as in ReLU6)"

    def __init__(self, low, high):
        self.low, self.high = low, high

    def forward(self, x):
        low = -np.inf if self.low is None else self.low
        high = np.inf if self.high is None else self.high
        self.save((low <= x) & (x <= high))
        return np.clip(x, self.low, self.high)

    def backward(self, gy):
        (inside,) = self.saved
        return np.where(inside, gy, 0)


class Cast(Function):
    rule = {"y": "x in another floating dtype", "gx": "gy in the dtype of x"}

    def __init__(self, dtype):
        self.dtype = dtype

    def forward(self, x):
        return x.astype(self.dtype)

    def backward(self, gy):
        return gy.astype(self.input_dtypes[0])


class Transfer(Function):
    rule = {"y": "x on another device", "gx": "gy on the device of x"}

    def __init__(self, device):
        self.device = device

    def forward(self, x):
        self.source = backend.device_of(x)
        return backend.to_device(x, self.device)

    def backward(self, gy):
        return backend.to_device(gy, self.source)
