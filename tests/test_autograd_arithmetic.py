"""Elementwise arithmetic against torch: values, gradients, dtypes."""

import itertools
import operator

import numpy as np
import pytest
import torch
from helpers import assert_same, compare_with_torch, run_on_both, twins

import tinynet as tn

BINARY = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
    "maximum": lambda a, b: a.maximum(b),
    "minimum": lambda a, b: a.minimum(b),
    "max": lambda a, b: a.max(b),
    "min": lambda a, b: a.min(b),
    "add": lambda a, b: a.add(b),
    "sub": lambda a, b: a.sub(b),
    "mul": lambda a, b: a.mul(b),
    "div": lambda a, b: a.div(b),
    "pow": lambda a, b: a.pow(b),
}
COMPARISONS = {name: getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")}
SHAPES = [
    ((), ()),
    ((3,), ()),
    ((), (2, 3)),
    ((2, 3), (3,)),
    ((2, 3), (2, 1)),
    ((1,), (5,)),
    ((1, 1), (1,)),
    ((1, 5), (1,)),
    ((4, 1, 3), (2, 1)),
    ((2, 1, 3, 1), (4, 1, 5)),
    ((0, 3), (3,)),
    ((2, 0), (1, 1)),
]
both_precisions = pytest.mark.parametrize("dtype", [np.float64, np.float32])


def positive(*shape, dtype=np.float64, seed=0):
    return (np.random.default_rng(seed).random(shape) + 0.5).astype(dtype)


@both_precisions
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("op", BINARY.values(), ids=BINARY)
def test_binary_ops_broadcast(op, shapes, dtype):
    a, b = (np.asarray(positive(*s, seed=i), dtype) for i, s in enumerate(shapes))
    run_on_both(op, a, b)


@pytest.mark.parametrize("number", [2, 2.5, -1, 0.5, np.float64(1.5), np.int64(3)], ids=repr)
@pytest.mark.parametrize("op", list(BINARY.values())[:5], ids=list(BINARY)[:5])
@both_precisions
def test_numbers_on_either_side(op, number, dtype):
    x = positive(2, 3, dtype=dtype)
    run_on_both(lambda x: op(x, number), x)
    # NumPy's scalars cannot be asked for torch's reflected operators: use Python's
    plain = number.item() if isinstance(number, np.generic) else number
    compare_with_torch(lambda x: op(number, x), lambda x: op(plain, x), x)


@pytest.mark.parametrize("op", list(BINARY.values())[:5], ids=list(BINARY)[:5])
def test_arrays_on_either_side_are_constants(op):
    x, array = positive(2, 3), positive(3, seed=1)
    compare_with_torch(lambda x: op(x, array), lambda x: op(x, torch.tensor(array)), x)
    compare_with_torch(lambda x: op(array, x), lambda x: op(torch.tensor(array), x), x)


DTYPES = [np.bool_, np.uint8, np.int32, np.int64, np.float32, np.float64]
NUMBERS = [True, 2, 2.5]


def outcome(fn, *operands):
    """The dtype of a result, or 'refused'."""
    try:
        return str(fn(*operands).dtype).removeprefix("torch.")
    except (RuntimeError, TypeError, NotImplementedError):
        return "refused"


@pytest.mark.parametrize("name", ["+", "-", "*", "/", "eq", "lt", "maximum"])
def test_result_dtypes_are_those_of_torch(name):
    op = BINARY.get(name) or COMPARISONS[name]
    for (a, b), shape_a, shape_b in itertools.product(
        itertools.product(DTYPES, DTYPES), [(), (2,)], [(), (2,)]
    ):
        ours, theirs = twins(np.ones(shape_a, a), np.ones(shape_b, b), requires_grad=False)
        expected = outcome(op, *theirs)
        assert expected in ("refused", outcome(op, *ours)), (name, a, b, shape_a, shape_b)
    if name == "maximum":
        return
    for dtype, number, shape in itertools.product(DTYPES, NUMBERS, [(), (2,)]):
        (ours,), (theirs,) = twins(np.ones(shape, dtype), requires_grad=False)
        for swapped in (False, True):
            pair = (number, ours) if swapped else (ours, number)
            expected = outcome(op, *((number, theirs) if swapped else (theirs, number)))
            assert expected in ("refused", outcome(op, *pair)), (name, dtype, number, shape)


def test_integer_arithmetic_has_torchs_values(rng):
    a, b = rng.integers(-9, 9, (3, 4)), rng.integers(1, 9, (4,))
    for op in (operator.add, operator.sub, operator.mul, operator.truediv, operator.pow):
        run_on_both(op, a, b)
        run_on_both(op, a.astype(np.float64), b)
        run_on_both(op, abs(a) + 1, b.astype(np.float32))


def test_uint8_wraps_around_as_in_torch():
    x = np.array([0, 5, 255], np.uint8)
    for number in (-1, 1, 300):
        run_on_both(lambda x, n=number: x + n, x)
        run_on_both(lambda x, n=number: x - n, x)
        run_on_both(lambda x, n=number: x == n, x)


CORNERS = [-np.inf, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, np.inf, np.nan]
EXPONENTS = [-2.5, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0]


def test_power_corner_cases_of_tensors():
    base, exponent = np.meshgrid(CORNERS, EXPONENTS)
    run_on_both(operator.pow, base, exponent)


@pytest.mark.parametrize("exponent", [*EXPONENTS, 2, 0, -1, 3])
def test_power_corner_cases_of_a_constant_exponent(exponent):
    # for roots torch takes -inf to NaN, the C library's pow (and NumPy) to infinity
    bases = CORNERS[1:] if exponent in (0.5, -0.5) else CORNERS
    run_on_both(lambda x: x**exponent, np.array(bases))


@pytest.mark.parametrize("base", [0.0, 0, 0.5, 2, 2.5])
def test_power_corner_cases_of_a_constant_base(base):
    run_on_both(lambda x: base**x, np.array(EXPONENTS))


@pytest.mark.parametrize(
    "op", [BINARY["*"], BINARY["/"], BINARY["+"], BINARY["-"]], ids=["*", "/", "+", "-"]
)
def test_infinity_and_nan_as_in_torch_and_without_a_warning(op):
    a, b = np.meshgrid(CORNERS, CORNERS)
    run_on_both(op, a, b)


@pytest.mark.parametrize("op", [BINARY["maximum"], BINARY["minimum"]], ids=["maximum", "minimum"])
def test_the_gradient_of_a_tie_is_shared(op):
    run_on_both(op, np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]))
    run_on_both(op, np.zeros((2, 3)), np.zeros(3))


