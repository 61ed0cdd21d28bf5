"""A Sequential computes BatchNorm2d and the ReLU or ReLU6 after it as one op; nobody can tell from
what comes out, and where somebody might look between the two, they stay two."""

import contextlib
import itertools
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import assert_same, channel_major

import mobilenet
import tinynet as tn
import tinynet.nn as nn
import tinynet.nn.functional as F
from tinynet.autograd import observe, sorted_ops
from tinynet.autograd.mode import mode
from tinynet.fast import registry
from tinynet.fast.cpu import batchnorm, tiles
from tinynet.gradcheck import gradcheck
from tinynet.nn.containers import in_turn

pytestmark = pytest.mark.fast_only

ROOT = Path(__file__).parent.parent
FUSED = {nn.ReLU: "BatchNorm + ReLU", nn.ReLU6: "BatchNorm + ReLU6"}
ONE, TWO = ["BatchNorm + ReLU6"], ["ReLU6", "BatchNorm"]


def pair(activation=nn.ReLU6, inplace=False, **options):
    """BatchNorm2d and the activation, with numbers that lie on all sides of 0 and 6."""
    model = nn.Sequential(nn.BatchNorm2d(3, **options), activation(inplace)).double()
    rng = np.random.default_rng(3)
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.ndim == 1:
            tensor.data[:] = rng.uniform(1, 4, 3)
    return model


def values(N=2):
    return channel_major(2 + 3 * np.random.default_rng(N).standard_normal((N, 3, 5, 3)))


def images(N=2):
    return tn.Tensor(values(N), requires_grad=True)


def ops(y):
    """The names of the ops that made y, the last first."""
    return [op.name for op in sorted_ops(y.grad_fn)]


