"""A Sequential in which a BatchNorm2d and the ReLU or ReLU6 after it are computed as one op.

That happens while it runs and is nobody's to see: the modules stay what they are, and where a hook,
an observer or a changed `forward` might look between the two, they run one after the other.
"""

from tinynet.autograd.mode import mode
from tinynet.fast.cpu.batchnorm import BatchNormReLU, BatchNormReLU6, following
from tinynet.nn import BatchNorm2d, ReLU, ReLU6, SyncBatchNorm

FUSED = {ReLU: BatchNormReLU, ReLU6: BatchNormReLU6}
NORMS = (BatchNorm2d, SyncBatchNorm)
AS_WRITTEN = {kind: (kind.__call__, kind.forward) for kind in (*NORMS, *FUSED)}


def in_turn(modules, x):
    waiting = iter(modules)  # and no list: a module's hook may replace those that wait
    for module in waiting:
        if type(module) in NORMS and is_free(module):
            x = with_the_next(module, next(waiting, nothing), x)
        else:
            x = module(x)
    return x


def with_the_next(norm, after, x):
    fused = FUSED.get(type(after))
    if not (fused and is_free(after)):
        return after(norm(x))
    following.fused = fused
    try:
        x = norm(x)
        taken = following.fused is None
    finally:
        following.fused = None
    return x if taken else after(x)


def nothing(x):
    return x


def is_free(module):
    """Whether the module does what its class was written to do, and nobody watches."""
    kind = type(module)
    as_written = (kind.__call__, kind.forward) == AS_WRITTEN[kind]
    return as_written and "forward" not in vars(module) and not (module._hooks or mode.observers)
