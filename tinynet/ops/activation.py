"""ReLU and ReLU6. Backward needs only where the function rises: a mask of one byte a value."""

import numpy as np

from tinynet.autograd.tape import Function
from tinynet.backend import array_module

CEILINGS = {"relu": np.inf, "relu6": 6}


def clamp(z, ceiling, out=None):
    """min(max(z, 0), ceiling)"""
    return array_module(z).clip(z, 0, ceiling, out=out)


def rises(z, ceiling):
    """Where 0 < z < ceiling: False at both kinks, as in torch."""
    mask = z > 0
    if ceiling != np.inf:
        mask &= z < ceiling
    return mask


class ReLU(Function):
    """y = max(x, 0);  gx = gy where x > 0, else 0 (0 at the kink, as in torch)"""

    ceiling = CEILINGS["relu"]

    def forward(self, x):
        if self.needs[0]:
            self.save(rises(x, self.ceiling))
        return clamp(x, self.ceiling)

    def backward(self, gy):
        (mask,) = self.saved
        return gy * mask


class ReLU6(ReLU):
    """y = min(max(x, 0), 6);  gx = gy where 0 < x < 6, else 0 (0 at both kinks, as in torch)

    Howard et al., arXiv 1704.04861 (the code); Krizhevsky, "Convolutional deep belief networks
    on CIFAR-10" (2010).
    """

    ceiling = CEILINGS["relu6"]
