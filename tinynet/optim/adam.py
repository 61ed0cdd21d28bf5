"""Adam and AdamW, as torch computes them."""

from collections import defaultdict

import numpy as np

from tinynet.autograd import Tensor
from tinynet.backend import array_module
from tinynet.kernel import Kernel
from tinynet.optim.one_launch import PARTS, launch
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

    def _next_step(self, p, group):
        """A parameter's buffers, made at the first step, and the number of the step."""
        buffers = self.state[p]
        if not buffers:
            zeros_like = array_module(p.array).zeros_like
            buffers["step"] = Tensor(np.zeros((), dtype=np.float32))
            for key in sorted(self._buffer_names(group)[0] - {"step"}):
                buffers[key] = Tensor(zeros_like(p.array))
        buffers["step"].array += 1
        return buffers, float(buffers["step"].array)

    def _numbers(self, group, t):
        """lr, beta1, beta2, eps, weight_decay; lr / (1 - beta1**t) and sqrt(1 - beta2**t)"""
        # float(): a NumPy float64 among the hyperparameters would lift float32 arrays to float64
        lr, eps, weight_decay = (float(group[key]) for key in ("lr", "eps", "weight_decay"))
        beta1, beta2 = (float(beta) for beta in group["betas"])
        corrections = lr / (1 - beta1**t), (1 - beta2**t) ** 0.5
        return lr, beta1, beta2, eps, weight_decay, *corrections

    def _update(self, p, group):
        buffers, t = self._next_step(p, group)
        lr, beta1, beta2, eps, weight_decay, step_size, root2 = self._numbers(group, t)
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

    def _update_by_kernel(self, params, group):
        by_step = defaultdict(dict)  # those that got gradients later are behind
        for p in params:
            buffers, t = self._next_step(p, group)
            by_step[t][p] = [
                buffers[name].array if name in buffers else None
                for name in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
            ]
        flags = bool(group["decoupled_weight_decay"]), bool(group["maximize"])
        for t, columns in by_step.items():
            launch(ADAM_STEP, columns, *self._numbers(group, t), *flags)


ADAM_STEP = Kernel(
    "adam_step",
    PARTS
    + r"""
extern "C" __global__ void adam_step(
    const long long *table, const long long *parts, double lr, double beta1, double beta2,
    double eps, double weight_decay, double step_size, double root2, int decoupled, int maximize)
{
    const Part part = part_of(table, parts);
    real *x = (real *)part.row[1], *m = (real *)part.row[3], *v = (real *)part.row[4];
    const real *grad = (const real *)part.row[2];
    real *largest = (real *)part.row[5];
    const real kept1 = 1 - beta1, kept2 = 1 - beta2, mu = beta2, root = root2, rate = step_size;
    const real shrunk = 1 - lr * weight_decay, decay = weight_decay, least = eps;
    for (long long k = part.first + threadIdx.x; k < part.end; k += THREADS) {
        real g = maximize ? -grad[k] : grad[k];
        if (decoupled)
            x[k] *= shrunk;
        else
            g += decay * x[k];
        m[k] += kept1 * (g - m[k]);
        v[k] = mu * v[k] + kept2 * g * g;
        real square = v[k];
        if (largest) square = largest[k] = largest[k] > square ? largest[k] : square;
        x[k] -= rate * m[k] / (sqrt(square) / root + least);
    }
}
""",
)


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
