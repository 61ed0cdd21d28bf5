"""Networks as ONNX: onnxruntime gives the same numbers, and what is read back is the same."""

import copy
import json
import sys
import tracemalloc

import numpy as np
import onnx
import onnxruntime
import pytest
from device import strict

import mobilenet
import tinynet as tn
import tinynet.nn as nn
import tinynet.nn.functional as F
from tinynet import interop


def runtime(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(*arrays):
        names = [given.name for given in session.get_inputs()]
        return session.run(None, dict(zip(names, arrays, strict=True)))

    return run


def images(size, channels=3, seed=0, batch=8):
    shape = (batch, channels, size, size)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def assert_close(ours, theirs, share=1e-4, spread=None):
    """Equal to a share of the spread: of the reference's numbers, or as given."""
    assert ours.shape == theirs.shape
    spread = np.ptp(theirs) if spread is None else spread
    assert spread > 0
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=share * spread)


def assert_runs_alike(model, path, x, share=1e-4):
    """onnxruntime and the network read back give what the model gives, to a share of what tells
    the images apart. Returns the network read back."""
    run, back = runtime(path), interop.load_onnx(path)
    with tn.no_grad():
        logits = model(tn.Tensor(x)).numpy()
    spread = np.ptp(logits, axis=0).max()
    assert spread > 1e-2 * np.abs(logits).max()
    for n in (1, 3, 8):
        with tn.no_grad():
            expected, found = model(tn.Tensor(x[:n])).numpy(), back(tn.Tensor(x[:n])).numpy()
        assert_close(found, expected, 1e-6, spread)
        assert_close(run(x[:n])[0], expected, share, spread)
    return back


def worn(model, x):
    """The model with BatchNorms as after some training, whose statistics are those of x."""
    rng = np.random.default_rng(7)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
            if module.weight is not None:
                module.weight.array[...] = rng.uniform(0.5, 1.5, module.weight.shape)
                module.bias.array[...] = rng.uniform(-0.5, 0.5, module.bias.shape)
    model.train()
    with tn.no_grad():
        model(tn.Tensor(x))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1
    return model


# networks


@pytest.mark.parametrize(
    ("network", "width", "size"),
    [
        *(("paper", width, 64) for width in (0.1, 0.25, 0.5)),
        *(("cifar-4x4", 0.25, 32), ("cifar-2x2", 0.25, 32), ("shallow", 0.1, 64)),
        *(("bottleneck", 0.1, 32), ("full-convolution", 0.1, 64), ("stl10", 0.25, 64)),
        *(("tensorflow", 0.1, 64), ("tensorflow", 0.1, 45), ("slim", 0.1, 64), ("slim", 0.1, 45)),
    ],
)
def test_mobilenet(network, width, size, tmp_path):
    x, path = images(size), tmp_path / "net.onnx"
    # of more images, for where maps end as one pixel few have a variance that amplifies rounding
    model = worn(mobilenet.build(network, 7, width), images(size, seed=1, batch=48))
    interop.save_onnx(model, tn.Tensor(x[:2]), path, "images", "logits")
    assert all(module.training for module in model.modules())  # the mode is as it was
    # of 37 narrow layers: either program is 1e-4 from what float64 gives
    share = 4e-4 if network == "bottleneck" else 1e-4
    back = assert_runs_alike(model.eval(), path, x, share)
    assert list(tmp_path.iterdir()) == [path]

    assert not back.training
    ours, theirs = model.state_dict(), back.state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        counts = name.endswith("num_batches_tracked")  # which no file has: 0
        assert (theirs[name].numpy() == (0 if counts else value.numpy())).all(), name
    parameters = {name for name, _ in model.named_parameters()}
    assert {name for name, _ in back.named_parameters()} == parameters
    model.load_state_dict(back.state_dict())
    back.load_state_dict(model.state_dict())


