"""The chain rule term by term, and gradients checked by finite differences.

Everything here is computed anew in float64 from the recorded inputs, by the definitions of the same
ops with the same options, so that nothing of the user's graph is touched.
"""

import functools
from typing import NamedTuple

import numpy as np

from tinynet import backend
from tinynet.autograd.tape import unbroadcast

ROUNDING = 1e-3  # relative: of a difference against a derivative
STEPS = (1e-6, 1e-5, 1e-4, 1e-3)  # tried one after the other where 1e-7 does not settle it


class Term(NamedTuple):
    """One summand of the chain rule, gy[index] * slope: `slope` is dy[index] / dx[...]."""

    index: tuple
    gy: float
    slope: float

    @property
    def value(self):
        return self.gy * self.slope


class Terms(NamedTuple):
    """gx at one element: the largest `terms`, how many there are in all, and the sum of all."""

    terms: list
    count: int
    total: float


class Products(NamedTuple):
    """One output of an op as a sum: the largest `terms` (index, slope, value of the input), how
    many there are in all, the `constant` that is left (a bias), and the `total`."""

    terms: list
    count: int
    constant: float
    total: float


class Check(NamedTuple):
    """An element of a gradient beside its finite difference. left, right: the slopes to either
    side. error: relative to the larger of the two. verdict: 'agrees'; 'rounding' where they are
    apart by less than the rounding of the loss (`noise`), which settles nothing; 'kink', 'rounded'
    (float64 agrees with the difference), 'nan' or 'wrong'. reason: a sentence, '' if they agree."""

    gradient: float
    difference: float
    left: float
    right: float
    error: float
    noise: float
    verdict: str
    reason: str


