"""NumPy or CuPy: the one file that knows there are two.

The rest of the engine asks `xp = array_module(x)` and writes each formula once. CuPy is
imported on the first request for a GPU, never at import time, so that a CPU-only
installation needs nothing but NumPy.
"""

import ctypes
import functools
import importlib
import os
import sys

import numpy as np

NUMPYS = (np.ndarray, np.generic)  # what NumPy's functions return
INSTALL_HINT = 'pip install "tinynet[cuda12]" (or "tinynet[cuda13]" for CUDA 13)'


@functools.lru_cache(maxsize=1)
def cupy():
    """The CuPy module. Raises RuntimeError, in one sentence, when no GPU can be used."""
    try:
        module = importlib.import_module("cupy")
    except ImportError as error:
        raise RuntimeError(
            f"the device 'cuda' needs CuPy, which could not be imported ({error}); "
            f"install it with {INSTALL_HINT}, or use the device 'cpu'"
        ) from error
    try:
        count = module.cuda.runtime.getDeviceCount()
    except Exception as error:  # CuPy raises its own classes for a missing driver or library
        raise RuntimeError(
            f"CuPy is installed but CUDA does not answer ({error}); "
            f"check the driver, or install the matching CuPy with {INSTALL_HINT}"
        ) from error
    if count == 0:
        raise RuntimeError("CuPy is installed but found no CUDA device; use the device 'cpu'")
    return module


def cuda_available():
    """True if CuPy is installed and a CUDA device answers."""
    try:
        cupy()
    except RuntimeError:
        return False
    return True


def array_module(array):
    """The module (numpy or cupy) whose functions work on `array`."""
    if isinstance(array, NUMPYS):
        return np
    # An array of CuPy's can only exist once CuPy is loaded: do not import it to find out.
    loaded = sys.modules.get("cupy")
    if loaded is not None and isinstance(array, loaded.ndarray):
        return loaded
    raise TypeError(f"expected a NumPy or CuPy array, got {type(array).__name__}")


def is_array(value):
    """True for a NumPy array or scalar and for a CuPy array."""
    if isinstance(value, NUMPYS):
        return True
    loaded = sys.modules.get("cupy")
    return loaded is not None and isinstance(value, loaded.ndarray)


def device_of(array):
    """'cpu' for a NumPy array, 'cuda' for a CuPy array."""
    return "cpu" if array_module(array) is np else "cuda"


def may_share_memory(array, *others):
    """Whether `array` might share memory with one of the others, among which what is no array of
    its device counts for nothing. On a GPU: whether they lie in one allocation, which costs less
    to find out than where each begins and ends."""
    if isinstance(array, NUMPYS):
        others = [other for other in others if isinstance(other, NUMPYS)]
        return any(np.may_share_memory(array, other) for other in others)
    allocation, kind = array.data.mem.ptr, type(array)
    return any(isinstance(other, kind) and other.data.mem.ptr == allocation for other in others)


def check_device(device):
    """`device` as 'cpu' or 'cuda'. Raises ValueError for any other, RuntimeError without a GPU or
    without what CUDA needs beside it."""
    name = str(device)
    if name not in ("cpu", "cuda", "cuda:0"):
        raise ValueError(f"device must be 'cpu' or 'cuda', got {device!r}")
    if name == "cpu":
        return "cpu"
    _check_libraries(cupy())
    return "cuda"


@functools.lru_cache(maxsize=1)
def _check_libraries(module):
    """Raise RuntimeError, in one sentence, where CUDA's compiler or its matrix products lack."""
    libraries = {
        "NVRTC, which compiles kernels": module.cuda.nvrtc.getVersion,
        "cuBLAS, for matrix products": module.cuda.device.get_cublas_handle,
    }
    for library, ask in libraries.items():
        try:
            ask()
        except Exception as error:  # CuPy raises its own classes for a missing library
            raise RuntimeError(
                f"CuPy found a GPU but not {library} ({' '.join(str(error).split())}); "
                f"install CUDA's libraries with {INSTALL_HINT}"
            ) from error


def to_device(array, device):
    """`array` on `device` ('cpu' or 'cuda'); the same array if it is there already.

    The memory layout is kept: a transposed view arrives as a transposed view.
    """
    target = check_device(device)
    if device_of(array) == target:
        return array
    # Neither library's copy keeps a (C, H, W, N) layout under NCHW axes, so move the memory in
    # its own order and permute the axes back.
    order = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
    packed = array.transpose(order).copy(order="C")
    moved = cupy().asnumpy(packed) if target == "cpu" else cupy().asarray(packed)
    return moved.transpose(np.argsort(order).tolist())


def allow_tf32():
    """Let matrix products on a GPU round their float32 factors to TF32: 10 bits behind the point
    for 23, several times faster on GPUs since Ampere. To be called before the first product."""
    os.environ["CUPY_TF32"] = "1"  # read by CuPy at that moment


def reuse_freed_memory():
    """Ask the C library to keep freed memory for the next array; True if it agreed.

    By default glibc gives every large array back to the system when it is freed and asks for
    it anew, zeroed page by page, at the next operation. For a training step, which frees and
    takes the same sizes again and again, that is a large part of the time. The price: the
    process keeps its peak size. It acts on the whole process, so a program calls it, never the
    library by itself. Elsewhere than on Linux with glibc it does nothing.
    """
    mmap_max, trim_threshold = -4, -1  # M_MMAP_MAX, M_TRIM_THRESHOLD of malloc.h
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(mmap_max, 0) and mallopt(trim_threshold, 2**31 - 1))


class _Random:
    """The engine's random numbers: one NumPy generator, so that a seed means the same
    numbers on every device. Made when first asked for: NumPy imports its generators only then."""

    @functools.cached_property
    def generator(self):
        return np.random.default_rng()


_random = _Random()


def manual_seed(seed):
    """Seed everything random in the engine: initial weights, dropout, `randn`.

    Args: seed: an integer from 0 up.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"manual_seed: seed must be an integer from 0 up, got {seed!r}")
    _random.generator = np.random.default_rng(seed)


def random_generator():
    """The NumPy generator that `manual_seed` seeds."""
    return _random.generator
