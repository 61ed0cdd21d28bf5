"""Batches of no images and tensors of no elements: the shapes that torch gives, or a sentence."""

import numpy as np
import pytest
import torch

import mobilenet
import tinynet as tn
import tinynet.nn as nn
import tinynet.nn.functional as F

FT = torch.nn.functional
IMAGES, ROWS = (0, 4, 6, 5), (0, 4)


@pytest.fixture(autouse=True, params=["fast", "plain"])
def way(request):
    with tn.plain() if request.param == "plain" else tn.enable_grad():
        yield request.param


def weight(*shape):
    return np.ones(shape, np.float32)


def with_weight(*shape, **options):
    return lambda f, new, x: f.conv2d(x, new(weight(*shape)), **options)


FUNCTIONS = {
    "conv": (IMAGES, with_weight(3, 4, 3, 3, padding=1, stride=2)),
    "conv with bias": (
        IMAGES,
        lambda f, new, x: f.conv2d(x, new(weight(3, 4, 1, 1)), new(weight(3))),
    ),
    "groups": (IMAGES, with_weight(4, 2, 3, 3, groups=2)),
    "depthwise": (IMAGES, with_weight(4, 1, 3, 3, groups=4, dilation=2)),
    "depthwise, multiplied": (IMAGES, with_weight(8, 1, 3, 3, groups=4)),
    "batch norm, evaluation": (
        IMAGES,
        lambda f, new, x: f.batch_norm(x, new(weight(4)), new(weight(4))),
    ),
    "average pool": (IMAGES, lambda f, new, x: f.avg_pool2d(x, 2)),
    "adaptive pool": (IMAGES, lambda f, new, x: f.adaptive_avg_pool2d(x, (2, 3))),
    "global pool": (IMAGES, lambda f, new, x: f.adaptive_avg_pool2d(x, 1)),
    "max pool": (IMAGES, lambda f, new, x: f.max_pool2d(x, 3, 2, 1)),
    "relu": (IMAGES, lambda f, new, x: f.relu(x)),
    "relu6": (IMAGES, lambda f, new, x: f.relu6(x)),
    "pad": (IMAGES, lambda f, new, x: f.pad(x, (1, 2, 0, 1))),
    "dropout": (IMAGES, lambda f, new, x: f.dropout(x, 0.3)),
    "linear": (ROWS, lambda f, new, x: f.linear(x, new(weight(3, 4)), new(weight(3)))),
    "softmax": (ROWS, lambda f, new, x: f.softmax(x, 1)),
    "log_softmax": (ROWS, lambda f, new, x: f.log_softmax(x, 1)),
    "cross-entropy": (
        ROWS,
        lambda f, new, x: f.cross_entropy(x, new(np.zeros(0, np.int64)), reduction="none"),
    ),
    "sum of cross-entropy": (
        ROWS,
        lambda f, new, x: f.cross_entropy(x, new(np.zeros(0, np.int64)), reduction="sum"),
    ),
    "mean of cross-entropy": (
        ROWS,
        lambda f, new, x: f.cross_entropy(x, new(np.zeros(0, np.int64))),
    ),
    "cross-entropy of probabilities": (
        ROWS,
        lambda f, new, x: f.cross_entropy(x, new(np.zeros((0, 4), np.float32)), reduction="sum"),
    ),
    "segmentation": (
        IMAGES,
        lambda f, new, x: f.cross_entropy(x, new(np.zeros((0, 6, 5), np.int64)), reduction="sum"),
    ),
}
METHODS = {
    "add": lambda x: x + x[:1].reshape(-1)[:0].sum(),
    "broadcast": lambda x: x * x[:, :1],
    "divide": lambda x: x / 2,
    "power": lambda x: x**2,
    "exp": lambda x: x.exp(),
    "sigmoid": lambda x: x.sigmoid(),
    "tanh": lambda x: x.tanh(),
    "clip": lambda x: x.clip(0, 1),
    "sum": lambda x: x.sum(),
    "sum of the batch": lambda x: x.sum(0),
    "sum kept": lambda x: x.sum(1, keepdim=True),
    "mean of columns": lambda x: x.mean(1),
    "var of columns": lambda x: x.var(1),
    "std of columns": lambda x: x.std(1),
    "amax of columns": lambda x: x.amax(1),
    "max of columns": lambda x: x.max(1).values,
    "argmax of columns": lambda x: x.argmax(1),
    "matmul": lambda x: x @ x.T,
    "matmul, over nothing": lambda x: x.T @ x,
    "reshape": lambda x: x.reshape(2, 0),
    "flatten": lambda x: x.flatten(),
    "transpose": lambda x: x.transpose(0, 1),
    "permute": lambda x: x.permute(1, 0),
    "squeeze": lambda x: x.squeeze(),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "expand": lambda x: x.unsqueeze(0).expand(3, 0, 4),
    "split": lambda x: x.split(2, 1)[1],
    "chunk": lambda x: x.chunk(2)[0],
    "slice": lambda x: x[:, 1:],
    "mask": lambda x: x[x > 0],
    "index": lambda x: x[:, [0, 0, 1]],
    "clone": lambda x: x.clone(),
    "double": lambda x: x.double(),
    "abs": lambda x: x.abs(),
    "maximum": lambda x: x.maximum(x) if isinstance(x, tn.Tensor) else torch.maximum(x, x),
}


