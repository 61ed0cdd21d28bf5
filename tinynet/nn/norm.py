"""Normalisation within each example: LayerNorm, GroupNorm, and vectors of length 1."""

import math

import numpy as np

from tinynet import check
from tinynet.nn.module import Module, Parameter


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    """(x - mean) / sqrt(var + eps) over the last axes, which `normalized_shape` names; then times
    weight plus bias, of that shape: Ba, Kiros, Hinton, arXiv 1607.06450."""
    check.floats("layer_norm", input=input, weight=weight, bias=bias)
    shape = _sizes("layer_norm", normalized_shape)
    if input.shape[input.ndim - len(shape) :] != shape:
        raise ValueError(f"layer_norm: expected the last axes {shape}, got shape {input.shape}")
    y = _normal(input, tuple(range(input.ndim - len(shape), input.ndim)), eps)
    return _scaled("layer_norm", y, weight, bias, shape, shape)


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    """The same over each of `num_groups` groups of channels of (N, C, ...); weight and bias (C,):
    Wu and He, arXiv 1803.08494."""
    check.floats("group_norm", input=input, weight=weight, bias=bias)
    groups = check.integer("group_norm", "num_groups", num_groups, least=1)
    if input.ndim < 2 or input.shape[1] % groups:
        raise ValueError(
            f"group_norm: expected (N, C, ...) with C divisible by {groups}, got {input.shape}"
        )
    N, C, *rest = input.shape
    y = input.reshape(N, groups, C // groups * math.prod(rest))
    y = _normal(y, (2,), eps).reshape(input.shape)
    return _scaled("group_norm", y, weight, bias, (C,), (C, *[1] * len(rest)))


def normalize(input, p=2.0, dim=1, eps=1e-12):
    """input / max(norm, eps), the norm of order p taken along `dim`."""
    check.floats("normalize", input=input)
    return input / input.norm(p, dim, keepdim=True).clip(min=check.number("normalize", "eps", eps))


def _normal(x, axes, eps):
    check.number("eps", "eps", eps, 0)
    if not x.numel():
        return x
    centred = x - x.mean(axes, keepdim=True)
    return centred / ((centred * centred).mean(axes, keepdim=True) + eps).sqrt()


def _scaled(name, y, weight, bias, shape, broadcast):
    for argument, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None and tensor.shape != shape:
            raise ValueError(f"{name}: {argument} must have shape {shape}, got {tensor.shape}")
    y = y if weight is None else y * weight.reshape(broadcast)
    return y if bias is None else y + bias.reshape(broadcast)


def _sizes(name, shape):
    return check.sizes(name, shape if isinstance(shape, tuple | list) else (shape,), least=1)


class _Norm(Module):
    def __init__(self, shape, eps, weighted, biased, device, dtype):
        super().__init__()
        self.eps = check.number(type(self).__name__, "eps", eps, 0)
        for name, wanted, make in (("weight", weighted, np.ones), ("bias", biased, np.zeros)):
            value = Parameter(make(shape, np.float32)) if wanted else None
            self.register_parameter(name, value)
        self.to(device=device, dtype=dtype)


class LayerNorm(_Norm):
    """`layer_norm` with weight and bias: see there."""

    def __init__(
        self,
        normalized_shape,
        eps=1e-5,
        elementwise_affine=True,
        bias=True,
        device=None,
        dtype=None,
    ):
        shape = _sizes("LayerNorm", normalized_shape)
        affine = elementwise_affine
        super().__init__(shape, eps, affine, affine and bias, device, dtype)
        self.normalized_shape, self.elementwise_affine = shape, affine

    def forward(self, x):
        return layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self):
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class GroupNorm(_Norm):
    """`group_norm` with weight and bias: see there."""

    def __init__(
        self,
        num_groups,
        num_channels,
        eps=1e-5,
        affine=True,
        device=None,
        dtype=None,
        *,
        bias=True,
    ):
        groups = check.integer("GroupNorm", "num_groups", num_groups, least=1)
        channels = check.integer("GroupNorm", "num_channels", num_channels, least=1)
        if channels % groups:
            raise ValueError(f"GroupNorm: {groups} groups do not divide {channels} channels")
        super().__init__(channels, eps, affine, affine and bias, device, dtype)
        self.num_groups, self.num_channels, self.affine = groups, channels, affine

    def forward(self, x):
        return group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self):
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )
