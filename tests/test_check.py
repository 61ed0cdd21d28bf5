"""The checks of arguments: what they let through, what they say of the rest."""

import re
from fractions import Fraction

import numpy as np
import pytest

import tinynet as tn
from tinynet import check

X, Y, D, I = tn.ones(2), tn.ones(3), tn.ones(2, dtype=np.float64), tn.arange(2)

PASSED = {
    "int": (check.integer("f", "n", 3), 3),
    "NumPy's int": (check.integer("f", "n", np.int8(3), least=3), 3),
    "negative": (check.integer("f", "n", -3), -3),
    "number": (check.number("f", "p", 0.5), 0.5),
    "int as number": (check.number("f", "p", 2), 2),
    "fraction": (check.number("f", "p", Fraction(1, 3), low=0, high=1), Fraction(1, 3)),
    "at both ends": (check.number("f", "p", 1, low=1, high=1), 1),
    "pair": (check.pair("f", "n", (1, 2)), (1, 2)),
    "pair of one": (check.pair("f", "n", 3, least=3), (3, 3)),
    "list": (check.pair("f", "n", [np.int64(1), 2]), (1, 2)),
    "list of one": (check.pair("f", "n", [4]), (4, 4)),
    "choice": (check.choice("f", "mode", "a", ("a", "b")), "a"),
    "no choice": (check.choice("f", "mode", None, ("a", None)), None),
    "all axes": (check.dims("f", None, 3), (0, 1, 2)),
    "one axis": (check.dims("f", -1, 3), (2,)),
    "axes": (check.dims("f", [2, np.int64(-3)], 3), (0, 2)),
    "no axes": (check.dims("f", (), 3), ()),
    "axis of a number": (check.dims("f", -1, 0), ()),
    "sizes": (check.sizes("f", (2, np.int64(3))), (2, 3)),
    "sizes in a list": (check.sizes("f", ([2, 3],), least=0), (2, 3)),
    "no sizes": (check.sizes("f", (), least=0), ()),
    "unknown size": (check.sizes("f", (2, -1)), (2, -1)),
    "dtype": (check.dtype("f", np.float32), np.dtype("f4")),
    "dtype by name": (check.dtype("f", "int64"), np.dtype("i8")),
    "Python's dtype": (check.dtype("f", bool), np.dtype("?")),
}


@pytest.mark.parametrize("case", PASSED)
def test_what_is_passed(case):
    found, expected = PASSED[case]
    assert found == expected
    assert type(found) is type(expected)


def test_every_dtype_of_a_tensor_passes():
    for char in "fd?bhilqBHILQ":
        assert check.dtype("f", char) == np.dtype(char)
    assert check.tensors("f", input=X, other=I) is None
    assert check.floats("f", input=X, weight=Y, bias=None) is None


