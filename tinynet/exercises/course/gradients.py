"""One weight, sums, products, and matrix products."""

import numpy as np

from tinynet.exercises.definition import Backward
from tinynet.exercises.exercise import exercise
from tinynet.ops.elementwise import Add, Multiply
from tinynet.ops.matmul import Linear, MatMul
from tinynet.optim.sgd import sgd


def numbers(rng, *shape):
    """Random numbers with one digit behind the point, none of them 0."""
    return rng.integers(1, 20, shape) / 10 * rng.choice([-1.0, 1.0], shape)


def _lines(rng):
    for count in (1, 3, 5):
        x, t = numbers(rng, count), numbers(rng, count)
        yield {"w": 0.5, "x": x, "t": t, "lr": 0.1}


def _one_step(inputs):
    slope = Backward("w", lambda w, x, t: ((w * x - t) ** 2).mean())
    w, (g,) = np.array(inputs["w"]), slope(inputs)
    sgd([w], [g], [None], [True], inputs["lr"], 0, 0, 0, False, False)
    return w


@exercise(
    title="One step of gradient descent",
    aim="""
    A model with a single weight says y[n] = w x[n], and should say t[n]. The loss is

        L = mean over n of (y[n] - t[n])**2

    Find its slope dL/dw, and take one step against it: the new w is w - lr dL/dw.""",
    gives="w",
    cases=_lines,
    reference=_one_step,
    hint="""By the chain rule, the slope of one square (w x - t)**2 with respect to w is
    2 (w x - t) x. The loss is their mean, so its slope is the mean of these.""",
    mistakes={
        "uphill": ("w - lr", "w + lr", "this step climbs: the slope points uphill; subtract it."),
        "sum": (".mean()", ".sum()", "this adds up the slopes; the loss is a mean, divide by N."),
        "no-two": ("2 * error", "error", "the factor 2 is missing: the slope of e**2 is 2 e."),
        "no-x": ("error * x", "error", "the factor x is missing: y moves by x when w moves by 1."),
        "no-lr": ("- lr *", "-", "this step has the length of the slope; multiply it by lr."),
    },
)
def descent_step(w, x, t, lr):
    """w, lr: numbers. x, t (N,): inputs and targets. Returns the new w, a number."""
    error = w * x - t
    slope = (2 * error * x).mean()
    return w - lr * slope


def _same_shapes(rng):
    for shape in ((3,), (2, 3), (4, 1, 2)):
        yield {name: numbers(rng, *shape) for name in ("gy", "a", "b")}


@exercise(
    title="The backward of a product",
    aim="""
    y = a b, element by element, for arrays of one shape. Given gy, the gradient of the loss with
    respect to y, find those with respect to a and to b.""",
    gives="ga gb",
    cases=_same_shapes,
    reference=Backward("a b", lambda a, b: Multiply.apply(a, b)),
    hint="""Hold b fixed: when a moves by 1, y moves by b, and the loss by gy for each unit of
    y. Rates multiply.""",
    mistakes={
        "swapped": (
            "gy * b, gy * a",
            "gy * a, gy * b",
            "each factor's own value is used; how fast y moves with a is b, the OTHER factor.",
        ),
        "no-gy": (
            "gy * b, gy * a",
            "b, a",
            "these are dy/da and dy/db; multiply by gy, which comes from the rest of the network.",
        ),
        "as-a-sum": (
            "gy * b, gy * a",
            "gy, gy",
            "this passes gy on unchanged, as a sum does; a product multiplies by the other factor.",
        ),
    },
)
def multiply_backward(gy, a, b):
    """gy, a, b: arrays of one shape. Returns ga, gb, of that shape."""
    return gy * b, gy * a


def _broadcasts(rng):
    shapes = ((2, 3), (3,)), ((2, 3), (2, 1)), ((3, 3), (1, 3)), ((1, 2), (3, 1)), ((2, 3), ())
    for a, b in (*shapes, ((2, 1, 3), (4, 1)), ((2, 3), (2, 3)), ((1, 3), (3,))):
        gy = numbers(rng, *np.broadcast_shapes(a, b))
        yield {"gy": gy, "a": numbers(rng, *a), "b": numbers(rng, *b)}


