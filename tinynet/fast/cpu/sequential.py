"""A Sequential in which a BatchNorm2d and the ReLU or ReLU6 after it are computed as one op.

That happens while it runs and is nobody's to see: the modules stay what they are, and where a hook,
an observer or a changed `forward` might look between the two, they run one after the other.
It serves a GPU, too.
"""

from tinynet.autograd.mode import mode
from tinynet.fast.cpu.batchnorm import following
from tinynet.nn import BatchNorm2d, ReLU, ReLU6, SyncBatchNorm
from tinynet.ops import activation

CEILINGS = {ReLU: activation.ReLU.ceiling, ReLU6: activation.ReLU6.ceiling}
NORMS = (BatchNorm2d, SyncBatchNorm)
AS_WRITTEN = {kind: (kind.__call__, kind.forward) for kind in (*NORMS, *CEILINGS)}


def in_turn(modules, x):
    waiting = iter(modules)  # and no list: a module's hook may replace those that wait
    for module in waiting:
        if type(module) in NORMS and is_free(module):
            x = with_the_next(module, next(waiting, nothing), x)
        else:
            x = module(x)
    return x


def with_the_next(norm, after, x):
    ceiling = CEILINGS.get(type(after))
    if ceiling is None or not is_free(after):
        return after(norm(x))
    following.ceiling = ceiling
    try:
        x = norm(x)
        taken = following.ceiling is None
    finally:
        following.ceiling = None
    return x if taken else after(x)


def nothing(x):
    return x


def is_free(module):
    """Whether the module does what its class was written to do, and nobody watches."""
    kind = type(module)
    as_written = (kind.__call__, kind.forward) == AS_WRITTEN[kind]
    return as_written and "forward" not in vars(module) and not (module._hooks or mode.observers)
