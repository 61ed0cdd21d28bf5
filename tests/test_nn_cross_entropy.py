"""The cross-entropy loss against torch: every shape, reduction and option; extremes; refusals."""

import itertools

import numpy as np
import pytest
import torch
from helpers import assert_same, compare_with_torch

import tinynet as tn
import tinynet.nn as nn
import tinynet.nn.functional as F
from tinynet.autograd.mode import mode

SHAPES = [(5,), (1, 4), (6, 5), (3, 4, 7), (2, 3, 4, 5)]
REDUCTIONS = ["mean", "sum", "none"]


def classes(shape):
    return shape[0] if len(shape) == 1 else shape[1]


def labels_for(rng, shape):
    return rng.integers(0, classes(shape), shape[:1] + shape[2:] if len(shape) > 1 else ())


def check(x, target, weight=None, **options):
    """Our loss layer against torch's on the same logits, targets and class weights."""
    ours = nn.CrossEntropyLoss(None if weight is None else tn.tensor(weight), **options)
    theirs = torch.nn.CrossEntropyLoss(None if weight is None else torch.tensor(weight), **options)
    return compare_with_torch(
        lambda logits: ours(logits, tn.tensor(target)),
        lambda logits: theirs(logits, torch.tensor(target)),
        x,
    )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("kind", ["labels", "some ignored", "probabilities"])
def test_grid(rng, shape, reduction, kind):
    for smoothing, weighted, dtype in itertools.product(
        [0.0, 0.1, 1.0], [False, True], [np.float64, np.float32]
    ):
        x = (3 * rng.standard_normal(shape)).astype(dtype)
        options = {"reduction": reduction, "label_smoothing": smoothing}
        if kind == "probabilities":
            target = rng.dirichlet(np.ones(classes(shape)), shape[:1] + shape[2:])
            target = target[0] if len(shape) == 1 else np.moveaxis(target, -1, 1)
            target = np.ascontiguousarray(target).astype(dtype)
        else:
            target = labels_for(rng, shape)
            if kind == "some ignored":
                options["ignore_index"] = int(target.flat[0])
        weight = rng.uniform(0.2, 2, classes(shape)).astype(dtype) if weighted else None
        check(x, target, weight, **options)


@pytest.mark.parametrize("ignore_index", [-100, -1, 2, 77])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_ignored_targets(rng, ignore_index, reduction):
    x = rng.standard_normal((6, 4))
    target = np.array([0, ignore_index, 3, 1, ignore_index, 2])
    options = {"ignore_index": ignore_index, "reduction": reduction}
    check(x, target, **options)
    check(x, target, rng.uniform(0.1, 2, 4), label_smoothing=0.2, **options)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_all_targets_ignored(rng, smoothing, reduction):
    """The mean over nothing is nan; the gradient is 0 all the same, as in torch."""
    x, target = rng.standard_normal((3, 4)), np.full(3, -100)
    y, _ = check(x, target, reduction=reduction, label_smoothing=smoothing)
    assert np.isnan(y.numpy()).all() == (reduction == "mean")


EXTREME = {
    "far apart": [[1e4, -1e4, 0.0], [-1e5, 1e5, 1]],
    "equal and huge": [[1e30, 1e30, 1e30], [-1e30, -1e30, -1e30]],
    "minus infinity": [[-np.inf, 0, 1], [2, -np.inf, -np.inf]],
}


@pytest.mark.parametrize("logits", EXTREME.values(), ids=EXTREME)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_extreme_logits(logits, dtype, smoothing):
    x = np.array(logits, dtype)
    for *target, reduction in itertools.product(range(3), range(3), REDUCTIONS):
        check(x, np.array(target), reduction=reduction, label_smoothing=smoothing)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_any_integer_type_of_labels(rng, dtype):
    x, target = rng.standard_normal((5, 4)), rng.integers(0, 4, 5)
    expected = torch.nn.functional.cross_entropy(torch.tensor(x), torch.tensor(target))
    assert_same(F.cross_entropy(tn.tensor(x), tn.tensor(target.astype(dtype))), expected)


def test_float32_stays_float32(rng):
    x = tn.tensor(rng.standard_normal((4, 3)).astype(np.float32), requires_grad=True)
    loss = F.cross_entropy(x, tn.tensor([0, 1, 2, 0]), tn.ones(3), label_smoothing=0.1)
    loss.backward()
    assert loss.dtype == x.grad.dtype == np.float32
    assert loss.shape == ()


def test_other_layouts(rng):
    x, target = rng.standard_normal((5, 7, 4)).transpose(1, 2, 0), rng.integers(0, 4, (5, 7)).T
    expected = torch.nn.functional.cross_entropy(torch.tensor(x), torch.tensor(target))
    assert_same(F.cross_entropy(tn.Tensor(x), tn.Tensor(target)), expected)


def loss_of(shape, target, **options):
    return lambda: F.cross_entropy(tn.zeros(*shape), tn.tensor(target), **options)


@pytest.mark.parametrize("weight", [None, [1.0, 2.0, 3.0]])
@pytest.mark.parametrize("target", [[0, 3], [-1, 0]])
def test_a_wrong_label_is_refused_or_makes_the_loss_nan(device, target, weight):
    wrong = max(target) if max(target) > 2 else min(target)
    loss = loss_of((2, 3), target, weight=None if weight is None else tn.tensor(weight))
    if device == "cpu" or mode.plain:
        with pytest.raises(ValueError, match=rf"from 0 to 2 \(or ignore_index=-100\), got {wrong}"):
            loss()
    else:  # to refuse it the CPU would have to wait for the GPU
        assert np.isnan(loss().item())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (loss_of((2, 3), [0, 1, 2]), ValueError, r"logits of shape \(2, 3\) .* shape \(3,\)"),
        (loss_of((2, 3), [[0, 1]]), ValueError, r"labels of shape \(2,\)"),
        (loss_of((2, 3), [0.5, 0.5]), ValueError, r"probabilities of shape \(2, 3\)"),
        (loss_of((2, 3), [True, False]), TypeError, "got bools"),
        (loss_of((), 0), ValueError, r"floating logits \(N, K\)"),
        (
            loss_of((2, 3), [0, 1], reduction="avg"),
            ValueError,
            "'mean', 'sum' or 'none', got 'avg'",
        ),
        (
            loss_of((2, 3), [0, 1], label_smoothing=1.5),
            ValueError,
            "at least 0 and at most 1, got 1.5",
        ),
        (
            lambda: loss_of((2, 3), [0, 1], weight=tn.ones(2))(),
            ValueError,
            r"shape \(3,\), got \(2,\)",
        ),
        (loss_of((2, 3), [0, 1], weight=tn.ones(3).double()), TypeError, "weight is float64"),
        (loss_of((2, 3), [0, 1], weight=[1, 1, 1]), TypeError, "weight must be a Tensor, got list"),
        (lambda: F.cross_entropy(tn.zeros(2, 3).long(), tn.tensor([0, 1])), ValueError, "int64"),
        (lambda: F.cross_entropy(np.zeros((2, 3)), tn.tensor([0])), TypeError, "input must be a T"),
        (lambda: F.cross_entropy(tn.zeros(2, 3), [0, 1]), TypeError, "target must be a Tensor"),
        (lambda: nn.CrossEntropyLoss(reduction="avg"), ValueError, "reduction must be"),
        (lambda: nn.CrossEntropyLoss(label_smoothing=-1), ValueError, "label_smoothing must be"),
        (lambda: nn.CrossEntropyLoss([1, 2]), TypeError, "weight must be a Tensor .* got list"),
    ],
)
def test_wrong_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()
