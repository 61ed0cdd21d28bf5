"""Tensors among Python's protocols: numbers, truth, iteration, printing, comparing, copying."""

import copy
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import tinynet as tn
import tinynet.nn as nn


def test_item_and_numbers():
    x = tn.tensor([[2.5]])
    assert x.item() == float(x) == 2.5
    assert int(x) == 2
    assert isinstance(tn.tensor(3).item(), int)
    assert isinstance(tn.tensor(True).item(), bool)
    assert tn.tensor([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    for convert in (lambda t: t.item(), float, int):
        with pytest.raises(ValueError, match=r"item: expected a tensor of one element, got .*\(2,"):
            convert(tn.ones(2))


def test_truth():
    assert tn.tensor([1.0])
    assert not tn.tensor(0)
    assert tn.tensor([1.0, 2.0])[0] == 1
    for x in (tn.ones(2), tn.ones(0)):
        with pytest.raises(ValueError, match="truth of a tensor of shape .* is ambiguous"):
            bool(x)


def test_length_and_iteration():
    assert len(tn.zeros(3, 2)) == 3
    assert [row.tolist() for row in tn.tensor([[1, 2], [3, 4]])] == [[1, 2], [3, 4]]
    with pytest.raises(TypeError, match="0 axes has no length"):
        len(tn.tensor(1.0))
    with pytest.raises(TypeError, match="0 axes cannot be iterated"):
        iter(tn.tensor(1.0))


def test_formatting():
    assert f"{tn.tensor(1.23456):.2f}" == "1.23"
    assert f"{tn.tensor(7):3d}" == "  7"
    assert f"{tn.tensor(1.5, requires_grad=True)}" == f"{torch.tensor(1.5)}" == "1.5"
    assert f"{tn.tensor([1, 2], device='cpu')}" == "tensor([1, 2])"
    with pytest.raises(TypeError, match="format"):
        f"{tn.ones(2):.2f}"


@pytest.mark.cpu_only  # these tensors are made before the test runs
@pytest.mark.parametrize(
    ("tensor", "text"),
    [
        (tn.tensor([1, 2]), "tensor([1, 2])"),
        (tn.tensor(True), "tensor(True)"),
        (tn.tensor([1.0, 2.5]), "tensor([1. , 2.5])"),
        (tn.tensor([1.0], dtype=np.float64), "tensor([1.], dtype=float64)"),
        (tn.tensor([1, 2], dtype=np.int32), "tensor([1, 2], dtype=int32)"),
        (tn.tensor([1.0], requires_grad=True), "tensor([1.], requires_grad=True)"),
        (tn.tensor([1.0], requires_grad=True) * 2, "tensor([2.], grad_fn=<Multiply>)"),
        (tn.tensor([]), "tensor([])"),
    ],
)
def test_printing(tensor, text):
    assert repr(tensor) == text


def test_printing_says_which_device(device):
    assert ("device='cuda'" in repr(tn.tensor([1.0]))) == (device == "cuda")


def test_printing_keeps_rows_in_line_and_large_tensors_short():
    rows = tn.tensor([[1, 2], [3, 4]])
    assert repr(rows).startswith("tensor([[1, 2],\n        [3, 4]]")
    assert len(repr(tn.zeros(1000, 1000))) < 1000
    assert repr(nn.Parameter(np.ones(1, np.float32))).startswith("Parameter containing:\ntensor(")


def test_hashing_is_by_identity_and_comparing_by_element():
    a, b = tn.ones(2), tn.ones(2)
    assert len({a, b, a}) == 2
    assert {a: 1}[a] == 1
    assert (a == b).tolist() == [True, True]
    assert (a != b).tolist() == [False, False]


@pytest.mark.parametrize("other", [None, "x", object()], ids=["None", "text", "object"])
def test_comparing_and_computing_with_something_else(other):
    x = tn.ones(2)
    assert (x == other) is False
    assert (x != other) is True
    for compute in (
        lambda: x + other,
        lambda: other - x,
        lambda: x @ other,
        lambda: x < other,
        lambda: x**other,
    ):
        with pytest.raises(TypeError, match="Tensor"):
            compute()


NAMED = ["add", "sub", "mul", "div", "pow", "matmul", "maximum", "minimum"]


@pytest.mark.parametrize("name", NAMED)
def test_methods_name_themselves_when_given_something_else(name):
    with pytest.raises(
        TypeError, match=f"{name}: expected a Tensor, an array or a number, got str"
    ):
        getattr(tn.ones(2), name)("x")


BROADCAST = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "**": lambda a, b: a**b,
    "maximum": lambda a, b: a.maximum(b),
    "minimum": lambda a, b: a.minimum(b),
    "==": lambda a, b: a == b,
    "<": lambda a, b: a < b,
}


@pytest.mark.parametrize("name", BROADCAST)
def test_shapes_that_do_not_broadcast_are_named(name):
    with pytest.raises(
        ValueError,
        match=rf"^{re.escape(name)}: shapes \(2, 3\) and \(2,\) do not broadcast \(3 against 2\); "
        "trailing sizes must be equal or 1",
    ):
        BROADCAST[name](tn.ones(2, 3), tn.ones(2))


def test_integers_to_negative_powers_are_refused():
    with pytest.raises(ValueError, match=r"\*\*: integers to negative powers"):
        tn.tensor([2, 3]) ** -1
    with pytest.raises(ValueError, match=r"\*\*: integers to negative powers"):
        2 ** tn.tensor([1, -1])
    assert (tn.tensor([2, 4]) ** -1.0).tolist() == [0.5, 0.25]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: x.clip(), ValueError, "clip: give min, max or both; got neither"),
        (lambda x: x.clip("a"), TypeError, "clip: min must be a number, got str"),
        (lambda x: x.clip(max=[1]), TypeError, "clip: max must be a number, got list"),
    ],
)
def test_wrong_bounds(call, error, message):
    with pytest.raises(error, match=message):
        call(tn.ones(2))


def test_deep_copies_are_independent():
    x = tn.tensor([1.0, 2.0], requires_grad=True)
    (x * 2).sum().backward()
    twin = copy.deepcopy(x)
    twin.data[0] = 9
    twin.grad[0] = 9
    assert x.tolist() == [1, 2]
    assert x.grad.tolist() == [2, 2]
    assert twin.requires_grad


def test_a_parameter_computes_plain_tensors():
    p = nn.Parameter(np.ones(2, np.float32))
    assert p.requires_grad
    for y in (p + 1, p[0], p.detach(), p.data, p == 1, p.long()):
        assert type(y) is tn.Tensor


def test_the_package_alone_reaches_everything():
    code = (
        "import tinynet as tn; tn.Tensor, tn.tensor, tn.no_grad, tn.manual_seed, tn.backprop, "
        "tn.nn.Linear, tn.nn.functional.relu, tn.optim.SGD; print(tn.__version__)"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.stdout.strip() == tn.__version__, done.stderr
