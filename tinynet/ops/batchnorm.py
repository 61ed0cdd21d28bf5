"""Batch normalisation (Ioffe and Szegedy, arXiv 1502.03167, algorithm 1)."""

import numpy as np

from tinynet.autograd.tape import Function

EACH = (0, 2, 3)  # the axes over which a channel's mean and variance are taken


class BatchNorm(Function):
    """Each channel less its mean, over its deviation; then scaled by `weight`, shifted by `bias`.

    The three terms of gx are the three paths by which x reaches y: directly, through the mean
    and through the (biased) variance of the batch. With fixed statistics (evaluation) only the
    first is left.

    Args: x (N, C, H, W); weight, bias (C,). training: use the batch's statistics. running_mean,
    running_var: arrays (C,) or None; used in evaluation, and in training updated in place:
    new = (1 - momentum) old + momentum batch, with the unbiased variance.
    num_batches_tracked: an array of one int64 or None; training adds 1.
    """

    rule = {
        "y": "weight xhat + bias",
        "gx": "weight/std (gy - mean(gy) - xhat mean(gy xhat))",
        "gweight": "sum(gy xhat)",
        "gbias": "sum(gy)",
    }
    where = (
        "xhat = (x - mean) / std, std = sqrt(var + eps); per channel: means, var and sums over "
        "N, H, W; with fixed statistics (evaluation) gx = weight/std gy"
    )

    def __init__(
        self,
        training,
        running_mean=None,
        running_var=None,
        momentum=0.1,
        eps=1e-5,
        num_batches_tracked=None,
    ):
        self.training, self.momentum, self.eps = training, momentum, eps
        self.running_mean, self.running_var = running_mean, running_var
        self.num_batches_tracked = num_batches_tracked

    def forward(self, x, weight, bias):
        if self.training:
            mean, var = x.mean(axis=EACH), x.var(axis=EACH)
            self.update_running(mean, var, x[:, 0].size)
        else:
            mean, var = self.running_mean, self.running_var
        std = np.sqrt(var + self.eps)
        xhat = (x - channels(mean)) / channels(std)
        self.save(xhat, weight, std)
        return channels(weight) * xhat + channels(bias)

    def backward(self, gy):
        xhat, weight, std = self.saved
        gx = gy
        if self.training:
            through_mean = gy.mean(axis=EACH)
            through_variance = (gy * xhat).mean(axis=EACH)
            gx = gy - channels(through_mean) - xhat * channels(through_variance)
        return channels(weight / std) * gx, (gy * xhat).sum(axis=EACH), gy.sum(axis=EACH)

    def update_running(self, mean, var, count):
        """The moving averages that evaluation uses; `count`: values per channel."""
        if self.running_mean is not None:
            self.running_mean += self.momentum * (mean - self.running_mean)
            self.running_var += self.momentum * (var * (count / (count - 1)) - self.running_var)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked += 1


def channels(values):
    """(C,) -> (C, 1, 1), which broadcasts over (N, C, H, W)."""
    return values[:, None, None]
