"""The training script with workers, and stopped at any moment.

python tests/test_parallel_script.py 30    # so many signals, at random moments, to each recipe
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

FILM = {"film.npz", "film.html"}  # written only if asked for
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # for those who run this file by itself

import mobilenet  # noqa: E402
import tinynet as tn  # noqa: E402
from tinynet.training import checkpoint  # noqa: E402
from tinynet.training.folder import FILES  # noqa: E402

TINY = (
    *("--dataset", "shapes", "--per-class", "2", "--val-per-class", "1", "--network", "shallow"),
    *("--width", "0.05", "--batch-size", "25", "--epochs", "2", "--lr", "1e-5"),
    *("--batchnorm", "sync"),
)


def command(out, *arguments):
    return [sys.executable, ROOT / "train_cifar100.py", *TINY, "--out", out, *arguments]


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}


def run(out, *arguments, status=0):
    """The script's output; nothing but its sentence may stand on stderr."""
    done = subprocess.run(
        command(out, *arguments), capture_output=True, text=True, timeout=120, env=environment()
    )
    assert done.returncode == status, done.stderr
    assert len(done.stderr.splitlines()) == (1 if status == 1 else 0) or status == 2, done.stderr
    return done.stdout + done.stderr


def learnt(out, name="checkpoint.npz"):
    """A checkpoint's arrays and numbers by their paths, less the times."""

    def walk(tree, path):
        if isinstance(tree, dict | list):
            for key, part in tree.items() if isinstance(tree, dict) else enumerate(tree):
                if key not in ("seconds", "images_per_second"):
                    yield from walk(part, f"{path}/{key}")
        else:
            yield path, tree.numpy() if isinstance(tree, tn.Tensor) else tree

    return dict(walk(checkpoint.load(Path(out) / name), ""))


def assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    for path, value in wanted.items():
        assert np.array_equal(found[path], value), path


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    out = tmp_path_factory.mktemp("two")
    run(out, "--workers", "2")
    return out


def movement(out):
    """How far the training has moved all parameters, as one vector."""
    tn.manual_seed(0)
    start = mobilenet.build("shallow", 100, 0.05).named_parameters()
    found = learnt(out)
    return np.concatenate([(found[f"/model/{name}"] - p.numpy()).ravel() for name, p in start])


def assert_learnt_alike(out, other):
    """But for rounding, by which a value may fall on either side of a corner of ReLU6."""
    found, wanted = movement(out), movement(other)
    assert np.linalg.norm(found - wanted) < 0.1 * np.linalg.norm(wanted)
    found, wanted = learnt(out), learnt(other)
    assert found.keys() == wanted.keys()
    for path in wanted:
        if path.endswith("loss"):
            np.testing.assert_allclose(found[path], wanted[path], 1e-4, err_msg=path)


def test_two_workers_learn_what_one_learns_and_the_same_again(two, tmp_path):
    run(tmp_path / "again", "--workers", "2")
    assert_same(learnt(tmp_path / "again"), learnt(two))
    run(tmp_path / "one", "--workers", "1")
    assert_learnt_alike(two, tmp_path / "one")


def test_resumed_with_another_number_of_workers(two, tmp_path):
    stopped = subprocess.Popen(
        command(tmp_path, "--workers", "3"),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(tmp_path / "checkpoint.npz", stopped)
    stopped.send_signal(signal.SIGTERM)
    said = stopped.communicate(timeout=60)[1]
    assert ("--resume" in said and len(said.splitlines()) == 1) or stopped.returncode == 0
    run(tmp_path, "--resume", "--workers", "1")
    assert_learnt_alike(tmp_path, two)


def wait_for(file, process):
    until = time.monotonic() + 120
    while not file.exists():
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.005)


def test_statistics_of_each_worker(tmp_path):
    run(tmp_path, "--workers", "2", "--batchnorm", "local")
    values = learnt(tmp_path)
    assert values["/options/batchnorm"] == "local" and values["/epochs_done"] == 2
    assert all(np.isfinite(v).all() for k, v in values.items() if k.startswith("/model"))


