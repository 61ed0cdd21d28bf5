"""Initial weights, by torch's names: each fills a tensor in place and returns it.

Glorot ("xavier"): Glorot and Bengio (2010), equation 16. He ("kaiming"): He et al., arXiv
1502.01852, section 2.2. `tinynet.manual_seed` makes them repeat.
"""

import math

import numpy as np

from tinynet import check
from tinynet.autograd import Tensor, no_grad
from tinynet.backend import random_generator


def _fill(name, tensor, method, *args):
    if not isinstance(tensor, Tensor):
        raise TypeError(f"init.{name}: expected a Tensor, got {type(tensor).__name__}")
    with no_grad():
        return getattr(tensor, method)(*args)


def uniform_(tensor, a=0.0, b=1.0):
    return _fill("uniform_", tensor, "uniform_", a, b)


def normal_(tensor, mean=0.0, std=1.0):
    return _fill("normal_", tensor, "normal_", mean, std)


def constant_(tensor, val):
    return _fill("constant_", tensor, "fill_", val)


def zeros_(tensor):
    return _fill("zeros_", tensor, "zero_")


def ones_(tensor):
    return _fill("ones_", tensor, "fill_", 1)


def calculate_gain(nonlinearity, param=None):
    """The factor that keeps the variance through a nonlinearity."""
    if nonlinearity in ("linear", "sigmoid", "conv2d"):
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        slope = check.number("init", "the slope a", 0.01 if param is None else param)
        return math.sqrt(2.0 / (1 + slope**2))
    raise ValueError(
        "init: nonlinearity must be linear, conv2d, sigmoid, tanh, relu or leaky_relu, "
        f"got {nonlinearity!r}"
    )


def fans(tensor):
    """(fan_in, fan_out) of a weight (O, I, ...): connections into and out of one unit."""
    check.tensors("init", tensor=tensor)
    if tensor.ndim < 2:
        raise ValueError(f"init: fans need a weight of at least 2 axes, got shape {tensor.shape}")
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def xavier_uniform_(tensor, gain=1.0):
    fan_in, fan_out = fans(tensor)
    bound = check.number("init", "gain", gain) * math.sqrt(6.0 / (fan_in + fan_out))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor, gain=1.0):
    fan_in, fan_out = fans(tensor)
    gain = check.number("init", "gain", gain)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / (fan_in + fan_out)))


def _kaiming_std(tensor, a, mode, nonlinearity):
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"init: mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan = fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def kaiming_uniform_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu"):
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu"):
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity))


def layer_default_(weight, bias=None):
    """How torch starts Conv2d and Linear: weight and bias uniform within 1/sqrt(fan_in)."""
    kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        bound = 1 / math.sqrt(fans(weight)[0])
        uniform_(bias, -bound, bound)


def trunc_normal_(tensor, mean=0.0, std=1.0, a=-2.0, b=2.0):
    """Draws from N(mean, std**2), those outside of [a, b] drawn again."""
    check.tensors("init.trunc_normal_", tensor=tensor)
    mean, std = check.number("init", "mean", mean), check.number("init", "std", std, low=0)
    low, high = check.number("init", "a", a), check.number("init", "b", b)
    # fewer than one draw in a thousand would count
    if low >= high or mean - 3 * std > high or mean + 3 * std < low:
        raise ValueError(
            f"init.trunc_normal_: [a, b] = [{low}, {high}] must be a span within three deviations "
            f"of the mean {mean} (std {std})"
        )
    values = np.full(tensor.shape, np.inf)
    while (outside := (values < low) | (values > high)).any():
        values[outside] = random_generator().normal(mean, std, outside.sum())
    return _fill("trunc_normal_", tensor, "copy_", values)


def orthogonal_(tensor, gain=1):
    """Rows (or columns, whichever are fewer) of (O, ...), read as a matrix, that are orthogonal and
    of length `gain`: Saxe et al., arXiv 1312.6120."""
    check.tensors("init.orthogonal_", tensor=tensor)
    if tensor.ndim < 2:
        raise ValueError(f"init.orthogonal_: needs at least 2 axes, got shape {tensor.shape}")
    gain = check.number("init", "gain", gain)
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    tall = random_generator().normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    q *= np.sign(np.diagonal(r))  # else the signs would not be random
    values = gain * (q.T if rows < columns else q)
    return _fill("orthogonal_", tensor, "copy_", values.reshape(tensor.shape))


def eye_(tensor):
    """The identity, as far as it fits (O, I)."""
    check.tensors("init.eye_", tensor=tensor)
    if tensor.ndim != 2:
        raise ValueError(f"init.eye_: needs 2 axes, got shape {tensor.shape}")
    return _fill("eye_", tensor, "copy_", np.eye(*tensor.shape))


def dirac_(tensor, groups=1):
    """A convolution's weight (O, I, KH, KW) that gives the input itself, as far as the channels
    reach, in each group."""
    check.tensors("init.dirac_", tensor=tensor)
    if not 3 <= tensor.ndim <= 5:
        raise ValueError(f"init.dirac_: needs 3 to 5 axes, got shape {tensor.shape}")
    O, I, *kernel = tensor.shape
    groups = check.integer("init.dirac_", "groups", groups, least=1)
    if O % groups:
        raise ValueError(f"init.dirac_: groups={groups} does not divide the {O} output channels")
    values, middle = np.zeros(tensor.shape), tuple(size // 2 for size in kernel)
    for group in range(groups):
        for channel in range(min(O // groups, I)):
            values[(group * (O // groups) + channel, channel, *middle)] = 1
    return _fill("dirac_", tensor, "copy_", values)
