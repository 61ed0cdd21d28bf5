"""Numbers that tell how well a network does."""

import numpy as np

from tinynet.autograd import Tensor
from tinynet.backend import array_module, device_of, is_array


def accuracy(logits, labels, topk=(1,), wait=True):
    """The share of images whose label is among the k classes of the largest logits.

    Among equal logits the class of the smaller number comes first, as in argmax; a NaN counts as
    larger than any number, so that a network that has diverged is right about nothing.

    Args:
        logits: (N, C), an array or a Tensor. labels: (N,), integers from 0 to C - 1.
        topk: the values of k, each from 1 to C. wait: False leaves on a GPU what it is still
        working on, and does not look at the labels there: a training loop need not stop for it.
    Returns: a tuple of floats from 0 to 1, one for each k (without waiting: arrays of no axes).
    """
    logits, labels = (x.array if isinstance(x, Tensor) else x for x in (logits, labels))
    xp = array_module(logits)
    labels = xp.asarray(labels)
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not len(labels):
        raise ValueError(
            f"accuracy: expected logits (N, C) and labels (N,) with N > 0, got "
            f"{logits.shape} and {labels.shape}"
        )
    classes = logits.shape[1]
    wait = wait or xp is np
    if wait and (labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= classes):
        raise ValueError(
            f"accuracy: labels must be integers from 0 to {classes - 1}, got {labels.dtype} from "
            f"{labels.min()} to {labels.max()}"
        )
    for k in topk:
        if not 1 <= k <= classes:
            raise ValueError(f"accuracy: every k in topk must be from 1 to {classes}, got {k}")
    own = xp.take_along_axis(logits, labels[:, None], axis=1)
    before = xp.arange(classes) < labels[:, None]
    rank = (~(logits <= own) | ((logits == own) & before)).sum(axis=1)  # ~(<=): NaN counts too
    shares = tuple((rank < k).mean() for k in topk)
    return tuple(map(float, shares)) if wait else shares


class Average:
    """The mean of an epoch's batch values, weighted by the batch sizes.

    loss = Average()
    loss.add(batch_loss, weight=len(batch))
    loss.mean
    """

    def __init__(self):
        self.total = 0.0
        self.weight = 0

    def add(self, value, weight=1):
        """Take in a batch: its mean `value`, and the number `weight` of images in it.

        A value on a GPU, in a Tensor or an array, stays there: nothing is waited for before
        `mean` is asked.
        """
        if not weight > 0:
            raise ValueError(f"Average.add: weight must be more than 0, got {weight}")
        value = getattr(value, "array", value)
        there = is_array(value) and device_of(value) == "cuda"
        self.total = self.total + (value.astype("float64") if there else float(value)) * weight
        self.weight += weight

    @property
    def mean(self):
        """The mean so far; NaN before the first value."""
        return float(self.total) / self.weight if self.weight else float("nan")
