"""The parts of a training loop that are not learning: folder, checkpoint, history, curves ...

`curves` loads matplotlib, which takes a moment, only when it draws.
"""

from tinynet.files import atomic_write
from tinynet.training import checkpoint, curves, metrics
from tinynet.training.checkpoint import CheckpointError
from tinynet.training.folder import run_folder
from tinynet.training.history import History
from tinynet.training.metrics import Average, accuracy

__all__ = [
    "Average",
    "CheckpointError",
    "History",
    "accuracy",
    "atomic_write",
    "checkpoint",
    "curves",
    "metrics",
    "run_folder",
]
