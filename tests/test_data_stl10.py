"""STL-10: reading its files, and a download that keeps the labelled part alone."""

import gzip
import hashlib
import io
import shutil
import tarfile
import threading
import tracemalloc

import numpy as np
import pytest
from download_server import serving

from tinynet import lock
from tinynet.data import DataError, stl10, transfer

PER_CLASS = {"train": 2, "test": 3}  # instead of 500 and 800
CLASSES = 10


@pytest.fixture(autouse=True)
def small_files(monkeypatch):
    monkeypatch.setattr(stl10, "PER_CLASS", PER_CLASS)
    monkeypatch.delenv("TINYNET_STL10_URL", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between two attempts
    for name in stl10.MD5:
        monkeypatch.setitem(stl10.MD5, name, hashlib.md5(FILES[f"stl10_binary/{name}"]).hexdigest())


def images_of(split):
    rng = np.random.default_rng(len(split))
    return rng.integers(0, 256, (CLASSES * PER_CLASS[split], 3, 96, 96), np.uint8)


def labels_of(split):
    return np.random.default_rng(1).permutation(np.repeat(np.arange(CLASSES), PER_CLASS[split]))


FILES = {"stl10_binary/fold_indices.txt": b"1 2 3\n"}
for _split in PER_CLASS:
    by_columns = images_of(_split).transpose(0, 1, 3, 2)
    FILES[f"stl10_binary/{_split}_X.bin"] = by_columns.tobytes()
    FILES[f"stl10_binary/{_split}_y.bin"] = (labels_of(_split) + 1).astype(np.uint8).tobytes()
NAMES = "stl10_binary/class_names.txt"
UNLABELED = {"stl10_binary/unlabeled_X.bin": bytes(30 << 20)}
WITH_NAMES = {NAMES: "\n".join(f"name {i}" for i in range(CLASSES)).encode()} | FILES


def pack(files=WITH_NAMES, mode="w:gz"):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode=mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def write_folder(folder, files=WITH_NAMES):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.split("/")[1]).write_bytes(content)
    return folder


def write_archive(path, files=WITH_NAMES, mode="w:gz"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pack(files, mode))
    return path


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def load(data_dir, split="train", **options):
    return stl10.load(data_dir, split, **{"progress": False, "download": False, **options})


def assert_right(data, split="train", names=tuple(f"name {i}" for i in range(CLASSES))):
    assert np.array_equal(data.images, images_of(split))
    assert data.images.flags.c_contiguous
    assert np.array_equal(data.labels, labels_of(split))
    assert data.class_names == names
    assert data.superclasses is None


def assert_refused(data_dir, *messages, **options):
    with pytest.raises(DataError) as caught:
        load(data_dir, **options)
    for message in messages:
        assert str(message) in str(caught.value)
    assert str(caught.value).isprintable()


# Local files


def test_the_official_files():
    assert stl10.URL == "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz"
    names = "airplane bird car cat deer dog horse monkey ship truck"
    assert " ".join(stl10.CLASS_NAMES) == names


def test_columns_become_rows(tmp_path):
    content = bytearray(WITH_NAMES["stl10_binary/train_X.bin"])
    content[: 96 * 96 * 3] = bytes(
        i // 96 % 96 for i in range(96 * 96 * 3)
    )  # the number of the column
    folder = write_folder(tmp_path, {**WITH_NAMES, "/train_X.bin": bytes(content)})
    image = load(folder).images[0]
    assert image[2, 50, 7] == 7
    assert image[0, 95, 0] == 0


@pytest.mark.parametrize(
    "place", ["the folder", "its parent", "a file in it", "archive", "tar", "zip"]
)
def test_every_place(tmp_path, place):
    folder, archive = tmp_path / "stl10_binary", tmp_path / "stl10_binary.tar.gz"
    if "archive" in place or "tar" in place:
        archive = archive if place == "archive" else tmp_path / "my copy"
        data_dir = write_archive(archive, mode="w:gz" if place == "archive" else "w")
    elif place == "zip":
        shutil.make_archive(tmp_path / "x", "zip", write_folder(tmp_path / "away"))
        data_dir = (tmp_path / "x.zip").rename(tmp_path / "stl10_binary.zip").parent
    else:
        write_folder(folder)
        data_dir = {"the folder": folder, "its parent": tmp_path}.get(place, folder / "test_X.bin")
    for split in PER_CLASS:
        assert_right(load(data_dir, split), split)
    if place in ("archive", "tar", "zip"):
        assert names_in(folder) == sorted(n.split("/")[1] for n in WITH_NAMES if "fold" not in n)