class Residual(nn.Module):
    """An inverted residual with a learned scale, a buffer, and branches that join."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.body = nn.Sequential(
            *(nn.Conv2d(6, 18, 1, bias=False), nn.BatchNorm2d(18), nn.ReLU6()),
            *(nn.Conv2d(18, 18, 3, padding=1, groups=18), nn.ReLU(inplace=True)),
            *(nn.Conv2d(18, 6, 1), nn.BatchNorm2d(6, affine=False)),
        )
        self.scale = nn.Parameter(np.linspace(0.5, 1.5, 6, dtype=np.float32).reshape(6, 1, 1))
        self.register_buffer("shift", tn.tensor([[[0.25]]]))
        self.last = nn.Linear(12, 4)

    def forward(self, x):
        x = self.stem(x)
        x = x + self.body(x) * self.scale - self.shift
        x = F.max_pool2d(x, 3, 2, 1)
        x = tn.cat([x, F.relu(x)], 1)
        a, b = x.chunk(2, 1)
        return F.softmax(self.last(tn.cat([b, a], 1).mean((2, 3))), 1)


def test_a_residual_block(tmp_path):
    x = images(17)
    model = worn(Residual(), x)
    interop.save_onnx(model, tn.Tensor(x[:1]), tmp_path / "net.onnx")
    back = assert_runs_alike(model.eval(), tmp_path / "net.onnx", x)
    assert "shift" in dict(back.named_buffers()) and "scale" in dict(back.named_parameters())
    assert not [n for n in model.state_dict() if n not in back.state_dict()]


def test_gradients_and_training_are_those_of_the_original(tmp_path):
    x, labels = tn.Tensor(images(32, batch=4)), np.array([1, 0, 3, 2])
    model = worn(mobilenet.build("cifar-4x4", 5, 0.1), images(32, seed=1))
    interop.save_onnx(model, x, tmp_path / "net.onnx")
    back = copy.deepcopy(interop.load_onnx(tmp_path / "net.onnx"))
    for mode in (False, True):
        grads = []
        for network in (model, back):
            network.train(mode).zero_grad()
            F.cross_entropy(network(x), tn.tensor(labels)).backward()
            grads.append({name: p.grad.numpy() for name, p in network.named_parameters()})
        assert grads[0].keys() == grads[1].keys()
        for name, grad in grads[0].items():
            assert_close(grads[1][name], grad, 1e-4)
    statistics = dict(back.named_buffers())
    for name, ours in model.named_buffers():
        if not name.endswith("num_batches_tracked"):  # which no file has: from 0 again
            np.testing.assert_allclose(statistics[name], ours, rtol=1e-5, atol=1e-6)
    assert statistics["stem.1.num_batches_tracked"].item() == 1


def test_what_was_read_can_be_written_again(tmp_path):
    x = images(17)
    model = worn(Residual(), x).eval()
    interop.save_onnx(model, tn.Tensor(x), tmp_path / "a.onnx")
    again = interop.load_onnx(tmp_path / "a.onnx")
    interop.save_onnx(again, tn.Tensor(x), tmp_path / "b.onnx")
    back = assert_runs_alike(model, tmp_path / "b.onnx", x)
    assert back.state_dict().keys() == again.state_dict().keys()


def test_on_a_gpu(tmp_path):
    x = images(17)
    interop.save_onnx(worn(Residual(), x), tn.Tensor(x), tmp_path / "net.onnx")
    network = interop.load_onnx(tmp_path / "net.onnx")
    with tn.no_grad():
        expected = network(tn.Tensor(x)).numpy()
        with strict.gpu():
            found = network.to("cuda")(tn.Tensor(x).to("cuda"))
            assert found.device == "cuda"
            assert_close(found.to("cpu").numpy(), expected, 1e-5)
            with pytest.raises(ValueError, match=r"on cuda; move it with .cpu\(\)"):
                interop.save_onnx(network, tn.Tensor(x), tmp_path / "net.onnx")


# op by op


def op(function, *shapes, low=-2.0, high=2.0, dtype=np.float32):
    return function, shapes, low, high, dtype


CONSTANT = tn.Tensor(np.array([[0.5, -1.5, 2.5, 3.5]], np.float32))
PLACES = np.array([[2, 0], [1, 3]])
MAP = (4, 9, 7)  # of an image
OPS = {
    "add": op(lambda a, b: a + b * 2, (4,), (4,)),
    "add number": op(lambda a: 1 - a + 3, (4,)),
    "subtract": op(lambda a: a - CONSTANT, (4,)),
    "broadcast": op(lambda a, b: a * b, (3, 4), (1, 4)),
    "divide": op(lambda a, b: a / b, (4,), (4,), low=0.5),
    "remainder": op(lambda a: a % CONSTANT, (4,), low=-9.0, high=9.0),
    "power": op(lambda a, b: a**b, (4,), (4,), low=0.1),
    "square": op(lambda a: a**2, (4,)),
    "maximum": op(lambda a, b: a.maximum(b).minimum(CONSTANT), (4,), (4,)),
    "negate": op(lambda a: -a, (4,)),
    "exp": op(lambda a: a.exp(), (4,)),
    "log sqrt": op(lambda a: a.log() + a.sqrt(), (4,), low=0.1),
    "abs": op(lambda a: abs(a), (4,)),
    "clip": op(lambda a: a.clip(-0.5, 1.0), (40,)),
    "clip below": op(lambda a: a.clip(min=0.5), (40,)),
    "clip above": op(lambda a: a.clip(max=0.5), (40,)),
    "cast": op(lambda a: (a.double() * 0.1).float(), (4,)),
    "double": op(lambda a: a.exp() @ a.double().permute(1, 0), (4,), dtype=np.float64),
    "relu": op(F.relu, (40,)),
    "relu6": op(F.relu6, (40,), low=-9.0, high=9.0),
    "relu in place": op(lambda a: F.relu(a, inplace=True) + a, (40,)),
    "sigmoid": op(lambda a: a.sigmoid(), (4,), low=-9.0, high=9.0),
    "tanh": op(lambda a: a.tanh(), (4,)),
    "round": op(lambda a: a + a.round(), (40,), low=-9.0, high=9.0),
    "leaky_relu": op(lambda a: F.leaky_relu(a, 0.2), (40,), low=-9.0, high=9.0),
    "elu": op(lambda a: F.elu(a, 0.5), (40,), low=-9.0, high=9.0),
    "softplus": op(lambda a: F.softplus(a, 2.0), (40,), low=-20.0, high=20.0),
    "hardswish": op(lambda a: F.hardswish(a) + F.hardsigmoid(a), (40,), low=-9.0, high=9.0),
    "softmax": op(lambda a: F.softmax(a, 1), (5, 3)),
    "log_softmax": op(lambda a: F.log_softmax(a, -1), (5, 3)),
    "matmul": op(lambda a, b: a @ b, (3, 4), (4, 5)),
    "matmul vector": op(lambda a: a @ CONSTANT[0], (3, 4)),
    "sum": op(lambda a: a.sum((1, 2)), (3, 4)),
    "sum of all but": op(lambda a: a.sum(1, keepdim=True), (3, 4)),
    "mean": op(lambda a: a.mean(-1), (3, 4)),
    "batch mean": op(lambda a: a - a.mean(0), (3, 4)),
    "amax": op(lambda a: a.amax((1, 2)) - a.amin(1).sum(1), (3, 4)),
    "std": op(lambda a: a.std(1) + a.var(1, unbiased=False), (6,)),
    "reshape": op(lambda a: a.reshape(-1, 2, 6), (3, 4)),
    "reshape to 2N": op(lambda a: a.reshape(len(a), 2, -1).reshape(len(a) * 2, 6), (3, 4)),
    "reshape of N by N": op(lambda a: (a @ a.t()).reshape(len(a), 1, len(a)).exp(), (4,)),
    "flatten": op(lambda a: a.flatten(1), (3, 4)),
    "flatten all": op(lambda a: a.flatten(), (3, 4)),
    "permute": op(lambda a: a.permute(2, 0, 1), (3, 4)),
    "transpose": op(lambda a: a.reshape(len(a), 3, 4).transpose(1, 2).flatten(1), (12,)),
    "shuffle": op(lambda a: a.reshape(len(a), 2, 2, 9, 7).transpose(1, 2).reshape(a.shape), MAP),
    "expand": op(lambda a: a.unsqueeze(1).expand(-1, 5, -1) * 2, (4,)),
    "expand to the batch": op(lambda a: tn.cat([CONSTANT.expand(len(a), 4), a], 1), (4,)),
    "slice": op(lambda a: a[:, 1:, ::2], (3, 4)),
    "slice from behind": op(lambda a: a[..., -3:-1], (3, 4)),
    "index": op(lambda a: a[:, 1, None, 2:] + a[:, -1:, 0:2], (3, 4)),
    "index by an array": op(lambda a: a[:, :, PLACES], (3, 4)),
    "first image": op(lambda a: a + a[0], (3, 4)),
    "cat": op(lambda a, b: tn.cat([a, b, a], 1), (3, 4), (2, 4)),
    "stack": op(lambda a, b: tn.stack([a, b], 2), (3,), (3,)),
    "split": op(lambda a: a.split([1, 3], 1)[1], (4,)),
    "squeeze": op(lambda a: (a.unsqueeze(1) * 2).squeeze(1), (4,)),
    "pad": op(lambda a: F.pad(a, (0, 1, 2, 0), value=0.5), MAP),
    "pad reflect": op(lambda a: F.pad(a, (2, 1, 1, 0), mode="reflect"), MAP),
    "pad circular": op(lambda a: F.pad(a, (2, 1, 1, 0), mode="circular"), MAP),
    "global pool": op(lambda a: F.adaptive_avg_pool2d(a, 1), MAP),
    "adaptive pool": op(lambda a: F.adaptive_avg_pool2d(a, (4, 3)), MAP),
    "avg_pool2d": op(lambda a: F.avg_pool2d(a, 3, 2, 1), MAP),
    "avg_pool2d inside": op(lambda a: F.avg_pool2d(a, 3, 2, 1, count_include_pad=False), MAP),
    "avg_pool2d ceil": op(lambda a: F.avg_pool2d(a, 2, (2, 3), 1, ceil_mode=True), MAP),
    "max_pool2d": op(lambda a: F.max_pool2d(a, (3, 2), 2, 1), MAP),
    "max_pool2d ceil": op(lambda a: F.max_pool2d(a, 2, 2, ceil_mode=True), MAP),
    "max_pool2d dilated": op(lambda a: F.max_pool2d(a, 2, 1, 2, dilation=3), MAP),
    "no_grad inside": op(lambda a: a + tn.no_grad()(lambda b: b * 3 + 1)(a), (4,)),
}


class Of(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


@pytest.mark.parametrize("name", OPS)
def test_op_by_op(name, tmp_path, rng):
    function, shapes, low, high, dtype = OPS[name]
    model, path = Of(function).eval(), tmp_path / "op.onnx"
    example = [tn.Tensor(rng.uniform(low, high, (2, *shape)).astype(dtype)) for shape in shapes]
    names = [f"x{i}" for i in range(len(shapes))]
    interop.save_onnx(model, tuple(example), path, names)
    run, back = runtime(path), interop.load_onnx(path)
    for n in (1, 3, 8):
        arrays = [rng.uniform(low, high, (n, *shape)).astype(dtype) for shape in shapes]
        leaves = [[tn.Tensor(a.copy(), requires_grad=True) for a in arrays] for _ in range(2)]
        expected, found = model(*[a * 1 for a in leaves[0]]), back(*leaves[1])
        np.testing.assert_allclose(run(*arrays)[0], expected.detach(), rtol=1e-4, atol=2e-5)
        np.testing.assert_allclose(found.detach(), expected.detach(), rtol=1e-5, atol=1e-6)
        assert found.dtype == dtype
        if name != "no_grad inside":  # a file has no such blocks
            for y in (expected, found):
                (y * y).sum().backward()
            for a, b in zip(*leaves, strict=True):
                np.testing.assert_allclose(b.grad, a.grad, rtol=1e-4, atol=1e-4)


def test_relu6_has_its_own_gradient_at_the_kinks(tmp_path):
    interop.save_onnx(Of(F.relu6), tn.ones(1, 5), tmp_path / "op.onnx")
    x = tn.tensor([[-1.0, 0.0, 3.0, 6.0, 7.0]], requires_grad=True)
    interop.load_onnx(tmp_path / "op.onnx")(x).sum().backward()
    assert x.grad.numpy().tolist() == [[0, 0, 1, 0, 0]]


def test_what_no_later_node_takes_is_let_go(tmp_path):
    def chain(x):
        for _ in range(30):
            x = x + 1
        return x

    interop.save_onnx(Of(chain), tn.ones(1, 100_000), tmp_path / "op.onnx")
    network, x = interop.load_onnx(tmp_path / "op.onnx"), tn.ones(1, 100_000)
    tracemalloc.start()
    with tn.no_grad():
        network(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * x.array.nbytes


CONVS = {
    "plain": {},
    "stride": {"kernel_size": (3, 2), "stride": (2, 3), "padding": (1, 0)},
    "dilation": {"dilation": (2, 1), "padding": 2},
    "same": {"kernel_size": 4, "padding": "same"},  # 1 before, 2 behind
    "groups": {"groups": 2, "padding": 1, "bias": False},
    "depthwise": {"groups": 4, "padding": 1, "stride": 2, "out_channels": 4},
    "two filters each": {"groups": 4, "out_channels": 8},
    "pointwise": {"kernel_size": 1, "bias": False},
}


@pytest.mark.parametrize("name", CONVS)
def test_convolutions(name, tmp_path):
    options = {"kernel_size": 3, "out_channels": 6, **CONVS[name]}
    x = images(11, channels=4)
    model = worn(nn.Sequential(nn.Conv2d(4, **options), nn.BatchNorm2d(options["out_channels"])), x)
    interop.save_onnx(model, tn.Tensor(x), tmp_path / "op.onnx")
    assert_runs_alike(model.eval(), tmp_path / "op.onnx", x)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5,), (3, 5)])
def test_linear(shape, bias, tmp_path, rng):
    model = nn.Linear(5, 3, bias=bias).eval()
    x = rng.standard_normal((8, *shape)).astype(np.float32)
    interop.save_onnx(model, tn.Tensor(x), tmp_path / "op.onnx")
    back = assert_runs_alike(model, tmp_path / "op.onnx", x)
    assert back.state_dict().keys() == model.state_dict().keys()


def test_every_op_has_a_node_or_a_sentence(tmp_path):
    from tinynet.interop.onnx.nodes import NODES

    functions, todo = set(), [tn.autograd.Function]
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        if kind.__module__.startswith("tinynet.ops."):
            functions.add(kind)
    without = {kind.__name__ for kind in functions - NODES.keys()}
    assert without == {
        *("SoftmaxCrossEntropy", "BinaryCrossEntropy", "Gather", "Transfer", "Write"),
        *("GELU", "Where"),  # opset 17 has no Gelu; what Where chooses by is no Tensor
    }


# what the file says


def test_what_the_file_says(tmp_path):
    model = mobilenet.build("paper", 5, 0.1)
    path, facts = tmp_path / "net.onnx", {"notes": {"size": 32}}
    interop.save_onnx(model, tn.zeros(1, 3, 32, 32), path, ["images"], ["logits"], metadata=facts)
    file = onnx.load(path)
    onnx.checker.check_model(file, full_check=True)
    assert (file.opset_import[0].version, file.ir_version) == (17, 8)
    assert file.producer_name == "tinynet" and "MobileNetV1" in file.doc_string
    assert json.loads(file.metadata_props[0].value) == facts["notes"]
    (given,), (made,) = file.graph.input, file.graph.output
    sizes = [
        [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (given, made)
    ]
    assert (given.name, made.name, sizes) == ("images", "logits", [["N", 3, 32, 32], ["N", 5]])
    state = [name for name in model.state_dict() if "num_batches" not in name]
    assert [tensor.name for tensor in file.graph.initializer] == state
    nodes = {node.name: node for node in file.graph.node}
    assert list(nodes["/blocks/0/depthwise/0/Conv"].input)[1] == "blocks.0.depthwise.0.weight"
    formula = nodes["/stem/1/BatchNormalization"].doc_string
    assert formula.startswith("y = weight xhat + bias; xhat = (x - mean) / std")
    assert interop.load_onnx(path).metadata == {"notes": '{"size": 32}'}


def test_several_inputs_and_outputs(tmp_path, rng):
    model = Of(lambda a, b: (a + b, a, (a * b).sum(1))).eval()
    a, b = (rng.standard_normal((3, 4)).astype(np.float32) for _ in range(2))
    args = tn.Tensor(a), tn.Tensor(b)
    interop.save_onnx(model, args, tmp_path / "n.onnx", ["a", "b"], ["sum", "same", "dot"])
    for results in (
        runtime(tmp_path / "n.onnx")(a, b),
        [y.numpy() for y in interop.load_onnx(tmp_path / "n.onnx")(*args)],
    ):
        for found, wanted in zip(results, (a + b, a, (a * b).sum(1)), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


class Loose(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.part = Of(function)

    def forward(self, x):
        return self.part(x)


def changed_in_no_grad(x):
    with tn.no_grad():
        y = x * 3
        y.add_(1)
    return x + y


def write_in_a_view(x):
    y = x * 1
    y[:, 0].add_(1)
    return y


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: x.max(1).values, ["Gather in 'part'", "no counterpart"]),
        (
            lambda x: F.cross_entropy(x, tn.tensor(np.zeros(len(x), int)), reduction="none"),
            ["SoftmaxCrossEntropy in 'part'", "no counterpart"],
        ),
        (lambda x: x + x.detach(), ["Add in 'part'", "no op made"]),
        (lambda x: x * float(x.numpy().sum()), ["Multiply in 'part'", "no op made"]),
        (lambda x: x + tn.zeros(len(x), 1), ["Add in 'part'", "the size of the batch"]),
        (lambda x: F.dropout(x, 0.5, True), ["Multiply in 'part'", "no randomness"]),
        (lambda x: x[: len(x) - 1], ["Index in 'part'", "options"]),
        (lambda x: x + 1 if len(x) == 2 else x, ["other ops"]),
        (lambda x: x * (2 if len(x) > 4 else 1), ["for 5 images", "other numbers"]),
        (changed_in_no_grad, ["Add in 'part'", "no op made"]),
        (write_in_a_view, ["Write in 'part'", "no counterpart"]),
        (
            lambda x: F.batch_norm(x, None, None, training=True),
            ["BatchNorm in 'part'", "statistics"],
        ),
        (lambda x: x[:, np.array([True, False, True, False])], ["Index in 'part'"]),
        (lambda x: tn.zeros(len(x), 2), ["an output"]),
        (lambda x: {"logits": x}, ["a Tensor or several, got dict"]),
    ],
)
def test_what_cannot_be_written_is_one_sentence(function, words, tmp_path):
    path = tmp_path / "net.onnx"
    with pytest.raises((ValueError, TypeError)) as caught:
        interop.save_onnx(Loose(function), tn.ones(2, 4), path)
    message = str(caught.value)
    assert message.startswith("save_onnx: ") and "\n" not in message and len(message) < 300
    assert all(word in message for word in words), message
    assert not path.exists()


def test_wrong_arguments(tmp_path):
    model, x, path = nn.Linear(4, 2), tn.ones(2, 4), tmp_path / "net.onnx"
    for arguments, words in [
        ((x, model, path), "expected a Module first, got Tensor"),
        ((model, path, x), "third argument is a path, got Tensor"),
        ((model, np.ones((2, 4)), path), "must be Tensors of floating"),
        ((model, tn.ones(2, 4).long(), path), "must be Tensors of floating numbers, got int64"),
        ((model, tn.zeros(0, 4), path), "not empty; got shape (0, 4)"),
        ((model, (), path), "args is empty"),
        ((model, x, path, ["a", "b"]), "input_names must be 1 str"),
        ((model, x, path, "a", ["b", "c"]), "output_names must be 1 str"),
        ((model, x, path, "weight"), "'weight' names an input and an entry of the state"),
        ((model, x, path, "a", "a"), "'a' is to name two things"),
    ]:
        with pytest.raises((TypeError, ValueError)) as caught:
            interop.save_onnx(*arguments)
        assert words in str(caught.value)
    with pytest.raises(OSError, match="cannot write"):
        interop.save_onnx(model, x, tmp_path / "nowhere" / "net.onnx")
    assert not list(tmp_path.iterdir()) and model.training


def test_what_the_checker_refuses_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr("tinynet.interop.onnx.write.OPSET", 6)  # in which Clip has attributes
    with pytest.raises(ValueError, match="save_onnx: onnx.checker refuses the file"):
        interop.save_onnx(nn.ReLU6(), tn.ones(2, 4), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr("tinynet.interop.onnx.write.LARGEST", 50)
    with pytest.raises(ValueError, match="more than 50 bytes"):
        interop.save_onnx(nn.Linear(4, 4), tn.ones(2, 4), tmp_path / "net.onnx")


def test_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(interop.WeightsError, match=r"needs the package onnx: pip install"):
        interop.save_onnx(nn.Linear(4, 2), tn.ones(2, 4), tmp_path / "net.onnx")


# the command


def test_export_and_predict(tmp_path, capsys):
    model = mobilenet.build("cifar-4x4", 3, 0.1).eval()
    facts = {"classes": ["cat", "dog", "cow"], "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}
    facts |= {"network": "cifar-4x4", "options": {"width": 0.1, "num_classes": 3}, "size": 40}
    mobilenet.save_network(tmp_path / "w.npz", model, **facts, card={"test_accuracy": 0.625})
    np.save(tmp_path / "photo.npy", np.random.default_rng(1).integers(0, 255, (50, 44, 3), "u1"))
    said = []
    for weights, out in [("w.npz", "a.onnx"), ("a.onnx", "b.onnx"), ("w.npz", "c.npz")]:
        weights, out = str(tmp_path / weights), str(tmp_path / out)
        mobilenet.main(["export", "--weights", weights, "--out", out])
        size = (tmp_path / out).stat().st_size
        assert capsys.readouterr().out == f"{out}: {size:,} bytes; 3 classes, 40x40\n"
        mobilenet.main(["predict", str(tmp_path / "photo.npy"), "--weights", out])
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] == said[2] and "62.5 % of the test images" in said[0]
    network, info = mobilenet.load_weights(tmp_path / "a.onnx")
    assert (info["size"], info["classes"]) == (40, facts["classes"])
    assert (info["mean"], info["std"]) == (
        pytest.approx(facts["mean"]),
        pytest.approx(facts["std"]),
    )
    mobilenet.main(["export", "--weights", weights, "--out", str(tmp_path / "d.safetensors")])
    state = interop.load_safetensors(tmp_path / "d.safetensors")
    assert state.keys() == model.state_dict().keys()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "net.pt"], "must end in .onnx, .safetensors or .npz, got 'net.pt'"),
        (["--out", "nowhere/net.onnx"], "cannot write"),
        (["--out", "net.onnx", "--weights", "nothing"], "nothing"),
        (["--out", "net.onnx", "--resolution", "0"], "from 1 to 4096 pixels, got 0"),
        ([], "--out"),
    ],
)
def test_export_refuses_in_one_sentence(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        mobilenet.main(["export", *arguments])
    code = caught.value.code
    text = capsys.readouterr().err.splitlines()[-1] if code == 2 else code
    assert words in text and "\n" not in text
    assert not list(tmp_path.iterdir())
