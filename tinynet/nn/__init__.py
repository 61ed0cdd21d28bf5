"""Layers by torch's names: `import tinynet.nn as nn` in place of `import torch.nn as nn`."""

from tinynet import absent
from tinynet.nn import functional, init, utils
from tinynet.nn.activation import (
    ELU,
    GELU,
    Dropout,
    Dropout2d,
    Hardsigmoid,
    Hardswish,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from tinynet.nn.batchnorm import BatchNorm1d, BatchNorm2d, SyncBatchNorm
from tinynet.nn.containers import ModuleDict, ModuleList, Sequential
from tinynet.nn.conv import ConstantPad2d, Conv2d, ReflectionPad2d, ReplicationPad2d, ZeroPad2d
from tinynet.nn.fusion import fold_batchnorm
from tinynet.nn.linear import Flatten, Identity, Linear, Unflatten
from tinynet.nn.loss import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
)
from tinynet.nn.module import Module, Parameter
from tinynet.nn.norm import GroupNorm, LayerNorm
from tinynet.nn.pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from tinynet.nn.upsample import Upsample

__getattr__ = absent.names_of(__name__)
__all__ = [
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "ConstantPad2d",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Dropout2d",
    "ELU",
    "Flatten",
    "GELU",
    "GroupNorm",
    "Hardsigmoid",
    "Hardswish",
    "Identity",
    "L1Loss",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "NLLLoss",
    "Parameter",
    "ReLU",
    "ReLU6",
    "ReflectionPad2d",
    "ReplicationPad2d",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "Softmax",
    "Softplus",
    "SyncBatchNorm",
    "Tanh",
    "Unflatten",
    "Upsample",
    "ZeroPad2d",
    "fold_batchnorm",
    "functional",
    "init",
    "utils",
]
