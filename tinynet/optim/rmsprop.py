"""RMSprop, as torch computes it."""

from tinynet import check
from tinynet.backend import array_module
from tinynet.optim.optimizer import Optimizer


def rmsprop(xs, gs, vs, ms, bs, lr, alpha, eps, weight_decay, momentum, maximize):
    """One step, in place: for the gradient g of each parameter x

        g = g + weight_decay * x
        v = alpha * v + (1 - alpha) * g**2
        m = alpha * m + (1 - alpha) * g             (centered)
        d = g / (sqrt(v - m**2) + eps)              (m = 0 unless centered)
        b = momentum * b + d                        (b = d without momentum)
        x = x - lr * b

    Hinton, "Neural Networks for Machine Learning" (2012), lecture 6; centered: Graves, arXiv
    1308.0850, equations 38 to 45, but for eps, which torch adds outside of the root.

    Args: xs, gs, vs, ms, bs: lists of arrays; None in ms unless centered, in bs without momentum.
    """
    for x, g, v, m, b in zip(xs, gs, vs, ms, bs, strict=True):
        g = -g if maximize else g
        if weight_decay:
            g = g + weight_decay * x
        v[...] = alpha * v + (1 - alpha) * g**2
        spread = v
        if m is not None:
            m[...] = alpha * m + (1 - alpha) * g
            spread = v - m**2
        d = g / (array_module(x).sqrt(spread) + eps)
        if b is not None:
            b[...] = momentum * b + d
            d = b
        x -= lr * d


class RMSprop(Optimizer):
    """Gradients over the root of their mean square; `rmsprop` has the formulas.

    Args:
        params, lr, alpha, eps, weight_decay, momentum: as there; all are at least 0.
        centered: divide by the deviation, not by the root mean square.
        maximize: climb instead of descend.
    """

    def __init__(
        self,
        params,
        lr=1e-2,
        alpha=0.99,
        eps=1e-8,
        weight_decay=0,
        momentum=0,
        centered=False,
        *,
        maximize=False,
    ):
        numbers = {"lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps}
        flags = {"centered": centered, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, numbers | flags)

    def _check_group(self, group):
        for key in ("lr", "momentum", "alpha", "eps", "weight_decay"):
            check.number("RMSprop", key, group[key], low=0)

    def _buffer_names(self, group):
        names = {"step", "square_avg"} | ({"grad_avg"} if group["centered"] else set())
        return names | ({"momentum_buffer"} if group["momentum"] > 0 else set()), set()

    def _update(self, group, params, xs, gs):
        keys = "lr", "alpha", "eps", "weight_decay", "momentum"
        numbers = self._numbers(group, *keys)
        wanted = {"square_avg": True, "grad_avg": group["centered"]}
        wanted["momentum_buffer"] = group["momentum"] > 0
        buffers = [
            [self._buffer(p, key) if needed else None for p in params]
            for key, needed in wanted.items()
        ]
        for p in params:
            self._next_step(p)
        rmsprop(xs, gs, *buffers, *numbers, group["maximize"])
