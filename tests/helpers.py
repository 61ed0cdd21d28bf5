"""Comparing tinynet with torch: the same numbers in, the same numbers out."""

import re

import numpy as np
import pytest
import torch

import tinynet as tn
from tinynet import backend

# (rtol, atol): torch and NumPy add up in different orders, so the last digits may differ
TOLERANCES = {np.dtype(np.float64): (1e-9, 1e-9), np.dtype(np.float32): (1e-4, 1e-5)}


def assert_same(ours, theirs, what="result", rtol=None, atol=None):
    """Fail unless `ours` (Tensor, array or None) has torch's shape, dtype and values.

    The tolerances default to 1e-9 in float64, to 1e-4 (relative) in float32, and to none at all
    in other dtypes. NaN equals NaN, infinity equals infinity.
    """
    if ours is None or theirs is None:
        assert ours is theirs, f"{what}: tinynet gives {ours!r}, torch {theirs!r}"
        return
    a = np.asarray(ours)
    b = theirs.detach().resolve_neg().numpy() if isinstance(theirs, torch.Tensor) else theirs
    b = np.asarray(b)
    assert a.shape == b.shape, f"{what}: shape {a.shape}, torch's is {b.shape}"
    assert a.dtype == b.dtype, f"{what}: dtype {a.dtype}, torch's is {b.dtype}"
    default_rtol, default_atol = TOLERANCES.get(a.dtype, (0, 0))
    np.testing.assert_allclose(
        a,
        b,
        rtol=default_rtol if rtol is None else rtol,
        atol=default_atol if atol is None else atol,
        err_msg=what,
    )


def leaf(*values, dtype=np.float64):
    """A tensor of these numbers that requires a gradient."""
    return tn.Tensor(np.array(values, dtype), requires_grad=True)


def host(array):
    """A raw array, wherever it is, as NumPy's."""
    return backend.to_device(array, "cpu")


def shares_memory(a, b):
    """Whether two raw arrays share memory. On a GPU: whether they lie in one allocation."""
    if isinstance(a, np.ndarray):
        return np.shares_memory(a, b)
    return backend.owner(a) is backend.owner(b)


def twins(*arrays, requires_grad=True):
    """The arrays as tinynet tensors and as torch tensors, on separate memory.

    Floating ones require a gradient (if `requires_grad`). The memory order of each array (an
    NCHW view of channel-major memory, say) is kept on our side.
    """
    ours = [tn.Tensor(np.copy(a, order="K")) for a in map(np.asarray, arrays)]
    theirs = [torch.tensor(np.ascontiguousarray(a).reshape(np.shape(a))) for a in arrays]
    for a, b in zip(ours, theirs, strict=True):
        if requires_grad and b.is_floating_point():
            a.requires_grad_()
            b.requires_grad_()
    return ours, theirs


def compare_with_torch(ours_fn, torch_fn, *arrays, rtol=None, atol=None):
    """Both functions on the same arrays: the results and every input's gradient must agree.

    The functions take one tensor an array and return one tensor. Gradients are compared under a
    random cotangent (never the sum: that hides errors which cancel). Returns (our result, torch's).
    """
    ours, theirs = twins(*arrays)
    y, expected = ours_fn(*ours), torch_fn(*theirs)
    assert_same(y, expected, "result", rtol, atol)
    assert y.requires_grad == expected.requires_grad, (
        f"requires_grad is {y.requires_grad}, torch's is {expected.requires_grad}"
    )
    if y.requires_grad:
        gy = np.random.default_rng(1).standard_normal(y.shape).astype(y.dtype)
        y.backward(tn.Tensor(gy))
        expected.backward(torch.tensor(gy))
        for i, (x, xt) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(x.grad, xt.grad, f"gradient of input {i}", rtol, atol)
    return y, expected


def run_on_both(fn, *arrays, rtol=None, atol=None):
    """`compare_with_torch` for code that is the same in both libraries."""
    return compare_with_torch(fn, fn, *arrays, rtol=rtol, atol=atol)


def channel_major(array):
    """The same (N, C, H, W) array as a view of (C, H, W, N) memory, the engine's own layout."""
    return np.ascontiguousarray(array.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)


# the method, function, operator or attribute, then a sentence
OURS = re.compile(r"^[^\s:]{1,24}( \w+)?: \S.{12,}")


def assert_refused_in_our_words(misuse):
    """`misuse()` must raise, and not with what NumPy or Python would have said."""
    with pytest.raises((TypeError, ValueError, IndexError, RuntimeError)) as caught:
        misuse()
    assert OURS.match(str(caught.value)), str(caught.value)
    assert "object has no attribute" not in str(caught.value)
    assert "unsupported operand" not in str(caught.value)
