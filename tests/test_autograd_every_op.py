"""Every op of the engine: its gradient against finite differences, and the tape's contract.

CASES must reach every Function that tinynet defines: a new op without a case fails here.
"""

import importlib
import pkgutil

import numpy as np
import pytest
from helpers import host, shares_memory

import tinynet as tn
import tinynet.nn.functional as F
from tinynet.gradcheck import gradcheck
from tinynet.ops.elementwise import Cast, Transfer


def normal(*shape):
    return np.random.default_rng(len(shape) + 7 * sum(shape)).standard_normal(shape)


def spaced(*shape, low=-3.0, high=3.0):
    """Shuffled values, all different and none at a kink (0, 6 or an equal neighbour)."""
    size = int(np.prod(shape))
    values = low + (high - low) * (np.arange(size) + 0.37) / size
    return np.random.default_rng(size).permutation(values).reshape(shape)


def positive(*shape):
    return np.exp(normal(*shape) / 2)


def batch_norm(training):
    def apply(x, weight, bias):
        mean, var = tn.Tensor(np.array([0.3, -0.2], x.dtype)), tn.Tensor(np.ones(2, x.dtype))
        return F.batch_norm(x, mean, var, weight, bias, training=training)

    return apply


def conv(**options):
    return lambda x, weight, bias=None: F.conv2d(x, weight, bias, **options)


def written(a, b):
    y = a * 2
    y[0, 1:].mul_(b)
    return y


REPEATED = (np.array([0, 2, 2, 0]), np.array([1, 1, 1, 3]))
CONDITION = np.arange(12).reshape(3, 4) % 3 > 0
LABELS = [2, 0, 3]
DISTRIBUTION = np.full((3, 4), 0.25)

