"""The exercises: every solution passes, every common mistake gets its own hint."""

import ast
from pathlib import Path

import numpy as np
import pytest

from tinynet.exercises import learner, verdict
from tinynet.exercises.course import COURSE
from tinynet.exercises.definition import Backward
from tinynet.exercises.exercise import as_tuple

ROOT = Path(__file__).resolve().parent.parent
FAULTS = [(name, mistake) for name, ex in COURSE.items() for mistake in ex.mistakes]
OTHER_WAYS = {
    "add_backward": """
def add_backward(gy, a, b):
    def fit(v):
        extra = gy.ndim - v.ndim
        ones = tuple(extra + i for i, size in enumerate(v.shape) if size == 1)
        return gy.sum(axis=(*range(extra), *ones)).reshape(v.shape)
    return fit(a), fit(b)
""",
    "cross_entropy_forward": """
def cross_entropy_forward(x, labels):
    losses = [np.logaddexp.reduce(row) - row[label] for row, label in zip(x, labels)]
    return sum(losses) / len(losses)
""",
    "batchnorm_forward": """
def batchnorm_forward(x, weight, bias, eps):
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        y[:, c] = weight[c] * (x[:, c] - x[:, c].mean()) / (x[:, c].var() + eps) ** 0.5 + bias[c]
    return y
""",
    # the graph of elementwise steps, walked back one by one
    "batchnorm_backward": """
def batchnorm_backward(gy, x, weight, eps):
    axes, M = (0, 2, 3), x.size / x.shape[1]
    centred = x - x.mean(axis=axes, keepdims=True)
    var = (centred**2).mean(axis=axes, keepdims=True)
    inverse = 1 / np.sqrt(var + eps)
    gxhat = gy * weight[None, :, None, None]
    ginverse = (gxhat * centred).sum(axis=axes, keepdims=True)
    gvar = -0.5 * ginverse * inverse**3
    gcentred = gxhat * inverse + 2 * centred * gvar / M
    gx = gcentred - gcentred.sum(axis=axes, keepdims=True) / M
    return gx, (gy * centred * inverse).sum(axis=axes), gy.sum(axis=axes)
""",
    # slides the flipped filters over gy, whose elements lie `stride` apart
    "depthwise_gx": """
def depthwise_gx(gy, x, w, stride, padding):
    N, C, H, W = x.shape
    K, HO, WO = w.shape[2], *gy.shape[2:]
    spread = np.zeros((N, C, H + 2 * padding + K - 1, W + 2 * padding + K - 1))
    end = K - 1
    spread[:, :, end : end + stride * HO : stride, end : end + stride * WO : stride] = gy
    windows = np.lib.stride_tricks.sliding_window_view(spread, (K, K), axis=(2, 3))
    full = np.einsum("nchvij,cij->nchv", windows, w[:, 0, ::-1, ::-1])
    return full[:, :, padding : padding + H, padding : padding + W]
""",
    "max_pool_backward": """
def max_pool_backward(gy, x, k, stride):
    gx = np.zeros_like(x)
    for n, c, h, w in np.ndindex(*gy.shape):
        best = None
        for r in range(h * stride, h * stride + k):
            for q in range(w * stride, w * stride + k):
                if best is None or x[n, c, r, q] > x[n, c, best[0], best[1]]:
                    best = r, q
        gx[n, c, best[0], best[1]] += gy[n, c, h, w]
    return gx
""",
}
GRADIENTS = {name: ex for name, ex in COURSE.items() if isinstance(ex.reference, Backward)}
every_exercise = pytest.mark.parametrize("exercise", COURSE.values(), ids=COURSE)


def outcomes(exercise, source):
    return learner.run(**verdict.task(exercise, f"import numpy as np\n{source}", "file.py"))


def judged(exercise, source):
    return verdict.judge(exercise, outcomes(exercise, source))


def test_the_course_has_what_it_should():
    assert len(COURSE) >= 15
    wanted = {"descent_step", "multiply_backward", "batchnorm_backward", "depthwise_gx", "sgd_step"}
    assert wanted <= set(COURSE)
    assert all(len(ex.mistakes) >= 3 for ex in COURSE.values())


@every_exercise
def test_a_stub_is_python_and_known_as_a_stub(exercise):
    (function,) = (n for n in ast.parse(exercise.stub).body if isinstance(n, ast.FunctionDef))
    assert function.name == exercise.name
    assert "Returns " in ast.get_docstring(function)
    assert exercise.aim in exercise.stub
    assert judged(exercise, exercise.stub).status == verdict.STUB
    assert max(map(len, exercise.stub.splitlines())) <= 100


@every_exercise
def test_a_solution_passes_and_needs_nothing_but_numpy(exercise):
    found = judged(exercise, exercise.source)
    assert found.status == verdict.DONE, found


@pytest.mark.parametrize("name", OTHER_WAYS)
def test_another_right_way_passes_too(name):
    found = judged(COURSE[name], OTHER_WAYS[name])
    assert found.status == verdict.DONE, found


@pytest.mark.parametrize(("name", "mistake"), FAULTS, ids=map("-".join, FAULTS))
def test_a_usual_mistake_gets_its_own_hint(name, mistake):
    exercise = COURSE[name]
    given = outcomes(exercise, exercise.wrong(mistake))
    assert any(kind == "results" for kind, *_ in given)  # else any error would be taken for it
    found = verdict.judge(exercise, given)
    assert (found.status, found.mistake) == (verdict.WRONG, mistake), found
    hints = [mistake.hint for mistake in exercise.mistakes.values()] + [exercise.hint]
    assert len(set(hints)) == len(hints)
    said = [hint for hint in hints if hint in "\n".join(found.lines)]
    assert said == [exercise.mistakes[mistake].hint]


