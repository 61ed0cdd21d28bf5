"""gradcheck accepts what is right and says what cannot be checked, and why.

That it rejects wrong backwards is in test_gradcheck_mutants.py.
"""

import numpy as np
import pytest

import tinynet as tn
import tinynet.nn.functional as F
from tinynet import gradcheck as gradcheck_module
from tinynet.gradcheck import MAX_ELEMENTS, GradcheckError, gradcheck


def normal(*shape, seed=0):
    return tn.Tensor(np.random.default_rng(seed).standard_normal(shape))


def wrong(message, fn, inputs, **options):
    with pytest.raises(GradcheckError, match=message):
        gradcheck(fn, inputs, **options)


class Square(tn.Function):
    """y = x**2;  gx = factor x gy, right for factor 2"""

    def __init__(self, factor=2.0):
        self.factor = factor

    def forward(self, x):
        self.save(x)
        return x * x

    def backward(self, gy):
        (x,) = self.saved
        return self.factor * x * gy


# what must pass


def test_accepts_a_tensor_alone_a_list_and_a_tuple():
    assert gradcheck(Square.apply, normal(3)) is True
    assert gradcheck(lambda a, b: a * b, [normal(3), normal(2, 3)]) is True
    assert gradcheck(lambda a, b: a * b, (normal(3), normal(2, 3))) is True


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 0, 3), (MAX_ELEMENTS + 1,)])
def test_any_shape(shape):
    assert gradcheck(lambda x: (x * x + x).exp(), normal(*shape) * 0.3)


def test_strong_curvature_is_no_kink():
    # at 0 the slopes left and right of x**2 are -eps and +eps: different, and yet smooth
    assert gradcheck(lambda x: 1e3 * x * x, tn.Tensor(np.zeros(3)))
    assert gradcheck(lambda x: (x * 30).exp(), tn.Tensor(np.array([0.1, -0.2])))


def test_inputs_are_left_as_they_were():
    x, w = normal(2, 3), normal(3, seed=1)
    x.requires_grad_()
    w.requires_grad_()
    (x * w).sum().backward()
    before = [t.numpy().copy() for t in (x, w, x.grad, w.grad)]
    gradcheck(lambda x, w: (x * w).exp(), [x, w])
    for tensor, array in zip((x, w, x.grad, w.grad), before, strict=True):
        np.testing.assert_array_equal(tensor.numpy(), array)
    assert x.is_leaf
    assert x.requires_grad


def test_fn_sees_the_memory_layout_of_the_input():
    layouts = set()

    def fn(x):
        layouts.add(x.array.strides)
        return x * x

    x = tn.Tensor(np.zeros((2, 3, 4, 5)).transpose(3, 0, 1, 2))
    gradcheck(fn, x)
    assert layouts == {x.array.strides}


# places where there is nothing to compare with


@pytest.mark.parametrize(
    ("fn", "value"),
    [(F.relu, 0.0), (F.relu6, 0.0), (F.relu6, 6.0), (abs, 0.0), (lambda x: x.clip(-1, 1), 1.0)],
    ids=["relu", "relu6 at 0", "relu6 at 6", "abs", "clip"],
)
def test_a_kink_is_named(fn, value):
    x = tn.Tensor(np.array([[0.3, value, 0.7]]))
    wrong(r"input 0, element \(0, 1\) sits at a kink \(the slope is .* to the left", fn, x)


def test_a_kink_between_two_inputs_is_named():
    wrong("kink", lambda a, b: a.maximum(b), [tn.Tensor(np.ones(2)), tn.Tensor(np.ones(2))])


def test_a_kink_in_a_big_tensor_is_named():
    x = normal(40, 40)
    x.array[abs(x.array) < 1e-3] = 0.5
    assert gradcheck(F.relu, x)
    x.array[31, 7] = 0
    wrong(r"element \(31, 7\) sits at a kink", F.relu, x)


def test_a_random_function_is_detected():
    wrong("not deterministic", lambda x: F.dropout(x), normal(20))


def test_a_function_of_changing_state_is_detected():
    calls = []

    def fn(x):
        calls.append(1)
        return x * len(calls)

    wrong("not deterministic", fn, normal(3))


def test_a_function_that_changes_its_input_is_detected():
    def fn(a, b):
        b.array += 1
        return a * b

    wrong("changes the array of input 1", fn, [normal(3), normal(3)])


def test_a_result_without_graph_is_detected():
    wrong("has no graph", lambda x: x.detach() * 2, normal(3))
    with tn.no_grad():
        wrong("has no graph", lambda x: x * 2, normal(3))


@pytest.mark.parametrize("fn", [lambda x: x.log(), lambda x: 1 / (x - x)], ids=["nan", "inf"])
def test_nan_and_infinity_are_detected(fn):
    wrong("NaN or infinity", fn, tn.Tensor(np.array([1.0, -1.0])))


# wrong use


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.bool_])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(TypeError, match=f"input 1 must be float64 .* {np.dtype(dtype)}"):
        gradcheck(lambda a, b: a, [normal(3), tn.Tensor(np.ones(3, dtype))])


def test_a_result_in_float32_is_refused():
    with pytest.raises(TypeError, match="fn must compute in float64, its result is float32"):
        gradcheck(lambda x: x.float(), normal(3))


def test_other_inputs_and_results_are_refused():
    with pytest.raises(TypeError, match="input 0 must be a Tensor, got ndarray"):
        gradcheck(lambda x: x, [np.ones(3)])
    with pytest.raises(ValueError, match="at least one input"):
        gradcheck(lambda: normal(3), [])
    with pytest.raises(TypeError, match="fn must return a Tensor, got tuple"):
        gradcheck(lambda x: (x, x), normal(3))


def test_the_same_seed_makes_the_same_check():
    seen = []

    def fn(x):
        seen[-1].append(x.numpy().copy())
        return x * x

    for seed in (1, 1, 2):
        seen.append([])
        gradcheck(fn, normal(MAX_ELEMENTS + 1), seed=seed)
    first, again, other = map(np.array, seen)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_tolerances_are_used():
    def slightly_off(x):
        return Square.apply(x, factor=2.02)

    wrong("they differ by", slightly_off, normal(3))
    assert gradcheck(slightly_off, normal(3), rtol=0.02)
    assert gradcheck(slightly_off, normal(3), atol=1.0)


def test_the_error_is_an_assertion():
    assert issubclass(gradcheck_module.GradcheckError, AssertionError)
