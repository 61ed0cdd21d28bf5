"""How many cores there are for this process, and how many of them the BLAS uses."""

import contextlib
import ctypes
import functools
import glob
import os

import numpy as np


def available():
    """The number of cores that this process may use: those it is bound to, or what a container's
    quota allows, whichever is less; at least 1."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        count = os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = map(int, file.read().split())  # ValueError for the word "max"
        count = min(count, max(1, quota // period))
    return count


def blas_name():
    """The BLAS that NumPy was built with, and its version."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()


def blas_threads():
    """How many threads NumPy's OpenBLAS uses; None where it is another BLAS."""
    function = _openblas("get_num_threads")
    return function and function()


def set_blas_threads(count):
    """Let NumPy's OpenBLAS use so many threads. False where it is another BLAS, which has to be
    told by its environment variable before NumPy is imported."""
    function = _openblas("set_num_threads")
    if function is None:
        return False
    function(count)
    return True


@functools.cache
def _openblas(name):
    """A function of the library that came with NumPy from PyPI, which lies in one of two folders;
    None if it is not there."""
    package = os.path.dirname(np.__file__)
    folders = (package + ".libs", os.path.join(package, ".dylibs"))
    for file in (file for folder in folders for file in glob.glob(f"{folder}/*openblas*")):
        for prefix in ("scipy_openblas", "openblas"):
            with contextlib.suppress(OSError, AttributeError):
                return getattr(ctypes.PyDLL(file), f"{prefix}_{name}64_")
    return None
