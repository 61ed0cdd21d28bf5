"""Workers that mpiexec starts: real processes, whose sums are those of the shared memory."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from needs import lacking

from tinynet import parallel
from tinynet.parallel import mpi
from tinynet.training import checkpoint

ROOT = Path(__file__).parent.parent
MPIEXEC = Path(sys.executable).parent / "mpiexec"
TRAINING = ("--dataset", "shapes", "--per-class", "2", "--val-per-class", "1", "--width", "0.05")
TRAINING += ("--batch-size", "12", "--epochs")

pytestmark = pytest.mark.cpu_only


def start(count, *command, **environment):
    """A program under mpiexec, from which it can be ended with all that it has started."""
    if not MPIEXEC.exists():
        lacking("mpiexec", 'pip install -e ".[mpi]"')
    clean = {n: v for n, v in os.environ.items() if not n.startswith(("PMI_", "OMPI_", "MPI_"))}
    environment = {**clean, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.Popen(
        [MPIEXEC, "-n", str(count), sys.executable, *map(str, command)],
        cwd=ROOT,
        env=environment,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(process):
    """Exit status, stdout and what was said on stderr, by line. A hang fails."""
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, out, err.splitlines()


def run(count, *command, **environment):
    return finish(start(count, *command, **environment))


# what workers do here; this file is the program, too


def bits():
    """A digest of many sums, of every worker, and of broadcasts."""
    rng = np.random.default_rng(parallel.rank)
    sizes = (1, 7, 5000, 100_003, 700_001)  # the last is more than one piece
    arrays = [rng.standard_normal(size).astype(kind) for size in sizes for kind in "fd"]
    arrays += [
        np.asfortranarray(rng.standard_normal((30, 41))),
        np.empty(0),
        rng.integers(0, 9, 50),
    ]
    finishing = [parallel.current().begin(*arrays[start::3]) for start in range(3)]
    for each in reversed(finishing):
        each()
    digest = hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
    return [parallel.broadcast(digest, root) for root in range(parallel.size)]


def large():
    """150 MB from worker 1 to all."""
    value = np.arange(150_000_000 // 8) if parallel.rank == 1 else None
    received = parallel.broadcast(value, root=1)
    last = np.array([received[-1] if received.flags.writeable else 0])
    parallel.all_reduce(last)
    return int(last[0])


def names_in_memory():
    """The shared memory that this process has open, and how much of it still has a name."""
    names = set(re.findall(r"/dev/shm/mpich\w+", Path("/proc/self/maps").read_text()))
    return len(names), sum(map(os.path.exists, names))


def early():
    """Not called: worker 0 leaves before."""


def go_wrong(how):
    parallel.barrier()
    if parallel.rank == 1:
        if how == "raise":
            raise ValueError("there is no such thing")
        if how == "exit":
            sys.exit("enough of it")
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "sleep":
            time.sleep(60)
        if how == "longer":
            parallel.all_reduce(np.zeros(300_000))
        if how == "shorter":
            parallel.all_reduce(np.zeros(3))
        if how == "float32":
            parallel.all_reduce(np.zeros(8, np.float32))
    parallel.all_reduce(np.zeros(4))
    if how == "stop":
        if parallel.rank == 0:
            print("running", flush=True)
        time.sleep(60)


def main(what, *arguments):
    if what == "early" and parallel.is_first():
        sys.exit("not even begun")
    try:
        result = parallel.run(
            globals()[what], *arguments, patience=0.5 if what == "go_wrong" else 30
        )
    except KeyboardInterrupt:
        sys.exit("stopped by hand")
    if result is not None:
        print(result)


@pytest.mark.parametrize("workers", [2, 3])
def test_the_bits_are_those_of_the_shared_memory(workers):
    status, out, err = run(workers, __file__, "bits")
    assert (status, err) == (0, [])
    digests = parallel.run(bits, workers=workers)
    assert len(set(digests)) == 1
    assert out.strip() == str(digests)  # by rank 0 alone


def test_a_large_broadcast():
    status, out, err = run(2, __file__, "large")
    assert (status, err) == (0, [])
    assert int(out) == 2 * (150_000_000 // 8 - 1)


OTHER = (
    "worker 1 brought other arrays than worker 0, which has 4 numbers of float64; all workers must "
    "make the same calls in the same order"
)
FAILURES = {
    "raise": "worker 1: there is no such thing",
    "exit": "worker 1: enough of it",
    "sleep": "worker 1 is stuck: the others have waited for it for 0.5 s",
    "longer": OTHER,
    "shorter": OTHER,
    "float32": OTHER,
}


@pytest.mark.parametrize("how", FAILURES)
def test_one_sentence_and_all_end(how):
    assert run(2, __file__, "go_wrong", how) == (1, "", [FAILURES[how]])


@pytest.mark.skipif(sys.platform != "linux", reason="about /dev/shm")
def test_nothing_is_left_in_shared_memory():
    assert run(2, __file__, "names_in_memory") == (0, "(1, 0)\n", [])


def test_a_killed_worker_ends_all():
    status, _, _ = run(3, __file__, "go_wrong", "kill")  # mpiexec says that it was killed
    assert status


def test_a_program_that_ends_before_all_are_there():
    assert run(2, __file__, "early") == (1, "", ["not even begun"])


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_stopped_by_hand(sent):
    process = start(2, __file__, "go_wrong", "stop")
    assert process.stdout.readline() == "running\n"
    process.send_signal(sent)
    status, _, err = finish(process)
    assert status and err == ["stopped by hand"]


def test_a_training_equals_that_by_shared_memory(tmp_path):
    command = ("train_cifar100.py", *TRAINING, "1", "--out")
    status, out, err = run(2, *command, tmp_path / "mpi")
    assert (status, err) == (0, []) and out.count("test accuracy") == 1
    shared = [sys.executable, *command, tmp_path / "shared", "--workers", "2"]
    subprocess.run(shared, cwd=ROOT, check=True, capture_output=True)
    ours, theirs = (checkpoint.load(tmp_path / n / "checkpoint.npz") for n in ("mpi", "shared"))
    assert ours["model"].keys() == theirs["model"].keys()
    assert all(np.array_equal(ours["model"][name], theirs["model"][name]) for name in ours["model"])


def test_a_training_is_stopped_and_resumed_by_another_number(tmp_path):
    command = ("train_cifar100.py", *TRAINING, "2", "--out", tmp_path)
    process = start(2, *command)
    assert process.stdout.readline().startswith("epoch 1/2")
    process.send_signal(signal.SIGTERM)
    status, _, err = finish(process)
    stopped = "train_cifar100.py: stopped and saved; go on with --resume"
    assert (status, err) == (1, [stopped])

    status, out, err = run(3, *command, "--resume")
    assert (status, err) == (0, []) and "epoch 1/2" not in out and "epoch 2/2" in out
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 3


def test_other_options_in_one_worker(tmp_path):
    """mpiexec takes another command for some of its processes."""
    command = ("train_cifar100.py", *TRAINING, "1", "--out", tmp_path / "out")
    other = (":", "-n", "1", sys.executable, *command, "--lr", "0.1")
    sentence = "worker 1: lr is 0.1 here and 0.4 in worker 0; start all workers alike"
    assert run(1, *command, *other) == (1, "", [sentence])
    left = list((tmp_path / "out").iterdir()) if (tmp_path / "out").exists() else []
    assert [path.name for path in left] in ([], [".training.lock"])  # of a rank that was ended


def test_one_process_is_no_worker():
    status, out, err = run(1, "-c", "from tinynet import parallel; print(parallel.started())")
    assert (status, out, err) == (0, "1\n", [])


def test_without_mpi4py(tmp_path):
    (tmp_path / "mpi4py.py").write_text("raise ImportError('no mpi4py here')")
    path = os.pathsep.join((str(tmp_path), str(ROOT)))
    status, _, err = run(2, "train_cifar100.py", *TRAINING, "1", PYTHONPATH=path)
    assert status and len(err) == 1 and err[0].startswith("train_cifar100.py: mpiexec has started")
    assert "needs mpi4py for it (no mpi4py here)" in err[0]
    assert 'pip install -e ".[mpi]"' in err[0]


def test_mpi4py_of_another_mpi():
    code = "from tinynet.parallel import mpi; print(mpi.rank())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert re.search("started 2 processes, but mpi4py finds 1: they belong to", done.stderr)


@pytest.mark.parametrize(
    ("variables", "count"),
    [
        ({}, 1),
        ({"PMI_SIZE": "4"}, 4),
        ({"OMPI_COMM_WORLD_SIZE": "3"}, 3),
        ({"SLURM_STEP_NUM_TASKS": "5"}, 1),  # a batch script has it, too
        ({"SLURM_STEP_NUM_TASKS": "5", "PMIX_RANK": "2"}, 5),  # srun --mpi=pmix
        ({"PMI_SIZE": "many"}, 1),
    ],
)
def test_who_has_started_us(monkeypatch, variables, count):
    for name in (*mpi.SIZES, *mpi.RANKS, "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert mpi.processes() == count


if __name__ == "__main__":
    main(*sys.argv[1:])