UNARY = {
    "-": operator.neg,
    "abs": abs,
    "abs()": lambda x: x.abs(),
    "exp": lambda x: x.exp(),
    "log": lambda x: x.log(),
    "sqrt": lambda x: x.sqrt(),
    "clone": lambda x: x.clone(),
    "square": lambda x: x * x,
    "same tensor thrice": lambda x: x * x + x / (x + 3),
}


@both_precisions
@pytest.mark.parametrize("op", UNARY.values(), ids=UNARY)
def test_unary_ops(op, dtype):
    for shape in [(), (5,), (2, 3, 4), (0, 2)]:
        run_on_both(op, np.asarray(positive(*shape), dtype))


@pytest.mark.parametrize("name", UNARY)
def test_unary_ops_at_corner_cases_as_in_torch_and_without_a_warning(name):
    run_on_both(UNARY[name], np.array([*CORNERS[:-1], 1e4]))
    if "abs" not in name:  # torch's gradient of |NaN| is 0, ours is NaN
        run_on_both(UNARY[name], np.array([np.nan]))


@pytest.mark.parametrize("name", ["exp", "log", "sqrt"])
def test_unary_ops_make_integers_floating(name):
    run_on_both(UNARY[name], np.array([1, 2, 3]))


@pytest.mark.parametrize("bounds", [(-1, 2), (0.5, None), (None, 0.5), (2, -1), (-1.0, 2)], ids=str)
@both_precisions
def test_clip_passes_the_gradient_at_its_bounds(bounds, dtype):
    x = np.array([-3, -1, -0.5, 0, 0.5, 1, 2, 2.5, np.inf, -np.inf], dtype)
    run_on_both(lambda x: x.clip(*bounds), x)
    run_on_both(lambda x: x.clamp(min=bounds[0], max=bounds[1]), x)


def test_clip_keeps_the_dtype_that_torch_gives():
    numbers = np.arange(5)
    run_on_both(lambda x: x.clip(1, 3), numbers)
    run_on_both(lambda x: x.clip(0.5, 3), numbers)
    run_on_both(lambda x: x.clip(np.float64(0.5), np.float64(2)), numbers.astype(np.float32))


@pytest.mark.parametrize("op", COMPARISONS.values(), ids=COMPARISONS)
def test_comparisons(op):
    a, b = np.array([[1.0, 2.0, 3.0]]), np.array([[1.0], [2.0], [np.nan]])
    for operands in [(a, b), (a.astype(int), b), (a > 1, a.astype(int))]:
        ours, theirs = twins(*operands)
        assert_same(op(*ours), op(*theirs))
        assert not op(*ours).requires_grad
    (ours,), (theirs,) = twins(a)
    assert_same(op(ours, 2), op(theirs, 2))
    assert_same(op(2.0, ours), op(2.0, theirs))


def layouts():
    """Arrays of shape (3, 4) in all sorts of memory."""
    base = np.random.default_rng(0).random((8, 9)) + 0.5
    return {
        "contiguous": base[:3, :4].copy(),
        "column-major": np.asfortranarray(base[:3, :4]),
        "transposed": base[:4, :3].T,
        "every second": base[1:7:2, ::2][:, :4],
        "backwards": base[2::-1, 3::-1],
        "repeated": np.broadcast_to(base[0, :4], (3, 4)),
        "read-only": np.frombuffer(base[:3, :4].tobytes()).reshape(3, 4),
    }


@pytest.mark.parametrize("array", layouts().values(), ids=layouts())
def test_any_memory_layout_gives_the_same(array):
    def formula(x):
        y = (x * x.T.reshape(3, 4)).exp() / x.sum(1, keepdim=True)
        return (y @ x.T).max(1).values + x[::2].mean() + tn_or_torch_cat(x)

    def tn_or_torch_cat(x):
        library = tn if isinstance(x, tn.Tensor) else torch
        return library.cat([x, x], 0).amax((0, 1))

    ours = tn.Tensor(array, requires_grad=True)
    before = array.copy()
    theirs = torch.tensor(array.copy(), requires_grad=True)
    y, expected = formula(ours), formula(theirs)
    assert_same(y, expected)
    gy = np.arange(3.0)
    y.backward(tn.Tensor(gy))
    expected.backward(torch.tensor(gy))
    assert_same(ours.grad, theirs.grad)
    np.testing.assert_array_equal(array, before)
