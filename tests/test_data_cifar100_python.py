"""The Python version of CIFAR-100: read as the binary version, and no pickle ever runs code."""

import contextlib
import os
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from test_data_cifar100 import (
    COARSE_NAMES,
    NAMES,
    RECORDS,
    assert_refused,
    assert_right,
    names_in,
    small_files,  # noqa: F401, a fixture for each test here too
    write_archive,
)

from tinynet.data import DataError, cifar100, pickles

FOLDER = "cifar-100-python"


class Python2:
    """Writes what the cPickle of Python 2 wrote in protocol 2 (which Python 3 does not)."""

    def __init__(self, value):
        self.memos = 0
        self.content = b"\x80\x02" + self.of(value) + b"."

    def put(self):
        self.memos += 1
        n = self.memos
        return b"q" + bytes([n]) if n < 256 else b"r" + struct.pack("<I", n)

    def of(self, value):
        if isinstance(value, dict):
            pairs = b"".join(self.of(key) + self.of(value) for key, value in value.items())
            return b"}" + self.put() + b"(" + pairs + b"u"
        if isinstance(value, list):
            return b"]" + self.put() + b"(" + b"".join(map(self.of, value)) + b"e"
        if isinstance(value, int):
            return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)
        if isinstance(value, bytes):
            short = len(value) < 256
            length = b"U" + bytes([len(value)]) if short else b"T" + struct.pack("<i", len(value))
            return length + value + self.put()
        N, width = value.shape
        made = b"cnumpy.core.multiarray\n_reconstruct\n" + self.put() + b"cnumpy\nndarray\n"
        made += self.put() + b"K\0\x85" + self.put() + b"U\1b" + self.put() + b"\x87" + self.put()
        made += b"R" + self.put() + b"(K\1" + self.of(N) + self.of(width) + b"\x86" + self.put()
        made += b"cnumpy\ndtype\n" + self.put() + b"U\2u1" + self.put() + b"K\0K\1\x87" + self.put()
        made += b"R" + self.put() + b"(K\3U\1|" + self.put() + b"NNN" + b"J\xff\xff\xff\xff" * 2
        return made + b"K\0tb\x89" + self.of(value.tobytes()) + b"tb"


def values_of(split):
    records = RECORDS[split]
    return {
        b"filenames": [b"bos_taurus_s_%06d.png" % i for i in range(len(records))],
        b"batch_label": b"training batch 1 of 1",
        b"fine_labels": records[:, 1].tolist(),
        b"coarse_labels": records[:, 0].tolist(),
        b"data": np.ascontiguousarray(records[:, 2:]),
    }


META = {
    b"fine_label_names": [name.encode() for name in NAMES],
    b"coarse_label_names": [name.encode() for name in COARSE_NAMES],
}
VALUES = {"meta": META, "test": values_of("test"), "train": values_of("train")}
WRITERS = {"Python 2": lambda value: Python2(value).content} | {
    f"protocol {n}": lambda value, n=n: pickle.dumps(value, n) for n in (2, 3, 4)
}
FILES = {f"{FOLDER}/{name}": WRITERS["Python 2"](value) for name, value in VALUES.items()}


def write_folder(folder, files=FILES):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.split("/")[1]).write_bytes(content)
    return folder


def test_the_pickles_of_these_tests_are_what_pickle_reads():
    for name, value in VALUES.items():
        read = pickle.loads(FILES[f"{FOLDER}/{name}"], encoding="bytes")
        assert read.keys() == value.keys()
        assert all(np.array_equal(read[key], value[key]) for key in read)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("place", ["folder", "parent", "file", "archive", "holds", "zip", "zips"])
def test_every_place_and_writer(tmp_path, writer, place):
    files = {f"{FOLDER}/{name}": WRITERS[writer](value) for name, value in VALUES.items()}
    folder, data_dir = tmp_path / FOLDER, tmp_path
    if place in ("folder", "parent", "file"):
        write_folder(folder, files)
        data_dir = {"folder": folder, "parent": tmp_path, "file": folder / "train"}[place]
    elif "zip" in place:
        with zipfile.ZipFile(tmp_path / "archive.zip", "w") as packed:
            for name, content in files.items():
                packed.writestr(
                    name.removeprefix(f"{FOLDER}/") if place == "zip" else name, content
                )
    else:
        archive = write_archive(tmp_path / f"{FOLDER}.tar.gz", files)
        data_dir = archive if place == "archive" else tmp_path
    for split in ("train", "test"):
        assert_right(cifar100.load(data_dir, split, download=False), split)
    if place not in ("folder", "parent", "file"):  # unpacked as the binary version
        unpacked = tmp_path / "cifar-100-binary"
        assert (unpacked / "train.bin").read_bytes() == RECORDS["train"].tobytes()
        assert len(names_in(unpacked)) == 4


