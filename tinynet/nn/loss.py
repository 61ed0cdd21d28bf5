"""Losses as layers."""

from tinynet import check
from tinynet.autograd import Tensor
from tinynet.nn import functional as F
from tinynet.nn.cross_entropy import REDUCTIONS
from tinynet.nn.module import Module


class CrossEntropyLoss(Module):
    """Softmax cross-entropy of logits (N, K) with labels (N,): see F.cross_entropy."""

    def __init__(self, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
        super().__init__()
        if weight is not None and not isinstance(weight, Tensor):
            raise TypeError(
                f"CrossEntropyLoss: weight must be a Tensor of one factor per class or None, "
                f"got {type(weight).__name__}"
            )
        check.choice("CrossEntropyLoss", "reduction", reduction, REDUCTIONS)
        check.number("CrossEntropyLoss", "label_smoothing", label_smoothing, 0, 1)
        check.integer("CrossEntropyLoss", "ignore_index", ignore_index)
        self.register_buffer("weight", weight)
        self.ignore_index, self.reduction = ignore_index, reduction
        self.label_smoothing = label_smoothing

    def forward(self, input, target):
        return F.cross_entropy(
            input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing
        )
