"""Changing a tensor in place.

Arithmetic in place (`x += y`, `x.add_(y)`) is recorded like any op where a gradient is wanted:
the tensor becomes the op's result (`Tensor.rebind`). The methods that overwrite values
(`fill_`, `x[i] = y`) are not recorded, and are refused where that would lose a gradient. A
leaf that requires a gradient changes only inside `no_grad()` or through `.data`, as in torch.
"""

import numpy as np

from tinynet import backend
from tinynet.autograd.conversion import rank
from tinynet.autograd.grad_mode import is_grad_enabled
from tinynet.autograd.shaping import index_for


class InPlaceMethods:
    def _become(self, name, result):
        """Take the value of `result`, an op on this tensor, keeping shape and dtype."""
        if result.shape != self.shape:
            raise ValueError(
                f"{name}: the result has shape {result.shape}, "
                f"which a tensor of shape {self.shape} cannot take in place"
            )
        if rank(result.dtype) > rank(self.dtype):
            raise TypeError(
                f"{name}: the result is {result.dtype}, which a tensor of {self.dtype} cannot "
                "hold; convert it first, for example with .float()"
            )
        if result.requires_grad:
            return self.rebind(result.to(self.dtype))
        return self._write(name, result)

    def _write(self, name, value, index=...):
        if is_grad_enabled() and self.requires_grad:
            raise RuntimeError(
                f"{name}: a tensor that requires a gradient cannot be overwritten; "
                "do it inside no_grad() or through .data"
            )
        if is_grad_enabled() and getattr(value, "requires_grad", False):
            raise RuntimeError(
                f"{name}: the value requires a gradient, which overwriting would lose; "
                "build the result with cat, stack or arithmetic, or pass value.detach()"
            )
        if any(
            stride == 0 and size > 1
            for stride, size in zip(self.array.strides, self.shape, strict=True)
        ):
            raise ValueError(
                f"{name}: an expanded tensor is read-only, for several of its elements are one "
                "in memory; clone() it first"
            )
        source = getattr(value, "array", value)
        if isinstance(source, list | tuple):
            source = np.asarray(source)
        if backend.is_array(source):
            source = backend.to_device(source, self.device)
        try:
            self.array[index] = source
        except ValueError as error:
            raise ValueError(
                f"{name}: a value of shape {getattr(source, 'shape', ())} cannot be written into "
                f"a tensor of shape {self.shape} ({error})"
            ) from None
        return self

    def __setitem__(self, index, value):
        self._write("assignment", value, index_for(self.array, index))

    def copy_(self, source):
        return self._write("copy_", source)

    def fill_(self, value):
        return self._write("fill_", value)

    def zero_(self):
        return self._write("zero_", 0)

    def add_(self, other, alpha=1):
        return self._become("add_", self + other * alpha)

    def sub_(self, other, alpha=1):
        return self._become("sub_", self - other * alpha)

    def mul_(self, other):
        return self._become("mul_", self * other)

    def div_(self, other):
        return self._become("div_", self / other)

    def clip_(self, min=None, max=None):
        return self._become("clip_", self.clip(min, max))

    clamp_ = clip_

    def __iadd__(self, other):
        return self._become("+=", self + other)

    def __isub__(self, other):
        return self._become("-=", self - other)

    def __imul__(self, other):
        return self._become("*=", self * other)

    def __itruediv__(self, other):
        return self._become("/=", self / other)

    def __ipow__(self, other):
        return self._become("**=", self**other)

    def normal_(self, mean=0.0, std=1.0):
        """Fill with draws from N(mean, std**2); `manual_seed` makes them repeat."""
        if std < 0:
            raise ValueError(f"normal_: std must not be negative, got {std}")
        return self._write("normal_", backend.random_generator().normal(mean, std, self.shape))

    def uniform_(self, low=0.0, high=1.0):
        """Fill with draws from [low, high); `manual_seed` makes them repeat."""
        if low > high:
            raise ValueError(f"uniform_: low {low} is above high {high}")
        return self._write("uniform_", backend.random_generator().uniform(low, high, self.shape))
