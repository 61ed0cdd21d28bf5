"""The matrix product against torch, for every combination of 1 to 4 axes."""

import itertools

import numpy as np
import pytest
import torch
from helpers import assert_same, compare_with_torch, run_on_both, twins

import tinynet as tn

LEFT = {1: (3,), 2: (2, 3), 3: (4, 2, 3), 4: (5, 4, 2, 3)}
RIGHT = {1: (3,), 2: (3, 6), 3: (4, 3, 6), 4: (5, 4, 3, 6)}
STRETCHED = [
    ((1, 2, 3), (4, 3, 6)),
    ((4, 2, 3), (1, 3, 6)),
    ((5, 1, 2, 3), (4, 3, 6)),
    ((5, 1, 2, 3), (1, 4, 3, 6)),
    ((1, 1, 2, 3), (3, 1)),
    ((1, 3), (3, 1)),
    ((3,), (5, 1, 3, 1)),
]
EMPTY = [((0, 3), (3, 2)), ((2, 0), (0, 3)), ((2, 3), (3, 0)), ((0, 2, 3), (3, 4)), ((0,), (0,))]
SHAPES = [(LEFT[a], RIGHT[b]) for a, b in itertools.product(LEFT, RIGHT)] + STRETCHED + EMPTY


def normal(shape, dtype, seed):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_products(shapes, dtype):
    arrays = [normal(shape, dtype, seed) for seed, shape in enumerate(shapes)]
    run_on_both(lambda a, b: a @ b, *arrays)
    run_on_both(lambda a, b: a.matmul(b), *arrays)


@pytest.mark.parametrize("wanted", [0, 1])
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_only_one_side_wants_a_gradient(shapes, wanted):
    arrays = [normal(shape, np.float64, seed) for seed, shape in enumerate(shapes)]
    ours, theirs = twins(*arrays, requires_grad=False)
    ours[wanted].requires_grad_()
    theirs[wanted].requires_grad_()
    y, expected = ours[0] @ ours[1], theirs[0] @ theirs[1]
    gy = normal(y.shape, np.float64, 7)
    y.backward(tn.Tensor(gy))
    expected.backward(torch.tensor(gy))
    for x, xt in zip(ours, theirs, strict=True):
        assert_same(x.grad, xt.grad)


def test_a_matrix_times_itself():
    run_on_both(lambda a: a @ a, normal((3, 3), np.float64, 0))
    run_on_both(lambda a: a.T @ a, normal((2, 3), np.float64, 0))


def test_arrays_on_either_side():
    x, array = normal((3, 3), np.float64, 0), normal((3, 3), np.float64, 1)
    compare_with_torch(lambda x: array @ x, lambda x: torch.tensor(array) @ x, x)
    compare_with_torch(lambda x: x @ array, lambda x: x @ torch.tensor(array), x)


def test_integers_multiply():
    a, b = np.arange(6).reshape(2, 3), np.arange(12).reshape(3, 4)
    run_on_both(lambda a, b: a @ b, a, b)


def test_only_what_backward_needs_is_saved():
    a, b = tn.randn(2, 3), tn.randn(3, 4, requires_grad=True)
    kept = [x for x in (a @ b).grad_fn.saved if x is not None]
    assert [x is a.array for x in kept] == [True]


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ((2, 3), (2, 3), r"@: the last axis of \(2, 3\) must be as long as the second-last"),
        ((3,), (4,), r"the only axis of \(4,\)"),
        ((2, 3), (4, 5, 6), r"second-last axis of \(4, 5, 6\)"),
        ((), (3,), r"@: both sides need at least one axis, got shapes \(\) and \(3,\)"),
        ((3, 2, 3), (4, 3, 2), r"@: shapes \(3,\) and \(4,\) do not broadcast"),
    ],
)
def test_shapes_that_do_not_fit(a, b, message):
    with pytest.raises(ValueError, match=message):
        tn.zeros(a) @ tn.zeros(b)


def test_a_number_is_refused():
    with pytest.raises(ValueError, match="@: both sides need at least one axis"):
        tn.zeros(3) @ 2
    with pytest.raises(TypeError, match="matmul: expected a Tensor, an array or a number, got str"):
        tn.zeros(3).matmul("x")
