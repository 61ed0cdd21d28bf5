"""Activations and dropout as layers."""

from tinynet import check
from tinynet.nn import functional as F
from tinynet.nn.module import Module


class _Activation(Module):
    """inplace: the input tensor itself becomes the result, as in torch."""

    def __init__(self, inplace=False):
        super().__init__()
        self.inplace = inplace

    def extra_repr(self):
        return "inplace=True" if self.inplace else ""


class ReLU(_Activation):
    """max(x, 0)."""

    def forward(self, x):
        return F.relu(x, self.inplace)


class ReLU6(_Activation):
    """min(max(x, 0), 6)."""

    def forward(self, x):
        return F.relu6(x, self.inplace)


class SiLU(_Activation):
    """x sigmoid(x)."""

    def forward(self, x):
        return F.silu(x, self.inplace)


class Hardsigmoid(_Activation):
    """relu6(x + 3) / 6."""

    def forward(self, x):
        return F.hardsigmoid(x, self.inplace)

    def extra_repr(self):
        return ""  # as torch's


class Hardswish(_Activation):
    """x relu6(x + 3) / 6."""

    def forward(self, x):
        return F.hardswish(x, self.inplace)

    def extra_repr(self):
        return ""  # as torch's


class LeakyReLU(_Activation):
    """x where x > 0, negative_slope x elsewhere."""

    def __init__(self, negative_slope=0.01, inplace=False):
        super().__init__(inplace)
        self.negative_slope = check.number("LeakyReLU", "negative_slope", negative_slope)

    def forward(self, x):
        return F.leaky_relu(x, self.negative_slope, self.inplace)

    def extra_repr(self):
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")


class ELU(_Activation):
    """x where x > 0, alpha (exp(x) - 1) elsewhere."""

    def __init__(self, alpha=1.0, inplace=False):
        super().__init__(inplace)
        self.alpha = check.number("ELU", "alpha", alpha)

    def forward(self, x):
        return F.elu(x, self.alpha, self.inplace)

    def extra_repr(self):
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class GELU(Module):
    """x P(x), P the distribution function of N(0, 1): see F.gelu."""

    def __init__(self, approximate="none"):
        super().__init__()
        self.approximate = check.choice("GELU", "approximate", approximate, ("none", "tanh"))

    def forward(self, x):
        return F.gelu(x, self.approximate)

    def extra_repr(self):
        return f"approximate={self.approximate!r}"


class Softplus(Module):
    """log(1 + exp(beta x)) / beta; x itself where beta x > threshold."""

    def __init__(self, beta=1.0, threshold=20.0):
        super().__init__()
        self.beta = check.number("Softplus", "beta", beta, 0, above=True)
        self.threshold = check.number("Softplus", "threshold", threshold)

    def forward(self, x):
        return F.softplus(x, self.beta, self.threshold)

    def extra_repr(self):
        return f"beta={self.beta}, threshold={self.threshold}"


class Sigmoid(Module):
    """1 / (1 + exp(-x))."""

    def forward(self, x):
        return F.sigmoid(x)


class Tanh(Module):
    """tanh(x)."""

    def forward(self, x):
        return F.tanh(x)


class _AlongDim(Module):
    def __init__(self, dim=None):
        super().__init__()
        self.dim = None if dim is None else check.integer(type(self).__name__, "dim", dim)

    def extra_repr(self):
        return f"dim={self.dim}"


class Softmax(_AlongDim):
    """exp(x) over its sum along dim."""

    def forward(self, x):
        return F.softmax(x, self.dim)


class LogSoftmax(_AlongDim):
    """log(softmax(x)) along dim."""

    def forward(self, x):
        return F.log_softmax(x, self.dim)


class Dropout(Module):
    """In training, zero each element with probability p and scale the rest by 1/(1-p)."""

    def __init__(self, p=0.5, inplace=False):
        super().__init__()
        self.p, self.inplace = check.number("Dropout", "p", p, 0, 1), inplace

    def forward(self, x):
        return F.dropout(x, self.p, self.training, self.inplace)

    def extra_repr(self):
        return f"p={self.p}, inplace={self.inplace}"


class Dropout2d(Dropout):
    """The same by whole channels."""

    def forward(self, x):
        return F.dropout2d(x, self.p, self.training, self.inplace)
