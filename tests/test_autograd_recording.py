"""What is put on the tape: requires_grad, leaves, no_grad, detach, data and grad assignment."""

import numpy as np
import pytest
from helpers import leaf, shares_memory

import tinynet as tn


def test_requires_grad_spreads_to_results():
    x, c = leaf(1), tn.tensor([2.0])
    assert (x + c).requires_grad
    assert (c + x).requires_grad
    assert not (c + c).requires_grad
    assert (c + c).grad_fn is None
    assert not (x > 0).requires_grad
    assert not x.argmax().requires_grad


def test_leaves():
    x, c = leaf(1), tn.tensor([2.0])
    assert x.is_leaf
    assert c.is_leaf
    assert (c * 2).is_leaf
    assert not (x * 2).is_leaf
    assert (x * 2).detach().is_leaf


def test_only_leaves_get_a_grad():
    x = leaf(1)
    y = x * 2
    (y * 3).backward()
    assert y.grad is None
    assert x.grad.tolist() == [6]


def test_constants_get_none():
    x, c = leaf(1), tn.tensor([2.0])
    (x * c).backward()
    assert c.grad is None


def test_requires_grad_can_be_switched_on_leaves_only():
    x = tn.tensor([1.0])
    x.requires_grad = True
    assert (x * 2).requires_grad
    assert x.requires_grad_(False) is x
    assert not (x * 2).requires_grad
    y = leaf(1) * 2
    y.requires_grad = True  # it does already
    with pytest.raises(ValueError, match="switched off on leaf tensors only; use .detach"):
        y.requires_grad = False


@pytest.mark.parametrize("data", [[1, 2], [True]])
def test_only_floats_can_require_a_gradient(data):
    with pytest.raises(ValueError, match="only a floating tensor can require a gradient, this is"):
        tn.tensor(data, requires_grad=True)
    with pytest.raises(ValueError, match="only a floating tensor"):
        tn.tensor(data).requires_grad_()


def test_an_intermediate_parameter_can_be_frozen():
    a, b = leaf(2), leaf(3)
    b.requires_grad_(False)
    (a * b).backward()
    assert a.grad.tolist() == [3]
    assert b.grad is None


# no_grad


def test_no_grad_as_a_context():
    x = leaf(1)
    assert tn.is_grad_enabled()
    with tn.no_grad():
        assert not tn.is_grad_enabled()
        y = x * 2
        assert not y.requires_grad
        assert y.is_leaf
    assert tn.is_grad_enabled()
    assert (x * 2).requires_grad


def test_no_grad_as_a_decorator():
    @tn.no_grad()
    def double(x, factor=2):
        """Twice as much."""
        return x * factor

    assert not double(leaf(1), factor=3).requires_grad
    assert double.__name__ == "double"
    assert double.__doc__ == "Twice as much."
    assert tn.is_grad_enabled()


def test_no_grad_ends_with_an_error_too():
    with pytest.raises(ZeroDivisionError), tn.no_grad():
        raise ZeroDivisionError
    assert tn.is_grad_enabled()


def test_no_grad_nests_and_enable_grad_records_inside():
    x, off = leaf(1), tn.no_grad()
    with off:
        with tn.enable_grad():
            assert (x * 2).requires_grad
            with off:
                assert not (x * 2).requires_grad
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad


def test_a_leaf_can_be_made_inside_no_grad():
    with tn.no_grad():
        x = leaf(1)
    assert x.requires_grad
    (x * 2).backward()
    assert x.grad.tolist() == [2]


def test_backward_works_inside_no_grad():
    x = leaf(3)
    y = x * x
    with tn.no_grad():
        y.backward()
    assert x.grad.tolist() == [6]


# detach, data, clone


def test_detach_shares_memory_and_stops_the_gradient():
    x = leaf(1, 2)
    d = (x * 2).detach()
    assert not d.requires_grad
    (x * d).sum().backward()
    assert x.grad.tolist() == [2, 4]
    assert shares_memory(x.detach().array, x.array)


def test_data_is_a_detached_tensor_on_the_same_memory():
    x = leaf(1, 2)
    assert not x.data.requires_grad
    x.data[0] = 7
    x.data.mul_(2)
    assert x.tolist() == [14, 4]
    assert x.requires_grad


def test_data_can_be_assigned():
    x = leaf(1, 2)
    x.data = tn.tensor([5.0, 6.0], dtype=np.float64)
    assert x.tolist() == [5, 6]
    assert x.requires_grad
    assert x.is_leaf
    x.data -= 1
    assert x.tolist() == [4, 5]
    with pytest.raises(TypeError, match="data: must be set to a Tensor, got list"):
        x.data = [1.0, 2.0]
    with pytest.raises(ValueError, match="must be floating, got int64"):
        x.data = tn.tensor([1, 2])


def test_clone_copies_and_passes_the_gradient():
    x = leaf(1, 2)
    c = x.clone()
    assert not shares_memory(c.array, x.array)
    (c * 3).sum().backward()
    assert x.grad.tolist() == [3, 3]
    assert not tn.tensor([1.0]).clone().requires_grad


def test_grad_can_be_assigned_if_it_fits():
    x = leaf(1, 2, dtype=np.float32)
    x.grad = tn.tensor([1.0, 1.0])
    (x * 2).sum().backward()
    assert x.grad.tolist() == [3, 3]
    with pytest.raises(TypeError, match="grad: must be a Tensor or None, got ndarray"):
        x.grad = np.ones(2)
    with pytest.raises(ValueError, match=r"shape and dtype \(2,\) float32, got \(3,\) float32"):
        x.grad = tn.ones(3)
    with pytest.raises(ValueError, match=r"\(2,\) float32, got \(2,\) float64"):
        x.grad = tn.ones(2, dtype=np.float64)
