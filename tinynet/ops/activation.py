"""ReLU and ReLU6. Backward needs only where the function rises: a mask of one byte a value."""

from tinynet.autograd.tape import Function
from tinynet.backend import array_module


class ReLU(Function):
    """y = max(x, 0);  gx = gy where x > 0, else 0 (0 at the kink, as in torch)"""

    def forward(self, x):
        if self.needs[0]:
            self.save(x > 0)
        return array_module(x).maximum(x, 0)

    def backward(self, gy):
        (rises,) = self.saved
        return gy * rises


class ReLU6(Function):
    """y = min(max(x, 0), 6);  gx = gy where 0 < x < 6, else 0 (0 at both kinks, as in torch)

    Howard et al., arXiv 1704.04861 (the code); Krizhevsky, "Convolutional deep belief networks
    on CIFAR-10" (2010).
    """

    def forward(self, x):
        if self.needs[0]:
            rises = x > 0
            rises &= x < 6
            self.save(rises)
        return array_module(x).clip(x, 0, 6)

    def backward(self, gy):
        (rises,) = self.saved
        return gy * rises
