"""The kernels with blocks of the size that a GPU gets, on maps that need several blocks: against
the definitions in NumPy. (The tests of the ops themselves run on the device too, in small blocks.)
"""

import contextlib

import numpy as np
import pytest
from device import strict

import tinynet as tn
from tinynet import nn, optim
from tinynet.autograd import sorted_ops
from tinynet.data.images import Images
from tinynet.fast.cuda import TABLE, depthwise, kernel
from tinynet.nn import functional as F
from tinynet.nn.containers import in_turn

pytestmark = pytest.mark.fast_only


@pytest.fixture(autouse=True)
def gpu():
    """The real one, or the stand-in with blocks of full size."""
    with strict.gpu(threads=256):
        yield


def results(device, dtype, compute, *arrays):
    """The result of `compute` and the gradients of all floating inputs, as NumPy arrays; on the
    CPU by the definitions."""
    with tn.plain() if device == "cpu" else contextlib.nullcontext():
        return _results(device, dtype, compute, *arrays)


def _results(device, dtype, compute, *arrays):
    tensors = [tn.Tensor(np.copy(a, order="K")).to(device).detach() for a in arrays]
    for tensor in tensors:
        tensor.requires_grad = tensor.dtype.kind == "f"
    y = compute(*tensors)
    gy = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
    y.backward(tn.Tensor(gy).to(device))
    return [y.numpy(), *(tensor.grad.numpy() for tensor in tensors if tensor.requires_grad)]


def check(dtype, compute, *arrays):
    arrays = [a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays]
    ours, expected = (results(device, dtype, compute, *arrays) for device in ("cuda", "cpu"))
    loose = {"rtol": 1e-9, "atol": 1e-9} if dtype == np.float64 else {"rtol": 2e-4, "atol": 2e-4}
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_allclose(a, b, **loose)


def images(rng, N, C, H, W):
    return np.ascontiguousarray(rng.standard_normal((C, H, W, N))).transpose(3, 0, 1, 2)


BOTH = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@BOTH
@pytest.mark.parametrize("N", [3, 4, 16])  # one by one, and in packs
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(4, 4), (7, 10), (33, 9)])
def test_depthwise(rng, dtype, N, stride, size):
    x, weight = images(rng, N, 5, *size), rng.standard_normal((5, 1, 3, 3))
    check(dtype, lambda x, w: F.conv2d(x, w, None, stride, 1, groups=5), x, weight)


def test_a_batch_whose_memory_begins_between_packs(rng):
    """A view that starts 4 bytes on: there no pack may be read."""
    values = rng.standard_normal(1 + 2 * 5 * 5 * 4).astype(np.float32)
    weight = rng.standard_normal((2, 1, 3, 3)).astype(np.float32)
    found = []
    for device in ("cpu", "cuda"):
        with tn.no_grad():
            x = tn.Tensor(values).to(device)[1:].reshape(2, 5, 5, 4).permute(3, 0, 1, 2)
            w = tn.Tensor(weight).to(device)
            found.append(F.conv2d(x, w, None, 1, 1, groups=2).numpy())
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-5)


@BOTH
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("mean", [0, 1000])
def test_batchnorm(rng, dtype, training, mean):
    x = images(rng, 40, 2, 17, 9) * 3
    weight, bias = rng.uniform(1, 2, 2), rng.uniform(2, 4, 2)

    def compute(x, weight, bias):
        statistics = [tn.ones(2, dtype=dtype).to(x.device) for _ in range(2)]
        # a mean of its own in the engine's layout, for it must not be lost in the sums
        moved = x + mean
        y = F.batch_norm(moved, *statistics, weight, bias, training, 0.1, 1e-5)
        return y + statistics[0].sum() * 1e-3 + statistics[1].sum() * 1e-3

    if mean and not training:
        bias = bias - weight * (mean - 1)
    if mean and dtype == np.float32:
        # the sum itself is rounded to 6e-5: compare where that is not what one sees
        x = np.round(x * 16) / 16
    check(dtype, compute, x, weight, bias)


