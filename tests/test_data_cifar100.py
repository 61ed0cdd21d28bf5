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
NO_NAMES = tuple(f"class {label}" for label in range(100))
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
    "cifar-100-binary/coarse_label_names.txt": b"animals\n",
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


def assert_right(data, split="train", names=NAMES):
    assert np.array_equal(data.images.reshape(-1, 3072), RECORDS[split][:, 2:])
    assert np.array_equal(data.labels, RECORDS[split][:, 1])
    assert data.images.shape[1:] == (3, 32, 32)
    assert data.class_names == names


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
    (write_folder(tmp_path) / "fine_label_names.txt").unlink()
    assert_right(cifar100.load(tmp_path), names=NO_NAMES)


def test_wrong_number_of_class_names(tmp_path):
    (write_folder(tmp_path) / "fine_label_names.txt").write_text("apple\nbear\n")
    assert_refused(tmp_path, "fine_label_names.txt", "has 2 names instead of 100")


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
    assert names_in(unpacked) == ["fine_label_names.txt", "test.bin", "train.bin"]
    for name in names_in(unpacked):
        assert (unpacked / name).read_bytes() == FILES[f"cifar-100-binary/{name}"]
    archive.write_bytes(b"no longer an archive")
    os.utime(archive, (1, 1))
    assert_right(cifar100.load(archive))
    assert_right(cifar100.load(tmp_path, "test"), "test")


def test_progress_is_shown_on_stderr(tmp_path, capsys):
    archive = write_archive(tmp_path / "cifar-100-binary.tar.gz")
    cifar100.load(archive, progress=False)
    assert capsys.readouterr() == ("", "")
    os.utime(tmp_path / "cifar-100-binary" / "train.bin", (1, 1))
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
    assert_refused(archive, "not a tar archive")
    assert len(names_in(unpacked)) == 3


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


def test_paths_in_the_archive_are_not_followed(tmp_path):
    files = {
        "../../train.bin": FILES["cifar-100-binary/train.bin"],
        str(tmp_path / "outside" / "test.bin"): FILES["cifar-100-binary/test.bin"],
        "../evil.txt": b"evil",
    }
    archive = write_archive(tmp_path / "a" / "b" / "cifar-100-binary.tar.gz", files)
    assert_right(cifar100.load(archive), names=NO_NAMES)
    assert names_in(tmp_path) == ["a"]
    assert names_in(tmp_path / "a") == ["b"]
    assert names_in(archive.parent / "cifar-100-binary") == ["test.bin", "train.bin"]


def test_links_in_the_archive_are_not_followed(tmp_path):
    (tmp_path / "secret").write_bytes(FILES["cifar-100-binary/train.bin"])
    archive = tmp_path / "cifar-100-binary.tar"
    with tarfile.open(archive, "w") as tar:
        link = tarfile.TarInfo("cifar-100-binary/train.bin")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
        tar.addfile(link)
    assert_refused(archive, archive, "holds no train.bin")
