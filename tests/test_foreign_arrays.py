"""Arrays of other kinds and dtypes: taken as plain ones, or refused wherever they could enter."""

import numpy as np
import pytest

import tinynet as tn
import tinynet.nn as nn

REFUSED = {
    "float16": np.ones(3, np.float16),
    "longdouble": np.ones(3, np.longdouble),
    "complex": np.ones(3, complex),
    "object": np.ones(3, object),
    "text": np.array(["a", "b", "c"]),
    "dates": np.zeros(3, "datetime64[s]"),
    "records": np.zeros(3, "i4,f4"),
    "another byte order": np.ones(3, ">f8" if np.little_endian else "<f8"),
    "masked": np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0]),
}


def setitem(value):
    tn.ones(2, 3)[0] = value


DOORS = {
    "Tensor": tn.Tensor,
    "tensor": tn.tensor,
    "from_numpy": tn.from_numpy,
    "Parameter": nn.Parameter,
    "list": lambda a: tn.tensor([a, a]),
    "add": lambda a: tn.ones(3) + a,
    "add, from the left": lambda a: a + tn.ones(3),
    "matmul": lambda a: tn.ones(2, 3) @ a,
    "compare": lambda a: tn.ones(3) < a,
    "equal": lambda a: tn.ones(3) == a,
    "maximum": lambda a: tn.ones(3).maximum(a),
    "assignment": setitem,
    "copy_": lambda a: tn.ones(3).copy_(a),
    "add_": lambda a: tn.ones(3).add_(a),
    "index": lambda a: tn.ones(3)[a],
    "backward": lambda a: tn.ones(3, requires_grad=True).backward(a),
    "load_state_dict": lambda a: nn.Linear(1, 3).load_state_dict({"bias": a}, strict=False),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("door", DOORS)
def test_refused_wherever_it_enters(kind, door):
    if kind == "another byte order" and door == "list":
        return  # NumPy makes plain ones of these
    with pytest.raises((TypeError, IndexError), match=r"^[^\s]+( \w+)?: \S.{12,}"):
        DOORS[door](REFUSED[kind])


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble, complex, object, str, "S3", "O"])
@pytest.mark.parametrize(
    "door",
    [
        lambda d: tn.ones(2).to(d),
        lambda d: tn.ones(2).to(dtype=d),
        lambda d: tn.zeros(2, dtype=d),
        lambda d: tn.full(2, 1.0, dtype=d),
        lambda d: tn.tensor([1.0], dtype=d),
        lambda d: tn.arange(3, dtype=d),
        lambda d: tn.randn(3, dtype=d),
        lambda d: nn.Linear(2, 2).to(d),
        lambda d: nn.Conv2d(2, 2, 1, dtype=d),
        lambda d: nn.BatchNorm2d(2, dtype=d),
    ],
)
def test_dtypes_that_no_tensor_has(door, dtype):
    with pytest.raises((TypeError, ValueError), match=r"^[\w.]+: \S.{12,}"):
        door(dtype)


class Sub(np.ndarray):
    """A subclass that multiplies otherwise, as np.matrix does."""

    def __mul__(self, other):
        raise AssertionError("its own product was taken")

    __rmul__ = __matmul__ = __rmatmul__ = __mul__


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("make", [np.asmatrix, lambda a: a.view(Sub)], ids=["matrix", "subclass"])
def test_subclasses_are_taken_as_plain_arrays(make):
    array = np.array([[1.0, 2.0], [3.0, 4.0]])
    given = make(array.copy())
    for x in (tn.Tensor(given), tn.tensor(given), tn.from_numpy(given)):
        assert type(x.array) is np.ndarray
        np.testing.assert_array_equal((x * x).numpy(), array * array)
        assert x[0].shape == (2,)
    y = tn.tensor(array)
    np.testing.assert_array_equal((y * given).numpy(), array * array)
    leaf = tn.tensor(array, requires_grad=True)
    (leaf * leaf).backward(given)  # its gradient is a product with what was given
    np.testing.assert_array_equal(leaf.grad.numpy(), 2 * array * array)
    y[...] = given
    y.copy_(given)
    assert type(y.array) is np.ndarray
    shared = tn.from_numpy(given)
    shared.add_(1)
    np.testing.assert_array_equal(np.asarray(given), array + 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, bool, *"bhilBHIL"])
def test_every_dtype_that_there_is(dtype):
    array = np.array([0, 1, 3]).astype(dtype)
    for x in (tn.Tensor(array), tn.tensor(array), tn.from_numpy(array), tn.ones(3).to(dtype)):
        assert x.dtype == np.dtype(dtype)
    x = tn.tensor(array)
    assert (x == x).tolist() == [True] * 3
    assert tn.ones(3).copy_(array).tolist() == array.astype(np.float32).tolist()


def test_an_index_of_bytes_is_refused():
    """torch takes uint8 for a mask, NumPy for positions."""
    for index in (np.array([0, 1], np.uint8), tn.tensor([0, 1], dtype=np.uint8)):
        with pytest.raises(TypeError, match="index: got uint8, which torch takes for a mask"):
            tn.ones(2, 3)[index]
        with pytest.raises(TypeError, match="index: got uint8"):
            tn.ones(2, 3)[index] = 1.0


@pytest.mark.parametrize("value", [None, "5", object(), {}, [None], b"5", 1j, slice(0, 1)])
def test_values_that_no_element_can_take(value):
    x = tn.ones(2, 3)
    for where in (0, ..., (0, 1), [0, 1], x > 0):
        with pytest.raises((TypeError, ValueError), match="^assignment: "):
            x[where] = value
    for fill in (x.fill_, x.copy_):
        with pytest.raises((TypeError, ValueError), match="^(fill|copy)_: "):
            fill(value)
    assert x.tolist() == [[1] * 3] * 2


class Knowing:
    """An object that knows what to do with a tensor on its left."""

    __slots__ = ()

    def answer(self, other):
        return "known"

    __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rpow__ = __rmatmul__ = __rmod__ = answer


def test_objects_that_know_better_are_asked():
    x = tn.ones(2)
    results = [x + Knowing(), x - Knowing(), x * Knowing(), x / Knowing(), x ** Knowing()]
    assert [*results, x @ Knowing(), x % Knowing()] == ["known"] * 7
    y = x
    y += Knowing()
    assert y == "known"
    assert x.tolist() == [1, 1]