@BOTH
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.ReLU6])
@pytest.mark.parametrize("special", [None, np.nan, np.inf, -np.inf])
def test_batchnorm_with_its_activation(rng, monkeypatch, dtype, activation, training, special):
    """In one op what two ops give, bit for bit but for the order of backward's sums."""
    array = (2 + 3 * images(rng, 20, 3, 17, 9)).astype(dtype)
    weight, bias = rng.uniform(1, 4, (2, 3))
    gy = rng.standard_normal(array.shape)
    if special is not None:
        array[1, 0, 2, 2] = special
    model = nn.Sequential(nn.BatchNorm2d(3), activation()).to(dtype).to("cuda").train(training)
    for p, values in zip(model.parameters(), (weight, bias), strict=True):
        p.data = tn.Tensor(values.astype(dtype)).to("cuda")
    start = {name: t.numpy().copy() for name, t in model.state_dict().items()}
    found = []
    for fused in (True, False):
        with monkeypatch.context() as patch:
            if not fused:
                patch.delitem(TABLE, in_turn)
            model.load_state_dict(start)
            model.zero_grad()
            x = tn.Tensor(np.copy(array, order="K")).to("cuda").detach().requires_grad_()
            y = model(x)
            assert len(sorted_ops(y.grad_fn)) == 2 - fused
            closed = (y.numpy() == 0) | (y.numpy() == getattr(activation, "ceiling", 6))
            given = np.where(closed, special or 1.0, gy)  # no NaN comes back through a closed gate
            y.backward(tn.Tensor(given.astype(dtype)).to("cuda"))
            tensors = y, *model.buffers(), x.grad, *(p.grad for p in model.parameters())
            found.append([t.numpy().copy() for t in tensors])
    for number, (a, b) in enumerate(zip(*found, strict=True)):
        if number < 4:
            np.testing.assert_array_equal(a, b)
        else:
            np.testing.assert_allclose(a, b, 1e-4 if dtype == np.float32 else 1e-11, 1e-6)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ReLU6])
def test_the_kinks_pass_nothing(activation):
    model = nn.Sequential(nn.BatchNorm2d(1, eps=0), activation()).double().eval().to("cuda")
    array = np.array([-1.0, 0, 1e-300, 5, 6, 7]).reshape(1, 1, 2, 3)
    x = tn.Tensor(array).to("cuda").detach().requires_grad_()
    model(x).sum().backward()
    assert x.grad.flatten().tolist() == [0, 0, 1, 1] + [activation is nn.ReLU] * 2


@BOTH
@pytest.mark.parametrize("classes", [3, 300])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(rng, dtype, classes, smoothing):
    logits, labels = 5 * rng.standard_normal((9, classes)), rng.integers(0, classes, 9)
    labels[3] = -100
    weight = rng.uniform(0.5, 2, classes).astype(dtype)

    def compute(x):
        own = [tn.Tensor(a).to(x.device) for a in (labels, weight)]
        return F.cross_entropy(
            x, own[0], weight=own[1], label_smoothing=smoothing, reduction="none"
        )

    check(dtype, compute, logits)


@BOTH
def test_the_first_layer(rng, dtype):
    x, weight = images(rng, 6, 3, 16, 15), rng.standard_normal((4, 3, 3, 3))
    check(dtype, lambda x, w: F.conv2d(x, w, None, 2, 1), x, weight)


@BOTH
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        {"momentum": 0.5, "dampening": 0.1},
    ],
    ids=str,
)
def test_sgd(rng, dtype, options):
    check_optimizer(rng, dtype, optim.SGD, **options)


@BOTH
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weight_decay": 0.1, "amsgrad": True},
        {"weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True},
        {"betas": (0.5, 0.7), "eps": 0.1},
    ],
    ids=str,
)
def test_adam(rng, dtype, options):
    check_optimizer(rng, dtype, optim.Adam, **options)


def check_optimizer(rng, dtype, kind, **options):
    """Three steps; one parameter gets its first gradient only at the second."""
    shapes = [(3,), (5000,), (2, 3, 4)]
    start = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    gradients = [[rng.standard_normal(shape).astype(dtype) for shape in shapes] for _ in range(3)]
    found = []
    for device in ("cpu", "cuda"):
        parameters = [nn.Parameter(tn.Tensor(a.copy()).to(device).detach()) for a in start]
        optimizer = kind(parameters, lr=0.1, **options)
        for number, step in enumerate(gradients):
            for i, (parameter, g) in enumerate(zip(parameters, step, strict=True)):
                if number > 0 or i > 0:
                    parameter.grad = tn.Tensor(g.copy()).to(device)
            optimizer.step()
        found.append([parameter.numpy() for parameter in parameters])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6 if dtype == np.float32 else 1e-12)


