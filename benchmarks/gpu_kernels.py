"""Our kernels one by one: the time of each, and the bytes it must move at least.

A training step is run with every launch written down. Launches of one kernel on arrays of one
size count as one entry, whose first arrays are kept. Afterwards each entry is launched again and
again on copies of these arrays, in turn, so many that no cache holds them.
"""

import contextlib
import functools
import math
import re
from dataclasses import dataclass

import numpy as np

from benchmarks import stats
from tinynet import backend
from tinynet.data import augment
from tinynet.kernel import Kernel
from tinynet.ops.pictures import Pictures

AROUND = 2**29  # bytes: the copies of an entry's arrays, together
MOST_COPIES = 16
SMALL = 16e6  # bytes; a kernel that moves less is over before the memory gets going
MEAN_STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
PICTURES = 50_000  # of CIFAR-100


@dataclass
class Entry:
    """Launches alike: `kernel(grid, arrays, *numbers, **options)`, `calls` times a step."""

    kernel: Kernel
    grid: tuple
    arrays: tuple
    numbers: tuple
    options: dict
    calls: int = 1

    def facts(self):
        moved = bytes_moved(self.kernel, self.arrays, self.options)
        return {
            "kernel": self.kernel.name,
            "on": description(self.arrays, self.options),
            "calls": self.calls,
            "bytes": moved,
            "small": moved < SMALL,
        }


@contextlib.contextmanager
def written_down(entries):
    """Within the block every launch joins `entries`, a dict, besides being done."""
    launch = Kernel.__call__

    def launch_and_note(self, grid, arrays, *numbers, **options):
        launch(self, grid, arrays, *numbers, **options)
        if math.prod(grid) == 0:
            return
        sizes = [a if a is None else (a.shape, a.dtype.char) for a in arrays]
        key = str((self.name, grid, sizes, numbers, options))
        if key in entries:
            entries[key].calls += 1
        else:
            entries[key] = Entry(self, grid, arrays, numbers, options)

    Kernel.__call__ = launch_and_note
    try:
        yield
    finally:
        Kernel.__call__ = launch


class Recorded:
    """The entries of a step, ready to be measured one after the other."""

    def __init__(self, device):
        self.device, self.entries = device, []

    def record(self, step, batch):
        """Write down `step`, and how a batch of that many pictures is cut from bytes.

        Returns: the entries' `facts`, in the order of their first launch.
        """
        self.entries = []  # frees the arrays of an earlier record
        found = {}
        with written_down(found):
            step()
            cut_pictures(batch)
        self.entries = list(found.values())
        return [entry.facts() for entry in self.entries]

    def measure(self, number, times=15):
        """The seconds of a launch of entry `number` in each of `times` measurements."""
        entry = self.entries[number]
        sets = [copied(entry) for _ in range(copies(entry))]

        def launch_all():
            for arrays in sets:
                entry.kernel(entry.grid, arrays, *entry.numbers, **entry.options)

        launch_all()
        return [self.device.seconds(launch_all) / len(sets) for _ in range(times)]


def cut_pictures(batch):
    images = _images()
    rng = np.random.default_rng(0)
    picked = rng.permutation(len(images.images))[:batch]
    images(picked, (*augment.draw_shifts(batch, 4, rng), augment.draw_flips(batch, rng)))


@functools.cache
def _images():
    images = np.random.default_rng(0).integers(0, 256, (PICTURES, 3, 32, 32), np.uint8)
    return Pictures(images, *augment.scale_and_offset(*MEAN_STD), "cuda")


def copies(entry):
    """How many sets of its arrays to go round. A kernel that is told addresses has only one."""
    if entry.kernel.name in TABLES:
        return 1
    moved = bytes_moved(entry.kernel, entry.arrays, entry.options)
    return min(max(AROUND // max(moved, 1), 1), MOST_COPIES)


def copied(entry):
    """Arrays alike, with memory of their own. An output that lies on an input gets one, too:
    every launch then reads the same numbers, and moves as many as before."""
    if entry.kernel.name in TABLES:
        return entry.arrays
    return tuple(a if a is None else a.copy() for a in entry.arrays)


def outputs(kernel):
    """For each pointer among the kernel's parameters whether the kernel writes through it."""
    signature = re.search(rf"void {kernel.name}\(([^)]*)\)", kernel.source)[1]
    return ["const" not in one for one in signature.split(",") if "*" in one]


def bytes_moved(kernel, arrays, options):
    """What a launch must move at least: each input read once, each output written once."""
    if kernel.name in TABLES:
        return TABLES[kernel.name](arrays, options)
    seen, total = set(), 0
    for array, written in zip(arrays, outputs(kernel), strict=True):
        if array is None:
            continue
        what = array.data.ptr, written  # an input given twice is read once
        total += 0 if what in seen else array.nbytes
        seen.add(what)
    return total


def _of_optimizer(buffers):
    """The parameter, its gradient and the buffers are read; all but the gradient are written."""

    def bytes_of(arrays, options):
        table = backend.to_device(arrays[0], "cpu")
        moved = sum(row[0] * (3 + 2 * np.count_nonzero(row[3 : 3 + buffers])) for row in table)
        return int(moved) * np.dtype(options["dtype"]).itemsize

    return bytes_of


def _of_cut(arrays, _):
    """A byte is read and a float written for each value of the batch, whatever the set's size."""
    x = arrays[4]
    return x.size + x.nbytes + arrays[1].nbytes


# Kernels whose arrays do not tell how much they move: what they move, and they are launched
# on the arrays of the step themselves.
TABLES = {"sgd_step": _of_optimizer(1), "adam_step": _of_optimizer(3), "cut": _of_cut}


def description(arrays, options):
    """What the launch works on, for a reader: its largest arrays, and the stride."""
    arrays = sorted((a for a in arrays if a is not None), key=lambda a: -a.nbytes)
    large = [a for a in arrays if 64 * a.nbytes > arrays[0].nbytes]
    shapes = list(dict.fromkeys("x".join(map(str, a.shape)) for a in large))[:2]
    stride = options.get("SH")
    return " ".join([", ".join(shapes), *([f"stride {stride}"] if isinstance(stride, int) else [])])


def rated(facts, seconds, copy_rate):
    """An entry's facts and what was measured: median microseconds, GB/s, share of the copy's."""
    low, median, high = stats.quartiles(seconds)
    rate = facts["bytes"] / median
    return {
        **facts,
        "us": 1e6 * median,
        "quartiles_us": [1e6 * low, 1e6 * high],
        "gb_per_s": rate / 1e9,
        "share": rate / copy_rate,
    }


def by_kernel(entries, copy_rate):
    """The same for each kernel over all its launches of a step that are not small."""
    totals = {}
    for entry in entries:
        total = totals.setdefault(entry["kernel"], {"us": 0.0, "large_us": 0.0, "large_bytes": 0})
        us = entry["calls"] * entry["us"]
        total["us"] += us
        if not entry["small"]:
            total["large_us"] += us
            total["large_bytes"] += entry["calls"] * entry["bytes"]
    for total in totals.values():
        us, moved = total["large_us"], total["large_bytes"]
        total["share"] = moved / (us / 1e6) / copy_rate if us else None
    return dict(sorted(totals.items(), key=lambda item: -item[1]["us"]))
