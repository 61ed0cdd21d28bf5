"""What an op saved and somebody changed since: backward gives the right gradients or a sentence.

Every op of test_autograd_every_op.CASES, each of its inputs, its result, every way to change them.
"""

import numpy as np
import pytest
from test_autograd_every_op import CASES, cotangent, ops_under

import tinynet as tn
import tinynet.nn as nn
import tinynet.nn.functional as F

STALE = "saved for its gradient has been changed in place"


def quietly(change):
    def wrapped(x):
        with tn.no_grad():
            change(x)

    return wrapped


def first_of(x):
    return x[(0,) * x.ndim]


def assign_first(x):
    x[(0,) * x.ndim] = 7.5


def iadd(x):
    x += 2


def step(x):
    x.grad = tn.ones_like(x)
    tn.optim.SGD([x], lr=0.3).step()


def adam(x):
    x.grad = tn.ones_like(x)
    tn.optim.Adam([x], lr=0.3).step()


def load(x):
    holder = nn.Module()
    holder.register_parameter("x", x)
    holder.load_state_dict({"x": x.numpy() + 2})


LEAF_CHANGES = {
    "add_": quietly(lambda x: x.add_(2)),
    "mul_": quietly(lambda x: x.mul_(1.5)),
    "+=": quietly(iadd),
    "copy_": quietly(lambda x: x.copy_(x.numpy() + 2)),
    "fill_": quietly(lambda x: x.fill_(1.25)),
    "normal_": quietly(lambda x: x.normal_()),
    "assignment": quietly(assign_first),
    "relu": quietly(lambda x: F.relu6(x, inplace=True)),
    "a view": quietly(lambda x: x.view(-1)[-1:].add_(2)),
    "a view of a view": quietly(lambda x: x.view(1, -1).T[0].fill_(3)),
    "an element": quietly(lambda x: first_of(x).add_(2)),
    "data": lambda x: x.data.add_(2),
    "a view of data": lambda x: x.data.view(-1)[:1].add_(2),
    "detach": lambda x: x.detach().copy_(x.numpy() + 2),
    "SGD": step,
    "Adam": adam,
    "load_state_dict": load,
}
RECORDED_CHANGES = {
    "add_": lambda x: x.add_(2),
    "mul_": lambda x: x.mul_(1.5),
    "+=": iadd,
    "clip_": lambda x: x.clip_(-0.1, 0.1),
    "relu": lambda x: F.relu(x, inplace=True),
    "a view": lambda x: x.view(-1)[-1:].mul_(2),
    "an element": lambda x: first_of(x).add_(2),
}


def leaves_of(case):
    return [nn.Parameter(np.array(array, np.float64)) for array in case[1:]]


def expected(case, cast=lambda x: x):
    """The gradients if nothing changes."""
    leaves = leaves_of(case)
    y = case[0](*map(cast, leaves))
    y.backward(cotangent(y))
    return [x.grad.numpy() for x in leaves]


def right_or_refused(y, gradient, leaves, gradients):
    """'right' or 'refused'; fails for anything else, for gradients given by halves too."""
    for x in leaves:
        x.grad = None
    try:
        y.backward(gradient)
    except RuntimeError as error:
        assert STALE in str(error), error
        assert all(x.grad is None for x in leaves), "refused, but only after some gradients"
        return "refused"
    for x, right in zip(leaves, gradients, strict=True):
        np.testing.assert_allclose(x.grad, right, rtol=1e-9, atol=1e-12)
    return "right"


every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@every_case
def test_a_leaf_that_changed(case):
    gradients, refused, saved = expected(case), 0, False
    for change in LEAF_CHANGES.values():
        for i in range(len(case) - 1):
            leaves = leaves_of(case)
            y = case[0](*leaves)
            gradient, saved = cotangent(y), any(op.saved for op in ops_under(y))
            change(leaves[i])
            refused += right_or_refused(y, gradient, leaves, gradients) == "refused"
    assert saved or not refused
    # of one input: whatever the way to change it, it is noticed or does not matter
    assert refused in (0, len(LEAF_CHANGES)) or len(case) > 2


@every_case
def test_an_intermediate_that_changed(case):
    """Inputs made by an op, changed by recorded ops after the case has used them."""
    gradients = expected(case)
    for name, change in {**RECORDED_CHANGES, "data": LEAF_CHANGES["data"]}.items():
        for i in range(len(case) - 1):
            leaves = leaves_of(case)
            inputs = [x + 0 for x in leaves]
            y = case[0](*inputs)
            if np.shares_memory(y.numpy(), inputs[i].numpy()):
                continue  # a view changes too, and its gradient flows through the change
            gradient = cotangent(y)
            change(inputs[i])
            assert right_or_refused(y, gradient, leaves, gradients) in ("right", "refused"), name


@every_case
def test_a_result_that_changed(case):
    """Outside the graph: what the op saved of its result is no longer the result."""
    gradients = expected(case)
    for name in ("add_", "assignment", "a view", "data", "detach", "relu"):
        leaves = leaves_of(case)
        y = case[0](*leaves)
        gradient = cotangent(y)
        if y.array.flags.writeable:
            LEAF_CHANGES[name](y)
            right_or_refused(y, gradient, leaves, gradients)


