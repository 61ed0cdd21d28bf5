"""Files of weights that are wrong, or meant to harm: one sentence each, nothing executed."""

import io
import json
import os
import pickle
import tracemalloc
import zipfile

import foreign_weights as foreign
import h5py
import numpy as np
import pytest
import torch

import mobilenet
from tinynet import interop


def refused(path, *words):
    """What is said of a file: one sentence with its name and these words, and little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(interop.WeightsError) as caught:
            mobilenet.load_weights(path)
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert os.fspath(path) in message, message
    assert "\n" not in message and len(message) < 600, message
    assert all(word in message for word in words), message
    return message


@pytest.fixture(scope="module")
def model():
    return foreign.network("tensorflow")


# the first key or shape that does not fit


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"conv_pw_3/kernel": None}, ["lack 'conv_pw_3/kernel'"]),
        ({"conv_dw_9_bn/beta": None}, ["lack 'conv_dw_9_bn/beta'"]),
        ({"conv_preds/bias": None}, ["lack 'conv_preds/bias'"]),
        (
            {"conv_pw_3/kernel": np.zeros((1, 1, 13, 12), "f4")},
            ["'conv_pw_3/kernel' has the shape (1, 1, 13, 12)", "width 0.1"],
        ),
        ({"conv_dw_2/depthwise_kernel": np.zeros((3, 3), "f4")}, ["conv_dw_2/depthwise_kernel"]),
        ({"conv_pw_2/kernel": np.zeros((3, 3), "f4")}, ["'conv_pw_2/kernel' must have four axes"]),
        ({"conv1_bn/gamma": np.full(3, np.nan, "f4")}, ["conv1_bn/gamma", "finite"]),
        ({"conv1_bn/gamma": np.full(3, np.inf, "f4")}, ["conv1_bn/gamma", "finite"]),
        ({"conv1_bn/gamma": np.full(3, 1e300)}, ["conv1_bn/gamma", "finite"]),
        ({"conv1_bn/gamma": np.array(["a", "b", "c"])}, ["conv1_bn/gamma", "finite"]),
        ({"conv_dw_14/depthwise_kernel": np.zeros(3)}, ["conv_dw_14", "no part of MobileNetV1"]),
        ({"conv_preds/kernel": np.zeros((), "f4")}, ["'conv_preds/kernel' has the shape ()"]),
    ],
)
def test_the_first_misfit_is_named(change, words, model, tmp_path):
    arrays = {**foreign.keras(model), **change}
    np.savez(tmp_path / "w.npz", **{n: a for n, a in arrays.items() if a is not None})
    refused(tmp_path / "w.npz", *words)


def test_no_top(model, tmp_path):
    arrays = {n: a for n, a in foreign.keras(model).items() if "preds" not in n}
    np.savez(tmp_path / "w.npz", **arrays)
    refused(tmp_path / "w.npz", "last layer is missing")
    assert len(mobilenet.keras_state(arrays)) == 27 * 5


def test_other_networks(tmp_path):
    other = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Linear(8, 2))
    foreign.write_safetensors(tmp_path / "w.safetensors", other.state_dict())
    refused(tmp_path / "w.safetensors", "1 convolutions", "MobileNetV1 has 27")
    np.savez(tmp_path / "w.npz", arr_0=np.ones(3))
    refused(tmp_path / "w.npz", "the first is 'arr_0'")
    np.savez(tmp_path / "none.npz")
    refused(tmp_path / "none.npz")
    wide = dict(foreign.keras(foreign.network("paper")))
    wide["conv_pw_13/kernel"] = np.zeros((1, 1, 102, 9000), "f2")
    np.savez(tmp_path / "wide.npz", **wide)
    refused(tmp_path / "wide.npz", "more than any MobileNetV1")


# files


class Bomb:
    def __reduce__(self):
        return os.system, ("touch hacked",)


def test_pickles_are_not_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Bomb()}, "new.pt")
    torch.save({"a": Bomb()}, "old.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(Bomb()))
    for name in ("new.pt", "old.pth", "plain.pkl"):
        refused(tmp_path / name, "a pickle", "save it as safetensors")
    np.savez("objects.npz", **{"conv1/kernel": np.array([Bomb()], object)})
    refused(tmp_path / "objects.npz", "'conv1/kernel' holds Python objects")
    np.savez("records.npz", a=np.array([(1, Bomb())], [("n", "i4"), ("o", "O")]))
    refused(tmp_path / "records.npz", "'a' holds Python objects")
    assert not (tmp_path / "hacked").exists()


def npy(shape, data=b"", descr="<f4"):
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


def write_zip(path, entries, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in entries:
            archive.writestr(name, data)


def test_zip_bombs_and_lying_arrays(tmp_path):
    path = tmp_path / "w.npz"
    zeros = bytes(2**26)
    write_zip(path, [(f"{i}.npy", zeros) for i in range(5)])
    refused(path, "unpack to 335,544,320; at most 268,435,456")
    for shape in ("(1099511627776, 1099511627776)", "(1000000,)", "(-1,)"):
        write_zip(path, [("conv1/kernel.npy", npy(shape, bytes(16)))])
        refused(path, "an array of")
    write_zip(path, [("a.npy", b"nonsense")])
    refused(path, "damaged")
    write_zip(path, [("readme.txt", b"hello")])
    refused(path, "'readme.txt', which is no array")
    write_zip(path, [(f"{i}", b"") for i in range(10_001)])
    refused(path, "more than 10,000 entries")
    with pytest.warns(UserWarning, match="Duplicate"):
        write_zip(path, [("a.npy", npy("(1,)", bytes(4)))] * 2)
    refused(path, "two entries of one name")
    # an entry that unpacks to more than it claims: its header says 64 bytes
    write_zip(path, [("a.npy", zeros)])
    data = path.read_bytes()
    path.write_bytes(data.replace((2**26).to_bytes(4, "little"), (64).to_bytes(4, "little")))
    refused(path, "damaged")


@pytest.mark.parametrize("kind", ["npz", "h5", "keras", "safetensors", "own"])
def test_truncated_and_changed_files(kind, model, tmp_path):
    whole, path = tmp_path / f"whole.{kind}", tmp_path / f"w.{kind}"
    if kind == "npz":
        np.savez(whole, **foreign.keras(model))
    elif kind == "h5":
        foreign.write_h5(whole, foreign.keras(model))
    elif kind == "keras":
        foreign.write_keras(whole, foreign.keras_3_groups(model), foreign.topology())
    elif kind == "safetensors":
        foreign.write_safetensors(whole, foreign.timm(model))
    else:
        ours = mobilenet.build("paper", 7, 0.1)
        facts = {"mean": [0.5] * 3, "std": [0.5] * 3, "size": 32, "classes": list("abcdefg")}
        options = {"width": 0.1, "num_classes": 7}
        mobilenet.save_network(whole, ours, network="paper", options=options, **facts)
    mobilenet.load_weights(whole)
    data = whole.read_bytes()
    for length in (0, 1, 4, 9, 100, len(data) // 2, len(data) - 9):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=str(path)):
            mobilenet.load_weights(path)
    rng = np.random.default_rng(0)
    for _ in range(20):  # whatever happens is a result, or one sentence
        changed = np.frombuffer(data, np.uint8).copy()
        changed[rng.integers(0, 3000, 4)] = rng.integers(0, 256, 4)
        path.write_bytes(changed.tobytes())
        try:
            mobilenet.load_weights(path)
        except ValueError as error:
            assert str(path) in str(error) and "\n" not in str(error)


def test_hdf5_that_leads_elsewhere(tmp_path):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["kernel"] = np.ones((3, 3, 3, 3), "f4")
    (tmp_path / "raw").write_bytes(bytes(400))

    def external(file):
        file["conv1/kernel"] = h5py.ExternalLink(str(secret), "/kernel")

    def soft(file):
        file["conv1/kernel"] = h5py.SoftLink("/conv2")

    def stored_outside(file):
        shape = {"shape": (100,), "dtype": "f4", "external": [(str(tmp_path / "raw"), 0, 400)]}
        file.create_dataset("conv1/kernel", **shape)

    def virtual(file):
        layout = h5py.VirtualLayout((3, 3, 3, 3), "f4")
        layout[...] = h5py.VirtualSource(str(secret), "kernel", (3, 3, 3, 3))
        file.create_virtual_dataset("conv1/kernel", layout)

    def itself(file):
        file["a/b"] = file.create_group("c")
        file["c/again"] = file["a"]

    def huge(file):
        file.create_dataset("conv1/kernel", (2**20, 2**20), "f4", chunks=(1024, 1024))

    def packed(file):
        zeros = {"shape": (2**27,), "dtype": "f4", "chunks": (2**20,), "compression": "gzip"}
        file.create_dataset("conv1/kernel", **zeros)

    def empty(file):
        file.create_dataset("conv1/kernel", (2**24,), "f4")  # nothing of it is stored

    def large_chunk(file):
        layout = {"shape": (1,), "maxshape": (None,), "chunks": (2**27,), "dtype": "f4"}
        file.create_dataset("conv1/kernel", **layout)

    def attribute(file):
        file.attrs["model_config"] = "[" * 50_000

    for make, words in (
        (external, "is a link, which is not followed"),
        (soft, "is a link, which is not followed"),
        (stored_outside, "lies in another file"),
        (virtual, "lies in another file"),
        (itself, "hold themselves"),
        (huge, "claims 4,398,046,511,104 bytes and has 0"),
        (packed, "is compressed"),
        (empty, "claims 67,108,864 bytes and has 0"),
        (large_chunk, "claims 4 bytes and has 0"),
        (attribute, "model_config is no JSON text"),
    ):
        path = tmp_path / f"{make.__name__}.h5"
        with h5py.File(path, "w") as file:
            make(file)
        refused(path, words)


def test_shards_outside_the_folder(model, tmp_path):
    folder = tmp_path / "model"
    description = foreign.write_tfjs(folder, foreign.keras(model))
    mobilenet.load_weights(folder)
    shards = description["weightsManifest"][0]["paths"]
    outside = tmp_path / shards[0]
    (folder / shards[0]).rename(outside)

    def with_shard(name):
        description["weightsManifest"][0]["paths"] = [name, shards[1]]
        (folder / "model.json").write_text(json.dumps(description))
        return folder / "model.json"

    for name in (f"../{shards[0]}", str(outside), f"x/../../{shards[0]}", "C:\\x", "a\0b", 7):
        refused(with_shard(name), "is no file in the folder of model.json")
    (folder / "link").symlink_to(outside)
    refused(with_shard("link"), "is no file in the folder of model.json")
    refused(with_shard("missing"), "there is no")
    os.mkfifo(folder / "pipe")
    refused(with_shard("pipe"), "it is a named pipe")
    with open(folder / "sparse", "wb") as file:
        file.truncate(2**40)
    refused(with_shard("sparse"), "at most")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shape": [2**40, 2**40]}, "ends behind"),
        ({"shape": [-1]}, "[-1]"),
        ({"shape": "abc"}, "'abc'"),
        ({"shape": [3, 3, 3, 2]}, "the shards have"),
        ({"dtype": "string"}, "'string'"),
        ({"dtype": 3}, ""),
        ({"name": ["a"]}, "['a']"),
        ({"quantization": {"dtype": "uint8", "scale": "x", "min": 0}}, ""),
        ({"quantization": 3}, ""),
    ],
)
def test_a_manifest_that_lies(change, words, model, tmp_path):
    description = foreign.write_tfjs(tmp_path, foreign.keras(model))
    description["weightsManifest"][0]["weights"][0] |= change
    (tmp_path / "model.json").write_text(json.dumps(description))
    refused(tmp_path / "model.json", words)


def test_other_json_and_other_files(tmp_path):
    for text, words in (
        ('{"a": 1}', "without weightsManifest"),
        ('{"format": "graph-model", "weightsManifest": []}', "graph model"),
        ('{"a": ' * 100_000, "no JSON text"),
        ('{"weightsManifest": 5}', "damaged"),
        ('{"a": [' + "[]," * 2**23 + "0]}", "16,777,216 are read"),
        ("hello", "no file of weights that is known: expected safetensors"),
    ):
        (tmp_path / "model.json").write_text(text)
        refused(tmp_path / "model.json", words)
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "holds neither model.json nor model.safetensors")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "it is a named pipe")


def test_layers_that_are_described_wrongly(model, tmp_path):
    def described(layers):
        foreign.write_tfjs(tmp_path, foreign.keras(model), layers)
        return tmp_path / "model.json"

    layers = foreign.topology()
    for change, words in (
        ({"padding": [[5, 5], [0, 0]]}, "pads otherwise"),
        ({"padding": 3}, "damaged"),
        ({"epsilon": -1}, "the epsilon -1"),
        ({"epsilon": "x"}, "the epsilon 'x'"),
        ({"batch_input_shape": [None, 10**9, 3, 3]}, "images of 1000000000 pixels"),
    ):
        changed = json.loads(json.dumps(layers))
        for layer in changed["config"]["layers"]:
            if ("padding" in change) == (layer["class_name"] == "ZeroPadding2D"):
                layer["config"] |= {k: v for k, v in change.items() if k in layer["config"]}
        refused(described(changed), words)
    deep = {"class_name": "Model", "config": {"layers": []}}
    for _ in range(50):
        deep = {"class_name": "Model", "config": {"layers": [deep]}}
    mobilenet.load_weights(described(deep).parent)


def test_without_h5py_the_message_says_what_to_install(model, tmp_path, monkeypatch):
    import sys

    buffer = io.BytesIO()
    foreign.write_h5(buffer, foreign.keras(model))
    (tmp_path / "w.h5").write_bytes(buffer.getvalue())
    monkeypatch.setitem(sys.modules, "h5py", None)
    refused(tmp_path / "w.h5", "needs the package h5py: pip install")
