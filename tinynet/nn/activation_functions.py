"""Activations as functions, made of ops: what `nn.functional` shows of them."""

import math

from tinynet import check
from tinynet.autograd.inplace import before
from tinynet.ops.activation import ELU, GELU, LeakyReLU, ReLU6, Softplus


def leaky_relu(input, negative_slope=0.01, inplace=False):
    """x where x > 0, negative_slope x elsewhere."""
    slope = check.number("leaky_relu", "negative_slope", negative_slope)
    x = _source("leaky_relu", input, inplace)
    return _become("leaky_relu", input, LeakyReLU.apply(x, slope=slope), inplace)


def elu(input, alpha=1.0, inplace=False):
    """x where x > 0, alpha (exp(x) - 1) elsewhere."""
    x = _source("elu", input, inplace)
    y = ELU.apply(x, alpha=check.number("elu", "alpha", alpha))
    return _become("elu", input, y, inplace)


def silu(input, inplace=False):
    """x sigmoid(x): Elfwing, Uchibe, Doya, arXiv 1702.03118."""
    x = _source("silu", input, inplace)
    return _become("silu", input, x * x.sigmoid(), inplace)


def hardsigmoid(input, inplace=False):
    """relu6(x + 3) / 6: Howard et al., arXiv 1905.02244, section 5.2."""
    x = _source("hardsigmoid", input, inplace)
    return _become("hardsigmoid", input, ReLU6.apply(x + 3) / 6, inplace)


def hardswish(input, inplace=False):
    """x relu6(x + 3) / 6, as there."""
    x = _source("hardswish", input, inplace)
    return _become("hardswish", input, x * ReLU6.apply(x + 3) / 6, inplace)


def gelu(input, approximate="none"):
    """x P(x), P the distribution function of N(0, 1); approximate: 'none', or 'tanh' for
    x (1 + tanh(sqrt(2/pi) (x + 0.044715 x**3))) / 2. Hendrycks and Gimpel, arXiv 1606.08415."""
    check.floats("gelu", input=input)
    if check.choice("gelu", "approximate", approximate, ("none", "tanh")) == "none":
        return GELU.apply(input)
    inner = math.sqrt(2 / math.pi) * (input + 0.044715 * input**3)
    return 0.5 * input * (1 + inner.tanh())


def softplus(input, beta=1.0, threshold=20.0):
    """log(1 + exp(beta x)) / beta; x itself where beta x > threshold."""
    check.floats("softplus", input=input)
    beta = check.number("softplus", "beta", beta, 0, above=True)
    threshold = check.number("softplus", "threshold", threshold)
    return Softplus.apply(input, beta=beta, threshold=threshold)


def _source(name, input, inplace):
    """What the ops work on: their result must not overwrite what they save."""
    check.floats(name, input=input)
    return before(input) if inplace else input


def _become(name, input, y, inplace):
    return input.become(name, y) if inplace else y
