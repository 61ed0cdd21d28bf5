"""SyncBatchNorm: workers with a share of the batch each, against torch with all of it."""

import contextlib

import numpy as np
import parallel_tasks as tasks
import pytest
import torch

import tinynet as tn
from tinynet import nn, parallel
from tinynet.gradcheck import gradcheck

SHAPE = (7, 5, 4, 3)


def values(rng, mean=0.0):
    x = rng.normal(0, 1, SHAPE) * rng.uniform(0.5, 2, (1, 5, 1, 1))
    x[:, 2] += mean
    return x, rng.normal(0, 1, SHAPE)


def in_torch(x, gy, activation=None, steps=1, training=True, **options):
    norm = torch.nn.BatchNorm2d(5, dtype=torch.float64, **options).train(training)
    with torch.no_grad():
        for p in norm.parameters():
            p.copy_(torch.linspace(0.5, 4, 5, dtype=torch.float64))
    model = torch.nn.Sequential(norm, *([activation()] if activation else []))
    for _ in range(steps):
        norm.zero_grad()
        leaf = torch.tensor(x, requires_grad=True)
        y = model(leaf)
        y.backward(torch.tensor(gy))
    grads = [p.grad.numpy() for p in norm.parameters()]
    return y.detach().numpy(), leaf.grad.numpy(), grads, norm.state_dict()


def in_workers(size, x, gy, activation=None, steps=1, training=True, plain=False, **options):
    def make():
        norm = nn.SyncBatchNorm(5, dtype=np.float64, **options).train(training)
        for p in norm.parameters():
            p.data[:] = np.linspace(0.5, 4, 5)
        return nn.Sequential(norm, *([activation()] if activation else []))

    models = [make() for _ in range(size)]

    def run():
        model, share = models[parallel.rank], parallel.share_of(len(x))
        with tn.plain() if plain else contextlib.nullcontext():
            for _ in range(steps):
                model.zero_grad()
                leaf = tn.Tensor(x[share], requires_grad=True)
                y = model(leaf)
                y.backward(gy[share])
        grads = [np.array(p.grad.array) for p in model.parameters()]
        parallel.all_reduce(*grads)  # each has its share's
        return y.numpy(), leaf.grad.numpy(), grads, model[0].state_dict()

    found = tasks.in_threads(size, run)
    for other in found:
        assert tasks.digest(t.numpy() for t in other[3].values()) == tasks.digest(
            t.numpy() for t in found[0][3].values()
        )
    return *(np.concatenate([part[i] for part in found]) for i in range(2)), *found[0][2:]


def assert_equal(found, wanted, tolerance=1e-9):
    for i in range(2):
        np.testing.assert_allclose(found[i], wanted[i], tolerance, tolerance)
    for a, b in zip(found[2], wanted[2], strict=True):
        np.testing.assert_allclose(a, b, tolerance, tolerance)
    assert list(found[3]) == list(wanted[3])
    for name, value in wanted[3].items():
        np.testing.assert_allclose(found[3][name].numpy(), value.numpy(), tolerance, tolerance)


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": None, "steps": 3},
        {"affine": False},
        {"track_running_stats": False},
        {"eps": 0.1, "momentum": 0.5, "steps": 2},
        {"training": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [2, 3, 9])
def test_as_torch(rng, size, options, plain):
    x, gy = values(rng)
    assert_equal(in_workers(size, x, gy, plain=plain, **options), in_torch(x, gy, **options))


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("activation", ["ReLU", "ReLU6"])
def test_with_the_activation_after_it(rng, activation, plain):
    x, gy = values(rng)
    wanted = in_torch(x, gy, getattr(torch.nn, activation))
    assert 0.1 < (wanted[0] == 0).mean() < 0.9
    assert_equal(in_workers(3, x, gy, getattr(nn, activation), plain=plain), wanted)


@pytest.mark.parametrize("plain", [True, False])
def test_a_mean_far_from_0(rng, plain):
    x, gy = values(rng, mean=1e4)
    assert_equal(in_workers(3, x, gy, plain=plain), in_torch(x, gy))
    x32 = x.astype(np.float32).astype(np.float64)  # what float32 can tell apart

    def run():
        share = parallel.share_of(len(x))
        with tn.plain() if plain else contextlib.nullcontext():
            return nn.SyncBatchNorm(5)(tn.Tensor(x32[share].astype(np.float32))).numpy()

    found = np.concatenate(tasks.in_threads(3, run))
    mean, std = x32.mean((0, 2, 3), keepdims=True), x32.std((0, 2, 3), keepdims=True)
    np.testing.assert_allclose(found, (x32 - mean) / std, 0, 3e-3)  # the mean is a float32, too


def test_not_a_number_is_all_workers(rng):
    x, gy = values(rng)
    x[0, 1, 0, 0] = np.nan

    def run():
        share = parallel.share_of(len(x))
        with np.errstate(invalid="ignore"):
            return nn.SyncBatchNorm(5, dtype=np.float64)(tn.Tensor(x[share])).numpy()

    for y in tasks.in_threads(3, run):
        assert np.isnan(y[:, 1]).all() and np.isfinite(y[:, [0, 2, 3, 4]]).all()


def test_alone_it_is_batchnorm(rng):
    x, gy = values(rng)
    assert_equal(in_workers(1, x, gy), in_torch(x, gy))
    norm = nn.SyncBatchNorm(5, dtype=np.float64)
    assert gradcheck(norm, [tn.Tensor(x[:2])])


def test_it_loads_what_batchnorm_has_saved_and_the_other_way_round():
    norm, sync = nn.BatchNorm2d(3), nn.SyncBatchNorm(3)
    norm.running_mean[:] = 5
    sync.load_state_dict(norm.state_dict())
    assert sync.running_mean.tolist() == [5] * 3
    nn.BatchNorm2d(3).load_state_dict(sync.state_dict())


def test_convert():
    class Own(nn.BatchNorm2d):
        pass

    model = nn.Sequential(nn.BatchNorm2d(3), nn.Sequential(nn.BatchNorm2d(4).eval()), Own(3))
    before, parameters = model.state_dict(), list(model.parameters())
    assert nn.SyncBatchNorm.convert_sync_batchnorm(model) is model
    kinds = [type(m) for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert kinds == [nn.SyncBatchNorm, nn.SyncBatchNorm, Own]
    assert not model[1][0].training and model[0].training
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    assert before.keys() == model.state_dict().keys()
    one = nn.BatchNorm2d(3)
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(one)
    assert type(converted) is nn.SyncBatchNorm and converted.weight is one.weight
    assert nn.SyncBatchNorm.convert_sync_batchnorm(converted) is converted


def test_folding(rng):
    model = tasks.small_model()
    for x, _ in tasks.batches(2, 5):
        model(tn.Tensor(x))
    model.eval()
    wanted = model(tn.Tensor(x)).numpy()
    folded = nn.fold_batchnorm(model)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    np.testing.assert_allclose(folded(tn.Tensor(x)).numpy(), wanted, 1e-12, 1e-12)
