"""tinynet: a compact autograd engine on NumPy and CuPy, with torch's names.

    import tinynet as tn
    import tinynet.nn as nn

The layers, each importing only from those before it: backend < autograd's tape < ops < Tensor < nn.
`fast` holds quicker implementations of ops; without that folder everything works, more slowly.
"""

import numpy as _np

from tinynet.autograd import (
    Function,
    Graphed,
    Step,
    Tensor,
    arange,
    backprop,
    cat,
    enable_grad,
    from_numpy,
    full,
    is_grad_enabled,
    no_grad,
    ones,
    ones_like,
    plain,
    rand,
    randn,
    stack,
    tensor,
    zeros,
    zeros_like,
)
from tinynet.autograd.functions import (
    abs,
    add,
    amax,
    amin,
    argmax,
    argmin,
    chunk,
    clamp,
    clip,
    div,
    exp,
    flatten,
    log,
    matmul,
    max,
    maximum,
    mean,
    min,
    minimum,
    mul,
    permute,
    pow,
    reshape,
    sigmoid,
    split,
    sqrt,
    squeeze,
    std,
    sub,
    sum,
    tanh,
    transpose,
    unsqueeze,
    var,
)
from tinynet.backend import cuda_available, device, manual_seed
from tinynet.nn.functional import log_softmax, relu, softmax

from tinynet import cuda, nn, optim, parallel  # isort: skip  (after autograd, which they are made of)

try:
    from tinynet.fast import registry as _registry  # noqa: F401 (puts itself before the ops)
except ModuleNotFoundError as _error:
    if _error.name not in ("tinynet.fast", "tinynet.fast.registry"):
        raise

__version__ = "0.1.0"

float32, float64, int32, int64 = _np.float32, _np.float64, _np.int32, _np.int64
long, bool = _np.int64, _np.bool_  # noqa: A001 (torch's names, as tn.long and tn.bool)


def is_tensor(value):
    """Whether it is a Tensor."""
    return isinstance(value, Tensor)


__all__ = [
    "Function",
    "Graphed",
    "Step",
    "Tensor",
    "abs",
    "add",
    "amax",
    "amin",
    "arange",
    "argmax",
    "argmin",
    "backprop",
    "bool",
    "cat",
    "chunk",
    "clamp",
    "clip",
    "cuda",
    "cuda_available",
    "device",
    "div",
    "enable_grad",
    "exp",
    "flatten",
    "float32",
    "float64",
    "from_numpy",
    "full",
    "int64",
    "is_grad_enabled",
    "is_tensor",
    "log",
    "log_softmax",
    "long",
    "manual_seed",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mul",
    "nn",
    "no_grad",
    "ones",
    "ones_like",
    "optim",
    "parallel",
    "permute",
    "plain",
    "pow",
    "rand",
    "randn",
    "relu",
    "reshape",
    "sigmoid",
    "softmax",
    "split",
    "sqrt",
    "squeeze",
    "stack",
    "std",
    "sub",
    "sum",
    "tanh",
    "tensor",
    "transpose",
    "unsqueeze",
    "var",
    "zeros",
    "zeros_like",
]
