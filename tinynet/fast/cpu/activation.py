"""ReLU and ReLU6 in pieces of cache size."""

import numpy as np

from tinynet.backend import empty
from tinynet.fast.cpu.tiles import SPAN
from tinynet.fast.layout import in_memory, is_float, lie_alike, like
from tinynet.ops import activation as definitions

LARGE = 1 << 14  # values: with fewer the definition is as quick
INTS = {4: np.int32, 8: np.int64}  # bytes of a float: an integer of that size


def mark_rises(z, ceiling, out):
    """Where min(max(z, 0), ceiling) rises: 0 < z < ceiling."""
    np.greater(z, 0, out=out)
    if ceiling != np.inf:
        out &= z < ceiling


def pass_open(gy, rises, out):
    """gy where the mask says so, 0 elsewhere, whatever gy is there: its bits, taken for an integer,
    times 1 or 0."""
    integer = INTS[gy.itemsize]
    np.multiply(gy.view(integer), rises.view(np.int8).astype(integer), out=out.view(integer))


def spans(size):
    return [slice(first, first + SPAN) for first in range(0, size, SPAN)]


class ReLU(definitions.ReLU):
    @staticmethod
    def suits(x):
        return x.size >= LARGE and is_float(x) and in_memory(x) is not None

    def forward(self, x):
        row, ceiling = in_memory(x), self.ceiling
        y = empty(row.shape, x.dtype)
        rises = empty(row.shape, bool) if self.needs[0] else None
        for s in spans(x.size):
            if rises is not None:
                mark_rises(row[s], ceiling, out=rises[s])
            row[s].clip(0, ceiling, out=y[s])  # NumPy has vector instructions for it
        self.save(None if rises is None else like(rises, x))
        return like(y, x)

    def backward(self, gy):
        (rises,) = self.saved
        if not lie_alike(gy, rises):
            return super().backward(gy)
        gx = empty((gy.size,), gy.dtype)
        row, rises = in_memory(gy), in_memory(rises)
        for s in spans(gy.size):
            pass_open(row[s], rises[s], out=gx[s])
        return like(gx, gy)


class ReLU6(ReLU, definitions.ReLU6):
    pass
