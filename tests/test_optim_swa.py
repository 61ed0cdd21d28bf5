"""Averaged models, against torch.optim.swa_utils."""

import numpy as np
import pytest
import torch
from helpers import assert_same

import tinynet as tn
from tinynet import nn
from tinynet.optim import swa_utils

theirs_utils = torch.optim.swa_utils


def network(library):
    return library.Sequential(
        library.Conv2d(3, 4, 3),
        library.BatchNorm2d(4),
        library.ReLU(),
        library.Flatten(),
        library.Linear(36, 2),
    )


def half_way(average, value, n):
    return average + (value - average) / (n + 2)


def half_way_all(averages, values, n):
    for average, value in zip(averages, values, strict=True):
        average.copy_(average + (value - average) / (n + 2))


WAYS = {
    "equal": lambda utils: {},
    "ema": lambda utils: {"multi_avg_fn": utils.get_ema_multi_avg_fn(0.9)},
    "ema of a short memory": lambda utils: {"multi_avg_fn": utils.get_ema_multi_avg_fn(0.3)},
    "ema of none": lambda utils: {"multi_avg_fn": utils.get_ema_multi_avg_fn(0)},
    "ema that stands still": lambda utils: {"multi_avg_fn": utils.get_ema_multi_avg_fn(1)},
    "avg_fn": lambda utils: {"avg_fn": half_way},
    "multi_avg_fn": lambda utils: {"multi_avg_fn": half_way_all},
}


@pytest.fixture
def pair(rng):
    """The same network twice, and a function that trains both for a step."""
    ours, theirs = network(nn), network(torch.nn)
    ours.load_state_dict({name: t.numpy() for name, t in theirs.state_dict().items()})
    steps = [tn.optim.SGD(ours.parameters(), lr=0.1), torch.optim.SGD(theirs.parameters(), lr=0.1)]

    def train():
        x = rng.standard_normal((4, 3, 5, 5), np.float32)
        for model, step, batch in zip(
            (ours, theirs), steps, (tn.tensor, torch.tensor), strict=True
        ):
            step.zero_grad()
            (model(batch(x)) ** 2).sum().backward()
            step.step()

    return ours, theirs, train


def assert_same_state(ours, theirs):
    ours, theirs = ours.state_dict(), theirs.state_dict()
    assert list(ours) == list(theirs)
    for name in ours:
        assert_same(ours[name].cpu(), theirs[name], name, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_every_way_of_averaging(pair, rng, way, use_buffers):
    ours, theirs, train = pair
    train()
    averaged = swa_utils.AveragedModel(ours, use_buffers=use_buffers, **way(swa_utils))
    expected = theirs_utils.AveragedModel(theirs, use_buffers=use_buffers, **way(theirs_utils))
    for _ in range(3):
        assert_same_state(averaged, expected)
        train()
        averaged.update_parameters(ours)
        expected.update_parameters(theirs)
    assert_same_state(averaged, expected)
    assert_same_state(ours, theirs)  # the model itself is left alone
    x = rng.standard_normal((2, 3, 5, 5), np.float32)
    y = averaged.eval()(tn.tensor(x))
    assert_same(y.detach().cpu(), expected.eval()(torch.tensor(x)), rtol=1e-4, atol=1e-5)


def test_names_and_mode(pair):
    ours, _, train = pair
    train()
    averaged = swa_utils.AveragedModel(ours.eval())
    names = [f"module.{name}" for name in ours.state_dict()]
    assert list(averaged.state_dict()) == ["n_averaged", *names]
    assert averaged.n_averaged.dtype == np.int64
    assert (averaged.training, averaged.module.training) == (True, False)
    assert all(p.grad is None for p in averaged.parameters())
    assert all(p.grad is not None for p in ours.parameters())
    assert {p.device for p in averaged.parameters()} == {p.device for p in ours.parameters()}


def test_saved_and_loaded_it_goes_on(pair):
    ours, _, train = pair
    first, second = (
        swa_utils.AveragedModel(ours, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.8))
        for _ in range(2)
    )
    for _ in range(2):
        train()
        first.update_parameters(ours)
    second.load_state_dict(first.state_dict())
    train()
    for averaged in (first, second):
        averaged.update_parameters(ours)
    assert second.n_averaged.item() == 3
    for name, value in first.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), second.state_dict()[name].numpy(), name)


def test_an_update_counts_as_a_change_in_place(pair):
    ours, _, train = pair
    averaged = swa_utils.AveragedModel(ours, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.8))
    for _ in range(2):
        loss = averaged(tn.ones(2, 3, 5, 5)).sum()
        averaged.update_parameters(ours)
        with pytest.raises(RuntimeError, match="changed in place"):
            loss.backward()


def test_bad_arguments_are_refused(pair):
    ours, _, _ = pair
    with pytest.raises(TypeError, match="model must be a Module, got int"):
        swa_utils.AveragedModel(3)
    with pytest.raises(ValueError, match="avg_fn or multi_avg_fn, not both"):
        swa_utils.AveragedModel(ours, avg_fn=half_way, multi_avg_fn=half_way_all)
    with pytest.raises(ValueError, match="other parameters or buffers"):
        swa_utils.AveragedModel(ours).update_parameters(nn.Linear(36, 2))
    for decay in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="get_ema_multi_avg_fn: decay must be"):
            swa_utils.get_ema_multi_avg_fn(decay)
