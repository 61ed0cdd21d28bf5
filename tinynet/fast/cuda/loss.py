"""Cross-entropy in one launch each way, where the targets are labels: see loss.cu."""

from tinynet.backend import array_module
from tinynet.fast.cuda.kernel import MOST_VALUES, REALS, Kernel
from tinynet.ops.loss import SoftmaxCrossEntropy as Definition

FORWARD, GRADIENT = (Kernel(n, "loss.cu") for n in ("cross_entropy", "cross_entropy_gradient"))


class SoftmaxCrossEntropy(Definition):
    @staticmethod
    def suits(x, *, target, ignore_index=-100, weight=None, **_):
        return (
            target.ndim == 1
            and x.dtype.char in REALS
            and 0 < x.size < MOST_VALUES
            and abs(ignore_index) < 2**31
            and (weight is None or weight.dtype == x.dtype)
        )

    def forward(self, x):
        xp = array_module(x)
        x = xp.ascontiguousarray(x)
        losses = xp.empty(len(x), x.dtype)
        known = xp.empty((3, len(x)), x.dtype)  # of each row, for backward: see loss.cu
        arrays, numbers = self._target(x)
        FORWARD(x.shape[:1], (x, *known, losses, *arrays), *numbers)
        self.save(x, known)
        return losses

    def backward(self, gy):
        x, known = self.saved
        xp = array_module(x)
        gx = xp.empty(x.shape, x.dtype)
        arrays, numbers = self._target(x)
        GRADIENT(x.shape[:1], (x, *known, xp.ascontiguousarray(gy), gx, *arrays), *numbers)
        return gx

    def _target(self, x):
        labels = array_module(x).ascontiguousarray(self.target.astype("int64", copy=False))
        return (self.weight, labels), (x.shape[1], self.ignored, float(self.smoothing))
