"""ReLU and ReLU6 in one launch each way: see relu.cu."""

from tinynet.backend import array_module
from tinynet.fast.cuda.kernel import Kernel, blocks, suits
from tinynet.fast.layout import in_memory, lie_alike, like
from tinynet.ops import activation as definitions

VALUES = 8  # that a thread reads at a time
RELU, GRADIENT = Kernel("relu", "relu.cu"), Kernel("relu_gradient", "relu.cu")


class ReLU(definitions.ReLU):
    @staticmethod
    def suits(x):
        row = in_memory(x)
        return row is not None and suits(row)

    def forward(self, x):
        row, xp = in_memory(x), array_module(x)
        y = xp.empty(row.shape, x.dtype)
        rises = xp.empty(row.shape, bool) if self.needs[0] else None
        clips = self.ceiling < float("inf")
        numbers = row.size, clips, float(self.ceiling if clips else 0)
        RELU((-(-blocks(row.size) // VALUES),), (row, y, rises), *numbers, VALUES=VALUES)
        self.save(None if rises is None else like(rises, x))
        return like(y, x)

    def backward(self, gy):
        (rises,) = self.saved
        if not lie_alike(gy, rises):
            return super().backward(gy)
        row = in_memory(gy)
        gx = array_module(gy).empty(row.shape, gy.dtype)
        grid = (-(-blocks(row.size) // VALUES),)
        GRADIENT(grid, (row, in_memory(rises), gx), row.size, VALUES=VALUES)
        return like(gx, gy)


class ReLU6(ReLU, definitions.ReLU6):
    pass
