"""The optimisers against torch, step for step; wrong arguments."""

import itertools

import numpy as np
import pytest
import torch
from optim_twins import assert_equal, make_gradient, make_twins, run, set_gradients

from tinynet import optim
from tinynet.autograd import Tensor
from tinynet.optim import adam, sgd


def grid(**options):
    return [
        dict(zip(options, values, strict=True)) for values in itertools.product(*options.values())
    ]


SGD_OPTIONS = [
    options
    for options in grid(
        momentum=[0, 0.9],
        dampening=[0, 0.3],
        weight_decay=[0, 0.05],
        nesterov=[False, True],
        maximize=[False, True],
    )
    if not options["nesterov"] or (options["momentum"] and not options["dampening"])
]
ADAM_OPTIONS = grid(
    betas=[(0.9, 0.999), (0.3, 0.6)],
    eps=[1e-8, 0.1],
    weight_decay=[0, 0.05],
    amsgrad=[False, True],
    maximize=[False, True],
)
RMSPROP_OPTIONS = grid(
    alpha=[0.99, 0.5],
    weight_decay=[0, 0.05],
    momentum=[0, 0.9],
    centered=[False, True],
    maximize=[False, True],
)
ADADELTA_OPTIONS = grid(
    rho=[0.9, 0.5], eps=[1e-6, 0.1], weight_decay=[0, 0.05], maximize=[False, True]
)
CASES = [
    *(("SGD", options) for options in SGD_OPTIONS),
    *((name, options) for name in ("Adam", "AdamW") for options in ADAM_OPTIONS),
    *(("RMSprop", options) for options in RMSPROP_OPTIONS),
    *(("Adadelta", options) for options in ADADELTA_OPTIONS),
]
ALL = ["SGD", "Adam", "AdamW", "RMSprop", "Adadelta"]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_steps_equal_torch(name, options, dtype):
    ours, theirs = make_twins(dtype)
    optimizer = getattr(optim, name)(ours, lr=0.1, **options)
    reference = getattr(torch.optim, name)(theirs, lr=0.1, **options)
    run(ours, theirs, optimizer, reference)
    assert_equal(ours, theirs)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
@pytest.mark.parametrize("shape", [(37, 1000), (3, 20000), (40000,)])
def test_large_parameters_equal_torch(name, shape):
    """Large arrays are updated piece by piece; no piece may be lost or taken twice."""
    ours, theirs = make_twins(np.float32, [shape])
    options = {"momentum": 0.9, "nesterov": True} if name == "SGD" else {"amsgrad": True}
    optimizer = getattr(optim, name)(ours, lr=0.1, **options)
    reference = getattr(torch.optim, name)(theirs, lr=0.1, **options)
    run(ours, theirs, optimizer, reference, range(1, 4))
    assert_equal(ours, theirs)


@pytest.mark.parametrize("name", ALL)
def test_defaults_and_argument_order_are_torchs(name):
    positional = {
        "SGD": (0.2, 0.8, 0.0, 0.01, True),
        "RMSprop": (0.2, 0.8, 1e-3, 0.01, 0.7, True),
        "Adadelta": (0.2, 0.8, 1e-3, 0.01),
    }
    for args in ((), positional.get(name, (0.2, (0.8, 0.9), 1e-3, 0.01, True))):
        ours, theirs = make_twins()
        optimizer = getattr(optim, name)(ours, *args)
        reference = getattr(torch.optim, name)(theirs, *args)
        for key, value in optimizer.defaults.items():
            assert reference.defaults[key] == value
        run(ours, theirs, optimizer, reference)
        assert_equal(ours, theirs)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {"momentum": 0.9, "dampening": 0.1}),
        ("Adam", {"eps": 0.1}),
        ("AdamW", {}),
        ("RMSprop", {"momentum": 0.9, "alpha": 0.9}),
        ("Adadelta", {"rho": 0.5, "eps": 0.1}),
    ],
)
def test_parameters_stay_in_their_arrays_and_in_float32(name, options):
    def train(number):
        p = Tensor(np.linspace(-1, 1, 16, dtype=np.float32).reshape(4, 4), requires_grad=True)
        array, before = p.array, p.numpy().copy()
        numbers = {key: number(value) for key, value in options.items()}
        optimizer = getattr(optim, name)([p], lr=number(0.1), weight_decay=number(0.1), **numbers)
        for step in range(3):
            p.grad = Tensor(make_gradient(p.shape, p.dtype, step))
            optimizer.step()
        assert p.array is array
        assert not np.isclose(p.numpy(), before).any()
        for buffer in [p, *optimizer.state[p].values()]:
            assert buffer.dtype == np.float32
        return p.numpy()

    # Schedules written with NumPy leave float64 numbers in the groups: no other arithmetic.
    np.testing.assert_array_equal(train(float), train(np.float64))


