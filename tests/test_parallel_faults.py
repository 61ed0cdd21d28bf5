"""Programs with workers in which something fails: one sentence, soon, and nothing is left."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tinynet import parallel
from tinynet.parallel import WorkerError, processes

ROOT = Path(__file__).resolve().parent.parent
DEADLINE = 60  # seconds after which something hangs
SHM = Path("/dev/shm")
NOISE = re.compile("leaked|Exception ignored|BrokenPipe|BufferError|Traceback|resource_tracker")

HEAD = """
import os, signal, sys, time
import numpy as np
from tinynet import parallel
from tinynet.parallel import launch
launch.BEAT, launch.GRACE = 0.1, 2.0
def work(*arguments):
    print("pid", os.getpid(), flush=True)
    parallel.barrier()
    rank = parallel.rank
"""
TAIL = """
def main(workers=3, patience=60):
    try:
        print("result", parallel.run(work, workers=workers, patience=patience))
    except RuntimeError as error:
        sys.exit(f"program: {error}")
    except KeyboardInterrupt:
        sys.exit("program: stopped")
if __name__ == "__main__":
"""


class Program:
    """A program that is written to a file and started, in a process group of its own."""

    def __init__(self, folder, body, main="main()", text=None, options=()):
        body = "".join(f"    {line}\n" for line in body.splitlines())
        self.file = folder / "program.py"
        self.file.write_text(text or f"{HEAD}{body}{TAIL}    {main}\n")
        self.before = shared_memories()
        self.output, self.errors = folder / "out", folder / "err"
        with open(self.output, "w") as out, open(self.errors, "w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", *options, self.file],
                stdout=out,
                stderr=err,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )

    def pids(self, count):
        """Those that the workers have told, once there are so many."""
        until = time.monotonic() + DEADLINE
        while len(found := re.findall(r"^pid (\d+)$", self.output.read_text(), re.M)) < count:
            assert time.monotonic() < until and self.process.poll() is None, self.text()
            time.sleep(0.01)
        return [int(pid) for pid in found]

    def text(self):
        return self.output.read_text() + self.errors.read_text()

    def end(self):
        """The last line on stderr, when the program has ended; nothing of it may be left."""
        try:
            status = self.process.wait(DEADLINE)
            assert status != 0, self.text()
            until = time.monotonic() + DEADLINE
            while members := members_of(self.process.pid):
                assert time.monotonic() < until, f"{members} are left: {self.text()}"
                time.sleep(0.02)
        finally:
            end_group(self.process.pid)
        assert not left_behind(self.before)
        return self.errors.read_text().strip()

    def sentence(self):
        text = self.end()
        assert not NOISE.search(text) and len(text.splitlines()) == 1, text
        return text


def members_of(group):
    """The processes of a group that still run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, their_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(their_group) == group and state != "Z":
            found.append(int(folder.name))
    return found


def end_group(group):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def shared_memories():
    return set(SHM.glob("psm_*"))


def left_behind(before):
    """Shared memory that no process uses: other programs may have some of their own."""
    until = time.monotonic() + 5
    while new := {f for f in shared_memories() - before if not is_in_use(f)}:
        if time.monotonic() > until:
            return new
        time.sleep(0.05)
    return new


def is_in_use(file):
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            if file.name in maps.read_text():
                return True
    return False


WAIT = "while True: parallel.barrier(); time.sleep(0.001)"


@pytest.mark.parametrize(
    ("body", "main", "words"),
    [
        ("if rank == 1: raise KeyError('x')\n" + WAIT, "main()", "worker 1: KeyError: 'x'"),
        ("if rank == 2: raise ValueError('two\\nlines')\n" + WAIT, "main()", "worker 2: two lines"),
        ("assert rank\n" + WAIT, "main()", "worker 0: AssertionError"),
        ("if rank == 0: raise MemoryError\n" + WAIT, "main()", "worker 0: out of memory .*lower"),
        ("if rank == 1: sys.exit('a text')\n" + WAIT, "main()", "worker 1: a text"),
        ("if rank == 1: sys.exit(0)\n" + WAIT, "main()", r"worker 1: ended by exit\(0\)"),
        ("if rank == 1: os._exit(3)\n" + WAIT, "main()", "worker 1 ended with exit status 3 and"),
        ("if rank == 1: os.kill(os.getpid(), 9)\n" + WAIT, "main()", "worker 1 was killed by SIGK"),
        ("if rank == 1: os.kill(os.getpid(), 15)\n" + WAIT, "main()", "worker 1: ended by SIGTERM"),
        ("if rank == 1: os.abort()\n" + WAIT, "main()", "worker 1 was killed by SIGABRT"),
        ("if rank == 1: time.sleep(99)\n" + WAIT, "main(3, 0.5)", "worker 1 is stuck: .* 0.5 s"),
        ("if rank != 1: parallel.barrier()", "main()", "worker 1 has finished while worker"),
        (
            "parallel.all_reduce(np.zeros(1 + rank // 2))",
            "main()",
            "worker . brought (16|8) bytes where worker . brought (8|16)",
        ),
        (
            "parallel.run(print, workers=2)",
            "main()",
            "worker .: parallel.run was called in worker . of 3",
        ),
        ("return lambda: 3", "main()", "worker 0: .*(pickle|local object)"),
        ("raise KeyboardInterrupt", "main()", "worker .: KeyboardInterrupt"),
    ],
)
def test_one_sentence_says_what_happened(tmp_path, body, main, words):
    assert re.search(f"^program: {words}", Program(tmp_path, body, main).sentence())


