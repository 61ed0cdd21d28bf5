"""Changing tensors in place: as in torch where it is recorded, refused where it would lose."""

import numpy as np
import pytest
import torch
from helpers import assert_same, twins

import tinynet as tn

X = np.array([[-1.0, 0.5, 2.0], [7.0, -3.0, 1.0]])
ROW = np.array([2.0, -0.5, 4.0])


def iadd(x, y):
    x += y


def isub(x, y):
    x -= y


def imul(x, y):
    x *= y


def itruediv(x, y):
    x /= y


ARITHMETIC = {
    "+=": iadd,
    "-=": isub,
    "*=": imul,
    "/=": itruediv,
    "add_": lambda x, y: x.add_(y),
    "add_ with alpha": lambda x, y: x.add_(y, alpha=3),
    "sub_": lambda x, y: x.sub_(y),
    "sub_ with alpha": lambda x, y: x.sub_(y, alpha=0.5),
    "mul_": lambda x, y: x.mul_(y),
    "div_": lambda x, y: x.div_(y),
    "clip_": lambda x, y: x.clip_(-1, 2),
    "clamp_": lambda x, y: x.clamp_(min=0),
}
every_arithmetic = pytest.mark.parametrize("change", ARITHMETIC.values(), ids=ARITHMETIC)


@every_arithmetic
def test_plain_tensors_change_where_they_are(change):
    for other in (ROW, X + 3, np.array(2.0)):
        (x, y), (xt, yt) = twins(X, other, requires_grad=False)
        view, before = x[0], x.array
        change(x, y)
        change(xt, yt)
        assert_same(x, xt)
        assert x.array is before
        assert_same(view, xt[0])


@every_arithmetic
def test_recorded_tensors_carry_on_as_in_torch(change):
    (x, y), (xt, yt) = twins(X, ROW)
    h, ht = x * 2, xt * 2
    held, held_t = h, ht
    z, zt = h.exp(), ht.exp()  # uses h before it changes
    change(h, y)
    change(ht, yt)
    assert h is held
    assert_same(h, ht)
    (h * h + z).sum().backward()
    (ht * ht + zt).sum().backward()
    assert_same(x.grad, xt.grad)
    assert_same(y.grad, yt.grad)
    assert held_t is ht


@every_arithmetic
def test_leaves_that_require_a_gradient_refuse(change):
    x = tn.Tensor(X.copy(), requires_grad=True)
    with pytest.raises(
        RuntimeError, match=r"^(\w+|[-+*/]=): a leaf tensor that requires a gradient .* no_grad"
    ):
        change(x, tn.tensor(ROW))
    assert_same(x, X)


@every_arithmetic
def test_leaves_change_inside_no_grad_and_stay_leaves(change):
    (x, y), (xt, yt) = twins(X, ROW)
    array = x.array
    with tn.no_grad():
        change(x, y)
    with torch.no_grad():
        change(xt, yt)
    assert_same(x, xt)
    assert x.array is array
    assert x.is_leaf
    assert x.requires_grad
    assert x.grad is None


def test_gradient_descent_as_it_is_written_for_torch():
    (w,), (wt,) = twins(ROW)
    for _ in range(3):
        (w * w).sum().backward()
        (wt * wt).sum().backward()
        with tn.no_grad():
            w -= 0.1 * w.grad
        with torch.no_grad():
            wt -= 0.1 * wt.grad
        w.grad = wt.grad = None
    assert_same(w, wt)
    for _ in range(2):
        (w * w).sum().backward()
        w.data -= 0.1 * w.grad.data
        w.grad.zero_()
    assert w.requires_grad
    np.testing.assert_allclose(w.numpy(), ROW * 0.8**5)


def test_a_constant_that_meets_a_gradient_becomes_part_of_the_graph():
    total, x = tn.zeros(3, dtype=np.float64), tn.Tensor(ROW, requires_grad=True)
    total += x * 2
    total += x
    assert total.requires_grad
    total.sum().backward()
    assert x.grad.tolist() == [3, 3, 3]


def test_the_dtype_stays():
    x = tn.tensor([1.0, 2.0])
    x += tn.ones(2, dtype=np.float64)
    x *= np.float64(2)
    assert x.dtype == np.float32
    n = tn.tensor([1, 2], dtype=np.uint8)
    n += 3
    n -= tn.tensor([1, 1])
    assert n.dtype == np.uint8
    assert n.tolist() == [3, 4]
    h = tn.ones(2, requires_grad=True) * 1
    h += tn.ones(2, dtype=np.float64)
    assert h.dtype == np.float32


def test_power_in_place():
    x = tn.tensor([2.0, 3.0])
    array = x.array
    x **= 2
    assert x.tolist() == [4, 9]
    assert x.array is array


# overwriting


