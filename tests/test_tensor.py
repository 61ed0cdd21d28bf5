"""Tensors: making them, their dtypes and memory, converting them."""

import itertools
import sys

import numpy as np
import pytest
import torch
from helpers import assert_same

import tinynet as tn
from tinynet import backend

# making


@pytest.mark.parametrize(
    "data",
    [
        1,
        2.5,
        True,
        [1, 2],
        [1.0, 2.0],
        [1, 2.5],
        [True, False],
        [True, 2],
        [[1, 2], [3, 4]],
        [],
        [[]],
        (1.0, 2.0),
        np.float64(2.5),
        np.float32(2.5),
        np.int32(3),
        np.arange(3),
        np.arange(3.0),
        np.ones(2, np.float32),
        np.ones(2, bool),
        np.array(2.5),
        [np.float64(1), np.float64(2)],
        [[np.float64(1), np.float64(2)]],
    ],
    ids=repr,
)
def test_tensor_takes_torchs_dtypes(data):
    assert_same(tn.tensor(data), torch.tensor(data))


def test_tensor_of_nested_tensors_and_arrays():
    assert tn.tensor([tn.tensor(1.0), tn.tensor(2.0)]).dtype == np.float32
    assert tn.tensor([np.arange(2.0), np.arange(2.0)]).dtype == np.float64
    assert tn.tensor([tn.tensor([1, 2]), tn.tensor([3, 4])]).tolist() == [[1, 2], [3, 4]]


@pytest.mark.cpu_only  # sharing memory with NumPy
def test_tensor_copies_and_from_numpy_shares():
    array = np.arange(3.0)
    copied, shared, wrapped = tn.tensor(array), tn.from_numpy(array), tn.Tensor(array)
    array[0] = 9
    assert copied.tolist() == [0, 1, 2]
    assert shared.tolist() == wrapped.tolist() == [9, 1, 2]
    again = tn.tensor(copied)
    again[0] = 5
    assert copied.tolist() == [0, 1, 2]


def test_tensor_takes_a_dtype_and_requires_grad():
    x = tn.tensor([1, 2], requires_grad=True, dtype=tn.float64)
    assert x.dtype == np.float64
    assert x.requires_grad
    assert tn.tensor([1.7], dtype=tn.int64).tolist() == [1]
    assert tn.tensor([0, 2], dtype=tn.bool).tolist() == [False, True]
    assert tn.tensor(tn.ones(2), dtype="float64").dtype == np.float64
    assert tn.tensor([1.0], device="cpu").device == "cpu"
    source = tn.ones(2, requires_grad=True)
    assert not tn.tensor(source * 2).requires_grad


@pytest.mark.parametrize("name", ["zeros", "ones"])
def test_zeros_and_ones(name):
    ours, theirs = getattr(tn, name), getattr(torch, name)
    assert_same(ours(2, 3), theirs(2, 3))
    assert_same(ours((2, 3)), theirs((2, 3)))
    assert_same(ours([4]), theirs([4]))
    assert_same(ours(()), theirs(()))
    assert_same(ours(0, 2), theirs(0, 2))
    assert_same(ours(2, dtype=np.int64), theirs(2, dtype=torch.int64))
    assert_same(ours(2, dtype=None), theirs(2, dtype=None))
    assert ours(2, requires_grad=True).requires_grad
    like = getattr(tn, name + "_like")(tn.tensor([[1, 2]]))
    assert_same(like, getattr(torch, name + "_like")(torch.tensor([[1, 2]])))


@pytest.mark.parametrize("value", [3, 2.5, True, -1])
def test_full(value):
    assert_same(tn.full((2, 3), value), torch.full((2, 3), value))
    assert_same(
        tn.full((2,), value, dtype=np.float64), torch.full((2,), value, dtype=torch.float64)
    )
    filled = tn.full((2, 2), value)
    filled[0, 0] = 0
    assert filled.tolist()[1] == [value, value]


@pytest.mark.parametrize(
    "bounds", [(5,), (1, 4), (0, 10, 3), (5, 0, -2), (2.5,), (0, 1, 0.25), (0,)]
)
def test_arange(bounds):
    assert_same(tn.arange(*bounds), torch.arange(*bounds))
    assert tn.arange(*bounds, dtype=np.float64).dtype == np.float64


def test_random_tensors_follow_the_seed():
    draws = {}
    for name, seed in itertools.product(("randn", "rand"), (1, 1, 2)):
        tn.manual_seed(seed)
        draws.setdefault((name, seed), []).append(getattr(tn, name)(3, 4).tolist())
    for name in ("randn", "rand"):
        assert draws[name, 1][0] == draws[name, 1][1] != draws[name, 2][0]
    assert tn.randn(2, dtype=np.float64).dtype == np.float64
    assert tn.randn(2).dtype == tn.rand(()).dtype == np.float32
    assert tn.randn(2, requires_grad=True).requires_grad
    many = tn.rand(10_000)
    assert 0 <= many.min().item() < 0.01
    assert 0.99 < many.max().item() < 1
    assert abs(tn.randn(10_000).mean().item()) < 0.05
    assert abs(tn.randn(10_000).std().item() - 1) < 0.05


