"""Optimizers and learning-rate schedules, with torch's names and torch's update rules."""

from tinynet import absent
from tinynet.optim import lr_scheduler, swa_utils
from tinynet.optim.adadelta import Adadelta
from tinynet.optim.adam import Adam, AdamW
from tinynet.optim.optimizer import Optimizer
from tinynet.optim.rmsprop import RMSprop
from tinynet.optim.sgd import SGD

__getattr__ = absent.names_of(__name__)
__all__ = ["SGD", "Adadelta", "Adam", "AdamW", "Optimizer", "RMSprop", "lr_scheduler", "swa_utils"]
