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
