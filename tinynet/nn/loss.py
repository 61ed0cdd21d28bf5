"""Losses as layers."""

from tinynet.autograd import Tensor
from tinynet.nn import functional as F
from tinynet.nn.module import Module


class CrossEntropyLoss(Module):
    """Softmax cross-entropy of logits (N, K) with class numbers (N,): see F.cross_entropy."""

    def __init__(self, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
        super().__init__()
        if weight is not None and not isinstance(weight, Tensor):
            raise TypeError(
                f"CrossEntropyLoss: weight must be a Tensor of one factor a class or None, "
                f"got {type(weight).__name__}"
            )
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(
                f"CrossEntropyLoss: reduction must be 'mean', 'sum' or 'none', got {reduction!r}"
            )
        if not 0 <= label_smoothing <= 1:
            raise ValueError(
                f"CrossEntropyLoss: label_smoothing must be from 0 to 1, got {label_smoothing}"
            )
        self.register_buffer("weight", weight)
        self.ignore_index, self.reduction = ignore_index, reduction
        self.label_smoothing = label_smoothing

    def forward(self, input, target):
        return F.cross_entropy(
            input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing
        )
