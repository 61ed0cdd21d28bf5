"""Reductions against torch: every way to name axes, ties, and values that cancel."""

import numpy as np
import pytest
import torch
from helpers import assert_same, compare_with_torch, run_on_both, twins

import tinynet as tn

DIMS = [0, 1, 2, -1, -3, (0, 1), (2, 0), (-1, 1), (0, 1, 2), [0, 2], None]
OVER_MANY = {
    name: lambda x, dim, keepdim, name=name: getattr(x, name)(dim=dim, keepdim=keepdim)
    for name in ("sum", "mean", "var", "std", "amax", "amin")
}


def normal(*shape, dtype=np.float64):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("name", OVER_MANY)
def test_over_every_choice_of_axes(name, keepdim, dtype):
    for dim in DIMS:
        if dim is None and name in ("amax", "amin"):  # torch knows () for all axes, not None
            compare_with_torch(
                lambda x: getattr(x, name)(None, keepdim),
                lambda x: getattr(x, name)((), keepdim),
                normal(2, 3, 4, dtype=dtype),
            )
            continue
        run_on_both(lambda x, d=dim: OVER_MANY[name](x, d, keepdim), normal(2, 3, 4, dtype=dtype))


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "amax", "amin"])
def test_of_all_elements(name):
    for shape in [(), (1,), (5,), (2, 3)]:
        run_on_both(lambda x: getattr(x, name)(), normal(*shape))


@pytest.mark.parametrize("name", ["sum", "mean", "amax", "amin"])
def test_a_tensor_of_no_axes_has_an_axis_0(name):
    run_on_both(lambda x: getattr(x, name)(0), normal())
    run_on_both(lambda x: getattr(x, name)(-1), normal())


@pytest.mark.parametrize("correction", [0, 1, 2])
@pytest.mark.parametrize("name", ["var", "std"])
def test_corrections(name, correction):
    run_on_both(lambda x: getattr(x, name)(correction=correction), normal(7))
    run_on_both(lambda x: getattr(x, name)(1, correction=correction), normal(2, 5))
    run_on_both(lambda x: getattr(x, name)((0, 2), correction=correction), normal(2, 5, 3))


def test_the_variance_of_one_value_is_nan_as_in_torch_and_without_a_warning():
    with pytest.warns(UserWarning, match="degrees of freedom"):  # torch's; ours would be an error
        run_on_both(lambda x: x.var(), normal(1))
        run_on_both(lambda x: x.var(0), normal(1, 3))


def test_the_variance_survives_a_large_mean():
    """E[x^2] - E[x]^2 gives 0 here in float32."""
    x = (1000 + 0.01 * normal(1000)).astype(np.float32)
    exact = x.astype(np.float64).var(ddof=1)
    assert tn.Tensor(x).var().item() == pytest.approx(exact, rel=1e-3)
    assert 5e-5 < exact < 2e-4


def test_the_std_of_equal_values_has_gradient_0():
    run_on_both(lambda x: x.std(), np.full(3, 2.0))
    run_on_both(lambda x: x.std(1), np.array([[1.0, 1.0, 1.0], [1.0, 2.0, 4.0]]))


TIES = np.array([[3.0, 1.0, 3.0, 3.0], [0.0, 0.0, 0.0, 0.0], [1.0, 2.0, -1.0, 2.0]])


@pytest.mark.parametrize("name", ["amax", "amin"])
def test_ties_share_the_gradient(name):
    for dim in (0, 1, (0, 1)):
        run_on_both(lambda x, d=dim: getattr(x, name)(d), TIES)
    run_on_both(lambda x: getattr(x, name[1:])(), TIES)


@pytest.mark.parametrize("name", ["max", "min"])
@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("array", [TIES, normal(3, 4)], ids=["ties", "no ties"])
def test_along_one_axis_values_and_first_indices(name, keepdim, array):
    for dim in (0, 1, -1):
        run_on_both(lambda x, d=dim: getattr(x, name)(d, keepdim).values, array)
        (ours,), (theirs,) = twins(array)
        values, indices = getattr(ours, name)(dim=dim, keepdim=keepdim)
        expected = getattr(theirs, name)(dim=dim, keepdim=keepdim)
        assert_same(indices, expected.indices)
        assert not indices.requires_grad
        assert_same(values, expected.values)


