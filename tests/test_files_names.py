"""Files of odd names, writes that fail, and sentences that any terminal can show."""

import errno
import os
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from test_files import ROOT, dead, fail_with, write

from tinynet.files import atomic_write, printable
from tinynet.training import CheckpointError, History, checkpoint

BYTES = os.fsdecode(b"caf\xe9")  # a name in Latin-1: no UTF-8


def in_a_process(body, *arguments, **options):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(body), *map(os.fsencode, arguments)],
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        **options,
    )


# Names

NAMES = (
    *("a", ".hidden", "a b", "x" * 255, "\u00e9" * 127, "line\nbreak\r", "tab\t", "-rf", "~"),
    *("a.*", "[a]", "a+(b|c)$", "a\\d", "%s{}", BYTES, "\u202egnp.exe", "a.0123abcd.tmp"),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_any_name(name, tmp_path):
    path = tmp_path / name
    for text in ("old", "new"):
        stale = dead(path)
        write(path, text)
        assert path.read_text() == text and not stale.exists()
    assert os.listdir(tmp_path) == [name]
    checkpoint.save(path, {"a": name})
    assert checkpoint.load(path) == {"a": name}
    write(os.fsencode(path), "bytes")
    assert path.read_text() == "bytes"


@pytest.mark.parametrize("name", NAMES)
def test_a_sentence_about_any_name(name, tmp_path):
    folder = tmp_path / name
    folder.mkdir()
    for function in (write, checkpoint.load, History.read_csv):
        with pytest.raises((OSError, CheckpointError, ValueError)) as error:
            function(folder)
        str(error.value).encode()  # no lone surrogates
        assert str(error.value).isprintable() and "it is a folder" in str(error.value)


def test_links(tmp_path):
    (tmp_path / "real").mkdir()
    for name, target in (("new", "real/new"), ("lost", "nowhere/x"), ("loop", "loop")):
        (tmp_path / name).symlink_to(tmp_path / target)
    write(tmp_path / "new")
    assert (tmp_path / "real" / "new").read_text() == "new"
    for name, words in (("lost", "existing, writable folder"), ("loop", "choose another place")):
        with pytest.raises(OSError, match=words):
            write(tmp_path / name)
    assert all((tmp_path / name).is_symlink() for name in ("new", "lost", "loop"))
    assert sorted(os.listdir(tmp_path)) == ["loop", "lost", "new", "real"]


# Sentences


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "make room, or choose another disk"),
        (errno.EDQUOT, "make room, or choose another disk"),
        (errno.EIO, "choose another place"),
        (errno.EPERM, "the file there is protected or in use by another program; choose another n"),
        (errno.EBUSY, "the file there is protected or in use by another program; choose another n"),
    ],
)
def test_the_reason_and_what_to_do(code, advice, there, tmp_path, monkeypatch):
    if there:
        write(tmp_path / "a", "old")
    monkeypatch.setattr(os, "replace", fail_with(code))
    with pytest.raises(OSError) as error:
        write(tmp_path / "a")
    said = str(error.value)
    assert said.startswith(f"cannot write {tmp_path / 'a'} ({os.strerror(code)}); {advice}")
    assert said.endswith("; the file there stays as it was") == there
    assert os.listdir(tmp_path) == ["a"] * there


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("missing/a", "existing, writable folder"),
        ("file/a", "existing, writable folder"),
        ("x" * 256, "shorter name"),
        ("a\0b", "zero byte"),
    ],
)
def test_impossible_paths(path, words, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=words):
        write(os.path.join(tmp_path, path))
    assert os.listdir(tmp_path) == ["file"]


def test_an_error_that_is_not_about_this_file(tmp_path):
    with pytest.raises(OSError, match=r"No such file or directory: .*input\)$"):  # noqa: SIM117
        with atomic_write(tmp_path / "a"):
            (tmp_path / "folder" / "input").read_text()


def as_nobody(function):
    """Run a function in a process that is not root; returns what it prints."""
    read, written = os.pipe()
    child = os.fork()
    if not child:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            os.write(written, str(function()).encode())
        finally:
            os._exit(0)
    os.close(written)
    os.waitpid(child, 0)
    with open(read) as file:
        return file.read()


def test_a_folder_that_cannot_be_written(tmp_path):
    path = Path(os.path.realpath("/tmp")) / f"tinynet-test-{os.getpid()}"
    path.mkdir()

    def attempt():
        try:
            write(path / "a")
        except OSError as error:
            return error

    try:
        write(path / "a", "old")
        path.chmod(0o555)
        said = as_nobody(attempt)
        assert f"cannot write {path / 'a'} (Permission denied)" in said
        assert "existing, writable folder; the file there stays as it was" in said
        assert (path / "a").read_text() == "old" and os.listdir(path) == ["a"]
    finally:
        path.chmod(0o755)
        os.remove(path / "a")
        path.rmdir()


def test_a_disk_that_is_full_in_the_middle(tmp_path):
    """A limit to the size of a file stops a writer just as a full disk does."""
    write(tmp_path / "a", "old")
    code = """
        import sys
        from tinynet.files import atomic_write
        try:
            with atomic_write(sys.argv[1]) as file:
                for _ in range(1000):
                    file.write(bytes(100_000))
        except OSError as error:
            sys.exit(str(error))
    """

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    done = in_a_process(code, tmp_path / "a", preexec_fn=limit)
    assert done.returncode == 1
    assert done.stderr.decode().startswith(f"cannot write {tmp_path / 'a'} (File too large)")
    assert (tmp_path / "a").read_text() == "old" and os.listdir(tmp_path) == ["a"]


# Text that can be printed


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, \u00e9 and \u4e2d", "plain text, \u00e9 and \u4e2d"),
        ("two\nlines\r\t", "two\\nlines\\r\\t"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        (BYTES, "caf\\udce9"),
        ("\u202ebackwards\u2028", "\\u202ebackwards\\u2028"),
        (Path("a/b"), "a/b"),
        ("", ""),
    ],
)
def test_printable(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "cp437"])
def test_a_sentence_can_be_printed_on_any_terminal(encoding, tmp_path):
    code = """
        import sys
        from tinynet.files import atomic_write
        try:
            with atomic_write(sys.argv[1]):
                pass
        except OSError as error:
            print(error)  # stdout is strict
    """
    path = tmp_path / (BYTES + "\u00e9\u4e2d\n")
    path.mkdir()
    done = in_a_process(code, path, env={**os.environ, "PYTHONIOENCODING": encoding})
    assert done.returncode == 0, done.stderr
    said = done.stdout.decode(encoding)
    assert said.count("\n") == 1 and "caf\\udce9" in said and "it is a folder" in said
    assert ("\u00e9" in said) == (encoding != "ascii")
