"""Activations, layers and losses that training scripts use, against torch."""

import functools
import math

import numpy as np
import pytest
import torch
from helpers import assert_same, compare_with_torch

import tinynet as tn
import tinynet.nn as nn
import tinynet.nn.functional as F


def normal(*shape):
    return np.random.default_rng(0).standard_normal(shape)


def spread(*shape):
    """Values at, about and far from the kinks of the activations."""
    values = [-1e3, -30, -6, -3, -1, -0.5, -1e-9, 0, 1e-9, 0.5, 1, 3, 6, 21, 30, 1e3]
    return np.resize(np.array(values), shape)


ACTIVATIONS = {
    "leaky_relu": [{}, {"negative_slope": 0.3}, {"negative_slope": -0.5}],
    "elu": [{}, {"alpha": 0.4}],
    "silu": [{}],
    "hardsigmoid": [{}],
    "hardswish": [{}],
    "gelu": [{}, {"approximate": "tanh"}],
    "softplus": [{}, {"beta": 3.0, "threshold": 2.0}],
    "normalize": [{}, {"p": 1, "dim": 0}, {"p": math.inf, "dim": -1, "eps": 0.5}],
}


@pytest.mark.parametrize("way", ["fast", "plain"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name, way):
    for options in ACTIVATIONS[name]:
        with tn.plain() if way == "plain" else tn.enable_grad():
            for array in (
                spread(4, 8),
                normal(3, 5),
                spread(4, 8).astype(np.float32),
                normal(0, 3),
            ):
                if name == "normalize" and not array.size:
                    continue
                compare_with_torch(
                    lambda x, o=options: getattr(F, name)(x, **o),
                    lambda x, o=options: getattr(torch.nn.functional, name)(x, **o),
                    array,
                    # torch's factor 1/6 in this gradient is float32's
                    rtol=1e-7 if name == "hardsigmoid" and array.dtype == np.float64 else None,
                )


@pytest.mark.parametrize("name", ["LeakyReLU", "ELU", "SiLU", "Hardsigmoid", "Hardswish"])
def test_activations_in_place(name):
    def function(library):
        def run(x):
            y = x * 1
            z = getattr(library.nn, name)(inplace=True)(y)
            assert z is y
            return z + y

        return run

    compare_with_torch(function(tn), function(torch), normal(4, 5), rtol=1e-7)  # as above


LAYERS = [
    ("LeakyReLU", (0.2,), {"inplace": True}),
    ("ELU", (0.5,), {}),
    ("GELU", (), {}),
    ("GELU", ("tanh",), {}),
    ("SiLU", (), {}),
    ("Softplus", (2.0,), {}),
    ("Hardswish", (), {}),
    ("Hardsigmoid", (), {}),
    ("Dropout2d", (0.0,), {}),
    ("ConstantPad2d", (1, 2.5), {}),
    ("ConstantPad2d", ((1, 0, 2, 1), -1), {}),
    ("ReflectionPad2d", (1,), {}),
    ("ReplicationPad2d", ((2, 0, 0, 1),), {}),
    ("Unflatten", (1, (2, 2)), {}),
    ("Unflatten", (-1, (-1, 3)), {}),
    ("Upsample", (), {"scale_factor": 2}),
    ("Upsample", ((7, 4),), {}),
    ("GroupNorm", (2, 4), {}),
    ("GroupNorm", (4, 4, 0.1, False), {}),
    ("LayerNorm", (6,), {}),
    ("LayerNorm", ([4, 5, 6], 0.1), {"bias": False}),
    ("LayerNorm", ((5, 6),), {"elementwise_affine": False}),
]


@pytest.mark.parametrize(("name", "args", "options"), LAYERS)
def test_layers(name, args, options):
    ours = getattr(nn, name)(*args, **options)
    theirs = getattr(torch.nn, name)(*args, **options)
    assert repr(ours) == repr(theirs) and list(ours.state_dict()) == list(theirs.state_dict())
    rng = np.random.default_rng(3)
    for p, q in zip(ours.double().parameters(), theirs.double().parameters(), strict=True):
        value = rng.standard_normal(p.shape)
        p.data, q.data = tn.tensor(value), torch.tensor(value)
    # Unflatten and the in-place ones get no leaf
    compare_with_torch(
        lambda x: ours(x * 1), lambda x: theirs(x * 1), normal(3, 4, 5, 6), rtol=1e-7
    )
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert_same(p.grad, q.grad)


@pytest.mark.parametrize(
    "options", [{"size": 3}, {"scale_factor": 1.5}, {"scale_factor": (0.5, 3)}]
)
def test_interpolate(options):
    for shape in ((2, 3, 5, 4), (1, 1, 7, 9)):
        compare_with_torch(
            lambda x: F.interpolate(x, **options),
            lambda x: torch.nn.functional.interpolate(x, **options),
            normal(*shape),
        )


def test_dropout_of_channels():
    tn.manual_seed(0)
    x = tn.ones(40, 50, 3, 2, requires_grad=True)
    y = F.dropout2d(x, 0.3)
    channels = y.numpy().reshape(2000, 6)
    assert (channels == channels[:, :1]).all()
    assert set(np.unique(channels)) == {0, np.float32(1 / 0.7)}
    assert (channels[:, 0] == 0).mean() == pytest.approx(0.3, abs=0.04)
    y.sum().backward()
    assert_same(x.grad, y.numpy())
    assert F.dropout2d(x, 0.3, training=False).numpy().all()


# losses


def probabilities(*shape):
    return np.random.default_rng(1).random(shape)


PAIRS = {
    "mse_loss": [{}],
    "l1_loss": [{}],
    "smooth_l1_loss": [{}, {"beta": 0.3}, {"beta": 0}],
    "binary_cross_entropy": [{}, {"weight": probabilities(4, 3)}],
    "binary_cross_entropy_with_logits": [
        {},
        {"weight": probabilities(3), "pos_weight": probabilities(4, 1) + 1},
    ],
}


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", PAIRS)
def test_losses_of_pairs(name, reduction):
    for options in PAIRS[name]:

        def function(library, options=options):
            made, loss = library.tensor, getattr(library.nn.functional, name)
            given = {k: made(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
            return functools.partial(loss, reduction=reduction, **given)

        x = probabilities(4, 3) if name == "binary_cross_entropy" else 5 * normal(4, 3)
        t = 1 - probabilities(4, 3)
        t[1, 0] = x[1, 0]
        compare_with_torch(function(tn), function(torch), x, t)


def test_probabilities_of_0_and_1():
    """As if the logarithm were -100 there; the gradient of the target is infinite."""
    x, t = np.array([0.0, 1, 0, 1, 0.5]), np.array([0.0, 1, 1, 0, 0.3])

    def function(library):
        return lambda x: library.nn.BCELoss()(x, library.tensor(t))

    compare_with_torch(function(tn), function(torch), x, rtol=1e-8)  # torch's 1e-12 is float32's


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(5, 4), (4,), (2, 4, 3, 2)])
@pytest.mark.parametrize("weighted", [False, True])
def test_negative_log_likelihood(shape, weighted, reduction):
    labels = np.random.default_rng(0).integers(
        0, 4, shape[:1] + shape[2:] if len(shape) > 1 else ()
    )
    ignored = int(labels.flat[0]) if labels.size > 1 else -100
    x = np.log(np.abs(normal(*shape)) + 0.1)
    if ignored != -100:
        x[(0, slice(None), *(0 for _ in shape[2:]))] = -np.inf  # which counts as nothing

    def function(library):
        weight = library.tensor(probabilities(4)) if weighted else None
        loss = library.nn.NLLLoss(weight, ignore_index=ignored, reduction=reduction)
        return lambda x: loss(x, library.tensor(labels))

    compare_with_torch(function(tn), function(torch), x)


def test_losses_of_nothing():
    for library in (tn, torch):
        F_ = library.nn.functional
        labels = library.zeros(0, dtype=library.int64)
        assert math.isnan(F_.mse_loss(library.zeros(0, 3), library.zeros(0, 3)).item())
        assert F_.l1_loss(library.zeros(0, 3), library.zeros(0, 3), reduction="sum").item() == 0
        assert math.isnan(F_.nll_loss(library.zeros(0, 3), labels).item())


def test_a_loss_of_shapes_that_differ_warns():
    for library in (tn, torch):
        with pytest.warns(UserWarning):
            y = library.nn.MSELoss()(library.ones(3, 1), library.zeros(3))
        assert y.item() == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: F.nll_loss(tn.ones(2, 3), tn.tensor([0, 3])), "labels must be from 0 to 2"),
        (lambda: F.nll_loss(tn.ones(2, 3), tn.ones(2, 3)), "target must hold labels, got float32"),
        (lambda: F.binary_cross_entropy(tn.ones(2) * 2, tn.ones(2)), r"must lie in \[0, 1\]"),
        (lambda: F.binary_cross_entropy(tn.ones(2), tn.ones(1)), "they must be equal"),
        (lambda: nn.MSELoss("median"), "MSELoss: reduction must be"),
        (lambda: nn.NLLLoss([1.0]), "NLLLoss: weight must be a Tensor of factors"),
        (lambda: F.one_hot(tn.tensor([-1])), "one_hot: labels must be from 0"),
        (lambda: F.interpolate(tn.ones(1, 1, 2, 2), 3, mode="bicubic"), "mode='nearest' alone"),
        (lambda: F.interpolate(tn.ones(1, 1, 2, 2)), "give size or scale_factor"),
        (lambda: nn.GroupNorm(3, 4), "3 groups do not divide 4 channels"),
        (lambda: nn.LayerNorm(3)(tn.ones(2, 4)), r"expected the last axes \(3,\)"),
        (lambda: tn.ones(2).where(tn.ones(2), 0), "condition must hold bools, got float32"),
        (lambda: tn.ones(2, dtype=tn.int64).masked_fill(tn.ones(2) > 0, 0.5), "does not fit"),
        (lambda: tn.ones(2, 3).gather(1, tn.zeros(3, 1, dtype=tn.int64)), "gather: index must"),
        (lambda: tn.ones(2, 3).topk(4), "k must be at most 3"),
        (lambda: tn.ones(2, 3).repeat(2), "repeat: needs a number for each axis"),
        (lambda: tn.ones(3).norm(3), "norm: p must be"),
        (lambda: tn.set_grad_enabled(1), "expected True or False, got 1"),
        (lambda: tn.randint(3, 3, (2,)), "high must be at least 4"),
        (lambda: tn.randperm(3, generator=5), "generator: must be a tinynet.Generator"),
        (lambda: tn.linspace(0, "a", 3), "linspace: end must be a number"),
    ],
)
def test_sentences(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
