"""Checkpoints damaged on purpose: refused in a sentence, with little memory, or without effect."""

import io
import json
import os
import random
import re
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from test_checkpoint import same

from tinynet.autograd import Tensor
from tinynet.training import CheckpointError, checkpoint

TREE = {
    "model": {"w": Tensor(np.arange(12, dtype=np.float32).reshape(3, 4)), "n": np.array(7)},
    "optimizer": {"state": {0: {"step": 3.0}}, "betas": (0.9, 0.999)},
    "history": [{"epoch": 1, "loss": float("nan")}, {"epoch": 2, "loss": float("-inf")}],
    "plain": [None, True, -(10**30), 1e-300, "text \u2713", (), {}],
}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "run.npz"
    checkpoint.save(path, TREE)
    return path


def entries_of(path):
    with zipfile.ZipFile(path) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def pack(path, entries, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries:
            archive.writestr(name, data)


def npy(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def refused(path):
    """The sentence with which the file is refused."""
    with pytest.raises(CheckpointError) as error:
        checkpoint.load(path)
    said = str(error.value)
    assert path.name in said and said.isprintable() and len(said) < 600
    return said


# Chance

HEAD = '{"format": "tinynet checkpoint", "version": 1, "tree": %s}'


def truncate(rng, data):
    return data[: rng.randrange(len(data))]


def flip(rng, data):
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 30))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def overwrite(rng, data):
    start, length = rng.randrange(len(data)), rng.choice((1, 4, 8, 64))
    return data[:start] + rng.randbytes(length) + data[start + length :]


def cut_out(rng, data):
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.randrange(1, 40) :]


BYTES = truncate, flip, overwrite, cut_out
WORDS = (
    *("null", "true", "-1", "1e999", "NaN", "9" * 30, "9" * 5000, '"x"', "[]", "{}", "[[]]"),
    *('{"dict": [[1.5, 0]]}', '{"dict": [[true, 0]]}', '{"dict": [[[], 0]]}', '{"dict": [["a"]]}'),
    *('{"dict": [["a", 1], ["a", 2]]}', '{"dict": {"a": 1}}', '{"dict": 3}', '{"tuple": "abc"}'),
    *('{"tuple": {"a": 1}}', '{"float": "1e5"}', '{"float": 3}', '{"float": []}', '{"array": 3}'),
    *('{"array": "0/model/w"}', '{"tensor": "no"}', '{"pickle": "x"}', '{"a": 1, "b": 2}'),
    *('{"tuple": [], "tuple": [1]}', "[" * 3000 + "]" * 3000, '{"tuple": [' * 3000 + "]}" * 3000),
)


def change_json(rng, entries):
    """A value somewhere in the structure becomes another, or some letters do."""
    text = dict(entries)["tree.json"].decode()
    if rng.random() < 0.2:
        spoiled = rng.choice(BYTES)(rng, text.encode())
    else:
        spots = list(re.finditer(r'(?<=[\[:,]) ?("[^"]*"|-?[\d.e-]+|true|null|\[|\{)', text))
        spot = rng.choice(spots)
        end = spot.end()
        if spot[1] in ("[", "{"):
            end = spot.start(1) + json.JSONDecoder().raw_decode(text[spot.start(1) :])[1]
        spoiled = (text[: spot.start(1)] + rng.choice(WORDS) + text[end:]).encode()
    return [(name, spoiled if name == "tree.json" else data) for name, data in entries]


ARRAYS = [
    npy(np.array([None, 3])),
    npy(np.array([{}], dtype=object)),
    npy(np.array(["text"])),
    npy(np.zeros((2, 2), [("a", "f4"), ("b", "i8")])),
    npy(np.zeros(3, "M8[s]")),
    npy(np.zeros((3, 4), ">f8")),
    npy(np.zeros((0, 9))),
    npy(np.ones(3)).replace(b"(3,)", b"(-3)"),
    npy(np.ones(3)).replace(b"(3,)", b"(9,)"),
    npy(np.ones(3)).replace(b"(3,)", b"(1,)"),
    npy(np.ones(3)).replace(b"(3,), }       ", b"(2**62, 8), }"),
    npy(np.ones(3)).replace(b"'<f8'", b"'|O8'"),
    npy(np.ones(3)).replace(b"'<f8'", b"'|V0'"),
    npy(np.ones(3)).replace(b"\x01\x00", b"\x03\x00", 1),
    npy(np.ones(3))[:-3],
    npy(np.ones(3)) + b"more",
    b"",
    b"\x93NUMPY",
    b"no array",
]


