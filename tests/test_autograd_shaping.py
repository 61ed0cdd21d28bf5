"""Reshaping, joining and indexing against torch."""

import numpy as np
import pytest
import torch
from helpers import assert_same, compare_with_torch, run_on_both, shares_memory

import tinynet as tn

X = np.random.default_rng(0).standard_normal((4, 5, 6))

SHAPING = {
    "reshape": lambda x: x.reshape(5, 24),
    "reshape with a tuple": lambda x: x.reshape((2, 60)),
    "reshape with -1": lambda x: x.reshape(-1, 8),
    "reshape to one axis": lambda x: x.reshape(-1),
    "view": lambda x: x.view(20, 6),
    "flatten": lambda x: x.flatten(),
    "flatten from 1": lambda x: x.flatten(1),
    "flatten to 1": lambda x: x.flatten(0, 1),
    "flatten one axis": lambda x: x.flatten(1, -2),
    "permute": lambda x: x.permute(2, 0, 1),
    "permute with a tuple": lambda x: x.permute((1, 2, 0)),
    "permute from the end": lambda x: x.permute(-1, 0, -2),
    "permute and reshape": lambda x: x.permute(2, 0, 1).reshape(4, 30),
    "transpose": lambda x: x.transpose(0, 2),
    "transpose from the end": lambda x: x.transpose(-1, -2),
    "transpose with itself": lambda x: x.transpose(1, 1),
    "t": lambda x: x[0].t(),
    "T": lambda x: x[0].T,
    "t of one axis": lambda x: x[0, 0].t(),
    "unsqueeze": lambda x: x.unsqueeze(0),
    "unsqueeze in between": lambda x: x.unsqueeze(2),
    "unsqueeze at the end": lambda x: x.unsqueeze(-1),
    "squeeze nothing": lambda x: x.squeeze(),
    "squeeze a long axis": lambda x: x.squeeze(1),
    "squeeze all": lambda x: x.reshape(1, 4, 1, 30).squeeze(),
    "squeeze one": lambda x: x.reshape(1, 4, 1, 30).squeeze(2),
    "squeeze some": lambda x: x.reshape(1, 4, 1, 30, 1).squeeze((0, -1)),
    "expand": lambda x: x[:, :1].expand(4, 7, 6),
    "expand keeping an axis": lambda x: x[:, :1].expand(-1, 3, -1),
    "expand by new axes": lambda x: x[0].expand(2, 3, 5, 6),
    "expand one number": lambda x: x.sum().expand(2, 3),
    "expand as": lambda x: x[:, :1].expand_as(x),
    "view as": lambda x: x.view_as(x.flatten()),
    "split": lambda x: x.split(2, 1)[1] * 2,
    "split with a rest": lambda x: x.split(2, 1)[-1],
    "split by lengths": lambda x: x.split([1, 0, 5], -1)[2],
    "chunk": lambda x: x.chunk(2, 2)[1],
    "chunk with a rest": lambda x: x.chunk(4, 2)[-1],
    "chunk into more than there are": lambda x: x.chunk(9)[3],
    "contiguous": lambda x: x.transpose(0, 1).contiguous(),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("fn", SHAPING.values(), ids=SHAPING)
def test_shaping(fn, dtype):
    run_on_both(fn, X.astype(dtype))


@pytest.mark.parametrize("size", [1, 3, 4, 7])
def test_split_and_chunk_give_as_many_parts_as_torch(size):
    x, expected = tn.Tensor(X), torch.tensor(X)
    for ours, theirs in ((x.split(size), expected.split(size)), (x.chunk(size, 2), None)):
        theirs = expected.chunk(size, 2) if theirs is None else theirs
        assert [part.shape for part in ours] == [tuple(part.shape) for part in theirs]


def test_shaping_without_axes_and_without_elements():
    number = np.array(2.5)
    for fn in (
        lambda x: x.reshape(1, 1),
        lambda x: x.flatten(),
        lambda x: x.permute(()),
        lambda x: x.transpose(0, -1),
        lambda x: x.squeeze(),
        lambda x: x.squeeze(0),
        lambda x: x.unsqueeze(-1),
        lambda x: x.t(),
        lambda x: x.expand(3),
    ):
        run_on_both(fn, number)
    run_on_both(lambda x: x.reshape(3, 0), np.zeros((0, 2)))
    run_on_both(lambda x: x.reshape(-1), np.zeros((0, 2)))
    run_on_both(lambda x: x.transpose(0, 1), np.zeros((0, 2)))


def joined(name, **options):
    return (
        lambda *xs: getattr(tn, name)(xs, **options),
        lambda *xs: getattr(torch, name)(xs, **options),
    )


def test_cat():
    compare_with_torch(*joined("cat"), X, X[:1], X[:0], X)
    compare_with_torch(*joined("cat", dim=1), X, X[:, :2])
    compare_with_torch(*joined("cat", dim=-1), X, X[:, :, 3:], X[:, :, :1])
    compare_with_torch(*joined("cat"), X)


def test_cat_of_one_tensor_with_itself():
    compare_with_torch(lambda x: tn.cat([x, x, 2 * x]), lambda x: torch.cat([x, x, 2 * x]), X)


def test_stack():
    compare_with_torch(*joined("stack"), X, X + 1)
    compare_with_torch(*joined("stack", dim=2), X, X + 1, X)
    compare_with_torch(*joined("stack", dim=-1), X, X + 1)
    compare_with_torch(*joined("stack"), np.array(1.0), np.array(2.0))


@pytest.mark.parametrize("dtypes", [("f4", "f8"), ("i8", "f4"), ("?", "i4"), ("i8", "i4", "f8")])
def test_cat_and_stack_promote_as_torch_does(dtypes):
    arrays = [np.ones(2, dtype) for dtype in dtypes]
    compare_with_torch(*joined("cat"), *arrays)
    compare_with_torch(*joined("stack"), *arrays)


INDICES = {
    "one": 2,
    "last": -1,
    "two": (1, -2),
    "three": (1, 2, 3),
    "NumPy's integer": np.int64(1),
    "slice": slice(1, 3),
    "open slice": slice(2, None),
    "slice from the end": slice(-2, None),
    "empty slice": slice(3, 1),
    "slice beyond": slice(2, 100),
    "steps": (slice(None, None, 2), slice(1, None, 3)),
    "everything": slice(None),
    "None": None,
    "None in between": (slice(None), None, 1),
    "Ellipsis": ...,
    "Ellipsis first": (..., 0),
    "Ellipsis in between": (0, ..., slice(1, 3)),
    "Ellipsis and None": (..., None),
    "list": [0, 2],
    "repeated": [1, 1, 1, 3],
    "negative in a list": [-1, 0, -1],
    "array of two axes": np.array([[0, 1], [1, 0]]),
    "two lists": ([0, 2, 0], [1, 1, 1]),
    "broadcast arrays": (np.array([[0], [2]]), np.array([1, 4, 1])),
    "list after a slice": (slice(1, 3), [4, 4, 0]),
    "lists around a slice": ([0, 1], slice(None), [2, 5]),
    "list and number": ([0, 1, 1], 2),
    "empty list": (np.array([], int),),
    "mask of an axis": np.array([True, False, True, True]),
    "mask of everything": X > 0.3,
    "mask of two axes": X[:, :, 0] > 0,
    "mask of nothing": np.zeros(4, bool),
    "mask after a slice": (slice(None), np.array([True, False, True, False, True])),
    "True": True,
}


def for_torch(part):
    return torch.tensor(part) if isinstance(part, np.ndarray | np.generic) else part


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_indexing(index):
    theirs = tuple(map(for_torch, index)) if isinstance(index, tuple) else for_torch(index)
    compare_with_torch(lambda x: x[index], lambda x: x[theirs], X)


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_indexing_by_tensors(index):
    def wrap(part):
        return tn.tensor(part) if isinstance(part, np.ndarray | np.generic) else part

    ours = tuple(map(wrap, index)) if isinstance(index, tuple) else wrap(index)
    np.testing.assert_array_equal(tn.tensor(X)[ours], X[index])


@pytest.mark.parametrize("index", [slice(None, None, -1), slice(3, None, -2), (0, slice(4, 0, -1))])
def test_negative_steps(index):
    """torch refuses these; NumPy and tinynet do not."""
    x = tn.Tensor(X, requires_grad=True)
    y = x[index]
    np.testing.assert_array_equal(y.numpy(), X[index])
    gy = np.random.default_rng(1).standard_normal(y.shape)
    y.backward(tn.Tensor(gy))
    expected = np.zeros_like(X)
    expected[index] = gy
    np.testing.assert_array_equal(x.grad.numpy(), expected)


def test_gradients_of_a_repeated_position_are_added_in_their_order():
    """To the last bit, so that a run repeats."""
    rng = np.random.default_rng(0)
    rows, gy = rng.integers(-5, 5, 200), rng.standard_normal((200, 3)).astype(np.float32)
    expected = np.zeros((5, 3), np.float32)
    for row, g in zip(rows, gy, strict=True):
        expected[row] += g
    for index in (rows, rows.tolist(), tn.tensor(rows), tn.tensor(rows, device="cpu")):
        x = tn.zeros(5, 3, requires_grad=True)
        x[index].backward(tn.Tensor(gy))
        np.testing.assert_array_equal(x.grad, expected)


def test_a_computed_mask_and_computed_positions():
    run_on_both(lambda x: x[x > 0] * 2, X)
    run_on_both(lambda x: x[x.argmax(0), 0], X[:, :, 0])


def test_indices_given_as_tensors_in_a_tuple():
    rows, columns = tn.tensor([0, 0, 3]), tn.tensor([1, 1, 4])
    x = tn.Tensor(X, requires_grad=True)
    x[rows, columns].sum().backward()
    assert x.grad[0, 1, 0].item() == 2
    assert x.grad[3, 4, 0].item() == 1
    assert x.grad.sum().item() == 18


def test_a_view_shares_memory_and_a_gradient_does_not():
    x = tn.Tensor(X.copy(), requires_grad=True)
    for view in (x[1:], x.reshape(20, 6), x.transpose(0, 1), x.expand(2, 4, 5, 6)):
        assert shares_memory(view.array, x.array)
        x.grad = None
        view.sum().backward()
        x.grad += 1
        assert not shares_memory(x.grad.array, x.array)


def test_iteration_gives_rows_that_carry_gradients():
    x = tn.Tensor(X[:, 0], requires_grad=True)
    rows = list(x)
    assert len(rows) == len(x) == 4
    (rows[1] * rows[2]).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy()[1], X[2, 0])
    np.testing.assert_array_equal(x.grad.numpy()[0], np.zeros(6))
    a, b = tn.tensor([1.0, 2.0])
    assert (a.item(), b.item()) == (1, 2)


