"""Adam and AdamW, as torch computes them."""

from tinynet import check
from tinynet.autograd.tape import implementation
from tinynet.backend import array_module
from tinynet.optim.optimizer import Optimizer
from tinynet.optim.state import brief

BETAS = "betas[0]", "betas[1]"


def adam(xs, gs, ms, vs, tops, steps, lr, beta1, beta2, eps, weight_decay, decoupled, maximize):
    """One step, in place: for the gradient g of each parameter x, at its step t = 1, 2, ...

        g = g + weight_decay * x                         (Adam)
        x = (1 - lr * weight_decay) * x                  (AdamW: decoupled)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        x = x - lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)

    Kingma and Ba, "Adam: A Method for Stochastic Optimization" (arXiv 1412.6980), Algorithm 1;
    Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (arXiv 1711.05101),
    Algorithm 2. `eps` is added after the bias correction.

    Args: xs, gs, ms, vs: lists of arrays. tops: the largest v so far, which then takes the place
    of v in the last line (AMSGrad: Reddi et al., arXiv 1904.09237), or None for each parameter.
    steps: t for each parameter. maximize: climb instead of descend.
    """
    for x, g, m, v, top, t in zip(xs, gs, ms, vs, tops, steps, strict=True):
        xp = array_module(x)
        g = -g if maximize else g
        if decoupled:
            x *= 1 - lr * weight_decay
        elif weight_decay:
            g = g + weight_decay * x
        m[...] = beta1 * m + (1 - beta1) * g
        v[...] = beta2 * v + (1 - beta2) * g**2
        if top is not None:
            v = top[...] = xp.maximum(top, v)
        x -= lr * (m / (1 - beta1**t)) / (xp.sqrt(v / (1 - beta2**t)) + eps)


class Adam(Optimizer):
    """Adaptive moment estimation; `adam` has the formulas.

    Args:
        params, lr, betas, eps, weight_decay: as there; all are at least 0, betas below 1.
        amsgrad: divide by the largest v so far.
        maximize: climb instead of descend.
        decoupled_weight_decay: AdamW's decay, as in torch.
    """

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        amsgrad=False,
        *,
        maximize=False,
        decoupled_weight_decay=False,
    ):
        numbers = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        flags = {"amsgrad": amsgrad, "maximize": maximize}
        flags["decoupled_weight_decay"] = decoupled_weight_decay
        super().__init__(params, numbers | flags)

    def _check_group(self, group):
        name = type(self).__name__
        for key in ("lr", "eps", "weight_decay"):
            check.number(name, key, group[key], low=0)
        betas = group["betas"]
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise TypeError(f"{name}: betas must be a pair of numbers, got {brief(betas)}")
        for key, beta in zip(BETAS, betas, strict=True):
            check.number(name, key, beta, low=0, high=1, below=True)

    def _buffer_names(self, group):
        needed = {"step", "exp_avg", "exp_avg_sq"}
        return needed | ({"max_exp_avg_sq"} if group["amsgrad"] else set()), set()

    def _update(self, group, params, xs, gs):
        lr, eps, weight_decay = self._numbers(group, "lr", "eps", "weight_decay")
        betas = self._numbers(dict(zip(BETAS, group["betas"], strict=True)), *BETAS, below=1)
        ms, vs = ([self._buffer(p, key) for p in params] for key in ("exp_avg", "exp_avg_sq"))
        tops = [self._buffer(p, "max_exp_avg_sq") if group["amsgrad"] else None for p in params]
        steps = [self._next_step(p) for p in params]
        flags = group["decoupled_weight_decay"], group["maximize"]
        step = implementation(adam, xs, gs, ms, vs)
        step(xs, gs, ms, vs, tops, steps, lr, *betas, eps, weight_decay, *flags)


class AdamW(Adam):
    """Adam with decoupled weight decay, by default 0.01."""

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=1e-2,
        amsgrad=False,
        *,
        maximize=False,
    ):
        flags = {"maximize": maximize, "decoupled_weight_decay": True}
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, **flags)