MAKING = {
    "text": (lambda: tn.tensor("abc"), TypeError, "Tensor: expected numbers, got str 'abc'"),
    "None": (lambda: tn.tensor(None), TypeError, "Tensor: expected numbers, got NoneType"),
    "ragged": (lambda: tn.tensor([[1], [2, 3]]), ValueError, "Tensor: the nested lists are ragged"),
    "complex": (lambda: tn.tensor(np.ones(2, complex)), TypeError, "got dtype complex128"),
    "objects": (lambda: tn.Tensor(np.array([None])), TypeError, "Tensor: .* got dtype object"),
    "dtype": (lambda: tn.tensor([1], dtype="no"), TypeError, "tensor: dtype .* got 'no'"),
    "dtype of text": (lambda: tn.zeros(2, dtype=str), TypeError, "zeros: .* got dtype <U0"),
    "Tensor of a Tensor": (lambda: tn.Tensor(tn.ones(1)), TypeError, "use .detach"),
    "device": (lambda: tn.zeros(2, device="tpu"), ValueError, "device: must be 'cpu' or 'cuda'"),
    "negative size": (lambda: tn.zeros(-1), ValueError, r"zeros: sizes .* got \(-1,\)"),
    "size of a float": (lambda: tn.ones(2.5), TypeError, r"ones: sizes must be integers, got"),
    "randn": (lambda: tn.randn("3"), TypeError, "randn: sizes must be integers"),
    "from_numpy": (lambda: tn.from_numpy([1.0]), TypeError, "from_numpy: .* got list"),
    "zeros_like": (
        lambda: tn.zeros_like([1]),
        TypeError,
        "zeros_like: expected a Tensor, got list",
    ),
    "arange of nothing": (lambda: tn.arange(), TypeError, "arange: expected one to three numbers"),
    "arange of text": (lambda: tn.arange("3"), TypeError, "arange: expected one to three numbers"),
    "arange step": (lambda: tn.arange(0, 1, 0), ValueError, "arange: step must not be 0"),
    "seed": (lambda: tn.manual_seed(-1), ValueError, "manual_seed: seed must be .* got -1"),
    "seed of a float": (lambda: tn.manual_seed(1.5), ValueError, "manual_seed: .* got 1.5"),
}


@pytest.mark.parametrize(("call", "error", "message"), MAKING.values(), ids=MAKING)
def test_wrong_making(call, error, message):
    with pytest.raises(error, match=message):
        call()


# what it is


def test_attributes(device):
    x = tn.zeros(2, 3)
    assert x.shape == x.size() == (2, 3)
    assert x.size(1) == x.size(-1) == 3
    assert x.ndim == x.dim() == 2
    assert x.numel() == 6
    assert x.dtype == np.float32
    assert x.device == device


# conversions


def test_conversions_and_their_dtypes(device):
    x = tn.tensor([0.0, 1.7])
    for name, dtype in [("float", np.float32), ("double", np.float64), ("long", np.int64)]:
        assert getattr(x, name)().dtype == dtype
    assert x.bool().tolist() == [False, True]
    assert x.long().tolist() == [0, 1]
    assert x.to(np.float64).dtype == x.to(dtype="float64").dtype == np.float64
    assert x.to("cpu", np.float64).dtype == np.float64
    assert x.to(device) is x.to(np.float32) is x


def test_conversions_between_floats_carry_the_gradient():
    x = tn.tensor([1.0, 2.0], requires_grad=True)
    (x.double() * 3).float().sum().backward()
    assert x.grad.tolist() == [3, 3]
    assert x.grad.dtype == np.float32
    assert not x.long().requires_grad


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: x.to("tpu"), TypeError, "to: dtype must name a NumPy dtype, got 'tpu'"),
        (lambda x: x.to(dtype=complex), TypeError, "to: tensors hold .* got dtype complex128"),
        (lambda x: x.to(device="tpu"), ValueError, "device: must be 'cpu' or 'cuda', got 'tpu'"),
    ],
)
def test_wrong_conversions(call, error, message):
    with pytest.raises(error, match=message):
        call(tn.ones(2))


def test_from_device_to_device():
    x = tn.tensor([1.0, 2.0], requires_grad=True)
    near = x.to("cpu")
    assert near.device == tn.tensor([1.0], device="cpu").device == "cpu"
    assert near.cpu() is near.to(np.float32) is near
    (near * tn.tensor([3.0, 4.0], device="cpu")).sum().backward()
    assert x.grad.device == x.device
    assert x.grad.tolist() == [3, 4]


@pytest.mark.parametrize(
    "op", [lambda a, b: a + b, lambda a, b: a == b, lambda a, b: tn.cat([a, b])]
)
def test_tensors_of_two_devices_are_refused(device, op):
    far, near = tn.ones(2), tn.ones(2, device="cpu")
    if device == "cpu":
        assert op(far, near).device == "cpu"
    else:
        with pytest.raises(ValueError, match="cuda, .*cpu; move .* with .to"):
            op(far, near)


@pytest.mark.cpu_only
def test_cuda_without_a_gpu_is_refused_in_a_sentence(monkeypatch):
    if tn.cuda_available():
        monkeypatch.setitem(sys.modules, "cupy", None)
        backend.cupy.cache_clear()
    for call in (tn.ones(1).cuda, lambda: tn.ones(1, device="cuda"), lambda: tn.ones(1).to("cuda")):
        with pytest.raises(RuntimeError, match="(?i)cuda"):
            call()


@pytest.mark.cpu_only  # sharing memory with NumPy
def test_to_numpy_and_back():
    x = tn.tensor([1.0, 2.0])
    assert np.shares_memory(x.numpy(), x.array)
    assert np.shares_memory(np.asarray(x), x.array)
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    assert not np.shares_memory(np.array(x), x.array)
    np.testing.assert_allclose(x, [1.0, 2.0])


def test_numpy_ufuncs_do_not_swallow_tensors():
    with pytest.raises(TypeError):
        np.exp(tn.ones(2))
    out = np.ones(2) + tn.ones(2, requires_grad=True)
    assert isinstance(out, tn.Tensor)
    assert out.requires_grad
    out = np.float64(2) * tn.ones(2)
    assert isinstance(out, tn.Tensor)
    assert out.dtype == np.float32
