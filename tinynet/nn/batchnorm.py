"""The batch normalisation layer."""

import numpy as np

from tinynet.autograd import Tensor
from tinynet.nn import functional as F
from tinynet.nn import init
from tinynet.nn.arguments import count
from tinynet.nn.module import Module, Parameter


class BatchNorm2d(Module):
    """Normalise each channel of (N, num_features, H, W), then scale by weight and add bias.

    In training by the batch's statistics, which also move the running ones:
    new = (1 - momentum) old + momentum batch (the variance unbiased); momentum None averages all
    batches alike. In evaluation by the running ones (if track_running_stats).

    activation: None, "relu" or "relu6" to apply to the result in the same op; see
    `nn.fuse_activations`, which sets it.
    """

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
        self.num_features = count("BatchNorm2d", "num_features", num_features)
        if not eps >= 0:
            raise ValueError(f"BatchNorm2d: eps must not be negative, got {eps}")
        if momentum is not None and not 0 <= momentum <= 1:
            raise ValueError(f"BatchNorm2d: momentum must be None or from 0 to 1, got {momentum}")
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
        self.activation = None
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
        # track_running_stats may have been switched off later: the running ones then stand still
        tracking = self.training and self.track_running_stats and self.running_mean is not None
        used = tracking or not self.training
        momentum = self.momentum
        if momentum is None:
            momentum = 1 / (self.num_batches_tracked.item() + 1) if tracking else 0.0
        return F.batch_norm(
            x,
            self.running_mean if used else None,
            self.running_var if used else None,
            self.weight,
            self.bias,
            training=self.training or self.running_mean is None,
            momentum=momentum,
            eps=self.eps,
            activation=self.activation,
            num_batches_tracked=self.num_batches_tracked if tracking else None,
        )

    def extra_repr(self):
        text = (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )
        return text if self.activation is None else f"{text}, activation={self.activation!r}"
