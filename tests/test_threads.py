"""The second thread: weight gradients put off come out the same, whatever happens meanwhile."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import tinynet as tn
import tinynet.nn.functional as F
from tinynet import threads

ROOT = Path(__file__).parent.parent
ENOUGH = threads.WORTH_IT


class TwoThreads:
    """Stands in for an OpenBLAS that may use two threads: the tests run with one."""

    count = 2

    def set(self, count):
        self.count = count

    def get(self):
        return self.count


@pytest.fixture
def blas(monkeypatch):
    blas = TwoThreads()
    monkeypatch.setattr(threads, "_blas", lambda: blas)
    return blas


def caller():
    return threading.current_thread().name


def later(work):
    return threads.later(work, ENOUGH)


def test_work_is_done_by_another_thread(blas):
    with threads.beside_blas():
        assert blas.count == 2
        assert later(caller).result().startswith("tinynet")
        assert blas.count == 1  # a core for each, to the end, whoever works at the moment
    assert blas.count == 2


def test_outside_the_block_work_is_done_at_once(blas):
    assert later(caller) == caller()


@pytest.mark.parametrize("count", [1, None], ids=["one BLAS thread", "another BLAS"])
def test_where_there_is_one_core_to_use_work_is_done_at_once(blas, monkeypatch, count):
    if count is None:
        monkeypatch.setattr(threads, "_blas", lambda: None)
    blas.count = 1
    with threads.beside_blas():
        assert later(caller) == caller()
    assert blas.count == 1


def test_little_work_is_done_at_once(blas):
    with threads.beside_blas():
        assert threads.later(caller, ENOUGH - 1) == caller()
        assert blas.count == 2


def test_a_block_in_a_block(blas):
    with threads.beside_blas():
        with threads.beside_blas():
            assert later(caller).result() != caller()
        assert later(caller).result() != caller()
    assert later(caller) == caller()
    assert blas.count == 2


def test_an_error_in_the_block_leaves_nothing_behind(blas):
    gate = threading.Event()
    with pytest.raises(ZeroDivisionError), threads.beside_blas():
        waiting = later(lambda: gate.wait(timeout=30))
        assert blas.count == 1
        raise ZeroDivisionError
    assert blas.count == 2
    gate.set()
    waiting.result()
    assert later(caller) == caller()


def test_what_would_pile_up_is_done_at_once(blas):
    gate = threading.Event()
    with threads.beside_blas():
        waiting = [later(lambda: gate.wait(timeout=30)) for _ in range(threads.BACKLOG)]
        assert later(caller).result() == caller()  # a promise nonetheless
        gate.set()
        assert all(promise.result() for promise in waiting)
        assert later(caller).result() != caller()


def test_numpy_error_settings_reach_the_thread(blas):
    with np.errstate(divide="raise"), threads.beside_blas():
        assert later(np.geterr).result()["divide"] == "raise"


def test_the_blas_of_numpys_wheel():
    """The real one: set, asked, and set back. Skipped where NumPy came from elsewhere."""
    blas = threads._blas()
    if blas is None:
        pytest.skip("NumPy was not installed from PyPI's wheel with OpenBLAS")
    before = blas.get()
    try:
        blas.set(1)
        assert blas.get() == 1
    finally:
        blas.set(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_has_a_thread_of_its_own():
    """The parent's thread does not exist in the child: waiting for it would last forever."""
    code = """
import os, threading
from tinynet import threads
from tests.test_threads import TwoThreads
threads._blas = lambda two=TwoThreads(): two
with threads.beside_blas():
    threads.later(lambda: None, 2**30).result()
child = os.fork()
if child == 0:
    with threads.beside_blas():
        os._exit(threads.later(lambda: 7, 2**30).result())
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == "7", done.stderr


# in a walk


class Deferred(tn.Function):
    """y = a + w;  ga = gy, gw = gy, the second one promised"""

    made_by = ()

    def forward(self, a, w):
        return a + w

    def backward(self, gy):
        def work():
            Deferred.made_by += (caller(),)
            return self.gradient(gy)

        return gy.copy(), self.later(work, ENOUGH)

    def gradient(self, gy):
        return gy.copy()


@pytest.fixture
def deferred(blas):
    Deferred.made_by = ()
    return Deferred


def leaves():
    return [tn.tensor(values, requires_grad=True) for values in ([1.0, 2.0], [3.0, 4.0])]


def test_a_promised_gradient_arrives(deferred):
    a, w = leaves()
    (deferred.apply(a, w) * tn.tensor([5.0, 6.0])).sum().backward()
    assert a.grad.tolist() == w.grad.tolist() == [5, 6]
    assert deferred.made_by[0].startswith("tinynet")


def test_promises_for_one_leaf_are_added_up(deferred):
    a, w = leaves()
    w.grad = tn.tensor([10.0, 10.0])
    deferred.apply(deferred.apply(a, w), w).sum().backward()
    assert w.grad.tolist() == [12, 12]


def test_a_promise_to_another_op_is_waited_for(deferred):
    a, w = leaves()
    deferred.apply(a, w * 3).sum().backward()
    assert w.grad.tolist() == [3, 3]


def test_with_somebody_watching_nothing_is_put_off(deferred):
    a, w = leaves()
    for step in tn.backprop(deferred.apply(a, w).sum()):
        assert all(isinstance(gx, np.ndarray) for gx in step.gxs)
    assert deferred.made_by == (caller(),)
    assert w.grad.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("gradient", "error"),
    [(lambda gy: gy[:1], "expected an array of shape"), (lambda gy: None, "returned NoneType")],
)
def test_a_wrong_promise_is_refused(deferred, monkeypatch, gradient, error):
    monkeypatch.setattr(deferred, "gradient", lambda self, gy: gradient(gy))
    a, w = leaves()
    with pytest.raises(ValueError, match=error):
        deferred.apply(a, w).sum().backward()


def test_an_error_in_the_thread_is_raised_and_the_next_walk_is_whole(deferred, monkeypatch, blas):
    with monkeypatch.context() as patch:
        patch.setattr(deferred, "gradient", lambda self, gy: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            deferred.apply(*leaves()).sum().backward()
    assert blas.count == 2
    a, w = leaves()
    deferred.apply(a, w).sum().backward()
    assert w.grad.tolist() == [1, 1]


@pytest.mark.parametrize("turn", range(5))
def test_layers_have_the_same_gradients_with_a_second_thread(rng, monkeypatch, turn):
    """A block of every op that puts work off, walked with and without a second thread."""
    monkeypatch.setattr(threads, "WORTH_IT", 0)
    x = rng.standard_normal((6, 4, 9, 7))
    weights = [rng.standard_normal(s) for s in ((8, 4, 3, 3), (8, 1, 3, 3), (5, 8, 1, 1), (3, 5))]
    results = []
    for blas in (None, TwoThreads()):
        monkeypatch.setattr(threads, "_blas", lambda blas=blas: blas)
        parameters = [tn.tensor(w, requires_grad=True) for w in weights]
        first, depthwise, pointwise, dense = parameters
        y = F.relu6(F.conv2d(tn.tensor(x), first, padding=1))
        y = F.conv2d(y, depthwise, padding=1, stride=2, groups=8)
        y = F.relu6(F.conv2d(y, pointwise))
        F.linear(y.mean((2, 3)), dense).exp().mean().backward()
        results.append([p.grad.array for p in parameters])
    for alone, beside in zip(*results, strict=True):
        np.testing.assert_array_equal(alone, beside)
