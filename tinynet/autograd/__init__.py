"""Reverse-mode automatic differentiation on NumPy and CuPy arrays.

Reading order: tape.py (what an op is), walk.py (how gradients walk back), arithmetic.py (the
first ops), tensor.py (the object a user holds).
"""

from tinynet.autograd.creation import (
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
from tinynet.autograd.grad_mode import enable_grad, is_grad_enabled, no_grad
from tinynet.autograd.shaping import cat, stack
from tinynet.autograd.tape import Function
from tinynet.autograd.tensor import Tensor
from tinynet.autograd.walk import Step, backprop

__all__ = [
    "Function",
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
    "ones",
    "ones_like",
    "rand",
    "randn",
    "stack",
    "tensor",
    "zeros",
    "zeros_like",
]
