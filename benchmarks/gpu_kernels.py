"""Our side on a GPU: the network of a row, and our kernels one by one.

A training step is run with every launch recorded. Launches of one kernel on arrays of one size
count as one entry, which is then launched again and again on copies of its first arrays, so many
that no cache holds them.
"""

import functools
import re
from dataclasses import dataclass

import numpy as np

import tinynet as tn
from benchmarks import gpu_checks, results, tinynet_worker, worker
from tinynet import backend, doctor
from tinynet.autograd.graphed import call
from tinynet.fast.cuda import products
from tinynet.fast.cuda.kernel import Kernel, source

COPIED = 2**30  # bytes: many times what any cache holds
AHEAD = 3  # copies that keep the GPU busy while Python queues what is to be timed
AROUND = 2**29  # bytes: the copies of an entry's arrays, together
MOST_COPIES = 16
SMALL = 16e6  # bytes; a kernel that moves less is over before the memory gets going
SGD = "sgd_step"  # it is told addresses, and so launched on the arrays of the step themselves


class Device:
    """The GPU that CuPy works on: all that the benchmarks ask of it beyond arrays is here, so that
    a test can put something in its place."""

    def __init__(self):
        self.cupy = backend.cupy()

    def facts(self):
        return results.machine() | dict(doctor.facts())

    def wait(self):
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

    def peak(self, run, learn):
        """The bytes taken from the device for `run`, which calls `learn`, a Graphed: by the memory
        pool, by that of a graph, and for cuBLAS."""
        pool = self.cupy.get_default_memory_pool()
        self.wait()
        pool.free_all_blocks()
        run()
        self.wait()
        graph = getattr(learn.recording, "pool", None)
        return pool.total_bytes() + products.WORKSPACE + (graph.total_bytes() if graph else 0)

    def poison(self):
        """From now on new arrays are full of NaN, so that a value never written shows."""

        def malloc(size):
            memory = self.cupy.get_default_memory_pool().malloc(size)
            if size:
                memory.memset_async(0xFF, size)
            return memory

        self.cupy.cuda.set_allocator(malloc)


@dataclass
class Entry:
    """Launches alike: `kernel(grid, arrays, *numbers, **options)`, `calls` times per step."""

    kernel: Kernel
    grid: tuple
    arrays: tuple
    numbers: tuple
    options: dict
    calls: int = 0

    def facts(self):
        moved = bytes_moved(self)
        shapes = dict.fromkeys("x".join(map(str, a.shape)) for a in self.arrays if a is not None)
        facts = {"kernel": self.kernel.name, "on": ", ".join(shapes), "calls": self.calls}
        return {**facts, "bytes": moved, "small": moved < SMALL}

    def sets(self):
        """Sets of its arrays, each with memory of its own. An output that lies on an input gets
        one, too: every launch then reads the same numbers, and moves as many as before."""
        if self.kernel.name == SGD:
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
        sizes = [a if a is None else (a.shape, a.dtype.char) for a in arrays]
        key = str((self.name, grid, sizes, numbers, options))
        entries.setdefault(key, Entry(self, grid, arrays, numbers, options)).calls += 1

    Kernel.__call__ = launch_and_note
    try:
        run()
    finally:
        Kernel.__call__ = launch
    return list(entries.values())


def bytes_moved(entry):
    """What a launch must move at least: each input read once, each output written once."""
    kernel = entry.kernel
    if kernel.name == SGD:  # reads parameter, gradient and momentum, writes all but the gradient
        table = backend.to_device(entry.arrays[0], "cpu")
        moved = sum(row[0] * (5 if row[3] else 3) for row in table)
        return int(moved) * np.dtype(entry.options["dtype"]).itemsize
    signature = re.search(rf"void {kernel.name}\(([^)]*)\)", source(kernel.file))[1]
    written = ["const" not in one for one in signature.split(",") if "*" in one]
    moved = {  # an input given twice is read once
        (array.data.ptr, writes): array.nbytes
        for array, writes in zip(entry.arrays, written, strict=True)
        if array is not None
    }
    return sum(moved.values())


class Network(tinynet_worker.Network):
    """One row's network and its batch on the GPU; and what else is asked of a process there. Its
    step is that of the training scripts: forward and backward are replayed as a CUDA graph."""

    def __init__(self, device):
        self.device, self.wait, self.copy_rate = device, device.wait, device.copy_rate

    def start(self, row, device="cuda", tf32=False):
        parameters = super().start(row, device, tf32)
        self.learn = tn.Graphed(self.forward_and_backward, self.model.parameters())
        return parameters

    def forward_and_backward(self, x, labels):
        loss = self.criterion(self.model(x), labels)
        loss.backward()
        return loss.detach()

    def train(self):
        self.learn(self.x, self.labels)
        self.optimizer.step()

    def facts(self, count=3):
        self.many(count)  # the graph is recorded by then
        reserved = self.device.peak(lambda: self.many(count), self.learn)
        return {"peak_mb": reserved / 1e6, "launch_ms": self.launch_ms(), **self.op_by_op()}

    def op_by_op(self, blocks=7, size=5):
        """The median ms of a step without the graph, and its `launch_ms`."""
        graphed, self.learn = self.learn, functools.partial(call, self.learn)
        seconds = self.steps(blocks, size)[1:]
        found = {"op_by_op_ms": 1000 * results.quartiles(seconds)[1]}
        found["op_by_op_launch_ms"], self.learn = self.launch_ms(), graphed
        return found

    def check(self, name, dtype):
        self.device.poison()
        return gpu_checks.run(name, dtype)

    def record(self, row):
        """Record a step; returns the entries' `facts`."""
        self.start(row)
        self.learn = functools.partial(call, self.learn)
        self.steps(2)  # what only the first step does is not of interest
        self.entries = recorded(self.step)
        return [entry.facts() for entry in self.entries]

    def kernel(self, number, times=15):
        return self.entries[number].seconds(self.device, times)


if __name__ == "__main__":
    worker.serve(Network(Device()))
