"""NumPy or CuPy: the one file that knows there are two.

Formulas are written once, with NumPy's functions: given an array of CuPy's they call CuPy's
function of the same name (NumPy enhancement proposals 13 and 18). CuPy is imported on the first
request for a GPU, never at import time, so that a CPU-only installation needs nothing but NumPy.
"""

import contextlib
import functools
import importlib
import math
import os
import sys
import threading
import warnings

import numpy as np


class device(str):  # noqa: N801 (torch's name)
    """Where a tensor is: 'cpu', 'cuda' or 'cuda:0', with torch's `type` and `index`. It is a str,
    and equal to one. `device("cuda", 0)` is `device("cuda:0")`. Raises ValueError for others."""

    def __new__(cls, type, index=None):
        name = type if index is None else f"{type}:{index}"
        if name not in DEVICES:
            raise ValueError(f"device: must be 'cpu', 'cuda' or 'cuda:0', got {name!r}")
        return super().__new__(cls, name)

    @property
    def type(self):
        return self.split(":")[0]

    @property
    def index(self):
        return int(self.split(":")[1]) if ":" in self else None

    def __repr__(self):
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type={self.type!r}{index})"


NUMPYS = (np.ndarray, np.generic)  # what NumPy's functions return
DEVICES = ("cpu", "cuda", "cuda:0")
CPU, CUDA = device("cpu"), device("cuda")
INSTALL_HINT = """pip install -e ".[cuda12]" in tinynet's folder (".[cuda13]" for CUDA 13)"""


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


def nccl():
    """CuPy's NCCL module. Raises RuntimeError, in one sentence, where NCCL is missing."""
    cupy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CuPy's own words for it
        module = importlib.import_module("cupy.cuda.nccl")
    if not module.available:
        raise RuntimeError(
            "workers on several GPUs need NCCL, which CuPy did not find; install it with "
            """pip install -e ".[nccl12]" in tinynet's folder (".[nccl13]" for CUDA 13)"""
        )
    return module


def device_count():
    """How many GPUs there are. Raises RuntimeError where none can be used."""
    return cupy().cuda.runtime.getDeviceCount()


def cuda_available():
    """True if CuPy is installed and a CUDA device answers."""
    try:
        cupy()
    except RuntimeError:
        return False
    return True


def array_module(array):
    """The module (numpy or cupy) whose functions work on `array`.

    Most formulas do without: NumPy's functions hand a CuPy array to CuPy's of the same name.
    """
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
    return CPU if array_module(array) is np else CUDA


def owner(array):
    """The array whose memory `array` is, or is a part of."""
    return array if array.base is None else array.base


def check_device(device):
    """`device` as 'cpu' or 'cuda'. Raises ValueError for any other, RuntimeError without a GPU or
    without what CUDA needs beside it."""
    name = str(device)
    if name not in DEVICES:
        raise ValueError(f"device: must be 'cpu' or 'cuda', got {device!r}")
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
    refuse_capture("it moves data between CPU and GPU")
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


def tf32_allowed():
    return os.environ.get("CUPY_TF32") == "1"


class _Capture(threading.local):
    on = False


_capture = _Capture()


@contextlib.contextmanager
def capturing():
    """A block in which this thread's work on the GPU is recorded, not done: see fast/cuda/graph."""
    _capture.on = True
    try:
        yield
    finally:
        _capture.on = False


def refuse_capture(why):
    """Raise RuntimeError inside `capturing`: what happens here would not happen at a replay, or not
    as it should."""
    if _capture.on:
        raise RuntimeError(f"this cannot be recorded, for {why}")


POOLED = 1 << 16  # bytes: smaller arrays come out of the C library's own store as quickly
PATIENCE = 2000  # arrays: a buffer that was not handed out for so long is given back
FREE = 2  # references to a buffer that is free: the pool's, and that of the call which counts
COUNTED = getattr(sys, "_is_gil_enabled", lambda: True)()  # without the GIL counts may lag behind


class _Pool:
    """Memory of freed arrays, kept for the next array of the same size.

    The C library gives every large array back to the system when it is freed, and the next one
    comes as fresh pages that the system zeroes: a large part of a training step, which frees and
    takes the same sizes again and again. A buffer is free when nothing but the pool refers to
    it, as Python's reference count tells, for every view refers to the buffer that it is a part
    of. The buffer handed out last is asked first: it may still be in the cache.
    """

    def __init__(self):
        self.shelves = {}  # bytes -> [[buffer, when it was handed out], ...], the latest last
        self.clock = 0
        self.lock = threading.Lock()  # two threads must not take one buffer

    def empty(self, shape, dtype):
        size = math.prod(shape) * dtype.itemsize
        if size < POOLED or not COUNTED:
            return np.empty(shape, dtype)
        with self.lock:
            self.clock += 1
            shelf = self.shelves.get(size, ())
            for place in range(len(shelf) - 1, -1, -1):
                if sys.getrefcount(shelf[place][0]) == FREE:
                    entry = shelf.pop(place)
                    break
            else:
                self._forget_idle(self.clock - PATIENCE)
                entry = [np.empty(size, np.uint8), 0]
            entry[1] = self.clock
            self.shelves.setdefault(size, []).append(entry)
            return entry[0].view(dtype).reshape(shape)

    def _forget_idle(self, oldest):
        """Give back what was last handed out before `oldest`, before more memory is taken."""
        for size, shelf in list(self.shelves.items()):
            shelf[:] = [e for e in shelf if e[1] > oldest or sys.getrefcount(e[0]) > FREE]
            if not shelf:
                del self.shelves[size]


_pool = _Pool()


def empty(shape, dtype):
    """A NumPy array with whatever values its memory holds, which may be that of a freed one."""
    return _pool.empty(shape, np.dtype(dtype))


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


class Generator:
    """Random numbers of their own, for what takes `generator=`: `Generator().manual_seed(1)`."""

    def __init__(self, device="cpu"):
        self.manual_seed(int(np.random.SeedSequence().generate_state(1)[0]))

    def manual_seed(self, seed):
        """Begin again from this seed, an integer from 0 up; returns the generator itself."""
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise ValueError(f"Generator: seed must be an integer from 0 up, got {seed!r}")
        self._seed, self.numbers = int(seed), np.random.default_rng(seed)
        return self

    def initial_seed(self):
        return self._seed


def numbers_of(generator):
    """The NumPy generator in a `Generator`; of None, the one that `manual_seed` seeds."""
    if generator is None:
        return random_generator()
    if not isinstance(generator, Generator):
        raise TypeError(
            f"generator: must be a tinynet.Generator or None, got {type(generator).__name__}"
        )
    return generator.numbers


def random_generator():
    """The NumPy generator that `manual_seed` seeds."""
    refuse_capture("a replay would repeat the random numbers drawn (for dropout, say)")
    return _random.generator
