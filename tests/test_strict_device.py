"""The stand-in for CuPy refuses what CuPy refuses: what these tests do would be an error in an op.

It is looked at here on machines with a GPU too.
"""

import numpy as np
import pytest
from device import strict

import tinynet as tn

cupy = strict.make()


def on_device(*values, dtype=np.float64):
    return cupy.asarray(np.array(values, dtype))


@pytest.fixture
def stand_in():
    with strict.in_place_of_cupy():
        yield


A = np.array([1.0, 2.0, 3.0])

MIXED = {
    "device + numpy": lambda x: x + A,
    "numpy + device": lambda x: A + x,
    "device *= numpy": lambda x: x.__imul__(A),
    "numpy += device": lambda x: np.ndarray.__iadd__(A.copy(), x),
    "device == numpy": lambda x: x == A,
    "device @ numpy": lambda x: x @ A,
    "numpy of no axes": lambda x: x * np.array(2.0),
    "np.add": lambda x: np.add(x, A),
    "np.add, out": lambda x: np.add(x, x, out=A.copy()),
    "np.where": lambda x: np.where(A > 0, x, 0),
    "np.concatenate": lambda x: np.concatenate([x, A]),
    "np.take_along_axis": lambda x: np.take_along_axis(x, np.array([0]), 0),
    "np.put_along_axis": lambda x: np.put_along_axis(x, cupy.arange(2), A[:2], 0),
    "np.full_like": lambda x: np.full_like(x, A),
    "np.ascontiguousarray": lambda x: np.ascontiguousarray(x),
    "np.vecdot, which CuPy has not": lambda x: np.vecdot(x, x),
    "np.select, which nobody looked up": lambda x: np.select([x > 0], [x]),
    "np.max, an option that CuPy has not": lambda x: np.max(x, initial=0),
    "np.add.reduce": lambda x: np.add.reduce(x),
    "np.array": lambda x: np.array(x),
    "np.asarray": lambda x: np.asarray(x),
    "np.asarray of a list": lambda x: np.asarray([x, x]),
    "np.add.at": lambda x: np.add.at(x, [0], 1.0),
    "np.copyto": lambda x: np.copyto(A.copy(), x),
    "cupy.add": lambda x: cupy.add(x, A),
    "cupy.where": lambda x: cupy.where(A > 0, x, 0),
    "cupy.concatenate": lambda x: cupy.concatenate([x, A]),
    "cupy.maximum, out": lambda x: cupy.maximum(x, x, out=A.copy()),
    "index of numpy": lambda x: x[np.array([0, 1])],
    "mask of numpy": lambda x: x[A > 1],
    "numpy's index of the device": lambda x: A[cupy.arange(2)],
    "assigned numpy": lambda x: x.__setitem__(slice(None), A),
    "assigned a list": lambda x: x.__setitem__(slice(None), [1.0, 2.0, 3.0]),
    "assigned to numpy": lambda x: A.copy().__setitem__(slice(None), x),
    "assigned at an index of numpy": lambda x: x.__setitem__(np.array([0]), 1.0),
    "a dtype that a GPU has not": lambda x: x.astype(np.longdouble),
    "an option that CuPy has not": lambda x: x.max(initial=0),
}


@pytest.mark.parametrize("mix", MIXED.values(), ids=MIXED)
def test_arrays_of_device_and_numpy_are_not_mixed(mix):
    x = on_device(1, 2, 3)
    with pytest.raises((TypeError, ValueError)):
        mix(x)
    assert x.tolist() == [1, 2, 3]


def test_the_ways_in_and_out():
    x = cupy.asarray(A)
    back = cupy.asnumpy(x)
    x += 1
    assert back.tolist() == A.tolist() == [1, 2, 3]
    assert type(back) is np.ndarray
    assert float(x.sum()) == 9
    assert not hasattr(cupy, "block")  # only what has been looked up in CuPy is there


def test_manners():
    x = on_device(1, 2, 3)
    assert type(x.sum()) is type(x[0]) is cupy.ndarray
    x[0][...] = 7  # a single element is a view
    assert x.tolist() == [7, 2, 3]
    assert cupy.ascontiguousarray(x) is x.astype(np.float64, copy=False) is x
    assert x[cupy.asarray(np.array([3, -1]))].tolist() == [7, 3]  # positions start again
    assert np.isnan(cupy.asnumpy(cupy.empty(3))).all()