CASES = {
    "add": (lambda a, b: a + b, normal(3, 4), normal(4)),
    "add one tensor to itself": (lambda a: a + a, normal(3)),
    "subtract": (lambda a, b: a - b, normal(3, 1), normal(2, 1, 4)),
    "multiply": (lambda a, b: a * b, normal(3, 4), normal(3, 1)),
    "multiply 0 axes": (lambda a, b: a * b, normal(), normal()),
    "divide": (lambda a, b: a / b, normal(4), positive(3, 4)),
    "remainder": (lambda a, b: a % b, spaced(3, 4, low=-9, high=9), np.array([2.0, -1.7, 5, 0.9])),
    "power of tensors": (lambda a, b: a**b, positive(3, 4), normal(4)),
    "power of negatives": (lambda a: a**3, normal(5)),
    "number to the power": (lambda a: 2.5**a, normal(5)),
    "maximum": (lambda a, b: a.maximum(b), spaced(3, 4), spaced(4) + 0.01),
    "minimum": (lambda a, b: a.minimum(b), spaced(3, 4), spaced(4) + 0.01),
    "where": (lambda a, b: a.where(tn.Tensor(CONDITION), b), normal(3, 1), normal(4)),
    "negate": (lambda a: -a, normal(3)),
    "exp": (lambda a: a.exp(), normal(3)),
    "log": (lambda a: a.log(), positive(3)),
    "sqrt": (lambda a: a.sqrt(), positive(3)),
    "sigmoid": (lambda a: a.sigmoid(), normal(5)),
    "tanh": (lambda a: a.tanh(), normal(5)),
    "abs": (abs, spaced(6)),
    "round": (lambda a: a.round() * a, spaced(6)),
    "clip": (lambda a: a.clip(-1, 2), spaced(12)),
    "clip one side": (lambda a: a.clip(max=0.5), spaced(12)),
    "sum": (lambda a: a.sum(1), normal(2, 3, 4)),
    "sum of all": (lambda a: a.sum(), normal(2, 3)),
    "mean": (lambda a: a.mean((0, -1), keepdim=True), normal(2, 3, 4)),
    "var": (lambda a: a.var(1), normal(2, 5)),
    "std": (lambda a: a.std(0, correction=0), normal(5, 2)),
    "amax": (lambda a: a.amax((0, 2)), spaced(2, 3, 4)),
    "amin": (lambda a: a.amin(), spaced(2, 3)),
    "max along": (lambda a: a.max(1).values, spaced(2, 3, 4)),
    "min along": (lambda a: a.min(-1, keepdim=True).values, spaced(2, 3)),
    "topk": (lambda a: a.topk(2, 1).values, spaced(2, 3, 4)),
    "gather": (lambda a: a.gather(0, tn.tensor([[2, 2], [0, 1]])), normal(3, 4)),
    "norm": (lambda a: a.norm(dim=1), normal(3, 4)),
    "matmul": (lambda a, b: a @ b, normal(3, 4), normal(4, 2)),
    "matmul of square matrices": (lambda a, b: a @ b, normal(3, 3), normal(3, 3)),
    "matmul vectors": (lambda a, b: a @ b, normal(4), normal(4)),
    "matmul row": (lambda a, b: a @ b, normal(4), normal(2, 4, 3)),
    "matmul column": (lambda a, b: a @ b, normal(2, 3, 4), normal(4)),
    "matmul batches": (lambda a, b: a @ b, normal(2, 1, 3, 4), normal(5, 4, 2)),
    "reshape": (lambda a: a.reshape(4, -1), normal(2, 3, 2)),
    "permute": (lambda a: a.permute(2, 0, 1), normal(2, 3, 4)),
    "expand": (lambda a: a.expand(4, 3, 2), normal(3, 1)),
    "slice": (lambda a: a[1:, ::2], normal(3, 5)),
    "negative step": (lambda a: a[::-2], normal(5)),
    "repeated index": (lambda a: a[REPEATED], normal(3, 4)),
    "mask": (lambda a: a[np.array([True, False, True])], normal(3, 2)),
    "cat": (lambda a, b: tn.cat([a, b, a], 1), normal(2, 3), normal(2, 1)),
    "stack": (lambda a, b: tn.stack([a, b], -1), normal(2, 3), normal(2, 3)),
    "write into a view": (written, normal(3, 4), normal(3)),
    "cast": (lambda a: Cast.apply(a, dtype=a.dtype), normal(3)),
    "transfer": (lambda a: Transfer.apply(a, device="cpu") * 2, normal(3)),
    "relu": (F.relu, spaced(20)),
    "relu6": (F.relu6, spaced(40, low=-4.0, high=10.0)),
    "leaky_relu": (lambda a: F.leaky_relu(a, 0.3), spaced(20)),
    "elu": (lambda a: F.elu(a, 0.7), spaced(20)),
    "softplus": (lambda a: F.softplus(a, 1.5, 4.0), spaced(20)),
    "gelu": (F.gelu, spaced(20)),
    "batch norm, training": (batch_norm(True), normal(3, 2, 2, 2), positive(2), normal(2)),
    "batch norm, evaluation": (batch_norm(False), normal(3, 2, 2, 2), positive(2), normal(2)),
    "conv": (conv(padding=1), normal(2, 2, 4, 3), normal(3, 2, 3, 3), normal(3)),
    "conv in groups": (
        conv(stride=2, padding=1, dilation=2, groups=2),
        normal(2, 4, 6, 5),
        normal(4, 2, 2, 2),
    ),
    "pointwise": (conv(), normal(2, 3, 2, 2), normal(4, 3, 1, 1)),
    "depthwise, few images": (
        conv(stride=2, padding=1, groups=2),
        normal(2, 2, 5, 4),
        normal(2, 1, 3, 3),
        normal(2),
    ),
    "depthwise, many images": (
        conv(stride=2, padding=1, groups=2),
        normal(9, 2, 4, 3),
        normal(2, 1, 3, 3),
        normal(2),
    ),
    "depthwise, two filters per channel": (
        conv(padding=1, groups=2),
        normal(9, 2, 3, 3),
        normal(4, 1, 3, 3),
    ),
    "linear": (F.linear, normal(2, 3, 4), normal(5, 4), normal(5)),
    "softmax": (lambda a: F.softmax(a, 1), normal(3, 4)),
    "log_softmax": (lambda a: F.log_softmax(a, 0), normal(3, 4)),
    "cross-entropy of labels": (
        lambda a: F.cross_entropy(a, tn.tensor(LABELS), label_smoothing=0.1, reduction="none"),
        normal(3, 4),
    ),
    "cross-entropy of probabilities": (
        lambda a: F.cross_entropy(a, tn.tensor(DISTRIBUTION, dtype=a.dtype)),
        normal(3, 4),
    ),
    "binary cross-entropy": (
        lambda a, t: F.binary_cross_entropy(a, t, reduction="none"),
        spaced(5, low=0.1, high=0.9),
        spaced(5, low=0.0, high=1.0),
    ),
    "pad": (lambda a: F.pad(a, (1, 2, 0, 1), value=3.0), normal(2, 1, 2, 2)),
    "average pool": (lambda a: F.avg_pool2d(a, 3, 2, 1), normal(2, 1, 5, 4)),
    "adaptive average pool": (lambda a: F.adaptive_avg_pool2d(a, (2, 3)), normal(2, 1, 5, 4)),
    "max pool": (lambda a: F.max_pool2d(a, 3, 2, 1), spaced(2, 1, 5, 4)),
}

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def ops_under(tensor):
    """All ops that `tensor` was computed by."""
    found, waiting = {}, [tensor.grad_fn]
    while waiting:
        op = waiting.pop()
        if isinstance(op, tn.Function) and id(op) not in found:
            found[id(op)] = op
            waiting.extend(op.parents)
    return list(found.values())


