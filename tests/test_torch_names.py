"""What scripts written for torch ask for beside layers: devices, NumPy's argument names, single
images, padding modes, containers, schedules by a measure, initial weights. Against torch."""

import itertools
import math
import operator
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import assert_same, compare_with_torch, run_on_both

import tinynet as tn
import tinynet.nn as nn
import tinynet.nn.functional as F
from tinynet import absent, optim


def normal(*shape):
    return np.random.default_rng(0).standard_normal(shape)


# devices


def test_devices():
    for library in (tn, torch):
        device = library.device("cuda" if False else "cpu")
        assert (device.type, device.index, str(device)) == ("cpu", None, "cpu")
        assert repr(device) == "device(type='cpu')"
        gpu = library.device("cuda:0")
        assert (gpu.type, gpu.index, repr(gpu)) == ("cuda", 0, "device(type='cuda', index=0)")
        assert library.device("cuda", 0) == gpu and library.device(gpu) == gpu
        x = library.ones(2)
        assert x.to(device, non_blocking=True) is x is x.to(device=device)
        assert x.device == device and x.device.type == "cpu"
        assert x.to(device, copy=True) is not x
        assert library.nn.Linear(2, 2).to(device, non_blocking=True).weight.device == device
        assert library.cuda.is_available() == torch.cuda.is_available()
        library.cuda.manual_seed_all(3)
        library.cuda.empty_cache()
    assert tn.cuda.device_count() == 0 or tn.cuda_available()
    with pytest.raises(ValueError, match="device: must be 'cpu', 'cuda' or 'cuda:0', got 'mps'"):
        tn.device("mps")


def test_the_dtype_and_device_of_another_tensor():
    for library, double in ((tn, np.float64), (torch, torch.float64)):
        x = library.ones(2).to(library.zeros(1, dtype=double))
        assert x.dtype == double == library.ones(2).type_as(x).dtype
        assert library.is_tensor(x) and not library.is_tensor(3)


# numbers


def test_a_tensor_of_one_integer_is_an_index():
    for library in (tn, torch):
        place = library.tensor(2)
        assert [5, 6, 7][place] == 7 and list(range(place)) == [0, 1]
        for wrong in (library.tensor(1.0), library.tensor([1, 2])):
            with pytest.raises(TypeError):
                [5, 6][wrong]


@pytest.mark.parametrize("name", ["sum", "mean", "var", "std", "amax", "amin", "argmax", "argmin"])
def test_numpys_names_of_arguments(name):
    for options in ({"axis": 1}, {"axis": -1, "keepdims": True}, {"dim": 0, "keepdims": True}):
        run_on_both(lambda x, o=options: getattr(x, name)(**o), normal(3, 4)) if (
            not name.startswith("arg")
        ) else assert_same(
            getattr(tn.tensor(normal(3, 4)), name)(**options),
            getattr(torch.tensor(normal(3, 4)), name)(
                **{RENAMED.get(k, k): v for k, v in options.items()}
            ),
        )
    with pytest.raises(TypeError, match="axis and dim are one"):
        getattr(tn.ones(2, 2), name)(dim=0, axis=0)


RENAMED = {"axis": "dim", "keepdims": "keepdim"}


@pytest.mark.parametrize("name", ["max", "min"])
def test_numpys_names_of_extremes(name):
    ours = getattr(tn.tensor(normal(3, 4)), name)(axis=1, keepdims=True)
    theirs = getattr(torch.tensor(normal(3, 4)), name)(dim=1, keepdim=True)
    for a, b in zip(ours, theirs, strict=True):
        assert_same(a, b)


@pytest.mark.parametrize("name", ["var", "std"])
def test_unbiased(name):
    for options in ({"unbiased": False}, {"dim": 1, "unbiased": True}, {"dim": (0, 1)}):
        run_on_both(lambda x, o=options: getattr(x, name)(**o), normal(3, 4))
    run_on_both(lambda x: getattr(x, name)(1, False), normal(3, 4))
    with pytest.raises(TypeError, match="two words for one"):
        getattr(tn.ones(3), name)(correction=0, unbiased=False)


