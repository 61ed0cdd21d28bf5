"""The table of costs: every parameter stands in one row, every call of a layer in a row of its own.

The totals of the networks of `mobilenet.py` are in test_mobilenet.py.
"""

import numpy as np
import pytest

import tinynet.nn as nn
from tinynet.summary import summary


class Net(nn.Module):
    """A module of the given parts, whose forward is a function of itself and the input."""

    def __init__(self, forward, **parts):
        super().__init__()
        self.run = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.run(self, x)


def check(model, input_size):
    """The summary, whose totals are the sums of its rows and the parameters those of the model."""
    found = summary(model, input_size)
    assert sum(row.parameters for row in found.rows) == found.parameters
    assert found.parameters == sum(p.numel() for p in model.parameters())
    assert sum(row.mult_adds for row in found.rows) == found.mult_adds
    assert f"{found.parameters:,}" in str(found).splitlines()[len(found.rows) + 3]
    return found


def named(found):
    """[(name, mult-adds, parameters)]"""
    return [(row.name, row.mult_adds, row.parameters) for row in found.rows]


@pytest.mark.parametrize(
    ("stride", "expected"),
    [((2, 1), "2x1"), ((1, 2), "1x2"), ((2, 2), "2"), (1, "1"), ((3, 2), "3x2")],
)
def test_the_two_numbers_of_a_stride_keep_their_order(stride, expected):
    (row,) = check(nn.Conv2d(3, 4, 3, stride=stride), (3, 16, 16)).rows
    assert row.stride == expected and row.kernel == "3x3"
    height, width = (stride, stride) if isinstance(stride, int) else stride
    assert row.output_shape == (4, -(-14 // height), -(-14 // width))


def test_a_model_that_is_one_layer():
    assert named(check(nn.Linear(5, 7), (5,))) == [("Linear", 35, 42)]
    assert named(check(nn.ReLU(), (5,))) == [("ReLU", 0, 0)]
    assert "100.00%" not in str(summary(nn.ReLU(), (5,)))


def test_parameters_beside_children_have_a_row():
    model = Net(
        lambda self, x: self.conv(x) * self.scale,
        scale=nn.Parameter(np.ones((4, 1, 1), "f4")),
        conv=nn.Conv2d(3, 4, 3, bias=False),
    )
    assert named(check(model, (3, 8, 8))) == [("conv", 108 * 36, 108), ("Net", 0, 4)]
    deeper = nn.Sequential(model, nn.ReLU())
    assert [row.name for row in check(deeper, (3, 8, 8)).rows] == ["0.conv", "0", "1"]


def test_a_layer_used_twice_multiplies_twice_and_has_its_parameters_once():
    model = Net(lambda self, x: self.fc(self.fc(x)), fc=nn.Linear(4, 4))
    assert named(check(model, (4,))) == [("fc", 16, 20), ("fc", 16, 0)]


def test_a_layer_in_two_places_goes_by_its_first_name():
    layer = nn.Linear(4, 4)
    found = check(nn.Sequential(layer, nn.ReLU(), layer), (4,))
    assert named(found) == [("0", 16, 20), ("1", 0, 0), ("0", 16, 0)]


def test_tied_weights_stand_in_the_first_of_their_rows():
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    assert named(check(nn.Sequential(first, second), (4,))) == [("0", 16, 20), ("1", 16, 4)]


def test_a_layer_that_is_never_called_is_shown_and_says_so():
    model = Net(
        lambda self, x: self.fc(x),
        spare=nn.Conv2d(3, 4, 3),
        unused=nn.ReLU(),
        fc=nn.Linear(4, 2),
    )
    found = check(model, (4,))
    assert named(found) == [("fc", 8, 10), ("spare", 0, 112), ("unused", 0, 0)]
    assert [row.kind for row in found.rows[1:]] == [
        "convolution, never called",
        "ReLU, never called",
    ]
    assert found.shares() == {"fully connected": 1.0}
    line = str(found).splitlines()[3]
    assert line.split()[:4] == ["spare", "convolution,", "never", "called"]
    assert line.endswith(" 112")


def test_an_empty_container_is_a_child_like_any_other():
    model = nn.Sequential(nn.Sequential(), nn.Linear(4, 2))
    assert [row.name for row in check(model, (4,)).rows] == ["0", "1"]


def test_a_layer_that_returns_no_tensor_keeps_its_row():
    pair = Net(lambda self, x: (x, x * self.scale), scale=nn.Parameter(np.ones(4, "f4")))
    model = Net(lambda self, x: self.fc(self.pair(x)[1]), pair=pair, fc=nn.Linear(4, 2))
    found = check(model, (4,))
    assert named(found) == [("pair", 0, 4), ("fc", 8, 10)] and found.rows[0].output_shape == ()


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(6, 2).eval())
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    check(model, (3, 8, 8))
    assert [module.training for module in model.modules()] == [True, True, True, False]
    for name, value in model.state_dict().items():
        assert (value.numpy() == before[name]).all(), name
    with pytest.raises(ValueError):
        summary(model, (2, 8, 8))  # one channel is missing
    assert model.training and not model[2].training
    assert not any(module._hooks for module in model.modules())