WRONG = {
    "reshape": (lambda x: x.reshape(4, 4), ValueError, r"reshape: .* \(2, 3\) \(6 elements\)"),
    "two -1": (lambda x: x.reshape(-1, -1), ValueError, "at most one size may be -1"),
    "-2": (
        lambda x: x.reshape(-2, 3),
        ValueError,
        r"reshape: sizes must be at least -1, got \(-2, 3\)",
    ),
    "-1 of nothing": (lambda x: x[:0].reshape(0, -1), ValueError, "does not fit"),
    "size of a float": (lambda x: x.reshape(2.0, 3), TypeError, r"reshape: .* got \(2.0, 3\)"),
    "size True": (lambda x: x.reshape(6, True), TypeError, "reshape: sizes must be integers"),
    "flatten": (lambda x: x.flatten(1, 0), ValueError, "flatten: start_dim 1 comes after end_dim"),
    "flatten too far": (lambda x: x.flatten(2), ValueError, "flatten: dim 2 is out of range"),
    "permute too few": (lambda x: x.permute(0), ValueError, r"permute: .* 2 axes once, got \(0,\)"),
    "permute twice": (lambda x: x.permute(0, 0), ValueError, r"permute: .* got \(0, 0\)"),
    "permute beyond": (lambda x: x.permute(0, 2), ValueError, r"permute: .* got \(0, 2\)"),
    "transpose": (lambda x: x.transpose(0, 2), ValueError, "transpose: dim 2 is out of range"),
    "t": (lambda x: x.unsqueeze(0).t(), ValueError, r"t: takes at most 2 axes, got .*\(1, 2, 3\)"),
    "squeeze": (lambda x: x.squeeze(2), ValueError, "squeeze: dim 2 is out of range"),
    "unsqueeze": (lambda x: x.unsqueeze(4), ValueError, "unsqueeze: dim 4 is out of range"),
    "expand": (lambda x: x.expand(4, 3), ValueError, r"expand: .* \(2, 3\) .* \(4, 3\)"),
    "expand to fewer": (lambda x: x.expand(3), ValueError, "expand: "),
    "expand new axis by -1": (lambda x: x.expand(-1, 2, 3), ValueError, "expand: "),
    "split by 0": (lambda x: x.split(0), ValueError, "split: split_size must be at least 1, got 0"),
    "split short": (lambda x: x.split([1], 1), ValueError, r"split: lengths \(1,\) do not make up"),
    "chunk by 0": (lambda x: x.chunk(0), ValueError, "chunk: chunks must be at least 1, got 0"),
    "index beyond": (lambda x: x[2], IndexError, r"index: index 2 .* shape \(2, 3\)"),
    "list beyond": (lambda x: x[[0, -3]], IndexError, r"index: index -3 .* shape \(2, 3\)"),
    "array beyond": (lambda x: x[:, np.array([3])], IndexError, r"index: index 3 .* \(2, 3\)"),
    "too many indices": (lambda x: x[0, 0, 0], IndexError, r"index: too many .* shape \(2, 3\)"),
    "mask": (lambda x: x[np.ones(3, bool)], IndexError, r"index: .* shape \(2, 3\)"),
    "index of a float": (lambda x: x[1.0], IndexError, "index: .*integers, slices"),
    "cat of nothing": (lambda x: tn.cat([]), ValueError, "cat: expected at least one tensor"),
    "cat": (lambda x: tn.cat([x, x.T]), ValueError, r"cat: shapes \(2, 3\) and \(3, 2\) .* axis 0"),
    "cat beyond": (lambda x: tn.cat([x, x], 2), ValueError, "cat: dim 2 is out of range"),
    "cat of numbers": (lambda x: tn.cat([x.sum()]), ValueError, "cat: tensors of 0 axes .* stack"),
    "cat of arrays": (lambda x: tn.cat([x, x.array]), TypeError, "cat: .* ndarray at position 1"),
    "stack of lists": (lambda x: tn.stack([[1.0]]), TypeError, "stack: .* got list at position 0"),
    "stack": (lambda x: tn.stack([x, x.T]), ValueError, r"stack: .* \(2, 3\) and \(3, 2\)"),
    "stack of nothing": (lambda x: tn.stack([]), ValueError, "stack: expected at least one tensor"),
    "stack beyond": (lambda x: tn.stack([x], 3), ValueError, "unsqueeze: dim 3 is out of range"),
}


@pytest.mark.parametrize(("call", "error", "message"), WRONG.values(), ids=WRONG)
def test_wrong_use(call, error, message):
    with pytest.raises(error, match=message):
        call(tn.zeros(2, 3))


def test_channel_major_memory_reshapes_by_logical_order():
    memory = np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1)
    run_on_both(lambda x: x.reshape(4, 6), memory)
    ours = tn.Tensor(memory)
    assert_same(ours.flatten(1), torch.tensor(memory.copy()).flatten(1))
