"""Trainings of a fraction of a second, by the script but in this process."""

import signal

import numpy as np
import pytest

import train_cifar100
from tinynet.autograd import Tensor
from tinynet.training import checkpoint, finish, program
from tinynet.training import run as run_module
from tinynet.training.run import Run
from tinynet.training.sources import load_set

SMALL = (
    *("--dataset", "shapes", "--per-class", "2", "--val-per-class", "1", "--network", "shallow"),
    *("--width", "0.05", "--batch-size", "25", "--epochs", "2", "--lr", "0.01", "--ema", "0.5"),
    *("--workers", "1", "--schedule", "constant"),
)


@pytest.fixture(scope="module")
def sets():
    """The shapes, drawn once."""
    options = program.parse(train_cifar100.PROGRAM, SMALL)
    return {split: load_set(options, split) for split in ("train", "test")}


@pytest.fixture
def quick(monkeypatch, sets):
    """No pictures, which take longer than these trainings, and no drawing of shapes."""
    monkeypatch.setattr(Run, "draw_curves", lambda run, path: None)
    monkeypatch.setattr(finish, "draw", lambda *_: None)
    for module in (run_module, finish):
        monkeypatch.setattr(module, "load_set", lambda options, split: sets[split])


def script(out, *arguments, of=train_cifar100.PROGRAM):
    program.main(of, [*SMALL, "--out", str(out), *arguments])


def sentence(out, *arguments, of=train_cifar100.PROGRAM):
    """The one with which the script ends."""
    with pytest.raises(SystemExit) as stop:
        script(out, *arguments, of=of)
    said = stop.value.code
    assert isinstance(said, str) and said.isprintable() and said.startswith("train_cifar100.py: ")
    return said


def learnt(out):
    """What a checkpoint holds, by its paths, less the times."""

    def walk(tree, path=""):
        if isinstance(tree, dict | list | tuple):
            for key, part in tree.items() if isinstance(tree, dict) else enumerate(tree):
                if key not in ("seconds", "images_per_second"):
                    yield from walk(part, f"{path}/{key}")
        else:
            yield path, tree.numpy() if isinstance(tree, Tensor) else tree

    return dict(walk(checkpoint.load(out / "checkpoint.npz")))


def assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    for path, value in wanted.items():
        assert np.array_equal(found[path], value), path


@pytest.fixture(scope="module")
def whole(tmp_path_factory, sets):
    """A training that nobody disturbed."""
    out = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        quick.__wrapped__(patch, sets)
        script(out)
    return out


def stop_in_batch(count, monkeypatch, number=signal.SIGTERM):
    """Raise the signal while the loss of that batch is computed. Returns the batches so far."""
    loss, batches = Run.loss, []

    def watched(self, *arguments):
        batches.append(1)
        if len(batches) == count:
            signal.raise_signal(number)
        return loss(self, *arguments)

    monkeypatch.setattr(Run, "loss", watched)
    return batches
