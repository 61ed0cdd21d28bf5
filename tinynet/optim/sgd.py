"""Stochastic gradient descent with momentum, as torch computes it."""

from tinynet import check
from tinynet.autograd.tape import implementation
from tinynet.optim.optimizer import Optimizer


def sgd(xs, gs, vs, firsts, lr, momentum, dampening, weight_decay, nesterov, maximize):
    """One step, in place: for the gradient g of each parameter x

        d = g + weight_decay * x
        v = momentum * v + (1 - dampening) * d      (v = d at the first step)
        x = x - lr * v                              (nesterov: x - lr * (d + momentum * v))

    The learning rate stands OUTSIDE v. Sutskever et al., "On the importance of initialization
    and momentum in deep learning" (ICML 2013), keep it inside: x += v, v = momentum * v - lr * g.
    The two agree only as long as lr does not change.

    Args: xs, gs, vs: lists of arrays, vs of None without momentum. firsts: for each parameter
    whether this is its first step. maximize: climb instead of descend.
    """
    for x, g, v, first in zip(xs, gs, vs, firsts, strict=True):
        d = -g if maximize else g
        if weight_decay:
            d = d + weight_decay * x
        if momentum:
            v[...] = d if first else momentum * v + (1 - dampening) * d
            d = d + momentum * v if nesterov else v
        x -= lr * d


class SGD(Optimizer):
    """Stochastic gradient descent; `sgd` has the formulas.

    Args:
        params, lr, momentum, weight_decay: as there; lr and the others are at least 0.
        dampening: the share of each later gradient that v leaves out.
        nesterov: look ahead along v; needs momentum > 0 and dampening 0.
        maximize: climb instead of descend.
    """

    def __init__(
        self,
        params,
        lr=1e-3,
        momentum=0,
        dampening=0,
        weight_decay=0,
        nesterov=False,
        *,
        maximize=False,
    ):
        numbers = {"lr": lr, "momentum": momentum, "dampening": dampening}
        numbers["weight_decay"] = weight_decay
        super().__init__(params, {**numbers, "nesterov": nesterov, "maximize": maximize})
        if nesterov and (momentum == 0 or dampening != 0):
            raise ValueError(
                f"SGD: nesterov=True needs momentum > 0 and dampening = 0, got "
                f"momentum={momentum} and dampening={dampening}"
            )

    def _check_group(self, group):
        for key in ("lr", "momentum", "weight_decay"):
            check.number("SGD", key, group[key], low=0)
        check.number("SGD", "dampening", group["dampening"])

    def _buffer_names(self, group):
        return set(), {"momentum_buffer"}

    def _update(self, group, params, xs, gs):
        numbers = self._numbers(group, "lr", "momentum", "dampening", "weight_decay")
        firsts, vs = [False] * len(params), [None] * len(params)
        if group["momentum"]:
            firsts = ["momentum_buffer" not in self.state[p] for p in params]
            vs = [self._buffer(p, "momentum_buffer") for p in params]
        step = implementation(sgd, xs, gs, vs)
        step(xs, gs, vs, firsts, *numbers, group["nesterov"], group["maximize"])
