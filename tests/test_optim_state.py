"""Saving an optimizer and going on with it, also from torch to tinynet and back."""

import numpy as np
import pytest
import torch
from optim_twins import assert_equal, make_twins, run, set_gradients

from tinynet import optim
from tinynet.autograd import Tensor

RESUMABLE = [
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"momentum": 0}),
    ("Adam", {"weight_decay": 0.01}),
    ("AdamW", {"amsgrad": True}),
    ("RMSprop", {"momentum": 0.9, "centered": True}),
    ("RMSprop", {"weight_decay": 0.01}),
    ("Adadelta", {"rho": 0.5}),
]


def to_torch(state_dict):
    state = {
        i: {key: torch.tensor(value.numpy().copy()) for key, value in buffers.items()}
        for i, buffers in state_dict["state"].items()
    }
    return {**state_dict, "state": state}


def to_numpy(state_dict):
    state = {
        i: {key: value.numpy().copy() for key, value in buffers.items()}
        for i, buffers in state_dict["state"].items()
    }
    return {**state_dict, "state": state}


def unchanged(state_dict):
    return state_dict


@pytest.mark.parametrize("source", ["ours", "torch"])
@pytest.mark.parametrize("convert", [unchanged, to_numpy, to_torch])
@pytest.mark.parametrize(("name", "options"), RESUMABLE)
def test_a_resumed_run_goes_on_exactly(name, options, convert, source):
    ours, theirs = make_twins(np.float32)
    optimizer = getattr(optim, name)(ours, lr=0.1, **options)
    reference = getattr(torch.optim, name)(theirs, lr=0.1, **options)
    run(ours, theirs, optimizer, reference, range(4))

    # of the same memory order: on a GPU one that is not C's goes without the kernel
    again = [Tensor(p.numpy().copy(order="K"), requires_grad=True) for p in ours]
    resumed = getattr(optim, name)(again, lr=77.0)  # every hyperparameter comes from the dict
    saved = (optimizer if source == "ours" else reference).state_dict()
    resumed.load_state_dict(convert(saved))
    run(ours, theirs, optimizer, reference, range(4, 8))
    run(again, theirs, resumed, reference, range(4, 8))
    for p, q in zip(again, ours, strict=True):
        if source == "ours":
            np.testing.assert_array_equal(p.numpy(), q.numpy())
        else:
            np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "options"), RESUMABLE)
def test_torch_goes_on_from_our_state_dict(name, options):
    ours, theirs = make_twins()
    optimizer = getattr(optim, name)(ours, lr=0.1, **options)
    reference = getattr(torch.optim, name)(theirs, lr=0.1, **options)
    run(ours, theirs, optimizer, reference, range(4))
    theirs_again = [q.detach().clone().requires_grad_() for q in theirs]
    resumed = getattr(torch.optim, name)(theirs_again, lr=77.0)
    resumed.load_state_dict(to_torch(optimizer.state_dict()))
    run(ours, theirs_again, optimizer, resumed, range(4, 8))
    assert_equal(ours, theirs_again)


@pytest.mark.parametrize(("name", "options"), RESUMABLE)
def test_state_dict_has_torchs_format(name, options):
    ours, theirs = make_twins()
    optimizer = getattr(optim, name)(ours, lr=0.1, **options)
    reference = getattr(torch.optim, name)(theirs, lr=0.1, **options)
    run(ours, theirs, optimizer, reference)
    saved, expected = optimizer.state_dict(), reference.state_dict()
    assert saved.keys() == expected.keys()
    for group, other in zip(saved["param_groups"], expected["param_groups"], strict=True):
        assert group.items() <= other.items()
    assert saved["state"].keys() == expected["state"].keys()
    for number, buffers in saved["state"].items():
        assert set(buffers) == set(expected["state"][number])
        for key, value in buffers.items():
            assert isinstance(value, Tensor)
            other = expected["state"][number][key].numpy()
            assert value.dtype == other.dtype
            np.testing.assert_allclose(value.numpy(), other, rtol=1e-12, atol=1e-12)


def test_a_saved_dict_shares_no_memory_with_any_optimizer():
    ours, theirs = make_twins()
    optimizer = optim.SGD(ours, lr=0.1, momentum=0.9)
    set_gradients(ours, theirs, 0)
    optimizer.step()
    saved = optimizer.state_dict()
    before = saved["state"][1]["momentum_buffer"].numpy().copy()
    other = optim.SGD(ours)
    other.load_state_dict(saved)
    for each in (optimizer, other):
        each.step()
        np.testing.assert_array_equal(saved["state"][1]["momentum_buffer"].numpy(), before)


