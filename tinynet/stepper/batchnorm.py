"""What BatchNorm's gradient is made of: the parts of its formula, and the three paths it sums."""

from typing import NamedTuple

import numpy as np

from tinynet import backend


class BatchNormParts(NamedTuple):
    """What gx = scale (gy - mean_gy - xhat mean_gy_xhat) is made of, in float64: mean, std, scale
    and the means (C,), xhat and gy of x's shape. With fixed statistics both means count as 0."""

    mean: np.ndarray
    std: np.ndarray
    scale: np.ndarray
    mean_gy: np.ndarray
    mean_gy_xhat: np.ndarray
    xhat: np.ndarray
    gy: np.ndarray


def batchnorm_parts(op, x, weight, gy):
    """The parts for a BatchNorm op, which is known by its attributes: its layer lies above."""
    axes, gy = (0, 2, 3), np.asarray(gy, np.float64)
    if op.training:
        mean, var = x.mean(axes), x.var(axes)
    else:
        mean, var = (
            np.asarray(backend.to_device(statistic, "cpu"), np.float64)
            for statistic in (op.running_mean, op.running_var)
        )
    std = np.sqrt(var + op.eps)
    xhat = (x - mean[:, None, None]) / std[:, None, None]
    means = (part.mean(axes) * op.training for part in (gy, gy * xhat))
    return BatchNormParts(mean, std, weight / std, *means, xhat, gy)


def batchnorm_paths(replay, step):
    """The three summands of a BatchNorm's gx in training, {path: array}; None for another op.
    replay: the `numbers.Replay` of the step's trace."""
    op = step.node.op
    if op.name != "BatchNorm" or not op.training or step.gxs[0] is None:
        return None
    x, weight = (replay.values[number] for number in step.node.inputs[:2])
    parts = batchnorm_parts(op, x, weight, step.gy)
    scale, level, slope = (
        part[:, None, None] for part in (parts.scale, parts.mean_gy, parts.mean_gy_xhat)
    )
    return {
        "directly": scale * parts.gy,
        "through the mean": np.broadcast_to(-scale * level, x.shape),
        "through the variance": -scale * slope * parts.xhat,
    }
