"""Writing that fails: full disks, folders that cannot be written, kills at any moment."""

import errno
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from tinynet.training import CheckpointError, atomic_write, checkpoint

TREE = {"text": "new", "w": np.arange(1000)}


def load_text(path):
    return checkpoint.load(path)["text"]


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "run.npz"
    checkpoint.save(path, {"text": "old", "w": np.zeros(3)})
    return path


def assert_one_sentence(error, path):
    assert path.name in str(error.value)
    assert "\n" not in str(error.value)


def fail_with(code):
    def fail(*_, **__):
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("function", ["replace", "fsync"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_a_failed_save_keeps_the_old_checkpoint(function, code, saved, monkeypatch):
    path = saved
    monkeypatch.setattr(os, function, fail_with(code))
    with pytest.raises(CheckpointError, match=f"cannot write .*{os.strerror(code)}") as error:
        checkpoint.save(path, TREE)
    assert_one_sentence(error, path)
    assert os.listdir(path.parent) == [path.name]
    assert load_text(path) == "old"


def test_a_full_disk_while_writing(saved, monkeypatch):
    path = saved
    monkeypatch.setattr(np.lib.format, "write_array", fail_with(errno.ENOSPC))
    with pytest.raises(CheckpointError, match="No space left"):
        checkpoint.save(path, TREE)
    monkeypatch.undo()
    assert os.listdir(path.parent) == [path.name]
    assert load_text(path) == "old"


@pytest.mark.parametrize("name", ["missing/run.npz", "file/run.npz", "folder"])
def test_a_place_that_cannot_be_written(name, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "folder").mkdir()
    with pytest.raises(CheckpointError, match="cannot write") as error:
        checkpoint.save(tmp_path / name, TREE)
    assert_one_sentence(error, tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == "not a folder"


KILLER = """
    import os, random, signal, sys, time
    import numpy as np
    from tinynet.training import checkpoint

    path, folder = sys.argv[1], os.path.dirname(sys.argv[1])

    def tree(i):
        return {"i": i, "arrays": [np.full(20_000, i + k) for k in range(5)]}

    def kill_self(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    def killed_child(body):
        pid = os.fork()
        if pid == 0:
            try:
                body()
            finally:
                os._exit(1)
        return pid

    def save_for_ever():
        i = random.randrange(10**6)
        while True:
            i += 1
            checkpoint.save(path, tree(i))

    def check(pid):
        _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status), status
        loaded = checkpoint.load(path)
        for k, array in enumerate(loaded["arrays"]):
            assert array.shape == (20_000,) and (array == loaded["i"] + k).all()
        assert len(loaded["arrays"]) == 5
        return len(os.listdir(folder)) - 1  # what the dead left behind

    checkpoint.save(path, tree(0))
    stale = []
    for module, name in [(os, "fsync"), (os, "replace"), (np.lib.format, "write_array")]:
        def body():
            setattr(module, name, kill_self)
            checkpoint.save(path, tree(1))
        stale.append(check(killed_child(body)))
    assert stale == [1, 1, 1], stale
    assert checkpoint.load(path)["i"] == 0
    for _ in range(25):
        pid = killed_child(save_for_ever)
        time.sleep(random.uniform(0, 0.03))
        os.kill(pid, signal.SIGKILL)
        stale.append(check(pid))
    assert max(stale) == 1, stale
    checkpoint.save(path, tree(5))
    assert os.listdir(folder) == [os.path.basename(path)], os.listdir(folder)
    print("survived")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
def test_a_kill_at_any_moment_leaves_a_checkpoint_that_loads(tmp_path):
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLER), str(tmp_path / "run.npz")],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "survived\n", done.stderr


# atomic_write, for files of any kind


def test_atomic_write_shows_the_file_only_when_it_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_write(path, "w") as file:
        file.write("1\r\n\u00e9")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == b"1\r\n\xc3\xa9"
    with pytest.raises(KeyboardInterrupt), atomic_write(path, "w") as file:
        file.write("half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"1\r\n\xc3\xa9"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_atomic_write_sweeps_its_own_stale_files_and_no_others(tmp_path):
    stale = {".a.0123abcd.tmp", ".a.ffffffff.tmp"}
    others = {"a.tmp", ".a.b.0123abcd.tmp", ".a.0123.tmp", ".b.0123abcd.tmp", ".a.0123abcd.tmp~"}
    for name in stale | others:
        (tmp_path / name).write_text("")
    with atomic_write(tmp_path / "a", "w") as file:
        file.write("new")
    assert set(os.listdir(tmp_path)) == others | {"a"}


def test_atomic_write_writes_through_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real" / "a")
    with atomic_write(tmp_path / "link", "w") as file:
        file.write("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a").read_text() == "new"


def test_a_new_file_may_be_read_by_whom_the_umask_lets(tmp_path):
    before = os.umask(0o022)
    try:
        with atomic_write(tmp_path / "a") as file:
            file.write(b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644