@pytest.mark.parametrize(
    "name",
    [
        "abs",
        "amax",
        "amin",
        "clip",
        "div",
        "maximum",
        "minimum",
        "sigmoid",
        "std",
        "sub",
        "tanh",
        "var",
    ],
)
def test_functions(name):
    arguments = {"clip": (-1, 1), "amax": (1,), "amin": (1,)}.get(name, ())
    arrays = [normal(3, 4), normal(4) + 3][: 1 + (name in ("div", "maximum", "minimum", "sub"))]
    run_on_both(
        lambda *xs: getattr(tn if isinstance(xs[0], tn.Tensor) else torch, name)(*xs, *arguments),
        *arrays,
    )


# layers


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("Conv2d", (3, 4, 3, 2, 1)),
        ("MaxPool2d", (2,)),
        ("AvgPool2d", (3, 1)),
        ("AdaptiveAvgPool2d", (2,)),
    ],
)
def test_a_single_image(name, args):
    ours, theirs = getattr(nn, name)(*args), getattr(torch.nn, name)(*args).double()
    if name == "Conv2d":
        ours.double().load_state_dict(theirs.state_dict())
    compare_with_torch(ours, theirs, normal(3, 7, 6))


MODES = ["reflect", "replicate", "circular"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("pad", [(1, 2, 3, 0), (0, 0, 0, 0), (3, 1, 2, 2)])
def test_pad(mode, pad):
    def function(library):
        return lambda x: library.pad(x, pad, mode=mode)

    compare_with_torch(function(F), function(torch.nn.functional), normal(2, 3, 5, 6))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("padding", [2, (1, 0), "same"])
@pytest.mark.parametrize("groups", [1, 4])
def test_padding_mode(mode, padding, groups):
    options = {"padding": padding, "groups": groups, "padding_mode": mode}
    ours, theirs = (library.Conv2d(4, 4, (3, 4), **options) for library in (nn, torch.nn))
    ours.double().load_state_dict(theirs.double().state_dict())
    assert repr(ours) == repr(theirs)
    compare_with_torch(ours, theirs, normal(2, 4, 6, 7))


@pytest.mark.parametrize(
    ("pad", "mode", "message"),
    [
        ((5, 0), "reflect", "at most 4 on either side of an axis of 5, got 5 and 0"),
        ((0, 6), "circular", "at most 5"),
        ((1, 1), "mirror", "mode must be"),
    ],
)
def test_wrong_padding(pad, mode, message):
    with pytest.raises(ValueError, match=message):
        F.pad(tn.zeros(1, 1, 5, 5), pad, mode)
    with pytest.raises(ValueError, match="a value is for mode 'constant'"):
        F.pad(tn.zeros(1, 1, 5, 5), (1, 1), "reflect", 3)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5)])
def test_batchnorm_1d(training, shape):
    ours, theirs = nn.BatchNorm1d(3), torch.nn.BatchNorm1d(3)
    assert repr(ours) == repr(theirs)
    ours, theirs = ours.double().train(training), theirs.double().train(training)
    compare_with_torch(ours, theirs, normal(*shape))
    compare_with_torch(ours, theirs, normal(*shape) + 1)
    for a, b in zip(ours.buffers(), theirs.buffers(), strict=True):
        assert_same(a, b)


@pytest.mark.parametrize(
    ("layer", "shape", "wanted"),
    [
        ("BatchNorm1d", (3,), r"BatchNorm1d: expected an input of shape \(N, C\) or \(N, C, L\)"),
        ("BatchNorm1d", (2, 3, 4, 4), "BatchNorm1d: expected"),
        ("BatchNorm2d", (2, 3), r"BatchNorm2d: expected an input of shape \(N, C, H, W\)"),
    ],
)
def test_batchnorm_of_other_shapes(layer, shape, wanted):
    with pytest.raises(ValueError, match=wanted):
        getattr(nn, layer)(3)(tn.zeros(shape))
    with pytest.raises(ValueError):
        getattr(torch.nn, layer)(3)(torch.zeros(shape))


