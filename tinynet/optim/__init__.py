"""Optimizers and learning-rate schedules, with torch's names and torch's update rules."""

from tinynet.optim import lr_scheduler, swa_utils
from tinynet.optim.adam import Adam, AdamW
from tinynet.optim.optimizer import Optimizer
from tinynet.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler", "swa_utils"]
