"""Kernels in CUDA C: compiled when first needed, kept, launched.

A kernel does on the GPU what some lines of NumPy do on the CPU, and stands under them in the
same file. Nothing depends on one being there: `suits` decides at one branch, and the lines
above the kernel run on CuPy's arrays too.

Rules of the source, so that it reads like the NumPy lines and compiles everywhere:
    `real` is float or double, whichever the arrays hold; sizes are `int`; other numbers come as
    `double`. Pointers are to C-contiguous arrays. THREADS threads make a block. Capital names
    that the source does not define are constants of the call (`Kernel.__call__`).
    No atomics: every sum has one order, so that two runs agree bit for bit.
"""

import functools

import numpy as np

from tinynet.backend import array_module, cupy

THREADS = 256  # of a block; a power of two, for sums halve it again and again
BLOCKS = 2048  # that keep a large GPU busy, eight on each of some 130 processors twice over
REALS = {"f": "float", "d": "double"}
SCALARS = {int: np.int32, bool: np.int32, float: np.float64}  # of numbers: the source's types

BLOCK_SUM = r"""
// Each of COUNT values becomes its sum over all threads of the block, known to each of them.
template <int COUNT> __device__ void block_sums(real *values)
{
    __shared__ real sums[COUNT][THREADS];
    const int t = threadIdx.x;
    for (int i = 0; i < COUNT; i++) sums[i][t] = values[i];
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        for (int i = 0; i < COUNT; i++)
            if (t < half) sums[i][t] += sums[i][t + half];
    }
    __syncthreads();
    for (int i = 0; i < COUNT; i++) values[i] = sums[i][0];
    __syncthreads();  // before the next call writes
}

__device__ real block_sum(real value)
{
    block_sums<1>(&value);
    return value;
}
"""


class Kernel:
    """One function of CUDA C.

    Args: name: of the function. source: CUDA C with `extern "C" __global__ void name(...)`.
    """

    every = []  # all kernels there are: tests compile each for several GPUs

    def __init__(self, name, source):
        self.name, self.source = name, source
        self._compiled = functools.lru_cache(maxsize=None)(self._compile)
        Kernel.every.append(self)

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
        return (
            cupy()
            .RawModule(code=self.source, options=options(real, constants))
            .get_function(self.name)
        )


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
    """Whether kernels can work on these arrays: on a GPU, all float32 or all float64, contiguous,
    and small enough to be counted in an int. None stands for no array."""
    dtype = arrays[0].dtype
    if array_module(arrays[0]) is np or dtype.char not in REALS:
        return False
    for a in arrays:
        if a is not None and (a.dtype != dtype or a.size >= 2**30 or not a.flags.c_contiguous):
            return False
    return True


def pieces(rows, length, values):
    """Into how many blocks to cut each of `rows` rows: enough to keep a GPU busy, and no more
    than leave every thread about `values` values. It does not depend on the GPU, nor does the
    order of sums, then."""
    return max(1, min(-(-BLOCKS // max(rows, 1)), -(-length // (THREADS * values)), THREADS))


def blocks(length):
    """How many blocks of THREADS there are in `length`."""
    return -(-length // THREADS)
