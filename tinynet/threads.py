"""A second thread for work that nobody waits for, and how it gets on with OpenBLAS's threads.

NumPy's matrix products run on all cores, in threads of OpenBLAS's; everything else runs on
one. Sharing out one op among threads of our own does not pay: Python's lock passes from one to
the other at every call, and each time one of them sleeps. Whole pieces of work that need only
be done when the walk back is over, the gradients of weights, wait for nobody. (MobileNetV1 of
width 0.5 in the CIFAR 4x4 layout, batch 128, two cores: 3 to 13 % off a step; 224x224: 6 %.)
"""

import contextlib
import contextvars
import ctypes
import functools
import glob
import os

import numpy as np

WORTH_IT = 2**22  # values (16 MB in float32): with less, waking the thread costs what it spares
BACKLOG = 2  # pieces of work: more would pile up, with the big arrays that they need


class Promise:
    """Something worked out meanwhile: `result()` waits for it, or raises what went wrong."""

    def __init__(self, result):
        self.result = result


def later(work, values):
    """A Promise of `work()`, or its result at once: outside a `beside_blas` block, and where few
    `values` are read for it.

    Nothing here depends on how fast either thread is, so that a run repeats bit for bit: a
    promise is a promise even if the second thread has enough to do and the work is done at
    once, and OpenBLAS has a thread less from the first promise to the end of the block (the
    last bits of a matrix times a vector depend on how many it has).
    """
    if not _state.serving or values < WORTH_IT:
        return work()
    _blas().set(_state.serving - 1)
    thread = _second_thread()
    if thread.is_busy():
        result = work()
        return Promise(lambda: result)
    return Promise(thread.submit(work).result)


@contextlib.contextmanager
def beside_blas():
    """Have a second thread inside the block; once it has work, OpenBLAS leaves a core to it.

    There is none if OpenBLAS may use one core only (OPENBLAS_NUM_THREADS=1), if NumPy was built
    with another BLAS, or inside another such block.
    """
    threads = blas_threads() or 1
    if threads < 2 or _state.serving:
        yield
        return
    _state.serving = threads
    try:
        yield
    finally:
        _blas().set(threads)
        _state.serving = 0


def blas_name():
    """The BLAS that NumPy was built with, and its version."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()


def blas_threads():
    """How many threads NumPy's OpenBLAS uses; None where it is another BLAS."""
    blas = _blas()
    return blas.get() if blas else None


class _Blas:
    """OpenBLAS's own functions `openblas_set_num_threads` and `openblas_get_num_threads`."""

    def __init__(self, library, name):
        self.set = getattr(library, name.format("set"))
        self.get = getattr(library, name.format("get"))


@functools.lru_cache(maxsize=1)
def _blas():
    """The OpenBLAS that came with NumPy from PyPI, where it lies in one of two folders; or None."""
    package = os.path.dirname(np.__file__)
    folders = (package + ".libs", os.path.join(package, ".dylibs"))
    for file in (file for folder in folders for file in glob.glob(f"{folder}/*openblas*")):
        with contextlib.suppress(OSError):
            library = ctypes.PyDLL(file)  # it is loaded already: this is a handle
            for name in ("scipy_openblas_{}_num_threads64_", "openblas_{}_num_threads64_"):
                with contextlib.suppress(AttributeError):
                    return _Blas(library, name)
    return None


class _State:
    serving = 0  # in a `beside_blas` block: how many threads OpenBLAS had before


_state = _State()


class _SecondThread:
    def __init__(self):
        from concurrent.futures import ThreadPoolExecutor  # here: it takes a tenth of our import

        self.executor = ThreadPoolExecutor(1, "tinynet")
        self.waiting = []

    def is_busy(self):
        self.waiting = [future for future in self.waiting if not future.done()]
        return len(self.waiting) >= BACKLOG

    def submit(self, work):
        # a thread has NumPy's error settings of its own unless it is given ours
        future = self.executor.submit(contextvars.copy_context().run, work)
        self.waiting.append(future)
        return future


_second_thread = functools.lru_cache(maxsize=1)(_SecondThread)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_second_thread.cache_clear)  # threads stay behind