class Replay:
    """The recorded graph of a trace, in float64.

    Raises ValueError for a trace whose graph was not made inside `stepper.record()`.
    """

    def __init__(self, trace):
        if not trace.recorded:
            raise ValueError(
                "stepper: the values of this graph were not recorded; compute the loss inside "
                "`with stepper.record():`"
            )
        self.trace = trace
        self.values = {}
        for node in trace.nodes:
            if node.op is None:
                self.values[node.number] = _float64(node.value)
            else:
                self.values[node.number] = self.run(node, self.values)[1]

    @np.errstate(all="ignore")
    def run(self, node, values, inputs=None, needs=None):
        """A fresh op like the node's on `values` (or on `inputs`), and its result."""
        options = {name: _float64(option) for name, option in node.options.items()}
        op = node.op.definition(**options)
        op.needs = needs or node.op.needs
        op.input_shapes, op.output_shape = node.op.input_shapes, node.op.output_shape
        op.input_dtypes = tuple(np.dtype(np.float64) for _ in node.inputs)
        y = op.forward(*(inputs or [values[i] for i in node.inputs]))
        return op, np.asarray(backend.to_device(y, "cpu"))

    def loss(self, number, value):
        """The loss (times its own gradient) if the node `number` had this value."""
        values = {number: value}
        for node in self.trace.nodes[number + 1 :]:
            if any(i in values for i in node.inputs):
                inputs = [values.get(i, self.values[i]) for i in node.inputs]
                values[node.number] = self.run(node, None, inputs)[1]
        return self._weighted(values.get(self.trace.loss.number))

    def _weighted(self, y=None):
        y = self.values[self.trace.loss.number] if y is None else y
        return float((y * self.trace.loss_gradient).sum())

    def finite_difference(self, number, index):
        """d loss / d value[index] of a node, by the two losses a little to either side."""
        return sum(self.one_sided_differences(number, index)) / 2

    @np.errstate(all="ignore")
    def one_sided_differences(self, number, index, step=1e-7):
        """The slope of the loss to the left of value[index], and that to the right."""
        value = self.values[number]
        eps = step * max(1.0, abs(float(value[index])))
        slopes = []
        for move in (-eps, eps):
            moved = value.copy()
            moved[index] += move
            slopes.append((self.loss(number, moved) - self._weighted()) / move)
        return tuple(slopes)

    @np.errstate(all="ignore")
    def check(self, number, index):
        """The Check of an element of a node's complete gradient, judged by its own size."""
        exact = float(self.trace.gradients[number][index])
        value = self.values[number]
        left, right = self.one_sided_differences(number, index)
        best, at = (left + right) / 2, 1e-7
        if not relative_error(exact, best) <= ROUNDING:
            change = np.inf  # the step from which the difference hardly changes is the best one
            last = best
            for step in STEPS:
                middle = sum(self.one_sided_differences(number, index, step)) / 2
                if abs(middle - last) < change:
                    change, best, at = abs(middle - last), middle, step
                last = middle
        noise = float(self._rounding[number] / (at * max(1.0, abs(float(value[index])))))
        error = relative_error(exact, best)
        verdict, reason = self._judge(number, index, exact, best, (left, right), noise)
        return Check(exact, best, left, right, error, noise, verdict, reason)

    def _judge(self, number, index, exact, difference, sides, noise):
        if relative_error(exact, difference) <= ROUNDING:
            return "agrees", ""
        if not np.isfinite([exact, difference]).all():
            what = "the loss near here" if np.isfinite(exact) else "the gradient here"
            what = what if np.isfinite(self._weighted()) else "the loss itself"
            return "nan", f"{what} is NaN or infinite, so there is nothing to compare"
        if abs(exact - difference) <= noise:
            return "rounding", f"the loss rounds, which hides slopes below {noise:.1g}"
        precise = float(self.gradients[number][index])
        if relative_error(exact, precise) > ROUNDING and self.trace.loss.dtype != np.float64:
            return "rounded", f"in float64 backprop gives {precise + 0.0:.6g}: {self._why_rounded}"
        slopes = "slope {:.6g} to the left, {:.6g} to the right: ".format(*(s + 0.0 for s in sides))
        if self._is_kink(number, index, sides):
            return "kink", slopes + "a kink, where no derivative exists and the op chooses one"
        return "wrong", (
            slopes + "no kink, so one of the backward methods between here and the loss is wrong"
        )

    def _is_kink(self, number, index, sides):
        """Whether the slopes to either side differ, and by no less when one looks closer: what
        differs by the curve alone does."""
        apart = abs(sides[0] - sides[1])
        wider = self.one_sided_differences(number, index, 1e-6)
        noise = 4e7 * self._rounding[number] / max(1.0, abs(float(self.values[number][index])))
        curved = apart < 0.5 * abs(wider[0] - wider[1])
        return relative_error(*sides) > ROUNDING and apart > noise and not curved

    @functools.cached_property
    def _rounding(self):
        """{node: how far the rounding of all that is computed after it may move the loss}: each
        value rounds by its last bit, and moves the loss by that times its gradient."""
        total, found = 0.0, {}
        for node in reversed(self.trace.nodes):
            found[node.number] = total
            gradient = self.trace.gradients.get(node.number)
            if gradient is not None:
                sizes = np.abs(self.values[node.number] * np.asarray(gradient, np.float64))
                total += 2.0**-52 * float(sizes[np.isfinite(sizes)].sum())
        return found

    @functools.cached_property
    @np.errstate(all="ignore")
    def gradients(self):
        """{node number: its gradient} by the same backward methods, but in float64."""
        loss = self.trace.loss.number
        sums = {loss: np.asarray(self.trace.loss_gradient, np.float64)}
        self._crossed = None  # (node, how many elements of its gradient): kinks between dtypes
        for step in self.trace.steps:
            gy = sums[step.node.number]
            gxs = self._backward(step.node, gy)
            for i, (target, sent) in enumerate(zip(step.node.inputs, step.gxs, strict=True)):
                if sent is None:
                    continue
                gx = gxs[i]
                sums[target] = sums[target] + gx if target in sums else gx
                apart = ((gx == 0) != (sent == 0)) & (
                    np.abs(gx - sent) > ROUNDING * np.abs(gy).max()
                )
                if self._crossed is None and apart.any():
                    self._crossed = step.node, int(apart.sum())
        return sums

    @property
    def _why_rounded(self):
        dtype = self.trace.loss.dtype
        if self._crossed is None:
            return f"{dtype} rounds that much"
        node, count = self._crossed
        where = f" in {node.path}" if node.path else ""
        these = f"{count:,} elements lie" if count > 1 else "an element lies"
        return f"at {node.title}{where} {these} on the other side of a kink in {dtype}"

    @np.errstate(all="ignore")
    def terms(self, step, i, index, most=6):
        """The chain rule for one element of a step's gradient to input `i`: which outputs move
        with that element, how steeply, and what gradient comes back from each."""
        node = step.node
        inputs = [self.values[number].copy() for number in node.inputs]
        eps = 1e-4 * max(1.0, abs(float(inputs[i][index])))
        results = []
        for sign in (1, -1):
            moved = inputs[i].copy()
            moved[index] += sign * eps
            results.append(self.run(node, None, [*inputs[:i], moved, *inputs[i + 1 :]])[1])
        slopes = (results[0] - results[1]) / (2 * eps)
        gy = np.asarray(step.gy, np.float64)
        moves = np.abs(slopes) > 1e-9 * np.abs(slopes).max(initial=0)
        reached = np.argwhere(moves)
        sizes = np.abs(slopes * gy)[moves]
        order = np.argsort(-sizes, kind="stable")
        terms = []
        for k in reached[order[:most]]:
            k = tuple(map(int, k))
            terms.append(Term(k, float(gy[k]), self._slope(node, i, index, k)))
        return Terms(terms, len(reached), float(self._backward(node, gy)[i][index]))

    @np.errstate(all="ignore")
    def products(self, node, k, most=6):
        """y[k] of an op as a sum of slopes times elements of its first input, plus a constant:
        None for an op that is no such sum (whose slopes depend on that input)."""
        one = np.zeros(node.shape)
        one[k] = 1
        needs = tuple(i == 0 for i in range(len(node.inputs)))
        slopes = self._backward(node, one, needs)[0]
        values = [self.values[number] for number in node.inputs]
        zero = self.run(node, None, [np.zeros_like(values[0]), *values[1:]])[1]
        products, constant = slopes * values[0], float(zero[k])
        total = float(self.values[node.number][k])
        if not np.isclose(products.sum() + constant, total, 1e-9, 1e-12, equal_nan=True):
            return None
        places = np.argwhere(slopes != 0)
        order = np.argsort(-np.abs(products[tuple(places.T)]), kind="stable")
        terms = []
        for place in places[order[:most]]:
            place = tuple(map(int, place))
            terms.append((place, float(slopes[place]), float(values[0][place])))
        return Products(terms, len(places), constant, total)

    def _slope(self, node, i, index, k):
        """dy[k] / dx[index], exactly: backward of a gradient that is 1 at k and 0 elsewhere."""
        one = np.zeros(node.shape)
        one[k] = 1
        return float(self._backward(node, one)[i][index])

    @np.errstate(all="ignore")
    def _backward(self, node, gy, needs=None):
        op, _ = self.run(node, self.values, needs=needs)
        gxs = op.backward(gy)
        gxs = gxs if isinstance(gxs, tuple) else (gxs,)
        on_cpu = [None if gx is None else np.asarray(backend.to_device(gx, "cpu")) for gx in gxs]
        if not op.broadcasts:
            return on_cpu
        return [  # summed back over what was broadcast, as the tape does
            gx if gx is None or gx.shape == shape else unbroadcast(gx, shape)
            for gx, shape in zip(on_cpu, op.input_shapes, strict=True)
        ]


def relative_error(a, b):
    """|a - b| relative to the larger of the two; 0 if both are 0."""
    largest = max(abs(a), abs(b))
    return abs(a - b) / largest if largest else 0.0


def _float64(value):
    """A copy on the CPU, in float64 if it holds floats."""
    if isinstance(value, np.dtype) and value.kind == "f":
        return np.dtype(np.float64)  # of a Cast: its rounding is not differentiable
    if not backend.is_array(value):
        return value
    value = backend.to_device(value, "cpu")
    return np.array(value, np.float64 if value.dtype.kind == "f" else None)
