"""Which implementation serves a call: the one place that decides.

The engine asks `tape.implementation(definition, *arrays, **options)`, which comes here unless
`plain()` is on. The first implementation in the device's list whose `suits` agrees serves the
call; where none does, the definition itself.
"""

import functools

import numpy as np

from tinynet.autograd import tape
from tinynet.fast.cpu import activation, batchnorm, conv, depthwise, optim, pooling, sequential
from tinynet.nn.containers import in_turn
from tinynet.ops.activation import ReLU, ReLU6
from tinynet.ops.batchnorm import BatchNorm
from tinynet.ops.conv import Conv2d
from tinynet.ops.depthwise import DepthwiseConv2d
from tinynet.ops.pooling import AdaptiveAveragePool2d
from tinynet.optim.adam import adam
from tinynet.optim.sgd import sgd

CPU = {
    BatchNorm: (batchnorm.BatchNormReLU6, batchnorm.BatchNormReLU, batchnorm.BatchNorm),
    Conv2d: (conv.Conv2d,),
    DepthwiseConv2d: (depthwise.Banded, depthwise.Flat),
    ReLU: (activation.ReLU,),
    ReLU6: (activation.ReLU6,),
    AdaptiveAveragePool2d: (pooling.GlobalAverage,),
    sgd: (optim.sgd,),
    adam: (optim.adam,),
    in_turn: (sequential.in_turn,),
}


@functools.cache
def cuda():
    """The table for arrays of CuPy's; imported when the first of them appears."""
    from tinynet.fast.cuda import TABLE

    return TABLE


def choose(definition, arrays, options):
    """`definition` or what is quicker for these arrays and options."""
    first = arrays[0]
    while isinstance(first, list):
        first = first[0]
    table = CPU if type(first) is np.ndarray else cuda()
    for implementation in table.get(definition, ()):
        suits = getattr(implementation, "suits", None)
        if suits is None or suits(*arrays, **options):
            return implementation
    return definition


tape.faster = choose
