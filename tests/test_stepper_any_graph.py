"""The terminal copes with any graph: unrecorded, huge, with NaN inside, or none at all."""

import contextlib

import numpy as np
import pytest
from device import strict
from walks import answer, leaf, shown

import tinynet as tn
import tinynet.nn.functional as F
from tinynet.autograd.tape import Function
from tinynet.stepper import Trace, record
from tinynet.stepper.lessons import LESSONS
from tinynet.stepper.page import save_html
from tinynet.stepper.text import array_lines, folded


def test_a_graph_that_was_not_recorded():
    x = leaf([1.0, 2.0])
    loss = (x * x).sum()
    text = shown(loss)
    assert "not recorded; to see the values" in text and "record()" in text
    assert "Step 5 of 6: t1 = Multiply" in text and "gradient (2,)" not in text
    assert "[2. 4.]" in text
    assert "A check needs the values" in answer(loss, "n", "f")
    assert "not recorded" in answer(loss, "p Multiply")


def test_an_op_without_a_formula_and_one_that_draws_random_numbers():
    rng = np.random.default_rng(0)

    class Noise(Function):
        def forward(self, x):
            self.save(rng.standard_normal(x.shape))
            return x * self.saved[0]

        def backward(self, gy):
            return gy * self.saved[0]

    x = leaf([1.0, 2.0])
    with record():
        loss = Noise.apply(x).sum()
    text = answer(loss, "r noise")
    assert "(the op states no rule)" in text
    assert "cannot be run again: Noise #1 gives other values" in text
    assert "No check" in answer(loss, "n", "f")


def test_an_op_that_cannot_be_run_again():
    class Once(Function):
        ran = False

        def forward(self, x):
            if Once.ran:
                raise RuntimeError("only once")
            Once.ran = True
            return x[:1] * 1

        def backward(self, gy):
            return np.concatenate([gy, 0 * gy])

    x = leaf([1.0, 2.0])
    with record():
        loss = Once.apply(x).sum()
    text = shown(loss)
    assert "cannot be run again: only once" in text
    assert "The end" in text
    assert answer(loss, "n", "f") == "No check: the graph cannot be run again: only once\n"


def deep(ops):
    y = leaf(1.0)
    with record():
        for _ in range(ops // 2):
            y = y * 1 + 0
    return y


def test_ten_thousand_ops_fold():
    loss = deep(10_000)
    text = shown(loss)
    assert len(text) < 4000
    assert "Forward: 10,000 ops" in text and "Backward: 10,000 steps" in text
    assert text.count("... these 2 rows 4,99") == 2
    assert "--all" in text
    assert answer(loss, "r mult", "n").startswith("Step 10004 of 20001: y_5000 = Add")


def test_everything_is_shown_when_asked_for():
    text = shown(deep(300), everything=True)
    assert "Step 601 of 601" in text and "..." not in text
    assert "Step 601 of 601" not in shown(deep(300))


def test_a_long_graph_that_does_not_repeat_is_cut():
    y = leaf(np.ones(2))
    with record():
        for i in range(250):
            y = (y.reshape(1, 2) if i % 7 in (2, 3) else y.reshape(2)) * 1
            if i % (5 + i // 20) == 0:
                y = -y
    loss = y.sum()
    text = shown(loss)
    assert "rows left out" in text or "times more" in text
    assert text.count("\n") < 500


def test_the_first_nan_is_pointed_out():
    x = leaf([1.0, 0.0, 4.0])
    with record():
        roots = x.sqrt()
        ratios = roots / x
        loss = ratios.sum()
    text = shown(loss)
    assert "NaN, Inf  in the values first made by ratios: 1 NaN, the first at [1]" in text
    assert "NaN, Inf  in the gradients first made by step 6, ratios" in text
    step = answer(loss, "n", "n")
    assert "the first NaN or Inf in the values is made here" in step
    assert "the first NaN or Inf in the gradient is made here" in step
    assert "at [1]" in step
    assert "is made here" not in answer(loss, "n", "n", "n")


def test_a_finite_graph_says_nothing_of_nan():
    assert "NaN" not in shown(LESSONS["batchnorm"].build())


def test_numbers_of_a_huge_tensor_wait_to_be_asked_for():
    x = leaf(np.ones((1500, 1000)), np.float32)
    with record():
        loss = F.relu(x).sum()
    text = answer(loss, "r relu")
    assert "left out, 3,000,000 elements are many; `e INDEX` works one out" in text
    assert "gx[2,3] = gt1[2,3] * dt1[2,3]/dx[2,3] = 1 * 1 = 1" in answer(loss, "r relu", "e 2,3")
    text = answer(loss, "p x")
    assert "1 everywhere" in text


def test_empty_tensors():
    x = leaf(np.ones((0, 3)))
    with record():
        loss = (x * 2).sum()
    text = shown(loss)
    assert "no elements, shape (0, 3)" in text and "The end" in text


def test_a_vector_of_losses_by_its_trace():
    x = leaf([1.0, 2.0])
    with record():
        y = x * x
    trace = Trace(y, tn.Tensor(np.array([1.0, 10.0])))
    assert "[ 2. 40.]" in shown(trace)


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: tn.ones(2), ValueError, "no graph"),
        (lambda: leaf(1.0), ValueError, "a leaf: no op made it"),
        (lambda: leaf([1.0, 2.0]) * 2, ValueError, "needs a gradient of that shape"),
        (lambda: np.ones(2), TypeError, "expected a Tensor or a Trace, got ndarray"),
    ],
)
def test_what_cannot_be_walked_is_refused_in_a_sentence(make, error, sentence):
    with pytest.raises(error, match=sentence) as raised:
        shown(make())
    assert "\n" not in str(raised.value)


