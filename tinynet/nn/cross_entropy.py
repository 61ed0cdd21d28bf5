"""The cross-entropy loss: torch's arguments, shapes and reductions around the fused op."""

import math

import numpy as np

from tinynet import check
from tinynet.autograd import Tensor
from tinynet.autograd.mode import mode
from tinynet.ops.loss import SoftmaxCrossEntropy

REDUCTIONS = ("mean", "sum", "none")


def cross_entropy(
    input, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0
):
    """-log softmax(input)[target], stably.

    Args: input: logits (N, K), or (K,), or (N, K, d1, ...). target: labels of the input's
    shape without K, or probabilities of the input's shape. weight (K,): a factor for each class.
    reduction: 'mean' (over the counted targets, by their weights), 'sum' or 'none'.
    ignore_index: targets of this number count as nothing. label_smoothing s in [0, 1]: the
    target is taken with 1 - s, and s is spread over all K classes.

    Raises TypeError and ValueError for wrong shapes, dtypes and options, and on the CPU for wrong
    labels: on a GPU they make the loss NaN.
    """
    check_arguments("cross_entropy", input, target, weight, ignore_index, reduction)
    check.number("cross_entropy", "label_smoothing", label_smoothing, 0, 1)
    K = input.shape[0] if input.ndim == 1 else input.shape[1]
    spatial = input.shape[2:]
    per_class = target.dtype.kind in "iu"
    # a copy, since the op keeps it for backward
    labels = (
        target.detach().array.reshape(-1) if per_class else rows(target.detach()).array
    ).copy()
    # a GPU would have to be waited for; its kernel makes the loss NaN instead
    if per_class and (target.device == "cpu" or mode.plain):
        check_labels("cross_entropy", labels, K, ignore_index)
    losses = SoftmaxCrossEntropy.apply(
        rows(input),
        target=labels,
        label_smoothing=label_smoothing,
        ignore_index=ignore_index,
        weight=None if weight is None else weight.detach().array.copy(),
    )
    if reduction == "sum":
        return losses.sum()
    if reduction == "mean":
        return losses.sum() / _divisor(labels, per_class, weight, ignore_index)
    return losses.reshape(input.shape[:1] + spatial if input.ndim > 1 else ())


def rows(t):
    """(N, K, d1, ...) -> (N*d1*..., K), (K,) -> (1, K)"""
    if t.ndim == 1:
        return t.reshape(1, t.shape[0])
    if t.ndim == 2:
        return t
    N, K, *spatial = t.shape
    places = math.prod(spatial)  # not -1, since N may be 0
    return t.reshape(N, K, places).transpose(1, 2).reshape(N * places, K)


def check_arguments(name, input, target, weight, ignore_index, reduction):
    check.tensors(name, input=input, target=target)
    if input.dtype.kind != "f" or input.ndim == 0:
        raise ValueError(
            f"{name}: expected floating logits (N, K), got {input.dtype} of shape {input.shape}"
        )
    check.choice(name, "reduction", reduction, REDUCTIONS)
    check.integer(name, "ignore_index", ignore_index)
    K = input.shape[0] if input.ndim == 1 else input.shape[1]
    if weight is not None:
        check.floats(name, input=input, weight=weight)
        if weight.shape != (K,):
            raise ValueError(f"{name}: weight must have shape ({K},), got {weight.shape}")
    if target.dtype.kind == "b":
        raise TypeError(f"{name}: target must hold labels or probabilities, got bools")
    if target.device != input.device:
        raise ValueError(f"{name}: input is on {input.device}, target on {target.device}")
    labels_shape = input.shape[:1] + input.shape[2:] if input.ndim > 1 else ()
    expected = labels_shape if target.dtype.kind in "iu" else input.shape
    if target.shape != expected:
        raise ValueError(
            f"{name}: logits of shape {input.shape} need a target of labels of shape "
            f"{labels_shape} or of probabilities of shape {input.shape}, "
            f"got {target.dtype} of shape {target.shape}"
        )


def check_labels(name, labels, K, ignore_index):
    wrong = ((labels < 0) | (labels >= K)) & (labels != ignore_index)
    if wrong.any():
        raise ValueError(
            f"{name}: labels must be from 0 to {K - 1} "
            f"(or ignore_index={ignore_index}), got {int(labels[wrong][0])}"
        )


def _divisor(labels, per_class, weight, ignore_index):
    if not per_class:
        return labels.shape[0]
    counted = labels != ignore_index
    if weight is None:
        return Tensor(counted.sum())
    return Tensor((weight.detach().array[np.where(counted, labels, 0)] * counted).sum())
