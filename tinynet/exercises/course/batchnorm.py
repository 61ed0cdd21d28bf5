"""Batch normalisation: forward and running statistics."""

import numpy as np

from tinynet.autograd import Tensor, plain
from tinynet.exercises.course.gradients import numbers
from tinynet.exercises.definition import Forward
from tinynet.exercises.exercise import exercise
from tinynet.ops.batchnorm import BatchNorm

EPS = 0.01
STATISTICS = """mean = x.mean(axis=(0, 2, 3), keepdims=True)
    var = ((x - mean) ** 2).mean(axis=(0, 2, 3), keepdims=True)"""


def images(rng):
    for N, C, H, W in ((2, 1, 1, 2), (2, 3, 2, 3), (1, 2, 3, 2), (4, 2, 1, 1)):
        yield {
            "gy": numbers(rng, N, C, H, W),
            "x": numbers(rng, N, C, H, W) + rng.integers(-3, 4),
            "weight": numbers(rng, C),
            "bias": numbers(rng, C),
            "eps": EPS,
        }


def _far_too(rng):
    yield from images(rng)
    far = next(images(rng))
    yield {**far, "x": far["x"] + 1e6}


def normalised(x, weight, bias, eps):
    return BatchNorm.apply(x, weight, bias, training=True, eps=eps)


@exercise(
    title="BatchNorm in training, forward",
    aim="""
    Each channel less its mean, over its deviation; then scaled and shifted:

        xhat = (x - mean) / sqrt(var + eps)
        y = weight xhat + bias

    Mean and variance are taken per channel, over images, rows and columns; the variance is the
    biased one (divided by the count).""",
    gives="y",
    cases=_far_too,
    reference=Forward("x weight bias", normalised),
    hint="""x.mean(axis=(0, 2, 3), keepdims=True) has the shape (1, C, 1, 1), which broadcasts;
    weight[:, None, None] has the shape (C, 1, 1).""",
    mistakes={
        "unbiased": (
            "((x - mean) ** 2).mean(axis=(0, 2, 3), keepdims=True)",
            "x.var(axis=(0, 2, 3), keepdims=True, ddof=1)",
            "the variance is divided by count - 1; training normalises by the biased one.",
        ),
        "one-pass": (
            "((x - mean) ** 2).mean(axis=(0, 2, 3), keepdims=True)",
            "(x**2).mean(axis=(0, 2, 3), keepdims=True) - mean**2",
            "the variance as mean of squares less square of mean: where the mean is far larger "
            "than the deviation, that is the difference of two huge numbers, and the digits go. "
            "Subtract the mean first, then square.",
        ),
        "eps-outside": (
            "np.sqrt(var + eps)",
            "(np.sqrt(var) + eps)",
            "eps is added to the deviation; it belongs under the root, to the variance.",
        ),
        "no-root": (
            "np.sqrt(var + eps)",
            "(var + eps)",
            "this divides by the variance; divide by its root, the deviation.",
        ),
        "no-eps": ("np.sqrt(var + eps)", "np.sqrt(var)", "eps is forgotten."),
        "no-keepdims": (
            STATISTICS,
            "mean, var = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))",
            "mean and var have the shape (C,), which NumPy lays along the columns; with "
            "keepdims=True they are (1, C, 1, 1).",
        ),
        "per-image": (
            STATISTICS,
            "mean = x.mean(axis=(2, 3), keepdims=True)\n"
            "    var = ((x - mean) ** 2).mean(axis=(2, 3), keepdims=True)",
            "each image has statistics of its own (that is instance normalisation): average over "
            "the batch too.",
        ),
        "per-pixel": (
            STATISTICS,
            "mean = x.mean(axis=0, keepdims=True)\n"
            "    var = ((x - mean) ** 2).mean(axis=0, keepdims=True)",
            "each pixel has statistics of its own: average over rows and columns too.",
        ),
        "whole-batch": (
            STATISTICS,
            "mean = x.mean()\n    var = ((x - mean) ** 2).mean()",
            "all channels share one mean; each channel has its own.",
        ),
        "weight-along-columns": (
            "weight[:, None, None] * xhat + bias[:, None, None]",
            "weight * xhat + bias",
            "weight (C,) is laid along the LAST axis, the columns; weight[:, None, None] runs "
            "along the channels.",
        ),
        "no-scale": (
            "weight[:, None, None] * xhat + bias[:, None, None]",
            "xhat",
            "weight and bias are missing: y = weight xhat + bias.",
        ),
    },
)
def batchnorm_forward(x, weight, bias, eps):
    """x (N, C, H, W); weight, bias (C,); eps: a number. Returns y (N, C, H, W)."""
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    var = ((x - mean) ** 2).mean(axis=(0, 2, 3), keepdims=True)
    xhat = (x - mean) / np.sqrt(var + eps)
    return weight[:, None, None] * xhat + bias[:, None, None]


def _with_running(rng):
    for inputs in images(rng):
        mean, var = numbers(rng, *inputs["weight"].shape), rng.integers(1, 9, inputs["bias"].shape)
        running = {"running_mean": mean, "running_var": var.astype(float)}
        yield {"x": inputs["x"], **running, "momentum": 0.1}


def _updated(inputs):
    mean, var = inputs["running_mean"].copy(), inputs["running_var"].copy()
    options = {"running_mean": mean, "running_var": var, "momentum": inputs["momentum"]}
    x, one, zero = (Tensor(array) for array in (inputs["x"], np.ones_like(mean), 0 * mean))
    with plain():
        BatchNorm.apply(x, one, zero, training=True, **options)
    return mean, var


@exercise(
    title="BatchNorm's running statistics",
    aim="""
    For evaluation, training keeps moving averages of each channel's mean and variance:

        new = (1 - momentum) old + momentum batch

    The batch's variance is here the UNBIASED one, divided by count - 1; the count is N H W. Return
    the new averages; do not write into the old ones.""",
    gives="mean var",
    cases=_with_running,
    reference=_updated,
    hint="""x.mean(axis=(0, 2, 3)) and x.var(axis=(0, 2, 3), ddof=1) have one number per channel.
    PyTorch's momentum is the share of the NEW value.""",
    mistakes={
        "biased": (
            ", ddof=1",
            "",
            "the variance is biased; the running one is divided by count - 1, though the same "
            "batch is normalised by the biased one.",
        ),
        "momentum-turned": (
            "keep = 1 - momentum",
            "keep, momentum = momentum, 1 - momentum",
            "momentum is taken as the share of the old value; here it is the share of the new one.",
        ),
        "deviation": (
            "x.var(",
            "x.std(",
            "this averages deviations; the running statistic is a variance.",
        ),
        "images-counted": (
            "x.var(axis=(0, 2, 3), ddof=1)",
            "x.var(axis=(0, 2, 3)) * len(x) / max(len(x) - 1, 1)",
            "the correction count / (count - 1) is made with the number of images; the count is "
            "N H W values per channel.",
        ),
        "replaced": (
            "return keep * running_mean + momentum * mean, keep * running_var + momentum * var",
            "return mean, var",
            "the old averages are dropped: keep (1 - momentum) of them.",
        ),
        "added": (
            "keep = 1 - momentum",
            "keep = 1",
            "the averages grow without end: the old ones count (1 - momentum).",
        ),
    },
)
def batchnorm_running(x, running_mean, running_var, momentum):
    """x (N, C, H, W); running_mean, running_var (C,). Returns the new mean (C,) and var (C,)."""
    keep = 1 - momentum
    mean, var = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3), ddof=1)
    return keep * running_mean + momentum * mean, keep * running_var + momentum * var
