"""The folder of a training: whose it is, one run at a time, and nothing lost in it."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tinynet import files
from tinynet.files import atomic_write
from tinynet.training import folder as module
from tinynet.training.folder import FILES, drop_earlier, run_folder

ROOT = Path(__file__).resolve().parent.parent
BYTES = os.fsdecode(b"caf\xe9")


def fill(folder, text="old", names=FILES):
    for name in names:
        (folder / name).write_text(text)


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def refusal(out, **options):
    with pytest.raises(ValueError) as error, run_folder(out, **options):
        raise AssertionError("nothing was refused")
    assert str(error.value).isprintable()
    return str(error.value)


# What is made, and removed


@pytest.mark.parametrize("name", ["run", "a/b/run", "a/../run", BYTES, "line\nbreak", "-x", "a/~"])
@pytest.mark.parametrize("ends", [None, KeyboardInterrupt, ValueError])
def test_what_a_run_made_and_left_empty_is_removed(name, ends, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        with run_folder(name) as folder:
            assert folder.is_absolute() and folder.is_dir()
            assert os.path.samefile(folder, name if "a/.." not in name else "run")
            if ends:
                raise ends
    except (KeyboardInterrupt, ValueError) as error:
        assert type(error) is ends  # noqa: PT017
    assert os.listdir(tmp_path) == []


def test_what_holds_something_stays(tmp_path):
    (tmp_path / "mine").mkdir()
    with run_folder(tmp_path / "mine" / "a" / "run") as folder:
        (folder.parent / "note").write_text("")
    assert os.listdir(tmp_path / "mine" / "a") == ["note"]
    with run_folder(tmp_path / "mine" / "a" / "run") as folder:
        fill(folder)
        assert sorted(os.listdir(folder)) == sorted([*FILES, ".training.lock"])
    assert contents(folder) == dict.fromkeys(FILES, "old")


@pytest.mark.parametrize("ends", [False, True])
def test_an_empty_folder_of_ones_own_stays(ends, tmp_path):
    (tmp_path / "mine").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    for out in ("mine", "link"):
        try:
            with run_folder(tmp_path / out):
                if ends:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            assert ends
    assert sorted(os.listdir(tmp_path)) == ["link", "mine"]
    assert (tmp_path / "mine").stat().st_mode & 0o777 == 0o700


def test_the_path_holds_wherever_the_program_goes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    with run_folder("run") as folder:
        monkeypatch.chdir(tmp_path / "elsewhere")
        fill(folder)
    assert sorted(os.listdir(tmp_path / "run")) == sorted(FILES)
    assert os.listdir(tmp_path / "elsewhere") == []


def test_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for out, expected in {"~/run": "home/run", "~": "home", "./~": "~", "./~/x": "~/x"}.items():
        with run_folder(out) as folder:
            assert folder == tmp_path / expected
    assert os.listdir(tmp_path) == []
    assert "write ./~nobody-here/x" in refusal("~nobody-here/x")


@pytest.mark.parametrize("out", ["", "a\0b"])
def test_what_is_no_name(out):
    assert "--out: expected the name of a folder" in refusal(out)


def test_a_program_whose_own_folder_is_gone(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert "give an absolute path" in refusal("run")
    with run_folder(tmp_path / "run"):
        pass


# What is refused, before anything has changed


def test_resume_and_overwrite():
    assert "exclude each other" in refusal("x", resume=True, overwrite=True)


def test_nothing_to_resume(tmp_path):
    for out in ("missing", "mine"):
        said = refusal(tmp_path / out, resume=True)
        assert said.startswith(f"--resume: there is no checkpoint.npz in {tmp_path / out}; leave ")
        assert not (tmp_path / "missing").exists()
        (tmp_path / "mine").mkdir(exist_ok=True)
    assert os.listdir(tmp_path / "mine") == []


@pytest.mark.parametrize("names", [FILES, FILES[:1], FILES[1:], FILES[2:3]])
def test_an_earlier_training(names, tmp_path):
    fill(tmp_path, names=names)
    said = refusal(tmp_path)
    assert f"{tmp_path} holds a training already" in said and "--overwrite" in said
    assert ("--resume" in said) == ("checkpoint.npz" in names)
    for options in ({"resume": True}, {"overwrite": True}):
        if "checkpoint.npz" in names or "overwrite" in options:
            with pytest.raises(KeyboardInterrupt), run_folder(tmp_path, **options):
                raise KeyboardInterrupt
        assert contents(tmp_path) == dict.fromkeys(names, "old")


def test_overwriting_drops_what_the_new_run_has_not_written(tmp_path):
    fill(tmp_path)
    (tmp_path / "mine.txt").write_text("mine")
    with run_folder(tmp_path, overwrite=True) as folder:
        with atomic_write(folder / "checkpoint.npz", "w") as file:
            file.write("new")
        drop_earlier(folder)
    assert contents(tmp_path) == {"checkpoint.npz": "new", "mine.txt": "mine"}


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/null")])
@pytest.mark.parametrize("name", FILES)
def test_what_stands_where_a_file_goes(name, make, tmp_path):
    fill(tmp_path, names=FILES[:1])
    (tmp_path / name).unlink(missing_ok=True)
    make(tmp_path / name)
    signal.alarm(30)
    try:
        for options in ({}, {"resume": True}, {"overwrite": True}):
            said = refusal(tmp_path, **options)
            assert f"--out: {name} in {tmp_path} cannot be written (it is a " in said
    finally:
        signal.alarm(0)
    assert (tmp_path / name).exists() and not (tmp_path / name).is_file()


def test_a_link_to_nowhere_where_a_file_goes(tmp_path):
    (tmp_path / "curves.png").symlink_to(tmp_path / "nowhere" / "curves.png")
    assert "curves.png in" in refusal(tmp_path, overwrite=True)


def test_a_place_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for out in ("file", "file/run", "link", "made/" + "x" * 256):
        said = refusal(tmp_path / out)
        assert said.startswith("--out: cannot make the folder")
        assert said.endswith("choose a writable place")
    assert sorted(os.listdir(tmp_path)) == ["file", "link"]


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def denied(path, *_, **__):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "open", denied)
    said = refusal(tmp_path / "run")
    assert "cannot be written (Permission denied); choose a writable place" in said
    assert os.listdir(tmp_path) == []


# One run at a time


def test_a_folder_in_use(tmp_path):
    with run_folder(tmp_path / "run") as folder:
        for options in ({}, {"overwrite": True}):
            said = refusal(tmp_path / "run", **options)
            assert "--out: another run is at work in" in said
            assert os.listdir(folder) == [".training.lock"]
        fill(folder)
        assert "another run is at work" in refusal(folder, resume=True)
    with run_folder(folder, resume=True):
        pass
    assert contents(folder) == dict.fromkeys(FILES, "old")


def test_runs_that_start_together(tmp_path):
    """One works, the others are refused; none takes the folder away."""
    code = """
        import sys
        from tinynet.training.folder import run_folder
        try:
            with run_folder(sys.argv[1]) as folder:
                (folder / "checkpoint.npz").write_text("x")
                sys.stdin.read()
        except ValueError as error:
            sys.exit(str(error))
    """
    command = [sys.executable, "-c", textwrap.dedent(code), tmp_path / "a" / "run"]
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    runs = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(5)]
    deadline = time.monotonic() + 60
    while sum(run.poll() is None for run in runs) > 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    said = [run.communicate()[1] for run in runs]
    assert sorted(run.returncode for run in runs) == [0, 1, 1, 1, 1]
    assert all("another run is at work in" in text for text in said if text)
    assert contents(tmp_path / "a" / "run") == {"checkpoint.npz": "x"}


def test_a_run_that_was_killed_is_in_nobodys_way(tmp_path):
    code = """
        import os, signal, sys
        from tinynet.files import atomic_write
        from tinynet.training.folder import run_folder
        with run_folder(sys.argv[1]) as folder:
            for name in ("checkpoint.npz", "curves.png"):
                with atomic_write(folder / name) as file:
                    if name == "curves.png":
                        os.kill(os.getpid(), signal.SIGKILL)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), tmp_path]
    assert subprocess.run(command, cwd=ROOT).returncode == -signal.SIGKILL
    assert len(os.listdir(tmp_path)) == 3  # checkpoint, lock and what was to become the picture
    with run_folder(tmp_path, resume=True):
        assert sorted(os.listdir(tmp_path)) == [".training.lock", "checkpoint.npz"]
    assert os.listdir(tmp_path) == ["checkpoint.npz"]