def test_without_class_names(tmp_path):
    assert_right(load(write_folder(tmp_path, FILES)), names=stl10.CLASS_NAMES)
    (tmp_path / "class_names.txt").write_text("one\n")
    assert_refused(tmp_path, "class_names.txt", "has 1 names instead of 10")


@pytest.mark.parametrize("name", [name.split("/")[1] for name in FILES if "fold" not in name])
@pytest.mark.parametrize("packed", [False, True])
def test_a_missing_or_short_file_is_noticed_at_once(tmp_path, name, packed):
    for content in (FILES[f"stl10_binary/{name}"][:-1], None):
        files = {**WITH_NAMES, f"stl10_binary/{name}": content}
        files = {key: value for key, value in files.items() if value is not None}
        message = "has" if content else "holds no" if packed else "lacks"
        if packed:
            archive = write_archive(tmp_path / "stl10_binary.tar.gz", files)
            assert_refused(archive, archive, name, message)
            assert names_in(tmp_path) == [archive.name]
        else:
            shutil.rmtree(tmp_path)
            assert_refused(write_folder(tmp_path, files), tmp_path, name, message, download=True)


@pytest.mark.parametrize("wrong", [b"\0", b"\x0b"])
def test_wrong_labels(tmp_path, wrong):
    labels = wrong + FILES["stl10_binary/train_y.bin"][1:]
    files = {**FILES, "stl10_binary/train_y.bin": labels}
    assert_refused(write_folder(tmp_path / "a", files), "train_y.bin", "wrong labels")
    archive = write_archive(tmp_path / "b" / "stl10_binary.tar", files, "w")
    assert_refused(archive, archive, "wrong labels", split="test")  # before it is unpacked
    assert names_in(tmp_path / "b") == [archive.name]


def test_nothing_there(tmp_path):
    assert_refused(tmp_path, "no STL-10 in", tmp_path, "--data-dir", "TINYNET_STL10_URL")
    assert_refused(tmp_path / "x.tar.gz", "there is no archive", download=True)
    assert_refused(tmp_path, "must be 'train' or 'test'", split="val")
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("first", [True, False])
def test_a_damaged_archive(tmp_path, monkeypatch, first):
    """If the images are not known by their md5 sums, the archive's own checksum decides."""
    archive = write_archive(tmp_path / "stl10_binary.tar.gz")
    content = bytearray(archive.read_bytes())
    content[-6] ^= 1  # in the checksum
    archive.write_bytes(content)
    if first:
        monkeypatch.setitem(stl10.MD5, "train_X.bin", "?")
        assert_refused(archive, archive, "damaged")
    else:
        assert_right(load(archive))


# Download


@pytest.fixture
def server():
    with serving(pack({**WITH_NAMES, **UNLABELED})) as server:
        yield server


@pytest.mark.parametrize("how", ["argument", "environment", "default", "file"])
def test_download(tmp_path, monkeypatch, server, how):
    mirror = server.url if how == "argument" else None
    monkeypatch.setattr(stl10, "URL", server.url if how == "default" else "http://127.0.0.1:1/")
    if how == "environment":
        monkeypatch.setenv("TINYNET_STL10_URL", f"http://127.0.0.1:1/ {server.url}")
    if how == "file":
        mirror = write_archive(tmp_path / "elsewhere" / "x").as_uri()
    folder = tmp_path / "new" / "data"
    assert_right(load(folder, download=True, mirror=mirror))
    assert names_in(folder) == ["stl10_binary"]
    kept = sorted(name.split("/")[1] for name in WITH_NAMES if "fold" not in name)
    assert names_in(folder / "stl10_binary") == kept
    assert_right(load(folder, "test"), "test")


