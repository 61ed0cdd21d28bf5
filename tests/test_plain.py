"""`with plain():` computes every op by its definition, and little else stands in between."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import mobilenet
import tinynet as tn
import tinynet.nn as nn
import tinynet.nn.functional as F
from tinynet.autograd import tape
from tinynet.ops.conv import Conv2d
from tinynet.ops.window import Window

pytestmark = pytest.mark.fast_only

ROOT = Path(__file__).parent.parent
PACKAGE = str(Path(tn.__file__).parent) + os.sep
NETWORKS = {
    "stl10": {"resolution": 32},
    "cifar-4x4": {"resolution": 12},
    "full-convolution": {"resolution": 32},
    "bottleneck": {"resolution": 33, "steps": 1},  # ill-conditioned: errors grow with the steps
}


def chosen():
    """'fast' or 'definition': what serves a convolution in this thread at the moment."""
    x = np.zeros((8, 2, 4, 4))
    op = tape.implementation(Conv2d, x, np.zeros((2, 2, 1, 1)), window=Window((1, 1)), groups=1)
    return "definition" if op is Conv2d else "fast"


def called_in(function, folder=""):
    """(file, function) of every Python function of tinynet's (of a folder) that a call enters."""
    calls = []

    def note(frame, event, _):
        file, name = frame.f_code.co_filename, frame.f_code.co_name
        if event == "call" and file.startswith(PACKAGE + folder) and not name.startswith("<"):
            calls.append((file[len(PACKAGE) :], name))

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return calls


def test_within_and_after():
    assert chosen() == "fast"
    with tn.plain():
        assert chosen() == "definition"
        with tn.plain():
            assert chosen() == "definition"
        assert chosen() == "definition"
    assert chosen() == "fast"
    with pytest.raises(ZeroDivisionError), tn.plain():
        raise ZeroDivisionError
    assert chosen() == "fast"


def test_as_a_decorator():
    assert tn.plain()(chosen)() == "definition"
    assert tn.plain(chosen)() == "definition"
    assert tn.plain(chosen).__name__ == "chosen"
    assert chosen() == "fast"


def test_one_switch_entered_inside_itself():
    switch = tn.plain()
    with switch:
        with switch:
            assert chosen() == "definition"
        assert chosen() == "definition"
    assert chosen() == "fast"


def test_each_thread_has_its_own():
    inside, outside = [], []
    entered, left = threading.Event(), threading.Event()

    def work():
        with tn.plain():
            entered.set()
            left.wait(timeout=30)
            inside.append(chosen())

    thread = threading.Thread(target=work)
    thread.start()
    entered.wait(timeout=30)
    outside.append(chosen())
    with tn.plain():
        pass
    left.set()
    thread.join()
    assert (inside, outside) == (["definition"], ["fast"])


@pytest.mark.parametrize(("value", "expected"), [("1", "definition"), ("0", "fast"), ("", "fast")])
def test_the_environment_variable(value, expected):
    """In every thread, for a thread's mode begins with it."""
    code = (
        "import threading; from tests.test_plain import chosen; print(chosen());"
        "t = threading.Thread(target=lambda: print(chosen())); t.start(); t.join()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "TINYNET_PLAIN": value, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == [expected] * 2, done.stderr


# whole networks


def train(network, resolution, plain, dtype=np.float64, steps=2, N=9):
    """Losses, gradients and state of a small network after some steps of training."""
    tn.manual_seed(4)
    rng = np.random.default_rng(4)
    model = mobilenet.build(network, 5, 0.25 if network != "bottleneck" else 0.1)
    optimizer = tn.optim.SGD(model.to(dtype).parameters(), lr=0.05, momentum=0.9)
    losses = []
    with tn.plain() if plain else tn.enable_grad():
        for _ in range(steps):
            x = tn.Tensor(rng.standard_normal((N, 3, resolution, resolution)).astype(dtype))
            x.requires_grad_()
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), tn.tensor(rng.integers(0, 5, N)))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    gradients = {name: p.grad.numpy() for name, p in model.named_parameters()}
    state = {name: t.numpy() for name, t in model.state_dict().items()}
    return {"losses": np.array(losses), "input": x.grad.numpy(), **gradients, **prefixed(state)}


def prefixed(state):
    return {f"state of {name}": array for name, array in state.items()}


@pytest.mark.parametrize("network", NETWORKS)
def test_networks_are_the_same_by_their_definitions(network):
    """Training mode: all gradients, the weights after the steps, the running statistics."""
    fast, plain = (train(network, **NETWORKS[network], plain=plain) for plain in (False, True))
    assert list(fast) == list(plain)
    for name, array in fast.items():
        scale = max(abs(plain[name]).max(), 1e-3)
        assert abs(array - plain[name]).max() <= 1e-10 * scale, name


@pytest.mark.parametrize("plain", [False, True])
def test_a_run_repeats_bit_for_bit(plain):
    once, again = (train("cifar-4x4", 12, plain, np.float32, N=17) for _ in range(2))
    for name, array in once.items():
        np.testing.assert_array_equal(array, again[name], err_msg=name)


def test_plain_enters_nothing_of_fast():
    def step():
        train("stl10", 32, plain=True, steps=1)

    step()
    assert called_in(step, "ops") != []
    assert called_in(step, f"fast{os.sep}cpu") == []
    assert called_in(step, f"fast{os.sep}cuda") == []
    assert called_in(step, "fast") == []
    assert called_in(lambda: train("stl10", 32, plain=False, steps=1), "fast") != []


def test_few_calls_stand_between_a_layer_and_its_arithmetic():
    """One depthwise layer, forward and its step of backprop: what a debugger steps through."""
    layer = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
    x = tn.randn(4, 8, 16, 16, requires_grad=True)
    results = []

    def forward():
        results.append(layer(x))

    def step():
        assert next(walk).op.name == "DepthwiseConv2d"

    with tn.plain():
        forward()
        calls = called_in(forward)
        walk = tn.backprop(results[-1].sum())
        next(walk)  # the sum's step
        calls += called_in(step)
    assert len(calls) <= 40, calls
    assert len({file for file, _ in calls}) <= 8, calls