@pytest.mark.parametrize("options", [{}, {"maximize": True}, {"weight_decay": 0.1}])
@pytest.mark.parametrize("name", ALL)
def test_a_step_leaves_the_gradient_alone(name, options):
    (p,), _ = make_twins(np.float32, [(7,)])
    gradient = np.linspace(-1, 1, 7, dtype=np.float32)
    p.grad = Tensor(gradient.copy())
    optimizer = getattr(optim, name)([p], lr=0.1, **options)
    if name in ("SGD", "RMSprop"):
        optimizer.param_groups[0]["momentum"] = 0.9
    for _ in range(3):  # the first momentum buffer must not share memory with the gradient
        optimizer.step()
    np.testing.assert_array_equal(p.grad.numpy(), gradient)


def test_momentum_is_torchs_and_not_the_variant_with_lr_inside():
    """v = mu v + g; p -= lr v. The variant v = mu v - lr g; p += v parts ways once lr changes."""
    (p,), (q,) = make_twins(shapes=[(3,)])
    variant, velocity = p.numpy().copy(), 0.0
    optimizer = optim.SGD([p], lr=1.0, momentum=0.9)
    reference = torch.optim.SGD([q], lr=1.0, momentum=0.9)
    for step, lr in enumerate([1.0, 1.0, 0.01]):
        optimizer.param_groups[0]["lr"] = reference.param_groups[0]["lr"] = lr
        set_gradients([p], [q], step)
        velocity = 0.9 * velocity - lr * p.grad.numpy()
        variant += velocity
        optimizer.step()
        reference.step()
        assert np.allclose(variant, q.detach().numpy()) == (step < 2)  # the test can see it
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-14)


@pytest.mark.parametrize("name", ALL)
def test_groups_have_hyperparameters_of_their_own(name):
    def build(package, params):
        groups = [
            {"params": params[:2]},
            {"params": params[2], "lr": 0.01, "weight_decay": 0.2},
        ]
        optimizer = getattr(package, name)(groups, lr=0.1, weight_decay=0.05)
        optimizer.add_param_group({"params": iter(params[3:]), "maximize": True})
        return optimizer

    ours, theirs = make_twins()
    optimizer, reference = build(optim, ours), build(torch.optim, theirs)
    run(ours, theirs, optimizer, reference)
    assert_equal(ours, theirs)
    assert [g["lr"] for g in optimizer.param_groups] == [g["lr"] for g in reference.param_groups]


def test_the_callers_group_dict_is_not_changed():
    (p,), _ = make_twins(shapes=[(2,)])
    group = {"params": [p], "lr": 0.5}
    optimizer = optim.SGD([group], lr=0.1, momentum=0.9)
    optimizer.param_groups[0]["lr"] = 7
    assert group == {"params": [p], "lr": 0.5}


def test_parameters_without_gradient_get_no_state():
    ours, _ = make_twins()
    optimizer = optim.Adam(ours)
    ours[1].grad = Tensor(np.ones(5))
    optimizer.step()
    assert list(optimizer.state_dict()["state"]) == [1]


def test_named_parameters_are_accepted():
    ours, theirs = make_twins()
    names = [f"p{i}" for i in range(len(ours))]
    optimizer = optim.SGD(zip(names, ours, strict=True), lr=0.1)
    reference = torch.optim.SGD(zip(names, theirs, strict=True), lr=0.1)
    run(ours, theirs, optimizer, reference)
    assert_equal(ours, theirs)
    expected = reference.state_dict()["param_groups"][0]["param_names"]
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == expected == names


def test_zero_grad():
    ours, _ = make_twins()
    optimizer = optim.SGD(ours)
    for p in ours[1:]:
        p.grad = Tensor(np.ones(p.shape))
    held = ours[1].grad
    optimizer.zero_grad(set_to_none=False)
    assert ours[0].grad is None
    assert ours[1].grad is held
    assert not any(p.grad.numpy().any() for p in ours[1:])
    optimizer.zero_grad()
    assert all(p.grad is None for p in ours)


