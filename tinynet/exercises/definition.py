"""What is right: the ops of tinynet, run by their definitions, and finite differences of them."""

import inspect

import numpy as np

from tinynet.autograd import Tensor, plain

EPS = 1e-6  # the step of a finite difference


class Forward:
    """The result of an op. `apply(**inputs)`: the op, of arrays wrapped as tensors where its
    parameters are among `tensors`; it is given what it has parameters for."""

    def __init__(self, tensors, apply):
        self.tensors, self.apply = tensors.split(), apply
        self.parameters = inspect.signature(apply).parameters

    def run(self, inputs, requires_grad=False):
        given = {name: inputs[name] for name in self.parameters}
        for name in self.tensors:
            given[name] = Tensor(np.array(inputs[name]), requires_grad=requires_grad)
        with plain():
            return self.apply(**given), given

    def __call__(self, inputs):
        return self.run(inputs)[0].numpy()


class Backward(Forward):
    """The gradients of an op with respect to `wanted` (default: all `tensors`), of the upstream
    gradient gy where there is one among the inputs."""

    def __init__(self, tensors, apply, wanted=None):
        super().__init__(tensors, apply)
        self.wanted = (wanted or tensors).split()

    def __call__(self, inputs):
        y, given = self.run(inputs, requires_grad=True)
        y.backward(Tensor(np.array(inputs["gy"])) if "gy" in inputs else None)
        return tuple(given[name].grad.numpy() for name in self.wanted)

    def difference(self, inputs, which, index):
        """(input's name, central difference): how fast sum(gy y) changes with element `index` of
        the input that result number `which` is the gradient of; None in its place at a kink."""
        name = self.wanted[which]
        before, here, after = (self._moved(inputs, name, index, step) for step in (-EPS, 0, EPS))
        left, right = (here - before) / EPS, (after - here) / EPS
        kink = abs(left - right) > 1e-3 * max(1, abs(left), abs(right))
        return name, None if kink else (left + right) / 2

    def _moved(self, inputs, name, index, step):
        moved = np.array(inputs[name], dtype=np.float64)
        moved[index] += step
        y = super().__call__({**inputs, name: moved})
        return float((y * inputs.get("gy", 1)).sum())