def change_entries(rng, entries):
    """Entries change places, lose their names, come twice, or hold something else."""
    entries = list(entries)
    i, j = rng.sample(range(len(entries)), 2)
    name, data = entries[i]
    how = rng.randrange(6)
    if how == 0:
        entries[i], entries[j] = (name, entries[j][1]), (entries[j][0], data)
    elif how == 1:
        del entries[i]
    elif how == 2:
        entries.insert(j, (name, rng.choice((data, entries[j][1]))))
    elif how == 3:
        entries[i] = rng.choice(["x", "../" + name, name + "/", "\u00e9" * 90]), data
    elif how == 4:
        entries[i] = name, rng.choice(BYTES)(rng, data)
    else:
        i = rng.randrange(1, len(entries))  # 0 is tree.json
        entries[i] = entries[i][0], rng.choice(ARRAYS)
    return entries


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_what_chance_does_to_a_checkpoint(path):
    """Every file is refused in a sentence or loads; where only bytes changed, as what it was."""
    whole, entries, refusals = path.read_bytes(), entries_of(path), 0
    for seed in range(900):
        rng = random.Random(seed)
        packed = seed % 3
        if packed:
            pack(path, (change_json, change_entries)[packed - 1](rng, entries))
        else:
            path.write_bytes(rng.choice(BYTES)(rng, whole))
        try:
            loaded = checkpoint.load(path)
        except CheckpointError as error:
            refusals += 1
            said = str(error)
            assert path.name in said and said.isprintable() and len(said) < 600, seed
        else:
            assert packed or same(loaded, TREE), seed
    assert refusals > 600


# Intention


def loads_within(path, megabytes):
    """Refuse `path`, with no more memory than that."""
    tracemalloc.start()
    try:
        said = refused(path)
        assert tracemalloc.get_traced_memory()[1] < megabytes * 1e6
    finally:
        tracemalloc.stop()
    return said


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("name", ["tree.json", "0/w.npy"])
def test_an_entry_that_unpacks_to_much_more(compression, name, path):
    entries = {"tree.json": HEAD % '{"array": "0/w"}', "0/w.npy": npy(np.zeros(3))}
    entries[name] = bytes(50_000_000)
    pack(path, entries.items(), compression)
    assert path.stat().st_size < 100_000
    assert "is compressed" in loads_within(path, 2)


