"""The tape: writing an op, and walking back one step at a time."""

import numpy as np
import pytest
from helpers import host, leaf

import tinynet as tn
from tinynet import backend


class Scale(tn.Function):
    """y = factor x;  gx = factor gy"""

    def __init__(self, factor=2.0):
        self.factor = factor

    def forward(self, x):
        return x * self.factor

    def backward(self, gy):
        return gy * self.factor


class Product(tn.Function):
    """y = a b;  ga = gy b, gb = gy a"""

    def forward(self, a, b):
        self.save(a, b)
        return a * b

    def backward(self, gy):
        a, b = self.saved
        return gy * b, gy * a


# writing an op


def test_an_op_of_ones_own():
    x = leaf(1, 2)
    Scale.apply(x, factor=5.0).sum().backward()
    assert x.grad.tolist() == [5, 5]


def test_an_op_knows_what_it_was_given():
    a, c = leaf(1, 2), tn.Tensor(np.ones((3, 2), np.float32))
    y = Product.apply(a, c)
    op = y.grad_fn
    assert isinstance(op, Product)
    assert op.name == "Product"
    assert repr(op) == "<Product>"
    assert op.needs == (True, False)
    assert op.parents == (a, None)
    assert op.input_shapes == ((2,), (3, 2))
    assert op.output_shape == (3, 2)
    assert Scale.apply(y).grad_fn.parents == (op,)


def test_nothing_is_kept_where_nothing_is_wanted():
    class Peek(Product):
        made = []

        def forward(self, a, b):
            self.made.append(self)
            return super().forward(a, b)

    a, b = leaf(1), leaf(2)
    with tn.no_grad():
        Peek.apply(a, b)
    Peek.apply(a.detach(), b.detach())
    for op in Peek.made:
        assert op.saved == ()
        assert op.needs == (False, False)


def test_a_gradient_of_none_goes_nowhere():
    class Half(Product):
        def backward(self, gy):
            return None, super().backward(gy)[1]

    a, b = leaf(2), leaf(3)
    inner = Scale.apply(a)
    Half.apply(inner, b).backward()
    assert a.grad is None
    assert b.grad.tolist() == [4]


def mistaken(**methods):
    return type("Mistaken", (Scale,), methods)


WRONG_OPS = {
    "array for a tensor": (
        lambda: Scale.apply(np.ones(2)),
        TypeError,
        r"Scale: input 0 must be a Tensor, got ndarray; wrap it with tinynet.tensor\(...\)",
    ),
    "number for a tensor": (
        lambda: Product.apply(leaf(1), 2.0),
        TypeError,
        "Product: input 1 must be a Tensor, got float",
    ),
    "forward returns a list": (
        lambda: mistaken(forward=lambda self, x: [1.0]).apply(leaf(1)),
        TypeError,
        "Mistaken.forward must return an array, got list",
    ),
    "forward returns a Tensor": (
        lambda: mistaken(forward=lambda self, x: tn.Tensor(x)).apply(leaf(1)),
        TypeError,
        "Mistaken.forward must return an array, got Tensor",
    ),
    "two gradients for one input": (
        lambda: mistaken(backward=lambda self, gy: (gy, gy)).apply(leaf(1)).backward(),
        ValueError,
        "Mistaken.backward returned 2 gradients for 1 inputs",
    ),
    "a gradient of another shape": (
        lambda: mistaken(backward=lambda self, gy: gy.reshape(1, 1)).apply(leaf(1)).backward(),
        ValueError,
        r"Mistaken.backward returned shape \(1, 1\) as the gradient of input 0, "
        r"expected an array of shape \(1,\)",
    ),
    "a gradient that is a number": (
        lambda: mistaken(backward=lambda self, gy: 1.0).apply(leaf(1)).backward(),
        ValueError,
        "Mistaken.backward returned float as the gradient of input 0",
    ),
    "no forward": (
        lambda: type("Empty", (tn.Function,), {}).apply(leaf(1)),
        NotImplementedError,
        r"Empty must define forward\(self, \*inputs\)",
    ),
    "no backward": (
        lambda: (
            type("Blind", (tn.Function,), {"forward": lambda self, x: x * 1})
            .apply(leaf(1))
            .backward()
        ),
        NotImplementedError,
        r"Blind must define backward\(self, gy\)",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), WRONG_OPS.values(), ids=WRONG_OPS)
