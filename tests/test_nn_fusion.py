"""Layers computed as one against the same layers one by one."""

import numpy as np
import pytest
import torch
from helpers import assert_same, channel_major

import mobilenet
import tinynet as tn
import tinynet.nn as nn


def small(activation, bias=False, dtype=np.float64):
    """conv - BN - activation - depthwise - BN - activation - 1x1, with random statistics."""
    tn.manual_seed(3)
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 6, 3, padding=1, bias=bias), nn.BatchNorm2d(6), activation()),
        nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=bias),
        nn.BatchNorm2d(6, affine=bias),
        activation(),
        nn.Conv2d(6, 2, 1),
    ).to(dtype)
    rng = np.random.default_rng(5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean[:] = rng.normal(0, 1, module.num_features)
            module.running_var[:] = rng.uniform(0.5, 2, module.num_features)
            for p in module.parameters():
                p.data[:] = rng.uniform(1, 4, p.shape)  # far enough for ReLU6 to saturate
    return model


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ReLU6])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 3, 4, 4), (9, 3, 8, 6)])
def test_fused_equals_plain(rng, activation, training, shape):
    """Result, every gradient and the running statistics; twice, for statistics that moved."""
    plain, fused = small(activation), nn.fuse_activations(small(activation))
    assert sum(isinstance(m, nn.Identity) for m in fused.modules()) == 2
    for turn in range(2):
        x = rng.normal(0, 2, shape)
        gy = tn.Tensor(rng.standard_normal((shape[0], 2, *shape[2:])))
        results = []
        for model in (plain, fused):
            model.train(training)
            model.zero_grad()
            leaf = tn.Tensor(channel_major(x) if turn else x.copy(), requires_grad=True)
            y = model(leaf)
            y.backward(gy)
            results.append(
                (y.numpy(), leaf.grad.numpy(), *(p.grad.numpy() for p in model.parameters()))
            )
        for ours, theirs in zip(*results, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)
        assert list(plain.state_dict()) == list(fused.state_dict())
        for name, value in plain.state_dict().items():
            np.testing.assert_allclose(fused.state_dict()[name].numpy(), value.numpy(), rtol=1e-12)


@pytest.mark.parametrize("name", ["relu", "relu6"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(4, 3, 5, 6), (2, 1, 1, 1), (1, 5, 3, 2), (33, 70, 9, 9)])
@pytest.mark.parametrize("training", [True, False])
def test_op_against_torch(rng, name, dtype, shape, training):
    """The kinks too: with weight 0 every value of a channel stands at its bias: -1, 0, 3, 6, 7."""
    C = shape[1]
    x = rng.normal(1, 3, shape).astype(dtype)
    gy = rng.standard_normal(shape).astype(dtype)
    weight, bias = rng.uniform(2, 4, C).astype(dtype), rng.normal(2, 2, C).astype(dtype)
    for c, value in zip(range(1, C), [0, 6, -1, 7], strict=False):
        weight[c], bias[c] = 0, value
    statistics = rng.normal(0, 1, C).astype(dtype), rng.uniform(0.5, 2, C).astype(dtype)
    ours = [tn.Tensor(a.copy(), requires_grad=True) for a in (x, weight, bias)]
    theirs = [torch.tensor(a, requires_grad=True) for a in (x, weight, bias)]
    y = nn.functional.batch_norm(
        ours[0], *map(tn.Tensor, statistics), *ours[1:], training=training, activation=name
    )
    yt = torch.nn.functional.batch_norm(
        theirs[0], *map(torch.tensor, statistics), *theirs[1:], training=training
    )
    yt = {"relu": torch.relu, "relu6": torch.nn.functional.relu6}[name](yt)
    loose = {"atol": 1e-7} if dtype == np.float64 else {"rtol": 1e-3, "atol": 2e-3}
    assert_same(y, yt, "y", **loose)
    y.backward(tn.Tensor(gy))
    yt.backward(torch.tensor(gy))
    for a, b, what in zip(ours, theirs, ["gx", "gweight", "gbias"], strict=True):
        assert_same(
            a.grad, b.grad, what, **({"rtol": 2e-2, "atol": 2e-2} if shape[0] == 2 else loose)
        )


