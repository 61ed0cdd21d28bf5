"""Reading CIFAR-100: damaged, missing and strange files are refused in one sentence."""

import os
import zlib

import numpy as np
import pytest
from test_data_cifar100 import (
    FILES,
    MODES,
    RECORDS,
    assert_refused,
    assert_right,
    names_in,
    pack,
    small_files,  # noqa: F401, a fixture for each test here too
    write_archive,
    write_folder,
)

from tinynet.data import cifar100


def changed(split, row, column, value):
    records = RECORDS[split].copy()
    records[row, column] = value
    return records.tobytes()


DAMAGE = {
    "empty": (b"", "has 0 bytes"),
    "short": (FILES["cifar-100-binary/train.bin"][:-1], "has 614,799 bytes"),
    "long": (FILES["cifar-100-binary/train.bin"] + b"x", "has 614,801 bytes"),
    "other split": (FILES["cifar-100-binary/test.bin"], "train.bin of CIFAR-100 has 614,800"),
    "fine label": (changed("train", 3, 1, 100), "wrong labels"),
    "coarse label": (changed("train", 3, 0, 20), "wrong labels"),
    "one label too many": (
        changed("train", 0, 1, (RECORDS["train"][0, 1] + 1) % 100),
        "2 images of each fine class",
    ),
    "two superclasses": (changed("train", 3, 0, (RECORDS["train"][3, 0] + 1) % 20), "wrong labels"),
    "shifted": (np.roll(RECORDS["train"].ravel(), 1).tobytes(), "wrong labels"),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("packed", [False, True])
def test_damaged_records(tmp_path, damage, packed):
    content, message = DAMAGE[damage]
    if packed:
        files = {**FILES, "cifar-100-binary/train.bin": content}
        place = write_archive(tmp_path / "cifar-100-binary.tar.gz", files)
        assert_refused(place, "train.bin", place, message)
        assert names_in(tmp_path) == [place.name]
    else:
        (write_folder(tmp_path) / "train.bin").write_bytes(content)
        assert_refused(tmp_path, tmp_path / "train.bin", message)


@pytest.mark.parametrize("suffix", MODES)
@pytest.mark.parametrize("kept", [0, 1, 5, 300, 0.3, 0.7, 0.99, -1])
def test_truncated_archives(tmp_path, suffix, kept):
    archive = write_archive(tmp_path / f"cifar-100-binary{suffix}", mode=MODES[suffix])
    whole = archive.read_bytes()
    # What follows the last member of a plain archive is padding alone, and nothing to miss.
    if suffix == ".tar" and kept in (0.99, -1):
        kept = sum(map(len, FILES.values())) - 1
    archive.write_bytes(whole[: int(kept * len(whole)) if 0 < kept < 1 else kept])
    assert_refused(archive, archive)
    assert names_in(tmp_path) == [archive.name]


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.xz", ".tar.bz2"])
@pytest.mark.parametrize("place", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("width", [1, 99])
def test_wrong_bytes_in_a_compressed_archive(tmp_path, suffix, place, width):
    archive = write_archive(tmp_path / f"cifar-100-binary{suffix}", mode=MODES[suffix])
    content = bytearray(archive.read_bytes())
    for i in range(width):
        content[int(place * len(content)) + i] ^= 255
    archive.write_bytes(content)
    assert_refused(archive, archive, "damaged")
    assert names_in(tmp_path) == [archive.name]


def test_nonsense_in_the_middle_of_compressed_data(tmp_path):
    archive = tmp_path / "cifar-100-binary.tar.gz"
    packer = zlib.compressobj(wbits=31)
    begin = packer.compress(pack("w", *FILES.items())[:100_000]) + packer.flush(zlib.Z_FULL_FLUSH)
    archive.write_bytes(begin + b"\xff" * 2000)
    assert_refused(archive, archive, "damaged")


@pytest.mark.parametrize(
    "content",
    [
        b"\n<!DOCTYPE HTML><html>not found</html>" * 99,
        b"PK\3\4" + b"?" * 2000,
        b"\x1f\x8b" + b"?" * 2000,
        b"\x1f\x8b\x08" + bytes(7) + b"\xff" * 2000,
        b"BZh9" + b"?" * 2000,
        b"\xfd7zXZ\0" + b"?" * 2000,
    ],
)
def test_other_files_are_no_archives(tmp_path, content):
    (tmp_path / "file.tar.gz").write_bytes(content)
    assert_refused(tmp_path / "file.tar.gz", "file.tar.gz", "not a tar")


def test_an_empty_file_and_a_web_page(tmp_path):
    archive = tmp_path / "cifar-100-binary.tar.gz"
    archive.write_bytes(b"")
    for data_dir in (archive, tmp_path):
        assert_refused(data_dir, archive, "is an empty file", download=True)
    archive.write_bytes(b"<html>not found</html>")
    for data_dir in (archive, tmp_path):
        assert_refused(data_dir, archive, "is a web page", download=True)


def test_other_archives(tmp_path):
    archive = write_archive(tmp_path / "other.tar.gz", {"cifar/data.bin": b"1"})
    assert_refused(archive, archive, "holds no train.bin", cifar100.URL)


@pytest.mark.parametrize("member", ["x/data_batch_1.bin", "cifar-10-batches-py/data_batch_1"])
def test_cifar_10_is_another_data_set(tmp_path, member):
    archive = write_archive(tmp_path / "cifar-10.tar.gz", {member: b"1"})
    assert_refused(archive, archive, "holds CIFAR-10, not CIFAR-100", "--data-dir")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / member.split("/")[1]).write_bytes(b"1")
    assert_refused(tmp_path / "folder", "holds CIFAR-10, not CIFAR-100", download=True)
    assert names_in(tmp_path / "folder") == [member.split("/")[1]]


# Missing


def test_nothing_there(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        assert_refused(folder, "no CIFAR-100 in", folder, "--data-dir", "--dataset shapes")
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("download", [False, True])
def test_a_missing_archive_is_no_folder_to_make(tmp_path, download):
    path = tmp_path / "cifar-100-binary.tar.gz"
    assert_refused(path, "there is no archive", path, download=download)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("inner", [".", "cifar-100-binary"])
def test_half_a_folder(tmp_path, inner):
    (write_folder(tmp_path / inner) / "train.bin").unlink()
    assert_refused(tmp_path, "lacks train.bin", download=True)
    assert_right(cifar100.load(tmp_path, "test"), "test")


@pytest.mark.parametrize("inner", [".", "cifar-100-binary"])
def test_a_training_hears_at_once_that_its_test_images_are_missing(tmp_path, inner):
    test = write_folder(tmp_path / inner) / "test.bin"
    test.write_bytes(test.read_bytes()[:-1])
    assert_refused(tmp_path, test, "has 307,399 bytes", download=True)
    test.unlink()
    assert_refused(tmp_path, "lacks test.bin", download=True)


def test_what_is_neither_a_file_nor_a_folder(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert_refused(tmp_path / "pipe", "neither a folder nor a file", download=True)
