"""Initial weights: torch's formulas (bounds and deviations), torch's defaults, the seed."""

import math

import numpy as np
import pytest
import torch

import tinynet as tn
import tinynet.nn as nn
from tinynet.nn import init

SHAPES = [(400, 300), (64, 32, 3, 3), (600, 1, 3, 3)]
GAINS = ["linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu"]


def torch_fans(shape):
    return torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))


def assert_uniform(tensor, bound):
    """Uniform in [-bound, bound]: reaches the bounds, never beyond, right deviation."""
    values = tensor.numpy()
    assert abs(values).max() <= np.float32(bound)
    assert abs(values).max() > 0.99 * bound
    assert values.std() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert abs(values.mean()) < 0.05 * bound


def assert_normal(tensor, std):
    values = tensor.numpy()
    assert values.std() == pytest.approx(std, rel=0.04)
    assert abs(values.mean()) < 0.05 * std
    # 68 % within one deviation: a uniform distribution has 58 %
    assert (abs(values) < std).mean() == pytest.approx(0.683, abs=0.02)


@pytest.mark.parametrize("name", GAINS)
def test_gains(name):
    assert init.calculate_gain(name) == torch.nn.init.calculate_gain(name)


def test_gain_of_leaky_relu():
    assert init.calculate_gain("leaky_relu", 0.3) == torch.nn.init.calculate_gain("leaky_relu", 0.3)


@pytest.mark.parametrize("shape", SHAPES)
def test_fans(shape):
    assert init.fans(tn.zeros(shape)) == torch_fans(shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("gain", [1.0, math.sqrt(2)])
def test_xavier(shape, gain):
    fan_in, fan_out = torch_fans(shape)
    tensor = tn.zeros(shape)
    assert init.xavier_uniform_(tensor, gain) is tensor
    assert_uniform(tensor, gain * math.sqrt(6 / (fan_in + fan_out)))
    assert init.xavier_normal_(tensor, gain=gain) is tensor
    assert_normal(tensor, gain * math.sqrt(2 / (fan_in + fan_out)))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"a": math.sqrt(5)},
        {"mode": "fan_out"},
        {"nonlinearity": "relu"},
        {"mode": "fan_out", "nonlinearity": "relu"},
        {"nonlinearity": "linear"},
    ],
    ids=str,
)
def test_kaiming(shape, options):
    fan = torch_fans(shape)[options.get("mode") == "fan_out"]
    gain = torch.nn.init.calculate_gain(
        options.get("nonlinearity", "leaky_relu"), options.get("a", 0)
    )
    tensor = tn.zeros(shape)
    assert init.kaiming_uniform_(tensor, **options) is tensor
    assert_uniform(tensor, gain * math.sqrt(3 / fan))
    assert init.kaiming_normal_(tensor, **options) is tensor
    assert_normal(tensor, gain / math.sqrt(fan))


def test_the_simple_ones():
    tensor = tn.zeros(100, 100)
    assert init.uniform_(tensor, 2, 6) is tensor
    assert_uniform(tensor - 4, 2)
    assert_normal(init.normal_(tensor, 3, 0.5) - 3, 0.5)
    assert set(init.constant_(tensor, 0.3).numpy().flat) == {np.float32(0.3)}
    assert set(init.ones_(tensor).numpy().flat) == {1}
    assert set(init.zeros_(tensor).numpy().flat) == {0}


@pytest.mark.parametrize(
    "make",
    [
        lambda library: library.nn.Conv2d(32, 64, 3),
        lambda library: library.nn.Conv2d(600, 600, 3, groups=600),
        lambda library: library.nn.Linear(300, 400),
    ],
)
def test_default_weights_are_torchs(make):
    """Weight and bias uniform within 1/sqrt(fan_in), as torch's own are."""
    ours, theirs = make(tn), make(torch)
    bound = 1 / math.sqrt(torch_fans(theirs.weight.shape)[0])
    for name in ("weight", "bias"):
        values, expected = getattr(ours, name).numpy(), getattr(theirs, name).detach().numpy()
        for array in (values, expected):
            assert abs(array).max() <= bound * (1 + 1e-6)
            assert abs(array).max() > 0.9 * bound
    assert_uniform(ours.weight, bound)
    assert ours.weight.requires_grad
    assert ours.weight.grad_fn is None


def test_the_seed_repeats():
    draws = []
    for seed in (1, 1, 2):
        tn.manual_seed(seed)
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 2))
        init.kaiming_normal_(model[1].weight)
        draws.append(np.concatenate([p.numpy().ravel() for p in model.parameters()]))
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not (draws[0] == draws[2]).any()


def test_dtype_memory_and_gradient_stay():
    weight = nn.Parameter(tn.zeros(3, 4).double())
    memory = weight.array
    init.xavier_uniform_(weight)
    assert weight.array is memory
    assert memory.any()
    assert weight.requires_grad
    assert weight.grad is None


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: init.kaiming_normal_(tn.zeros(3)), ValueError, r"at least 2 axes, got shape \(3,"),
        (lambda: init.xavier_uniform_(tn.zeros(())), ValueError, "at least 2 axes"),
        (lambda: init.kaiming_normal_(tn.zeros(3, 3), mode="fan"), ValueError, "got 'fan'"),
        (lambda: init.kaiming_uniform_(tn.zeros(3, 3), nonlinearity="x"), ValueError, "got 'x'"),
        (lambda: init.zeros_(np.zeros(3)), TypeError, r"init.zeros_: expected a Tensor, got ndarr"),
        (lambda: init.normal_(tn.zeros(3), 0, -1), ValueError, "std must be at least 0"),
        (lambda: init.uniform_(tn.zeros(3), 2, 1), ValueError, "is above"),
    ],
)
def test_wrong_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()
