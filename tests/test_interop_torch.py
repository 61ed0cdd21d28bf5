"""State dicts and safetensors: what torch saves opens here, what we save opens there."""

import json
import struct

import numpy as np
import pytest
import safetensors.torch
import torch

import tinynet as tn
import tinynet.nn as nn
from tinynet import interop


def twins():
    """The same small network in torch and here, with other weights."""
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3),
        torch.nn.BatchNorm2d(4),
        torch.nn.Flatten(),
        torch.nn.Linear(64, 2),
    )
    ours = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 2))
    theirs(torch.randn(5, 3, 6, 6))  # moves the running statistics
    return ours.eval(), theirs.eval()


def assert_equal_logits(ours, theirs):
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 6)).astype(np.float32)
    with tn.no_grad(), torch.no_grad():
        np.testing.assert_allclose(
            ours(tn.Tensor(x)).numpy(), theirs(torch.tensor(x)).numpy(), atol=1e-5
        )


def test_from_torch_and_back():
    ours, theirs = twins()
    ours.load_state_dict(interop.from_torch(theirs.state_dict()))
    assert_equal_logits(ours, theirs)
    ours[0].weight.array[...] *= 2
    assert float(theirs[0].weight.detach().abs().max()) < float(abs(ours[0].weight.numpy()).max())
    theirs.load_state_dict(interop.to_torch(ours))
    assert_equal_logits(ours, theirs)
    state = interop.to_torch(ours.state_dict())
    assert state["1.num_batches_tracked"].dtype == torch.int64
    state["0.weight"].zero_()
    assert ours[0].weight.numpy().any()  # a copy


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "int32", "bool"])
def test_dtypes_of_torch(dtype, tmp_path):
    tensor = torch.tensor([[1.5, -2, 0], [3, 1e-3, 7]]).to(getattr(torch, dtype))
    expected = tensor.float() if dtype in ("bfloat16", "float16") else tensor
    safetensors.torch.save_file({"a": tensor}, tmp_path / "a.safetensors")
    for found in (
        interop.from_torch({"a": tensor})["a"],
        interop.load_safetensors(tmp_path / "a.safetensors")["a"],
    ):
        assert isinstance(found, tn.Tensor) and str(found.dtype) == str(expected.dtype)[6:]
        assert (found.numpy() == expected.numpy()).all()


def test_safetensors_of_torch_and_ours(tmp_path):
    ours, theirs = twins()
    safetensors.torch.save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    ours.load_state_dict(interop.load_safetensors(tmp_path / "theirs.safetensors"))
    assert_equal_logits(ours, theirs)
    ours[3].weight.array[...] += 1
    interop.save_safetensors(tmp_path / "ours.safetensors", ours)
    theirs.load_state_dict(safetensors.torch.load_file(tmp_path / "ours.safetensors"))
    assert_equal_logits(ours, theirs)


def test_arrays_that_lie_otherwise_in_memory_are_saved_as_they_read(tmp_path):
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    odd = {"turned": array.T, "stepped": array[:, ::2], "big": array.astype(">f4")}
    interop.save_safetensors(tmp_path / "a.safetensors", odd)
    for name, found in safetensors.torch.load_file(tmp_path / "a.safetensors").items():
        assert (found.numpy() == odd[name]).all() and found.dtype == torch.float32
    with safetensors.safe_open(tmp_path / "a.safetensors", "np") as file:
        assert file.metadata() == {"format": "pt"}


def test_what_is_no_state_is_refused(tmp_path):
    for misuse, words in (
        (lambda: interop.from_torch([1]), "expected a Module or a state_dict, got list"),
        (lambda: interop.from_torch({"a": "text"}), "'a' must hold numbers, got str"),
        (lambda: interop.to_torch({3: np.ones(2)}), "names of a state_dict are str, got 3"),
        (lambda: interop.to_torch({"a": None}), "'a' holds no numbers but object"),
        (
            lambda: interop.save_safetensors(tmp_path / "a", {"a": np.ones(2, complex)}),
            "'a' holds no numbers but complex128",
        ),
    ):
        with pytest.raises(TypeError, match=words):
            misuse()
    assert not list(tmp_path.iterdir())
    with pytest.raises(OSError, match="cannot write"):
        interop.save_safetensors(tmp_path / "no" / "a", {"a": np.ones(2)})


def file_of(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(shape, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [0, end]}


HOSTILE = {
    "header of 2^60 bytes": struct.pack("<Q", 2**60) + b"{}",
    "header longer than the file": struct.pack("<Q", 1000) + b"{}",
    "nothing": b"",
    "truncated": file_of({"a": entry([4], 16)}, bytes(15)),
    "more than is claimed": file_of({"a": entry([4], 16)}, bytes(17)),
    "huge shape": file_of({"a": entry([2**40, 2**40], 16)}, bytes(16)),
    "shape larger than the data": file_of({"a": entry([2**30], 16)}, bytes(16)),
    "overlapping": file_of({"a": entry([4], 16), "b": entry([4], 16)}, bytes(16)),
    "negative shape": file_of({"a": entry([-4], 16)}, bytes(16)),
    "a list": file_of([1]),
    "no JSON": file_of(b"{" * 100_000),
    "a dtype of no Tensor": file_of({"a": entry([16], 16, "F8_E5M2")}, bytes(16)),
    "a pickle": b"\x80\x02cos\nsystem\n(S'touch hacked'\ntR.",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_safetensors_file_is_refused_in_one_sentence(kind, tmp_path):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(HOSTILE[kind])
    with pytest.raises(interop.WeightsError) as caught:
        interop.load_safetensors(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message and len(message) < 400


def test_what_is_no_file_is_not_opened(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe")
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(2**40)
    for name, words in (
        ("pipe", "it is a named pipe"),
        ("", "it is a folder"),
        ("none", "there is no"),
        ("sparse", "at most 1,073,741,824 are read"),
        ("a\0b", "zero byte"),
    ):
        with pytest.raises(interop.WeightsError, match=words):
            interop.load_safetensors(f"{tmp_path}/{name}")


@pytest.mark.parametrize("missing", ["safetensors", "torch"])
def test_without_the_package_the_message_says_what_to_install(missing, monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setitem(sys.modules, f"{missing}.numpy", None)
    (tmp_path / "a").write_bytes(file_of({}))
    use = {"torch": lambda: interop.to_torch({}), "safetensors": None}[missing]
    with pytest.raises(interop.WeightsError, match=rf"{missing}.*pip install"):
        (use or (lambda: interop.load_safetensors(tmp_path / "a")))()