def test_unlabelled_images_on_the_way_take_no_memory(tmp_path, monkeypatch):
    with serving(pack({**UNLABELED, **FILES})) as server:
        tracemalloc.start()
        assert_right(load(tmp_path, download=True, mirror=server.url), names=stl10.CLASS_NAMES)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    labelled = sum(map(len, FILES.values()))
    assert peak < 3 * labelled + (5 << 20) < 30 << 20


def test_what_follows_is_not_read(tmp_path):
    whole = pack(WITH_NAMES, "w")
    end = whole.index(b"\0" * 1024, whole.index(FILES["stl10_binary/test_y.bin"]))
    with serving(gzip.compress(whole[: end + 512], 1) + b"no gzip" * 100_000) as server:
        assert_right(load(tmp_path, download=True, mirror=server.url))


@pytest.mark.parametrize("ranges", ["served", "ignored", "refused"])
def test_a_broken_connection_is_taken_up(tmp_path, server, ranges):
    size = len(server.content)
    server.ranges = ranges
    server.drops = [70_000, 300_001] if ranges == "served" else [300_000, 500_000]
    assert size > 900_000
    assert_right(load(tmp_path, download=True, mirror=server.url))
    assert server.requests[0] is None
    assert server.requests[1] == f"bytes={[70_000, 300_000][ranges != 'served']}-"
    assert names_in(tmp_path) == ["stl10_binary"]


def test_giving_up_leaves_nothing(tmp_path, server):
    server.drops = [300_000] + [0] * 9
    folder = tmp_path / "data"
    assert_refused(
        folder, f"cannot download {server.url}", "closed too early", "--data-dir",
        download=True, mirror=server.url,
    )  # fmt: skip
    assert len(server.requests) == 4
    assert names_in(tmp_path) == []


def test_a_stream_that_ends_too_early(tmp_path, server):
    server.announce, server.content = False, server.content[:400_000]
    assert_refused(tmp_path, server.url, "cut short", download=True, mirror=server.url)
    assert names_in(tmp_path) == []


def test_a_page_instead(tmp_path, server):
    server.content = b"<!doctype html><title>Please log in</title>"
    assert_refused(tmp_path, server.url, "is a web page", download=True, mirror=server.url)
    assert names_in(tmp_path) == []


def test_a_wrong_md5(tmp_path, monkeypatch, server):
    monkeypatch.setitem(stl10.MD5, "test_X.bin", "0" * 32)
    assert_refused(tmp_path, "test_X.bin", "has the md5 sum", download=True, mirror=server.url)
    assert names_in(tmp_path) == []


def test_a_full_disk(tmp_path, monkeypatch, server):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 1000))
    assert_refused(tmp_path, "where 1,000 are free", download=True, mirror=server.url)
    assert server.requests == []


def test_a_disk_that_fills_up(tmp_path, monkeypatch, server):
    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    assert_refused(
        tmp_path, "cannot write", tmp_path / "stl10_binary", "No space left",
        download=True, mirror=server.url,
    )  # fmt: skip
    assert names_in(tmp_path) == []


def test_a_folder_of_something_else_is_noticed_before(tmp_path, server):
    (tmp_path / "stl10_binary").mkdir()
    (tmp_path / "stl10_binary" / "mine").touch()
    assert_refused(tmp_path, "holds something else", download=True, mirror=server.url)
    assert server.requests == []


def test_two_downloads_at_a_time_are_one(tmp_path, server):
    results = []

    def run():
        results.append(load(tmp_path, download=True, mirror=server.url))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for data in results:
        assert_right(data)
    assert len(results) == 3
    assert server.requests == [None]
    assert names_in(tmp_path) == ["stl10_binary"]


def test_waiting_for_another_program_has_an_end(tmp_path, monkeypatch, server):
    monkeypatch.setattr(transfer, "WINDOW", 0.2)
    with lock.hold(tmp_path / "stl10_binary"):
        assert_refused(tmp_path, "another program", download=True, mirror=server.url)
    assert server.requests == []
