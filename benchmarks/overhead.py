"""What a training loop costs beside its steps: waiting for batches, tensors, metrics.

The loop that is timed is `train` of train_cifar100.py itself. The parts that it is given
(loader, optimizer, scheduler) tell a stop-watch where the loop is.
"""

import statistics
import time
from types import SimpleNamespace

import numpy as np

import train_cifar100
from tinynet import optim
from tinynet.data import ImageSet, Loader
from tinynet.training import History

WAIT, TENSORS, STEP, METRICS = PARTS = ("wait", "tensors", "step", "metrics")


class Clock:
    """Adds up the time of each part of a loop: `enter(part)` ends the part before."""

    def __init__(self):
        self.steps = []  # a dict a step: part -> seconds
        self.part, self.since = None, 0.0

    def enter(self, part):
        now = time.perf_counter()
        if self.part is not None:
            self.steps[-1][self.part] += now - self.since
        if part == WAIT:
            self.steps.append(dict.fromkeys(PARTS, 0.0))
        self.part, self.since = part, time.perf_counter()


class TimedLoader:
    """The first batches of a loader; `between(number)` runs after each, while the clock stands."""

    def __init__(self, loader, batches, clock, between):
        self.loader, self.batches, self.clock, self.between = loader, batches, clock, between
        self.batch_size, self.set_epoch = loader.batch_size, loader.set_epoch

    def __len__(self):
        return self.batches

    def __iter__(self):
        batches = iter(self.loader)
        for number in range(self.batches):
            self.clock.enter(WAIT)
            batch = next(batches)
            self.clock.enter(TENSORS)
            yield batch
            self.clock.enter(None)
            self.between(number)
        batches.close()


class TimedOptimizer:
    def __init__(self, optimizer, clock):
        self.optimizer, self.clock, self.step = optimizer, clock, optimizer.step

    def zero_grad(self):
        self.clock.enter(STEP)
        self.optimizer.zero_grad()


class TimedScheduler:
    def __init__(self, scheduler, clock):
        self.scheduler, self.clock, self.get_last_lr = scheduler, clock, scheduler.get_last_lr

    def step(self):
        self.scheduler.step()
        self.clock.enter(METRICS)


def measure(network, blocks, block, pictures=50_000):
    """Run `blocks` times `block` batches of the loop, and after each block as many bare steps.

    network: a worker's. A bare step is the same one on one batch, with no loader at work. The
    first step of each block is left out; the loop's very first wait, when no batch has been
    prepared yet, comes once an epoch and is counted so.

    Returns {"batches": of an epoch, "start_ms", "bare_ms", wait_ms and so on for each part,
    "share": of an epoch that is not the step, "slow_down": how much longer a step of the loop
    takes than a bare one, less 1, "steps": every step}.
    """
    rng = np.random.default_rng(0)
    size, classes = network.x.shape[2], network.model.classifier.weight.shape[0]
    images = rng.integers(0, 256, (pictures, 3, size, size), np.uint8)
    labels = np.arange(pictures) % classes
    image_set = ImageSet(images, labels, tuple(map(str, range(classes))))
    loader = Loader(
        *(image_set, len(network.x), *image_set.channel_stats()),
        shuffle=True,
        augment=True,
        drop_last=True,
    )
    clock, bare = Clock(), []

    def between(number):
        if (number + 1) % block == 0:
            bare.append(network.steps(block))

    schedule = optim.lr_scheduler.CosineAnnealingLR(network.optimizer, T_max=len(loader))
    run = SimpleNamespace(
        model=network.model,
        optimizer=TimedOptimizer(network.optimizer, clock),
        scheduler=TimedScheduler(schedule, clock),
        criterion=network.criterion,
        train_loader=TimedLoader(loader, blocks * block, clock, between),
        val_loader=(),
        history=History(),
        epochs_done=0,
        save=lambda options, epochs_done: None,
    )
    network.steps(1)  # warm up
    train_cifar100.train(SimpleNamespace(epochs=1, device="cpu", lr=0.01), run)
    network.model.train()  # `train` ends with an evaluation
    kept = [step for number, step in enumerate(clock.steps) if number % block]
    bare = [seconds for one in bare for seconds in one[1:]]
    return summarize(kept, bare, clock.steps[0][WAIT], len(loader))


def summarize(steps, bare, start, batches):
    """What `measure` returns, from the parts of the steps, the bare steps, and the first wait."""
    whole = [sum(step.values()) for step in steps]
    beside = [sum(step.values()) - step[STEP] for step in steps]
    mean_beside, mean_whole = statistics.fmean(beside), statistics.fmean(whole)
    medians = {
        f"{part}_ms": 1000 * statistics.median(step[part] for step in steps) for part in PARTS
    }
    bare_median = statistics.median(bare)
    return {
        "batches": batches,
        "start_ms": 1000 * start,
        "bare_ms": 1000 * bare_median,
        **medians,
        "share": (start + batches * mean_beside) / (start + batches * mean_whole),
        "slow_down": (statistics.median(whole) + start / batches) / bare_median - 1,
        "steps": {"loop": steps, "bare": bare},
    }
