"""state_dict and load_state_dict: torch's keys and order, and what does not fit."""

import numpy as np
import pytest
import torch
from helpers import assert_same

import tinynet as tn
import tinynet.nn as nn


def build(library):
    module = library.nn
    return module.Sequential(
        module.Conv2d(3, 4, 3, bias=False),
        module.BatchNorm2d(4),
        module.Sequential(module.ReLU(), module.Conv2d(4, 4, 3, groups=4)),
        module.BatchNorm2d(4, affine=False),
        module.BatchNorm2d(4, track_running_stats=False),
        module.Flatten(),
        module.Linear(4, 2),
    )


def snapshot(model):
    return {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}


def assert_state(model, expected):
    found = model.state_dict()
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert_same(found[name], value, name)


@pytest.mark.parametrize("form", ["tensors", "arrays", "parameters", "ours"])
def test_a_torch_state_loads_key_for_key(form):
    theirs, ours = build(torch), build(tn)
    theirs(torch.randn(5, 3, 5, 5))  # so that the statistics have moved
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state)
    if form == "arrays":
        given = {name: tensor.numpy() for name, tensor in state.items()}
    elif form == "parameters":  # not detached
        given = dict([*theirs.named_parameters(), *theirs.named_buffers()])
    elif form == "ours":
        given = {name: tn.tensor(tensor.numpy()) for name, tensor in state.items()}
    else:
        given = state
    result = ours.load_state_dict(given)
    assert result.missing_keys == result.unexpected_keys == []
    assert_state(ours, state)


def test_ours_loads_into_torch():
    ours, theirs = build(tn), build(torch)
    theirs.load_state_dict({n: torch.tensor(t.numpy()) for n, t in ours.state_dict().items()})
    assert_state(ours, theirs.state_dict())


def test_values_are_copied_into_the_tensors_that_are_there():
    model = build(tn).double()
    weight = model[0].weight
    state = {name: array.astype(np.float32) for name, array in snapshot(build(tn)).items()}
    model.load_state_dict(state)
    assert model[0].weight is weight
    assert weight.dtype == np.float64
    np.testing.assert_array_equal(weight.numpy(), state["0.weight"])
    state["0.weight"][:] = 0
    assert weight.numpy().any()


def test_the_state_shares_memory_and_wants_no_gradient():
    model = nn.Linear(2, 2)
    state = model.state_dict()
    model.weight.data.fill_(3)
    assert state["weight"].tolist() == [[3, 3], [3, 3]]
    assert not any(tensor.requires_grad for tensor in state.values())


def test_not_strict():
    results = []
    for library in (tn, torch):
        model = build(library)
        state = model.state_dict()
        for name in ("1.running_mean", "6.bias", "3.num_batches_tracked"):
            del state[name]
        state.update({"extra": library.zeros(1), "6.scale": library.zeros(2)})
        state["0.weight"] = library.zeros(4, 3, 3, 3)
        result = model.load_state_dict(state, strict=False)
        assert not model.state_dict()["0.weight"].numpy().any()
        results.append((result.missing_keys, result.unexpected_keys))
    assert results[0][0] == ["1.running_mean", "6.bias"]
    assert results[0][1] == results[1][1] == ["extra", "6.scale"]


def test_a_state_from_before_batches_were_counted_is_complete():
    """Published checkpoints have no num_batches_tracked; torch fills it in too."""
    for library in (tn, torch):
        model = build(library)
        state = {n: t for n, t in model.state_dict().items() if "num_batches" not in n}
        result = model.load_state_dict(state)
        assert result.missing_keys == []
        assert model[1].num_batches_tracked.item() == 0


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda s: s.pop("6.bias"), ValueError, "does not fit Sequential: missing 6.bias"),
        (lambda s: s.update(extra=np.ones(1)), ValueError, "unexpected extra"),
        (
            lambda s: s.update({"6.weight": np.ones((3, 4))}),
            ValueError,
            r"wrong shapes: 6.weight \(3, 4\) for \(2, 4\)",
        ),
        (
            lambda s: s.update({"6.weight": s.pop("0.weight")}),
            ValueError,
            r"missing 0.weight; wrong shapes: 6.weight \(4, 3, 3, 3\) for \(2, 4\)",
        ),
        (
            lambda s: [s.pop(name) for name in list(s)],
            ValueError,
            r"missing 0.weight, .* and \d more",
        ),
        (
            lambda s: s.update({"6.bias": ["a", "b"]}),
            TypeError,
            "load_state_dict: 6.bias: expected numbers, got list",
        ),
        (
            lambda s: s.update({"1.num_batches_tracked": None}),
            TypeError,
            "expected numbers, got NoneType",
        ),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_changed(change, error, message):
    model = build(tn)
    before = snapshot(model)
    state = {name: array + 1 for name, array in before.items()}
    change(state)
    with pytest.raises(error, match=message):
        model.load_state_dict(state)
    assert_state(model, before)


def test_wrong_shapes_are_refused_without_strict_too():
    model = build(tn)
    with pytest.raises(ValueError, match="wrong shapes"):
        model.load_state_dict({"6.weight": np.ones((3, 4))}, strict=False)


@pytest.mark.parametrize("state", [None, 3, ["0.weight"], "model.npz"])
def test_what_is_no_dict_is_refused(state):
    with pytest.raises(TypeError, match="load_state_dict: expected a dict of names to arrays"):
        build(tn).load_state_dict(state)