@exercise(
    title="The backward of a sum that broadcasts",
    aim="""
    y = a + b, where NumPy stretches axes of size 1 and adds missing axes in front, as in

        a (2, 3) + b (3,)   or   a (1, 2) + b (3, 1)

    An element that was used several times gets the sum of what comes back from all its uses. So ga
    and gb have the shapes of a and b.""",
    gives="ga gb",
    cases=_broadcasts,
    reference=Backward("a b", lambda a, b: Add.apply(a, b)),
    hint="""Compare gy.shape with a.shape from the right. Sum over the axes in front that a does not
    have, and over the axes where a has size 1, these with keepdims=True.""",
    mistakes={
        "no-sum": (
            "return fit(a.shape), fit(b.shape)",
            "return gy, gy",
            "the sum over the broadcast axes is forgotten: gy has y's shape, not the input's.",
        ),
        "first": (
            "g = g.sum(axis=0)",
            "g = g[0]",
            "the shape is right, but of the rows in front only the first is passed on: sum them.",
        ),
        "mean": (
            "g = g.sum(axis=axis",
            "g = g.mean(axis=axis",
            "this takes a mean over a stretched axis; gradients of several uses add up.",
        ),
        "only-in-front": (
            "if size == 1:",
            "if False:",
            "missing axes are summed, but an axis of size 1 that was stretched is not: sum it too.",
        ),
        "axis-0": (
            "return fit(a.shape), fit(b.shape)",
            "return tuple(gy if v.shape == gy.shape else gy.sum(axis=0) for v in (a, b))",
            "the sum is over axis 0 whatever the shapes; sum over the axes that were stretched.",
        ),
        "dropped": (
            "keepdims=True",
            "keepdims=False",
            "the sum drops the axis; keep it with size 1 (keepdims=True), as the input has it.",
        ),
    },
)
def add_backward(gy, a, b):
    """gy: of the shape of a + b. Returns ga of a's shape and gb of b's."""

    def fit(shape):
        g = gy
        while g.ndim > len(shape):
            g = g.sum(axis=0)
        for axis, size in reversed(list(enumerate(shape))):
            if size == 1:
                g = g.sum(axis=axis, keepdims=True)
        return g

    return fit(a.shape), fit(b.shape)


def _matrices(rng):
    for M, K, N in ((2, 2, 2), (1, 3, 2), (3, 1, 4), (4, 3, 2)):
        gy, a, b = numbers(rng, M, N), numbers(rng, M, K), numbers(rng, K, N)
        yield {"gy": gy, "a": a, "b": b}


@exercise(
    title="The backward of a matrix product",
    aim="""
    y = a @ b with a (M, K) and b (K, N), that is

        y[m,n] = sum over k of a[m,k] b[k,n]

    Find ga and gb from gy (M, N).""",
    gives="ga gb",
    cases=_matrices,
    reference=Backward("a b", lambda a, b: MatMul.apply(a, b)),
    hint="""a[m,k] meets b[k,n] on its way to y[m,n], for every n: ga[m,k] is the sum over n of
    gy[m,n] b[k,n]. Which product of matrices is that? The shapes leave one way only.""",
    mistakes={
        "ga-not-transposed": (
            "gy @ b.T",
            "gy @ b",
            "ga = gy @ b has no transpose: that sums over the wrong index of b, and fits squares "
            "only.",
        ),
        "gb-not-transposed": (
            "a.T @ gy",
            "a @ gy",
            "gb = a @ gy has no transpose: that sums over the wrong index of a, and fits squares "
            "only.",
        ),
        "order": (
            "gy @ b.T, a.T @ gy",
            "b.T @ gy, gy @ a.T",
            "the factors stand in the wrong order: b was on the right, so b^T stays on the right.",
        ),
        "elementwise": (
            "gy @ b.T, a.T @ gy",
            "gy * b, gy * a",
            "this is the backward of an elementwise product; here each element meets a whole row.",
        ),
    },
)
def matmul_backward(gy, a, b):
    """gy (M, N), a (M, K), b (K, N). Returns ga (M, K), gb (K, N)."""
    return gy @ b.T, a.T @ gy


def _layers(rng):
    for N, I, O in ((1, 2, 3), (4, 3, 2), (3, 3, 3)):
        gy, x, w = numbers(rng, N, O), numbers(rng, N, I), numbers(rng, O, I)
        yield {"gy": gy, "x": x, "w": w, "b": numbers(rng, O)}


@exercise(
    title="The backward of a linear layer",
    aim="""
    y = x @ w.T + b: N images with I features each, O outputs; each row of w belongs to one output.
    Find gx, gw and gb from gy (N, O).""",
    gives="gx gw gb",
    cases=_layers,
    reference=Backward("x w b", lambda x, w, b: Linear.apply(x, w, b)),
    hint="""gw[o,i] collects what all images say: the sum over n of gy[n,o] x[n,i]. b is added to
    each of the N rows. Let the shapes tell you where a transpose belongs.""",
    mistakes={
        "gb-not-summed": (
            "gy.sum(axis=0)",
            "gy",
            "b was added to each of the N rows: its gradient is the sum over them.",
        ),
        "gb-wrong-axis": (
            "gy.sum(axis=0)",
            "gy.sum(axis=1)",
            "gb sums over the outputs; sum over the images (axis 0): b has one number per output.",
        ),
        "gb-mean": (
            "gy.sum(axis=0)",
            "gy.mean(axis=0)",
            "gb is a mean over the images; if the loss takes a mean, gy has that factor already.",
        ),
        "gw-mean": (
            "gy.T @ x",
            "gy.T @ x / len(x)",
            "gw is divided by N; if the loss takes a mean, gy has that factor already.",
        ),
        "gw-transposed": (
            "gy.T @ x",
            "x.T @ gy",
            "this gw has the shape (I, O) of w.T; w is (O, I), one row per output.",
        ),
        "gx-transposed": (
            "gy @ w,",
            "gy @ w.T,",
            "forward multiplies by w.T, so the way back multiplies by w itself.",
        ),
    },
)
def linear_backward(gy, x, w):
    """gy (N, O), x (N, I), w (O, I). Returns gx (N, I), gw (O, I), gb (O,)."""
    return gy @ w, gy.T @ x, gy.sum(axis=0)
