"""Matrix products by cuBLAS, called directly.

CuPy, too, calls cuBLAS, but not while a graph is recorded (graph.py): it refuses, see
https://github.com/cupy/cupy/issues/6290. What it takes is that cuBLAS has a workspace of its own
rather than ask for memory (NVIDIA's cuBLAS documentation, "CUDA Graphs support").
"""

import ctypes
import functools

import numpy as np

from tinynet import backend

SAME, TRANSPOSED = 0, 1  # cublasOperation_t: CUBLAS_OP_N, CUBLAS_OP_T
TF32 = 3  # cublasMath_t: CUBLAS_TF32_TENSOR_OP_MATH
WORKSPACE = 32 << 20  # bytes, what the documentation advises for Hopper; always the same size, for
# cuBLAS chooses its way by it
CALLS = {"f": ("cublasSgemm_v2", ctypes.c_float), "d": ("cublasDgemm_v2", ctypes.c_double)}
MOST = 2**31  # rows, columns and steps are ints


def knows(dtype):
    return dtype.char in CALLS


def matmul(a, b, out):
    """np.matmul(a, b, out=out), by cuBLAS where it can serve: for matrices of one dtype, `out`
    contiguous, a and b contiguous or transposed."""
    serves = (
        a.ndim == b.ndim == 2
        and knows(out.dtype)
        and a.dtype == b.dtype == out.dtype
        and out.flags.c_contiguous
        and min(a.size, b.size) > 0
        and max(a.size, b.size, out.size) < MOST
        and (a.flags.c_contiguous or a.flags.f_contiguous)
        and (b.flags.c_contiguous or b.flags.f_contiguous)
    )
    cublas = library() if serves else None
    if cublas is None:
        backend.refuse_capture("CuPy's matrix products do not let themselves be recorded")
        np.matmul(a, b, out=out)
        return
    char, (M, K), N = out.dtype.char, a.shape, b.shape[1]
    # cuBLAS counts in columns: what lies in memory row by row is to it the transpose. So it is
    # asked for out^T = b^T a^T
    (turned_b, step_b), (turned_a, step_a) = _lies(b), _lies(a)
    of_b, of_a = (b.data.ptr, step_b), (a.data.ptr, step_a)
    sizes = turned_b, turned_a, N, M, K
    cublas.gemm(char, *sizes, *of_b, *of_a, out.data.ptr, N)


def _lies(matrix):
    """Whether its memory is that of its transpose, and how many elements lie between the starts of
    two rows in memory."""
    rows, columns = matrix.shape
    return (SAME, columns) if matrix.flags.c_contiguous else (TRANSPOSED, rows)


@functools.cache
def library():
    """cuBLAS on the current GPU (each worker has one, and keeps it); None where only CuPy knows how
    to load it."""
    try:
        return Cublas()
    except OSError:
        return None


class Cublas:
    def __init__(self):
        cuda = backend.cupy().cuda
        theirs = cuda.device.get_cublas_handle()  # CuPy knows where the library lies, and loads it
        version = cuda.cublas.getVersion(theirs) // 10000
        self.calls = ctypes.CDLL(f"libcublas.so.{version}")
        self.handle = ctypes.c_void_p()
        self.check(self.calls.cublasCreate_v2(ctypes.byref(self.handle)))
        self.workspace = cuda.MemoryPool().malloc(WORKSPACE)
        if backend.tf32_allowed():
            self.check(self.calls.cublasSetMathMode(self.handle, TF32))
        self.current_stream, self.stream = cuda.get_current_stream, None
        self.ready = {}
        for char, (name, real) in CALLS.items():
            call, one, zero = getattr(self.calls, name), real(1), real(0)
            number, address = ctypes.c_int, ctypes.c_void_p
            of_matrix = address, number
            call.argtypes = (
                *(address, *[number] * 5, address),
                *(*of_matrix, *of_matrix, address, *of_matrix),
            )
            self.ready[char] = call, ctypes.byref(one), ctypes.byref(zero)  # which keep them

    def gemm(self, char, turned_a, turned_b, M, N, K, a, step_a, b, step_b, out, step_out):
        """out = a b in columns; a, b and out are addresses."""
        stream = self.current_stream().ptr
        if stream != self.stream:  # each change resets the workspace
            address, size = ctypes.c_void_p(self.workspace.ptr), ctypes.c_size_t(WORKSPACE)
            self.check(self.calls.cublasSetStream_v2(self.handle, ctypes.c_void_p(stream)))
            self.check(self.calls.cublasSetWorkspace_v2(self.handle, address, size))
            self.stream = stream
        call, one, zero = self.ready[char]
        shapes = turned_a, turned_b, M, N, K
        self.check(call(self.handle, *shapes, one, a, step_a, b, step_b, zero, out, step_out))

    @staticmethod
    def check(status):
        if status:
            raise RuntimeError(f"cuBLAS answered with the error {status} (cublasStatus_t)")
