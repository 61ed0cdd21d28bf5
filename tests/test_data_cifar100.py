"""Reading CIFAR-100: every place it may lie in, and unpacking."""

import io
import os
import tarfile
from functools import cache

import numpy as np
import pytest

from tinynet.data import DataError, cifar100

PER_CLASS = {"train": 2, "test": 1}  # instead of 500 and 100
NAMES = tuple(f"name_{label}" for label in range(100))
COARSE_NAMES = tuple(f"group_{label}" for label in range(20))
MODES = {".tar.gz": "w:gz", ".tar.xz": "w:xz", ".tar.bz2": "w:bz2", ".tar": "w"}


@pytest.fixture(autouse=True)
def small_files(monkeypatch):
    monkeypatch.setattr(cifar100, "PER_CLASS", PER_CLASS)
    monkeypatch.delenv("TINYNET_CIFAR100_URL", raising=False)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between two attempts


def make_content(split):
    rng = np.random.default_rng(len(split))
    fine = rng.permutation(np.repeat(np.arange(100, dtype=np.uint8), PER_CLASS[split]))
    pixels = rng.integers(0, 256, (len(fine), 96), dtype=np.uint8).repeat(32, axis=1)
    return np.hstack([fine[:, None] // 5, fine[:, None], pixels])


RECORDS = {split: make_content(split) for split in PER_CLASS}
FILES = {
    "cifar-100-binary/test.bin": RECORDS["test"].tobytes(),
    "cifar-100-binary/fine_label_names.txt": "\n".join(NAMES).encode(),
    "cifar-100-binary/train.bin": RECORDS["train"].tobytes(),
    "cifar-100-binary/coarse_label_names.txt": "\n".join(COARSE_NAMES).encode(),
}


def write_folder(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in FILES.items():
        (folder / name.split("/")[1]).write_bytes(content)
    return folder


@cache  # packing takes longer than all the rest
def pack(mode, *files):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode=mode) as tar:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def write_archive(path, files=FILES, mode="w:gz"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pack(mode, *files.items()))
    return path


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def assert_right(data, split="train", names=NAMES, coarse_names=COARSE_NAMES):
    assert np.array_equal(data.images.reshape(-1, 3072), RECORDS[split][:, 2:])
    assert np.array_equal(data.labels, RECORDS[split][:, 1])
    assert data.images.shape[1:] == (3, 32, 32)
    assert data.class_names == names
    assert data.superclasses == coarse_names
    assert np.array_equal(data.superclass_of[data.labels], RECORDS[split][:, 0])


def assert_refused(data_dir, *messages, split="train", download=False, **options):
    with pytest.raises(DataError) as caught:
        cifar100.load(data_dir, split, download=download, progress=False, **options)
    for message in messages:
        assert str(message) in str(caught.value)
    assert "\n" not in str(caught.value)


# Places


def layouts():
    yield "the folder", lambda top: write_folder(top)
    yield "its parent", lambda top: write_folder(top / "cifar-100-binary").parent
    yield "a file in it", lambda top: write_folder(top) / "test.bin"
    for suffix, mode in MODES.items():
        path = f"cifar-100-binary{suffix}"
        yield f"holds {suffix}", lambda top, p=path, m=mode: write_archive(top / p, mode=m).parent
        yield f"is {suffix}", lambda top, p=path, m=mode: write_archive(top / p, mode=m)
    yield "other name", lambda top: write_archive(top / "my copy", mode="w:xz")
    yield "bin name", lambda top: write_archive(top / "cifar.bin")


@pytest.mark.parametrize("build", [pytest.param(b, id=i) for i, b in layouts()])
def test_every_place_is_accepted(tmp_path, build):
    data_dir = build(tmp_path / "top")
    for split in ("train", "test"):
        assert_right(cifar100.load(str(data_dir), split, download=False), split)


def test_planes_and_rows(tmp_path):
    folder = write_folder(tmp_path)
    records = RECORDS["train"].copy()
    records[0, 2:] = np.arange(3072) // 12  # 256 values, rising along the record
    (folder / "train.bin").write_bytes(records.tobytes())
    picture = cifar100.load(folder).images[0]
    red_end, green_begin = picture[0, 31, 31], picture[1, 0, 0]
    assert (picture[0, 0, 0], picture[0, 0, 31], picture[0, 1, 0]) == (0, 31 // 12, 32 // 12)
    assert (red_end, green_begin, picture[2, 31, 31]) == (1023 // 12, 1024 // 12, 255)


def test_without_class_names(tmp_path):
    for name in ("fine_label_names.txt", "coarse_label_names.txt"):
        (write_folder(tmp_path) / name).unlink()
    usual = {"names": cifar100.CLASS_NAMES, "coarse_names": cifar100.SUPERCLASSES}
    assert_right(cifar100.load(tmp_path), coarse_names=cifar100.SUPERCLASSES)
    (tmp_path / "fine_label_names.txt").unlink()
    assert_right(cifar100.load(tmp_path), **usual)
    assert len(set(usual["names"])) == 100
    assert usual["names"] == tuple(sorted(usual["names"]))
    assert usual["coarse_names"] == tuple(sorted(set(usual["coarse_names"])))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"apple\nbear\n", "has 2 names instead of "),
        (b"", "has 0 names instead of "),
        (b"\n".join([b"\x1b[2J"] * 100), "names that cannot be printed"),
        (b"\n" * 70_000, "has 70,000 bytes"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_wrong_class_names(tmp_path, content, message, packed):
    files = {**FILES, "cifar-100-binary/fine_label_names.txt": content}
    if packed:
        write_archive(tmp_path / "cifar-100-binary.tar", files, "w")
        assert_refused(tmp_path, "fine_label_names.txt", message)
        assert names_in(tmp_path) == ["cifar-100-binary.tar"]
    else:
        (write_folder(tmp_path) / "fine_label_names.txt").write_bytes(content)
        assert_refused(tmp_path, "fine_label_names.txt", message)


def test_a_line_too_many_at_the_end_is_no_name(tmp_path):
    names = write_folder(tmp_path) / "coarse_label_names.txt"
    names.write_bytes(names.read_bytes().replace(b"\n", b"\r\n") + b"\n\n")
    assert_right(cifar100.load(tmp_path))


def test_the_parts_of_a_split_keep_the_superclasses(tmp_path):
    for part in cifar100.load(write_folder(tmp_path)).split(1, seed=0):
        assert part.superclasses == COARSE_NAMES
        assert np.array_equal(part.superclass_of, np.arange(100) // 5)


def test_unknown_split(tmp_path):
    assert_refused(write_folder(tmp_path), "must be 'train' or 'test', not 'val'", split="val")


def test_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write_folder(tmp_path / "pictures")
    assert_right(cifar100.load("~/pictures"))


# Unpacking


def test_an_archive_is_unpacked_once(tmp_path):
    archive = write_archive(tmp_path / "cifar-100-binary.tar.gz")
    cifar100.load(archive)
    assert names_in(tmp_path) == ["cifar-100-binary", "cifar-100-binary.tar.gz"]
    unpacked = tmp_path / "cifar-100-binary"
    assert names_in(unpacked) == sorted(name.split("/")[1] for name in FILES)
    for name in names_in(unpacked):
        assert (unpacked / name).read_bytes() == FILES[f"cifar-100-binary/{name}"]
    archive.write_bytes(b"no longer an archive")
    os.utime(archive, (1, 1))
    assert_right(cifar100.load(archive))
    assert_right(cifar100.load(tmp_path, "test"), "test")


def test_progress_is_shown_on_a_terminal(tmp_path, capsys, monkeypatch):
    archive = write_archive(tmp_path / "cifar-100-binary.tar.gz")
    cifar100.load(archive, progress=False)
    assert capsys.readouterr() == ("", "")
    os.utime(tmp_path / "cifar-100-binary" / "train.bin", (1, 1))
    cifar100.load(archive)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    cifar100.load(archive)
    out, err = capsys.readouterr()
    assert out == ""
    assert "reading cifar-100-binary.tar.gz: 100%" in err


def test_an_archive_newer_than_its_folder_is_read(tmp_path):
    archive = write_archive(tmp_path / "cifar-100-binary.tar.gz")
    cifar100.load(archive)
    archive.write_bytes(b"no longer an archive")
    unpacked = tmp_path / "cifar-100-binary"
    os.utime(unpacked / "train.bin", (1, 1))
    assert_refused(archive, "not a tar")
    assert len(names_in(unpacked)) == 4


@pytest.mark.parametrize("suffix", MODES)
def test_a_read_only_folder(tmp_path, suffix):
    archive = write_archive(tmp_path / "ro" / f"cifar-100-binary{suffix}", mode=MODES[suffix])
    archive.parent.chmod(0o555)
    try:
        for split in ("train", "test"):
            assert_right(cifar100.load(archive.parent, split), split)
        assert names_in(archive.parent) == [archive.name]
    finally:
        archive.parent.chmod(0o755)


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch, broken):
    def fail(*args):
        raise OSError(28, "No space left on device")

    archive = write_archive(tmp_path / "cifar-100-binary.tar.gz")
    monkeypatch.setattr(os, broken, fail)
    assert_right(cifar100.load(archive))
    assert names_in(tmp_path) == [archive.name]


def test_an_unpacking_that_is_interrupted_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    archive = write_archive(tmp_path / "cifar-100-binary.tar.gz")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        cifar100.load(archive)
    assert names_in(tmp_path) == [archive.name]
