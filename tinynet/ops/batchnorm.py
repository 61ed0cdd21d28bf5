"""Batch normalisation (Ioffe and Szegedy, arXiv 1502.03167, algorithm 1), alone or with a ReLU."""

import numpy as np

from tinynet.autograd.tape import Function
from tinynet.backend import array_module
from tinynet.ops.activation import CEILINGS, clamp, rises
from tinynet.ops.layout import batch_first, channels_first, check_images
from tinynet.ops.tiles import SPAN, row_tiles

FAR = 4  # deviations; a mean farther than that from 0 is subtracted before anything is squared


class BatchNorm(Function):
    """y = weight xhat + bias, xhat = (x - mean) / sqrt(var + eps), a channel at a time

    With the batch's own mean and (biased) variance, x reaches y by three paths, directly,
    through the mean and through the variance, and the three add up to
        gx = weight/std (gy - mean(gy) - xhat mean(gy xhat));
    with fixed statistics (evaluation) only the first is left: gx = weight/std gy.
    gweight = sum(gy xhat), gbias = sum(gy), over N, H, W.

    activation: None, or "relu" or "relu6": then y = min(max(weight xhat + bias, 0), ceiling),
    and gy is first set to 0 where y stands at 0 or at the ceiling. It spares a pass that reads
    and writes everything once more: forward took 9 ms where the two ops took 15, backward much the
    same as before (64 channels of 16x16, batch 128, one core), and no mask is kept.

    Args: x (N, C, H, W); weight, bias (C,). training: use the batch's statistics.
    running_mean, running_var: arrays (C,) or None; used in evaluation, and in training updated
    in place: new = (1 - momentum) old + momentum batch, with the unbiased variance. momentum
    None is not known here: the layer turns it into a number.

    In memory the sums and the scaling are `x scale + shift` of whole rows, one a channel. All
    passes over one piece (`row_tiles`) come before the next piece.
    """

    def __init__(
        self,
        training,
        running_mean=None,
        running_var=None,
        momentum=0.1,
        eps=1e-5,
        activation=None,
    ):
        self.training, self.momentum, self.eps = training, momentum, eps
        self.running_mean, self.running_var = running_mean, running_var
        self.ceiling = None if activation is None else CEILINGS[activation]

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
        x_rows, y_rows = x.reshape(C, M), y.reshape(C, M)
        mean, var, inv_std = (xp.empty((C, 1), x.dtype) for _ in range(3))
        if not self.training:
            mean[:, 0], var[:, 0] = self.running_mean, self.running_var

        for c, spans in row_tiles(x_rows):
            if self.training:
                mean[c], var[c] = mean_and_variance(x_rows, c, spans)
            inv_std[c] = 1 / xp.sqrt(var[c] + self.eps)
            scale = weight[c, None] * inv_std[c]
            centre, rest = centre_and_rest(mean[c], inv_std[c])
            shift = bias[c, None] - rest * scale
            for s in spans:
                z = xp.multiply(less(x_rows[c, s], centre), scale, out=y_rows[c, s])
                z += shift
                if self.ceiling is not None:
                    clamp(z, self.ceiling, out=z)
        if self.training and self.running_mean is not None:
            self.running_mean += self.momentum * (mean[:, 0] - self.running_mean)
            self.running_var += self.momentum * (var[:, 0] * (M / (M - 1)) - self.running_var)
        self.save(
            x if self.needs[1] or (self.needs[0] and self.training) else None,
            y if self.ceiling is not None else None,
            *(mean, inv_std, weight),
        )
        return batch_first(y)

    def backward(self, gy):
        gy = channels_first(gy)
        x, y, mean, inv_std, weight = self.saved
        xp = array_module(gy)
        C = gy.shape[0]
        M = gy.size // C
        gx = gy if self.owns_gy else xp.empty_like(gy)
        gy_rows, gx_rows = gy.reshape(C, M), gx.reshape(C, M)
        x_rows = None if x is None else x.reshape(C, M)
        y_rows = None if y is None else y.reshape(C, M)
        gbias, gweight = (xp.zeros((C, 1), gy.dtype) for _ in range(2))

        # smaller pieces than forward, for there are more arrays of each to keep in the cache
        for c, spans in row_tiles(gy_rows, SPAN // 2):
            centre, rest = centre_and_rest(mean[c], inv_std[c])
            gz_rows = gy_rows if y is None else gx_rows
            for s in spans:
                if y is not None:
                    # as a float, for NumPy turns a mask in a product into floats by small portions
                    risen = rises(y_rows[c, s], self.ceiling).astype(gy.dtype)
                    xp.multiply(gy_rows[c, s], risen, out=gx_rows[c, s])
                gz = gz_rows[c, s]
                gbias[c] += row_sum(gz)
                if x is not None:
                    gweight[c] += row_dot(gz, less(x_rows[c, s], centre))
            gweight[c] = (gweight[c] - rest * gbias[c]) * inv_std[c]
            if not self.needs[0]:
                continue
            scale = weight[c, None] * inv_std[c]
            # gx = scale gz + slope (x - mean) - scale mean(gz)
            slope = -scale * inv_std[c] * gweight[c] / M
            level = -scale * gbias[c] / M - slope * rest
            for s in spans:
                through_y = xp.multiply(gz_rows[c, s], scale, out=gx_rows[c, s])
                if self.training:
                    through_statistics = less(x_rows[c, s], centre) * slope
                    through_statistics += level
                    through_y += through_statistics
        return (
            batch_first(gx) if self.needs[0] else None,
            gweight[:, 0] if self.needs[1] else None,
            gbias[:, 0],
        )


def mean_and_variance(rows, c, spans, centre=None):
    """Mean and biased variance, each (R, 1), of the R rows `c` of `rows` (C, M), span by span.

    E[x^2] - E[x]^2 takes one pass and loses the digits by which E[x]^2 exceeds the variance:
    all of them in float32 once the mean is a thousand deviations. Where the mean turns out to
    be FAR from 0, a second pass does the same with x - mean, exactly (Chan, Golub, LeVeque,
    "Algorithms for computing the sample variance", The American Statistician 37, 1983).
    """
    M = rows.shape[1]
    total = square = 0
    for s in spans:
        d = less(rows[c, s], centre)
        total = total + row_sum(d)
        square = square + row_dot(d, d)
    off = total / M
    var = array_module(rows).maximum(square / M - off * off, 0)
    if centre is not None:
        return centre + off, var
    near = (off * off <= FAR**2 * var).all()
    return (off, var) if near else mean_and_variance(rows, c, spans, centre=off)


def centre_and_rest(mean, inv_std):
    """`mean` in two parts: what to subtract from x first (None: nothing), and the remainder."""
    far = (abs(mean * inv_std) > FAR).any()
    return (mean, 0) if far else (None, mean)


def less(x, centre):
    return x if centre is None else x - centre


def row_sum(a):
    """(R, M) -> (R, 1)"""
    return array_module(a).einsum("rm->r", a)[:, None]


def row_dot(a, b):
    """(R, M), (R, M) -> (R, 1): the dot product of each pair of rows."""
    xp = array_module(a)
    return (np.vecdot(a, b) if xp is np else xp.einsum("rm,rm->r", a, b))[:, None]
