"""Batch normalisation (Ioffe and Szegedy, arXiv 1502.03167, algorithm 1)."""

import numpy as np

from tinynet.autograd.tape import Function
from tinynet.backend import array_module
from tinynet.ops.layout import batch_first, channel_tiles, channels_first, check_images


def row_dot(a, b):
    """(C, M), (C, M) -> (C,): the dot product of each pair of rows."""
    xp = array_module(a)
    return np.vecdot(a, b) if xp is np else xp.einsum("cm,cm->c", a, b)


class BatchNorm(Function):
    """y = weight xhat + bias, xhat = (x - mean) / sqrt(var + eps), a channel at a time

    With the batch's own mean and (biased) variance, x reaches y by three paths, directly,
    through the mean and through the variance, and the three add up to
        gx = weight/std (gy - mean(gy) - xhat mean(gy xhat));
    with fixed statistics (evaluation) only the first is left: gx = weight/std gy.
    gweight = sum(gy xhat), gbias = sum(gy), over N, H, W.

    Args: x (N, C, H, W); weight, bias (C,). training: use the batch's statistics.
    running_mean, running_var: arrays (C,) or None; used in evaluation, and in training updated
    in place: new = (1 - momentum) old + momentum batch, with the unbiased variance. momentum
    None is not known here: the layer turns it into a number.

    All passes over a few channels come before the next few channels (`channel_tiles`).

    The variance is taken in two passes, from x - mean: E[x^2] - E[x]^2 loses every digit in
    float32 once the mean is a thousand times the deviation.
    """

    def __init__(self, training, running_mean=None, running_var=None, momentum=0.1, eps=1e-5):
        self.training, self.momentum, self.eps = training, momentum, eps
        self.running_mean, self.running_var = running_mean, running_var

    def forward(self, x, weight, bias):
        check_images("BatchNorm", x)
        x = channels_first(x)
        C = x.shape[0]
        M = x.size // C if C else 0
        if self.training and M < 2:
            raise ValueError(
                f"BatchNorm: training needs more than one value a channel, got an input of "
                f"shape {batch_first(x).shape}; use a larger batch or call eval()"
            )
        xp = array_module(x)
        y = xp.empty_like(x)
        mean, var = (xp.empty(C, x.dtype) for _ in range(2))
        if not self.training:
            mean[:], var[:] = self.running_mean, self.running_var
        inv_std = xp.empty(C, x.dtype)
        for c in channel_tiles(x):
            x_rows, y_rows = x[c].reshape(-1, M), y[c].reshape(-1, M)
            if self.training:
                mean[c] = x_rows.mean(axis=1)
            xp.subtract(x_rows, mean[c, None], out=y_rows)
            if self.training:
                var[c] = row_dot(y_rows, y_rows) / M
            inv_std[c] = 1 / xp.sqrt(var[c] + self.eps)
            y_rows *= (weight[c] * inv_std[c])[:, None]
            y_rows += bias[c, None]
        if self.training and self.running_mean is not None:
            self.running_mean += self.momentum * (mean - self.running_mean)
            self.running_var += self.momentum * (var * (M / (M - 1)) - self.running_var)
        if self.needs[0] or self.needs[1]:
            keeps_x = self.training or self.needs[1]
            self.save(x if keeps_x else None, mean, inv_std, weight)
        return batch_first(y)

    def backward(self, gy):
        gy = channels_first(gy)
        C = gy.shape[0]
        if not self.saved:  # only the bias needs a gradient
            return None, None, gy.reshape(C, -1).sum(axis=1)
        x, mean, inv_std, weight = self.saved
        xp = array_module(gy)
        gbias, gweight = (xp.empty(C, gy.dtype) for _ in range(2))
        gx = xp.empty_like(gy)
        M = gy.size // C
        scale = (weight * inv_std)[:, None]
        for c in channel_tiles(gy):
            gy_rows, gx_rows = gy[c].reshape(-1, M), gx[c].reshape(-1, M)
            gbias[c] = gy_rows.sum(axis=1)
            if x is not None:
                # gx's memory first holds x - mean = xhat/inv_std, then is worked into gx in place
                xp.subtract(x[c].reshape(-1, M), mean[c, None], out=gx_rows)
                gweight[c] = row_dot(gy_rows, gx_rows) * inv_std[c]
            if self.training:
                gx_rows *= (-gweight[c] * inv_std[c] / M)[:, None]
                gx_rows += gy_rows
                gx_rows -= gbias[c, None] / M
                gx_rows *= scale[c]
            elif self.needs[0]:
                xp.multiply(gy_rows, scale[c], out=gx_rows)
        return (
            batch_first(gx) if self.needs[0] else None,
            gweight if self.needs[1] else None,
            gbias,
        )