def test_two_runs_agree_bit_for_bit(rng):
    x = images(rng, 8, 3, 12, 12).astype(np.float32)
    labels = rng.integers(0, 10, 8)

    def train():
        tn.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU6(),
            nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU6(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 10),
        ).to("cuda")
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        for _ in range(3):
            optimizer.zero_grad()
            logits = model(tn.Tensor(x).to("cuda"))
            nn.CrossEntropyLoss()(logits, tn.Tensor(labels).to("cuda")).backward()
            optimizer.step()
        return [parameter.numpy() for parameter in model.parameters()]

    for a, b in zip(train(), train(), strict=True):
        assert np.array_equal(a, b)


def test_numbers_keep_their_types():
    """1, 1.0 and True are equal: what was kept for one is not taken for another."""
    for number in (1, 1.0, True, 1.0, 1):
        (scalar,) = kernel._scalars(number)
        assert type(scalar) is (np.float64 if type(number) is float else np.int32)
        assert scalar == 1
    with pytest.raises(KeyError):
        kernel._scalars("1")


def test_momentum_of_parameters_that_move(rng):
    """SGD keeps on the GPU where all of them lie; here they lie elsewhere each time."""

    def train(device):
        parameter = tn.Tensor(start.copy()).to(device).requires_grad_()
        optimizer = optim.SGD([parameter], lr=0.1, momentum=0.9)
        for step in range(4):
            if step == 2:
                parameter.data = tn.Tensor(parameter.array.copy())
            parameter.grad = tn.Tensor(np.full(50, step + 1.0)).to(device)
            optimizer.step()
        return parameter.numpy()

    start = rng.standard_normal(50)
    np.testing.assert_allclose(train("cuda"), train("cpu"), rtol=1e-12)


def test_a_buffer_loaded_from_another_memory_order(rng):
    """Kernels take an array's memory as it lies."""
    start, velocity, g = rng.standard_normal((3, 4, 5))
    found = []
    for device in ("cpu", "cuda"):
        parameter = tn.Tensor(start.copy()).to(device).requires_grad_()
        optimizer = optim.SGD([parameter], lr=0.1, momentum=0.9)
        saved = optimizer.state_dict()
        saved["state"] = {0: {"momentum_buffer": np.asfortranarray(velocity)}}
        optimizer.load_state_dict(saved)
        parameter.grad = tn.Tensor(g.copy()).to(device)
        optimizer.step()
        found.append(parameter.numpy())
    np.testing.assert_allclose(*found, rtol=1e-12)


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
def test_buffers_of_another_dtype_than_the_parameter(rng, kind):
    """A network that goes on in float64 keeps what float32 has left in its optimiser."""
    start, g = rng.standard_normal((2, 50))
    options = {"momentum": 0.9} if kind is optim.SGD else {}
    found = []
    for device in ("cpu", "cuda"):
        parameter = tn.Tensor(start.astype(np.float32)).to(device).requires_grad_()
        optimizer = kind([parameter], lr=0.1, **options)
        for dtype in (np.float32, np.float64):
            parameter.data = tn.Tensor(parameter.array.astype(dtype))
            parameter.grad = tn.Tensor(g.astype(dtype)).to(device)
            optimizer.step()
        found.append(parameter.numpy())
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-6)


@BOTH
@pytest.mark.parametrize("function", [F.relu, F.relu6])
@pytest.mark.parametrize("shape", [(700,), (7, 3, 5, 11), (1, 1, 1, 1), (3, 0)])
def test_relu(rng, dtype, function, shape):
    x = 4 * rng.standard_normal(shape) + 2
    x.flat[:4] = np.array([0, 6, np.inf, -np.inf])[: x.size]
    x = x.transpose(1, 2, 3, 0).copy().transpose(3, 0, 1, 2) if x.ndim == 4 else x
    check(dtype, function, x)


