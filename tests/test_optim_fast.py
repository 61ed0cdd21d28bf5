"""The optimisers' quicker forms against their definitions, on the lists that `step` makes."""

import itertools

import numpy as np
import pytest

from tinynet.backend import to_device
from tinynet.fast.cpu import optim as on_cpu
from tinynet.fast.cuda import optim as on_cuda
from tinynet.optim.adam import adam
from tinynet.optim.sgd import sgd

SHAPES = [(), (5,), (0,), (37, 1000), (40000,), (3, 20000), (9, 16, 3, 3)]
TOLERANCES = {"f4": {"rtol": 1e-5, "atol": 1e-6}, "f8": {"rtol": 1e-12, "atol": 1e-13}}
FAST = {"cpu": on_cpu, "cuda": on_cuda}

SGD_NUMBERS = [
    {"lr": 0.1, "momentum": momentum, "dampening": dampening, "weight_decay": decay}
    | {"nesterov": nesterov, "maximize": maximize}
    for momentum, dampening, decay, nesterov, maximize in itertools.product(
        (0.0, 0.9), (0.0, 0.3), (0.0, 0.05), (False, True), (False, True)
    )
    if momentum or not nesterov
]
ADAM_NUMBERS = [
    {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": decay}
    | {"decoupled": decoupled, "maximize": maximize}
    for decay, decoupled, maximize in itertools.product((0.0, 0.05), (False, True), (False, True))
]


def some(rng, device, dtype, shapes=SHAPES):
    """Arrays of these shapes, every second one in column-major order."""
    arrays = [np.asarray(rng.uniform(0.1, 1, shape), dtype) for shape in shapes]
    return [to_device(a.T.copy().T if i % 2 else a, device) for i, a in enumerate(arrays)]


def compare(definition, device, dtype, columns, *others, **numbers):
    """Both forms on copies of the same arrays; they must leave the same in all of them."""
    left = []
    for step in (definition, getattr(FAST[device], definition.__name__)):
        copies = [[a if a is None else a.copy() for a in column] for column in columns]
        step(*copies, *others, **numbers)
        left.append([to_device(a, "cpu") for a in sum(copies, []) if a is not None])
    for a, b in zip(*left, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, **TOLERANCES[dtype])


@pytest.fixture
def launched(monkeypatch):
    """The names of the kernels that were launched."""
    names = []
    call = on_cuda.Kernel.__call__

    def watched(self, *arguments, **options):
        names.append(self.name)
        return call(self, *arguments, **options)

    monkeypatch.setattr(on_cuda.Kernel, "__call__", watched)
    return names


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("numbers", SGD_NUMBERS, ids=str)
def test_sgd(rng, device, dtype, numbers, launched):
    xs, gs, vs = (some(rng, device, dtype) for _ in range(3))
    vs = vs if numbers["momentum"] else [None] * len(xs)
    firsts = [i == 4 for i in range(len(xs))]
    compare(sgd, device, dtype, [xs, gs, vs], firsts, **numbers)
    assert launched == (["sgd_step"] if device == "cuda" else [])


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("numbers", ADAM_NUMBERS, ids=str)
def test_adam(rng, device, dtype, numbers, amsgrad, launched):
    xs, gs, ms, vs, tops = (some(rng, device, dtype) for _ in range(5))
    tops = tops if amsgrad else [None] * len(xs)
    steps = [1.0, 7.0, 7.0, 1.0, 7.0, 7.0, 1.0]
    compare(adam, device, dtype, [xs, gs, ms, vs, tops], steps, **numbers)
    assert launched == (["adam_step"] * 2 if device == "cuda" else [])  # one for each t


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_infinity_and_nan_stay_where_the_definition_has_them(rng, device, decay):
    def spoil(i, value):
        array = np.ones(8)
        array[i] = value
        return [to_device(array, device)]

    xs, gs, vs, tops = spoil(0, np.inf), spoil(1, np.nan), spoil(2, np.nan), spoil(3, np.nan)
    common = {"lr": 0.1, "weight_decay": decay, "maximize": False}
    of_sgd = {"momentum": 0.9, "dampening": 0.0, "nesterov": False}
    of_adam = {"beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "decoupled": False}
    with np.errstate(invalid="ignore"):
        compare(sgd, device, "f8", [xs, gs, vs], [False], **common, **of_sgd)
        columns = [xs, gs, spoil(5, 1.0), vs, tops]
        compare(adam, device, "f8", columns, [3.0], **common, **of_adam)


def test_two_dtypes_and_memory_orders_that_do_not_fit(rng, device, launched):
    """A kernel takes what suits it, and the definition the rest."""
    xs, gs, vs = ([*some(rng, device, "f4"), *some(rng, device, "f8")] for _ in range(3))
    gs[3] = to_device(np.ascontiguousarray(to_device(gs[3], "cpu")), device)
    vs[5] = vs[5].astype("f8")
    numbers = {"lr": 0.1, "momentum": 0.9, "dampening": 0.0, "weight_decay": 0.1}
    firsts = [False] * len(xs)
    compare(sgd, device, "f4", [xs, gs, vs], firsts, **numbers, nesterov=True, maximize=False)
    assert launched == (["sgd_step"] * 2 if device == "cuda" else [])