@contextlib.contextmanager
def way(name):
    """fused: as it is; unfused: module after module, each by its quick op; plain."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mode, "plain", name == "plain")
        if name == "unfused":
            patch.delitem(registry.CPU, in_turn)
        yield


def trained(make, array, needs=(True, True, True)):
    """By each way: what a call and its backward leave, as arrays, and the result."""
    for name in ("fused", "unfused", "plain"):
        with way(name):
            model, x = make(), tn.Tensor(array, requires_grad=needs[0])
            for p, needed in zip(model.parameters(), needs[1:], strict=False):
                p.requires_grad_(needed)
            y = model(x)
            if y.requires_grad:
                y.backward(tn.Tensor(np.random.default_rng(2).standard_normal(y.shape)))
        left = {"y": y, "gx": x.grad, **model.state_dict()}
        left |= {f"gradient of {n}": p.grad for n, p in model.named_parameters()}
        yield {n: None if t is None else t.numpy() for n, t in left.items()}, y


def assert_alike(first, *others, tolerance=1e-12):
    for other, name in itertools.product(others, first):
        ours, theirs = first[name], other[name]
        if theirs is None:
            assert ours is None, name
        else:
            scale = max(1, abs(theirs[np.isfinite(theirs)]).max(initial=0))
            np.testing.assert_allclose(ours, theirs, 0, tolerance * scale, err_msg=name)


# the numbers


@pytest.mark.parametrize("span", [7, tiles.SPAN])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("activation", FUSED)
def test_as_unfused_and_plain(monkeypatch, activation, affine, tracked, training, span):
    """Results, gradients, statistics; for 1 to 9 images, some laid out as a user's; whatever is
    frozen; in pieces of several sizes."""
    monkeypatch.setattr(batchnorm, "row_tiles", lambda x, _=0: tiles.row_tiles(x, span))
    options = {"affine": affine, "track_running_stats": tracked}
    for N, needs in enumerate([(True,) * 3, *itertools.product((True, False), repeat=3)], 1):
        array = values(N) if N % 2 else values(N).copy()
        array += 50 * (N == 4)  # far from 0: the mean is subtracted first

        def make(inplace=N % 3 == 0):
            return pair(activation, inplace, **options).train(training)

        (fused, y), (unfused, _), (plain, _) = trained(make, array, needs)
        if any(needs[: 3 if affine else 1]):
            assert ops(y) == [FUSED[activation]]
        np.testing.assert_array_equal(fused["y"], unfused["y"])
        assert_alike(fused, unfused, plain)
        with tn.no_grad():
            np.testing.assert_array_equal(make()(tn.Tensor(array)), fused["y"])


@pytest.mark.parametrize("network", ["cifar-4x4", "stl10"])
def test_mobilenet(network, rng):
    """All 27 pairs; and what the model is stays the same."""
    activation = {"stl10": nn.ReLU}.get(network, nn.ReLU6)

    def make():
        tn.manual_seed(0)
        return mobilenet.build(network, 5, 0.25).double()

    array, model = rng.standard_normal((3, 3, 32, 32)), make()
    before = repr(model), [*model.state_dict()], [*model.named_modules()]
    names = ops(model(tn.Tensor(array)))
    assert names.count(FUSED[activation]) == 27
    assert not {"BatchNorm", activation.__name__} & {*names}
    assert (repr(model), [*model.state_dict()], [*model.named_modules()]) == before
    (fused, _), (unfused, _), _ = trained(make, array, (True,) * 99)
    assert_alike(fused, unfused, tolerance=1e-10)


def test_ten_steps_are_torchs(rng):
    ours, theirs = (
        library.Sequential(
            *(library.Conv2d(3, 6, 3, bias=False), library.BatchNorm2d(6), library.ReLU6(True)),
            *(library.Conv2d(6, 6, 3, groups=6), library.BatchNorm2d(6), library.ReLU()),
        ).double()
        for library in (nn, torch.nn)
    )
    ours.load_state_dict({name: t.numpy() for name, t in theirs.state_dict().items()})
    optimizer = tn.optim.SGD(ours.parameters(), lr=0.01, momentum=0.9)
    expected = torch.optim.SGD(theirs.parameters(), lr=0.01, momentum=0.9)
    for _ in range(10):
        x, gy = rng.standard_normal((9, 3, 7, 7)), rng.standard_normal((9, 6, 3, 3))
        y, yt = ours(tn.Tensor(x)), theirs(torch.tensor(x))
        assert ops(y) == [FUSED[nn.ReLU], "DepthwiseConv2d", FUSED[nn.ReLU6], "Conv2d"]
        assert_same(y, yt)
        optimizer.zero_grad(), expected.zero_grad()
        y.backward(tn.Tensor(gy)), yt.backward(torch.tensor(gy))
        optimizer.step(), expected.step()
    for (name, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert_same(a, b, name)


@pytest.mark.parametrize("training", [True, False])
def test_gradcheck(training):
    model, x = pair().train(training), images()

    def run(x, weight, bias):
        model[0]._parameters.update(weight=weight, bias=bias)
        return model(x)

    weights = [p.detach() for p in model.parameters()]
    assert ops(run(x, *weights)) == ONE
    assert gradcheck(run, [x, *weights])


@pytest.mark.parametrize("activation", FUSED)
def test_the_kinks_pass_nothing(activation):
    model = nn.Sequential(nn.BatchNorm2d(1, eps=0), activation()).double().eval()  # no scaling
    x = tn.Tensor(np.array([-1.0, 0, 1e-300, 5, 6, 7]).reshape(1, 1, 2, 3), requires_grad=True)
    model(x).sum().backward()
    assert x.grad.flatten().tolist() == [0, 0, 1, 1] + [activation is nn.ReLU] * 2


@pytest.mark.parametrize("activation", FUSED)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_special_values(activation, bad, training):
    """No NaN comes back through a closed gate; one in x does what it does unfused."""
    x, gradients = images(), []
    y = pair(activation).train(training)(x)
    closed = (y.numpy() == 0) | (y.numpy() == 6)
    for through_closed in (0, bad):
        x.grad = None
        y.backward(tn.Tensor(np.where(closed, through_closed, 2.0)), retain_graph=True)
        gradients.append(x.grad.numpy())
    np.testing.assert_array_equal(*gradients)
    array = values()
    array[1, 0, 2, 2] = bad
    (fused, _), (unfused, _), (plain, _) = trained(lambda: pair(activation).train(training), array)
    assert_alike(fused, unfused)
    np.testing.assert_allclose(fused["y"], plain["y"], 1e-12)


def test_memory_changed_in_place():
    """What is saved are x and a mask: the result may change, x may not."""
    gradients = []
    for name in ("fused", "unfused"):
        with way(name):
            y = pair()(x := images())
            y += 1
            y *= y
            y.sum().backward()
            gradients.append({"gx": x.grad.numpy()})
    assert_alike(*gradients)
    for _, gy, _ in tn.backprop(pair()(images()), channel_major(np.ones((2, 3, 5, 3)))):
        assert (gy == 1).all()  # nor is what comes in written over
    x = images().detach()
    y = pair()(x)
    x += 1
    with pytest.raises(RuntimeError, match=r"BatchNorm \+ ReLU6 saved .* changed in place"):
        y.sum().backward()


# where they stay two


def own(kind, forward=None):
    """A subclass with a forward of its own."""
    return type("Own", (kind,), {"forward": forward or (lambda self, x: kind.forward(self, x))})


def both(sequential, x):
    return sequential[1](sequential[0](x))


def hooked(module, hook=lambda *_: None):
    module.register_forward_hook(hook)
    return module


def patched(module):
    module.forward = module.forward.__get__(module)
    return module


CHANGED = {  # what stands where the pair stood
    "a hook on the norm": lambda norm, relu6: [hooked(norm), relu6],
    "a hook on the activation": lambda norm, relu6: [norm, hooked(relu6)],
    "the norm's own forward": lambda norm, relu6: [patched(norm), relu6],
    "the activation's own forward": lambda norm, relu6: [norm, patched(relu6)],
    "a kind of BatchNorm2d": lambda norm, relu6: [own(nn.BatchNorm2d)(3).double(), relu6],
    "a kind of ReLU6": lambda norm, relu6: [norm, own(nn.ReLU6)()],
    "a kind of Sequential": lambda *pair: [own(nn.Sequential, both)(*pair)],
    "nested": lambda norm, relu6: [nn.Sequential(norm), relu6],
    "nested otherwise": lambda norm, relu6: [norm, nn.Sequential(relu6)],
    "a layer between": lambda norm, relu6: [norm, nn.Identity(), relu6],
    "turned round": lambda norm, relu6: [relu6, norm],
    "nothing behind": lambda norm, relu6: [norm],
}


@pytest.mark.parametrize("name", CHANGED)
def test_where_the_model_says_otherwise(name):
    y = nn.Sequential(*CHANGED[name](*pair()))(images())
    with way("unfused"):
        expected = nn.Sequential(*CHANGED[name](*pair()))(images())
    assert ops(y) == ops(expected)
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("kind", [nn.BatchNorm2d, nn.ReLU6])
@pytest.mark.parametrize("name", ["forward", "__call__"])
def test_where_the_class_has_been_patched(monkeypatch, kind, name):
    before, calls = getattr(kind, name), []
    monkeypatch.setattr(kind, name, lambda self, x: calls.append(type(self)) or before(self, x))
    assert ops(pair()(images())) == TWO
    assert calls == [kind]


def test_where_hooks_watch():
    """They see what is not clipped yet, and what they return counts."""
    seen, model = [], pair().eval()
    z = model[0](images()).numpy()
    assert z.min() < 0 < 6 < z.max()
    hooked(model[0], lambda module, args, out: seen.append(out.numpy()) or out * 2)
    np.testing.assert_array_equal(model(images()), np.clip(2 * z, 0, 6))
    np.testing.assert_array_equal(seen, [z])


def test_where_observers_watch_and_in_plain_mode():
    model = pair()
    for watched in (observe(lambda *_: None), tn.plain()):
        with watched:
            assert ops(model(images())) == TWO
        assert ops(model(images())) == ONE


def test_the_environment_variable():
    code = "from tests.test_fast_sequential import *; print(ops(pair()(images())))"
    env = {**os.environ, "TINYNET_PLAIN": "1", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.stdout.strip() == str(TWO), done.stderr


def test_the_activation_has_its_turn_where_the_op_does_not_serve():
    assert ops(pair().eval()(tn.zeros(0, 3, 4, 4, dtype="float64"))) == TWO


def test_layers_that_stand_in_two_places_or_are_replaced_while_it_runs():
    norm, activation = model = pair()
    twice = nn.Sequential(norm, activation, norm, activation, norm)
    assert ops(twice(images())) == ["BatchNorm", *ONE, *ONE]
    assert norm.num_batches_tracked.item() == 3
    ways = trained(lambda: nn.Sequential(*2 * [*pair()]), values())
    assert_alike(*(left for left, _ in ways))
    model = nn.Sequential(nn.Identity(), norm, activation)
    hooked(model[0], lambda *_: setattr(model, "2", nn.ReLU()))
    assert ops(model(images())) == [FUSED[nn.ReLU]]


def test_nothing_is_left_behind(monkeypatch):
    model, x = pair(), images()
    model(x)
    assert ops(model[0](x)) == ["BatchNorm"]
    with pytest.raises(ValueError, match="expected an input of shape"):
        model(x[0])
    assert ops(model[0](x)) == ["BatchNorm"]
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(batchnorm, "row_tiles", lambda *_: 1 / 0)
        model(x)
    assert ops(model[0](x)) == ["BatchNorm"]


def test_each_thread_has_its_own(monkeypatch):
    """While one is between a Sequential and its op, another applies a BatchNorm alone."""
    entered, go_on, found, batch_norm = threading.Event(), threading.Event(), [], F.batch_norm

    def waiting(*args, **options):
        if threading.current_thread() is thread:
            entered.set()
            go_on.wait(timeout=30)
        return batch_norm(*args, **options)

    monkeypatch.setattr(F, "batch_norm", waiting)
    thread = threading.Thread(target=lambda: found.extend(ops(pair()(images()))))
    thread.start()
    entered.wait(timeout=30)
    assert ops(pair()[0](images())) == ["BatchNorm"]
    go_on.set()
    thread.join()
    assert found == ONE


def test_what_is_no_tensor():
    class First(nn.Module):
        def forward(self, xs):
            return xs[0]

    model = nn.Sequential(First(), *pair())
    np.testing.assert_array_equal(model([images()]), pair()(images()))
    for wrong in (pair(), model):
        with pytest.raises(TypeError, match="batch_norm: input must be a Tensor"):
            wrong([1])
