"""What the GPU's benchmarks ask of a device beyond arrays: to wait, to take time, to watch memory.

Everything that they need of CuPy's runtime is here, so that a test can put something in its place.
"""

import functools
import gc
import shutil
import subprocess

from benchmarks import machine, stats
from tinynet import backend, doctor

COPIED = 2**30  # bytes: many times what any cache holds
AHEAD = 3  # copies that keep the GPU busy while Python queues what is to be timed


class Device:
    """The GPU that CuPy works on."""

    def __init__(self):
        self.cupy = backend.cupy()

    def facts(self):
        """What a reader of the figures has to know about where they were taken."""
        properties = self.cupy.cuda.runtime.getDeviceProperties(0)
        return {
            **machine.facts(),
            **dict(doctor.facts()),
            "device": properties["name"].decode(),
            "compute_capability": f"{properties['major']}.{properties['minor']}",
            "multiprocessors": properties["multiProcessorCount"],
            "memory_mb": properties["totalGlobalMem"] / 1e6,
            "cache_mb": properties["l2CacheSize"] / 1e6,
            "driver_version": _driver(),
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
        """Bytes a second of a large copy, those read plus those written; the median."""
        seconds = [self.seconds(self.copy) for _ in range(times)]
        return 2 * self._halves[0].nbytes / stats.quartiles(seconds)[1]

    def free(self):
        """Give the memory of arrays that are no more back to the device."""
        gc.collect()
        self.wait()
        self.cupy.get_default_memory_pool().free_all_blocks()

    def peaks(self, run):
        """Bytes (reserved, used): the most that the memory pool takes from the device for `run`,
        and the most of them that arrays have at one time."""
        pool = self.cupy.get_default_memory_pool()

        class Watch(self.cupy.cuda.MemoryHook):
            name = "peak of the used bytes"
            most = 0

            def malloc_postprocess(self, **_):
                self.most = max(self.most, pool.used_bytes())

        self.free()
        run()  # without the watch, which makes it slow
        self.wait()
        reserved = pool.total_bytes()
        with Watch() as watch:
            run()
        return reserved, watch.most

    def poison(self):
        """From now on new arrays are full of NaN, so that a value never written shows."""
        pool = self.cupy.get_default_memory_pool()

        def malloc(size):
            memory = pool.malloc(size)
            if size:
                memory.memset_async(0xFF, size)
            return memory

        self.cupy.cuda.set_allocator(malloc)


def _driver():
    """The driver's own version, None where nvidia-smi does not say."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return None
    ask = [command, "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(ask, capture_output=True, text=True)
    return done.stdout.splitlines()[0].strip() if done.returncode == 0 and done.stdout else None
