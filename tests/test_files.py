"""Writing files whole: what is in the way, who else writes, permissions."""

import errno
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tinynet import files
from tinynet.files import atomic_write, ordinary, rehearse
from tinynet.training import History, checkpoint

ROOT = Path(__file__).resolve().parent.parent


def write(path, text="new"):
    with atomic_write(path, "w") as file:
        file.write(text)


def dead(path):
    """The temporary file of a writer of `path` that was killed."""
    temporary, handle = files._new_temporary(os.path.realpath(path), None)
    os.close(handle)
    return Path(temporary)


def fail_with(code):
    def fail(*_, **__):
        raise OSError(code, os.strerror(code))

    return fail


# What is in the way


def make_socket(path):
    folder = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listener:  # a whole path might be too long for its name
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)


def make_device(path):
    os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))  # another /dev/null


SPECIAL = {
    "a folder": os.mkdir,
    "a named pipe": os.mkfifo,
    "a socket": make_socket,
    "a device": make_device if os.geteuid() == 0 else lambda path: path.symlink_to("/dev/null"),
}
WRITERS = {
    "atomic_write": write,
    "rehearse": rehearse,
    "checkpoint": lambda path: checkpoint.save(path, {"a": 1}),
    "history": lambda path: History().write_csv(path),
    "lines": lambda path: History().write_jsonl(path),
}
READERS = {
    "checkpoint": checkpoint.load,
    "history": History.read_csv,
    "ordinary": ordinary,
}


@pytest.mark.parametrize("what", SPECIAL)
@pytest.mark.parametrize("function", [*WRITERS.values(), *READERS.values()])
def test_what_is_no_file_is_neither_opened_nor_replaced(function, what, tmp_path):
    SPECIAL[what](tmp_path / "x")
    before = os.stat(tmp_path / "x")
    signal.alarm(30)  # to open a pipe is to wait for ever
    try:
        with pytest.raises((OSError, ValueError), match=f"it is {what}"):
            function(tmp_path / "x")
    finally:
        signal.alarm(0)
    assert os.path.samestat(os.stat(tmp_path / "x"), before)
    assert os.listdir(tmp_path) == ["x"]


def test_rehearsing_changes_nothing(tmp_path):
    rehearse(tmp_path / "new")
    assert os.listdir(tmp_path) == []
    write(tmp_path / "a", "old")
    rehearse(tmp_path / "a")
    assert (tmp_path / "a").read_text() == "old" and os.listdir(tmp_path) == ["a"]
    with pytest.raises(OSError, match="existing, writable folder"):
        rehearse(tmp_path / "missing" / "a")


# Permissions


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o755, 0o664, 0o000])
def test_a_rewritten_file_keeps_its_permissions(mode, tmp_path):
    path = tmp_path / "a"
    write(path, "old")
    path.chmod(mode)
    with atomic_write(path, "w") as file:
        file.write("new")
        file.flush()
        inside = os.fstat(file.fileno())  # from the first byte on, not only at the end
    assert stat.S_IMODE(inside.st_mode) == stat.S_IMODE(path.stat().st_mode) == mode
    path.chmod(0o600)
    assert path.read_text() == "new"


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_a_new_file_has_those_that_the_umask_lets(umask, tmp_path):
    before = os.umask(umask)
    try:
        write(tmp_path / "a")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~umask


def test_a_rewritten_file_keeps_its_owner_or_gives_nobody_more(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write(path)
    if os.geteuid() == 0:
        os.chown(path, 12345, 23456)
    path.chmod(0o4674)
    owner = path.stat().st_uid, path.stat().st_gid
    write(path)
    assert (path.stat().st_uid, path.stat().st_gid) == owner
    assert stat.S_IMODE(path.stat().st_mode) == 0o4674

    other = os.stat_result((0o104674, 0, 0, 1, owner[0] + 1, owner[1] + 1, 0, 0, 0, 0))
    monkeypatch.setattr(os, "stat", lambda _: other)  # a file of somebody else's
    monkeypatch.setattr(os, "fchown", fail_with(errno.EPERM))
    temporary, handle = files._new_temporary(str(path), other)
    mode = stat.S_IMODE(os.fstat(handle).st_mode)
    os.close(handle)
    assert mode == 0o644  # their group's rights are not ours to give


# Several writers


def test_a_writer_leaves_anothers_unfinished_file_alone(tmp_path):
    path = tmp_path / "a"
    with atomic_write(path, "w") as first:
        first.write("first")
        write(path, "second")
        assert path.read_text() == "second"
        assert len(os.listdir(tmp_path)) == 2
    assert path.read_text() == "first"
    assert os.listdir(tmp_path) == ["a"]


def test_two_processes_that_write_one_file(tmp_path):
    code = """
        import sys
        from tinynet.training import checkpoint
        for i in range(40):
            checkpoint.save(sys.argv[1], {"text": "x" * 100_000})
    """
    command = [sys.executable, "-c", textwrap.dedent(code), tmp_path / "c.npz"]
    writers = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert checkpoint.load(tmp_path / "c.npz") == {"text": "x" * 100_000}
    assert os.listdir(tmp_path) == ["c.npz"]


def test_what_a_swept_writer_says(tmp_path):
    with pytest.raises(OSError, match="another program removed the unfinished file"):  # noqa: SIM117
        with atomic_write(tmp_path / "a", "w") as file:
            file.write("x")
            for entry in os.listdir(tmp_path):
                os.remove(tmp_path / entry)


@pytest.mark.parametrize("locks", [True, False])
def test_whose_unfinished_files_are_swept(locks, tmp_path, monkeypatch):
    """Where locks tell nothing, as of another machine, only what is a day old."""
    if not locks:
        monkeypatch.setattr(files.fcntl, "flock", fail_with(errno.ENOLCK))
    here, old_here = dead(tmp_path / "a"), dead(tmp_path / "a")
    monkeypatch.setattr(files, "HOST", "0123abcd")
    there, old_there = dead(tmp_path / "a"), dead(tmp_path / "a")
    monkeypatch.undo()
    if not locks:
        monkeypatch.setattr(files.fcntl, "flock", fail_with(errno.ENOLCK))
    pipe = here.with_name(f".a.{files.HOST}01234567.tmp")
    os.mkfifo(pipe)
    for path in (old_here, old_there):
        os.utime(path, (time.time() - 90_000,) * 2)
    write(tmp_path / "a")
    left = {there.name, pipe.name} | (set() if locks else {here.name})
    assert set(os.listdir(tmp_path)) == {"a"} | left


def test_without_fcntl_the_system_keeps_open_files(tmp_path, monkeypatch):
    """As on Windows, where nothing is locked, and to remove an open file fails."""
    monkeypatch.setattr(files, "fcntl", None)
    stale, remove = dead(tmp_path / "a"), os.remove
    with atomic_write(tmp_path / "a", "w") as file:
        assert not stale.exists()
        monkeypatch.setattr(os, "remove", fail_with(errno.EACCES))
        write(tmp_path / "a", "second")
        monkeypatch.setattr(os, "remove", remove)
        file.write("first")
    assert (tmp_path / "a").read_text() == "first"
    assert os.listdir(tmp_path) == ["a"]


def test_what_is_printable_may_be_cut_and_may_be_an_error():
    assert files.printable("x" * 500, 200) == "x" * 197 + "..."
    assert files.printable(OSError("no")) == "no"
