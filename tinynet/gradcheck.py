"""Checking backward against finite differences.

    gradcheck(lambda x, w: (x @ w).exp(), [x, w])

A gradient g of phi is right if phi(x + h) - phi(x - h) = 2 <g, h> + O(|h|^3) for small steps h.
(Gradient checking: Goodfellow, Bengio, Courville, "Deep Learning", section 11.5.)
"""

import numpy as np

from tinynet.autograd import Tensor, no_grad
from tinynet.backend import array_module, to_device

MAX_ELEMENTS = 256  # of one input that are checked one by one


class GradcheckError(AssertionError):
    """Backward disagrees with the function, or the function cannot be checked where it is."""


def gradcheck(fn, inputs, eps=1e-6, atol=1e-7, rtol=1e-5, seed=0):
    """True if backward through `fn` agrees with central differences; else GradcheckError.

    What is differentiated is phi = sum(u * fn(*inputs)) with random weights u, so every element
    of the result counts differently. (The plain sum would not do: the sum of a BatchNorm's
    result does not depend on its input, so any factor in that gradient would pass.)

    Each element of an input of up to 256 elements is moved by itself. Of a larger input a
    sample of 256 is, and then all its elements at once, up or down at random, which brings to
    light even a single wrong one; halving the set of moved elements finds it.

    Args:
        fn: takes one Tensor per input, returns a Tensor. It is called many times.
        inputs: a float64 Tensor or a list of them; all are checked, none is changed. What is
            constant, or not float64, belongs in fn.
        eps: the step. atol, rtol: |backward - difference| may be atol + rtol |backward|.
        seed: for u, the sample and the directions.

    Raises GradcheckError for a wrong gradient, an input at a kink (slopes to the left and right
    differ: there is nothing to compare with), an fn that is random or changes its input, and a
    result without a graph or with NaN; TypeError for other arguments than the above.
    """
    arrays = _float64_arrays(inputs)
    rng = np.random.default_rng(seed)
    leaves = [Tensor(_copy(x), requires_grad=True) for x in arrays]
    y = _result(fn, leaves, arrays).array
    # away from 0, so that no element of the result counts for almost nothing
    u = rng.uniform(0.5, 1.5, y.shape) * rng.choice([-1.0, 1.0], y.shape)
    u = array_module(y).asarray(u)
    gradients = _gradients(fn, leaves, arrays, u, y)
    for i, gradient in enumerate(gradients):
        _Input(fn, arrays, i, u, y, gradient, eps, atol, rtol).check(rng)
    return True


def _float64_arrays(inputs):
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    if not inputs:
        raise ValueError("gradcheck: expected at least one input, got none")
    for i, tensor in enumerate(inputs):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"gradcheck: input {i} must be a Tensor, got {type(tensor).__name__}")
        if tensor.dtype != np.float64:
            raise TypeError(
                f"gradcheck: input {i} must be float64 (differences in {tensor.dtype} are mostly "
                "rounding error); convert it with .double(), or put a constant into fn"
            )
    return [tensor.array for tensor in inputs]


def _copy(x):
    return x.copy(order="K")  # the memory layout matters: ops may take another path by it


def _result(fn, tensors, arrays):
    """fn(*tensors), checked; `arrays` are the values that the tensors had before."""
    given = [tensor.array for tensor in tensors]
    y = fn(*tensors)
    if not isinstance(y, Tensor):
        raise TypeError(f"gradcheck: fn must return a Tensor, got {type(y).__name__}")
    if y.dtype != np.float64:
        raise TypeError(f"gradcheck: fn must compute in float64, its result is {y.dtype}")
    for i, (now, before) in enumerate(zip(given, arrays, strict=True)):
        if not array_module(now).array_equal(now, before, equal_nan=True):
            raise GradcheckError(f"gradcheck: fn changes the array of input {i} in place")
    if not array_module(y.array).isfinite(y.array).all():
        raise GradcheckError("gradcheck: the result of fn holds NaN or infinity")
    return y