def test_a_freed_graph_is_refused_in_a_sentence():
    loss = (leaf([1.0]) * leaf([2.0])).sum()
    loss.backward()
    with pytest.raises(RuntimeError, match="freed by an earlier backward"):
        shown(loss)


def test_a_walk_leaves_gradients_alone():
    x = leaf([1.0, 2.0])
    with record():
        loss = (x * x).sum()
    shown(loss)
    assert x.grad is None
    loss.backward()
    np.testing.assert_array_equal(x.grad.array, [2, 4])


def test_a_graph_on_a_gpu(tmp_path):
    """Or on the stand-in for one: it is shown, and checked, as if it had been on the CPU."""
    with contextlib.nullcontext() if tn.cuda_available() else strict.in_place_of_cupy():
        x, weight = leaf([[1.0, -2.0], [3.0, 4.0]]), leaf([[0.5, 1.0], [2.0, -1.0]])
        with record():
            on_gpu = F.relu6(F.linear(x.to("cuda"), weight.to("cuda")))
            loss = F.cross_entropy(on_gpu, tn.tensor([0, 1]).to("cuda"))
        text = shown(loss)
        save_html(loss, tmp_path / "page.html")
    assert "Transfer" in text
    assert "ReLU6" in text
    assert "relative error" in text


def test_arrays_as_text():
    assert array_lines(np.array(2.5)) == ["2.5"]
    assert array_lines(np.zeros((0, 3))) == ["no elements, shape (0, 3)"]
    assert array_lines(np.full((2, 4), 0.5)) == ["0.5 everywhere"]
    assert array_lines(np.array([[1.0, -0.0], [3, 4]])) == ["[[1. 0.]", " [3. 4.]]"]
    assert array_lines(np.arange(8.0).reshape(2, 2, 2)) == [
        "[0]      [1]",
        " 0. 1.    4. 5.",
        " 2. 3.    6. 7.",
    ]
    assert (
        array_lines(np.arange(1000.0))[0] == "1,000 values, so sampled: 0 to 999, mean 500; 1 are 0"
    )


def test_repetitions_are_found():
    assert folded(list("abcabcabcd")) == [(0, 3, 3), (9, 1, 1)]
    assert folded(list("aaaa")) == [(0, 1, 4)]
    assert folded(list("abab")) == [(i, 1, 1) for i in range(4)]
    assert folded([]) == []