def test_what_a_killed_worker_left_goes_with_the_run(tmp_path):
    with run_folder(tmp_path) as folder:
        _, handle = files._new_temporary(str(folder / "curves.png"), None)
        os.close(handle)
    assert os.listdir(tmp_path) == []


def test_where_the_file_system_knows_no_locks(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(files.fcntl, "flock", unsupported)
    with run_folder(tmp_path) as folder, run_folder(tmp_path):
        fill(folder)
    assert contents(tmp_path) == dict.fromkeys(FILES, "old")


def test_as_on_windows(tmp_path, monkeypatch):
    """There a lock is a region of a file, and a file can be removed once it is closed."""
    held, steps = [], []
    monkeypatch.setattr(files, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", FakeMsvcrt(held))
    remove, close = os.unlink, os.close
    monkeypatch.setattr(os, "unlink", lambda path: (steps.append("remove"), remove(path)))
    monkeypatch.setattr(os, "close", lambda handle: (steps.append("close"), close(handle)))
    folder = module._absolute(str(tmp_path), "")
    with module.contextlib.ExitStack() as stack:
        module._hold(folder, "run", stack)
        with pytest.raises(ValueError, match="another run is at work"):
            module._hold(folder, "run", stack)
        steps.clear()
    assert steps == ["close", "remove"] and held and os.listdir(tmp_path) == []


class FakeMsvcrt:
    LK_NBLCK = 2

    def __init__(self, held):
        self.held = held

    def locking(self, handle, mode, size):
        if self.held:
            raise OSError(13, "Permission denied")
        self.held.append(handle)
