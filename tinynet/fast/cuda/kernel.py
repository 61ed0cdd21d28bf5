"""Kernels in CUDA C: read and compiled when first needed, kept, launched.

A kernel does on a GPU what some lines of NumPy in `tinynet/ops` do. Its source lies in a .cu file
of this folder, a few kernels to a file; what files share is in .cuh files.

Rules of the source, so that it reads like the NumPy lines and compiles everywhere:
    `real` is float or double, whichever the arrays hold; sizes are `int`; other numbers come as
    `double`. Pointers are to C-contiguous arrays. THREADS threads make a block. Capital names
    that the source does not define are constants of the call (`Kernel.__call__`).
    No atomics: every sum has one order, so that two runs agree bit for bit.
"""

import functools
import re
from pathlib import Path

import numpy as np

from tinynet.backend import array_module, cupy

HERE = Path(__file__).parent
THREADS = 256  # of a block; a power of two, for sums halve it again and again
BLOCKS = 2048  # that keep a large GPU busy, eight on each of some 130 processors twice over
MOST_VALUES, MOST_BLOCKS = 2**30, 2**16  # fewer fit an int, and a grid's second and third axis
REALS = {"f": "float", "d": "double"}
PACK = 4  # neighbouring values that a thread can read at once, see pack.cuh
PACKED, SINGLE = {"PACK": PACK, "ALIGNED": 16}, {"PACK": 1, "ALIGNED": "sizeof(real)"}
SCALARS = {int: np.int32, bool: np.int32, float: np.float64}  # of numbers: the source's types


class Kernel:
    """One function of a file. Args: name: of the function, file: where it is."""

    every = []  # all kernels there are: tests compile each for several GPUs

    def __init__(self, name, file):
        self.name, self.file = name, file
        self._compiled = functools.cache(self._compile)
        Kernel.every.append(self)

    @property
    def source(self):
        """The text of its whole file."""
        return source(self.file)

    def __call__(self, grid, arrays, *numbers, dtype=None, **constants):
        """Run on a grid of blocks; nothing is waited for.

        Args: grid: how many blocks, along up to three axes. arrays: a tuple, the function's first
        parameters; None for no array. numbers: its last ones, Python's ints, bools and floats.
        dtype: the `real` of the source, that of the first array if not given. constants: what the
        capital names of the source stand for: numbers, or the name of a parameter.
        """
        if 0 in grid:
            return
        real = REALS[(dtype or arrays[0].dtype).char]
        run = self._compiled(real, **constants)
        run(grid, (THREADS,), (*arrays, *_scalars(*numbers)))

    def _compile(self, real, **constants):
        return module(self.file, options(real, constants)).get_function(self.name)


@functools.cache
def module(file, options):
    """All kernels of a file, compiled."""
    return cupy().RawModule(code=source(file), options=options)


@functools.cache
def source(file):
    """A file's text, in which that of every file that it includes stands in the line's place:
    compilers then need no folder to search."""
    text = (HERE / file).read_text(encoding="utf-8")
    return re.sub(r'^#include "(.+)"$', lambda line: source(line[1]), text, flags=re.MULTILINE)


# Kept, since making a NumPy scalar takes as long as launching half a kernel. The learning rate is
# among them: not every number comes again. typed: 1, 1.0 and True are equal, but not the same.
@functools.lru_cache(maxsize=4096, typed=True)
def _scalars(*numbers):
    return tuple(SCALARS[type(number)](number) for number in numbers)


def options(real, constants):
    """The compiler's options: what `real`, THREADS and the constants of a call stand for."""
    defined = {"real": real, "THREADS": THREADS, **constants}
    return ("--std=c++14", *(f"-D{name}={value}" for name, value in defined.items()))


def suits(*arrays):
    """Whether kernels can take these arrays as they lie: on a GPU, all float32 or all float64,
    contiguous, and small enough to be counted in an int. None stands for no array."""
    dtype = arrays[0].dtype
    if array_module(arrays[0]) is np or dtype.char not in REALS:
        return False
    for a in arrays:
        if a is not None and (
            a.dtype != dtype or a.size >= MOST_VALUES or not a.flags.c_contiguous
        ):
            return False
    return True


def suits_images(x, *arrays):
    """The same of images x (N, C, H, W), which an op may have to copy into the order of its memory
    first, and of the arrays that go with them."""
    return (
        0 < x.size < MOST_VALUES
        and x.shape[1] < MOST_BLOCKS
        and suits(*arrays)
        and x.dtype == arrays[0].dtype
    )


def packing(*arrays):
    """The constants of pack.cuh: whether all these arrays can be read in packs along their last
    axis."""
    packed = all(a.shape[-1] % PACK == 0 and a.data.ptr % 16 == 0 for a in arrays)
    return PACKED if packed else SINGLE


def pieces(rows, length, values):
    """Into how many blocks to cut each of `rows` rows: enough to keep a GPU busy, and no more
    than leave every thread about `values` values. It does not depend on the GPU, nor does the
    order of sums, then."""
    return max(1, min(-(-BLOCKS // max(rows, 1)), -(-length // (THREADS * values)), THREADS))


def blocks(length):
    """How many blocks of THREADS there are in `length`."""
    return -(-length // THREADS)