def run(case, dtype=np.float64, wanted=None):
    """The result of a case and its inputs, of which those numbered in `wanted` get gradients."""
    fn, *arrays = case
    inputs = [
        tn.Tensor(np.asarray(array, dtype), requires_grad=wanted is None or i in wanted)
        for i, array in enumerate(arrays)
    ]
    return fn(*inputs), inputs


def cotangent(y):
    return tn.Tensor(np.random.default_rng(3).standard_normal(y.shape).astype(y.dtype))


ELSEWHERE = (  # ops whose tests are test_fast_* and test_stepper_lessons
    "tinynet.fast.",
    "tinynet.stepper.lessons.",
)


def defined_ops(base=tn.Function):
    for op in base.__subclasses__():
        if op.__module__.startswith("tinynet.") and not op.__module__.startswith(ELSEWHERE):
            yield op
        yield from defined_ops(op)


def definition(op):
    """The class that an op is by its definition, whatever computes it."""
    return next(c for c in type(op).__mro__ if not c.__module__.startswith("tinynet.fast."))


@pytest.mark.cpu_only  # about CASES
def test_every_op_has_a_case():
    for module in pkgutil.walk_packages(tn.__path__, "tinynet."):
        importlib.import_module(module.name)
    reached = {definition(op) for case in CASES.values() for op in ops_under(run(case)[0])}
    missing = {op.__qualname__ for op in defined_ops() if op not in reached}
    assert not missing, f"give these ops a case in CASES: {sorted(missing)}"


@every_case
def test_gradient_agrees_with_finite_differences(case):
    fn, *arrays = case
    assert gradcheck(fn, [tn.Tensor(np.asarray(array)) for array in arrays])


@every_case
def test_float32_stays_float32_inside_too(case):
    y, inputs = run(case, np.float32)
    assert y.dtype == np.float32
    returned = []

    def watched(backward):
        def wrapper(gy):
            gxs = backward(gy)
            returned.extend(gxs if isinstance(gxs, tuple) else (gxs,))
            return gxs

        return wrapper

    for op in ops_under(y):
        if not isinstance(op, Cast):
            op.backward = watched(op.backward)
    y.backward(cotangent(y))
    assert {gx.dtype for gx in returned if gx is not None} <= {np.dtype(np.float32)}
    assert all(x.grad.dtype == np.float32 for x in inputs)


@every_case
def test_backward_never_writes_into_gy(case):
    y, _ = run(case)

    def frozen(backward):
        def wrapper(gy):
            before = host(gy).copy()
            if isinstance(gy, np.ndarray):
                gy = gy.view()
                gy.flags.writeable = False  # NumPy raises at a write
            gxs = backward(gy)
            np.testing.assert_array_equal(host(gy), before)
            return gxs

        return wrapper

    for op in ops_under(y):
        op.backward = frozen(op.backward)
    for _ in tn.backprop(y, cotangent(y)):
        pass


@every_case
def test_with_nobody_watching_the_gradients_are_the_same(case):
    """Then ops may write over gy, but not over the caller's, nor over what they saved."""
    y, inputs = run(case)
    gradient = cotangent(y)
    before = gradient.numpy().copy()
    for _ in tn.backprop(y, gradient, retain_graph=True):
        pass
    watched = [x.grad.numpy().copy() for x in inputs]
    for _ in range(2):
        for x in inputs:
            x.grad = None
        y.backward(gradient, retain_graph=True)
        for x, expected in zip(inputs, watched, strict=True):
            np.testing.assert_array_equal(x.grad.numpy(), expected)
    np.testing.assert_array_equal(gradient.numpy(), before)


@every_case
def test_gradients_can_be_added_to(case):
    y, inputs = run(case)
    y.backward(cotangent(y), retain_graph=True)
    once = [x.grad.numpy().copy() for x in inputs]
    y.backward(cotangent(y), retain_graph=True)
    for x, gradient in zip(inputs, once, strict=True):
        np.testing.assert_allclose(x.grad.numpy(), 2 * gradient, rtol=1e-12, atol=1e-12)
        assert not shares_memory(x.grad.array, x.array)
    for i, x in enumerate(inputs):
        assert not any(shares_memory(x.grad.array, other.grad.array) for other in inputs[:i])


@every_case
def test_one_input_alone_gets_the_same_gradient(case):
    y, inputs = run(case)
    y.backward(cotangent(y))
    for i, x in enumerate(inputs):
        alone_y, alone = run(case, wanted={i})
        np.testing.assert_array_equal(alone_y.numpy(), y.numpy())
        alone_y.backward(cotangent(y))
        np.testing.assert_allclose(alone[i].grad, x.grad, rtol=1e-12, atol=1e-12)
        assert all(other.grad is None for j, other in enumerate(alone) if j != i)


@every_case
def test_nothing_is_saved_where_nothing_is_recorded(case):
    with tn.no_grad():
        y, _ = run(case)
    assert y.grad_fn is None
    assert not y.requires_grad
    np.testing.assert_array_equal(y.numpy(), run(case)[0].numpy())
