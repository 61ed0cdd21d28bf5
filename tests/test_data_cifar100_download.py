"""Downloading CIFAR-100: mirrors, checks, and what is said when there is no network."""

import hashlib
import shutil
import socket
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from test_data_cifar100 import (
    assert_refused,
    assert_right,
    names_in,
    small_files,  # noqa: F401, a fixture for each test here too
    write_archive,
    write_folder,
)

from tinynet.data import cifar100


@pytest.fixture
def official(tmp_path, monkeypatch):
    """An archive that takes the place of the official one."""
    archive = write_archive(tmp_path / "mirror" / "cifar-100-binary.tar.gz")
    content = archive.read_bytes()
    monkeypatch.setattr(cifar100, "SIZE", len(content))
    monkeypatch.setattr(cifar100, "MD5", hashlib.md5(content).hexdigest())
    return archive


@pytest.fixture
def server(official):
    handler = partial(SimpleHTTPRequestHandler, directory=official.parent)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/{official.name}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_official_address():
    assert cifar100.URL == "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"
    assert cifar100.MD5 == "03b5dce01913d631647c71ecec9e9cb8"
    assert cifar100.SIZE == 168_513_733


@pytest.mark.parametrize("how", ["argument", "environment", "argument first", "default"])
def test_download(tmp_path, monkeypatch, server, how):
    nowhere = "http://127.0.0.1:1/nothing"
    monkeypatch.setattr(cifar100, "URL", server if how == "default" else nowhere)
    if how in ("environment", "argument first"):
        address = server if how == "environment" else nowhere
        monkeypatch.setenv("TINYNET_CIFAR100_URL", address)
    folder = tmp_path / "new" / "data"
    mirror = server if "argument" in how else None
    assert_right(cifar100.load(folder, mirror=mirror, progress=False))
    assert names_in(folder) == ["cifar-100-binary", "cifar-100-binary.tar.gz"]
    monkeypatch.setenv("TINYNET_CIFAR100_URL", nowhere)  # the second time needs no server
    assert_right(cifar100.load(folder, "test", mirror=nowhere), "test")


def test_a_file_address_as_mirror(tmp_path, official):
    folder = tmp_path / "data"
    assert_right(cifar100.load(folder, mirror=official.as_uri(), progress=False))
    assert names_in(folder) == ["cifar-100-binary", "cifar-100-binary.tar.gz"]


def test_local_files_come_before_a_download(tmp_path, official):
    folder = write_folder(tmp_path / "data")
    shutil.rmtree(official.parent)
    assert_right(cifar100.load(folder, mirror=official.as_uri()))


def test_a_mirror_with_another_file(tmp_path, official, monkeypatch):
    monkeypatch.setattr(cifar100, "MD5", "0" * 32)
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    assert_refused(
        folder, official.as_uri(), "md5", "--data-dir", download=True, mirror=official.as_uri()
    )
    assert names_in(folder) == ["mine.txt"]


def test_no_network(tmp_path, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/cifar-100-binary.tar.gz"
        monkeypatch.setattr(cifar100, "URL", url)
        ways_out = ("--data-dir", "TINYNET_CIFAR100_URL", "--dataset shapes")
        assert_refused(tmp_path / "data", f"cannot download {url}", *ways_out, download=True)
    assert names_in(tmp_path) == []
