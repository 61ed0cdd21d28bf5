"""A stand-in for CuPy on machines without a GPU: NumPy's arithmetic behind CuPy's manners.

NumPy's functions, given its arrays, call its own functions of the same name, as they call CuPy's
(NumPy enhancement proposals 13 and 18). Those are the ones that the engine uses (`NAMES`: each was
found in CuPy 14.2), without the options that CuPy lacks; all others are refused, and so is a mix of
its arrays with NumPy's. Its kernels are compiled for the host (`host_kernel.py`). A fresh array
holds NaN, so that a value never written shows. While a stream captures, nothing is computed but
noted down, and what a graph could not replay is refused.
"""

import contextlib
import ctypes
import functools
import sys
import types

import numpy as np
import pytest
from needs import lacking

from device.host_kernel import HostModule, compiler
from tinynet import backend
from tinynet.fast.cuda import kernel, products


def _words(text):
    return text.split()


NAMES = _words("""
    absolute add all any arange argmax argmin argsort array_equal ascontiguousarray bitwise_and
    bitwise_or bitwise_xor broadcast_to clip concatenate copysign copyto cos cumsum divide
    einsum equal exp expm1 flip floor full full_like greater greater_equal isfinite isinf isnan
    less less_equal log log1p logical_and logical_not logical_or matmul max maximum mean min
    minimum moveaxis multiply negative not_equal ones ones_like pad power put_along_axis repeat
    rint roll searchsorted sign sin split sqrt stack subtract sum swapaxes take take_along_axis
    tanh transpose tril triu where zeros zeros_like
""")
METHODS = _words("""
    all any argmax argmin argsort astype clip copy cumsum diagonal dot fill flatten max mean min
    ravel repeat reshape std sum swapaxes transpose var view round nonzero
""")
ATTRIBUTES = ("dtype", "itemsize", "nbytes", "ndim", "shape", "size", "strides")
DTYPES = "?bBhHiIlLqQefdFD"
REALS = {"f": ctypes.c_float, "d": ctypes.c_double}
REFUSED = {"where", "initial", "casting", "subok"}
OPERATORS = _words("add sub mul truediv floordiv mod pow matmul and or xor lshift rshift")
COMPARISONS = _words("lt le gt ge eq ne")


class Graph:
    """What a stream has captured: functions that do it again, into the same memory."""

    current = None  # the one that is being captured

    def __init__(self):
        self.steps = []

    def launch(self):
        with np.errstate(all="ignore"):
            for step in self.steps:
                step()


class Stream:
    ptr = 0

    def __init__(self, non_blocking=False):
        assert non_blocking, "the default stream must not wait for it"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def synchronize(self):
        pass

    def begin_capture(self):
        Graph.current = Graph()

    def end_capture(self):
        graph, Graph.current = Graph.current, None
        return graph


class Pool:
    def malloc(self, size):
        return None

    def free_all_blocks(self):
        pass

    def total_bytes(self):
        return 1_000_000


def not_captured(what):
    if Graph.current is not None:
        raise RuntimeError(f"{what} while a stream captures")


def does(action):
    """Carry out what changes memory, or note it down."""
    if Graph.current is None:
        action()
    else:
        Graph.current.steps.append(action)


def gives(compute, *sources):
    """What `compute` returns as an array of the device. While a stream captures its numbers are
    still unknown, unless it is a view of one of the `sources`."""
    with np.errstate(all="ignore") if Graph.current else contextlib.nullcontext():
        value = compute()
    known = Graph.current is None or not isinstance(value, np.ndarray | np.generic)
    if known or any(np.may_share_memory(value, source) for source in sources):
        return wrapped(value)
    out = np.empty_like(value)
    Graph.current.steps.append(lambda: np.copyto(out, compute()))
    return _filled(out)


