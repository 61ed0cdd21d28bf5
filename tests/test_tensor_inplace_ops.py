"""`F.relu(x, inplace=True)` and its like: the input itself becomes the result, as in torch."""

import numpy as np
import pytest
import torch
from helpers import assert_same, twins

import tinynet as tn
import tinynet.nn.functional as F

X = np.array([[-1.0, 0.5, 2.0], [7.0, -3.0, 1.0]])


@pytest.mark.parametrize("name", ["relu", "relu6"])
def test_an_activation_in_place_is_seen_through_its_input(name):
    (x,), (xt,) = twins(X)
    h, ht = x * 3, xt * 3
    held = h
    y, yt = getattr(F, name)(h, inplace=True), getattr(torch.nn.functional, name)(ht, inplace=True)
    assert y is h is held
    assert_same(h, ht)
    (h * h + y).sum().backward()
    (ht * ht + yt).sum().backward()
    assert_same(x.grad, xt.grad)


def test_an_activation_in_place_on_what_another_op_saved():
    """Exp saved its result: refused before anything is added to a gradient, as in torch."""
    for (x,), relu6 in zip(twins(X), (F.relu6, torch.nn.functional.relu6), strict=True):
        h = x.exp()
        relu6(h, inplace=True)
        with pytest.raises(RuntimeError, match="Exp"):
            h.sum().backward()
        assert x.grad is None


def test_an_activation_in_place_on_leaves():
    x = tn.Tensor(X.copy(), requires_grad=True)
    with pytest.raises(RuntimeError, match="relu: a leaf tensor .* leave out the in-place form"):
        F.relu(x, inplace=True)
    assert_same(x, X)
    with tn.no_grad():
        F.relu(x, inplace=True)
    assert_same(x, np.maximum(X, 0))
    assert x.requires_grad
    plain = tn.Tensor(X.copy())
    assert F.relu(plain, inplace=True) is plain
    assert plain.min().item() == 0


def test_an_activation_in_place_inside_no_grad_keeps_the_place_in_the_graph():
    (x,), (xt,) = twins(X)
    h, ht = x + 0, xt + 0
    with tn.no_grad():
        F.relu(h, inplace=True)
    with torch.no_grad():
        torch.nn.functional.relu(ht, inplace=True)
    assert_same(h, ht)
    assert h.requires_grad
    assert not h.is_leaf
    (h * h).sum().backward()
    (ht * ht).sum().backward()
    assert_same(x.grad, xt.grad)
