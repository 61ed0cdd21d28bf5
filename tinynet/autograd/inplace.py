"""Tensor's in-place methods. They are not recorded on the tape, so they are refused on a
tensor that requires a gradient, unless under `no_grad` or through `.data`."""

import numpy as np

from tinynet import backend
from tinynet.autograd.grad_mode import is_grad_enabled


class InPlaceMethods:
    def _begin(self, name):
        if self.requires_grad and is_grad_enabled():
            raise RuntimeError(
                f"{name}: a tensor that requires a gradient cannot be changed in place; "
                "do it inside no_grad() or through .data"
            )

    def _write(self, name, value, index=...):
        self._begin(name)
        source = getattr(value, "array", value)
        if backend.is_array(source):
            source = backend.to_device(source, self.device)
        try:
            self.array[index] = source
        except ValueError:
            raise ValueError(
                f"{name}: a value of shape {np.shape(source)} does not fit {self.shape}"
            ) from None
        return self

    def __setitem__(self, index, value):
        parts = index if isinstance(index, tuple) else (index,)
        self._write("assignment", value, tuple(getattr(part, "array", part) for part in parts))

    def copy_(self, source):
        return self._write("copy_", source)

    def fill_(self, value):
        return self._write("fill_", value)

    def zero_(self):
        return self._write("zero_", 0)

    def add_(self, other, alpha=1):
        self._begin("add_")
        return self._write("add_", (self.detach() + other * alpha).array)

    def sub_(self, other, alpha=1):
        self._begin("sub_")
        return self._write("sub_", (self.detach() - other * alpha).array)

    def mul_(self, other):
        self._begin("mul_")
        return self._write("mul_", (self.detach() * other).array)

    def div_(self, other):
        self._begin("div_")
        return self._write("div_", (self.detach() / other).array)

    def clip_(self, min=None, max=None):
        self._begin("clip_")
        return self._write("clip_", self.detach().clip(min, max).array)

    clamp_ = clip_

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
