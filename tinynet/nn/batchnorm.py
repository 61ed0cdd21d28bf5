"""The batch normalisation layer."""

import numpy as np

from tinynet import check, parallel
from tinynet.autograd import Tensor
from tinynet.nn import functional as F
from tinynet.nn import init
from tinynet.nn.module import Module, Parameter


class _BatchNorm(Module):
    """What the layers for inputs of other shapes have in common."""

    group = None  # of workers over whose shares of a batch the statistics are taken
    shapes = ()  # that the input may have

    def __init__(
        self,
        num_features,
        eps=1e-5,
        momentum=0.1,
        affine=True,
        track_running_stats=True,
        device=None,
        dtype=None,
        *,
        bias=True,
    ):
        super().__init__()
        name = type(self).__name__
        self.num_features = check.integer(name, "num_features", num_features, least=1)
        check.number(name, "eps", eps, 0)
        if momentum is not None:
            check.number(name, "momentum", momentum, 0, 1)
        self.eps, self.momentum = eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        for name, wanted in (("weight", affine), ("bias", affine and bias)):
            value = Parameter(np.empty(num_features, np.float32)) if wanted else None
            self.register_parameter(name, value)
        for name, shape, kind in (
            ("running_mean", num_features, np.float32),
            ("running_var", num_features, np.float32),
            ("num_batches_tracked", (), np.int64),
        ):
            self.register_buffer(
                name, Tensor(np.zeros(shape, kind)) if track_running_stats else None
            )
        self.reset_parameters()
        self.to(device=device, dtype=dtype)

    def reset_running_stats(self):
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self):
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, x):
        if isinstance(x, Tensor) and x.array.ndim not in map(len, self.shapes):
            wanted = " or ".join(f"({', '.join(shape)})" for shape in self.shapes)
            raise ValueError(
                f"{type(self).__name__}: expected an input of shape {wanted}, got shape {x.shape}"
            )
        mean, var, batches = self.running_mean, self.running_var, self.num_batches_tracked
        training, momentum = self.training or mean is None, self.momentum
        if self.training and not self.track_running_stats:
            mean = var = None  # switched off later: the running statistics stand still
        tracking = self.training and mean is not None
        if momentum is None:
            momentum = 1 / (batches.item() + 1) if tracking else 0.0
        return F.batch_norm(
            x,
            mean,
            var,
            self.weight,
            self.bias,
            training=training,
            momentum=momentum,
            eps=self.eps,
            num_batches_tracked=batches if tracking else None,
            group=self.group,
        )

    def extra_repr(self):
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """Normalise each channel of (N, num_features) or (N, num_features, L), then scale by weight and
    add bias.

    In training by the batch's statistics, which also move the running ones:
    new = (1 - momentum) old + momentum batch (the variance unbiased); momentum None averages all
    batches alike. In evaluation by the running ones (if track_running_stats).
    """

    shapes = "NC", "NCL"


class BatchNorm2d(_BatchNorm):
    """Normalise each channel of (N, num_features, H, W), then scale by weight and add bias.

    In training by the batch's statistics, which also move the running ones:
    new = (1 - momentum) old + momentum batch (the variance unbiased); momentum None averages all
    batches alike. In evaluation by the running ones (if track_running_stats).
    """

    shapes = ("NCHW",)


class SyncBatchNorm(BatchNorm2d):
    """BatchNorm2d whose statistics in training are those of the whole batch, of which each worker
    of `tinynet.parallel` has a share: workers with a part each learn what one with all would.

    In a program without workers it is BatchNorm2d.
    """

    @property
    def group(self):
        return parallel.current()

    @classmethod
    def convert_sync_batchnorm(cls, module):
        """Turn every BatchNorm2d in `module` into a SyncBatchNorm with the same parameters and
        buffers, and return the module (a new one if it is a BatchNorm2d itself)."""
        if type(module) is BatchNorm2d:
            converted = cls.__new__(cls)
            vars(converted).update(vars(module))
            return converted
        for name, child in module._modules.items():
            if child is not None:
                module._modules[name] = cls.convert_sync_batchnorm(child)
        return module