@pytest.mark.parametrize("frozen", ["x", "weight", "bias", "x weight", "x bias", "weight bias"])
@pytest.mark.parametrize("training", [True, False])
def test_frozen_parts(rng, frozen, training):
    """What is wanted does not depend on what else is wanted."""
    arrays = {
        "x": rng.normal(2, 3, (3, 4, 5, 5)),
        "weight": rng.uniform(1, 2, 4),
        "bias": np.ones(4),
    }
    gy = tn.Tensor(rng.standard_normal((3, 4, 5, 5)))
    gradients = []
    for names in ("", frozen):
        tensors = {k: tn.Tensor(a, requires_grad=k not in names.split()) for k, a in arrays.items()}
        mean, var = tn.Tensor(np.full(4, 1.5)), tn.Tensor(np.full(4, 8.0))
        x, weight, bias = tensors.values()
        nn.functional.batch_norm(x, mean, var, weight, bias, training, activation="relu6").backward(
            gy
        )
        gradients.append({k: t.grad for k, t in tensors.items()})
    for name in arrays:
        if name in frozen.split():
            assert gradients[1][name] is None
        else:
            np.testing.assert_array_equal(gradients[1][name].numpy(), gradients[0][name].numpy())


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ReLU6])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("fuse_first", [True, False])
def test_folded_equals_plain(rng, activation, bias, fuse_first):
    plain, folded = small(activation, bias), small(activation, bias).eval()
    if fuse_first:
        nn.fuse_activations(folded)
    assert nn.fold_batchnorm(folded) is folded
    kinds = [type(m) for m in folded.modules()]
    assert nn.BatchNorm2d not in kinds
    assert kinds.count(activation) == 2
    assert not any(m.training for m in folded.modules())
    x = tn.Tensor(rng.normal(0, 2, (2, 3, 5, 5)))
    with tn.no_grad():
        np.testing.assert_allclose(
            folded(x).numpy(), plain.eval()(x).numpy(), rtol=1e-10, atol=1e-12
        )


def test_folding_needs_fixed_statistics():
    with pytest.raises(ValueError, match="eval"):
        nn.fold_batchnorm(small(nn.ReLU))
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)).eval()
    with pytest.raises(ValueError, match="track_running_stats"):
        nn.fold_batchnorm(model)


def test_a_layer_in_two_places_is_left_alone(rng):
    """Fused, it would apply the activation of one place in the other as well."""
    shared = nn.BatchNorm2d(3)
    model = nn.Sequential(nn.Sequential(shared, nn.ReLU()), nn.Sequential(shared, nn.Flatten()))
    nn.fuse_activations(model)
    assert shared.activation is None
    assert isinstance(model[0][1], nn.ReLU)


@pytest.mark.parametrize("network", sorted(mobilenet.NETWORKS))
def test_the_networks(rng, network):
    """float64, both functions on whole networks; the summary counts the same."""
    tn.manual_seed(1)
    model = mobilenet.build(network, 10, 0.25).to(np.float64)
    x = tn.Tensor(rng.standard_normal((2, 3, 32, 32)))
    model(x)  # statistics that are not 0 and 1
    model.eval()
    with tn.no_grad():
        expected = model(x).numpy()
        for change in (nn.fuse_activations, nn.fold_batchnorm):
            np.testing.assert_allclose(change(model)(x).numpy(), expected, rtol=1e-9, atol=1e-9)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())


def test_the_printed_layer_says_so():
    layer = nn.fuse_activations(nn.Sequential(nn.BatchNorm2d(3), nn.ReLU6()))[0]
    assert "activation='relu6'" in repr(layer)
