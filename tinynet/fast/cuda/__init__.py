"""Quicker on a GPU: kernels in CUDA C (the .cu files), and what launches them.

Images lie in memory as on a CPU, (C, H, W, N). `docs/gpu-kernels.md` explains the kernels.
"""

from tinynet.autograd.graphed import call
from tinynet.data.images import cut
from tinynet.fast.cpu import sequential
from tinynet.fast.cpu.pooling import GlobalAverage
from tinynet.fast.cuda import (
    activation,
    batchnorm,
    conv,
    depthwise,
    graph,
    images,
    indexing,
    linear,
    loss,
    optim,
)
from tinynet.nn.containers import in_turn
from tinynet.ops.activation import ReLU, ReLU6
from tinynet.ops.batchnorm import BatchNorm
from tinynet.ops.conv import Conv2d
from tinynet.ops.depthwise import DepthwiseConv2d
from tinynet.ops.loss import SoftmaxCrossEntropy
from tinynet.ops.matmul import Linear
from tinynet.ops.pooling import AdaptiveAveragePool2d
from tinynet.ops.shapes import Index
from tinynet.optim.adam import adam
from tinynet.optim.sgd import sgd

TABLE = {
    call: (graph.call,),
    AdaptiveAveragePool2d: (GlobalAverage,),
    BatchNorm: (batchnorm.BatchNormReLU6, batchnorm.BatchNormReLU, batchnorm.BatchNorm),
    Conv2d: (conv.Conv2d,),
    DepthwiseConv2d: (depthwise.DepthwiseConv2d,),
    Index: (indexing.Index,),
    Linear: (linear.Linear,),
    ReLU: (activation.ReLU,),
    ReLU6: (activation.ReLU6,),
    SoftmaxCrossEntropy: (loss.SoftmaxCrossEntropy,),
    adam: (optim.adam,),
    cut: (images.cut,),
    in_turn: (sequential.in_turn,),
    sgd: (optim.sgd,),
}