def test_half_a_folder(tmp_path):
    folder = write_folder(tmp_path / FOLDER)
    (folder / "test").write_bytes(FILES[f"{FOLDER}/test"][:1000])
    assert_refused(tmp_path, folder / "test", "has 1,000 bytes", download=True)
    (folder / "test").unlink()
    assert_refused(tmp_path, folder, "lacks test", download=True)
    (folder / "meta").unlink()
    (folder / "test").write_bytes(FILES[f"{FOLDER}/test"])
    assert_refused(tmp_path, folder, "lacks meta", download=True)


class Calls:
    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("inside", [False, True])
def test_code_is_not_run(tmp_path, protocol, inside):
    mark = tmp_path / "run"
    evil = Calls(os.mkdir, str(mark))
    content = pickle.dumps({**VALUES["train"], b"data": evil} if inside else evil, protocol)
    with pytest.raises(DataError) as caught:
        pickles.read(content, "the file")
    if protocol >= 2 or not inside:  # protocols 0 and 1 write a dict in another way
        assert "the file would run code" in str(caught.value)
        assert ".mkdir" in str(caught.value)
    assert not mark.exists()
    pickle.loads(content)
    assert mark.exists()


def test_code_is_not_run_out_of_a_folder(tmp_path):
    evil = {**VALUES["train"], b"filenames": Calls(os.mkdir, str(tmp_path / "run"))}
    folder = write_folder(tmp_path / FOLDER, {**FILES, "/train": pickle.dumps(evil, 2)})
    assert_refused(folder, folder, "would run code", "mkdir")
    place = write_archive(tmp_path / "my.tar", {**FILES, f"{FOLDER}/train": pickle.dumps(evil, 2)})
    assert_refused(place, place, "would run code", "mkdir")
    assert names_in(tmp_path) == [FOLDER, "my.tar"]


BUILD = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85U\1btR"
DTYPE = b"cnumpy\ndtype\n(U\2u1K\0K\1tR"
BAD = {
    "nothing": b"",
    "a web page": b"<html>",
    "no dict": b"\x80\x02K\1.",
    "no end": b"\x80\x02}",
    "an object": b"\x80\x02cos\nsystem\n)\x81.",
    "an instance": b"(ios\nsystem\n.",
    "an extension": b"\x80\x02\x82\1.",
    "a persistent id": b"\x80\x02NQ.",
    "a stack that is empty": b"\x80\x02R.",
    "no mark": b"\x80\x02}u.",
    "a mark inside": b"\x80\x02}K\1(K\2s.",
    "a memo that is missing": b"\x80\x02h\1.",
    "a value too few": b"\x80\x02}(U\1au.",
    "a list for a key": b"\x80\x02}]K\1s.",
    "a tuple in itself for a key": b"\x80\x02}" + b")" + b"\x85" * 20_000 + b"K\1s.",
    "appending to a number": b"\x80\x02K\1K\2a.",
    "setting in a list": b"\x80\x02]U\1aK\2s.",
    "no line end": b"\x80\x02c" + b"x" * 1000,
    "a name that is no text": b"\x80\x04K\1K\2\x93.",
    "a name of lists of lists": b"\x80\x04]q\1" + b"]h\1ah\1aq\1" * 99 + b"U\1a\x93.",
    "a call of a text": b"\x80\x02U\5dtype)R.",
    "a call without arguments": b"\x80\x02cnumpy\ndtype\n)R.",
    "arguments that are no tuple": b"\x80\x02cnumpy\ndtype\n]R.",
    "an array of objects": b"\x80\x02cnumpy\ndtype\nU\1O\x85R.",
    "a large array": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n"
    b"J\xff\xff\xff\x7f\x85U\1btR.",
    "a dtype called": b"\x80\x02cnumpy\nndarray\nK\1\x85R.",
    "an array of another size": b"\x80\x02" + BUILD + b"(K\1K\5\x85" + DTYPE + b"\x89U\1at b.",
    "a negative size": b"\x80\x02" + BUILD + b"(K\1J\xff\xff\xff\xff\x85" + DTYPE + b"\x89U\1atb.",
    "another dtype": b"\x80\x02" + BUILD + b"(K\1K\1\x85U\2f8\x89U\1atb.",
    "a state too short": b"\x80\x02" + BUILD + b"K\1\x85b.",
    "a state for a list": b"\x80\x02]K\1b.",
    "another coding": b"\x80\x02c_codecs\nencode\nX\1\0\0\0aX\3\0\0\0rot\x86R.",
    "a text that is no UTF-8": b"\x80\x02X\1\0\0\0\xff.",
    "a protocol of the future": b"\x80\x06\x99.",
    "a count too large": b"\x80\x02}T\xff\xff\xff\x7fabc",
    "a negative count": b"\x80\x02}T\xff\xff\xff\xffabc",
    "bytes without end": b"\x80\x04\x8e" + b"\xff" * 8 + b"abc",
    "a long without end": b"\x80\x02\x8b\xff\xff\xff\x7fabc",
    "a long in digits": b"L" + b"9" * 100_000 + b"L\n.",
    "a frame without end": b"\x80\x04\x95" + b"\xff" * 7 + b"\x7f",
    "lists in lists": b"\x80\x02" + b"]" * 20_000 + b"a" * 19_999 + b".",
    "more opcodes than there may be": b"\x80\x02" + b"]" * 60_000,
    "one text, encoded again and again": b"\x80\x02X\x40\x42\x0f\0" + b"a" * 1_000_000 + b"q\1"
    b"0(" + b"c_codecs\nencode\nh\1X\6\0\0\0latin1\x86R" * 1000,
    "a long text of 4 bytes per letter": b"\x80\x02X\x40\x42\x0f\0" + b"\xf0\x9f\x98\x80" * 250_000,
}