@pytest.mark.parametrize("exercise", GRADIENTS.values(), ids=GRADIENTS)
def test_what_is_expected_agrees_with_finite_differences(exercise, rng):
    compared = 0
    for inputs in exercise.inputs:
        for name in exercise.reference.tensors:  # off the kinks, and no ties
            inputs = {**inputs, name: inputs[name] + rng.uniform(0.01, 0.02, inputs[name].shape)}
        for which, gradient in enumerate(as_tuple(exercise.reference(inputs))):
            for index in np.ndindex(gradient.shape):
                _, slope = exercise.reference.difference(inputs, which, index)
                np.testing.assert_allclose(gradient[index], slope, rtol=1e-5, atol=1e-5)
                compared += 1
    assert compared >= 10


def test_expected_values_worked_out_by_hand():
    def expected(name, **wanted):
        for inputs, results in zip(COURSE[name].inputs, COURSE[name].expected, strict=True):
            if all(inputs[key] == value for key, value in wanted.items()):
                return results[0]
        raise LookupError(name)

    assert expected("conv_size", size=224, k=3) == 112
    assert expected("receptive_field", layers=((3, 1), (3, 1))) == 5
    assert max(results[0] for results in COURSE["receptive_field"].expected) == 315  # the paper's
    assert expected("separable_cost", C=64) == 1_806_336 + 25_690_112
    assert expected("cosine_rate", step=0) == pytest.approx(0.4)
    assert expected("cosine_rate", step=5) == pytest.approx(0.25)


def test_the_inputs_find_mistakes_by_their_shapes():
    for name in ("conv_gx", "conv_gw", "depthwise_gx", "depthwise_gw"):
        seen = COURSE[name].inputs
        assert {1, 2} <= {inputs["stride"] for inputs in seen}
        assert {0, 1} <= {inputs["padding"] for inputs in seen}
        assert any(inputs["x"].shape[2] != inputs["x"].shape[3] for inputs in seen)
        assert {1, 2} <= {len(inputs["x"]) for inputs in seen}
    kinks = np.concatenate([inputs["x"].ravel() for inputs in COURSE["relu6_backward"].inputs])
    assert {0, 6} <= set(kinks)


def test_a_wrong_element_is_named_with_both_numbers_and_a_finite_difference():
    found = judged(
        COURSE["multiply_backward"],
        "def multiply_backward(gy, a, b):\n    return gy * b, gy * a * np.array([1, 1, 2])",
    )
    gy, a, _ = COURSE["multiply_backward"].arguments[0]
    right = gy[2] * a[2]
    assert found.lines[0] == (
        f"gb[2] = {2 * right:.6g}, expected {right:.6g} (1 of 3 elements are wrong). "
        f"A finite difference with respect to b[2] gives {right:.4g}."
    )
    assert found.lines[1].startswith(f"Inputs: gy = {gy.tolist()}, a = {a.tolist()}")
    assert found.lines[2] == f"Hint: {COURSE['multiply_backward'].hint}" and found.mistake is None


def test_a_wrong_shape_comes_before_values():
    found = judged(COURSE["add_backward"], "def add_backward(gy, a, b):\n    return gy + 1, gy")
    assert found.lines[0].startswith("ga[0, 0] = ")
    found = judged(COURSE["add_backward"], "def add_backward(gy, a, b):\n    return gy, gy")
    assert found.lines[0] == "gb has shape (2, 3), expected (3,)."


def test_a_mistake_is_recognised_beside_another_one():
    source = "def linear_backward(gy, x, w):\n    return 7 * gy @ w, gy.T @ x, gy"
    found = judged(COURSE["linear_backward"], source)
    assert found.mistake is None and found.lines[0].startswith("gx[0, 0]")
    found = judged(COURSE["linear_backward"], source.replace("7 * ", ""))
    assert found.mistake == "gb-not-summed"


def test_one_number_that_happens_to_agree_is_no_mistake_recognised():
    found = judged(COURSE["conv_size"], "def conv_size(size, k, stride, padding):\n    return 2")
    assert found.status == verdict.WRONG and found.mistake is None


def test_float32_is_told_by_its_lost_digits():
    source = "def multiply_backward(gy, a, b):\n    return (gy * b).astype(np.float32), gy * a"
    found = judged(COURSE["multiply_backward"], source)
    assert "digits are lost on the way (in float32?)" in found.lines[0]


def test_nan_is_wrong():
    source = "def multiply_backward(gy, a, b):\n    return gy * np.nan, gy * a"
    assert judged(COURSE["multiply_backward"], source).lines[0].startswith("ga[0] = nan, expected")


def test_an_error_that_a_usual_mistake_raises_gets_its_hint_too():
    source = "def matmul_backward(gy, a, b):\n    return gy @ b, a.T @ gy"
    given = outcomes(COURSE["matmul_backward"], source)[1:]  # without the square matrices
    assert given[0][1].startswith("line 3: ValueError: matmul: ")
    found = judged(COURSE["matmul_backward"], source)
    assert found.mistake == "ga-not-transposed"
    source = "def matmul_backward(gy, a, b):\n    return gy @ c, gy"
    found = judged(COURSE["matmul_backward"], source)
    assert found.mistake is None
    assert found.lines[0] == "line 3: NameError: name 'c' is not defined."
