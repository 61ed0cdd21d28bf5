"""Stochastic gradient descent with momentum, as torch computes it."""

import functools

import numpy as np

from tinynet.autograd import Tensor
from tinynet.backend import array_module
from tinynet.kernel import Kernel, suits
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

    def _velocity(self, p, momentum):
        """v of a parameter as an array (None without momentum), and whether it is yet to be set."""
        if not momentum:
            return None, False
        state = self.state[p]
        first = "momentum_buffer" not in state
        if first:
            state["momentum_buffer"] = Tensor(array_module(p.array).empty_like(p.array))
        return state["momentum_buffer"].array, first

    def _update(self, p, group):
        # float(): a NumPy float64 among the hyperparameters would lift float32 arrays to float64
        lr, momentum = float(group["lr"]), float(group["momentum"])
        weight_decay, kept = float(group["weight_decay"]), 1 - float(group["dampening"])
        velocity, first = self._velocity(p, momentum)
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

    def _update_all(self, params, group):
        by_kernel, one_by_one = {}, []
        for p in params:
            fits = suits(p.array, p.grad.array)
            (by_kernel.setdefault(p.dtype, []) if fits else one_by_one).append(p)
        super()._update_all(one_by_one, group)
        for together in by_kernel.values():
            self._update_by_kernel(together, group)

    def _update_by_kernel(self, params, group):
        xp, table = array_module(params[0].array), []
        for p in params:
            v, first = self._velocity(p, group["momentum"])
            addresses = p.array.data.ptr, p.grad.array.data.ptr, 0 if v is None else v.data.ptr
            table.append((*addresses, p.array.size, first))
        table = _on_the_gpu(xp, tuple(table))  # where all lies, which is mostly where it last lay
        parts = _parts(xp, tuple(p.array.size for p in params))
        numbers = (float(group[key]) for key in ("lr", "momentum", "dampening", "weight_decay"))
        flags = bool(group["nesterov"]), bool(group["maximize"])
        grid = (len(parts),)
        SGD_STEP(grid, (table, parts), *numbers, *flags, dtype=params[0].dtype, PART=PART)


# All parameters in one launch: MobileNet has 83, most of them small, and a launch for each would
# take longer than the work. A block has up to PART values of one parameter; `table` tells where
# each parameter, its gradient and its v lie, `parts` which parameter, from where on.
PART = 4096


@functools.lru_cache(maxsize=16)
def _parts(xp, sizes):
    starts = ((i, start) for i, size in enumerate(sizes) for start in range(0, size, PART))
    return _on_the_gpu(xp, tuple(starts))


@functools.lru_cache(maxsize=16)
def _on_the_gpu(xp, rows):
    return xp.asarray(np.array(rows, np.int64))


SGD_STEP = Kernel(
    "sgd_step",
    r"""
extern "C" __global__ void sgd_step(
    const long long *table, const long long *parts, double lr, double momentum, double dampening,
    double weight_decay, int nesterov, int maximize)
{
    const long long *part = parts + 2 * blockIdx.x, *row = table + 5 * part[0];
    real *x = (real *)row[0], *v = (real *)row[2];
    const real *g = (const real *)row[1];
    const long long size = row[3], end = part[1] + PART < size ? part[1] + PART : size;
    const bool first = row[4];
    const real rate = lr, mu = momentum, kept = 1 - dampening, decay = weight_decay;
    for (long long k = part[1] + threadIdx.x; k < end; k += THREADS) {
        real d = (maximize ? -g[k] : g[k]) + decay * x[k];
        if (v) {
            v[k] = first ? d : mu * v[k] + kept * d;
            d = nesterov ? d + mu * v[k] : v[k];
        }
        x[k] -= rate * d;
    }
}
""",
)
