"""Downloads from servers that would do harm, from several addresses, and several at a time."""

import subprocess
import sys
import threading
import time
from email.message import Message
from pathlib import Path
from urllib.error import HTTPError

import pytest
from download_server import serving
from test_data_download import (
    CONTENT,
    MD5,
    SIZE,
    assert_complete,
    assert_refused,
    get,
    part_of,
)

import tinynet.data
from tinynet import lock
from tinynet.data import DataError, transfer
from tinynet.data.download import addresses, fetch


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server():
    with serving(CONTENT) as server:
        yield server


@pytest.fixture
def target(tmp_path):
    return tmp_path / "new" / "folder" / "file.tar.gz"


# Redirects


def test_a_redirect_is_followed(server, target):
    with serving(CONTENT) as other:
        server.onward = [other.url]
        get(server, target)
    assert_complete(target)
    assert (len(server.requests), len(other.requests)) == (1, 1)
    assert other.requests == server.requests


def test_a_relative_redirect_and_its_range(server, target):
    server.onward = ["/elsewhere/über.tar.gz", "x y"]
    part_of(target, CONTENT[:100_000])
    get(server, target)
    assert_complete(target)
    assert server.requests == ["bytes=100000-"] * 3


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://x", "data:text/plain,x"]
)
def test_a_redirect_to_something_else_is_refused(server, target, address):
    server.onward = [address] * 9
    assert_refused(server, target, "which is not followed")
    assert len(server.requests) == 1
    assert not target.parent.exists()


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("onward", ["http://127.0.0.1/x", "//127.0.0.1/x", "https://y/x"])
def test_https_is_not_left(target, monkeypatch, code, onward):
    """There is no certificate for a server of these tests, so urllib's part is played."""
    asked = []

    class Opener:
        def open(self, request, *args):
            asked.append(request.full_url)
            headers = Message()
            headers["Location"] = onward
            if len(asked) == 1:
                raise HTTPError(request.full_url, code, "Moved", headers, None)
            raise HTTPError(request.full_url, 404, "Not Found", Message(), None)

    monkeypatch.setattr(transfer, "build_opener", lambda *handlers: Opener())
    with pytest.raises(DataError) as caught:
        fetch("https://127.0.0.1/x", target, SIZE, MD5, progress=False, wait=0)
    leaves = onward.startswith("http:")
    assert ("which is not followed" in str(caught.value)) == leaves
    assert len(asked) == (1 if leaves else 2)
    assert all(address.startswith("https:") for address in asked)


def test_redirects_in_a_circle(server, target):
    server.onward = [server.url] * 99
    assert_refused(server, target, "on and on")
    assert len(server.requests) == 10


# What a server says


@pytest.mark.parametrize("attempts", [1, 3])
def test_the_words_of_a_server_do_nothing_to_a_terminal(server, target, attempts):
    server.codes, server.reason = [503] * 9, "\x1b[2J\x07\x9b31m" + "x" * 5000
    with pytest.raises(DataError) as caught:
        get(server, target, attempts=attempts)
    message = str(caught.value)
    assert message.isprintable()
    assert "x1b[2J" in message
    assert len(message) < 500


def test_a_redirect_in_strange_letters(server, target):
    server.onward = ["file:///\x1b[2J" + "x" * 5000]
    with pytest.raises(DataError) as caught:
        get(server, target)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("length", ["abc", "-1", "1" * 30, "1e3", "٣٠٠٠٠٠", "300000, 300000", ""])
def test_an_unreadable_length(server, target, length):
    server.announce = length or " "
    if length == "٣٠٠٠٠٠":  # http.server sends Latin-1 alone
        server.announce = length.encode().decode("latin-1")
    assert_refused(server, target, "unreadable Content-Length")
    assert len(server.requests) == 1
    assert not target.parent.exists()


@pytest.mark.parametrize(
    "extent", ["bytes 100000-299999/" + "9" * 5000, "bytes -1-2/3", "x\x1b[2J", "bytes 1-2/abc"]
)
def test_an_unreadable_range(server, target, extent):
    server.extent = extent
    part = part_of(target, CONTENT[:100_000])
    assert_refused(server, target, "unreadable Content-Range")
    assert part.read_bytes() == CONTENT[:100_000]


# Endless


def test_one_byte_per_connection(server, target):
    server.drops = [1] * 1000
    assert_refused(server, target, "closed too early", attempts=3)
    assert len(server.requests) == 3
    assert part_of(target).read_bytes() == CONTENT[:3]


def test_a_little_again_and_again(server, target, monkeypatch):
    monkeypatch.setattr(transfer, "WINDOW", 0.2)
    server.drip, server.content = "bytes", CONTENT
    assert_refused(server, target, "bytes came in the last 0 s")
    assert len(server.requests) == 1


