"""Activation and loss."""

import numpy as np

from tinynet.exercises.course.gradients import numbers
from tinynet.exercises.definition import Backward, Forward
from tinynet.exercises.exercise import exercise
from tinynet.ops.activation import ReLU6
from tinynet.ops.loss import SoftmaxCrossEntropy


def _around_the_kinks(rng):
    yield {"gy": numbers(rng, 4), "x": np.array([-1.5, 2.0, 7.5, 0.5])}
    yield {"gy": numbers(rng, 5), "x": np.array([-1.0, 0.0, 3.0, 6.0, 8.0])}
    yield {"gy": numbers(rng, 2, 3, 2), "x": rng.integers(-3, 10, (2, 3, 2)).astype(float)}


@exercise(
    title="The backward of ReLU6",
    aim="""
    y = min(max(x, 0), 6), MobileNet's activation. Where x lies between 0 and 6, y moves with
    x; elsewhere y stays. At exactly 0 and exactly 6 there is a kink, and the gradient is taken as
    0, as PyTorch does.""",
    gives="gx",
    cases=_around_the_kinks,
    reference=Backward("x", lambda x: ReLU6.apply(x)),
    hint="""gx is gy where 0 < x < 6 and 0 elsewhere. A comparison of arrays gives an array of
    bools, by which you can multiply; np.where does it too.""",
    mistakes={
        "no-ceiling": ("& (x < 6)", "", "this is ReLU: above 6 the result is flat as well."),
        "kink-at-0": (
            "(x > 0)",
            "(x >= 0)",
            "at x = 0 exactly the gradient should be 0: take x > 0.",
        ),
        "kink-at-6": (
            "(x < 6)",
            "(x <= 6)",
            "at x = 6 exactly the gradient should be 0: take x < 6.",
        ),
        "both-kinks": (
            "(x > 0) & (x < 6)",
            "(x >= 0) & (x <= 6)",
            "at exactly 0 and exactly 6 the gradient should be 0: both comparisons are strict.",
        ),
        "clipped-gy": (
            "gy * ((x > 0) & (x < 6))",
            "np.clip(gy, 0, 6)",
            "this clips gy; what counts is where x was, and gy may be any number.",
        ),
        "forward": (
            "gy * ((x > 0) & (x < 6))",
            "gy * np.clip(x, 0, 6)",
            "this multiplies by y; the slope of the straight part is 1.",
        ),
    },
)
def relu6_backward(gy, x):
    """gy, x: arrays of one shape. Returns gx, of that shape."""
    return gy * ((x > 0) & (x < 6))


def _logits(rng):
    yield {"x": np.array([[1.0, 0.0, -1.0]]), "labels": np.array([1]), "smoothing": 0.0}
    for R, K, smoothing in ((3, 4, 0.0), (2, 3, 0.1), (4, 2, 0.2)):
        labels = rng.integers(0, K, R)
        yield {"x": numbers(rng, R, K), "labels": labels, "smoothing": smoothing}


def _logits_to_1000(rng):
    for inputs in _logits(rng):
        if not inputs["smoothing"]:
            yield inputs
    yield {"x": np.array([[1000.0, 998.0], [-1000.0, -999.0]]), "labels": np.array([1, 0])}


