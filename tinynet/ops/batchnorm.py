"""Batch normalisation (Ioffe and Szegedy, arXiv 1502.03167, algorithm 1)."""

import numpy as np

from tinynet.autograd.tape import Function
from tinynet.backend import array_module
from tinynet.ops.layout import batch_first, channels_first, check_images


def _row_dot(a, b):
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
        self.layout = x.shape
        rows = x.reshape(C, M)
        if self.training:
            if M < 2:
                raise ValueError(
                    f"BatchNorm: training needs more than one value a channel, got an input of "
                    f"shape {batch_first(x).shape}; use a larger batch or call eval()"
                )
            mean = rows.mean(axis=1)
            centred = rows - mean[:, None]
            var = _row_dot(centred, centred) / M
            self._update_running(mean, var, M)
        else:
            mean, var = self.running_mean, self.running_var
            centred = rows - mean.astype(x.dtype)[:, None]
        inv_std = (1 / array_module(x).sqrt(var + self.eps)).astype(x.dtype)
        if self.needs[0] or self.needs[1]:
            self.save(centred if self.training or self.needs[1] else None, inv_std, weight)
            y = centred * (weight * inv_std)[:, None]
        else:
            y = centred
            y *= (weight * inv_std)[:, None]
        y += bias[:, None]
        return batch_first(y.reshape(x.shape))

    def _update_running(self, mean, var, M):
        if self.running_mean is not None:
            self.running_mean += self.momentum * (mean - self.running_mean)
            self.running_var += self.momentum * (var * (M / (M - 1)) - self.running_var)

    def backward(self, gy):
        gy = channels_first(gy)
        C = gy.shape[0]
        rows = gy.reshape(C, -1)
        M = rows.shape[1]
        gx = gweight = None
        gbias = rows.sum(axis=1)
        if not self.saved:  # only the bias needs a gradient
            return None, None, gbias
        centred, inv_std, weight = self.saved
        if centred is not None:
            gweight = _row_dot(rows, centred) * inv_std
        if self.needs[0]:
            scale = weight * inv_std
            if self.training:
                # weight/std (gy - mean(gy) - xhat mean(gy xhat)), xhat = centred * inv_std
                gx = centred * (-gweight * inv_std / M)[:, None]
                gx += rows
                gx -= (gbias / M)[:, None]
                gx *= scale[:, None]
            else:
                gx = rows * scale[:, None]
            gx = batch_first(gx.reshape(self.layout))
        return gx, gweight if self.needs[1] else None, gbias
