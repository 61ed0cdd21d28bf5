"""MobileNetV1 against networks of the same tables in torch, written without mobilenet.py."""

import numpy as np
import pytest
import torch
import torch.nn.functional as TF
from helpers import assert_same, channel_major

import mobilenet
import tinynet as tn

STRIDES = {
    "paper": (2, (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)),
    "cifar-2x2": (1, (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)),
    "cifar-4x4": (1, (1, 1, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)),
    "shallow": (2, (1, 2, 1, 2, 1, 2, 2, 1)),
    "bottleneck": (2, (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 2, 1)),
}
CHANNELS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)


class Pad(torch.nn.Module):
    """Before a 3x3 convolution of this stride: TensorFlow's SAME, or (`end`) Keras's (0, 1)."""

    def __init__(self, stride, end=False):
        super().__init__()
        self.stride, self.end = stride, end

    def forward(self, x):
        if self.stride == 1 or (x.shape[-1] % 2 and not self.end):
            return TF.pad(x, (1, 1, 1, 1))
        return TF.pad(x, (0, 1, 0, 1))


def torch_twin(network, width, classes):
    stem_stride, strides = STRIDES.get(network, STRIDES["paper"])
    channels = CHANNELS[:6] + CHANNELS[-2:] if network == "shallow" else CHANNELS
    channels = channels[:10] + channels[11:] if network == "bottleneck" else channels
    layers = []

    def unit(i, o, kernel, stride=1, groups=1):
        same = network in ("tensorflow", "slim") and kernel == 3
        if same:  # Keras's stem is SAME
            layers.append(Pad(stride, end=network == "tensorflow" and groups > 1))
        layers.extend(
            [
                torch.nn.Conv2d(
                    *(i, o, kernel, stride, 0 if same or kernel == 1 else 1),
                    groups=groups,
                    bias=False,
                ),
                torch.nn.BatchNorm2d(o, eps=1e-3 if network in ("tensorflow", "slim") else 1e-5),
                torch.nn.ReLU() if network == "stl10" else torch.nn.ReLU6(),
            ]
        )

    i = max(1, round(32 * width))
    unit(3, i, 3, stem_stride)
    for stride, c in zip(strides, channels, strict=True):
        o = max(1, round(c * width))
        if network == "full-convolution":
            unit(i, o, 3, stride)
        else:
            unit(i, i, 3, stride, groups=i)
            if network == "bottleneck":
                narrow = max(1, round(0.9997 * i))
                unit(i, narrow, 1)
                i = narrow
            unit(i, o, 1)
        i = o
    pool = [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
    return torch.nn.Sequential(*layers, *pool, torch.nn.Linear(i, classes))


def pair(network, width, dtype, classes=7, worn=True):
    """Our network and torch's with the same weights; worn: BatchNorm as after some training."""
    theirs = torch_twin(network, width, classes).to(getattr(torch, dtype))
    ours = mobilenet.build(network, classes, width).to(dtype)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for module in theirs.modules():
            if worn and isinstance(module, torch.nn.BatchNorm2d):
                for tensor in (module.weight, module.running_var):
                    tensor.uniform_(0.5, 1.5, generator=generator)
                for tensor in (module.bias, module.running_mean):
                    tensor.uniform_(-0.5, 0.5, generator=generator)
    state = dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True))
    ours.load_state_dict({name: value.numpy() for name, value in state.items()})
    return ours, theirs


def batch(dtype, size, n=4, classes=7, step=0):
    rng = np.random.default_rng(step)
    x = rng.standard_normal((n, 3, size, size)).astype(dtype)
    return channel_major(x), rng.integers(0, classes, n)


CASES = [
    ("paper", 1.0, 32),
    ("paper", 0.25, 65),
    ("paper", 0.1, 96),
    ("cifar-4x4", 0.25, 32),
    ("cifar-2x2", 0.5, 32),
    ("bottleneck", 0.1, 32),
    ("stl10", 0.25, 64),
    ("shallow", 0.25, 64),
    ("full-convolution", 0.1, 64),
    ("tensorflow", 0.25, 64),
    ("tensorflow", 0.1, 65),  # maps of 33, 17, 9, 5 and 3: SAME would differ from Keras
    ("tensorflow", 0.1, 50),
    ("slim", 0.1, 65),
    ("slim", 0.1, 50),
]


