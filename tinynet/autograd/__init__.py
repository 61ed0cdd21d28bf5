"""Reverse-mode automatic differentiation on NumPy and CuPy arrays.

Reading order: tape.py (what an op is, and how gradients walk back), then an op or two in
`tinynet/ops`, then tensor.py (the object a user holds).
"""

from tinynet.autograd.mode import enable_grad, is_grad_enabled, no_grad, plain
from tinynet.autograd.tape import Function, Step, backprop, observe, sorted_ops
from tinynet.autograd.tensor import Tensor  # after the tape, for the ops that it imports need that

from tinynet.autograd.creation import (  # isort: skip
    arange,
    from_numpy,
    full,
    ones,
    ones_like,
    rand,
    randn,
    tensor,
    zeros,
    zeros_like,
)
from tinynet.autograd.functions import cat, stack  # isort: skip
from tinynet.autograd.graphed import Graphed  # isort: skip

__all__ = [
    "Function",
    "Graphed",
    "Step",
    "Tensor",
    "arange",
    "backprop",
    "cat",
    "enable_grad",
    "from_numpy",
    "full",
    "is_grad_enabled",
    "no_grad",
    "observe",
    "ones",
    "ones_like",
    "plain",
    "rand",
    "randn",
    "sorted_ops",
    "stack",
    "tensor",
    "zeros",
    "zeros_like",
]
