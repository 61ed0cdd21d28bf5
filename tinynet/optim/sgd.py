"""Stochastic gradient descent with momentum, as torch computes it."""

from tinynet.autograd import Tensor
from tinynet.backend import array_module
from tinynet.optim.optimizer import Optimizer, blocks, check_number


class SGD(Optimizer):
    """For the gradient g of a parameter x:

        d = g + weight_decay * x
        v = momentum * v + (1 - dampening) * d      (v = d at the first step)
        x = x - lr * v                              (nesterov: x - lr * (d + momentum * v))

    The learning rate stands OUTSIDE v. Sutskever et al., "On the importance of initialization
    and momentum in deep learning" (ICML 2013), keep it inside: x += v, v = momentum * v - lr * g.
    The two agree only as long as lr does not change.

    Args:
        params, lr, momentum, weight_decay: as above; lr and the others are at least 0.
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
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)
        if nesterov and (momentum == 0 or dampening != 0):
            raise ValueError(
                f"SGD: nesterov=True needs momentum > 0 and dampening = 0, got "
                f"momentum={momentum} and dampening={dampening}"
            )

    def _check_group(self, group):
        for key in ("lr", "momentum", "weight_decay"):
            self._check_number(group, key)
        check_number("SGD", "dampening", group["dampening"])

    def _buffer_names(self, group):
        return set(), {"momentum_buffer"}

    def _update(self, p, group):
        # float(): a NumPy float64 among the hyperparameters would lift float32 arrays to float64
        lr, momentum = float(group["lr"]), float(group["momentum"])
        weight_decay, kept = float(group["weight_decay"]), 1 - float(group["dampening"])
        first = False
        if momentum:
            state = self.state[p]
            first = "momentum_buffer" not in state
            if first:
                state["momentum_buffer"] = Tensor(array_module(p.array).empty_like(p.array))
            velocity = state["momentum_buffer"].array
        for block in blocks(p.array):
            x, d = p.array[block], p.grad.array[block]
            if group["maximize"]:
                d = -d
            if weight_decay:
                d = d + weight_decay * x
            if momentum:
                v = velocity[block]
                if first:
                    v[...] = d
                else:
                    v *= momentum
                    v += d if kept == 1 else kept * d
                d = d + momentum * v if group["nesterov"] else v
            x -= lr * d
