"""ReLU and its smooth relatives, sigmoid, tanh and the two softmaxes."""

import math

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


class LeakyReLU(Function):
    """Maas, Hannun, Ng, "Rectifier nonlinearities improve neural network acoustic models", 2013."""

    rule = {"y": "x where x > 0, slope x elsewhere", "gx": "gy where x > 0, slope gy elsewhere"}

    def __init__(self, slope=0.01):
        self.slope = slope

    def forward(self, x):
        self.save(x > 0)
        return np.where(x > 0, x, self.slope * x)

    def backward(self, gy):
        (positive,) = self.saved
        return np.where(positive, gy, self.slope * gy)


class ELU(Function):
    """Clevert, Unterthiner, Hochreiter, arXiv 1511.07289, equation 15."""

    rule = {
        "y": "x where x > 0, alpha (exp(x) - 1) elsewhere",
        "gx": "gy where x > 0, gy (y + alpha) elsewhere",
    }

    def __init__(self, alpha=1.0):
        self.alpha = alpha

    def forward(self, x):
        y = np.where(x > 0, x, self.alpha * np.expm1(np.minimum(x, 0)))
        self.save(x > 0, y)
        return y

    def backward(self, gy):
        linear, y = self.saved
        return np.where(linear, gy, gy * (y + self.alpha))


class Softplus(Function):
    """exp is taken of -|beta x| alone, which never overflows."""

    rule = {"y": "log(1 + exp(beta x)) / beta", "gx": "gy / (1 + exp(-beta x))"}
    where = "where beta x > threshold, y is x and gx is gy, as in torch"

    def __init__(self, beta=1.0, threshold=20.0):
        self.beta, self.threshold = beta, threshold

    def forward(self, x):
        z = self.beta * x
        exp = np.exp(-abs(z))
        self.save(np.where(z > self.threshold, 1, np.where(z < 0, exp, 1) / (1 + exp)))
        y = (np.maximum(z, 0) + np.log1p(exp)) / self.beta
        return np.where(z > self.threshold, x, y)

    def backward(self, gy):
        (slope,) = self.saved
        return gy * slope


class GELU(Function):
    """x times the share of N(0, 1) that lies below it: Hendrycks and Gimpel, arXiv 1606.08415."""

    rule = {"y": "x P(x)", "gx": "gy (P(x) + x exp(-x**2 / 2) / sqrt(2 pi))"}
    where = "P(x) = (1 + erf(x / sqrt(2))) / 2"

    def forward(self, x):
        below = (1 + erf(x / math.sqrt(2))) / 2
        self.save(x, below)
        return x * below

    def backward(self, gy):
        x, below = self.saved
        return gy * (below + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi))


def erf(x):
    """The error function, which NumPy lacks, by a series of positive terms: Abramowitz and Stegun,
    "Handbook of Mathematical Functions" (1964), 7.1.6. Beyond 6 it is 1 to the last digit."""
    kind, x = x.dtype, np.clip(x, -6, 6).astype(np.float64)
    square = 2 * x * x  # at most 72: after 180 terms nothing of a digit is left
    term = total = x
    for n in range(1, 180):
        term = term * square / (2 * n + 1)
        total = total + term
    return (2 / math.sqrt(math.pi) * np.exp(-x * x) * total).astype(kind)


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
