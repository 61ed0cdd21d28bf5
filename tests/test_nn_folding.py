"""BatchNorm folded into the convolution before it, against the layers one by one."""

import numpy as np
import pytest

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
@pytest.mark.parametrize("bias", [True, False])
def test_folded_equals_plain(rng, activation, bias):
    plain, folded = small(activation, bias), small(activation, bias).eval()
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
    """Folded, it would scale the filters of one place by the statistics of the other."""
    shared = nn.Conv2d(3, 3, 1)
    model = nn.Sequential(shared, nn.BatchNorm2d(3), nn.Sequential(shared, nn.BatchNorm2d(3)))
    before = model.eval()(tn.ones(1, 3, 2, 2)).numpy()
    nn.fold_batchnorm(model)
    assert isinstance(model[1], nn.BatchNorm2d)
    assert isinstance(model[2][1], nn.BatchNorm2d)
    np.testing.assert_array_equal(model(tn.ones(1, 3, 2, 2)).numpy(), before)


@pytest.mark.parametrize("network", sorted(mobilenet.NETWORKS))
def test_the_networks(rng, network):
    """float64, whole networks; the summary counts the same."""
    tn.manual_seed(1)
    model = mobilenet.build(network, 10, 0.25).to(np.float64)
    x = tn.Tensor(rng.standard_normal((2, 3, 32, 32)))
    model(x)  # statistics that are not 0 and 1
    model.eval()
    with tn.no_grad():
        expected = model(x).numpy()
        folded = nn.fold_batchnorm(model)(x).numpy()
    np.testing.assert_allclose(folded, expected, rtol=1e-9, atol=1e-9)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())


class Backwards(nn.Sequential):
    def forward(self, x):
        for module in reversed(list(self)):
            x = module(x)
        return x


class Squaring(nn.Conv2d):
    def forward(self, x):
        return super().forward(x) ** 2


class Elsewhere(nn.Module):
    """Its convolution is used in a second place, which no Sequential shows."""

    def __init__(self, in_a_sequential):
        super().__init__()
        self.conv, self.rest = in_a_sequential[0], in_a_sequential

    def forward(self, x):
        return self.rest(x) + self.conv(x)


def pair(conv=nn.Conv2d, container=nn.Sequential):
    return container(conv(3, 3, 1), nn.BatchNorm2d(3))


def hooked(place):
    model = pair()
    model[place].register_forward_hook(lambda module, args, output: output * 2)
    return model


def patched(place):
    model = pair()
    layer = model if place is None else model[place]
    original = layer.forward
    layer.forward = lambda x: original(x) + 1
    return model


LEFT_ALONE = {
    "a Sequential with a forward of its own": lambda: pair(container=Backwards),
    "a convolution with a forward of its own": lambda: pair(Squaring),
    "a convolution used elsewhere": lambda: Elsewhere(pair()),
    "a hook on the convolution": lambda: hooked(0),
    "a hook on the BatchNorm": lambda: hooked(1),
    "a convolution's forward replaced": lambda: patched(0),
    "a BatchNorm's forward replaced": lambda: patched(1),
    "a Sequential's forward replaced": lambda: patched(None),
}


@pytest.mark.parametrize("make", LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_what_something_else_can_tell_apart_is_left_alone(make, rng):
    model, x = make().eval(), tn.Tensor(rng.normal(0, 1, (2, 3, 2, 2)).astype("f4"))
    norm = next(m for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    norm.running_mean.fill_(0.5)
    before = model(x).numpy()
    nn.fold_batchnorm(model)
    assert any(module is norm for module in model.modules())
    np.testing.assert_array_equal(model(x).numpy(), before)


def test_a_subclass_that_says_so_is_folded():
    class Renamed(Squaring):
        foldable = True

        def forward(self, x):
            return nn.Conv2d.forward(self, x)

    class Heir(Renamed):  # what its parent said is not said of it
        def forward(self, x):
            return super().forward(x) ** 2

    assert isinstance(nn.fold_batchnorm(pair(Renamed).eval())[1], nn.Identity)
    assert isinstance(nn.fold_batchnorm(pair(Heir).eval())[1], nn.BatchNorm2d)