def both_shapes(ours, theirs):
    """The results agree in everything, the gradients too."""
    (x, y), (xt, yt) = ours, theirs
    assert y.shape == tuple(yt.shape)
    np.testing.assert_array_equal(y.numpy(), yt.detach().numpy())
    assert y.dtype == yt.detach().numpy().dtype
    assert y.requires_grad == yt.requires_grad
    if y.requires_grad:
        y.sum().backward()
        yt.sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), xt.grad.numpy())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    shape, function = FUNCTIONS[name]
    x = tn.zeros(shape, requires_grad=True)
    xt = torch.zeros(shape, requires_grad=True)
    both_shapes((x, function(F, tn.tensor, x)), (xt, function(FT, torch.tensor, xt)))


@pytest.mark.filterwarnings("ignore:(var|std)")
@pytest.mark.parametrize("name", METHODS)
def test_methods(name):
    x, xt = tn.zeros(ROWS, requires_grad=True), torch.zeros(ROWS, requires_grad=True)
    both_shapes((x, METHODS[name](x)), (xt, METHODS[name](xt)))


@pytest.mark.parametrize("lib", [tn, torch], ids=["tinynet", "torch"])
def test_weights_get_gradients_of_zero(lib):
    f = F if lib is tn else FT
    w, b = lib.ones(3, 4, 3, 3, requires_grad=True), lib.ones(3, requires_grad=True)
    f.conv2d(lib.zeros(IMAGES), w, b).sum().backward()
    assert not w.grad.numpy().any()
    assert b.grad.tolist() == [0, 0, 0]


def test_joining():
    assert tn.cat([tn.zeros(0, 3), tn.ones(2, 3), tn.zeros(0, 3)]).shape == (2, 3)
    assert tn.stack([tn.zeros(0, 3)] * 2, 1).shape == (0, 2, 3)


@pytest.mark.parametrize("network", ["stl10", "tensorflow", "full-convolution", "bottleneck"])
def test_networks_in_evaluation(network):
    model = mobilenet.build(network, 5, 0.25 if network != "bottleneck" else 0.1).eval()
    y = model(tn.zeros(0, 3, 32, 32))
    assert y.shape == (0, 5)
    y.sum().backward()
    assert all(not p.grad.numpy().any() for p in model.parameters())


def test_training_batch_norm_says_why_not():
    with pytest.raises(ValueError, match="batch_norm: training needs more than one value per"):
        nn.BatchNorm2d(4)(tn.zeros(IMAGES))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.mean(),
        lambda x: x.mean(0),
        lambda x: x.amax(0),
        lambda x: x.max(),
        lambda x: x.argmin(0),
        lambda x: x.min(0),
    ],
)
def test_of_nothing_there_is_no_largest(call):
    with pytest.raises(ValueError, match=r"\w+: a tensor of shape \(0, 4\) has no elements along"):
        call(tn.zeros(ROWS))


def test_in_place():
    x = tn.zeros(ROWS)
    x += 1
    x[:] = 3
    x[x > 0] = 2
    x.fill_(1).mul_(2).view(-1).add_(1)
    F.relu(x, inplace=True)
    assert x.shape == ROWS