def test_max_along_the_axis_of_a_tensor_without_axes():
    run_on_both(lambda x: x.max(0).values, normal())
    assert tn.tensor(3.0).max(0).indices.item() == 0


@pytest.mark.parametrize("name", ["max", "min"])
def test_nan_wins_as_in_torch(name):
    array = np.array([[1.0, np.nan, 2.0], [4.0, 3.0, 0.5]])
    run_on_both(lambda x: getattr(x, name)(), array)
    run_on_both(lambda x: getattr(x, name)(1).values, array)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.int32, np.bool_, np.float32])
def test_of_every_dtype(dtype):
    array = np.array([[3, 0, 200], [1, 1, 7]]).astype(dtype)
    (ours,), (theirs,) = twins(array)
    assert_same(ours.sum(), theirs.sum())
    assert_same(ours.sum(1), theirs.sum(1))
    for name in ("max", "min"):
        assert_same(getattr(ours, name)(), getattr(theirs, name)(), name)
        assert_same(getattr(ours, name)(1).values, getattr(theirs, name)(1).values, name)


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_positions(name):
    for array in (TIES, normal(2, 3), np.array([1, 5, 5])):
        (ours,), (theirs,) = twins(array)
        for dim, keepdim in [(None, False), (0, False), (-1, True)]:
            assert_same(getattr(ours, name)(dim, keepdim), getattr(theirs, name)(dim, keepdim))
    assert not getattr(tn.randn(3, requires_grad=True), name)().requires_grad


def test_the_mean_of_integers_is_floating():
    assert tn.tensor([1, 2]).mean().dtype == np.float32
    assert tn.tensor([True, False]).mean().item() == 0.5


def test_sums_of_nothing():
    run_on_both(lambda x: x.sum(), np.zeros((0, 3)))
    run_on_both(lambda x: x.sum(0), np.zeros((0, 3)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: x.sum(2), ValueError, r"sum: dim 2 is out of range for a tensor of 2 axes"),
        (lambda x: x.mean(-3), ValueError, r"mean: dim -3 is out of range"),
        (lambda x: x.amax((0, 0)), ValueError, r"amax: dim 0 appears twice in \(0, 0\)"),
        (lambda x: x.amin((0, -2)), ValueError, r"amin: dim -2 appears twice in \(0, -2\)"),
        (lambda x: x.sum(1.5), TypeError, r"sum: dim must be an int or a tuple of ints, got 1.5"),
        (lambda x: x.sum("x"), TypeError, r"sum: dim must be an int .* got 'x'"),
        (lambda x: x.sum(True), TypeError, r"sum: dim must be an int .* got True"),
        (lambda x: x.var(2), ValueError, r"var: dim 2 is out of range"),
        (lambda x: x.max(2), ValueError, r"^max: dim 2 is out of range"),
        (lambda x: x.argmax((0, 1)), TypeError, r"argmax: dim must be an integer, got \(0, 1\)"),
        (lambda x: x.min((0, 1)), TypeError, r"^min: dim must be an integer, got \(0, 1\)"),
        (lambda x: x[:0].mean(), ValueError, r"mean: .* \(0, 3\) has no elements"),
        (lambda x: x[:0].max(), ValueError, r"amax: .* \(0, 3\) has no elements"),
        (lambda x: x[:0].argmin(), ValueError, r"argmin: .* \(0, 3\) has no elements"),
    ],
)
def test_wrong_use(call, error, message):
    with pytest.raises(error, match=message):
        call(tn.zeros(2, 3))


def test_a_reduced_tensor_can_be_walked_back_in_float32():
    x = tn.Tensor(normal(4, 5, dtype=np.float32), requires_grad=True)
    (x.mean(0) + x.amax(0) + x.std(0)).sum().backward()
    assert x.grad.dtype == np.float32
    assert torch.isfinite(torch.tensor(x.grad.numpy())).all()
