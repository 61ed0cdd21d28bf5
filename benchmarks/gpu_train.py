"""CIFAR-100 trained on the GPU in a given time: `python -m benchmarks.gpu_train`.

It calls the training script's own parts. Two epochs that do not count show how long one takes;
then as many are trained as end in time, so that the one-cycle schedule comes to its end.
"""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

import train_cifar100
from tinynet import backend
from tinynet.training import atomic_write, checkpoint
from tinynet.training.options import folder_for, number

SHARE = 0.95  # of the time that is left: epochs are not all alike


class Watched(train_cifar100.Run):
    """A training that notes when it has begun, and when each epoch is saved."""

    def __init__(self, options):
        self.moments = [time.perf_counter()]
        super().__init__(options)
        self.moments.append(time.perf_counter())

    def save(self, *arguments):
        super().save(*arguments)
        self.moments.append(time.perf_counter())


def epochs_in(seconds, preparation, epoch):
    """How many epochs of `epoch` seconds fit, after `preparation`; at least one."""
    return max(1, int(SHARE * (seconds - preparation) / epoch))


def trial(arguments):
    """(seconds of preparation, seconds of an epoch with all that belongs to it)"""
    options = train_cifar100.parse_options([*arguments, "--epochs", "2"])
    shutil.rmtree(options.out, ignore_errors=True)
    folder_for(options)
    run = Watched(options)
    train_cifar100.train(options, run)
    begun, prepared, first, second = run.moments
    return prepared - begun, second - first


def train(minutes, arguments, out):
    """Train for about `minutes`, the trial included. Returns a dict ready for JSON.

    arguments: of the training script. out: the folder for the checkpoint.
    """
    started = time.perf_counter()
    preparation, epoch = trial([*arguments, "--out", str(Path(out) / "trial")])
    shutil.rmtree(Path(out) / "trial", ignore_errors=True)
    left = 60 * minutes - (time.perf_counter() - started)
    epochs = epochs_in(left, preparation, epoch)
    print(f"an epoch takes {epoch:.1f} s: training for {epochs} epochs", flush=True)
    train_cifar100.main([*arguments, "--epochs", str(epochs), "--out", str(out), "--overwrite"])
    saved = checkpoint.load(Path(out) / "checkpoint.npz")
    rows = saved["history"]["rows"]
    return {
        "minutes_asked": minutes,
        "minutes_taken": (time.perf_counter() - started) / 60,
        "options": saved["options"],
        "images_per_second": rows[-1]["images_per_second"],
        "validation_accuracy": rows[-1]["val_accuracy"],
        "test_accuracy": saved["test_accuracy"],
        "epochs": rows,
        "checkpoint": str(Path(out) / "checkpoint.npz"),
    }


def main(arguments=None):
    """Everything after `--` goes to the training script."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_train", description=__doc__)
    parser.add_argument("--minutes", type=number(float, 0), required=True)
    parser.add_argument("--out", required=True, help="folder of checkpoint.npz and result.json")
    parser.add_argument("script", nargs="*", help="options of train_cifar100.py")
    options = parser.parse_args(arguments)
    try:
        backend.check_device("cuda")
        result = train(options.minutes, ["--device", "cuda", *options.script], options.out)
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(f"benchmarks.gpu_train: {error}")
    with atomic_write(Path(options.out) / "result.json", "w") as file:
        json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