def test_mistakes_in_an_op_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


# walking back


def test_one_step_an_op_the_loss_first():
    x, w = leaf(1, 2), leaf(3, 4)
    loss = Scale.apply(Product.apply(x, w)).sum()
    names, gys, gxs = zip(
        *[(op.name, gy.tolist(), [g.tolist() for g in gxs]) for op, gy, gxs in tn.backprop(loss)],
        strict=True,
    )
    assert names == ("Sum", "Scale", "Product")
    assert gys == (1, [1, 1], [2, 2])
    assert gxs == ([[1, 1]], [[2, 2]], [[6, 8], [2, 4]])


def test_a_step_has_names_and_unpacks():
    (step,) = tn.backprop(Scale.apply(leaf(1)))
    assert isinstance(step, tn.Step)
    assert step.op.name == "Scale"
    assert step == (step.op, step.gy, step.gxs)
    assert backend.is_array(step.gy)


def test_ops_come_before_the_ops_that_made_their_inputs():
    x = leaf(1)
    a = Scale.apply(x)
    b = Scale.apply(a)
    c = Product.apply(a, b)
    d = Product.apply(b, c)
    order = [step.op for step in tn.backprop(Product.apply(d, a))]
    assert len(order) == 5
    place = {id(op): i for i, op in enumerate(order)}
    for op in order:
        for parent in op.parents:
            if isinstance(parent, tn.Function):
                assert place[id(op)] < place[id(parent)]


def test_the_walk_waits_for_its_reader():
    x = leaf(3)
    walk = tn.backprop(Scale.apply(Scale.apply(x)))
    assert x.grad is None
    next(walk)
    assert x.grad is None
    next(walk)
    assert x.grad.tolist() == [4]
    assert list(walk) == []


def test_breaking_off_half_way():
    x, w = leaf(1), leaf(10)
    y = Product.apply(Scale.apply(Product.apply(x, x)), w)
    for step in tn.backprop(y):
        if step.op.name == "Scale":
            break
    assert w.grad.tolist() == [2]  # what was reached has its gradient
    assert x.grad is None
    with pytest.raises(RuntimeError, match="freed"):  # and what was walked is used up
        y.backward()


def test_breaking_off_with_retain_graph_leaves_the_graph_whole():
    x = leaf(3)
    y = Product.apply(Scale.apply(x), x)
    next(tn.backprop(y, retain_graph=True))
    x.grad = None
    y.backward()
    assert x.grad.tolist() == [12]


def test_two_walks_at_a_time_over_one_graph_are_told_apart():
    x = leaf(3)
    y = Product.apply(x, x)
    first, second = tn.backprop(y), tn.backprop(y)
    list(first)
    with pytest.raises(RuntimeError, match="freed by an earlier backward"):
        list(second)


def test_an_error_in_backward_reaches_the_caller():
    def fail(self, gy):
        raise FloatingPointError("here")

    with pytest.raises(FloatingPointError, match="here"):
        mistaken(backward=fail).apply(leaf(1)).backward()


def test_saved_arrays_are_there_during_the_step_and_gone_after_it():
    x, w = leaf(1, 2), leaf(3, 4)
    y = Product.apply(Product.apply(x, w), w)
    ops = []
    for op, _, _ in tn.backprop(y, tn.ones(2)):
        assert len(op.saved) == 2
        assert all(before.saved == () for before in ops)
        ops.append(op)
    assert all(op.saved == () and op.freed for op in ops)


def test_a_nan_hunter_is_a_for_loop():
    def finite(array):
        return np.isfinite(host(array)).all()

    x = leaf(0.0, 1.0)
    loss = ((x * 2).log() * tn.tensor([0.0, 1.0])).sum()
    culprits = [
        op.name
        for op, gy, gxs in tn.backprop(loss)
        if finite(gy) and not all(gx is None or finite(gx) for gx in gxs)
    ]
    assert culprits == ["Log"]
