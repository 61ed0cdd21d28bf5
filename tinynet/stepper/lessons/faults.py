"""The exhibits of the bug museum: ops with a wrong backward, each a fault that people have made.

The forward pass of each is right, and its backward runs without complaint. Beside each stands the
right op. All call themselves My..., so that the name does not give the fault away.
"""

import numpy as np

from tinynet.autograd.tape import Function
from tinynet.ops.batchnorm import EACH, BatchNorm, channels
from tinynet.ops.conv import Conv2d
from tinynet.ops.loss import SoftmaxCrossEntropy


class AddBias(Function):
    name = "MyAddBias"
    rule = {"y": "x + bias", "gx": "gy", "gbias": "gy summed over the rows"}

    def forward(self, x, bias):
        return x + bias

    def backward(self, gy):
        return gy, gy.sum(axis=0)


class AddBiasForgotten(AddBias):
    """The sum over the rows, along which bias was broadcast, is forgotten."""

    def backward(self, gy):
        return gy, gy[0]


class BatchNormInTraining(BatchNorm):
    """BatchNorm with the statistics of the batch, under the exhibits' name."""

    name = "MyBatchNorm"


class BatchNormTwoPaths(BatchNormInTraining):
    """The path through the variance is missing."""

    def backward(self, gy):
        xhat, weight, std, count = self.saved
        gweight, gbias = (gy * xhat).sum(axis=EACH), gy.sum(axis=EACH)
        gx = gy - channels(gbias / count)
        return channels(weight / std) * gx, gweight, gbias


class BatchNormStale(BatchNormInTraining):
    """Backward takes evaluation's statistics, though forward took the batch's."""

    def forward(self, x, weight, bias):
        self.x = x
        return super().forward(x, weight, bias)

    def backward(self, gy):
        _, weight, _, _ = self.saved
        std = np.sqrt(self.running_var + self.eps)
        xhat = (self.x - channels(self.running_mean)) / channels(std)
        gx = channels(weight / std) * gy
        return gx, (gy * xhat).sum(axis=EACH), gy.sum(axis=EACH)


class Convolution(Conv2d):
    """Conv2d under the exhibits' name."""

    name = "MyConv2d"


class ConvolutionShifted(Convolution):
    """The padding that is cut off gx at the end begins one pixel too late."""

    def backward(self, gy):
        gx, gweight = super().backward(gy)
        shifted = np.zeros_like(gx)
        shifted[..., :-1, :-1] = gx[..., 1:, 1:]
        return shifted, gweight


class ConvolutionUnflipped(Convolution):
    """gx is made with the kernel as it stands, not flipped."""

    def backward(self, gy):
        x, weight = self.saved
        self.saved = x, weight[..., ::-1, ::-1]
        return super().backward(gy)


class CrossEntropy(SoftmaxCrossEntropy):
    """The mean over the rows is part of the op."""

    name = "MyCrossEntropy"
    rule = {"y": "mean over r of -log(p[r,label])", "gx": "(p - one-hot) gy / rows"}
    where = "p[r] = softmax(x[r])"

    def forward(self, x):
        return super().forward(x).mean()

    def backward(self, gy):
        rows, _ = self.input_shapes[0]
        return super().backward(np.full(rows, gy / rows))


class CrossEntropyNoMean(CrossEntropy):
    """The mean of forward is missing in backward."""

    def backward(self, gy):
        rows, _ = self.input_shapes[0]
        return SoftmaxCrossEntropy.backward(self, np.full(rows, gy))


class Square(Function):
    name = "MySquare"
    rule = {"y": "x**2", "gx": "2 x gy"}

    def forward(self, x):
        self.save(x)
        return x * x

    def backward(self, gy):
        (x,) = self.saved
        return 2 * x * gy


class SquareInPlace(Square):
    """What was saved for backward is overwritten in place before backward reads it."""

    def forward(self, x):
        y = x.copy()
        self.save(y)
        y *= y
        return y


def momentum(weight, velocity, gradient, lr, momentum):
    """One step of SGD with momentum: the new weight and velocity."""
    velocity = momentum * velocity + gradient
    return weight - lr * velocity, velocity


def momentum_uphill(weight, velocity, gradient, lr, momentum):
    velocity = momentum * velocity - gradient
    return weight - lr * velocity, velocity