def test_overwriting():
    (x,), (xt,) = twins(X, requires_grad=False)
    for a in (x, xt):
        a[0] = 5
        a[1, ::2] = 3.5
        a[a < 0] = 0
    assert_same(x, xt)
    x[tn.tensor([0, 1]), tn.tensor([1, 1])] = tn.tensor([8.0, 9.0])
    assert x[:, 1].tolist() == [8, 9]
    x[[0, 1], 0] = [1.0, 2.0]
    assert x[:, 0].tolist() == [1, 2]
    x[...] = np.zeros((2, 3))
    assert x.sum().item() == 0
    assert x.copy_(tn.tensor(ROW)) is x
    assert x.tolist() == [ROW.tolist()] * 2
    assert x.fill_(4).tolist() == [[4] * 3] * 2
    assert x.zero_().tolist() == [[0] * 3] * 2


def test_overwriting_seen_through_views():
    x = tn.zeros(2, 3)
    x[0].fill_(1)
    x.T[1] = 5
    assert x.tolist() == [[1, 5, 1], [0, 5, 0]]


def test_random_filling_follows_the_seed():
    x = tn.zeros(10_000)
    tn.manual_seed(3)
    first = x.normal_(mean=2, std=0.5).numpy().copy()
    assert abs(first.mean() - 2) < 0.05
    assert abs(first.std() - 0.5) < 0.05
    tn.manual_seed(3)
    np.testing.assert_array_equal(x.normal_(2, 0.5), first)
    x.uniform_(-2, -1)
    assert x.min().item() >= -2
    assert x.max().item() < -1
    assert x.dtype == np.float32


OVERWRITING = {
    "assignment": lambda x, v: x.__setitem__(0, v),
    "copy_": lambda x, v: x.copy_(v),
    "fill_": lambda x, v: x.fill_(v),
}


@pytest.mark.parametrize("name", OVERWRITING)
def test_overwriting_what_is_recorded_is_refused(name):
    x = tn.Tensor(X.copy(), requires_grad=True)
    for target in (x, x * 2):
        with pytest.raises(RuntimeError, match=f"{name}: a tensor that requires a gradient"):
            OVERWRITING[name](target, 1.0)
        with tn.no_grad():
            OVERWRITING[name](target, 1.0)
        assert target[0].tolist() == [1, 1, 1]
        assert target.requires_grad
    x.data.fill_(3)
    assert x.tolist() == [[3] * 3] * 2


@pytest.mark.parametrize("name", ["assignment", "copy_"])
def test_overwriting_by_what_carries_a_gradient_is_refused(name):
    x, value = tn.zeros(2, 3), tn.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match=f"{name}: the value requires a gradient, .*detach"):
        OVERWRITING[name](x, value)
    assert x.sum().item() == 0
    OVERWRITING[name](x, value.detach())
    assert x[0].sum().item() == 3


# wrong use


WRONG = {
    "larger result": (
        lambda: iadd(tn.ones(3), tn.ones(2, 3)),
        ValueError,
        r"\+=: the result has shape \(2, 3\), which a tensor of shape \(3,\) cannot take in place",
    ),
    "larger result, recorded": (
        lambda: iadd(tn.ones(1, requires_grad=True) * 2, tn.ones(3)),
        ValueError,
        r"\+=: the result has shape \(3,\)",
    ),
    "fraction into integers": (
        lambda: tn.tensor([1, 2]).add_(0.5),
        TypeError,
        "add_: the result is float32, which a tensor of int64 cannot hold; convert it first",
    ),
    "quotient into integers": (
        lambda: itruediv(tn.tensor([1, 2]), 2),
        TypeError,
        "/=: the result is float32, which a tensor of int64 cannot hold",
    ),
    "integers into bools": (
        lambda: imul(tn.tensor([True]), 3),
        TypeError,
        r"\*=: the result is int64, which a tensor of bool cannot hold",
    ),
    "shapes": (
        lambda: tn.ones(2, 3).mul_(tn.ones(2)),
        ValueError,
        r"mul: shapes \(2, 3\) and \(2,\) do not broadcast",
    ),
    "copy_ of another shape": (
        lambda: tn.ones(2).copy_(tn.ones(3)),
        ValueError,
        r"copy_: a value of shape \(3,\) cannot be written into a tensor of shape \(2,\)",
    ),
    "assignment of another shape": (
        lambda: tn.ones(2, 3).__setitem__(0, tn.ones(2)),
        ValueError,
        r"assignment: a value of shape \(2,\) cannot be written into .* \(2, 3\)",
    ),
    "expanded memory": (
        lambda: tn.ones(1).expand(3).fill_(2),
        ValueError,
        "fill_: .* read-only",
    ),
    "position beyond": (lambda: tn.ones(2).__setitem__([0, 2], 1.0), IndexError, "index 2 is out"),
    "text": (lambda: iadd(tn.ones(2), "x"), TypeError, r"\+=?: expected .* got str"),
    "normal_": (lambda: tn.ones(2).normal_(0, -1), ValueError, "normal_: std .* got -1"),
    "uniform_": (lambda: tn.ones(2).uniform_(1, 0), ValueError, "uniform_: low 1 is above high 0"),
}


@pytest.mark.parametrize(("call", "error", "message"), WRONG.values(), ids=WRONG)
def test_wrong_use(call, error, message):
    with pytest.raises(error, match=message):
        call()
