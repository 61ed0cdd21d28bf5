"""The training script as a user runs it: on a few drawn shapes, and with everything wrong."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tiny_training import stop_in_batch

import tinynet.training.finish
import tinynet.training.run
import train_cifar100
from tinynet.training import checkpoint, options
from tinynet.training.run import Run

ROOT = Path(__file__).resolve().parent.parent
SMALL = (
    *("--dataset", "shapes", "--per-class", "4", "--val-per-class", "1", "--network", "paper"),
    *("--width", "0.1", "--batch-size", "100", "--epochs", "3", "--lr", "0.1", "--dropout", "0.1"),
    *("--workers", "1"),
)


def run(out, *arguments):
    train_cifar100.main([*SMALL, "--out", str(out), *arguments])


def failure(*arguments):
    """The one line with which the script refuses; its exit status must not be 0."""
    done = subprocess.run(
        [sys.executable, ROOT / "train_cifar100.py", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "deep" / "folder"  # made by the script
    run(out)
    return out


def trees_equal(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(trees_equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(trees_equal, a, b))
    return np.array_equal(np.asarray(a), np.asarray(b))


def learnt(out):
    """What a checkpoint holds, less the times that differ from run to run."""
    tree = checkpoint.load(out / "checkpoint.npz")
    for row in tree["history"]["rows"]:
        del row["seconds"], row["images_per_second"]
    del tree["seconds"]
    return tree


def test_a_run_leaves_csv_curves_and_checkpoint(finished, capsys):
    with open(finished / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    for row in rows:
        assert 0 <= float(row["val_accuracy"]) <= 1 and 0 < float(row["train_loss"]) < 20
        assert float(row["images_per_second"]) > 0 and float(row["lr"]) >= 0
    assert (finished / "curves.png").read_bytes().startswith(b"\x89PNG")
    tree = checkpoint.load(finished / "checkpoint.npz")
    assert tree["epochs_done"] == 3 and len(tree["classes"]) == 100
    for row, line in zip(rows, (finished / "history.jsonl").read_text().splitlines(), strict=True):
        assert {name: str(value) for name, value in json.loads(line).items()} == row
    assert json.loads((finished / "options.json").read_text())["lr"] == 0.1
    assert sorted(path.name for path in finished.iterdir()) == [
        *("best.npz", "checkpoint.npz", "confusion.png", "curves.png", "filters.png"),
        *("history.csv", "history.jsonl", "model-card.md", "network.npz", "options.json"),
        *("predictions.png", "worst.png"),
    ]


def test_the_end_names_accuracy_curves_and_checkpoint(finished, capsys):
    run(finished, "--resume")  # nothing is left to train: only the result is told again
    text = capsys.readouterr().out
    tree = checkpoint.load(finished / "checkpoint.npz")
    first, five = tree["test_accuracy"], tree["test_top5"]
    assert f"test accuracy (last epoch): {first:.2%}, top 5 {five:.2%}" in text
    assert str(finished / "curves.png") in text and str(finished / "checkpoint.npz") in text


def test_the_test_set_is_read_once_and_after_the_last_epoch(tmp_path, monkeypatch):
    reads = []
    load = tinynet.training.run.load_set

    def watched(options, split):
        done = (tmp_path / "history.csv").exists() and len(
            (tmp_path / "history.csv").read_text().splitlines()
        ) - 1
        reads.append((split, int(done)))
        return load(options, split)

    monkeypatch.setattr(tinynet.training.run, "load_set", watched)
    monkeypatch.setattr(tinynet.training.finish, "load_set", watched)
    run(tmp_path)
    run(tmp_path, "--resume")
    assert reads == [("train", 0), ("test", 3), ("train", 3)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_stopped_and_resumed_learns_the_same_as_one_in_one_go(
    finished, tmp_path, monkeypatch, number
):
    batches = stop_in_batch(4, monkeypatch, number)  # the second of epoch 2
    with pytest.raises(SystemExit) as stop:
        run(tmp_path)
    assert "stopped and saved; go on with --resume" in str(stop.value.code)
    assert len(batches) == 4
    tree = checkpoint.load(tmp_path / "checkpoint.npz")
    assert (tree["epochs_done"], tree["batches_done"]) == (1, 1)
    monkeypatch.undo()
    run(tmp_path, "--resume")
    assert trees_equal(learnt(tmp_path), learnt(finished))


def test_asked_twice_it_stops_at_once(tmp_path, monkeypatch):
    stop_in_batch(4, monkeypatch, signal.SIGINT)
    loss = Run.loss

    def again(self, *arguments):
        found = loss(self, *arguments)
        later = time.monotonic() + 9
        monkeypatch.setattr(time, "monotonic", lambda: later)
        if Path(tmp_path / "checkpoint.npz").exists():
            signal.raise_signal(signal.SIGINT)
        return found

    monkeypatch.setattr(Run, "loss", again)
    with pytest.raises(SystemExit) as stop:
        run(tmp_path)
    assert str(stop.value.code).endswith(": stopped; go on with --resume")
    assert checkpoint.load(tmp_path / "checkpoint.npz")["batches_done"] == 0


def test_stopped_before_the_first_checkpoint_it_does_not_promise_one(tmp_path, monkeypatch):
    def stopped(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(tinynet.training.run, "load_set", stopped)
    with pytest.raises(SystemExit) as stop:
        run(tmp_path / "out")
    assert "there is no checkpoint yet" in str(stop.value.code)
    assert not (tmp_path / "out").exists()


def test_a_run_killed_at_any_moment_can_be_resumed(finished, tmp_path):
    command = [sys.executable, ROOT / "train_cifar100.py", *SMALL, "--out", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "checkpoint.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert 1 <= checkpoint.load(tmp_path / "checkpoint.npz")["epochs_done"] <= 3
    run(tmp_path, "--resume")
    assert trees_equal(learnt(tmp_path), learnt(finished))


def test_options_that_change_the_training_are_refused_on_resume(finished, capsys):
    with pytest.raises(SystemExit) as stop:
        run(finished, "--resume", "--lr", "0.2")
    assert "was trained with lr 0.1, not 0.2" in str(stop.value.code)


def test_an_earlier_training_is_not_lost(finished):
    before = (finished / "checkpoint.npz").read_bytes()
    assert "holds a training already" in failure(*SMALL, "--out", finished)
    assert (finished / "checkpoint.npz").read_bytes() == before


def test_overwrite_starts_anew(tmp_path):
    run(tmp_path, "--epochs", "2")
    run(tmp_path, "--epochs", "1", "--overwrite")
    assert checkpoint.load(tmp_path / "checkpoint.npz")["epochs_done"] == 1


def test_a_damaged_checkpoint_is_named(finished, tmp_path):
    data = (finished / "checkpoint.npz").read_bytes()
    (tmp_path / "checkpoint.npz").write_bytes(data[: len(data) // 2])
    assert "checkpoint.npz" in failure(*SMALL, "--out", tmp_path, "--resume")


def test_a_foreign_checkpoint_is_named(tmp_path):
    checkpoint.save(tmp_path / "checkpoint.npz", {"options": {}})
    line = failure(*SMALL, "--out", tmp_path, "--resume")
    assert "is not a checkpoint of this script" in line


@pytest.mark.parametrize("lr", ["1e30", "1e308"])
def test_a_diverging_training_names_the_place_and_keeps_the_last_checkpoint(tmp_path, lr):
    with np.errstate(all="ignore"), pytest.raises(SystemExit) as stop:
        run(tmp_path, "--lr", lr, "--schedule", "constant", "--epochs", "1")
    assert re.search("(stem|blocks|classifier).* lower --lr", str(stop.value.code))
    assert not (tmp_path / "checkpoint.npz").exists()


def test_a_checkpoint_that_is_not_finite_never_replaces_a_good_one(tmp_path, monkeypatch):
    run(tmp_path, "--epochs", "1", "--schedule", "constant")
    before = (tmp_path / "checkpoint.npz").read_bytes()
    loss = Run.loss

    def broken(self, *arguments):
        next(self.model.buffers()).array[...] = np.nan
        return loss(self, *arguments)

    monkeypatch.setattr(Run, "loss", broken)
    with pytest.raises(SystemExit) as stop:
        run(tmp_path, "--epochs", "2", "--schedule", "constant", "--resume")
    assert "stem.1.running_mean" in str(stop.value.code)
    assert (tmp_path / "checkpoint.npz").read_bytes() == before


def test_only_a_constant_schedule_can_be_extended(tmp_path, capsys):
    constant = ("--schedule", "constant", "--lr", "0.01")
    run(tmp_path / "once", *constant)
    run(tmp_path / "twice", *constant, "--epochs", "1")
    run(tmp_path / "twice", *constant, "--resume")
    once, twice = (learnt(tmp_path / name) for name in ("once", "twice"))
    assert (once.pop("test_reads"), twice.pop("test_reads")) == (1, 2)
    assert trees_equal(once, twice)
    with pytest.raises(SystemExit) as stop:
        run(tmp_path / "twice", *constant, "--epochs", "2", "--resume")
    assert "was trained with epochs 3, not 2" in str(stop.value.code)


def test_a_one_cycle_run_cannot_be_extended(finished):
    line = failure(*SMALL, "--out", finished, "--resume", "--epochs", "4")
    assert "its learning rate (onecycle) is laid out for 3" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--epochs", "0"], "expected a whole number from 1 to 1000000, got '0'"),
        (["--epochs", "two"], "expected a whole number from 1 to 1000000, got 'two'"),
        (["--lr", "nan"], "expected a number from 0 up, got 'nan'"),
        (["--label-smoothing", "2"], "from 0 to 1, got '2'"),
        (["--dataset", "mnist"], "invalid choice: 'mnist'"),
        (["--network", "resnet"], "invalid choice: 'resnet'"),
        (["--widht", "1"], "unrecognized arguments: --widht"),
        (["--network", "stl10", "--width", "0.3", "--dataset", "shapes"], "width must be one of"),
        (["--resume", "--out", "nowhere"], "there is no checkpoint.npz in nowhere"),
        (["--epochs", "9" * 50], "expected a whole number from 1 to 1000000, got '9999"),
        (["--seed", "9" * 5000], "expected a whole number from 0 to 9223372036854775807, got"),
        (["--per-class", "1000000"], "expected a whole number from 2 to 5000"),
        (["--width", "50"], "expected a number from 0.01 to 8, got '50'"),
        (["--accumulate", "3"], "--accumulate 3 does not divide --batch-size 128"),
        (["--preset", "best"], "invalid choice: 'best'"),
        (["--data-dir", "nowhere", "--no-download"], "nowhere"),
        (["--dataset", "shapes", "--per-class", "3"], "the smallest class has 3 training images"),
    ],
)
def test_wrong_options_are_refused_in_one_line(arguments, words, tmp_path):
    out = [] if "--out" in arguments else ["--out", tmp_path / "out"]
    assert words in failure(*arguments, *out)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_refused_before_training(tmp_path):
    (tmp_path / "file").write_text("in the way")
    line = failure(*SMALL, "--out", tmp_path / "file" / "run")
    assert "--out: cannot make the folder" in line and "choose a writable place" in line


def test_a_gpu_that_is_not_there_is_refused():
    from tinynet import cuda_available

    if not cuda_available():
        assert 'pip install -e ".[cuda12]"' in failure(*SMALL, "--device", "cuda")


def test_help_explains_every_option(capsys):
    with pytest.raises(SystemExit):
        options.parse(train_cifar100.PROGRAM, ["--help"])
    text = capsys.readouterr().out
    for line in text.split("options:")[1].splitlines():
        if line.startswith("  --"):
            flag_alone = len(line.split("  ")) == 2
            assert flag_alone or len(line.split()) > 2, line
    assert text.count("default:") >= 15
