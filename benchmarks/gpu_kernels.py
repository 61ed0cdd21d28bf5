"""Our side on a GPU: the network of a row, and our kernels one by one.

The time of each kernel, and the bytes it must move at least: a training step is run with every
launch recorded. Launches of one kernel on arrays of one size count as one entry, whose first arrays
are kept. Afterwards each entry is launched again and again on copies of these arrays, in turn, so
many that no cache holds them.
"""

import functools
import gc
import math
import re
from dataclasses import dataclass

import numpy as np

from benchmarks import gpu_checks, results, tinynet_worker, worker
from tinynet import backend, doctor
from tinynet.data import augment
from tinynet.data.images import Images
from tinynet.fast.cuda.kernel import Kernel, source

COPIED = 2**30  # bytes: many times what any cache holds
AHEAD = 3  # copies that keep the GPU busy while Python queues what is to be timed
AROUND = 2**29  # bytes: the copies of an entry's arrays, together
MOST_COPIES = 16
SMALL = 16e6  # bytes; a kernel that moves less is over before the memory gets going
MEAN_STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
IMAGES = 50_000  # of CIFAR-100


class Device:
    """The GPU that CuPy works on: all that the benchmarks ask of it beyond arrays is here, so that
    a test can put something in its place."""

    def __init__(self):
        self.cupy = backend.cupy()

    def facts(self):
        """What a reader of the figures has to know about where they were taken."""
        properties = self.cupy.cuda.runtime.getDeviceProperties(0)
        return {
            **results.machine(),
            **dict(doctor.facts()),
            "multiprocessors": properties["multiProcessorCount"],
            "cache_mb": properties["l2CacheSize"] / 1e6,
        }

    def wait(self):
        """Return when everything that was queued is done."""
        self.cupy.cuda.runtime.deviceSynchronize()

    def seconds(self, run):
        """The GPU's seconds for what `run` queues, a few hundred launches at most.

        Large copies are queued ahead of it: they empty the caches, and while they last Python
        can queue everything, so that the time holds no waiting for Python.
        """
        start, stop = self.cupy.cuda.Event(), self.cupy.cuda.Event()
        self.wait()
        for _ in range(AHEAD):
            self.copy()
        start.record()
        run()
        stop.record()
        stop.synchronize()
        return self.cupy.cuda.get_elapsed_time(start, stop) / 1000

    def copy(self):
        """Queue one large copy from the device's memory to itself."""
        source, target = self._halves
        target.data.copy_from_device_async(source.data, source.nbytes)

    @functools.cached_property
    def _halves(self):
        total = self.cupy.cuda.runtime.memGetInfo()[1]
        size = min(COPIED, total // 16) // 4
        # not zeros, which some memory moves faster
        return tuple(self.cupy.arange(start, start + size, dtype="int32") for start in (1, 2))

    def copy_rate(self, times=11):
        """Bytes per second of a large copy, those read plus those written; the median."""
        seconds = [self.seconds(self.copy) for _ in range(times)]
        return 2 * self._halves[0].nbytes / results.quartiles(seconds)[1]

    def free(self):
        """Give the memory of arrays that are no more back to the device."""
        gc.collect()
        self.wait()
        self.cupy.get_default_memory_pool().free_all_blocks()

    def peak(self, run):
        """The bytes that the memory pool takes from the device for `run`."""
        self.free()
        run()
        self.wait()
        return self.cupy.get_default_memory_pool().total_bytes()

    def poison(self):
        """From now on new arrays are full of NaN, so that a value never written shows."""
        pool = self.cupy.get_default_memory_pool()

        def malloc(size):
            memory = pool.malloc(size)
            if size:
                memory.memset_async(0xFF, size)
            return memory

        self.cupy.cuda.set_allocator(malloc)


class Network(tinynet_worker.Network):
    """One row's network and its batch, on the GPU."""

    def __init__(self, device):
        self.device, self.wait, self.free = device, device.wait, device.free

    def start(self, row, device="cuda", tf32=False):
        self.release()
        return super().start(row, device, tf32)

    def facts(self, count=3):
        reserved = self.device.peak(lambda: self.many(count))
        return {"reserved_mb": reserved / 1e6, "launch_ms": self.launch_ms()}


@dataclass
class Entry:
    """Launches alike: `kernel(grid, arrays, *numbers, **options)`, `calls` times per step."""

    kernel: Kernel
    grid: tuple
    arrays: tuple
    numbers: tuple
    options: dict
    calls: int = 1

    def facts(self):
        moved = bytes_moved(self)
        facts = {"kernel": self.kernel.name, "on": description(self.arrays, self.options)}
        return {**facts, "calls": self.calls, "bytes": moved, "small": moved < SMALL}

    def sets(self):
        """Sets of its arrays, each with memory of its own. An output that lies on an input gets
        one, too: every launch then reads the same numbers, and moves as many as before."""
        if self.kernel.name in TABLES:  # it is told addresses
            return [self.arrays]
        count = min(max(AROUND // max(bytes_moved(self), 1), 1), MOST_COPIES)
        return [tuple(a if a is None else a.copy() for a in self.arrays) for _ in range(count)]

    def seconds(self, device, times=15):
        """The seconds of a launch in each of `times` measurements."""
        sets = self.sets()

        def launch_all():
            for arrays in sets:
                self.kernel(self.grid, arrays, *self.numbers, **self.options)

        launch_all()
        return [device.seconds(launch_all) / len(sets) for _ in range(times)]


def recorded(run):
    """The entries of what `run` launches, in the order of their first launch."""
    launch, entries = Kernel.__call__, {}

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
        run()
    finally:
        Kernel.__call__ = launch
    return list(entries.values())


def cut_images(batch):
    images = _images()
    rng = np.random.default_rng(0)
    picked = rng.permutation(len(images.images))[:batch]
    images(picked, (*augment.draw_shifts(batch, 4, rng), augment.draw_flips(batch, rng)))


@functools.cache
def _images():
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, 3, 32, 32), np.uint8)
    return Images(images, *augment.scale_and_offset(*MEAN_STD), "cuda")


def bytes_moved(entry):
    """What a launch must move at least: each input read once, each output written once."""
    kernel = entry.kernel
    if kernel.name in TABLES:
        return TABLES[kernel.name](entry.arrays, entry.options)
    signature = re.search(rf"void {kernel.name}\(([^)]*)\)", source(kernel.file))[1]
    written = ["const" not in one for one in signature.split(",") if "*" in one]
    moved = {  # an input given twice is read once
        (array.data.ptr, writes): array.nbytes
        for array, writes in zip(entry.arrays, written, strict=True)
        if array is not None
    }
    return sum(moved.values())


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
    return ", ".join(shapes) + (f" stride {stride}" if isinstance(stride, int) else "")


def tasks(device):
    """name -> what a parent can ask of the process that works on the GPU."""
    network, entries, poisoned = Network(device), [], []

    def record(row):
        """Record a step, and how its batch is cut from bytes; returns the entries' `facts`."""
        entries.clear()  # frees the arrays of an earlier record
        network.start(row)
        network.steps(2)  # what only the first step does is not of interest
        entries.extend(recorded(network.step) + recorded(lambda: cut_images(row["batch"])))
        return [entry.facts() for entry in entries]

    def check(name, dtype):
        if not poisoned:
            device.poison()
            poisoned.append(True)
        return gpu_checks.run(name, dtype)

    def kernel(number, times=15):
        return entries[number].seconds(device, times)

    ours = {"check": check, "copy_rate": device.copy_rate, "record": record, "kernel": kernel}
    return network.tasks() | ours


if __name__ == "__main__":
    worker.serve(tasks(Device()))
