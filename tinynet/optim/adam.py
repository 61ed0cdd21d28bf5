"""Adam and AdamW, as torch computes them."""

import numpy as np

from tinynet.autograd import Tensor
from tinynet.backend import array_module
from tinynet.optim.optimizer import Optimizer, blocks


class Adam(Optimizer):
    """For the gradient g of a parameter x, at step t = 1, 2, ...:

        g = g + weight_decay * x                         (Adam)
        x = x - lr * weight_decay * x                    (AdamW: decoupled)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        x = x - lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)

    Kingma and Ba, "Adam: A Method for Stochastic Optimization" (arXiv 1412.6980), Algorithm 1;
    Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (arXiv 1711.05101),
    Algorithm 2. `eps` is added after the bias correction.

    Args:
        params, lr, betas, eps, weight_decay: as above.
        amsgrad: divide by the largest v so far (Reddi et al., arXiv 1904.09237).
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
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _check_group(self, group):
        for key in ("lr", "eps", "weight_decay"):
            self._check_number(group, key)
        betas = group["betas"]
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise TypeError(
                f"{type(self).__name__}: betas must be a pair of numbers, got {betas!r}"
            )
        named = {"betas[0]": betas[0], "betas[1]": betas[1]}
        for key in named:
            self._check_number(named, key, below=1)

    def _buffer_names(self, group):
        needed = {"step", "exp_avg", "exp_avg_sq"}
        return (needed | {"max_exp_avg_sq"}, set()) if group["amsgrad"] else (needed, set())

    def _update(self, p, group):
        # float(): a NumPy float64 among the hyperparameters would lift float32 arrays to float64
        lr, eps, weight_decay = (float(group[key]) for key in ("lr", "eps", "weight_decay"))
        beta1, beta2 = (float(beta) for beta in group["betas"])
        buffers = self.state[p]
        if not buffers:
            zeros_like = array_module(p.array).zeros_like
            buffers["step"] = Tensor(np.zeros((), dtype=np.float32))
            for key in sorted(self._buffer_names(group)[0] - {"step"}):
                buffers[key] = Tensor(zeros_like(p.array))
        step = buffers["step"].array
        step += 1
        step_size = lr / (1 - beta1 ** float(step))
        root2 = (1 - beta2 ** float(step)) ** 0.5
        xp = array_module(p.array)
        for block in blocks(p.array):
            x, g = p.array[block], p.grad.array[block]
            m, v = buffers["exp_avg"].array[block], buffers["exp_avg_sq"].array[block]
            if group["maximize"]:
                g = -g
            if weight_decay and group["decoupled_weight_decay"]:
                x *= 1 - lr * weight_decay
            elif weight_decay:
                g = g + weight_decay * x
            m += (1 - beta1) * (g - m)
            v *= beta2
            v += (1 - beta2) * g * g
            if group["amsgrad"]:
                largest = buffers["max_exp_avg_sq"].array[block]
                v = xp.maximum(largest, v, out=largest)
            x -= step_size * m / (xp.sqrt(v) / root2 + eps)


class AdamW(Adam):
    """Adam with decoupled weight decay (see `Adam`), by default 0.01."""

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
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize=maximize,
            decoupled_weight_decay=True,
        )
