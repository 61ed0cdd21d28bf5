"""The optimisers' steps, piece by piece: an update makes several passes over a parameter, which
cost one trip to memory where the piece stays in the processor's cache."""

import numpy as np

BLOCK = 1 << 15  # elements of a piece (128 KiB of float32)


def blocks(x):
    """Indices that cut `x` along its first axis into pieces of about BLOCK elements."""
    if x.size <= BLOCK:
        return [...]
    rows = max(1, BLOCK * len(x) // x.size)
    return [slice(start, start + rows) for start in range(0, len(x), rows)]


def sgd(xs, gs, vs, firsts, lr, momentum, dampening, weight_decay, nesterov, maximize):
    kept = 1 - dampening
    for x_all, g, v_all, first in zip(xs, gs, vs, firsts, strict=True):
        for block in blocks(x_all):
            x, d = x_all[block], g[block]
            if maximize:
                d = -d
            if weight_decay:
                d = d + weight_decay * x
            if momentum:
                v = v_all[block]
                if first:
                    v[...] = d
                else:
                    v *= momentum
                    v += d if kept == 1 else kept * d
                d = d + momentum * v if nesterov else v
            x -= lr * d


def adam(xs, gs, ms, vs, tops, steps, lr, beta1, beta2, eps, weight_decay, decoupled, maximize):
    for *arrays, top_all, t in zip(xs, gs, ms, vs, tops, steps, strict=True):
        step_size, root2 = lr / (1 - beta1**t), (1 - beta2**t) ** 0.5
        for block in blocks(arrays[0]):
            x, g, m, v = (array[block] for array in arrays)
            if maximize:
                g = -g
            if weight_decay and decoupled:
                x *= 1 - lr * weight_decay
            elif weight_decay:
                g = g + weight_decay * x
            m += (1 - beta1) * (g - m)
            v *= beta2
            v += (1 - beta2) * g * g
            if top_all is not None:
                top = top_all[block]
                v = np.maximum(top, v, out=top)
            x -= step_size * m / (np.sqrt(v) / root2 + eps)
