"""Batch normalisation in pieces of cache size: a channel is a contiguous row, the scaling is
`x scale + shift` of whole rows, and all passes over one piece come before the next piece."""

import threading

import numpy as np

from tinynet.backend import empty
from tinynet.fast.cpu.activation import mark_rises, pass_open
from tinynet.fast.cpu.tiles import SPAN, row_tiles
from tinynet.fast.layout import batch_first, channels_first, is_float
from tinynet.ops.batchnorm import FAR, whole_batch
from tinynet.ops.batchnorm import BatchNorm as Definition


class _Following(threading.local):
    ceiling = None  # of the activation to compute with the BatchNorm that this thread applies next


following = _Following()


class BatchNorm(Definition):
    ceiling = None  # of the activation that is computed with it

    @staticmethod
    def suits(x, weight, bias, *, running_mean=None, running_var=None, **_):
        return is_float(x, weight, bias, running_mean, running_var)

    def forward(self, x, weight, bias):
        x = channels_first(x)
        C = x.shape[0]
        M = x.size // C
        y = empty(x.shape, x.dtype)
        x_rows, y_rows = x.reshape(C, M), y.reshape(C, M)
        clips = self.ceiling is not None and any(self.needs)
        rises = empty(x_rows.shape, bool) if clips else None
        mean, var, inv_std = np.zeros((3, C), x.dtype)
        if not self.training:
            mean[:], var[:] = self.running_mean, self.running_var
        elif self.group is not None:  # before anything is scaled, as others have to be asked
            for c, spans in row_tiles(x_rows) if M else ():
                mean[c], var[c], _ = mean_and_variance(x_rows[c], spans)
            mean[:], var[:], M = whole_batch(self.group, mean, var, M)
        for c, spans in row_tiles(x_rows):
            rows, near = x_rows[c], None
            if self.training and self.group is None:
                mean[c], var[c], near = mean_and_variance(rows, spans)
            inv_std[c] = 1 / np.sqrt(var[c] + self.eps)
            centre, rest = centre_and_rest(mean[c], inv_std[c], near)
            scale = weight[c] * inv_std[c]
            shift = (bias[c] - rest * scale)[:, None]
            scale = scale[:, None]
            for s in spans:
                z = np.multiply(less(rows[:, s], centre), scale, out=y_rows[c, s])
                z += shift
                if rises is not None:
                    mark_rises(z, self.ceiling, out=rises[c, s])
                if self.ceiling is not None:
                    z.clip(0, self.ceiling, out=z)
        if self.training:
            self.update_running(mean, var, M)
        needs_x = self.needs[1] or (self.needs[0] and self.training)
        self.save(batch_first(x) if needs_x else None, rises, mean, inv_std, weight, M)
        return batch_first(y)

    def backward(self, gy):
        x, rises, mean, inv_std, weight, count = self.saved
        gy = channels_first(gy)
        C = gy.shape[0]
        M = gy.size // C
        gx = empty(gy.shape, gy.dtype)
        gy_rows, gx_rows = gy.reshape(C, M), gx.reshape(C, M)
        gz_rows = gy_rows if rises is None else gx_rows
        x_rows = None if x is None else channels_first(x).reshape(C, M)
        sums = np.zeros((2, C), gy.dtype)
        gweight, gbias = sums
        scale = weight * inv_std

        def sum_up(c, spans):
            centre, rest = centre_and_rest(mean[c], inv_std[c])
            for s in spans:
                gz = gz_rows[c, s]
                if rises is not None:
                    pass_open(gy_rows[c, s], rises[c, s], out=gz)
                gbias[c] += row_sum(gz)
                if x is not None:
                    gweight[c] += row_dot(gz, less(x_rows[c, s], centre))
            gweight[c] = (gweight[c] - rest * gbias[c]) * inv_std[c]
            return centre, rest

        def send_back(c, spans, centre, rest):
            # gx = scale gz + slope (x - mean) - scale mean(gz)
            if self.training:
                slope = -scale[c] * inv_std[c] * whole_gweight[c] / count
                level = (-scale[c] * whole_gbias[c] / count - slope * rest)[:, None]
                slope = slope[:, None]
            for s in spans:
                through_y = np.multiply(gz_rows[c, s], scale[c, None], out=gx_rows[c, s])
                if self.training:
                    through_statistics = less(x_rows[c, s], centre) * slope
                    through_statistics += level
                    through_y += through_statistics

        # smaller pieces than forward, for there are more arrays of each to keep in the cache
        tiles = row_tiles(gy_rows, SPAN // 2)
        shares = self.training and self.group is not None
        whole_gweight, whole_gbias = whole = sums.copy() if shares else sums
        waiting = []
        for tile in tiles:
            waiting.append((*tile, *sum_up(*tile)))
            if self.needs[0] and not shares:
                send_back(*waiting.pop())
        if shares:
            whole[...] = sums
            self.group.all_reduce(whole)
            for tile in waiting if self.needs[0] else ():
                send_back(*tile)
        # copies: each gradient has memory of its own
        return batch_first(gx), gweight.copy(), gbias.copy()


class WithReLU:
    """With the activation after it: what a Sequential of both computes, see sequential.py."""

    name = "BatchNorm + ReLU"
    ceiling = np.inf
    rule = {
        "y": "min(max(weight xhat + bias, 0), ceiling)",
        "gx": "weight/std (gz - mean(gz) - xhat mean(gz xhat))",
        "gweight": "sum(gz xhat)",
        "gbias": "sum(gz)",
    }
    where = (
        "ceiling: 6 for ReLU6, none for ReLU; gz = gy where 0 < y < ceiling, 0 elsewhere; "
        + Definition.where.replace("gy", "gz")
    )

    @classmethod
    def suits(cls, *arrays, **options):
        if following.ceiling != cls.ceiling or not super().suits(*arrays, **options):
            return False
        following.ceiling = None
        return True


class WithReLU6(WithReLU):
    name = "BatchNorm + ReLU6"
    ceiling = 6


class BatchNormReLU(WithReLU, BatchNorm):
    pass


class BatchNormReLU6(WithReLU6, BatchNorm):
    pass


def mean_and_variance(rows, spans, centre=None):
    """Mean and biased variance, each (R,), of R rows (R, M), span by span; and whether all means
    are so near to 0 that nothing need be subtracted before squaring.

    E[x^2] - E[x]^2 takes one pass and loses the digits by which E[x]^2 exceeds the variance:
    all of them in float32 once the mean is a thousand deviations. Where the mean turns out to
    be FAR from 0, a second pass does the same with x - mean, exactly (Chan, Golub, LeVeque,
    "Algorithms for computing the sample variance", The American Statistician 37, 1983).
    """
    M = rows.shape[1]
    total = square = 0
    for s in spans:
        d = less(rows[:, s], centre)
        total = total + row_sum(d)
        square = square + row_dot(d, d)
    off = total / M
    off_square = off * off
    var = np.maximum(square / M - off_square, 0)
    if centre is not None:
        return centre[:, 0] + off, var, False
    if (off_square <= FAR**2 * var).all():
        return off, var, True
    return mean_and_variance(rows, spans, centre=off[:, None])


def centre_and_rest(mean, inv_std, near=None):
    """`mean` (R,) in two parts: what to subtract from x first, (R, 1) (None: nothing), and the
    remainder."""
    if near is None:
        near = (abs(mean * inv_std) <= FAR).all()
    return (None, mean) if near else (mean[:, None], 0)


def less(x, centre):
    return x if centre is None else x - centre


def row_sum(a):
    """(R, M) -> (R,)"""
    return np.einsum("rm->r", a)


def row_dot(a, b):
    """(R, M), (R, M) -> (R,): the dot product of each pair of rows."""
    return np.vecdot(a, b)
