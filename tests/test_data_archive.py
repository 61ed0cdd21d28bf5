"""Archives made to do harm, zips, and unpacking that is killed or done twice at a time."""

import contextlib
import io
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from test_data_cifar100 import (
    FILES,
    RECORDS,
    assert_refused,
    assert_right,
    names_in,
    pack,
    small_files,  # noqa: F401, a fixture for each test here too
    write_archive,
    write_folder,
)

import tinynet.data
from tinynet.data import archive, cifar100


@contextlib.contextmanager
def little_memory(megabytes=20):
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < megabytes << 20


def header(name, size, kind=tarfile.REGTYPE, link=""):
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = size, kind, link
    return member.tobuf(tarfile.GNU_FORMAT)


# Tar


@pytest.mark.parametrize("outside", ["../train.bin", "/train.bin", "a/../../train.bin"])
def test_members_outside_the_folder_are_passed_over(tmp_path, outside):
    files = {outside: FILES["cifar-100-binary/train.bin"], **FILES}
    del files["cifar-100-binary/train.bin"]
    place = write_archive(tmp_path / "a" / "cifar-100-binary.tar.gz", files)
    assert_refused(place, "holds no train.bin")
    assert names_in(tmp_path) == ["a"]
    assert names_in(place.parent) == [place.name]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, b"3", b"4"])
def test_links_and_devices_are_passed_over(tmp_path, kind):
    (tmp_path / "secret").write_bytes(FILES["cifar-100-binary/train.bin"])
    place = tmp_path / "cifar-100-binary.tar"
    link = header("cifar-100-binary/train.bin", 0, kind, str(tmp_path / "secret"))
    place.write_bytes(link + pack("w", *FILES.items()))
    assert_right(cifar100.load(place))  # the file of the same name that follows counts
    place.write_bytes(link + bytes(1024))
    assert_refused(place, place, "holds no train.bin")


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names(tmp_path, form):
    place = tmp_path / "cifar-100-binary.tar.gz"
    with tarfile.open(place, "w:gz", format=form) as tar:
        for name, content in FILES.items():
            member = tarfile.TarInfo("a rather long folder/" * 20 + name)
            member.size, member.pax_headers = len(content), {"comment": "ü" * 100}
            tar.addfile(member, io.BytesIO(content))
    assert_right(cifar100.load(place))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_of_gigabytes(tmp_path, kind):
    place = tmp_path / "cifar-100-binary.tar"
    place.write_bytes(header("x", 3 << 30, kind) + bytes(5000))
    with little_memory():
        assert_refused(place, place, "has a header of 3,221,225,472 bytes")


def test_thousands_of_headers(tmp_path):
    place = tmp_path / "cifar-100-binary.tar"
    name = header("x", 512, tarfile.GNUTYPE_LONGNAME) + b"y" * 512
    place.write_bytes(name * 3000 + pack("w", *FILES.items()))
    assert_refused(place, "holds no test.bin")  # whose name a header has changed


@pytest.mark.parametrize("name", ["fine_label_names.txt", "train.bin", "train", "meta"])
def test_a_member_of_gigabytes(tmp_path, name):
    place = tmp_path / "cifar-100-binary.tar"
    place.write_bytes(header(name, 3 << 30) + bytes(5000))
    with little_memory():
        assert_refused(place, place, name, "has 3,221,225,472 bytes")


@pytest.mark.parametrize("mode", ["w:gz", "w:xz", "w:bz2"])
@pytest.mark.parametrize("what", ["a member", "what follows"])
def test_a_bomb(tmp_path, monkeypatch, mode, what):
    monkeypatch.setattr(cifar100, "_LARGEST_ARCHIVE", 4_000_000)
    place = write_archive(tmp_path / "cifar-100-binary.tar.gz", {"other": bytes(9 << 20)}, mode)
    if what == "what follows":
        content = pack("w", *FILES.items()) + bytes(9 << 20)
        opened = archive._opener(place.read_bytes()[:6])
        with opened(place, "wb") as file:
            file.write(content)
    with little_memory():
        assert_refused(place, place, "unpacks to more than 4,000,000 bytes")


def test_a_negative_size(tmp_path):
    block = bytearray(header("train.bin", 1))
    block[124:136] = b"\xff" * 12
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    (tmp_path / "cifar-100-binary.tar").write_bytes(block + bytes(5000))
    assert_refused(tmp_path, "damaged")


# Zip


