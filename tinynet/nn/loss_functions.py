"""Losses as functions, beside cross-entropy: torch's arguments and reductions around ops."""

import math
import warnings

import numpy as np

from tinynet import check
from tinynet.autograd import Tensor
from tinynet.nn import cross_entropy as labelled
from tinynet.ops.activation import Softplus
from tinynet.ops.loss import BinaryCrossEntropy


def nll_loss(input, target, weight=None, ignore_index=-100, reduction="mean"):
    """-input[label] for log-probabilities (N, K), (K,) or (N, K, d1, ...) as `log_softmax` gives
    them; the other arguments are those of `cross_entropy`. Labels are checked on every device."""
    check.tensors("nll_loss", input=input, target=target)
    if target.dtype.kind not in "iu":
        raise TypeError(f"nll_loss: target must hold labels, got {target.dtype}")
    labelled.check_arguments("nll_loss", input, target, weight, ignore_index, reduction)
    labels = target.detach().array.reshape(-1).copy()
    rows = labelled.rows(input)
    labelled.check_labels("nll_loss", labels, rows.shape[1], ignore_index)
    counted = labels != ignore_index
    labels = np.where(counted, labels, 0)
    losses = -rows[np.arange(len(rows)), labels]
    if weight is not None:
        losses = losses * weight.detach()[labels]
    losses = losses.where(Tensor(counted), 0.0)
    if reduction == "none":
        return losses.reshape(target.shape)
    if reduction == "sum":
        return losses.sum()
    total = counted if weight is None else weight.detach().array[labels] * counted
    return losses.sum() / Tensor(total.sum())


def mse_loss(input, target, reduction="mean"):
    """(input - target)**2."""
    difference = _difference("mse_loss", input, target, reduction)
    return _reduced(difference * difference, reduction)


def l1_loss(input, target, reduction="mean"):
    """|input - target|."""
    return _reduced(abs(_difference("l1_loss", input, target, reduction)), reduction)


def smooth_l1_loss(input, target, reduction="mean", beta=1.0):
    """d**2 / (2 beta) where |d| < beta, |d| - beta / 2 elsewhere, d = input - target."""
    beta = check.number("smooth_l1_loss", "beta", beta, 0)
    d = _difference("smooth_l1_loss", input, target, reduction)
    if beta == 0:
        return _reduced(abs(d), reduction)
    return _reduced((d * d / (2 * beta)).where(abs(d) < beta, abs(d) - beta / 2), reduction)


def binary_cross_entropy(input, target, weight=None, reduction="mean"):
    """-(t log(x) + (1 - t) log(1 - x)) for probabilities x and targets t of one shape; `weight`: a
    tensor of factors. Raises ValueError for probabilities outside [0, 1], on every device."""
    _one_shape("binary_cross_entropy", input, target, weight, reduction)
    if not ((input.array >= 0) & (input.array <= 1)).all():
        raise ValueError(
            "binary_cross_entropy: the input must lie in [0, 1]; apply a sigmoid first, or use "
            "binary_cross_entropy_with_logits"
        )
    losses = BinaryCrossEntropy.apply(input, target)
    return _reduced(losses if weight is None else losses * weight, reduction)


def binary_cross_entropy_with_logits(input, target, weight=None, reduction="mean", pos_weight=None):
    """The same of sigmoid(input), stably: (1 - t) x + log(1 + exp(-x)). pos_weight: a tensor of
    factors for the part with t."""
    name = "binary_cross_entropy_with_logits"
    _one_shape(name, input, target, weight, reduction)
    rest = Softplus.apply(-input, beta=1.0, threshold=math.inf)
    if pos_weight is not None:
        check.floats(name, input=input, pos_weight=pos_weight)
        rest = (1 + (pos_weight - 1) * target) * rest
    losses = (1 - target) * input + rest
    return _reduced(losses if weight is None else losses * weight, reduction)


def _one_shape(name, input, target, weight, reduction):
    check.floats(name, input=input, target=target, weight=weight)
    check.choice(name, "reduction", reduction, labelled.REDUCTIONS)
    if input.shape != target.shape:
        raise ValueError(
            f"{name}: input has shape {input.shape}, target {target.shape}; they must be equal"
        )


def _difference(name, input, target, reduction):
    check.tensors(name, input=input, target=target)
    check.choice(name, "reduction", reduction, labelled.REDUCTIONS)
    if input.shape != target.shape:
        warnings.warn(
            f"{name}: input has shape {input.shape}, target {target.shape}; they broadcast, which "
            "is seldom meant",
            stacklevel=3,
        )
    return input - target


def _reduced(losses, reduction):
    if reduction == "none":
        return losses
    # not mean(), which refuses to be of nothing
    return losses.sum() if reduction == "sum" else losses.sum() / losses.numel()