def test_what_is_slow_but_steady_is_taken(server, target, monkeypatch):
    monkeypatch.setattr(transfer, "WINDOW", 0)  # looked at with every piece
    now = iter(range(10**6))
    monkeypatch.setattr(transfer.time, "monotonic", lambda: next(now))
    monkeypatch.setattr(transfer, "SLOWEST", 1)
    get(server, target)
    assert_complete(target)


def test_headers_without_end(server, target):
    server.drip = "headers"
    assert_refused(server, target, "no answer in 1.2 s", timeout=0.3, attempts=1)
    assert len(server.requests) == 1
    assert not target.parent.exists()


def test_all_anew_each_time(server, target):
    server.ranges, server.drops = "ignored", [70_000 * n for n in range(1, 5)] + [299_999] * 90
    server.drops[4:] = [299_999 - n for n in range(90, 0, -1)]
    assert_refused(server, target, "never comes to the end|closed too early", attempts=90)
    assert len(server.requests) < 10


# Several addresses


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("http://a/x", ["http://a/x"]),
        ("http://a/x http://b/y", ["http://a/x", "http://b/y"]),
        (" http://a/x,\n https://b/y, ", ["http://a/x", "https://b/y"]),
        ("http://a/x,file:///y", ["http://a/x", "file:///y"]),
        ("http://a/1,2.tar.gz", ["http://a/1,2.tar.gz"]),
        ("nothing http://a/x", ["nothing", "http://a/x"]),
        ("", []),
    ],
)
def test_addresses_in_a_text(text, found):
    assert addresses(text) == found


def test_the_next_address_goes_on(server, target):
    with serving(CONTENT) as first, serving(b"another file") as second:
        first.drops = [100_000, 0, 0, 0]
        fetch(
            f"{first.url}, {second.url} {server.url}",
            *(target, SIZE, MD5, False),
            wait=0,
        )
        assert len(first.requests) == 4
        assert second.requests == server.requests == ["bytes=100000-"]
    assert_complete(target)


def test_a_wrong_file_is_followed_by_the_right_one(server, target):
    with serving(bytes(SIZE)) as first:
        fetch(f"{first.url} {server.url}", target, SIZE, MD5, progress=False)
    assert_complete(target)
    assert server.requests == [None]


def test_no_address_has_it(server, target):
    with serving(b"another file") as first, pytest.raises(DataError) as caught:
        server.codes = [404]
        fetch(f"{first.url} {server.url}", target, SIZE, MD5, progress=False)
    for part in (first.url, "has 12 bytes", server.url, "answered 404"):
        assert part in str(caught.value)


# Several at a time


def test_two_downloads_at_a_time_are_one(server, target):
    release = threading.Event()
    server.drops, server.stalls = [200_000], [release]
    threads = [threading.Thread(target=get, args=(server, target)) for _ in range(3)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 20
    while not server.requests and time.monotonic() < deadline:
        time.sleep(0.01)
    release.set()
    for thread in threads:
        thread.join()
    assert_complete(target)
    assert server.requests[0] is None
    assert len(server.requests) == 2  # the second after the dropped connection


def test_who_waits_goes_on_where_a_killed_one_was(server, target):
    release = threading.Event()
    server.drops, server.stalls = [200_000], [release]
    code = f"""
from tinynet.data.download import fetch
fetch({server.url!r}, {str(target)!r}, {SIZE}, {MD5!r}, progress=False)
"""
    root = Path(tinynet.data.__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", code], cwd=root)
    deadline = time.monotonic() + 30
    while not part_of(target).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    waiting = threading.Thread(target=get, args=(server, target))
    waiting.start()
    time.sleep(0.1)
    assert len(server.requests) == 1
    process.kill()
    process.wait()
    release.set()
    waiting.join()
    assert_complete(target)
    assert len(server.requests) == 2


def test_a_program_that_gets_no_further_is_not_waited_for(server, target, monkeypatch):
    monkeypatch.setattr(transfer, "WINDOW", 0.2)
    target.parent.mkdir(parents=True)
    with lock.hold(target) as mine:
        assert mine
        assert_no_progress = "another program is making .* and has not got on for 0.2 s"
        with pytest.raises(DataError, match=assert_no_progress):
            get(server, target)
    assert server.requests == []
    get(server, target)
    assert_complete(target)


def test_a_lock_file_that_was_left_is_no_lock(server, target):
    target.parent.mkdir(parents=True)
    lock.file_of(target).touch()
    get(server, target)
    assert_complete(target)
