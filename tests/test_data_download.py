"""Downloads: resuming, servers that misbehave, checks, and nothing half-written."""

import hashlib
import io
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from download_server import serving

import tinynet.data
from tinynet.data import DataError
from tinynet.data.download import fetch

CONTENT = np.random.default_rng(0).bytes(300_000)
SIZE, MD5 = len(CONTENT), hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def server():
    with serving(CONTENT) as server:
        yield server


@pytest.fixture
def target(tmp_path):
    return tmp_path / "new" / "folder" / "file.tar.gz"


def part_of(target, content=None):
    part = target.with_name(target.name + ".part")
    if content is not None:
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
    return part


def get(server, target, md5=MD5, **options):
    fetch(server.url, target, SIZE, md5, **{"progress": False, "wait": 0, **options})


def assert_complete(target):
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def assert_refused(server, target, message, **options):
    with pytest.raises(DataError, match=message) as caught:
        get(server, target, **options)
    assert server.url in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not target.exists()


@pytest.mark.parametrize("announce", [True, False])
def test_whole_download(server, target, announce):
    server.announce = announce
    get(server, target)
    assert_complete(target)
    assert server.requests == [None]


def test_what_follows_the_expected_size_is_not_read(server, target):
    server.announce, server.content = False, CONTENT + b"more"
    get(server, target)
    assert_complete(target)


def test_a_file_that_is_there_needs_no_request(server, target):
    target.parent.mkdir(parents=True)
    target.write_bytes(CONTENT)
    get(server, target)
    assert server.requests == []
    target.write_bytes(CONTENT[:-1])
    get(server, target)
    assert_complete(target)


def test_progress_is_shown_on_a_terminal(server, target, capsys, monkeypatch):
    get(server, target, progress=True)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    get(server, target.with_name("other"), progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "other: 100%" in err
    get(server, target.with_name("third"), progress=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("closed", [False, True])
def test_without_a_stderr(server, target, monkeypatch, closed):
    stderr = io.StringIO() if closed else None
    if closed:
        stderr.close()
    monkeypatch.setattr("sys.stderr", stderr)
    get(server, target, progress=True)
    assert_complete(target)


def test_file_address(tmp_path, target):
    source = tmp_path / "source.bin"
    source.write_bytes(CONTENT)
    part_of(target, b"an earlier beginning")
    fetch(source.as_uri(), target, SIZE, MD5, progress=False)
    assert_complete(target)


@pytest.mark.parametrize(
    ("ranges", "requests"),
    [
        ("served", ["bytes=100000-"]),
        ("ignored", ["bytes=100000-"]),
        ("refused", ["bytes=100000-", None]),
    ],
)
def test_a_part_file_is_resumed(server, target, ranges, requests):
    server.ranges = ranges
    part_of(target, CONTENT[:100_000])
    get(server, target)
    assert_complete(target)
    assert server.requests == requests


def test_a_range_that_begins_earlier_is_fitted_in(server, target):
    server.shift = -1000
    part_of(target, CONTENT[:100_000])
    get(server, target)
    assert_complete(target)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shift": 1000}, "sent byte 101000 on, not byte 100000"),
        ({"extent": "bytes */300000"}, "unreadable Content-Range"),
        ({"extent": "bytes 100000-199999/200000"}, "the file there has 200,000 bytes, not 300,000"),
    ],
)
def test_a_wrong_range_is_refused(server, target, changes, message):
    vars(server).update(changes)
    part = part_of(target, CONTENT[:100_000])
    assert_refused(server, target, message)
    assert part.read_bytes() == CONTENT[:100_000]


def test_a_complete_part_file_needs_no_request(server, target):
    part_of(target, CONTENT)
    get(server, target)
    assert_complete(target)
    assert server.requests == []


def test_a_part_file_that_is_too_long_is_replaced(server, target):
    part_of(target, CONTENT + b"more")
    get(server, target)
    assert_complete(target)
    assert server.requests == [None]


@pytest.mark.parametrize("ranges", ["served", "ignored", "refused"])
def test_a_dropped_connection_is_taken_up_again(server, target, ranges):
    server.ranges = ranges
    server.drops = [200_000]
    get(server, target)
    assert_complete(target)
    assert server.requests[0] is None
    assert server.requests[1].startswith("bytes=")


def test_attempts_that_bring_new_bytes_do_not_count(server, target):
    server.drops = [70_000] * 4
    get(server, target, attempts=2)
    assert_complete(target)
    assert len(server.requests) == 5


