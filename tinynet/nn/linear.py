"""The fully connected layer and the reshaping before it."""

import numpy as np

from tinynet import check
from tinynet.autograd.convert import filled_in
from tinynet.nn import functional as F
from tinynet.nn import init
from tinynet.nn.module import Module, Parameter


class Linear(Module):
    """y = x weight^T + bias: (..., in_features) -> (..., out_features)."""

    def __init__(self, in_features, out_features, bias=True, device=None, dtype=None):
        super().__init__()
        self.in_features = check.integer("Linear", "in_features", in_features, least=1)
        self.out_features = check.integer("Linear", "out_features", out_features, least=1)
        self.weight = Parameter(np.empty((out_features, in_features), np.float32))
        self.register_parameter(
            "bias", Parameter(np.empty(out_features, np.float32)) if bias else None
        )
        self.reset_parameters()
        self.to(device=device, dtype=dtype)

    def reset_parameters(self):
        init.layer_default_(self.weight, self.bias)

    def forward(self, x):
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self):
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Flatten(Module):
    """Axes start_dim to end_dim as one; by default all but the batch."""

    def __init__(self, start_dim=1, end_dim=-1):
        super().__init__()
        self.start_dim = check.integer("Flatten", "start_dim", start_dim)
        self.end_dim = check.integer("Flatten", "end_dim", end_dim)

    def forward(self, x):
        check.tensors("Flatten", input=x)
        return x.flatten(self.start_dim, self.end_dim)

    def extra_repr(self):
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Axis `dim` as several, of the sizes `unflattened_size`, of which one may be -1."""

    def __init__(self, dim, unflattened_size):
        super().__init__()
        self.dim = check.integer("Unflatten", "dim", dim)
        self.unflattened_size = check.sizes("Unflatten", (unflattened_size,), least=-1)

    def forward(self, x):
        check.tensors("Unflatten", input=x)
        (axis,) = check.dims("Unflatten", self.dim, x.ndim)
        sizes = filled_in(self.unflattened_size, x.shape[axis : axis + 1])
        return x.reshape(*x.shape[:axis], *sizes, *x.shape[axis + 1 :])

    def extra_repr(self):
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class Identity(Module):
    """y = x; takes and ignores any arguments, as torch's does."""

    def __init__(self, *args, **kwargs):
        super().__init__()

    def forward(self, x):
        return x