def test_a_packed_entry_that_claims_to_be_stored_small(path):
    """The directory may lie about how much comes out, and about how it was packed."""
    pack(path, [("tree.json", bytes(50_000_000))], zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    start = data.rindex(b"PK\x01\x02")
    for size in (10, 2**32 - 2):
        struct.pack_into("<I", data, start + 24, size)
        path.write_bytes(data)
        loads_within(path, 2)
        stored = data.copy()
        for place in (8, start + 10):
            struct.pack_into("<H", stored, place, zipfile.ZIP_STORED)
        path.write_bytes(stored)
        loads_within(path, 2)


def test_many_entries_of_the_same_bytes(path):
    """The directory names one entry a thousand times: 1 MB of file, 1 GB of arrays."""
    names = [f"{i}/w" for i in range(1000)]
    tree = json.dumps([{"array": name} for name in names])
    big = npy(np.zeros(125_000))
    pack(path, [("tree.json", HEAD % tree), *[(f"{name}.npy", b"") for name in names]])
    with zipfile.ZipFile(path, "a") as archive:
        first = archive.start_dir
        archive.writestr("big", big)
        for info in archive.filelist[1:-1]:
            info.header_offset = first
            info.file_size = info.compress_size = len(big)
            info.CRC = zlib.crc32(big)
        archive._didModify = True
    assert path.stat().st_size < 1_500_000
    loads_within(path, 10)


def test_a_tree_that_names_one_array_many_times(path):
    tree = "[" + ", ".join(['{"array": "0/w"}'] * 1000) + "]"
    pack(path, [("tree.json", HEAD % tree), ("0/w.npy", npy(np.zeros(125_000)))])
    loads_within(path, 10)


@pytest.mark.parametrize("shape", [b"(3000000000, )", b"(70000,70000)", b"(2, 99999999,)"])
def test_a_header_that_claims_a_huge_array(shape, path):
    data = npy(np.ones(3)).replace(b"(3,), }".ljust(len(shape) + 3), shape + b", }")
    assert shape in data
    pack(path, [("tree.json", HEAD % '{"array": "x"}'), ("x.npy", data)])
    assert "an array of" in loads_within(path, 2)


def test_one_packed_anew_without_compression_still_loads(path):
    pack(path, entries_of(path))
    assert same(checkpoint.load(path), TREE)
    pack(path, entries_of(path), zipfile.ZIP_DEFLATED)
    assert "pack it again without (zip -0)" in refused(path)


@pytest.mark.filterwarnings("ignore:Stored array in format 3.0")
def test_arrays_of_every_kind_that_is_saved_come_back(tmp_path):
    """What guards against huge headers must let all others pass."""
    arrays = [
        np.zeros((2, 0, 3)),
        np.array("text \u2713"),
        np.zeros(3, "M8[s]"),
        np.zeros((2, 2), [("a", "f4"), ("\u4e2d", ">i8", (3,))]),
        np.zeros(3, "V0"),
        np.zeros(2, [(f"field_{i}" * 20, "f4") for i in range(30)]),
    ]
    checkpoint.save(tmp_path / "x", arrays)
    assert same(checkpoint.load(tmp_path / "x"), arrays)


def test_a_tree_too_deep_or_endless_is_refused_when_saved(tmp_path):
    endless = []
    endless.append(endless)
    with pytest.raises(TypeError, match="nested too deep, or holds itself"):
        checkpoint.save(tmp_path / "x", endless)
    assert os.listdir(tmp_path) == []


# What a script demands of a tree

GOOD = {"epochs": 3, "loss": 0.5, "test": None, "names": ["a"], "w": np.ones(2), "deep": {"x": {}}}
KINDS = {
    "epochs": int,
    "loss": float,
    "test": (float, None),
    "names": [str],
    "w": np.ndarray,
    "deep": {"x": dict},
}


@pytest.mark.parametrize("changes", [{}, {"loss": 1}, {"test": 0.3}, {"names": []}, {"more": 1}])
def test_a_tree_as_expected(changes):
    tree = {**GOOD, **changes}
    assert checkpoint.expect(tree, KINDS) is tree


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("epochs", "text", "the checkpoint['epochs'] is 'text', expected a whole number from 0 up"),
        ("epochs", True, "is True, expected a whole number"),
        ("epochs", -1, "is -1, expected a whole number from 0 up"),
        ("epochs", 1.0, "is 1.0, expected a whole number"),
        ("epochs", None, "is None"),
        ("loss", float("nan"), "is nan, expected a finite number"),
        ("loss", float("inf"), "is inf, expected a finite number"),
        ("loss", 10**400, "expected a finite number"),
        ("loss", False, "is False, expected a finite number"),
        ("test", [1, 2], "the checkpoint['test'] is a list, expected a finite number or None"),
        ("names", "a", "is 'a', expected a list"),
        ("names", ["a", 3], "the checkpoint['names'][1] is 3, expected a text"),
        ("w", [1], "is a list, expected an array"),
        ("w", Tensor(np.ones(2)), "is a Tensor, expected an array"),
        ("deep", [], "the checkpoint['deep'] is a list, expected a dict"),
        ("deep", {"x": 3}, "the checkpoint['deep']['x'] is 3, expected a dict"),
        ("deep", {}, "the checkpoint['deep'] lacks 'x'"),
        ("epochs", "two\nlines" + "." * 999, "is 'two\\nlines..."),
    ],
)
def test_a_tree_of_another_kind(key, value, message):
    with pytest.raises(CheckpointError) as error:
        checkpoint.expect({**GOOD, key: value}, KINDS)
    assert message in str(error.value) and len(str(error.value)) < 200
    assert str(error.value).isprintable()


@pytest.mark.parametrize("tree", [None, 3, [], "x"])
def test_a_tree_that_is_none(tree):
    with pytest.raises(CheckpointError, match="the file is .*, expected a dict"):
        checkpoint.expect(tree, KINDS, "the file")
