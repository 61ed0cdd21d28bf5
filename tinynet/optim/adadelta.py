"""Adadelta, as torch computes it."""

from tinynet import check
from tinynet.backend import array_module
from tinynet.optim.optimizer import Optimizer


def adadelta(xs, gs, vs, us, lr, rho, eps, weight_decay, maximize):
    """One step, in place: for the gradient g of each parameter x

        g = g + weight_decay * x
        v = rho * v + (1 - rho) * g**2
        d = sqrt(u + eps) / sqrt(v + eps) * g
        u = rho * u + (1 - rho) * d**2
        x = x - lr * d

    Zeiler, "ADADELTA: An Adaptive Learning Rate Method" (arXiv 1212.5701), Algorithm 1, where lr
    is 1. Args: xs, gs, vs, us: lists of arrays.
    """
    for x, g, v, u in zip(xs, gs, vs, us, strict=True):
        sqrt = array_module(x).sqrt
        g = -g if maximize else g
        if weight_decay:
            g = g + weight_decay * x
        v[...] = rho * v + (1 - rho) * g**2
        d = sqrt(u + eps) / sqrt(v + eps) * g
        u[...] = rho * u + (1 - rho) * d**2
        x -= lr * d


class Adadelta(Optimizer):
    """Steps as large as the last ones were, per gradient; `adadelta` has the formulas.

    Args:
        params, lr, rho, eps, weight_decay: as there; all are at least 0, rho at most 1.
        maximize: climb instead of descend.
    """

    def __init__(self, params, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0, *, maximize=False):
        numbers = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**numbers, "maximize": maximize})

    def _check_group(self, group):
        for key in ("lr", "eps", "weight_decay"):
            check.number("Adadelta", key, group[key], low=0)
        check.number("Adadelta", "rho", group["rho"], low=0, high=1)

    def _buffer_names(self, group):
        return {"step", "square_avg", "acc_delta"}, set()

    def _update(self, group, params, xs, gs):
        vs, us = ([self._buffer(p, key) for p in params] for key in ("square_avg", "acc_delta"))
        for p in params:
            self._next_step(p)
        numbers = self._numbers(group, "lr", "rho", "eps", "weight_decay")
        adadelta(xs, gs, vs, us, *numbers, group["maximize"])
