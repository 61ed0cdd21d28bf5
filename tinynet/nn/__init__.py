"""Layers by torch's names: `import tinynet.nn as nn` in place of `import torch.nn as nn`."""

from tinynet.nn import functional, init, utils
from tinynet.nn.activation import Dropout, LogSoftmax, ReLU, ReLU6, Sigmoid, Softmax, Tanh
from tinynet.nn.batchnorm import BatchNorm1d, BatchNorm2d, SyncBatchNorm
from tinynet.nn.containers import ModuleDict, ModuleList, Sequential
from tinynet.nn.conv import Conv2d, ZeroPad2d
from tinynet.nn.fusion import fold_batchnorm
from tinynet.nn.linear import Flatten, Identity, Linear
from tinynet.nn.loss import CrossEntropyLoss
from tinynet.nn.module import Module, Parameter
from tinynet.nn.pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d

__all__ = [
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "Identity",
    "Linear",
    "LogSoftmax",
    "MaxPool2d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "ReLU",
    "ReLU6",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "SyncBatchNorm",
    "Tanh",
    "ZeroPad2d",
    "fold_batchnorm",
    "functional",
    "init",
    "utils",
]