@pytest.mark.parametrize("ranges", ["served", "ignored"])
def test_giving_up_keeps_what_came(server, target, ranges):
    server.ranges = ranges
    server.drops = {"served": [200_000] + [0] * 9, "ignored": [200_000, 70_000, 140_000] * 5}[
        ranges
    ]
    assert_refused(server, target, r"of 300,000 bytes are kept in .*\.part", attempts=3)
    assert len(server.requests) == 4
    part = part_of(target).read_bytes()
    assert 0 < len(part) <= 200_000
    assert part == CONTENT[: len(part)]
    server.drops = []
    get(server, target)
    assert_complete(target)


def test_a_silent_server_times_out(server, target):
    release = threading.Event()
    server.drops, server.stalls = [100_000], [release]
    get(server, target, timeout=0.2)
    assert not server.waited_in_vain
    release.set()
    assert_complete(target)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("codes", "requests"), [([503, 500], 3), ([429], 2), ([408], 2), ([503] * 9, None)]
)
def test_passing_errors_are_tried_again(server, target, codes, requests):
    server.codes = codes
    if requests is None:
        assert_refused(server, target, "answered 503", attempts=3)
        assert len(server.requests) == 3
    else:
        get(server, target, attempts=3)
        assert_complete(target)
        assert len(server.requests) == requests


def test_attempts_are_spaced_out(server, target, monkeypatch):
    pauses = []
    monkeypatch.setattr("time.sleep", pauses.append)
    server.codes, server.drops = [503, 503], [100_000]
    get(server, target, attempts=3, wait=7)
    assert_complete(target)
    assert pauses == [7, 14, 7]


@pytest.mark.parametrize("code", [403, 404, 410])
def test_lasting_errors_are_not_tried_again(server, target, code):
    server.codes = [code] * 5
    assert_refused(server, target, f"answered {code}")
    assert len(server.requests) == 1
    assert not target.parent.exists()


def test_a_wrong_md5_discards_the_download_alone(server, target):
    part = part_of(target, b"")
    (target.parent / "mine.txt").write_text("mine")
    wrong = "0" * 32
    assert_refused(server, target, f"md5 sum {MD5} where {wrong} was expected", md5=wrong)
    assert not part.exists()
    assert (target.parent / "mine.txt").read_text() == "mine"


def test_a_damaged_part_file_is_found_out(server, target):
    part = part_of(target, b"?" * 1000)
    assert_refused(server, target, "damaged on the way")
    assert not part.exists()
    get(server, target)
    assert_complete(target)


def test_a_wrong_size_is_refused_before_any_byte_is_written(server, target):
    server.content = CONTENT[:-1]
    assert_refused(server, target, "the file there has 299,999 bytes, not 300,000")
    assert len(server.requests) == 1
    assert not target.parent.exists()


def test_a_page_instead_of_the_file_spares_the_part_file(server, target):
    server.content, server.ranges = b"<html>Please log in</html>", "ignored"
    part = part_of(target, CONTENT[:1000])
    assert_refused(server, target, "the file there has 26 bytes")
    assert part.read_bytes() == CONTENT[:1000]


def test_no_server(target):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/file"
        with pytest.raises(DataError, match=f"cannot download {url}: .*refused"):
            fetch(url, target, SIZE, MD5, progress=False, wait=0)
    assert not target.parent.exists()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://127.0.0.1/x", "must begin with http://"),
        ("/a/path", "must begin with http://"),
        ("", "must begin with http://"),
        ("http://[/", "Invalid IPv6 URL"),
    ],
)
def test_other_addresses_are_refused(target, url, message):
    with pytest.raises(DataError, match=f"cannot download .*{message}"):
        fetch(url, target, SIZE, MD5, progress=False)
    assert not target.parent.exists()


def test_a_missing_file_address(tmp_path, target):
    with pytest.raises(DataError, match="cannot download file:.*nowhere.*: No such file"):
        fetch((tmp_path / "nowhere").as_uri(), target, SIZE, MD5, progress=False)
    assert not target.parent.exists()


def test_an_unwritable_folder(server, tmp_path):
    (tmp_path / "occupied").write_text("a file, not a folder")
    with pytest.raises(DataError, match=r"cannot write .*occupied/file\.part: "):
        get(server, tmp_path / "occupied" / "file")
    assert (tmp_path / "occupied").read_text() == "a file, not a folder"


def test_a_killed_download_leaves_a_part_file_to_resume(server, target):
    release = threading.Event()
    server.drops, server.stalls = [200_000], [release]
    code = f"""
from tinynet.data.download import fetch
fetch({server.url!r}, {str(target)!r}, {SIZE}, {MD5!r}, progress=False)
"""
    root = Path(tinynet.data.__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", code], cwd=root)
    part = part_of(target)
    deadline = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    release.set()
    kept = part.stat().st_size
    assert 0 < kept <= 200_000
    assert not target.exists()
    get(server, target)
    assert_complete(target)
    assert server.requests == [None, f"bytes={kept}-"]