def _gradients(fn, leaves, arrays, u, y):
    """What backward gives for each input; on the way, that fn repeats and gradients add up."""
    once = None
    for _ in range(2):
        result = _result(fn, leaves, arrays)
        if result.shape != y.shape or not array_module(y).array_equal(result.array, y):
            raise GradcheckError(
                "gradcheck: fn is not deterministic: two calls on the same inputs gave different "
                "results; take randomness (dropout, say) out of it"
            )
        if not result.requires_grad:
            raise GradcheckError(
                "gradcheck: the result of fn has no graph: it depends on no input, or fn detaches"
            )
        result.backward(Tensor(u))
        if once is None:
            once = [None if leaf.grad is None else leaf.grad.array.copy() for leaf in leaves]
    for i, (leaf, gradient) in enumerate(zip(leaves, once, strict=True)):
        if gradient is None:
            continue
        off = to_device(abs(leaf.grad.array - 2 * gradient), "cpu").max(initial=0)
        largest = to_device(abs(gradient), "cpu").max(initial=0)
        if off > 1e-9 * largest:  # not 0: (a + b) + a need not be 2a + b to the last digit
            raise GradcheckError(
                f"gradcheck: a second backward does not add the same gradient to input {i}: its "
                "backward overwrites something, or depends on state"
            )
    return [
        array_module(x).zeros_like(x) if gradient is None else gradient
        for x, gradient in zip(arrays, once, strict=True)
    ]


class _Input:
    """The check of one input."""

    def __init__(self, fn, arrays, number, u, y, gradient, eps, atol, rtol):
        self.fn, self.arrays, self.number = fn, arrays, number
        self.u, self.y, self.gradient = u, y, gradient
        self.eps, self.atol, self.rtol = eps, atol, rtol
        self.x = arrays[number]

    def check(self, rng):
        size = self.x.size
        if size <= MAX_ELEMENTS:
            elements = range(size)
        else:
            elements = rng.choice(size, MAX_ELEMENTS, replace=False)
        for element in elements:
            self.compare(np.array([element]), np.ones(1))
        if size > MAX_ELEMENTS:
            self.search(np.arange(size), rng.choice([-1.0, 1.0], size))

    def compare(self, elements, signs):
        """Move `elements` (flat positions) by eps * signs; return the error over the tolerance.

        A single element is judged: GradcheckError if it sits at a kink or the error is over 1.
        """
        xp = array_module(self.x)
        signs, positions = xp.asarray(signs), xp.asarray(elements)
        direction = xp.zeros(self.x.size)
        direction[positions] = signs
        direction = direction.reshape(self.x.shape)
        moved = self.gradient.reshape(-1)[positions] * signs
        analytic = float(moved.sum())
        left, right = self.slopes(direction, self.eps)
        numeric = (left + right) / 2
        # rounding errors of many elements add up like random ones: as their root of squares
        tolerance = self.atol + self.rtol * float(xp.sqrt((moved * moved).sum()))
        error = abs(analytic - numeric)
        if elements.size == 1:
            place = tuple(map(int, np.unravel_index(elements[0], self.x.shape)))
            name = f"input {self.number}, element {place}"
            if self.is_kink(direction, left, right):
                raise GradcheckError(
                    f"gradcheck: {name} sits at a kink (the slope is {left:.6g} to the left and "
                    f"{right:.6g} to the right); move the input away from it"
                )
            if not error <= tolerance:
                raise GradcheckError(
                    f"gradcheck: {name}: backward gives {analytic:.10g}, the central difference "
                    f"is {numeric:.10g} (they differ by {error:.2g}, allowed is {tolerance:.2g})"
                )
        return error / tolerance if error == error else np.inf

    def slopes(self, direction, eps):
        """The one-sided differences of phi along a direction: to the left, to the right."""
        before, after = self.value(-eps * direction), self.value(eps * direction)
        # subtract first, then sum: elements that do not change then add no rounding error
        left, right = self.y - before, after - self.y
        return float((self.u * left).sum()) / eps, float((self.u * right).sum()) / eps

    def value(self, step):
        tensors = [Tensor(_copy(x)) for x in self.arrays]
        tensors[self.number].array += step
        with no_grad():
            return self.fn(*tensors).array

    def is_kink(self, direction, left, right):
        """Whether the slopes differ by more than curvature explains.

        The difference of a smooth function's slopes grows with the step; at a kink it stays.
        """
        jump = abs(right - left)
        if jump <= self.atol + self.rtol * max(abs(left), abs(right)):
            return False
        left, right = self.slopes(direction, 10 * self.eps)
        return not abs(right - left) > 3 * jump

    def search(self, elements, signs):
        """Compare all at once; on a disagreement follow the worse half down to one element."""
        if self.compare(elements, signs) <= 1:
            return
        while elements.size > 1:
            half = elements.size // 2
            halves = [(elements[:half], signs[:half]), (elements[half:], signs[half:])]
            elements, signs = max(halves, key=lambda part: self.compare(*part))
        self.compare(elements, np.ones(1))
        raise GradcheckError(
            f"gradcheck: input {self.number}: the errors of many elements, each within what is "
            "allowed, add up to more than rounding explains"
        )