class ndarray:  # noqa: N801  (CuPy's name)
    """An array of the device: `values` is NumPy's, which only this file touches."""

    __hash__ = None

    def __init__(self, values):
        if values.dtype.char not in DTYPES:
            raise TypeError(f"CuPy has no {values.dtype}")
        self.values = values

    def __array__(self, *_, **__):
        raise TypeError("an array of the device was handed to NumPy; use cupy.asnumpy or xp")

    def __array_function__(self, function, _, arguments, options):
        ours = getattr(make(), function.__name__, None)
        return NotImplemented if ours is None else ours(*arguments, **options)

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        ours = getattr(make(), ufunc.__name__, None)
        if ours is None or method != "__call__":  # no np.add.at, say
            return NotImplemented
        if "out" in options:
            (options["out"],) = options["out"]
        return ours(*inputs, **options)

    def __repr__(self):
        return f"device{self.values!r}"

    @property
    def T(self):
        return ndarray(self.values.T)

    @property
    def base(self):
        """The array that owns the memory: NumPy's, and where CuPy has None this array's own."""
        base = self.values
        while isinstance(base.base, np.ndarray):
            base = base.base
        return base

    @property
    def data(self):
        allocation = types.SimpleNamespace(ptr=self.base.ctypes.data)
        return types.SimpleNamespace(ptr=self.values.ctypes.data, mem=allocation)

    @property
    def flags(self):
        flags = self.values.flags
        return types.SimpleNamespace(
            c_contiguous=flags.c_contiguous, f_contiguous=flags.f_contiguous, owndata=flags.owndata
        )

    def __getitem__(self, index):
        index = _positions(index, len(self.values) if self.ndim else 1)
        if not any(part is ... for part in index):
            index = (*index, ...)  # a single element too is a view
        return gives(lambda: self.values[index], self.values)

    def __setitem__(self, index, value):
        if isinstance(value, list):
            raise TypeError("CuPy does not take a list for an array's values")
        index = _positions(index, len(self.values) if self.ndim else 1)
        does(lambda: self.values.__setitem__(index, plain(value)))

    def __len__(self):
        return len(self.values)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    # these wait for the GPU and fetch one number
    def __bool__(self):
        not_captured("bool() of an array")
        return bool(self.values)

    def __int__(self):
        not_captured("int() of an array")
        return int(self.values)

    def __float__(self):
        not_captured("float() of an array")
        return float(self.values)

    def __index__(self):
        not_captured("an array as an index")
        return self.values.__index__()

    def item(self):
        not_captured("item()")
        return self.values.item()

    def tolist(self):
        not_captured("tolist()")
        return self.values.tolist()

    def __neg__(self):
        return gives(lambda: -self.values)

    def __abs__(self):
        return gives(lambda: abs(self.values))

    def __invert__(self):
        return gives(lambda: ~self.values)


def plain(value):
    """What NumPy needs in place of `value`; TypeError for an array of NumPy's."""
    if isinstance(value, ndarray):
        return value.values
    if isinstance(value, np.ndarray):
        raise TypeError(f"a NumPy array of shape {value.shape} was mixed with arrays of the device")
    if isinstance(value, tuple | list):
        return type(value)(map(plain, value))
    return value


def _positions(index, length):
    """An index as a tuple, taken as by CuPy: a float is the integer below it, and in an array alone
    a position beyond the end of the first axis, of `length`, starts again at the other one."""
    if isinstance(index, ndarray) and index.dtype.kind in "iu":
        return (index.values % max(length, 1),)
    parts = index if isinstance(index, tuple) else (index,)
    return tuple(int(part) if isinstance(part, float) else plain(part) for part in parts)


def wrapped(value):
    if isinstance(value, np.ndarray | np.generic):
        return ndarray(np.asarray(value))
    return type(value)(map(wrapped, value)) if isinstance(value, tuple | list) else value


def on_the_device(function):
    """NumPy's function on arrays of the device, and on nothing else."""

    def call(*arguments, **options):
        refused = REFUSED & options.keys() if function is not np.copyto else None
        if refused:
            raise TypeError(f"CuPy's {function.__name__} does not know {refused}")
        out = options.get("out")
        options = {name: plain(value) for name, value in options.items()}
        values = [*map(plain, arguments)]
        if out is not None or function in (np.copyto, np.add.at, np.put_along_axis):
            does(lambda: function(*values, **options))
            return out
        arrays = [a for a in (*values, *options.values()) if isinstance(a, np.ndarray)]
        sources = [*arrays, *sources_of(function)]
        result = gives(lambda: function(*values, **options), *sources)
        for array in arguments:
            if isinstance(array, ndarray) and array.values is getattr(result, "values", None):
                return array
        return result

    return call


def sources_of(function):
    """The array that a method is one of."""
    owner = getattr(function, "__self__", None)
    return [owner] if isinstance(owner, np.ndarray) else []


def _method(name):
    def method(self, *arguments, **options):
        result = on_the_device(getattr(self.values, name))(*arguments, **options)
        same = isinstance(result, ndarray) and result.values is self.values
        return self if same else result

    return method


def _operator(name):
    def operator(self, other):
        if getattr(self.values, name)(plain(other)) is NotImplemented:
            return NotImplemented
        return gives(lambda: getattr(self.values, name)(plain(other)))

    return operator


def _in_place(name):
    def operator(self, other):
        does(lambda: getattr(self.values, name)(plain(other)))
        return self

    return operator


for _name in METHODS:
    setattr(ndarray, _name, _method(_name))
for _name in ATTRIBUTES:
    setattr(ndarray, _name, property(lambda self, name=_name: getattr(self.values, name)))