def test_step_returns_what_the_closure_returns():
    (p,), _ = make_twins(shapes=[(2,)])
    before = p.numpy().copy()
    optimizer = optim.SGD([p], lr=1.0)

    def closure():
        p.grad = Tensor(np.ones(2))
        return 42.0

    assert optimizer.step(closure) == 42.0
    np.testing.assert_allclose(p.numpy(), before - 1)
    assert optimizer.step() is None


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_what_is_changed_is_told(name, monkeypatch):
    """Ops that saved a parameter then know that it is no longer what they saw."""
    told = []
    monkeypatch.setattr(Tensor, "changed", lambda self: told.append(id(self)))
    ours, theirs = make_twins()
    optimizer = getattr(optim, name)(ours)
    set_gradients(ours, theirs, 0, missing=2)
    optimizer.step()
    assert told == [id(p) for i, p in enumerate(ours) if i != 2]


def test_a_loss_is_no_closure():
    (p,), _ = make_twins(shapes=[(2,)])
    with pytest.raises(TypeError, match="SGD.step: closure must be a function .* got Tensor"):
        optim.SGD([p]).step((p * p).sum())


def test_the_definitions_are_plain_functions():
    x, g, v = (np.array([value], np.float64) for value in (1.0, 0.5, 2.0))
    sgd.sgd([x], [g], [v], [False], 0.1, 0.9, 0.0, 0.0, nesterov=False, maximize=False)
    assert (x.item(), v.item()) == (1 - 0.1 * 2.3, 2.3)
    x, g, m, v = (np.array([value], np.float64) for value in (1.0, 0.5, 0.0, 0.0))
    adam.adam(
        [x], [g], [m], [v], [None], [1], 0.1, 0.5, 0.75, 0.5, 0.0, decoupled=False, maximize=False
    )
    assert (x.item(), m.item(), v.item()) == (1 - 0.1 * 0.5 / (0.5 + 0.5), 0.25, 0.0625)


# Groups and parameters that somebody has changed since


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("SGD", {"lr": "a"}, "SGD: lr must be a number, got str"),
        ("SGD", {"lr": float("nan")}, "SGD: lr must be finite, got nan"),
        ("SGD", {"momentum": None}, "SGD: momentum must be a number, got NoneType"),
        ("AdamW", {"eps": float("inf")}, "AdamW: eps must be finite, got inf"),
        ("Adam", {"betas": (1.0, 0.9)}, r"Adam: betas\[0\] must be below 1, got 1.0"),
    ],
)
def test_a_group_spoiled_by_hand_is_refused_before_anything_moves(name, change, message):
    (p,), _ = make_twins(shapes=[(3,)])
    optimizer = getattr(optim, name)([p])
    optimizer.param_groups[0].update(change)
    p.grad, before = Tensor(np.ones(3)), p.numpy().copy()
    with pytest.raises((TypeError, ValueError), match=message):
        optimizer.step()
    np.testing.assert_array_equal(p.numpy(), before)
    assert not optimizer.state_dict()["state"].get(0)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_buffers_of_another_shape_than_the_parameter(name):
    p = Tensor(np.zeros(3), requires_grad=True)
    optimizer = getattr(optim, name)([p], lr=0.1)
    optimizer.param_groups[0]["momentum"] = 0.9
    for array in (np.zeros(3), np.zeros((2, 3))):
        p.data = Tensor(array)
        p.grad = Tensor(np.ones_like(array))
        if array.ndim == 1:
            optimizer.step()
    with pytest.raises(RuntimeError, match=rf"{name}: a parameter of shape \(2, 3\) on .* buffer"):
        optimizer.step()
    assert not p.numpy().any()


def test_a_parameter_that_moved_to_another_device(device):
    p = Tensor(np.zeros(3), requires_grad=True)
    optimizer = optim.SGD([p], lr=0.1, momentum=0.9)
    p.grad = Tensor(np.ones(3))
    optimizer.step()
    if device == "cpu":
        return
    p.array, p.grad.array = p.numpy().copy(), p.grad.numpy().copy()
    with pytest.raises(RuntimeError, match="on cpu has a buffer 'momentum_buffer' .* on cuda"):
        optimizer.step()


# Wrong arguments

P = Tensor(np.zeros(2), requires_grad=True)
Q = Tensor(np.zeros(2), requires_grad=True)

