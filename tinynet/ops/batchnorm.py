"""Batch normalisation (Ioffe and Szegedy, arXiv 1502.03167, algorithm 1)."""

import numpy as np

from tinynet.autograd.tape import Function

EACH = (0, 2, 3)  # the axes over which a channel's mean and variance are taken
FAR = 4  # deviations; a mean farther than that from 0 is subtracted before anything is squared


class BatchNorm(Function):
    """Each channel less its mean, over its deviation; then scaled by `weight`, shifted by `bias`.

    The three terms of gx are the three paths by which x reaches y: directly, through the mean
    and through the (biased) variance of the batch. With fixed statistics (evaluation) only the
    first is left.

    Args: x (N, C, H, W); weight, bias (C,). training: use the batch's statistics. running_mean,
    running_var: arrays (C,) or None; used in evaluation, and in training updated in place:
    new = (1 - momentum) old + momentum batch, with the unbiased variance.
    num_batches_tracked: an array of one int64 or None; training adds 1. group: of workers that
    have a share of the batch each (see tinynet/parallel): statistics are those of the whole batch.
    """

    rule = {
        "y": "weight xhat + bias",
        "gx": "weight/std (gy - mean(gy) - xhat mean(gy xhat))",
        "gweight": "sum(gy xhat)",
        "gbias": "sum(gy)",
    }
    moving = "of x, per channel, as are all means and sums: over N, H, W"
    where = f"xhat = (x - mean) / std, std = sqrt(var + eps); mean, var: {moving}"

    def __init__(
        self,
        training,
        running_mean=None,
        running_var=None,
        momentum=0.1,
        eps=1e-5,
        num_batches_tracked=None,
        group=None,
    ):
        self.training, self.momentum, self.eps, self.group = training, momentum, eps, group
        self.running_mean, self.running_var = running_mean, running_var
        self.num_batches_tracked = num_batches_tracked
        if not training:  # fixed statistics: only the direct path is left
            self.rule = {**self.rule, "gx": self.rule["gx"].partition(" - ")[0].replace("(", "")}
            self.where = self.where.replace(self.moving, "fixed (evaluation); sums: over N, H, W")

    def forward(self, x, weight, bias):
        mean, var, count = self.running_mean, self.running_var, 0
        if self.training:
            mean, var, count = moments(x)
            if self.group is not None:
                mean, var, count = whole_batch(self.group, mean, var, count)
            self.update_running(mean, var, count)
        std = np.sqrt(var + self.eps)
        xhat = (x - channels(mean)) / channels(std)
        self.save(xhat, weight, std, count)
        return channels(weight) * xhat + channels(bias)

    def backward(self, gy):
        xhat, weight, std, count = self.saved
        gweight, gbias = (gy * xhat).sum(axis=EACH), gy.sum(axis=EACH)
        gx = gy
        if self.training:
            sums = np.stack([gbias, gweight])
            if self.group is not None:
                self.group.all_reduce(sums)
            through_mean, through_variance = sums / count
            gx = gy - channels(through_mean) - xhat * channels(through_variance)
        return channels(weight / std) * gx, gweight, gbias

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


def moments(x):
    """Mean and (biased) variance of each channel, and how many values they are of; of none: 0."""
    count = x[:, 0].size
    if not count:
        return *np.zeros_like(x, shape=(2, x.shape[1])), 0
    return x.mean(axis=EACH), x.var(axis=EACH), count


def whole_batch(group, mean, var, count):
    """The mean and the variance of a batch of which each worker of `group` has a share, and its
    values per channel, from those of this worker's share.

    Means weigh by their counts; the variance is that within the shares and that of their means
    (Chan, Golub, LeVeque, "Algorithms for computing the sample variance", The American
    Statistician 37, 1983).
    """
    kind = mean.dtype
    shares = np.stack([np.ones_like(mean), mean, var]).astype(np.float64)
    _, mean, var = shares
    sums = count * shares
    sums[2] += count * mean * mean
    group.all_reduce(sums)
    counts, total, square = sums
    if counts[0] < 2:
        raise ValueError(
            f"batch_norm: training needs more than one value per channel, all {group.size} workers "
            f"together have {counts[0]:g}; use a larger batch or call eval()"
        )
    whole_mean = total / counts
    whole_var = square / counts - whole_mean**2
    if (whole_mean**2 > FAR**2 * whole_var).any():  # digits are lost: once more, around the mean
        spread = count * (var + (mean - whole_mean) ** 2)
        group.all_reduce(spread)
        whole_var = spread / counts
    return whole_mean.astype(kind), whole_var.astype(kind), counts[0].item()