def test_module_dict():
    found = []
    for library in (nn, torch.nn):
        made = library.ModuleDict({"a": library.Linear(2, 3), "b": library.ReLU()})
        made["c"] = library.Linear(3, 1)
        made.update([("d", library.Identity())])
        assert list(made) == ["a", "b", "c", "d"] and len(made) == 4 and "c" in made
        del made["b"]
        assert type(made.pop("d")).__name__ == "Identity"
        names = [name for name, _ in made.named_parameters()]
        found.append((repr(made), names, list(made.state_dict()), [*made.keys()]))
        assert [m for _, m in made.items()] == list(made.values()) == [made["a"], made["c"]]
        made.clear()
        assert not len(made)
        with pytest.raises(KeyError):
            made["a"]
        with pytest.raises(TypeError):
            made.update(3)
        with pytest.raises(TypeError):
            made["x"] = 3
    assert found[0] == found[1]


# schedules


def optimizers():
    for library, make in ((optim, tn.zeros), (torch.optim, torch.zeros)):
        groups = [{"params": [make(2, requires_grad=True)], "lr": lr} for lr in (0.1, 0.02)]
        yield library.lr_scheduler, library.SGD(groups, lr=1.0)


def test_exponential():
    rates = []
    for library, optimizer in optimizers():
        schedule = library.ExponentialLR(optimizer, 0.9)
        found = []
        for _ in range(9):
            optimizer.step()
            schedule.step()
            found.append(schedule.get_last_lr())
        rates.append(found)
    np.testing.assert_allclose(*rates, rtol=1e-12)


@pytest.mark.parametrize("options", [{"T_0": 3}, {"T_0": 2, "T_mult": 2, "eta_min": 0.01}])
def test_restarts_by_fractions_of_an_epoch(options):
    rates = []
    for library, optimizer in optimizers():
        schedule = library.CosineAnnealingWarmRestarts(optimizer, **options)
        found = []
        for step in range(90):
            optimizer.step()
            # back to whole epochs now and then, and a jump back to the start
            schedule.step(*(() if step % 17 == 16 else (step % 60 / 4,)))
            found.append([*schedule.get_last_lr(), schedule.last_epoch, schedule.T_cur])
        rates.append(found)
    np.testing.assert_allclose(*rates, rtol=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 2},
        {"mode": "max", "factor": 0.5, "patience": 1, "cooldown": 3},
        {"threshold": 0.3, "threshold_mode": "abs", "patience": 0, "min_lr": [0.01, 0.005]},
        {"mode": "max", "threshold": 0.2, "patience": 1, "eps": 0.01},
    ],
)
def test_plateau(options):
    measures = [3, 2.5, 2.4, 2.4, 2.6, 2.4, 2.2, 2.2, math.nan, 2.2, 2.2, -1, -1, -1, -1, -1, -1]
    found = []
    for library, optimizer in optimizers():
        schedule = library.ReduceLROnPlateau(optimizer, **options)
        rates = []
        for number, measure in enumerate(measures):
            if number == 7:  # saved, and taken up by another
                state = schedule.state_dict()
                schedule = library.ReduceLROnPlateau(optimizer, **options)
                schedule.load_state_dict(state)
            optimizer.step()
            schedule.step(measure)
            rates.append([group["lr"] for group in optimizer.param_groups])
            assert schedule.get_last_lr() == rates[-1]
        found.append(rates)
    np.testing.assert_allclose(*found, rtol=1e-12)
    assert found[0][0] != found[0][-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "least"}, "mode must be"),
        ({"factor": 1.0}, "factor must be"),
        ({"patience": -1}, "patience must be"),
        ({"min_lr": [0.1]}, "min_lr has 1 entries"),
        ({"threshold_mode": "x"}, "threshold_mode must be"),
    ],
)
def test_wrong_plateau(options, message):
    _, optimizer = next(optimizers())
    with pytest.raises((ValueError, TypeError), match=message):
        optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options)


def test_a_measure_that_is_none():
    _, optimizer = next(optimizers())
    with pytest.raises(TypeError, match="metrics must be a number, got list"):
        optim.lr_scheduler.ReduceLROnPlateau(optimizer).step([])


# initial weights