def write_zip(path, files, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", **options) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return path


@pytest.mark.parametrize("name", ["cifar-100-binary.zip", "archive.zip", "as it came"])
@pytest.mark.parametrize("prefix", ["", "one/", "one\\two\\"])
def test_a_zip_of_the_files(tmp_path, name, prefix):
    files = {name.replace("cifar-100-binary/", prefix): FILES[name] for name in FILES}
    place = write_zip(tmp_path / name, files, compression=zipfile.ZIP_DEFLATED)
    for data_dir in [place] if name == "as it came" else [place, tmp_path]:
        assert_right(cifar100.load(data_dir, download=False))
        shutil.rmtree(tmp_path / "cifar-100-binary")
    assert_right(cifar100.load(place, "test"), "test")
    assert names_in(tmp_path / "cifar-100-binary") == sorted(n.split("/")[1] for n in FILES)


@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_a_zip_of_the_archive(tmp_path, mode):
    name = "one/cifar-100-binary" + {"w:gz": ".tar.gz", "w": ".tar"}[mode]
    write_zip(tmp_path / "archive.zip", {"read me.txt": b"", name: pack(mode, *FILES.items())})
    assert_right(cifar100.load(tmp_path, download=False))


def test_a_zip_of_image_files(tmp_path):
    files = {f"CIFAR100/TRAIN/{i}/{i}.png": b"" for i in range(5)}
    place = write_zip(tmp_path / "archive.zip", files)
    assert_refused(place, place, "holds 5 image files and no train.bin", "unpack it")
    assert_refused(tmp_path, "no CIFAR-100", "archive.zip: something else")


def test_damaged_zips(tmp_path):
    place = write_zip(tmp_path / "archive.zip", FILES)
    whole = place.read_bytes()
    at = whole.index(FILES["cifar-100-binary/train.bin"]) + 1000
    broken = {"cut": whole[:-30], "half": whole[: len(whole) // 2]}
    broken["changed"] = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    for content in broken.values():
        place.write_bytes(content)
        assert_refused(place, place, "damaged")
    assert names_in(tmp_path) == [place.name]


def test_a_zip_with_a_password(tmp_path):
    place = write_zip(tmp_path / "archive.zip", FILES)
    content = bytearray(place.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    content[6] |= 1
    place.write_bytes(content)
    assert_refused(place, place, "password")


def test_a_link_in_a_zip(tmp_path):
    link = zipfile.ZipInfo("train.bin")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as packed:
        packed.writestr(link, FILES["cifar-100-binary/train.bin"])
        packed.writestr("test.bin", FILES["cifar-100-binary/test.bin"])
    assert_refused(tmp_path / "archive.zip", "holds no train.bin")


def test_a_zip_of_very_many_members(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "_LARGEST_INDEX", 10_000)
    files = {**FILES, **{f"{i}.txt": b"" for i in range(200)}}
    place = write_zip(tmp_path / "archive.zip", files)
    assert_refused(place, place, "too many members")


def test_a_member_larger_than_a_zip_says(tmp_path):
    place = write_zip(tmp_path / "archive.zip", FILES)
    content = place.read_bytes()
    size = len(FILES["cifar-100-binary/train.bin"]).to_bytes(4, "little")
    place.write_bytes(content.replace(size, (1 << 30).to_bytes(4, "little")))
    with little_memory():
        assert_refused(place, place)


# Killed, and twice at a time


@contextlib.contextmanager
def writer_in_the_middle(folder):
    """Another program, which has begun to unpack and gets no further."""
    code = f"""
import os, time
from tinynet.data import cifar100
cifar100.PER_CLASS = {{"train": 2, "test": 1}}
os.fsync = lambda handle: time.sleep(600)
cifar100.load({str(folder)!r}, progress=False)
"""
    root = Path(tinynet.data.__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", code], cwd=root)
    try:
        deadline = time.monotonic() + 30
        while not left_in(folder) and time.monotonic() < deadline:
            time.sleep(0.01)
        yield process
    finally:
        process.kill()
        process.wait()


def left_in(folder):
    return [name for name in names_in(folder) if name.startswith(".cifar-100-binary-")]


def test_what_a_killed_writer_left_is_swept_away(tmp_path):
    place = write_archive(tmp_path / "cifar-100-binary.tar.gz")
    with writer_in_the_middle(tmp_path):
        assert len(left_in(tmp_path)) == 1
    (tmp_path / ".cifar-100-binary-12345678").mkdir()  # without a lock, as by an earlier version
    assert len(left_in(tmp_path)) == 2
    assert_right(cifar100.load(tmp_path))
    assert names_in(tmp_path) == ["cifar-100-binary", place.name]


def test_it_is_swept_away_beside_a_folder_too(tmp_path):
    write_folder(tmp_path / "cifar-100-binary")
    (tmp_path / ".cifar-100-binary-12345678").mkdir()
    mine = [".cifar-100-binary-mine", "cifar-100-binary-12345678"]
    for name in mine:
        (tmp_path / name).mkdir()
    assert_right(cifar100.load(tmp_path))
    assert names_in(tmp_path) == sorted([*mine, "cifar-100-binary"])


def test_a_living_writer_keeps_its_files(tmp_path):
    place = write_archive(tmp_path / "cifar-100-binary.tar.gz")
    with writer_in_the_middle(tmp_path):
        before = left_in(tmp_path)
        assert_right(cifar100.load(tmp_path))
        assert left_in(tmp_path) == before
        assert not (tmp_path / "cifar-100-binary").exists()
    assert_right(cifar100.load(tmp_path, "test"), "test")
    assert names_in(tmp_path) == ["cifar-100-binary", place.name]


def test_many_loads_at_a_time(tmp_path):
    place = write_archive(tmp_path / "cifar-100-binary.tar.gz")
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(cifar100.load(tmp_path, progress=False)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    for data in results:
        assert_right(data)
    assert names_in(tmp_path) == ["cifar-100-binary", place.name]
    assert (tmp_path / "cifar-100-binary" / "train.bin").read_bytes() == RECORDS["train"].tobytes()


def test_a_disk_without_locks(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", fail)
    write_archive(tmp_path / "cifar-100-binary.tar.gz")
    assert_right(cifar100.load(tmp_path))
    assert names_in(tmp_path) == ["cifar-100-binary", "cifar-100-binary.tar.gz"]