@pytest.mark.parametrize("name", BAD)
def test_hostile_pickles(name, monkeypatch):
    monkeypatch.setattr(pickles, "MOST_OPCODES", 50_000)
    content = BAD[name]
    tracemalloc.start()
    with pytest.raises(DataError) as caught:
        pickles.read(content, "the file")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    message = str(caught.value)
    assert message.startswith("the file ")
    assert "\n" not in message
    assert len(message) < 400
    assert peak < (4 << 20) + 100 * len(content)


def test_a_memo_at_the_far_end_takes_no_memory():
    tracemalloc.start()
    assert pickles.read(b"\x80\x02}r\xff\xff\xff\xff.", "the file") == {}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


@pytest.mark.parametrize("name", ["meta", "test"])
def test_every_cut_and_many_changes_are_refused_or_harmless(name):
    whole = FILES[f"{FOLDER}/{name}"]
    for kept in [*range(200), *range(200, len(whole), 1 + len(whole) // 200)]:
        with pytest.raises(DataError):
            pickles.read(whole[:kept], "the file")
    rng = np.random.default_rng(0)
    for at in [*range(200), *range(len(whole) - 200, len(whole))]:
        changed = bytearray(whole)
        changed[at] = rng.integers(256)
        with contextlib.suppress(DataError):
            assert isinstance(pickles.read(changed, "the file"), dict)


WRONG = {
    "no labels": ({b"coarse_labels": None}, "coarse_labels is no list of numbers"),
    "a label too few": ({b"fine_labels": VALUES["train"][b"fine_labels"][1:]}, "ValueError"),
    "a label too large": ({b"fine_labels": [256] + [0] * 199}, "OverflowError"),
    "a label that is a text": ({b"fine_labels": [b"x"] * 200}, "fine_labels is no list of numbers"),
    "one image too few": ({b"data": VALUES["train"][b"data"][1:]}, r"data is no array (200, 3072)"),
    "data in a list": ({b"data": [1, 2]}, r"data is no array"),
    "labels of one class": ({b"fine_labels": [1] * 200}, "wrong labels"),
    "two superclasses": ({b"coarse_labels": [1] * 100 + [2] * 100}, "wrong labels"),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("packed", [False, True])
def test_wrong_values(tmp_path, monkeypatch, what, packed):
    changes, message = WRONG[what]
    monkeypatch.setattr(cifar100, "_check_size", lambda *args: None)
    content = pickle.dumps({**VALUES["train"], **changes}, 2)
    files = {**FILES, f"{FOLDER}/train": content}
    if packed:
        data_dir = write_archive(tmp_path / "cifar-100-python.tar", files, "w")
    else:
        data_dir = write_folder(tmp_path / FOLDER, files)
    assert_refused(data_dir, data_dir, "train", message)
    assert len(names_in(tmp_path)) == 1


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({}, "fine_label_names"),
        ({**META, b"fine_label_names": [b"a"]}, "no 100 names"),
        ({**META, b"coarse_label_names": [10**9] * 20}, "Python version"),
        ({**META, b"coarse_label_names": [b"\n"] * 20}, "has 0 names instead of 20"),
    ],
)
def test_wrong_names(tmp_path, meta, message):
    files = {**FILES, f"{FOLDER}/meta": pickle.dumps(meta, 2)}
    assert_refused(write_folder(tmp_path / FOLDER, files), "meta", message)