@every_case
def test_a_gradient_that_is_changed_afterwards_is_nobody_elses(case):
    """What backward leaves in .grad may be written to: no other gradient changes with it."""
    leaves = leaves_of(case)
    y = case[0](*leaves)
    gradient = cotangent(y)
    y.backward(gradient)
    for i, x in enumerate(leaves):
        others = [gradient, *(other.grad for j, other in enumerate(leaves) if j != i), *leaves]
        before = [other.numpy().copy() for other in others]
        x.grad.fill_(3)
        for other, was in zip(others, before, strict=True):
            np.testing.assert_array_equal(other.numpy(), was)


# what is no input of the op's but given beside it


def gradient_of(function, change, *things):
    """The gradient through `function(x, *things)`, the things changed before backward."""
    x = tn.Tensor(np.random.default_rng(2).standard_normal((3, 4)), requires_grad=True)
    y = function(x, *things)
    gradient = cotangent(y)
    change(*things)
    try:
        y.backward(gradient)
    except RuntimeError as error:
        assert STALE in str(error)
        return None
    return x.grad.numpy()


def other_number(thing):
    if isinstance(thing, list):
        thing[0] = 1
    else:
        thing[...] = 1


BESIDE = {
    "index array": (lambda x, i: x[i], lambda: np.array([2, 0, 2])),
    "index tensor": (lambda x, i: x[i], lambda: tn.tensor([2, 0, 2])),
    "index list": (lambda x, i: x[i], lambda: [2, 0, 2]),
    "index of columns": (lambda x, i: x[:, i], lambda: np.array([[3, 0], [0, 3]])),
    "mask": (lambda x, m: x[m], lambda: np.array([True, False, False])),
    "mask tensor": (lambda x, m: x[m], lambda: tn.tensor([[False] * 4, [True] * 4, [False] * 4])),
    "labels": (lambda x, t: F.cross_entropy(x, t), lambda: tn.tensor([2, 0, 3])),
    "labels in an array": (
        lambda x, t: F.cross_entropy(x, tn.from_numpy(t)),
        lambda: np.array([2, 0, 3]),
    ),
    "probabilities": (
        lambda x, t: F.cross_entropy(x, t),
        lambda: tn.full((3, 4), 0.25, dtype=np.float64),
    ),
    "class weights": (
        lambda x, w: F.cross_entropy(x, tn.tensor([2, 0, 3]), w),
        lambda: tn.tensor([0.5, 1, 2, 3.0], dtype=np.float64),
    ),
    "factor array": (lambda x, f: x * f, lambda: np.array([1.0, 2, 3, 4])),
    "factor tensor": (lambda x, f: x * f, lambda: tn.tensor([1.0, 2, 3, 4], dtype=np.float64)),
    "matrix": (lambda x, w: x @ w, lambda: np.full((4, 2), 3.0)),
    "divisor": (lambda x, d: x / d, lambda: np.array([2.0, 3, 4, 5])),
}


@pytest.mark.parametrize("name", BESIDE)
def test_what_is_given_beside_the_inputs(name):
    function, make = BESIDE[name]
    right = gradient_of(function, lambda thing: None, make())
    assert right is not None
    found = gradient_of(function, other_number, make())
    if found is not None:
        np.testing.assert_array_equal(found, right)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ["running_mean", "running_var", "weight", "bias"])
@pytest.mark.parametrize(
    "way", ["fill_", "load_state_dict", "a training step", "reset_running_stats"]
)
def test_batch_norm_whose_state_changed(plain, training, name, way):
    rng = np.random.default_rng(0)
    given = rng.standard_normal((9, 3, 2, 2))
    results = []
    state = {n: rng.uniform(1, 2, 3) for n in ("running_mean", "running_var", "weight", "bias")}
    for changes in (False, True):
        layer = nn.BatchNorm2d(3, dtype=np.float64).train(training)
        layer.load_state_dict(state, strict=False)
        x = tn.Tensor(given.copy(), requires_grad=True)
        with tn.plain() if plain else tn.enable_grad():
            y = layer(x)
            if changes and way == "fill_":
                getattr(layer, name).data.fill_(5)
            elif changes and way == "load_state_dict":
                layer.load_state_dict({name: np.full(3, 5.0)}, strict=False)
            elif changes and way == "a training step":
                layer.train()(tn.Tensor(given + 5))
            elif changes:
                layer.reset_running_stats()
            try:
                y.backward(cotangent(y))
            except RuntimeError as error:
                assert STALE in str(error)
                return
        results.append([t.grad.numpy() for t in (x, layer.weight, layer.bias)])
    for right, found in zip(*results, strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-9, atol=1e-12)


def test_fresh_again_after_another_forward():
    """The refusal goes with the graph, not with the tensor."""
    w = tn.tensor([1.0, 2.0], requires_grad=True)
    y = (w * w).sum()
    w.data.add_(1)
    with pytest.raises(RuntimeError, match=f"Multiply {STALE}"):
        y.backward()
    (w * w).sum().backward()
    assert w.grad.tolist() == [4, 6]


def test_a_walk_that_changes_what_is_still_to_come():
    """Refused at the op that it concerns, whatever the walk has done before."""
    w = tn.tensor([1.0, 2.0], requires_grad=True)
    y = (w * w * 3).sum()
    with pytest.raises(RuntimeError, match=f"Multiply {STALE}"):
        for op, _, _ in tn.backprop(y):
            if op.name == "Sum":
                w.data.add_(1)
    assert w.grad is None


def test_data_replaced():
    """A new array for w: the graph keeps the old one, whole."""
    w = tn.tensor([1.0, 2.0], requires_grad=True)
    y = (w * w).sum()
    w.data = tn.tensor([5.0, 5.0])
    y.backward()
    assert w.grad.tolist() == [2, 4]
