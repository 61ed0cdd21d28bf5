"""accuracy and Average."""

import numpy as np
import pytest
import torch

from tinynet.autograd import Tensor
from tinynet.training import Average, accuracy


def test_accuracy_equals_torchs_topk():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((200, 20)).astype(np.float32)
    labels = rng.integers(0, 20, 200)
    top = torch.tensor(logits).topk(20).indices.numpy()
    expected = [np.mean([y in row[:k] for y, row in zip(labels, top, strict=True)]) for k in (1, 5)]
    assert accuracy(logits, labels, topk=(1, 5)) == pytest.approx(expected, abs=1e-12)
    assert accuracy(Tensor(logits), Tensor(labels)) == pytest.approx(expected[:1], abs=1e-12)
    assert accuracy(logits, labels, (20,)) == (1.0,)


def test_the_first_of_equal_logits_wins_as_in_argmax():
    logits = np.zeros((3, 3))
    assert accuracy(logits, np.array([0, 1, 2]), (1, 2, 3)) == pytest.approx((1 / 3, 2 / 3, 1))
    assert accuracy(logits, np.array([0, 0, 0])) == (1.0,)
    assert accuracy(np.array([[2, 5, 5, 5]]), np.array([2]), (1, 2, 3)) == (0.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("row", "label", "expected"),
    [
        ([np.nan, np.nan, np.nan], 0, 0.0),
        ([np.nan, 1.0, 2.0], 2, 0.0),
        ([np.nan, 1.0, 2.0], 0, 0.0),
        ([np.inf, 1.0, 2.0], 0, 1.0),
        ([-np.inf, -np.inf, -np.inf], 0, 1.0),
    ],
)
def test_a_diverged_network_is_right_about_nothing(row, label, expected):
    assert accuracy(np.array([row]), np.array([label])) == (expected,)


@pytest.mark.parametrize(
    ("logits", "labels", "topk", "message"),
    [
        (np.ones(3), np.array([0]), (1,), r"\(N, C\).*\(3,\)"),
        (np.ones((2, 3)), np.array([0]), (1,), r"\(2, 3\) and \(1,\)"),
        (np.ones((2, 3)), np.array([[0], [1]]), (1,), "expected logits"),
        (np.ones((0, 3)), np.array([], dtype=int), (1,), "N > 0"),
        (np.ones((2, 3)), np.array([0, 3]), (1,), "from 0 to 2, got int64 from 0 to 3"),
        (np.ones((2, 3)), np.array([-1, 0]), (1,), "from -1 to 0"),
        (np.ones((2, 3)), np.array([0.0, 1.0]), (1,), "integers"),
        (np.ones((2, 3)), np.array([0, 1]), (1, 5), "topk must be from 1 to 3, got 5"),
        (np.ones((2, 3)), np.array([0, 1]), (0,), "topk"),
    ],
)
def test_wrong_arguments_of_accuracy(logits, labels, topk, message):
    with pytest.raises(ValueError, match=message):
        accuracy(logits, labels, topk)


def test_average_weighs_batches_by_their_size():
    values = np.random.default_rng(0).standard_normal(10)
    average = Average()
    assert np.isnan(average.mean)
    for batch in (values[:4], values[4:8], values[8:]):
        average.add(np.float32(batch.mean()), weight=len(batch))
    assert average.mean == pytest.approx(values.mean(), rel=1e-6)
    assert type(average.mean) is float


def test_average_takes_a_tensor_and_refuses_an_empty_batch():
    average = Average()
    average.add(Tensor(np.array(2.5)))
    assert average.mean == 2.5
    with pytest.raises(ValueError, match="weight must be more than 0, got 0"):
        average.add(1.0, weight=0)
    assert average.mean == 2.5