@pytest.mark.parametrize(
    ("arguments", "words", "status"),
    [
        (["--workers", "26"], "a batch of 25 images cannot be shared by so many; take fewer", 1),
        (["--workers", "0"], "expected a whole number from 1 to 1024, got '0'", 2),
        (["--workers", "x"], "expected a whole number from 1 to 1024, got 'x'", 2),
        (["--workers", "2", "--lr", "1e30"], "the loss is not finite; BatchNorm in stem.1", 1),
        (["--workers", "2", "--dataset", "cifar100", "--no-download", "--data-dir", "x"], "x", 1),
    ],
)
def test_failures_are_one_sentence(tmp_path, arguments, words, status):
    assert words in run(tmp_path / "out", *arguments, status=status)
    assert not (tmp_path / "out").exists()


LONG = ("--epochs", "4", "--per-class", "4")
INGREDIENTS = (
    *("--batch-size", "24", "--accumulate", "2", "--ema", "0.9", "--mixup", "0.4", "--cutout", "8"),
    *("--dropout", "0.2", "--clip-grad-norm", "1", "--lr", "1e-3", "--batchnorm", "local"),
)


def start(folder, *arguments):
    resume = ["--resume"] if (folder / "checkpoint.npz").exists() else []
    return subprocess.Popen(
        command(folder, *arguments, *resume),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def kill_at_random(folder, kills, workers="2", recipe=(), seed=0):
    """End a training at random moments, so many times, resuming after each: a signal to its first
    process, to a worker, or to all. Each training that comes to its end must have learnt what an
    undisturbed one has, and leave nothing but its files; then another begins. Returns how many did,
    and what was said after each signal."""
    arguments = ("--workers", workers, *LONG, *recipe)
    draw, sentences, trainings = random.Random(seed), [], 0
    began = time.monotonic()
    run(folder / "undisturbed", *arguments)
    longest = time.monotonic() - began
    process = start(folder / "0", *arguments)
    while len(sentences) < kills or process.poll() is None:
        if len(sentences) < kills:
            time.sleep(draw.uniform(0.3, longest))
            sent = draw.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
            victim = draw.choice([process.pid, *children(process.pid)])
            if sent in (signal.SIGINT, signal.SIGHUP):  # which only come from a terminal, to all
                victim = process.pid
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    if sent != signal.SIGKILL and victim == process.pid and draw.random() < 0.5:
                        os.killpg(victim, sent)
                    else:
                        os.kill(victim, sent)
        said = process.communicate(timeout=120)[1].strip()
        if process.returncode:
            # the tracker tells that it has removed what a parent killed while starting has left
            assert "\n" not in said or process.returncode == -signal.SIGKILL, said
            assert ("--resume" in said) <= (folder / str(trainings) / "checkpoint.npz").exists()
            sentences.append(said)
        else:
            for name in ("checkpoint.npz", "best.npz", "network.npz"):
                found, wanted = (learnt(folder / n, name) for n in (str(trainings), "undisturbed"))
                assert_same(found, wanted)
            assert {*os.listdir(folder / str(trainings))} == {*FILES} - FILM
            trainings += 1
        if process.returncode or len(sentences) < kills:
            process = start(folder / str(trainings), *arguments)
    return trainings, sentences


def children(pid):
    """Those that are workers."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and "spawn_main" in (folder / "cmdline").read_text():
                found.append(int(folder.name))
        except (OSError, ValueError):
            continue
    return found


@pytest.mark.parametrize(("workers", "recipe"), [("2", ()), ("1", INGREDIENTS)])
def test_killed_at_random_moments_it_learns_the_same(tmp_path, workers, recipe):
    trainings, sentences = kill_at_random(tmp_path, 2, workers, recipe)
    assert trainings and len(sentences) == 2


if __name__ == "__main__":
    for recipe in ((), INGREDIENTS):
        for workers in ("1", "2"):
            with tempfile.TemporaryDirectory() as folder:
                trainings, sentences = kill_at_random(
                    Path(folder), int(sys.argv[1]), workers, recipe
                )
            print(
                f"{workers} workers {' '.join(recipe)}: {len(sentences)} signals; {trainings} "
                "trainings, each as the undisturbed one, bit for bit"
            )
            for sentence in sorted(set(sentences)):
                print(f"{sentences.count(sentence):4} x {sentence or '(nothing)'}")