def change_group(**values):
    return lambda saved: saved["param_groups"][-1].update(values)


def change_buffer(value):
    return lambda saved: saved["state"][4].update(exp_avg=value)


SPOILED = {
    "no groups": (lambda saved: saved.pop("param_groups"), TypeError, "state_dict"),
    "fewer groups": (lambda saved: saved["param_groups"].pop(), ValueError, "same groups"),
    "fewer parameters": (change_group(params=[2, 3]), ValueError, "same groups"),
    "negative lr": (change_group(lr=-1.0), ValueError, "lr must be at least 0"),
    "other optimizer": (
        lambda saved: saved["param_groups"][-1].pop("betas"),
        ValueError,
        "lacks.*betas",
    ),
    "buffer missing": (lambda saved: saved["state"][4].pop("exp_avg"), ValueError, "buffers"),
    "buffer unknown": (
        lambda saved: saved["state"][4].update(momentum_buffer=0),
        ValueError,
        "buffers",
    ),
    "buffer's shape": (change_buffer(np.zeros((4, 6))), ValueError, r"exp_avg.*\(4, 6\).*\(6, 4\)"),
    "buffer's rows": (change_buffer([[1], [1, 2]]), ValueError, "exp_avg.* is no array, got list"),
    "buffer's kind": (change_buffer(np.full((6, 4), "x")), ValueError, "real numbers"),
    "step below 0": (
        lambda saved: saved["state"][4].update(step=np.float32(-1)),
        ValueError,
        "'step' of parameter 4: it must be at least 0, got -1.0",
    ),
    "no buffers": (lambda saved: saved["state"].update({4: 3}), TypeError, "expected a dict"),
    "stray state": (lambda saved: saved["state"].update({9: {}}), ValueError, "parameter 9"),
}


@pytest.mark.parametrize("kind", SPOILED)
def test_a_state_dict_that_does_not_fit_changes_nothing(kind):
    ours, theirs = make_twins()
    groups = [{"params": ours[:2]}, {"params": ours[2:], "lr": 0.02}]
    optimizer = optim.Adam(groups, lr=0.1)
    for step in range(2):
        set_gradients(ours, theirs, step)
        optimizer.step()
    spoil, error, message = SPOILED[kind]
    saved = optimizer.state_dict()
    saved["param_groups"][0]["lr"] = 5.0
    saved["state"][0]["exp_avg"] = Tensor(np.array(123.0))
    spoil(saved)
    with pytest.raises(error, match=message):
        optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert optimizer.state[ours[0]]["exp_avg"].item() != 123.0


@pytest.mark.parametrize(
    "value",
    [None, [], {"state": {}}, {"state": {}, "param_groups": 3}, {"state": 3, "param_groups": []}],
)
def test_what_is_no_state_dict_is_refused(value):
    (p,), _ = make_twins(shapes=[(2,)])
    with pytest.raises(TypeError, match="SGD.load_state_dict: expected a dict"):
        optim.SGD([p]).load_state_dict(value)


@pytest.mark.parametrize("target", ["SGD", "Adam", "AdamW"])
@pytest.mark.parametrize("source", ["SGD", "Adam", "AdamW"])
def test_the_buffers_of_another_optimizer(source, target):
    """SGD's and Adam's are told apart, also when the groups would fit. AdamW is an Adam."""
    ours, theirs = make_twins()
    optimizer = getattr(optim, source)(ours)
    optimizer.param_groups[0]["momentum"] = 0.9
    set_gradients(ours, theirs, 0)
    optimizer.step()
    resumed = getattr(optim, target)(ours)
    saved = optimizer.state_dict()
    if "SGD" not in (source, target) or source == target:
        resumed.load_state_dict(saved)
        assert resumed.state[ours[0]].keys() == optimizer.state[ours[0]].keys()
        return
    with pytest.raises(ValueError, match=f"{target}.load_state_dict: a saved group lacks"):
        resumed.load_state_dict(saved)
    saved["param_groups"] = resumed.state_dict()["param_groups"]
    with pytest.raises(ValueError, match="has the buffers .* saved by another optimizer"):
        resumed.load_state_dict(saved)
    assert not resumed.state