WRONG = [
    ("SGD", P, {}, TypeError, "single Tensor"),
    ("SGD", {"params": [P]}, {}, TypeError, "single dict; put it in a list"),
    ("SGD", {P, Q}, {}, TypeError, "params must be ordered, got a set"),
    ("SGD", 3, {}, TypeError, "iterable"),
    ("SGD", [], {}, ValueError, "empty"),
    ("SGD", iter(()), {}, ValueError, "empty"),
    ("SGD", [np.zeros(2)], {}, TypeError, "ndarray at index 0"),
    ("SGD", [P, {"params": [Q]}], {}, TypeError, "dict.* at index 1"),
    ("SGD", [{"params": [P]}, Q], {}, TypeError, "key 'params'.* Tensor"),
    ("SGD", [{"parameters": [P]}], {}, TypeError, "key 'params'.*parameters"),
    ("SGD", [{"params": {P, Q}}], {}, TypeError, "ordered"),
    ("SGD", [{"params": 3}], {}, TypeError, "int"),
    ("SGD", [{"params": [P]}, {"params": iter(())}], {}, ValueError, "iterator .* used up"),
    ("SGD", [P * 2], {}, ValueError, "leaf"),
    ("SGD", [P, P], {}, ValueError, "index 1.*given twice"),
    ("SGD", [{"params": [P]}, {"params": [Q, P]}], {}, ValueError, "index 1.*given twice"),
    ("SGD", [("p", P), Q], {}, ValueError, "names"),
    ("SGD", [{"params": [("p", P)]}, {"params": [Q]}], {}, ValueError, "names"),
    ("SGD", [P], {"lr": -0.1}, ValueError, "lr must be at least 0, got -0.1"),
    ("SGD", [P], {"lr": float("nan")}, ValueError, "lr .*nan"),
    ("SGD", [P], {"lr": float("inf")}, ValueError, "lr .*inf"),
    ("SGD", [P], {"lr": "0.1"}, TypeError, "lr must be a number, got str"),
    ("SGD", [P], {"lr": True}, TypeError, "lr must be a number, got bool"),
    ("SGD", [P], {"momentum": -1}, ValueError, "momentum"),
    ("SGD", [P], {"dampening": "no"}, TypeError, "dampening"),
    ("SGD", [P], {"weight_decay": -1e-4}, ValueError, "weight_decay"),
    ("SGD", [P], {"nesterov": True}, ValueError, "nesterov.*momentum=0"),
    (
        "SGD",
        [P],
        {"nesterov": True, "momentum": 0.9, "dampening": 0.1},
        ValueError,
        "dampening=0.1",
    ),
    ("SGD", [{"params": [P], "lr": -1}], {}, ValueError, "lr"),
    ("RMSprop", [P], {"alpha": -1}, ValueError, "RMSprop: alpha must be at least 0, got -1"),
    ("RMSprop", [P], {"momentum": "a"}, TypeError, "momentum"),
    ("Adadelta", [P], {"rho": 1.5}, ValueError, "Adadelta: rho must be .*at most 1, got 1.5"),
    ("Adam", [P], {"lr": -1}, ValueError, "lr"),
    ("Adam", [P], {"eps": -1e-8}, ValueError, "eps"),
    ("Adam", [P], {"betas": 0.9}, TypeError, "betas.*pair"),
    ("Adam", [P], {"betas": (0.9, 0.99, 0.999)}, TypeError, "betas.*pair"),
    ("Adam", [P], {"betas": (0.9, "b")}, TypeError, r"betas\[1\] must be a number, got str"),
    ("Adam", [P], {"betas": (float("nan"), 0.9)}, ValueError, r"betas\[0\].*got nan"),
    ("Adam", [P], {"betas": (1.0, 0.999)}, ValueError, r"betas\[0\].*below 1, got 1.0"),
    ("Adam", [P], {"betas": (0.9, -0.1)}, ValueError, r"betas\[1\]"),
    ("AdamW", [P], {"weight_decay": -1}, ValueError, "AdamW: weight_decay"),
]


@pytest.mark.parametrize(("name", "params", "options", "error", "message"), WRONG)
def test_wrong_arguments(name, params, options, error, message):
    with pytest.raises(error, match=message):
        getattr(optim, name)(params, **options)


def test_a_refused_group_is_not_added():
    optimizer = optim.SGD([P])
    with pytest.raises(ValueError, match="given twice"):
        optimizer.add_param_group({"params": [Q, P]})
    assert len(optimizer.param_groups) == 1