@pytest.mark.parametrize(("network", "width", "size"), CASES)
def test_logits_gradients_and_running_statistics_are_torchs(network, width, size):
    ours, theirs = pair(network, width, "float64")
    x, labels = batch("float64", size)
    logits, expected = ours(tn.Tensor(x)), theirs(torch.tensor(x))
    assert_same(logits, expected, "logits")
    tn.nn.CrossEntropyLoss(label_smoothing=0.1)(logits, tn.Tensor(labels)).backward()
    torch.nn.CrossEntropyLoss(label_smoothing=0.1)(expected, torch.tensor(labels)).backward()
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        # the sums behind a gradient of a thousand have lost the digits that a small one has
        assert_same(p.grad, q.grad, name, atol=1e-9 * max(1.0, float(q.grad.abs().max())))
    for (name, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert_same(a, b, name)  # the running statistics among them
    ours.eval(), theirs.eval()
    with tn.no_grad():
        assert_same(ours(tn.Tensor(x)), theirs(torch.tensor(x)), "logits in evaluation")


@pytest.mark.parametrize(("network", "width"), [("cifar-2x2", 0.25), ("paper", 0.5)])
def test_float32_gradients_stay_close_to_the_exact_ones(network, width):
    """One of a hundred thousand values so near a kink of ReLU6 that float32 puts it on the other
    side moves every gradient behind it by up to a hundredth, in torch as here; hence 0.05."""
    x, labels = batch("float32", 64, n=16)
    gradients = {}
    for dtype in ("float32", "float64"):
        torch.manual_seed(1)
        ours, theirs = pair(network, width, dtype, worn=False)
        logits, expected = ours(tn.Tensor(x.astype(dtype))), theirs(torch.tensor(x.astype(dtype)))
        assert_same(logits, expected, "logits", rtol=1e-3, atol=1e-4)
        tn.nn.CrossEntropyLoss()(logits, tn.Tensor(labels)).backward()
        torch.nn.CrossEntropyLoss()(expected, torch.tensor(labels)).backward()
        gradients[dtype] = [p.grad.numpy() for p in ours.parameters()]
        assert all(g.dtype == dtype for g in gradients[dtype])
    exact = [p.grad.numpy() for p in theirs.parameters()]  # torch's, in float64
    for found, true in zip(gradients["float32"], exact, strict=True):
        assert np.linalg.norm(found - true) < 0.05 * np.linalg.norm(true)


# The learning rates are small on purpose. Training is chaotic: at 0.05 a difference of 1e-15 grows
# to 0.1 within ten steps, as it does between two runs of torch that start 1e-15 apart.
@pytest.mark.parametrize(
    ("network", "width", "method", "lr"),
    [
        ("cifar-4x4", 0.1, "SGD", 1e-4),
        ("stl10", 0.25, "SGD", 1e-4),
        ("bottleneck", 0.1, "SGD", 1e-6),
        ("cifar-4x4", 0.1, "Adam", 1e-3),
        ("stl10", 0.25, "Adam", 1e-3),
        ("bottleneck", 0.1, "Adam", 1e-4),
    ],
)
def test_ten_steps_of_training_are_torchs(network, width, method, lr):
    ours, theirs = pair(network, width, "float64", worn=False)
    arguments = {
        "SGD": {"lr": lr, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4},
        "Adam": {"lr": lr, "eps": 1e-4},
    }[method]
    optimizer = getattr(tn.optim, method)(ours.parameters(), **arguments)
    expected = getattr(torch.optim, method)(theirs.parameters(), **arguments)
    before = [p.numpy().copy() for p in ours.parameters()]
    for step in range(10):
        x, labels = batch("float64", 32, n=16, step=step)
        optimizer.zero_grad(), expected.zero_grad()
        loss = tn.nn.CrossEntropyLoss()(ours(tn.Tensor(x)), tn.Tensor(labels))
        torch_loss = torch.nn.CrossEntropyLoss()(theirs(torch.tensor(x)), torch.tensor(labels))
        assert loss.item() == pytest.approx(torch_loss.item(), rel=1e-8)
        loss.backward(), torch_loss.backward()
        optimizer.step(), expected.step()
    for (name, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert_same(a, b, name, rtol=1e-7, atol=1e-8)
    moved = [abs(p.numpy() - old).max() for p, old in zip(ours.parameters(), before, strict=True)]
    assert max(moved) > 1e-5  # what was compared is not where they started