DISPATCHED = {
    "a ufunc": lambda x: np.exp(x),
    "a ufunc of two": lambda x: np.maximum(x, 2),
    "a ufunc, number first": lambda x: np.subtract(1, x),
    "a ufunc, out": lambda x: np.add(x, x, out=np.zeros_like(x)),
    "matmul": lambda x: np.matmul(x, x),
    "a number of NumPy's": lambda x: np.float64(2) * x,
    "where": lambda x: np.where(x > 1, x, 0),
    "zeros_like of a shape": lambda x: np.zeros_like(x, shape=(2, 3)),
    "ones_like of a dtype": lambda x: np.ones_like(x, dtype=bool),
    "full_like": lambda x: np.full_like(x, -1, dtype=np.int32),
    "max": lambda x: np.max(x, axis=0, keepdims=True),
    "argmin": lambda x: np.argmin(x, axis=0, keepdims=True),
    "concatenate": lambda x: np.concatenate([x, x]),
    "stack": lambda x: np.stack([x, x], axis=1),
    "split": lambda x: np.split(x, [1], axis=0)[1],
    "pad": lambda x: np.pad(x, ((1, 2),), constant_values=-np.inf),
    "broadcast_to": lambda x: np.broadcast_to(x, (2, 3)),
    "swapaxes": lambda x: np.swapaxes(np.stack([x, x]), 0, 1),
    "einsum": lambda x: np.einsum("i,i->", x, x),
    "take_along_axis": lambda x: np.take_along_axis(x, np.argsort(x), 0),
}


@pytest.mark.parametrize("call", DISPATCHED.values(), ids=DISPATCHED)
def test_functions_of_numpy_call_those_of_the_device(call):
    result, expected = call(on_device(1, 3, 2)), call(np.array([1.0, 3, 2]))
    assert type(result) is cupy.ndarray
    assert result.dtype == expected.dtype
    assert np.array_equal(cupy.asnumpy(result), expected)


def test_put_along_axis_writes_into_the_device():
    x = on_device(1, 2, 3)
    np.put_along_axis(x, cupy.asarray(np.array([2])), 7, axis=0)
    assert x.tolist() == [1, 2, 7]


def test_a_stray_np_in_an_op_is_found(stand_in):
    class Stray(tn.Function):
        def forward(self, x):
            return np.asarray(x) * 2

    x = tn.tensor([1.0, 2.0])
    assert Stray.apply(x).shape == (2,)
    with pytest.raises(TypeError):
        Stray.apply(x.to("cuda"))


def test_the_engine_finds_it_only_inside_the_block():
    before = tn.cuda_available()
    with strict.in_place_of_cupy():
        assert tn.ones(2).to("cuda").device == "cuda"
        assert isinstance(tn.ones(2).cuda().array, strict.ndarray)
    assert tn.cuda_available() == before


# kernels

THREADS = 4
KERNELS = {
    "good": "y[threadIdx.x] = 2 * x[threadIdx.x] + n;",
    "beyond": "y[threadIdx.x + 1] = x[threadIdx.x] + n;",
    "before": "y[(int)threadIdx.x - 1] = x[threadIdx.x] + n;",
    "not_all": "if (threadIdx.x < 2) __syncthreads(); y[threadIdx.x] = x[threadIdx.x] + n;",
    "not_all_called": "if (threadIdx.x < 2) wait(); y[threadIdx.x] = x[threadIdx.x] + n;",
}


def run(name, *arguments, grid=(1,)):
    """A kernel in a file of several, of which some have barriers and some have not."""
    code = "\n".join(
        f'extern "C" __global__ void {each}(const real *x, real *y, int n) {{ {body} }}'
        for each, body in KERNELS.items()
    )
    options = ("-Dreal=double", f"-DTHREADS={THREADS}")
    module = cupy.RawModule(
        code="__device__ void wait() { __syncthreads(); }" + code, options=options
    )
    module.get_function(name)(grid, (THREADS,), arguments)


def test_a_kernel_runs():
    x, y = on_device(1, 2, 3, 4), cupy.empty(4)
    run("good", x, y, np.int32(1))
    assert y.tolist() == [3, 5, 7, 9]
    assert x.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("beyond", "wrote outside of an array"),
        ("before", "wrote outside of an array"),
        ("not_all", "not all threads at a barrier"),
        ("not_all_called", "not all threads at a barrier"),
    ],
)
def test_a_kernel_that_is_wrong_is_found(name, message):
    with pytest.raises(AssertionError, match=message):
        run(name, on_device(1, 2, 3, 4), cupy.empty(4), np.int32(1))


X, Y, N = on_device(1, 2, 3, 4), cupy.empty(4), np.int32(1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X, Y), "got 2 arguments"),
        ((X, Y, 1), "for int"),
        ((X, Y, np.int64(1)), "for int"),
        ((X, Y, np.float64(1)), "for int"),
        ((on_device(1, 2, 3, 4, dtype=np.float32), Y, N), "float32 for const real"),
        ((cupy.empty((4, 2))[:, 0], Y, N), "not contiguous"),
        ((X, X[1:], N), "outside of an array|overlap"),
    ],
)
def test_wrong_arguments_of_a_kernel_are_found(arguments, message):
    with pytest.raises(AssertionError, match=message):
        run("good", *arguments)


def test_an_array_of_numpy_is_no_argument():
    with pytest.raises(AttributeError):
        run("good", A, Y, N)


def test_a_grid_that_cuda_refuses_is_found():
    for grid in [(0,), (1, 65536), (1.0,)]:
        with pytest.raises(AssertionError):
            run("good", X, Y, N, grid=grid)