def test_a_worker_that_is_stopped_is_given_up(tmp_path):
    program = Program(tmp_path, WAIT, "launch.SILENT = 5\n    main()")
    os.kill(program.pids(3)[1], signal.SIGSTOP)
    assert re.search("^program: worker . is stuck: it has not run", program.sentence())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("to_all", [True, False])
def test_stopped_from_outside(tmp_path, number, to_all):
    program = Program(tmp_path, WAIT)
    program.pids(3)
    (os.killpg if to_all else os.kill)(program.process.pid, number)
    line = program.sentence()
    assert line == "program: stopped" or to_all and line.endswith("ended by SIGTERM")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", [0.0, 0.02, 0.1, 0.3])
def test_stopped_while_the_workers_are_starting(tmp_path, moment, number):
    main = "print('pid', os.getpid(), flush=True)\n    main()"
    program = Program(tmp_path, WAIT, main)
    program.pids(1)
    time.sleep(moment)
    os.killpg(program.process.pid, number)
    assert "stopped" in program.sentence() or number == signal.SIGTERM


def test_workers_leave_when_their_parent_is_killed(tmp_path):
    program = Program(tmp_path, WAIT)
    program.pids(3)
    program.process.kill()
    assert program.end() == ""


def test_a_worker_killed_while_all_others_compute(tmp_path):
    program = Program(tmp_path, "while True: time.sleep(0.01)")
    os.kill(program.pids(3)[2], signal.SIGKILL)
    assert re.search("^program: worker . was killed by SIGKILL", program.sentence())


def test_a_program_without_a_guard(tmp_path):
    text = "from tinynet import parallel\nparallel.run(print, workers=2)\n"
    line = Program(tmp_path, "", text=text).end().splitlines()[-1]
    assert 'put the call under `if __name__ == "__main__":`' in line


PLAIN = """
from tinynet import parallel
def work(): pass
if __name__ == "__main__":
    parallel.run(work, workers=2)
"""


@pytest.mark.parametrize("how", [["-c", PLAIN], ["-"], []])
def test_a_program_that_workers_cannot_import(how):
    command = [sys.executable, *how]
    text = PLAIN if how[:1] != ["-c"] else ""
    done = subprocess.run(
        command,
        input=text,
        text=True,
        capture_output=True,
        timeout=DEADLINE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 1 and done.stderr.count("Traceback") == 1, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert re.search("WorkerError: .*(top level of a file|put it in a file)$", last)


def test_functions_that_cannot_be_sent():
    for function in (lambda: 3, (lambda: [lambda: 3])()[0]):
        with pytest.raises(WorkerError, match="cannot be sent .*top level of a file"):
            parallel.run(function, workers=2)
    with pytest.raises(WorkerError, match="cannot be sent .*top level of a file"):
        parallel.run(print, open(os.devnull), workers=2)  # noqa: SIM115


def test_too_little_shared_memory(monkeypatch):
    files = []

    def full(fd, *_):
        files.append(Path(os.readlink(f"/proc/self/fd/{fd}")))
        assert files[0].exists()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(processes.os, "posix_fallocate", full)
    with pytest.raises(WorkerError, match="shared memory .*No space left.*make room in /dev/shm"):
        parallel.run(print, workers=2)
    assert len(files) == 1 and not files[0].exists()


@pytest.mark.parametrize(
    ("started", "words"),
    [(0, "cannot get shared memory for 3 workers"), (1, "cannot start worker 0"), (3, "worker 2")],
)
def test_processes_that_cannot_be_started(tmp_path, started, words):
    """The first process that is started keeps an eye on the shared memory."""
    patch = f"""
def fail(*arguments, start=launch.multiprocessing.util.spawnv_passfds, started=[]):
    started.append(1)
    if len(started) > {started}:
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return start(*arguments)
"""
    main = "launch.multiprocessing.util.spawnv_passfds = fail\n    main()"
    line = Program(tmp_path, "", text=f"{HEAD}{patch}{TAIL}    {main}\n").sentence()
    assert words in line and "(Resource temporarily unavailable)" in line
