"""Learning-rate schedules with torch's names, formulas and state dicts."""

from tinynet.optim.lr_scheduler.base import LRScheduler
from tinynet.optim.lr_scheduler.one_cycle import OneCycleLR
from tinynet.optim.lr_scheduler.schedules import (
    CosineAnnealingLR,
    LambdaLR,
    LinearLR,
    MultiStepLR,
    StepLR,
)
from tinynet.optim.lr_scheduler.sequential import SequentialLR

__all__ = [
    "CosineAnnealingLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "SequentialLR",
    "StepLR",
]
