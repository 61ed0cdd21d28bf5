"""What a training loop costs beside its steps, how many images it trains with in a second, and how
long `import tinynet` takes.

The loop that is timed is that of the training scripts (tinynet/training/loop.py), given a loader
with a stopwatch.
"""

import csv
import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from types import SimpleNamespace

import numpy as np

from benchmarks.results import ROOT, BenchmarkError
from tinynet import optim, parallel
from tinynet.data import ImageSet, Loader
from tinynet.training import loop


class TimedLoader:
    """The first batches of a loader. waits: the seconds for which each is waited for. whole: the
    seconds from there to the next. `between(number)` runs after each, untimed."""

    def __init__(self, loader, batches, between):
        self.loader, self.batches, self.between = loader, batches, between
        self.batch_size, self.set_epoch = loader.batch_size, loader.set_epoch
        self.waits, self.whole = [], []

    def __len__(self):
        return self.batches

    def __iter__(self):
        batches = iter(self.loader)
        for number in range(self.batches):
            began = time.perf_counter()
            batch = next(batches)
            self.waits.append(time.perf_counter() - began)
            yield batch
            self.whole.append(time.perf_counter() - began)
            self.between(number)
        batches.close()


def measure(network, blocks, block, images=50_000):
    """Run `blocks` times `block` batches of the loop, and after each block as many bare steps.

    A bare step is the same one on one batch, with no loader at work. The first step of each block
    is left out; the loop's first wait, when no batch is prepared yet, counts once per epoch.
    Returns what `summarize` does.
    """
    rng = np.random.default_rng(0)
    size, classes = network.x.shape[2], network.model.classifier.weight.shape[0]
    bytes_of_images = rng.integers(0, 256, (images, 3, size, size), np.uint8)
    names = tuple(map(str, range(classes)))
    image_set = ImageSet(bytes_of_images, np.arange(images) % classes, names)
    options = {"shuffle": True, "augment": True, "drop_last": True}
    loader = Loader(image_set, len(network.x), *image_set.channel_stats(), **options)
    bare = []

    def between(number):
        if (number + 1) % block == 0:
            bare.extend(network.steps(block)[1:])

    timed = TimedLoader(loader, blocks * block, between)
    run = SimpleNamespace(
        options=SimpleNamespace(epochs=1, device="cpu", seed=0, accumulate=1, clip_grad_norm=0),
        model=network.model,
        optimizer=network.optimizer,
        scheduler=optim.lr_scheduler.CosineAnnealingLR(network.optimizer, T_max=len(loader)),
        loss=lambda logits, x, y: network.criterion(logits, y),
        train_loader=timed,
        progress=loop.Progress(),
        weight=lambda images: 1.0,
        average_weights=lambda: None,
    )
    run.learn = functools.partial(loop.learn, run)
    network.steps(1)  # warm up
    with parallel.stoppable() as stop:
        loop.train_epoch(run, 0, stop)
    kept = [number for number in range(len(timed)) if number % block]
    waits, whole = ([seconds[i] for i in kept] for seconds in (timed.waits, timed.whole))
    return summarize(waits, whole, bare, timed.waits[0], len(loader))


def summarize(waits, whole, bare, start, batches):
    """Medians, and how much longer a step of the loop takes than a bare one; start: the first wait
    of an epoch of so many batches."""
    wait, step, bare_step = (1000 * statistics.median(one) for one in (waits, whole, bare))
    return {
        "batches": batches,
        "start_ms": 1000 * start,
        "wait_ms": wait,
        "step_ms": step,
        "bare_ms": bare_step,
        "slow_down": (step + 1000 * start / batches) / bare_step - 1,
        "seconds": {"wait": waits, "step": whole, "bare": bare},
    }


def training(data_dir, few):
    """Options of train_cifar100.py. data_dir: of CIFAR-100; the built-in shapes if None. A part of
    the images is enough for a rate; few: one epoch of a small part."""
    data = ["--data-dir", data_dir, "--no-download"] if data_dir else ["--dataset", "shapes"]
    size = ["--per-class", "12" if few else "60", "--val-per-class", "2"]
    return [*data, *size, "--epochs", "1" if few else "2"]


def train_rates(counts, rounds, arguments):
    """Run train_cifar100.py with each of `counts` workers, in turns; images/s of its last epoch,
    loader included. Raises BenchmarkError where a run fails."""
    rates = {count: [] for count in counts}
    for number in range(rounds * len(counts)):
        count = counts[(number + number // len(counts)) % len(counts)]
        with tempfile.TemporaryDirectory() as out:
            command = [sys.executable, "train_cifar100.py", *arguments, "--workers", str(count)]
            command += ["--out", out, "--overwrite"]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            if done.returncode:
                raise BenchmarkError(done.stderr.strip().splitlines()[-1])
            with open(os.path.join(out, "history.csv"), newline="", encoding="utf-8") as file:
                *_, last = csv.DictReader(file)
        rates[count].append(float(last["images_per_second"]))
    medians = {str(count): statistics.median(all_of) for count, all_of in rates.items()}
    return {"arguments": arguments, "images_per_second": medians, "each": rates}


def import_time(times):
    """The median and all of the seconds of `import tinynet` in a fresh interpreter. The first one,
    which reads the sources and compiles them, does not count."""
    code = "import time; t = time.perf_counter(); import tinynet; print(time.perf_counter() - t)"
    with tempfile.TemporaryDirectory() as compiled:
        # compiled files as a user has them, even where this process must not write any
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = {"args": [sys.executable, "-c", code], "cwd": ROOT, "env": environment}
        seconds = [float(subprocess.check_output(**command)) for _ in range(times + 1)][1:]
    return {"import_s": statistics.median(seconds), "seconds": seconds}