@pytest.mark.parametrize("function", [F.relu, F.relu6])
def test_relu_of_what_is_not_a_number(function):
    x = tn.tensor([np.nan, -1.0, 3.0, 9.0, -np.inf, np.inf, 0.0]).to("cuda").detach()
    y = function(x.requires_grad_())
    y.backward(tn.tensor([np.nan, np.nan, 2.0, 1.0, np.inf, 1.0, np.nan]).to("cuda"))
    limit = (9, np.inf) if function is F.relu else (6, 6)
    assert np.array_equal(y.numpy(), [np.nan, 0, 3, limit[0], 0, limit[1], 0], equal_nan=True)
    passes = function is F.relu
    assert x.grad.tolist() == [0, 0, 2, passes, 0, passes, 0]


def test_relu_backward_of_another_memory_order(rng):
    x, gy = images(rng, 3, 4, 5, 6), rng.standard_normal((3, 4, 5, 6))
    found = []
    for device in ("cpu", "cuda"):
        t = tn.Tensor(np.copy(x, order="K")).to(device).detach().requires_grad_()
        F.relu(t).backward(tn.Tensor(gy).to(device))
        found.append(t.grad.numpy())
    assert np.array_equal(*found)


@BOTH
def test_several_filters_per_channel(rng, dtype):
    x, weight, bias = images(rng, 5, 3, 6, 7), rng.standard_normal((6, 1, 3, 2)), np.arange(6.0)
    check(dtype, lambda x, w, b: F.conv2d(x, w, b, (2, 1), 1, groups=3), x, weight, bias)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("where", [(0, 0), (5, 6), (-1, -1), (-1, 2), (3, -1)])
