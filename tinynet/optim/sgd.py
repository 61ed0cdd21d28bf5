"""Stochastic gradient descent with momentum, as torch computes it."""

from tinynet.autograd import Tensor
from tinynet.backend import array_module
from tinynet.kernel import Kernel
from tinynet.optim.one_launch import PARTS, launch
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

    def _update_by_kernel(self, params, group):
        columns = {p: self._velocity(p, group["momentum"]) for p in params}
        numbers = (float(group[key]) for key in ("lr", "momentum", "dampening", "weight_decay"))
        flags = bool(group["nesterov"]), bool(group["maximize"])
        launch(SGD_STEP, columns, *numbers, *flags)


SGD_STEP = Kernel(
    "sgd_step",
    PARTS
    + r"""
extern "C" __global__ void sgd_step(
    const long long *table, const long long *parts, double lr, double momentum, double dampening,
    double weight_decay, int nesterov, int maximize)
{
    const Part part = part_of(table, parts);
    real *x = (real *)part.row[1], *v = (real *)part.row[3];
    const real *g = (const real *)part.row[2];
    const bool first = part.row[4];
    const real rate = lr, mu = momentum, kept = 1 - dampening, decay = weight_decay;
    for (long long k = part.first + threadIdx.x; k < part.end; k += THREADS) {
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