REFUSED = {
    "no tensor": (
        lambda: check.tensors("f", a=X, b=np.ones(2)),
        TypeError,
        "f: b must be a Tensor, got ndarray; wrap it with tinynet.tensor(...)",
    ),
    "a tensor left out": (
        lambda: check.floats("f", input=None),
        TypeError,
        "f: input must be a Tensor, got NoneType; wrap it with tinynet.tensor(...)",
    ),
    "no floats": (
        lambda: check.floats("f", input=I),
        TypeError,
        "f: the input must be floating, got int64; convert it with x.float()",
    ),
    "two dtypes": (
        lambda: check.floats("f", input=X, weight=Y, bias=D),
        TypeError,
        "f: the input is float32 but bias is float64; convert one of them, for example with "
        "x.float() or model.double()",
    ),
    "an array among floats": (
        lambda: check.floats("f", input=X, weight=np.ones(2, np.float32)),
        TypeError,
        "f: weight must be a Tensor, got ndarray; wrap it with tinynet.tensor(...)",
    ),
    "float": (
        lambda: check.integer("f", "n", 2.0),
        TypeError,
        "f: n must be an integer, got 2.0",
    ),
    "bool": (
        lambda: check.integer("f", "n", True),
        TypeError,
        "f: n must be an integer, got True",
    ),
    "NumPy's bool": (
        lambda: check.integer("f", "n", np.True_),
        TypeError,
        "f: n must be an integer, got np.True_",
    ),
    "too small": (
        lambda: check.integer("f", "n", 0, least=1),
        ValueError,
        "f: n must be at least 1, got 0",
    ),
    "pair of three": (
        lambda: check.pair("f", "n", (1, 2, 3)),
        ValueError,
        "f: n must be an integer or a pair of integers, at least 0, got (1, 2, 3)",
    ),
    "empty pair": (
        lambda: check.pair("f", "n", ()),
        ValueError,
        "f: n must be an integer or a pair of integers, at least 0, got ()",
    ),
    "pair of floats": (
        lambda: check.pair("f", "n", (1, 2.0), least=1),
        TypeError,
        "f: n must be an integer or a pair of integers, at least 1, got (1, 2.0)",
    ),
    "small pair": (
        lambda: check.pair("f", "n", (1, 0), least=1),
        ValueError,
        "f: n must be an integer or a pair of integers, at least 1, got (1, 0)",
    ),
    "huge pair": (
        lambda: check.pair("f", "n", 2**63),
        ValueError,
        f"f: n must be an integer or a pair of integers, at least 0, got {2**63}",
    ),
    "pair of huge ones": (
        lambda: check.pair("f", "n", (2**63, 2**63)),
        ValueError,
        f"f: n must be an integer or a pair of integers, at least 0, got ({2**63}, {2**63})",
    ),
    "string": (
        lambda: check.number("f", "p", "a"),
        TypeError,
        "f: p must be a number, got str",
    ),
    "True": (
        lambda: check.number("f", "p", True),
        TypeError,
        "f: p must be a number, got bool",
    ),
    "tensor for a number": (
        lambda: check.number("f", "p", X),
        TypeError,
        "f: p must be a number, got Tensor",
    ),
    "nan": (
        lambda: check.number("f", "p", float("nan")),
        ValueError,
        "f: p must be finite, got nan",
    ),
    "nan below": (
        lambda: check.number("f", "p", np.float32("nan"), low=0),
        ValueError,
        "f: p must be at least 0 and finite, got nan",
    ),
    "infinity": (
        lambda: check.number("f", "p", float("inf"), low=0),
        ValueError,
        "f: p must be at least 0 and finite, got inf",
    ),
    "beyond all floats": (
        lambda: check.number("f", "p", 10**400),
        ValueError,
        f"f: p must be finite, got {10**400}",
    ),
    "too low": (
        lambda: check.number("f", "p", -0.1, low=0, high=1),
        ValueError,
        "f: p must be at least 0 and at most 1, got -0.1",
    ),
    "too high": (
        lambda: check.number("f", "p", 1.1, low=0, high=1),
        ValueError,
        "f: p must be at least 0 and at most 1, got 1.1",
    ),
    "the end itself": (
        lambda: check.number("f", "p", 1.0, low=0, high=1, below=True),
        ValueError,
        "f: p must be at least 0 and below 1, got 1.0",
    ),
    "the beginning itself": (
        lambda: check.number("f", "p", 0, low=0, above=True),
        ValueError,
        "f: p must be more than 0, got 0",
    ),
    "no such choice": (
        lambda: check.choice("f", "mode", "d", ("a", "b", None)),
        ValueError,
        "f: mode must be 'a', 'b' or None, got 'd'",
    ),
    "array as a choice": (
        lambda: check.choice("f", "mode", np.array([1, 2]), ("a",)),
        ValueError,
        "f: mode must be 'a', got array([1, 2])",
    ),
    "axis out of range": (
        lambda: check.dims("f", 2, 2),
        ValueError,
        "f: dim 2 is out of range for a tensor of 2 axes",
    ),
    "axis twice": (
        lambda: check.dims("f", (0, -2), 2),
        ValueError,
        "f: dim -2 appears twice in (0, -2)",
    ),
    "axis by name": (
        lambda: check.dims("f", "x", 2),
        TypeError,
        "f: dim must be an int or a tuple of ints, got 'x'",
    ),
    "axis of arrays": (
        lambda: check.dims("f", np.array([0]), 2),
        TypeError,
        "f: dim must be an int or a tuple of ints, got array([0])",
    ),
    "size of a float": (
        lambda: check.sizes("f", (2, 2.5)),
        TypeError,
        "f: sizes must be integers, got (2, 2.5)",
    ),
    "size in brackets": (
        lambda: check.sizes("f", (2, (3,))),
        TypeError,
        "f: sizes must be integers, got (2, (3,))",
    ),
    "negative size": (
        lambda: check.sizes("f", (2, -1), least=0),
        ValueError,
        "f: sizes must be at least 0, got (2, -1)",
    ),
    "huge size": (
        lambda: check.sizes("f", (2**63,), least=0),
        ValueError,
        f"f: sizes must multiply to less than 2**48 elements, got ({2**63},)",
    ),
    "huge size beside 0": (
        lambda: check.sizes("f", (0, 2**24, 2**24)),
        ValueError,
        "f: sizes must multiply to less than 2**48 elements, got (0, 16777216, 16777216)",
    ),
    "many axes": (
        lambda: check.sizes("f", (1,) * 65),
        ValueError,
        "f: a tensor has at most 64 axes, got 65 sizes",
    ),
    "no dtype": (
        lambda: check.dtype("f", "tpu"),
        TypeError,
        "f: dtype must name a NumPy dtype, got 'tpu'",
    ),
    "no dtype's spelling": (
        lambda: check.dtype("f", "2)"),
        TypeError,
        "f: dtype must name a NumPy dtype, got '2)'",
    ),
    "None for a dtype": (
        lambda: check.dtype("f", None),
        TypeError,
        "f: dtype must name a NumPy dtype, got None",
    ),
    **{
        f"dtype {kind}": (
            lambda kind=kind: check.dtype("f", kind),
            TypeError,
            f"f: tensors hold float32 or float64, integers or bools, got dtype {shown}; "
            "convert it first, for example with .astype(np.float32)",
        )
        for kind, shown in {
            "f2": "float16",
            "g": np.dtype("g").name,
            "c8": "complex64",
            "O": "object",
            "M8[s]": "datetime64[s]",
            ">f4": ">f4 in another machine's byte order",
        }.items()
    },
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case):
    make, error, message = REFUSED[case]
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        make()


def test_two_devices_are_refused():
    class Elsewhere:
        dtype = X.dtype

    elsewhere = tn.Tensor(X.array)
    elsewhere.array = Elsewhere()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            check.backend, "device_of", lambda a: "cuda" if isinstance(a, Elsewhere) else "cpu"
        )
        with pytest.raises(ValueError, match="^f: the input is on cpu but weight on cuda; move"):
            check.floats("f", input=X, weight=elsewhere)
