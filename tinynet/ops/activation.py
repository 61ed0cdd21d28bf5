"""ReLU, ReLU6, sigmoid, tanh and the two softmaxes."""

import numpy as np

from tinynet.autograd.tape import Function


class ReLU(Function):
    rule = {"y": "max(x, 0)", "gx": "gy where x > 0, 0 elsewhere"}
    where = "0 at the kink x = 0, as in torch"
    ceiling = np.inf

    def forward(self, x):
        self.save(x > 0)
        return np.maximum(x, 0)

    def backward(self, gy):
        (rises,) = self.saved
        return np.where(rises, gy, 0)


class ReLU6(ReLU):
    """Howard et al., arXiv 1704.04861 (the code); Krizhevsky, "Convolutional deep belief networks
    on CIFAR-10" (2010)."""

    rule = {"y": "min(max(x, 0), 6)", "gx": "gy where 0 < x < 6, 0 elsewhere"}
    where = "0 at both kinks, x = 0 and x = 6, as in torch"
    ceiling = 6

    def forward(self, x):
        self.save((x > 0) & (x < 6))
        return np.minimum(np.maximum(x, 0), 6)


class Sigmoid(Function):
    """exp is taken of -|x| alone: it never overflows, and where y is tiny it has all its digits."""

    rule = {"y": "1 / (1 + exp(-x))", "gx": "gy y (1 - y)"}

    def forward(self, x):
        exp = np.exp(-abs(x))
        y = np.where(x < 0, exp, 1) / (1 + exp)
        self.save(y)
        return y

    def backward(self, gy):
        (y,) = self.saved
        return gy * y * (1 - y)


class Tanh(Function):
    rule = {"y": "tanh(x)", "gx": "gy (1 - y**2)"}

    def forward(self, x):
        y = np.tanh(x)
        self.save(y)
        return y

    def backward(self, gy):
        (y,) = self.saved
        return gy * (1 - y * y)


class Softmax(Function):
    """The row's maximum is subtracted first: exp then never overflows, and y is the same."""

    rule = {
        "y[i]": "exp(x[i]) / (sum over j of exp(x[j]))",
        "gx[i]": "y[i] (gy[i] - sum over j of gy[j] y[j])",
    }
    where = "i, j: positions along dim"

    def __init__(self, dim):
        self.dim = dim

    def forward(self, x):
        exps = np.exp(x - x.max(axis=self.dim, keepdims=True))
        y = exps / exps.sum(axis=self.dim, keepdims=True)
        self.save(y)
        return y

    def backward(self, gy):
        (y,) = self.saved
        return y * (gy - (gy * y).sum(axis=self.dim, keepdims=True))


class LogSoftmax(Function):
    """As Softmax, the maximum is subtracted first."""

    rule = {
        "y[i]": "x[i] - log(sum over j of exp(x[j]))",
        "gx[i]": "gy[i] - exp(y[i]) (sum over j of gy[j])",
    }
    where = "i, j: positions along dim"

    def __init__(self, dim):
        self.dim = dim

    def forward(self, x):
        y = log_softmax(x, self.dim)
        self.save(y)
        return y

    def backward(self, gy):
        (y,) = self.saved
        return gy - np.exp(y) * gy.sum(axis=self.dim, keepdims=True)


def log_softmax(x, axis):
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