@exercise(
    title="Softmax cross-entropy, forward",
    aim="""
    Each of the R rows of x holds K logits, one per class. The probability of class k is

        p[r,k] = exp(x[r,k]) / (sum over j of exp(x[r,j]))

    The loss of a row is -log p at its label; the result is the mean over the rows. It must hold for
    logits of 1000 too, whose exp is infinite.""",
    gives="loss",
    cases=_logits_to_1000,
    reference=Forward("x", lambda x, labels: SoftmaxCrossEntropy.apply(x, target=labels).mean()),
    hint="""log p[r,k] = x[r,k] - log(sum over j of exp(x[r,j])). Subtracting the row's largest
    logit from the whole row leaves p as it is, and then exp cannot overflow.""",
    mistakes={
        "no-keepdims": (
            "np.exp(shifted).sum(axis=1, keepdims=True)",
            "np.exp(shifted).sum(axis=1)",
            "the sums have the shape (R,), which NumPy lays along the classes; with keepdims=True "
            "they are (R, 1), one per row.",
        ),
        "overflow": (
            "shifted = x - x.max(axis=1, keepdims=True)",
            "shifted = x",
            "exp of a large logit is infinite; subtract the row's largest logit first.",
        ),
        "max-of-all": (
            "x.max(axis=1, keepdims=True)",
            "x.max()",
            "the largest of ALL logits is subtracted; in a row far below it exp is 0, and log 0 "
            "is minus infinity. Take each row's own maximum.",
        ),
        "wrong-axis": (
            "np.exp(shifted).sum(axis=1, keepdims=True)",
            "np.exp(shifted).sum(axis=0, keepdims=True)",
            "the probabilities of one COLUMN add up to 1 here; sum over the classes, axis 1.",
        ),
        "sum": (
            "-log_p[rows, labels].mean()",
            "-log_p[rows, labels].sum()",
            "the losses of the rows are added; the result is their mean.",
        ),
        "sign": (
            "-log_p[rows, labels].mean()",
            "log_p[rows, labels].mean()",
            "the loss is negative: a probability below 1 has a negative log, so put a minus.",
        ),
        "all-classes": (
            "-log_p[rows, labels].mean()",
            "-log_p.mean()",
            "this is the mean over all classes; only the probability at the label counts.",
        ),
        "softmax-twice": (
            "    log_p = shifted",
            "    shifted = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)\n"
            "    log_p = shifted",
            "softmax is applied twice: cross-entropy takes the logits, not probabilities.",
        ),
    },
)
def cross_entropy_forward(x, labels):
    """x (R, K): logits. labels (R,): integers from 0 to K-1. Returns the loss, a number."""
    shifted = x - x.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = np.arange(len(x))
    return -log_p[rows, labels].mean()


def _smoothed(x, labels, smoothing):
    return SoftmaxCrossEntropy.apply(x, target=labels, label_smoothing=smoothing).mean()


@exercise(
    title="Softmax cross-entropy, backward",
    aim="""
    With p the softmax of the logits x, the loss is

        mean over r of -(sum over k of q[r,k] log p[r,k])

    The target q is 1 at the label and 0 elsewhere; label smoothing s makes it (1 - s) q + s / K.
    Find the gradient with respect to x.""",
    gives="gx",
    cases=_logits,
    reference=Backward("x", _smoothed),
    hint="""For one row the gradient is p - q: probability minus target. The loss is a mean over R
    rows. Each row of gx adds up to 0.""",
    mistakes={
        "no-keepdims": (
            "exps.sum(axis=1, keepdims=True)",
            "exps.sum(axis=1)",
            "the sums have the shape (R,), which NumPy lays along the classes; with keepdims=True "
            "they are (R, 1), one per row.",
        ),
        "no-mean": (
            "(p - q) / R",
            "p - q",
            "the mean over the rows is missing: every gradient is R times too large.",
        ),
        "no-target": (
            "(p - q) / R",
            "p / R",
            "the target is not subtracted: every logit would be pushed down, the label's too.",
        ),
        "sign": (
            "(p - q) / R",
            "(q - p) / R",
            "the sign is turned: where p is larger than q, raising the logit raises the loss.",
        ),
        "no-smoothing": (
            "q = (1 - smoothing) * q + smoothing / K",
            "q = 1 * q",
            "the target is not smoothed; it should be (1 - s) q + s / K.",
        ),
        "smoothing-on-others": (
            "(1 - smoothing) * q + smoothing / K",
            "(1 - smoothing) * q + smoothing / (K - 1) * (1 - q)",
            "s is shared by the OTHER classes; it is shared by all K, the label's included.",
        ),
        "smoothing-not-shared": (
            "+ smoothing / K",
            "+ smoothing",
            "each class gets all of s; divide it by K, so that q adds up to 1.",
        ),
        "divided-by-classes": (
            "(p - q) / R",
            "(p - q) / K",
            "this divides by the number of classes; the mean is over the rows.",
        ),
        "softmax-of-columns": (
            "exps / exps.sum(axis=1, keepdims=True)",
            "exps / exps.sum()",
            "p adds up to 1 over the whole batch; each ROW should, so sum over axis 1.",
        ),
    },
)
def cross_entropy_backward(x, labels, smoothing):
    """x (R, K): logits. labels (R,): integers. smoothing: s, a number. Returns gx (R, K)."""
    R, K = x.shape
    exps = np.exp(x - x.max(axis=1, keepdims=True))
    p = exps / exps.sum(axis=1, keepdims=True)
    q = np.zeros((R, K))
    q[np.arange(R), labels] = 1
    q = (1 - smoothing) * q + smoothing / K
    return (p - q) / R
