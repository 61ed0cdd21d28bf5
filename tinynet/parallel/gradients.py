"""The gradient of a whole batch from the gradients of its shares."""

from collections import Counter

import numpy as np

from tinynet.autograd.tape import backprop, sorted_ops
from tinynet.parallel.group import WorkerError, current

ENOUGH = 1 << 20  # bytes of gradients that are worth a message of their own


def share_of(count):
    """The slice of `count` images that is this worker's: all workers' slices, in the order of
    their ranks, are the whole, and their lengths differ by one at most."""
    group = current()
    return slice(group.rank * count // group.size, (group.rank + 1) * count // group.size)


def weight_of(count):
    """What this worker's loss counts for where the shares of a batch differ: its `count` of images
    over the mean of all workers'. The mean of the losses, so weighted, is the loss of the whole
    batch, and so with their gradients. All workers call it together."""
    counts = np.array([float(count)])
    current().all_reduce(counts)
    if not counts[0]:
        raise ValueError("weight_of: there is no image in any worker's share; leave the batch out")
    return count * current().size / float(counts[0])


def average_gradients(model):
    """Replace the gradient of each parameter, in place, by its mean over all workers.

    To be called by all workers after backward and before the optimiser's step. model: a Module, or
    anything else with `parameters()`. Raises WorkerError where a parameter has a gradient in some
    workers only.
    """
    size, parameters = current().size, list(model.parameters())
    if size > 1:
        gradients = [p.grad for p in parameters if p.grad is not None]
        for gradient in gradients:
            gradient.array *= gradient.array.dtype.type(1 / size)
        _on_their_way(gradients, parameters)()


def backward(loss, model, weight=1.0):
    """`loss.backward()` and `average_gradients(model)` in one: the gradients of a layer travel
    while the walk goes on to the layers before it. weight: of this worker's loss, see `weight_of`.
    """
    size, parameters = current().size, list(model.parameters())
    if size == 1 or loss.is_leaf or any(p.grad is not None for p in parameters):
        loss.backward(np.full_like(loss.array, weight) if loss.numel() == 1 else None)
        average_gradients(model)
        return
    # divided here, where it is one number, and not in every gradient
    start = np.full_like(loss.array, weight / size) if loss.numel() == 1 else None
    ours = {id(p) for p in parameters}
    parents = (id(parent) for op in sorted_ops(loss.node) for parent in op.parents)
    uses = Counter(parent for parent in parents if parent in ours)
    finishing, ready, bytes_ready = [], [], 0
    for op, _, _ in backprop(loss, start):
        for parent in op.parents:
            if id(parent) in ours:
                uses[id(parent)] -= 1
                if not uses[id(parent)] and parent.grad is not None:
                    ready.append(parent.grad)
                    bytes_ready += parent.grad.array.nbytes
        if bytes_ready >= ENOUGH:
            finishing.append(_on_their_way(ready))
            ready, bytes_ready = [], 0
    # the walk leaves out ops that no gradient reaches, and so some uses
    ready += [p.grad for p in parameters if uses[id(p)] and p.grad is not None]
    finishing.append(_on_their_way(ready, parameters))
    for finish in finishing:
        finish()


def average_buffers(model):
    """Replace every buffer of floating numbers, in place, by its mean over all workers: running
    statistics of BatchNorm, where each worker has taken its own. model: a Module."""
    if current().size > 1:
        buffers = [b for b in model.buffers() if b.dtype.kind == "f"]
        current().all_reduce(*(buffer.array for buffer in buffers))
        for buffer in buffers:
            buffer /= current().size


def _on_their_way(gradients, parameters=()):
    """Begin to sum up gradients; returns a function that waits for the sums. With the last of them
    goes word of which parameters have one, as two gradients of one size might be of two parameters,
    and of whether the job is to stop.
    """
    arrays, size, stop = [gradient.array for gradient in gradients], current().size, current().stop
    kind = arrays[-1].dtype if arrays else np.float32  # of the same dtype, they need no message
    asked = [stop is not None and stop.wanted] if parameters else []
    has = np.array([*(p.grad is not None for p in parameters), *asked], kind)
    finish = current().begin(*arrays, has)

    def finish_all():
        finish()
        for gradient in gradients:
            gradient.changed()
        if stop is not None and parameters:
            stop.agreed = has[-1] > 0
        for p, workers in zip(parameters, has.tolist(), strict=False):
            if workers not in (0, size):
                raise WorkerError(
                    f"a parameter of shape {p.shape} has a gradient in {workers:g} of {size} "
                    "workers; its loss must reach it in all of them or in none"
                )

    return finish_all
