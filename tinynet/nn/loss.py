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
        _factors("CrossEntropyLoss", "weight", weight)
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


class _Loss(Module):
    """What the others have in common: `weight` and the like are buffers, as in torch."""

    def __init__(self, reduction, **factors):
        super().__init__()
        name = type(self).__name__
        self.reduction = check.choice(name, "reduction", reduction, REDUCTIONS)
        for key, value in factors.items():
            self.register_buffer(key, _factors(name, key, value))


class NLLLoss(_Loss):
    """-input[label] of log-probabilities: see F.nll_loss."""

    def __init__(self, weight=None, ignore_index=-100, reduction="mean"):
        super().__init__(reduction, weight=weight)
        self.ignore_index = check.integer("NLLLoss", "ignore_index", ignore_index)

    def forward(self, input, target):
        return F.nll_loss(input, target, self.weight, self.ignore_index, self.reduction)


class MSELoss(_Loss):
    """(input - target)**2."""

    def __init__(self, reduction="mean"):
        super().__init__(reduction)

    def forward(self, input, target):
        return F.mse_loss(input, target, self.reduction)


class L1Loss(MSELoss):
    """|input - target|."""

    def forward(self, input, target):
        return F.l1_loss(input, target, self.reduction)


class SmoothL1Loss(_Loss):
    """A parabola up to a distance of beta, a straight line beyond: see F.smooth_l1_loss."""

    def __init__(self, reduction="mean", beta=1.0):
        super().__init__(reduction)
        self.beta = check.number("SmoothL1Loss", "beta", beta, 0)

    def forward(self, input, target):
        return F.smooth_l1_loss(input, target, self.reduction, self.beta)


class BCELoss(_Loss):
    """Cross-entropy of two classes, of probabilities: see F.binary_cross_entropy."""

    def __init__(self, weight=None, reduction="mean"):
        super().__init__(reduction, weight=weight)

    def forward(self, input, target):
        return F.binary_cross_entropy(input, target, self.weight, self.reduction)


class BCEWithLogitsLoss(_Loss):
    """The same of logits: see F.binary_cross_entropy_with_logits."""

    def __init__(self, weight=None, reduction="mean", pos_weight=None):
        super().__init__(reduction, weight=weight, pos_weight=pos_weight)

    def forward(self, input, target):
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, self.reduction, self.pos_weight
        )


def _factors(name, argument, value):
    if value is not None and not isinstance(value, Tensor):
        raise TypeError(
            f"{name}: {argument} must be a Tensor of factors or None, got {type(value).__name__}"
        )
    return value