def test_truncated_normal():
    x = nn.init.trunc_normal_(tn.zeros(40, 50), 0.5, 2.0, -1.0, 3.0).numpy()
    assert -1 <= x.min() < -0.9 and 2.9 < x.max() <= 3
    theirs = torch.nn.init.trunc_normal_(torch.zeros(40, 50), 0.5, 2.0, -1.0, 3.0).numpy()
    assert x.mean() == pytest.approx(theirs.mean(), abs=0.1)
    assert x.std() == pytest.approx(theirs.std(), abs=0.1)
    with pytest.raises(ValueError, match="within three deviations"):
        nn.init.trunc_normal_(tn.zeros(3), 0.0, 1.0, 5.0, 9.0)


@pytest.mark.parametrize("shape", [(4, 7), (7, 4), (5, 5), (6, 2, 3, 3)])
def test_orthogonal(shape):
    x = nn.init.orthogonal_(tn.zeros(shape, dtype="float64"), gain=2).numpy()
    x = x.reshape(len(x), -1)
    product = x @ x.T if x.shape[0] <= x.shape[1] else x.T @ x
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-12)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("shape", [(4, 2, 3, 3), (2, 4, 3, 2), (6, 6, 1, 5)])
def test_dirac_and_eye(shape, groups):
    assert_same(
        nn.init.dirac_(tn.ones(shape), groups), torch.nn.init.dirac_(torch.ones(shape), groups)
    )
    for size in itertools.permutations((3, 5)):
        assert_same(nn.init.eye_(tn.ones(size)), torch.nn.init.eye_(torch.ones(size)))


@pytest.mark.parametrize("name", ["orthogonal_", "eye_", "dirac_"])
def test_initial_weights_of_too_few_axes(name):
    with pytest.raises(ValueError, match=f"init.{name}: needs"):
        getattr(nn.init, name)(tn.ones(3))


# what is left out


def test_a_name_that_is_left_out_says_what_to_use():
    for owner, name, words in (
        (tn, "einsum", "tinynet has no 'einsum'; instead: @, permute and sum"),
        (tn.ones(1), "half", "Tensor has no 'half'; instead: float32 or float64"),
        (nn, "LSTM", "tinynet.nn has no 'LSTM'; instead: Linear"),
        (nn.ReLU(), "register_full_backward_hook", "ReLU has no 'register_full_backward_hook'"),
        (F, "kl_div", "tinynet.nn.functional has no 'kl_div'; instead: log_softmax"),
        (nn.utils, "weight_norm", "tinynet.nn.utils has no 'weight_norm'"),
        (optim, "Adagrad", "tinynet.optim has no 'Adagrad'; instead: SGD"),
        (optim.lr_scheduler, "CyclicLR", "has no 'CyclicLR'; instead: LambdaLR"),
        (tn.cuda, "amp", "tinynet.cuda has no 'amp'"),
        (tn.utils.data, "Sampler", "tinynet.utils.data has no 'Sampler'; instead: a list"),
        (tn, "anything", "tinynet has no attribute 'anything'$"),
        (tn.ones(1), "anything", "Tensor has no attribute 'anything'$"),
    ):
        assert not hasattr(owner, name)
        with pytest.raises(AttributeError, match=words):
            getattr(owner, name)


def test_the_table_of_what_is_left_out():
    """docs/engine.md has it; each name is torch's, and tinynet does lack it."""
    text = (Path(__file__).parent.parent / "docs" / "engine.md").read_text()
    data = "utils.data", "nn.utils", "nn.functional", "optim", "optim.lr_scheduler", "nn", "cuda"
    places = [
        [operator.attrgetter(path)(library) for path in data] + [library, library.ones(1), module]
        for library, module in ((tn, nn.ReLU()), (torch, torch.nn.ReLU()))
    ]
    places[1] += [torch.nn.utils.parametrizations, torch.amp, torch.nn.parallel]
    places[1] += [torch.utils.data.distributed]
    for names, advice in absent.ABSENT.items():
        row = ", ".join(f"`{name}`" for name in names.split())
        assert f"| {row} | {advice} |\n" in text
        for name in names.split():
            assert not any(hasattr(place, name) for place in places[0]), name
            assert any(hasattr(place, name) for place in places[1]), name
