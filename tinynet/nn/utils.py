"""Clipping gradients by their norm or their values, as `torch.nn.utils` does."""

import math
import warnings
from collections.abc import Iterator

import numpy as np

from tinynet import absent, check
from tinynet.autograd import Tensor
from tinynet.backend import device_of, to_device

__getattr__ = absent.names_of(__name__)


def clip_grad_norm_(parameters, max_norm, norm_type=2.0, error_if_nonfinite=False):
    """Scale all gradients, in place, so that their common norm is at most about `max_norm`.

    They are multiplied by min(1, max_norm / (norm + 1e-6)) (Pascanu et al., "On the difficulty of
    training recurrent neural networks", arXiv 1211.5063, section 3.2).

    Args: parameters: a tensor or an iterable of them; those without a gradient are left out.
    max_norm: from 0 on; infinity measures and leaves all as it is. norm_type: p of the p-norm,
    infinity or 'inf' too. error_if_nonfinite: raise RuntimeError, and change nothing, where the
    norm is infinite or NaN (on a GPU, that waits for it); without, the gradients become 0 or NaN.
    Returns the norm before, a Tensor of no axes.
    """
    once = isinstance(parameters, Iterator)
    parameters = _listed("clip_grad_norm_", "parameters", parameters)
    if once and not parameters:
        warnings.warn(
            "clip_grad_norm_: parameters is an iterator with nothing in it, used up perhaps; no "
            "gradient is clipped",
            stacklevel=2,
        )
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = get_total_norm(gradients, norm_type, error_if_nonfinite)
    clip_grads_with_norm_(parameters, max_norm, norm)
    return norm


def clip_grad_value_(parameters, clip_value):
    """Limit every element of all gradients, in place, to [-clip_value, clip_value]."""
    clip_value = _number("clip_grad_value_", "clip_value", clip_value, low=0)
    for p in _listed("clip_grad_value_", "parameters", parameters):
        if p.grad is not None:
            g = p.grad.detach().array
            g[...] = g.clip(-clip_value, clip_value)
            p.grad.changed()


def get_total_norm(tensors, norm_type=2.0, error_if_nonfinite=False):
    """The norm of the norms of all `tensors`, a Tensor of no axes where the first of them is (0 if
    there is none). The other arguments are those of `clip_grad_norm_`."""
    tensors = _listed("get_total_norm", "tensors", tensors)
    p = _number("get_total_norm", "norm_type", norm_type)
    if not tensors:
        return Tensor(np.zeros((), np.float32))
    device = tensors[0].device
    norms = [to_device(_norm(tensor.detach().array, p), device) for tensor in tensors]
    total = _norm(np.stack(norms), p)
    if error_if_nonfinite and not np.isfinite(total):
        raise RuntimeError(
            f"get_total_norm: the norm of order {p:g} is {float(total)}; look for the cause, or "
            "leave error_if_nonfinite=False"
        )
    return Tensor(total)


def clip_grads_with_norm_(parameters, max_norm, total_norm):
    """The second half of `clip_grad_norm_`, by a norm that is known already."""
    parameters = _listed("clip_grads_with_norm_", "parameters", parameters)
    max_norm = _number("clip_grads_with_norm_", "max_norm", max_norm, low=0)
    with np.errstate(invalid="ignore"):  # inf / inf
        # no question whether it is below 1: a GPU would have to be waited for
        share = (max_norm / (total_norm.detach().array + 1e-6)).clip(None, 1.0)
    for p in parameters:
        if p.grad is not None:
            g = p.grad.detach().array
            with np.errstate(invalid="ignore"):  # 0 inf
                g *= to_device(share, device_of(g)).astype(g.dtype)
            p.grad.changed()


def _norm(x, p):
    if not x.size and (p < 0 or p == math.inf):
        raise ValueError(f"get_total_norm: a tensor of no elements has no norm of order {p:g}")
    size = abs(x)
    if abs(p) == math.inf:
        return size.max() if p > 0 else size.min()
    if p == 0:
        return (size != 0).sum().astype(x.dtype)
    with np.errstate(divide="ignore", over="ignore"):
        return (size**p).sum() ** (1 / p)


def _listed(name, argument, tensors):
    try:
        tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    except TypeError:
        raise TypeError(
            f"{name}: {argument} must be a Tensor or an iterable of them, got "
            f"{type(tensors).__name__}"
        ) from None
    for i, tensor in enumerate(tensors):
        check.tensors(name, **{f"{argument}[{i}]": tensor})
    return tensors


def _number(name, argument, value, low=-math.inf):
    """A float that may be infinite, as check.number's may not."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not number >= low:
        least = "" if low == -math.inf else f" from {low} on"
        raise ValueError(f"{name}: {argument} must be a number{least}, got {value!r}")
    return number