for _name in OPERATORS:
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
    setattr(ndarray, f"__r{_name}__", _operator(f"__r{_name}__"))
    setattr(ndarray, f"__i{_name}__", _in_place(f"__i{_name}__"))
for _name in COMPARISONS:
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))


def _filled(values):
    """As after an allocation: whatever was there before."""
    values[...] = np.nan if values.dtype.kind == "f" else 0x55 if values.dtype.kind != "b" else True
    return ndarray(values)


def _empty(shape, dtype=float):
    return _filled(np.empty(shape, dtype))


def _empty_like(a, dtype=None, shape=None):
    return _filled(np.empty_like(plain(a), dtype, shape=shape or None))


def _like(function):
    """CuPy takes the shape () for none given (`shape if shape else a.shape`)."""

    def call(*arguments, shape=None, **options):
        return function(*arguments, shape=shape or None, **options)

    return call


def _asarray(value, dtype=None):
    """The one way in: a copy of NumPy's array."""
    if isinstance(value, ndarray):
        return value if dtype in (None, value.dtype) else value.astype(dtype)
    not_captured("a copy to the device")
    return ndarray(np.array(value, dtype))


def _asnumpy(value):
    """The one way out."""
    not_captured("a copy from the device")
    return value.values.copy()


def _array_equal(a, b, equal_nan=False):
    return ndarray(np.asarray(np.array_equal(plain(a), plain(b), equal_nan)))


class Module(HostModule):
    def get_function(self, name):
        run = super().get_function(name)
        return lambda *arguments: does(lambda: run(*arguments))


@contextlib.contextmanager
def in_place_of_cupy(threads=4):
    """A block inside which the engine finds the stand-in where it looks for CuPy.

    Blocks of few `threads` keep the kernels quick here, and full even on small arrays.
    """
    if not compiler():
        lacking("a C++ compiler", "apt install g++, or pip install ziglang")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "cupy", make())
        patch.setattr(kernel, "THREADS", threads)
        patch.setattr(products, "Cublas", Cublas)
        _forget_cupy()
        try:
            yield
        finally:
            _forget_cupy()


def gpu(threads=4):
    """A block with the real GPU where there is one, else with the stand-in."""
    return contextlib.nullcontext() if backend.cuda_available() else in_place_of_cupy(threads)


class Cublas:
    """In place of `products.Cublas`: what cuBLAS does with addresses, counting in columns."""

    def gemm(self, char, turned_a, turned_b, M, N, K, a, step_a, b, step_b, out, step_out):
        def matrix(address, step, rows, columns):
            assert step >= rows > 0
            values = np.ctypeslib.as_array(
                ctypes.cast(address, ctypes.POINTER(REALS[char])), (columns, step)
            )
            return values[:, :rows].T

        first = matrix(a, step_a, K, M).T if turned_a else matrix(a, step_a, M, K)
        second = matrix(b, step_b, N, K).T if turned_b else matrix(b, step_b, K, N)
        result = matrix(out, step_out, M, N)
        does(lambda: np.matmul(first, second, out=result))


def _forget_cupy():
    products.library.cache_clear()
    backend.cupy.cache_clear()
    kernel.module.cache_clear()
    for each in kernel.Kernel.every:
        each._compiled.cache_clear()


@functools.cache
def make():
    """The module that stands in for `cupy`."""
    cupy = types.ModuleType("cupy")
    cupy.__version__ = "14.2.0"
    for name in NAMES:
        setattr(cupy, name, on_the_device(getattr(np, name)))
    cupy.add.at = on_the_device(np.add.at)
    cupy.ndarray, cupy.RawModule = ndarray, Module
    cupy.empty, cupy.empty_like = _empty, _empty_like
    for name in ("full_like", "ones_like", "zeros_like"):
        setattr(cupy, name, _like(getattr(cupy, name)))
    cupy.asarray, cupy.asnumpy, cupy.array_equal = _asarray, _asnumpy, _array_equal
    properties = {"name": b"stand-in", "totalGlobalMem": 2**30, "major": 9, "minor": 0}
    cupy.cuda = types.SimpleNamespace(
        runtime=types.SimpleNamespace(
            getDeviceCount=lambda: 1,
            runtimeGetVersion=lambda: 12090,
            driverGetVersion=lambda: 12090,
            getDeviceProperties=lambda number: properties,
        ),
        nvrtc=types.SimpleNamespace(getVersion=lambda: (12, 9)),
        device=types.SimpleNamespace(get_cublas_handle=lambda: 1),
        Device=lambda: types.SimpleNamespace(synchronize=lambda: None),
        MemoryPool=Pool,
        Stream=Stream,
        using_allocator=lambda _: contextlib.nullcontext(),
    )
    cupy.get_default_memory_pool = Pool
    return cupy
