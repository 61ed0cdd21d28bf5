"""The parts of a training loop that are not learning: checkpoints, history, curves, metrics.

`curves` is imported by its own name (`from tinynet.training import curves`): it loads matplotlib,
which takes a moment that a program without a picture need not wait.
"""

from tinynet.files import atomic_write
from tinynet.training import checkpoint, metrics
from tinynet.training.checkpoint import CheckpointError
from tinynet.training.history import History
from tinynet.training.metrics import Average, accuracy

__all__ = [
    "Average",
    "CheckpointError",
    "History",
    "accuracy",
    "atomic_write",
    "checkpoint",
    "metrics",
]
