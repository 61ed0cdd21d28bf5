"""Batch normalisation: the three paths back."""

import numpy as np

from tinynet.exercises.course.batchnorm import images, normalised
from tinynet.exercises.definition import Backward
from tinynet.exercises.exercise import exercise

GX = "gx = scale * (gy - mean(gy) - xhat * mean(gy * xhat))"


@exercise(
    title="The backward of BatchNorm",
    aim="""
    Forward is, with mean and biased variance of the batch per channel,

        xhat = (x - mean) / std,  std = sqrt(var + eps)
        y = weight xhat + bias

    x reaches y along three paths: directly, through the mean and through the variance. Find the
    gradients with respect to x, weight and bias.""",
    gives="gx gweight gbias",
    cases=images,
    reference=Backward("x weight bias", normalised),
    hint="""gbias is the sum of gy, gweight that of gy xhat, per channel. gx is weight / std times
    gy less two corrections: what goes through the mean, and xhat times what goes through the
    variance. In each channel gx adds up to 0, and, but for eps, so does gx xhat.""",
    mistakes={
        "direct-only": (
            GX,
            "gx = scale * gy",
            "only the direct path is there, as if mean and variance were fixed (evaluation); in "
            "training they depend on x.",
        ),
        "no-variance": (
            GX,
            "gx = scale * (gy - mean(gy))",
            "the path through the variance is missing, - xhat mean(gy xhat).",
        ),
        "no-mean": (
            GX,
            "gx = scale * (gy - xhat * mean(gy * xhat))",
            "the path through the mean is missing, - mean(gy): each channel of gx adds up to 0.",
        ),
        "sums": (
            GX,
            "gx = scale * (gy - gy.sum(axis=(0, 2, 3), keepdims=True)"
            " - xhat * (gy * xhat).sum(axis=(0, 2, 3), keepdims=True))",
            "the corrections are sums; they are MEANS over the channel's values.",
        ),
        "variance-sum": (
            GX,
            "gx = scale * (gy - mean(gy) - xhat * (gy * xhat).sum(axis=(0, 2, 3), keepdims=True))",
            "the path through the variance takes a sum; var is a mean of squares, so its slope has "
            "the factor 1 / count.",
        ),
        "mean-sum": (
            GX,
            "gx = scale * (gy - gy.sum(axis=(0, 2, 3), keepdims=True) - xhat * mean(gy * xhat))",
            "the path through the mean takes a sum; each x is only 1 / count of the mean.",
        ),
        "variance-sign": (
            GX,
            "gx = scale * (gy - mean(gy) + xhat * mean(gy * xhat))",
            "the path through the variance has the wrong sign: it is subtracted.",
        ),
        "no-weight": (
            "weight[:, None, None] / std",
            "1 / std",
            "the factor weight is missing: y moves weight times as fast as xhat.",
        ),
        "no-std": (
            "weight[:, None, None] / std",
            "weight[:, None, None]",
            "the factor 1 / std is missing: xhat moves by 1 / std when x moves by 1.",
        ),
        "x-for-xhat": (
            "gweight = (gy * xhat)",
            "gweight = (gy * x)",
            "gweight is made with x; weight multiplies xhat.",
        ),
        "gweight-mean": (
            "gweight = (gy * xhat).sum(",
            "gweight = (gy * xhat).mean(",
            "gweight is a mean; weight is used for every pixel of the channel: take the sum.",
        ),
        "gbias-mean": (
            "gbias = gy.sum(",
            "gbias = gy.mean(",
            "gbias is a mean; bias is added to every pixel of the channel: take the sum.",
        ),
        "unbiased": (
            "mean((x - mean(x)) ** 2)",
            "x.var(axis=(0, 2, 3), keepdims=True, ddof=1)",
            "the variance is divided by count - 1; training normalises by the biased one.",
        ),
    },
)
def batchnorm_backward(gy, x, weight, eps):
    """gy, x (N, C, H, W); weight (C,); eps: a number. Returns gx (N, C, H, W), gweight (C,), gbias
    (C,)."""

    def mean(values):
        return values.mean(axis=(0, 2, 3), keepdims=True)

    std = np.sqrt(mean((x - mean(x)) ** 2) + eps)
    xhat = (x - mean(x)) / std
    scale = weight[:, None, None] / std
    gx = scale * (gy - mean(gy) - xhat * mean(gy * xhat))
    gweight = (gy * xhat).sum(axis=(0, 2, 3))
    gbias = gy.sum(axis=(0, 2, 3))
    return gx, gweight, gbias
