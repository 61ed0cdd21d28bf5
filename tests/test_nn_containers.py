"""Sequential and ModuleList against torch's: the same calls in both, the same outcome."""

import itertools
from collections import OrderedDict

import numpy as np
import pytest
import torch
from helpers import assert_same

import tinynet as tn
import tinynet.nn as nn


def layers(library, *widths):
    return [library.nn.Linear(a, b) for a, b in zip(widths, widths[1:], strict=False)]


def sequential(library):
    return library.nn.Sequential(*layers(library, 2, 3, 4, 5))


def module_list(library):
    return library.nn.ModuleList(layers(library, 2, 3, 4, 5))


def named(library):
    return library.nn.Sequential(
        OrderedDict(zip(["a", "b", "c"], layers(library, 2, 3, 4, 5), strict=True))
    )


CALLS = {
    "length": lambda m, nn: len(m),
    "iteration": lambda m, nn: [layer.out_features for layer in m],
    "index": lambda m, nn: m[1],
    "negative index": lambda m, nn: m[-1],
    "slice": lambda m, nn: m[1:],
    "stepped slice": lambda m, nn: m[::2],
    "empty slice": lambda m, nn: m[5:],
    "assignment": lambda m, nn: m.__setitem__(1, nn.ReLU()),
    "negative assignment": lambda m, nn: m.__setitem__(-1, nn.ReLU()),
    "append": lambda m, nn: m.append(nn.ReLU()),
    "extend": lambda m, nn: m.extend([nn.ReLU(), nn.ReLU6()]),
    "insert first": lambda m, nn: [m.insert(0, nn.ReLU())].clear(),
    "pop": lambda m, nn: m.pop(1),
    "pop last": lambda m, nn: m.pop(-1),
    "deletion": lambda m, nn: m.__delitem__(0),
    "sliced deletion": lambda m, nn: m.__delitem__(slice(0, 2)),
    "nested": lambda m, nn: nn.Sequential(m, nn.ReLU()),
}


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (make, what)
        for make, what in itertools.product([sequential, module_list, named], CALLS)
        if (make, what) != (named, "insert first")  # torch stops with a KeyError
    ],
)
def test_calls(make, what):
    outcomes = []
    for library in (tn, torch):
        model = make(library)
        outcome = CALLS[what](model, library.nn)
        outcomes.append((repr(outcome), repr(model), list(model.state_dict())))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("index", [3, -4, 99])
@pytest.mark.parametrize("make", [sequential, module_list])
def test_indices_out_of_range(make, index):
    model = make(tn)
    for call in (lambda: model[index], lambda: model.__setitem__(index, nn.ReLU())):
        with pytest.raises(IndexError, match=f"index {index} is out of range for 3 modules"):
            call()


@pytest.mark.parametrize("make", [sequential, module_list])
@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.append(3),
        lambda m: m.insert(0, "layer"),
        lambda m: m.extend([tn.ones(2)]),
        lambda m: m.__setitem__(0, 3),
    ],
)
def test_what_is_no_module_is_refused_and_nothing_changed(make, call):
    model = make(tn)
    before = repr(model)
    with pytest.raises(TypeError, match="expected a Module"):
        call(model)
    assert repr(model) == before


def test_constructors_refuse_what_is_no_module():
    with pytest.raises(TypeError, match="expected a Module for '1', got function"):
        nn.Sequential(nn.ReLU(), lambda x: x)
    with pytest.raises(TypeError, match="expected a Module for '0', got list"):
        nn.Sequential([nn.ReLU()])
    with pytest.raises(TypeError, match="expected a Module for '0', got int"):
        nn.ModuleList([3])


def test_module_list_grows_in_place():
    """`self.layers += [...]` on an attribute, as torch code does."""
    reprs = []
    for library in (tn, torch):
        model = library.nn.Module()
        model.layers = library.nn.ModuleList()
        model.layers += [library.nn.ReLU(), library.nn.ReLU()]
        model.layers.append(library.nn.Linear(2, 2))
        reprs.append((repr(model), list(model.state_dict())))
    assert reprs[0] == reprs[1]


def test_module_list_has_no_forward():
    with pytest.raises(NotImplementedError):
        nn.ModuleList([nn.ReLU()])(tn.ones(2))


@pytest.mark.parametrize("make", [sequential, named])
def test_sequential_runs_its_layers_in_order(rng, make):
    ours, theirs = make(tn), make(torch)
    ours.load_state_dict(theirs.state_dict())
    x = rng.standard_normal((4, 2)).astype(np.float32)
    assert_same(ours(tn.tensor(x)), theirs(torch.tensor(x)))
    assert_same(ours[:2](tn.tensor(x)), theirs[:2](torch.tensor(x)))


def test_one_layer_used_twice_is_listed_once_but_runs_twice():
    layer = nn.Linear(2, 2)
    model = nn.Sequential(layer, nn.ReLU(), layer)
    assert len(list(model.parameters())) == 2
    assert len(list(model.children())) == 2
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    x = tn.randn(3, 2)
    np.testing.assert_array_equal(model(x).numpy(), layer(layer(x) * (layer(x) > 0)).numpy())


@pytest.mark.parametrize("library", [tn, torch])
def test_a_subclass_builds_its_own_layers(library):
    """torchvision's blocks are written so."""

    class ConvBNReLU(library.nn.Sequential):
        def __init__(self, inputs, outputs, stride=1):
            super().__init__(
                library.nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
                library.nn.BatchNorm2d(outputs),
                library.nn.ReLU6(inplace=True),
            )

    model = library.nn.Sequential(ConvBNReLU(3, 4), ConvBNReLU(4, 5, stride=2))
    assert tuple(model(library.ones(2, 3, 8, 8)).shape) == (2, 5, 4, 4)
    assert list(model.state_dict())[:2] == ["0.0.weight", "0.1.weight"]