@pytest.mark.parametrize("what", ["x", "weight", "gy"])
def test_infinity_and_nan_stay_in_their_windows(rng, what, where, stride):
    x, weight = images(rng, 4, 2, 9, 10), rng.standard_normal((2, 1, 3, 3))
    gy = rng.standard_normal((4, 2, 9, 10))[:, :, ::stride, ::stride].copy()
    spoilt = {"x": x[1, 1], "weight": weight[1, 0], "gy": gy[1, 1]}[what]
    spoilt[where[0] % len(spoilt), where[1] % spoilt.shape[1]] = np.inf
    found = []
    for device in ("cpu", "cuda"):
        with tn.plain() if device == "cpu" else contextlib.nullcontext():
            tensors = [tn.Tensor(np.copy(a, order="K")).to(device).detach() for a in (x, weight)]
            y = F.conv2d(*[t.requires_grad_() for t in tensors], None, stride, 1, groups=2)
            y.backward(tn.Tensor(gy).to(device))
            found.append([y.numpy(), *(t.grad.numpy() for t in tensors)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@BOTH
@pytest.mark.parametrize("groups", [1, 2])
def test_convolution(rng, dtype, groups):
    x, weight = images(rng, 3, 4, 9, 8), rng.standard_normal((6, 4 // groups, 3, 2))
    check(dtype, lambda x, w, b: F.conv2d(x, w, b, (1, 2), 2, 2, groups), x, weight, np.ones(6))


@BOTH
def test_a_layout_of_the_users_own(rng, dtype):
    """NCHW memory is brought into order first; so is a gradient."""
    x, weight = rng.standard_normal((4, 3, 6, 5)), rng.standard_normal((3, 1, 3, 3))

    def compute(x, w, b):
        y = F.conv2d(x, w, None, 1, 1, groups=3)
        return F.relu(F.batch_norm(y, None, None, b, b, True))

    check(dtype, compute, x, weight, np.ones(3))


def test_the_layout_stays(rng):
    """Every layer's result lies in memory as (C, H, W, N), for the next one need not copy it."""
    x = tn.Tensor(images(rng, 4, 3, 8, 8)).to("cuda")
    layers = [
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU6(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 5, 1),
        nn.AdaptiveAvgPool2d(1),
    ]
    for layer in layers:
        x = layer.double().to("cuda")(x)
        assert x.array.transpose(1, 2, 3, 0).flags.c_contiguous, layer


def test_an_index_that_repeats(rng):
    """In one order, and with the gradient laid out otherwise than the input."""
    rows, columns = rng.integers(0, 4, (2, 200))

    def compute(x):
        index = [tn.Tensor(a).to(x.device) for a in (rows, columns)]
        return x[index[0], 1:, index[1]].permute(1, 0, 2)

    check(np.float32, compute, rng.standard_normal((4, 3, 4, 5)))
    x = rng.standard_normal((4, 3, 4, 5)).astype(np.float32)
    first, second = (results("cuda", np.float32, compute, x) for _ in range(2))
    assert np.array_equal(first[1], second[1])


def test_a_batch_cut_from_bytes(rng):
    bytes_ = rng.integers(0, 256, (7, 3, 6, 5), np.uint8)
    scale, offset = rng.standard_normal((2, 3)).astype(np.float32)
    moves = rng.integers(-8, 9, 300), rng.integers(-3, 4, 300), rng.integers(0, 2, 300)
    picked = rng.integers(0, 7, 300)
    for arguments in [(picked, moves), (picked,)]:
        with tn.plain():
            expected = Images(bytes_, scale, offset, "cpu")(*arguments)
        found = Images(bytes_, scale, offset, "cuda")(*arguments)
        assert found.transpose(1, 2, 3, 0).flags.c_contiguous
        found = tn.Tensor(found).numpy()
        assert found.dtype == expected.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def test_the_definitions_run_on_the_device(rng):
    """What kernels do not suit, or plain mode, goes without them."""

    def compute(x, w, depthwise, ones):
        y = F.conv2d(x, w, None, 2, 1)
        y = F.relu6(F.batch_norm(y, None, None, ones, ones, True))
        y = F.relu(F.conv2d(y, depthwise, None, 1, 1, groups=4))
        y = F.adaptive_avg_pool2d(y, 1).flatten(1)
        index = tn.Tensor(np.array([2, 1, 1])).to(y.device)
        labels = tn.Tensor(np.array([0, 3, 1])).to(y.device)
        return F.cross_entropy(y[index], labels, reduction="none", label_smoothing=0.1)

    arrays = images(rng, 3, 3, 8, 8), rng.standard_normal((4, 3, 3, 3))
    arrays += rng.standard_normal((4, 1, 3, 3)), np.ones(4)
    with tn.plain():
        by_definition = results("cuda", "f8", compute, *arrays)
    for a, b in zip(by_definition, results("cpu", "f8", compute, *arrays), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.fixture
def launched(monkeypatch):
    """The names of the kernels that were launched."""
    names = []
    call = kernel.Kernel.__call__

    def watched(self, *arguments, **options):
        names.append(self.name)
        return call(self, *arguments, **options)

    monkeypatch.setattr(kernel.Kernel, "__call__", watched)
    return names


def test_kernels_are_what_ran(launched, monkeypatch, rng):
    """Each op that has kernels launches them, and what they do not suit goes without."""
    x, weight = images(rng, 4, 2, 6, 6), rng.standard_normal((2, 1, 3, 3))

    def compute(x, weight):
        return F.conv2d(x, weight, None, 1, 1, groups=2)

    results("cuda", "f8", compute, x, weight)
    assert set(launched) >= {
        "depthwise_forward",
        "depthwise_input_gradient",
        "depthwise_weight_gradient",
    }
    launched.clear()
    results("cpu", "f8", compute, x, weight)
    assert launched == []
    with tn.plain():
        results("cuda", "f8", compute, x, weight)
    assert launched == []
    for module in (kernel, depthwise):
        monkeypatch.setattr(module, "MOST_VALUES", x.size)
    check(np.float64, compute, x, weight)
    assert launched == []


def test_every_op_with_kernels_launches_them(launched, rng):
    ones = np.ones(4)
    labels = np.array([0, 3, 1])

    def compute(x, w, ones):
        y = F.relu(F.batch_norm(F.conv2d(x, w, None, 1, 1), None, None, ones, ones, True))
        y = F.adaptive_avg_pool2d(y, 1).flatten(1)
        return F.cross_entropy(y, tn.Tensor(labels).to(y.device), reduction="none")

    results("cuda", "f8", compute, images(rng, 3, 3, 8, 8), rng.standard_normal((4, 3, 3, 3)), ones)
    assert set(launched) == {
        "im2col",
        *(f"batchnorm_{name}" for name in ("statistics", "normalize", "sums", "gradient")),
        *("relu", "relu_gradient", "cross_entropy", "cross_entropy_gradient"),
    }
