"""Batch normalisation, alone or with the activation after it, in two launches forward and two
backward: see batchnorm.cu."""

from tinynet.backend import array_module
from tinynet.fast.cpu.batchnorm import WithReLU, WithReLU6
from tinynet.fast.cuda.kernel import Kernel, pieces, suits_images
from tinynet.fast.layout import batch_first, channels_first
from tinynet.ops.batchnorm import BatchNorm as Definition

VALUES = 8  # that a thread reads at a time
STATISTICS, NORMALIZE, SUMS, GRADIENT = (
    Kernel(f"batchnorm_{name}", "batchnorm.cu")
    for name in ("statistics", "normalize", "sums", "gradient")
)


class BatchNorm(Definition):
    ceiling = None  # of the activation that is computed with it

    @staticmethod
    def suits(x, weight, bias, *, running_mean=None, running_var=None, group=None, **_):
        return group is None and suits_images(x, weight, bias, running_mean, running_var)

    def forward(self, x, weight, bias):
        x = channels_first(x)
        xp, C = array_module(x), x.shape[0]
        M = x.size // C
        y, (mean, inv_std, shift) = xp.empty(x.shape, x.dtype), xp.empty((3, C), x.dtype)
        shift = None if self.ceiling is None else shift
        split, parts = 0, None  # none: the running statistics are taken
        if self.training:
            split = pieces(C, M, VALUES)
            parts = xp.empty((C, split, 3), x.dtype)
            STATISTICS((split, C), (x, parts), M, VALUES=VALUES)
        running = self.running_mean, self.running_var, self.num_batches_tracked
        arrays = x, weight, bias, parts, *running, y, mean, inv_std, shift
        numbers = M, split, float(self.eps), float(self.momentum), *self.clipped()
        NORMALIZE((pieces(C, M, VALUES), C), arrays, *numbers, VALUES=VALUES)
        self.save(batch_first(x), mean, inv_std, shift, weight)
        return batch_first(y)

    def backward(self, gy):
        x, *known = self.saved
        x, gy = channels_first(x), channels_first(gy)
        xp, C = array_module(gy), gy.shape[0]
        M = gy.size // C
        gx = xp.empty(gy.shape, gy.dtype) if self.needs[0] else None
        # each with memory of its own, else the leaves that get them would have to copy them
        gweight, gbias = xp.empty(C, gy.dtype), xp.empty(C, gy.dtype)
        split = pieces(C, M, VALUES)
        parts = xp.empty((C, split, 2), gy.dtype)
        SUMS((split, C), (gy, x, *known, parts), M, *self.clipped(), VALUES=VALUES)
        grid = (split if self.needs[0] else 1), C
        arrays = gy, x, *known, parts, gx, gweight, gbias
        numbers = M, split, bool(self.training), *self.clipped()
        GRADIENT(grid, arrays, *numbers, VALUES=VALUES)
        return None if gx is None else batch_first(gx), gweight, gbias

    def clipped(self):
        """Whether the activation clips, and where."""
        clips = self.ceiling is not None and self.ceiling < float("inf")
        return clips, float(self.ceiling if clips else 0)


class BatchNormReLU(WithReLU, BatchNorm):
    pass


class BatchNormReLU6(WithReLU6, BatchNorm):
    pass
