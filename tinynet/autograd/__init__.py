"""Reverse-mode automatic differentiation on NumPy and CuPy arrays.

Reading order: tape.py (what an op is, and how gradients walk back), then an op or two in
`tinynet/ops`, then tensor.py (the object a user holds).
"""

from tinynet.autograd.mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    plain,
    set_grad_enabled,
)
from tinynet.autograd.tape import Function, Step, backprop, observe, sorted_ops
from tinynet.autograd.tensor import Tensor  # after the tape, for the ops that it imports need that

from tinynet.autograd.creation import (  # isort: skip
    arange,
    as_tensor,
    empty,
    empty_like,
    eye,
    from_numpy,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
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
    "as_tensor",
    "backprop",
    "cat",
    "empty",
    "empty_like",
    "enable_grad",
    "eye",
    "from_numpy",
    "full",
    "full_like",
    "inference_mode",
    "is_grad_enabled",
    "linspace",
    "no_grad",
    "observe",
    "ones",
    "ones_like",
    "plain",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "set_grad_enabled",
    "sorted_ops",
    "stack",
    "tensor",
    "zeros",
    "zeros_like",
]
