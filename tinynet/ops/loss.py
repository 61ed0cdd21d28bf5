"""Cross-entropy, fused with the softmax before it, and that of two classes."""

import numpy as np

from tinynet.autograd.tape import Function
from tinynet.ops.activation import log_softmax


class SoftmaxCrossEntropy(Function):
    """One loss per row of logits.

    Args: x (R, K) logits. target: (R,) labels, q then being 1 at the label, or (R, K) the
    distribution q itself. label_smoothing s: Szegedy et al., arXiv 1512.00567, section 7. Rows
    whose label is ignore_index give loss 0. weight (K,) or None: a factor for each class.
    """

    rule = {
        "y[r]": "-sum over k of q[r,k] log(p[r,k])",
        "gx[r,k]": "(p[r,k] (sum over m of q[r,m]) - q[r,k]) gy[r]",
    }
    where = (
        "p[r] = softmax(x[r]); q[r,k] = 1 where k is the label of row r, 0 elsewhere (or the "
        "target itself, if it is a distribution); s: label smoothing, with which q becomes "
        "(1 - s) q + s/K; u[k]: class weights, with which it becomes u[k] q[r,k]; q[r] = 0 where "
        "the label is ignore_index"
    )

    def __init__(self, target, label_smoothing=0.0, ignore_index=-100, weight=None):
        self.target, self.smoothing, self.ignored = target, label_smoothing, ignore_index
        self.weight = weight

    def forward(self, x):
        log_p, q = log_softmax(x, 1), self.distribution(x)
        self.save(log_p, q)
        # a class of no weight may have probability 0, and 0 * -inf must count as 0
        return -np.where(q == 0, 0, q * log_p).sum(axis=1)

    def backward(self, gy):
        log_p, q = self.saved
        total = q.sum(axis=1, keepdims=True)
        # a row that counts as nothing gets 0 even from the mean over no rows, where gy is infinite
        gy = np.where(total == 0, 0, gy[:, None])
        return (np.exp(log_p) * total - q) * gy

    def distribution(self, x):
        """q (R, K)"""
        q, counted = self.target, None
        if q.ndim == 1:
            counted = q[:, None] != self.ignored
            q = np.zeros_like(x)
            np.put_along_axis(q, np.where(counted, self.target[:, None], 0), 1, axis=1)
        q = (1 - self.smoothing) * q.astype(x.dtype) + self.smoothing / x.shape[1]
        q = q if counted is None else q * counted
        return q if self.weight is None else q * self.weight


class BinaryCrossEntropy(Function):
    """One loss per element of x, a probability, and t, the target's. A logarithm counts as -100 at
    least and x (1 - x) as 1e-12 at least, as in torch, so that a wrong 0 or 1 costs no infinity."""

    rule = {
        "y": "-(t log(x) + (1 - t) log(1 - x))",
        "gx": "gy (x - t) / (x (1 - x))",
        "gt": "gy (log(1 - x) - log(x))",
    }

    def forward(self, x, t):
        self.save(x, t)
        log, log_of_rest = np.maximum(np.log(x), -100), np.maximum(np.log1p(-x), -100)
        return -(t * log + (1 - t) * log_of_rest)

    def backward(self, gy):
        x, t = self.saved
        gx = gy * (x - t) / np.maximum(x * (1 - x), 1e-12)
        return gx, gy * (np.log1p(-x) - np.log(x)) if self.needs[1] else None
