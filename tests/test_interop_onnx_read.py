"""ONNX files of others: those of torch and of hand-made nodes run as there, wrong ones are
refused in one sentence."""

import io
import os
import tracemalloc
import warnings

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from test_interop_onnx import assert_close, images, runtime
from test_mobilenet_torch import torch_twin

import mobilenet
import tinynet as tn
from tinynet import interop
from tinynet.interop.onnx.file import array_of

# files that torch wrote


class TorchBlock(torch.nn.Module):
    """What torch writes in many ways: pads, a view by size(0), a mean, chunks, a softmax."""

    def __init__(self):
        super().__init__()
        t = torch.nn
        self.stem = t.Conv2d(3, 8, 3, 2, 1)
        self.body = t.Sequential(
            *(t.Conv2d(8, 16, 1, bias=False), t.BatchNorm2d(16), t.ReLU6()),
            *(t.Conv2d(16, 16, 3, 1, 1, groups=16, bias=False), t.BatchNorm2d(16), t.ReLU()),
            *(t.Conv2d(16, 8, 1, bias=False), t.BatchNorm2d(8)),
        )
        self.scale = t.Parameter(torch.randn(8, 1, 1))
        self.pool, self.last = t.AvgPool2d(2), t.Linear(16, 5)

    def forward(self, x):
        x = self.stem(x)
        x = x + self.body(x) * self.scale
        x = self.pool(torch.nn.functional.pad(x, (0, 1, 0, 1)))
        x = torch.cat([x, x.clamp(-0.5, 0.5)], 1)
        a, b = x.chunk(2, 1)
        x = torch.cat([b, a], 1).mean((2, 3))
        return torch.softmax(self.last(x.view(x.size(0), -1)), 1)


def by_torch(model, x, path, **options):
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # there is a newer exporter, which needs onnxscript
        torch.onnx.export(model, (torch.tensor(x),), buffer, dynamo=False, **options)
    path.write_bytes(buffer.getvalue())


def worn(model, x):
    """The torch model in evaluation mode, its BatchNorms with the statistics of x."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    model(torch.tensor(x))
    return model.eval()


@pytest.mark.parametrize("folded", [True, False])
@pytest.mark.parametrize("kind", ["paper", "slim", "block"])
def test_files_of_torch(kind, folded, tmp_path):
    model = TorchBlock() if kind == "block" else torch_twin(kind, 0.1, 7)
    x = images(33)
    if not folded:  # for gradients, which in float32 jump at the kinks of ReLU6
        model, x = model.double(), x.astype(np.float64)
    model = worn(model, x)
    how = {"input_names": ["x"], "dynamic_axes": {"x": {0: "batch"}}, "do_constant_folding": folded}
    by_torch(model, x[:2], tmp_path / "net.onnx", **how)
    back = interop.load_onnx(tmp_path / "net.onnx")
    for n in (1, 3, 8):
        expected = model(torch.tensor(x[:n])).detach().numpy()
        assert_close(back(tn.Tensor(x[:n])).detach().numpy(), expected)
    if folded:  # BatchNorms are part of the convolutions, which then have no names
        return
    assert set(model.state_dict()) == set(back.state_dict())
    model(torch.tensor(x)).square().sum().backward()
    (back(tn.Tensor(x)) ** 2).sum().backward()
    ours = dict(back.named_parameters())
    assert set(ours) == {name for name, _ in model.named_parameters()}
    for name, theirs in model.named_parameters():
        scale = theirs.grad.abs().max().item()
        np.testing.assert_allclose(ours[name].grad, theirs.grad.numpy(), 1e-6, 1e-7 * scale, name)


def test_a_file_of_torch_names_photos(tmp_path, capsys):
    """With a fixed batch, a Softmax at its end, and nothing about the images."""
    x = images(64)
    model = worn(torch.nn.Sequential(torch_twin("paper", 0.1, 7), torch.nn.Softmax(1)), x)
    by_torch(model, x[:1], tmp_path / "net.onnx")
    network, info = mobilenet.load_weights(tmp_path / "net.onnx")
    assert (info["size"], info["mean"][0], len(info["classes"])) == (64, 0.485, 7)
    logits = model[0](torch.tensor(x[:1])).detach().numpy()
    assert_close(network(tn.Tensor(x[:1])).detach().numpy(), logits)
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    np.save(tmp_path / "photo.npy", pixels)
    (tmp_path / "names.txt").write_text("\n".join("abcdefg"))
    files = [tmp_path / "photo.npy", "--weights", tmp_path / "net.onnx"]
    mobilenet.main(["predict", *map(str, files), "--labels", str(tmp_path / "names.txt")])
    assert capsys.readouterr().out.count(" %") == 5


# nodes that others write


def file_of(nodes, inputs, weights=(), opset=13, out="y", **options):
    """The bytes of a file. nodes: (kind, inputs, output, attributes); inputs: {name: shape}."""
    made = [helper.make_node(kind, i, [o], **attributes) for kind, i, o, attributes in nodes]
    graph = helper.make_graph(
        *(made, "g", [helper.make_tensor_value_info(n, 1, s) for n, s in inputs.items()]),
        [helper.make_tensor_value_info(out, 1, None)],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in dict(weights).items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, **options)


def assert_same_answers(tmp_path, nodes, weights, opset=14):
    x, m = images(6, channels=4, batch=2), np.arange(12, dtype=np.float32).reshape(3, 4) / 7
    used = {name for _, inputs, *_ in nodes for name in inputs}
    given = {name: array for name, array in {"x": x, "matrix": m}.items() if name in used}
    weights = {name: array for name, array in weights.items() if name in used}
    shapes = {name: array.shape for name, array in given.items()}
    model = file_of(nodes, shapes, weights, opset)
    onnx.save(model, tmp_path / "net.onnx")
    expected = runtime(tmp_path / "net.onnx")(*given.values())[0]
    found = interop.load_onnx(tmp_path / "net.onnx")(*map(tn.Tensor, given.values()))
    assert_close(found.detach().numpy(), expected, 1e-5)


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_auto_pad(auto_pad, stride, tmp_path, rng):
    weights = {"w": rng.standard_normal((4, 1, 3, 3)).astype(np.float32)}
    how = {"auto_pad": auto_pad, "strides": [stride, stride]}
    pool = {**how, "kernel_shape": [3, 3]}
    for nodes in (
        [("Conv", ["x", "w"], "y", {**how, "group": 4})],
        [("MaxPool", ["x"], "y", pool)],
        [("AveragePool", ["x"], "y", pool)],
    ):
        assert_same_answers(tmp_path, nodes, weights)


WEIGHTS = {
    "w": np.linspace(-1, 1, 15, dtype=np.float32).reshape(3, 5),
    "b": np.linspace(1, 2, 5, dtype=np.float32),
    "rows": np.linspace(1, 2, 4, dtype=np.float32).reshape(4, 1),
    "s": np.linspace(1, 2, 4, dtype=np.float32).reshape(1, 4, 1, 1),
    "two": np.array(0.75, np.float32),
    "pads": np.array([0, 0, 1, 2, 0, 0, 0, 1]),
    "some": np.array([1, 2]),
    "axes": np.array([2, 3]),
    "lows": np.array([-1, 1]),
    "highs": np.array([-(2**63), 2**62]),
    "steps": np.array([-2, 1]),
    "zero": np.array(0),
    "lone": np.array([0]),
    "rest": np.array([-1]),
    "four": np.array([4]),
    "wanted": np.array([2, -1, 1, 1]),
}
ONES = numpy_helper.from_array(np.array([1]))
NODES = {
    "Gemm": [("Gemm", ["matrix", "w", "b"], "y", {"alpha": 0.5, "beta": 2.0, "transA": 1})],
    "Gemm of columns": [("Gemm", ["matrix", "w", "rows"], "y", {"transA": 1})],
    "Pad edge": [("Pad", ["x", "pads"], "y", {"mode": "edge"})],
    "Pad reflect": [("Pad", ["x", "pads"], "y", {"mode": "reflect"})],
    "Mod": [("Mod", ["x", "two"], "y", {"fmod": 1})],
    "Floor": [("Floor", ["x"], "y", {})],
    "LeakyRelu": [("LeakyRelu", ["x"], "y", {"alpha": 0.2})],
    "Elu": [("Elu", ["x"], "y", {"alpha": 0.5})],
    "HardSigmoid": [("HardSigmoid", ["x"], "y", {"alpha": 0.3})],
    "HardSwish": [("HardSwish", ["x"], "y", {})],
    "Softplus": [("Softplus", ["x"], "y", {})],
    "Round": [("Round", ["x"], "y", {})],
    "Max of three": [("Max", ["x", "two", "s"], "y", {})],
    "Sum of three": [("Sum", ["x", "two", "s"], "y", {})],
    "GlobalMaxPool": [("GlobalMaxPool", ["x"], "y", {})],
    "unequal pads": [
        ("AveragePool", ["x"], "y", {"kernel_shape": [3, 3], "pads": [0, 1, 1, 0],
                                     "count_include_pad": 1}),
    ],
    "ReduceSum": [("ReduceSum", ["x", "axes"], "y", {"keepdims": 0})],
    "ReduceMax": [("ReduceMax", ["x"], "y", {"axes": [-1], "keepdims": 0})],
    "Flatten": [("Flatten", ["x"], "y", {"axis": -2})],
    "Transpose": [("Transpose", ["x"], "y", {})],
    "Slice": [("Slice", ["x", "lows", "highs", "axes", "steps"], "y", {})],
    "Dropout": [("Identity", ["x"], "i", {}), ("Dropout", ["i"], "y", {})],
    "Squeeze": [("GlobalAveragePool", ["x"], "p", {}), ("Squeeze", ["p", "axes"], "y", {})],
    "Cast and back": [("Cast", ["x"], "d", {"to": 11}), ("Cast", ["d"], "y", {"to": 1})],
    "a view by Shape": [
        ("Shape", ["x"], "all", {}),
        ("Gather", ["all", "zero"], "n", {"axis": 0}),
        ("Unsqueeze", ["n", "lone"], "n1", {}),
        ("Concat", ["n1", "rest"], "sizes", {"axis": 0}),
        ("Reshape", ["x", "sizes"], "y", {}),
    ],
    "an expand by Where": [
        ("ConstantOfShape", ["four"], "ones", {"value": ONES}),
        ("Mul", ["ones", "rest"], "less", {}),
        ("Equal", ["wanted", "less"], "is", {}),
        ("Where", ["is", "ones", "wanted"], "sizes", {}),
        ("Expand", ["s", "sizes"], "large", {}),
        ("Add", ["large", "x"], "y", {}),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", NODES)
def test_nodes_that_others_write(name, tmp_path):
    assert_same_answers(tmp_path, NODES[name], WEIGHTS)


def test_older_and_newer_opsets(tmp_path):
    old = [
        ("Clip", ["x"], "c", {"min": -0.5, "max": 0.75}),
        ("Pad", ["c"], "p", {"pads": [0, 0, 1, 0, 0, 0, 0, 1], "value": 0.5}),
        ("Slice", ["p"], "cut", {"starts": [1], "ends": [9], "axes": [2]}),
        ("ReduceMean", ["cut"], "m", {"axes": [2], "keepdims": 1}),
        ("Squeeze", ["m"], "q", {"axes": [2]}),
        ("Softmax", ["q"], "y", {"axis": 2}),
    ]
    assert_same_answers(tmp_path, old, WEIGHTS, opset=9)
    new = [
        ("Pad", ["x", "some", "two", "rest"], "p", {}),  # axes as an input
        ("ReduceMean", ["p", "axes"], "y", {"keepdims": 0}),
    ]
    assert_same_answers(tmp_path, new, WEIGHTS, opset=18)
    split = helper.make_node("Split", ["x"], ["a", "b"], axis=1, num_outputs=2)
    model = file_of([("Sub", ["a", "b"], "y", {})], {"x": (2, 4, 6, 6)}, opset=18)
    model.graph.node.insert(0, split)
    onnx.save(model, tmp_path / "net.onnx")
    x = images(6, channels=4, batch=2)
    found = interop.load_onnx(tmp_path / "net.onnx")(tn.Tensor(x)).numpy()
    assert_close(found, runtime(tmp_path / "net.onnx")(x)[0], 1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_weights_become_float32(dtype):
    values = torch.tensor([1.5, -0.25, 3e-5]).to(getattr(torch, dtype))
    bits = values.view(torch.int16).numpy().tobytes()
    kind = {"float16": 10, "bfloat16": 16}[dtype]
    tensor = onnx.TensorProto(dims=[3], data_type=kind, raw_data=bits)
    other = onnx.TensorProto(dims=[3], data_type=kind)
    other.int32_data.extend(np.frombuffer(bits, "<u2").tolist())
    for each in (tensor, other):
        assert (array_of(each) == values.float().numpy()).all()
        assert array_of(each).dtype == np.float32


def test_names_that_no_attribute_can_have(tmp_path):
    names = ["a", "a.b", "forward", "a..c", "x" + ".x" * 500, "__class__.y"]
    nodes = [("Mul", [f"h{i}", name], f"h{i + 1}", {}) for i, name in enumerate(names)]
    weights = {name: np.full(3, i + 1, np.float32) for i, name in enumerate(names)}
    onnx.save(file_of(nodes, {"h0": (2, 3)}, weights, out="h6"), tmp_path / "net.onnx")
    back = interop.load_onnx(tmp_path / "net.onnx")
    assert (back(tn.ones(2, 3)).detach().numpy() == 720).all()
    assert len(back.state_dict()) == 6 and "a" in back.state_dict()


# wrong files


def refused(data, tmp_path, *words, use=None):
    """What is said of a file when it is read or, with `use`, run: one sentence, little memory."""
    path = tmp_path / "bad.onnx"
    path.write_bytes(data if isinstance(data, bytes) else data.SerializeToString())
    tracemalloc.start()
    try:
        with pytest.raises(interop.WeightsError) as caught:
            network = interop.load_onnx(path)
            assert use is not None, "the file was read"
            network(*use)
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert os.fspath(path) in message and "\n" not in message and len(message) < 600, message
    assert all(word in message for word in words), message


def relu(**changes):
    return file_of([("Relu", ["x"], "y", {})], **{"inputs": {"x": (2, 4)}, **changes})


def test_damage(tmp_path):
    whole = file_of(
        [("Add", ["x", "w"], "y", {})], {"x": (2, 400)}, {"w": np.ones(400, np.float32)}
    ).SerializeToString()
    for end in (*range(0, 60, 7), len(whole) // 2, len(whole) - 1):
        refused(whole[:end], tmp_path)
    refused(b"hello", tmp_path)
    refused(b"\x08\x08" + bytes(range(256)), tmp_path)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        bad = bytearray(whole)
        bad[rng.integers(len(bad) - 1600)] = rng.integers(256)
        (tmp_path / "net.onnx").write_bytes(bad)
        try:
            interop.load_onnx(tmp_path / "net.onnx")(tn.ones(2, 400))
        except ValueError as error:
            assert "\n" not in str(error)
    with pytest.raises(interop.WeightsError, match="there is no"):
        interop.load_onnx(tmp_path / "nothing.onnx")


def test_ops_and_opsets_that_are_not_known(tmp_path):
    refused(relu(opset=8), tmp_path, "opset is 8", "9 to 26")
    refused(relu(opset=99), tmp_path, "opset is 99")
    lstm = file_of([("LSTM", ["x"], "y", {})], {"x": (2, 4)})
    refused(lstm, tmp_path, "(LSTM)", "an op that tinynet cannot run")
    other = relu()
    other.opset_import.add(domain="com.evil", version=1)
    refused(other, tmp_path, "com.evil")
    other = relu()
    other.graph.node[0].domain = "com.evil"
    refused(other, tmp_path, "com.evil")
    body = relu().graph
    loop = helper.make_node("If", ["x"], ["y"], then_branch=body, else_branch=body)
    other = relu()
    other.graph.node[0].CopyFrom(loop)
    refused(other, tmp_path, "_branch' is of no known type")


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (("Relu", ["x"], "y", {"slope": 1}), ["'slope', which is not known"]),
        (("Softmax", ["x"], "y", {"axis": "one"}), ["'axis' is 'one'"]),
        (("Concat", ["x", "x"], "y", {}), ["lacks the attribute 'axis'"]),
        (("Relu", ["x", "x"], "y", {}), ["has 2 inputs; 1 to 1"]),
        (("Conv", ["x"], "y", {}), ["has 1 inputs; 2 to 3"]),
        (("Relu", ["z"], "y", {}), ["takes 'z', which nothing before it makes"]),
        (("Relu", ["x"], "x", {}), ["makes 'x', which is there already"]),
        (("Relu", ["x"], "q", {}), ["no node makes its output 'y'"]),
        (("Constant", [], "y", {}), ["has no value"]),
        (("Constant", [], "y", {"value_string": "a"}), ["has no value"]),
    ],
)
def test_nodes_that_are_wrong(node, words, tmp_path):
    refused(file_of([node], {"x": (2, 4)}), tmp_path, *words)


def test_a_circle(tmp_path):
    nodes = [("Add", ["x", "b"], "a", {}), ("Relu", ["a"], "b", {}), ("Relu", ["b"], "y", {})]
    refused(file_of(nodes, {"x": (2, 4)}), tmp_path, "'b', which nothing before it makes", "circle")


def weight(**changes):
    array = numpy_helper.from_array(np.ones(4, np.float32), "w")
    for name, value in changes.items():
        if name == "dims":
            del array.dims[:]
            array.dims.extend(value)
        else:
            setattr(array, name, value)
    model = file_of([("Add", ["x", "w"], "y", {})], {"x": (2, 4)})
    model.graph.initializer.append(array)
    return model


def test_weights_that_are_wrong(tmp_path):
    refused(weight(dims=[2**40]), tmp_path, "'w' claims the shape (1099511627776,)")
    refused(weight(dims=[2**62, 4]), tmp_path, "claims the shape")
    refused(weight(dims=[-1]), tmp_path, "claims the shape (-1,)")
    refused(weight(dims=[3]), tmp_path, "has 4 numbers")
    refused(weight(raw_data=bytes(15)), tmp_path, "15 bytes")
    refused(weight(data_type=8), tmp_path, "of type 8")
    refused(weight(raw_data=b"\0\0\xc0\x7f" * 4), tmp_path, "'w' must hold finite numbers")
    twice = weight()
    twice.graph.initializer.append(twice.graph.initializer[0])
    refused(twice, tmp_path, "have one name")
    (tmp_path / "secret").write_bytes(bytes(16))
    for place in ("secret", "../secret", "/etc/passwd"):
        outside = weight(raw_data=b"", data_location=1)
        outside.graph.initializer[0].external_data.add(key="location", value=place)
        refused(outside, tmp_path, "another file, which is not opened")


def field(number, data):
    size, length = len(data), b""
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + data


def test_bombs(tmp_path, monkeypatch):
    monkeypatch.setattr("tinynet.interop.onnx.file.FIELDS", 20_000)
    monkeypatch.setattr("tinynet.interop.onnx.graph.MOST_NODES", 1_000)
    start = b"\x08\x08"
    many = field(1, b"") * 400_000  # nodes of two bytes each
    refused(start + field(7, many), tmp_path, "more than 20,000 fields")
    packed = field(1, field(5, field(8, bytes(5_000_000))))  # attributes: ints
    refused(start + field(7, packed), tmp_path, "packed integers")
    deep = b""
    for _ in range(100):  # graphs in attributes of nodes of graphs
        deep = field(1, field(5, field(6, deep)))
    refused(start + field(7, deep), tmp_path, "20 deep")
    long = file_of([("Relu", ["x"], "y", {})], {"x": (2, 4)})
    long.graph.node.extend([long.graph.node[0]] * 1_001)
    refused(long, tmp_path, "more than 1,000 nodes")


def test_results_that_would_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("tinynet.interop.onnx.graph.ROOM", 2**18)
    sizes, x = np.array([2**20, 2**20]), tn.ones(2, 40_000)
    doubling = [("Concat", [f"c{i}"] * 2, f"c{i + 1}", {"axis": 1}) for i in range(40)]
    outer = [("Unsqueeze", ["x", "one"], "r", {}), ("Unsqueeze", ["x", "two"], "c", {})]
    weights = {"s": sizes, "one": np.array([1]), "two": np.array([2]), "f": np.ones(1, np.float32)}
    weights["far"] = np.array([0, 2**40, 0, 2**40])
    for nodes in (
        [("ConstantOfShape", ["s"], "y", {})],
        [("Expand", ["f", "s"], "y", {})],
        [("Pad", ["x", "far"], "y", {})],
        [("Relu", ["x"], "c0", {}), *doubling, ("Relu", ["c40"], "y", {})],
        [("Transpose", ["x"], "t", {}), ("MatMul", ["t", "x"], "y", {})],
        [("Gemm", ["x", "x"], "y", {"transA": 1})],
        [*outer, ("Add", ["r", "c"], "y", {})],
        [*outer, ("Max", ["r", "c"], "y", {})],
    ):
        wrong = file_of(nodes, {"x": (None, 40_000)}, weights)
        refused(wrong, tmp_path, "is more than 524,288 numbers", use=[x])
    conv = file_of(
        [("Conv", ["x", "w"], "y", {"pads": [4000] * 4})],
        {"x": (None, 1, 8, 8)},
        {"w": np.ones((1, 1, 3, 3), np.float32)},
    )
    refused(conv, tmp_path, "is more than 262,144 numbers", use=[tn.ones(1, 1, 8, 8)])


def test_shapes_that_do_not_fit_at_run_time(tmp_path):
    conv = file_of(
        [("Conv", ["x", "w"], "y", {})],
        {"x": (None, None, None, None)},
        {"w": np.ones((4, 3, 3, 3), np.float32)},
    )
    refused(conv, tmp_path, "(Conv): conv2d: the input has 5 channels", use=[tn.ones(1, 5, 9, 9)])
    conv.graph.node[0].attribute.append(helper.make_attribute("strides", [0, 0]))
    refused(conv, tmp_path, "stride must be", use=[tn.ones(1, 3, 9, 9)])
    add = file_of([("Add", ["x", "w"], "y", {})], {"x": (None, 4)}, {"w": np.ones(3, np.float32)})
    refused(add, tmp_path, "(Add): ", use=[tn.ones(2, 4)])
    onnx.save(relu(), tmp_path / "net.onnx")
    network = interop.load_onnx(tmp_path / "net.onnx")
    with pytest.raises(ValueError, match=r"'x' has the shape \(2, 4\), got \(3, 4\)"):
        network(tn.ones(3, 4))
    with pytest.raises(TypeError, match="takes 1 inputs, got 2"):
        network(tn.ones(2, 4), tn.ones(2, 4))
    with pytest.raises(TypeError, match="expected a Tensor of floating numbers, got int64"):
        network(tn.ones(2, 4).long())


def test_networks_that_name_no_photos(tmp_path):
    path = tmp_path / "net.onnx"

    def said(model):
        onnx.save(model, path)
        with pytest.raises(interop.WeightsError) as caught:
            mobilenet.load_weights(path)
        return str(caught.value)

    assert "one input (N, 3, H, W)" in said(relu())
    assert "gives the shape (1, 3, 8, 8)" in said(relu(inputs={"x": (None, 3, 8, 8)}))
    assert "expected 7 (weight" in said(
        file_of([("Conv", ["x", "w"], "y", {})], {"x": (None, 3, 8, 8)},
                {"w": np.ones((1, 7, 1, 1), np.float32)})
    )  # fmt: skip
    pool = [("GlobalAveragePool", ["x"], "p", {}), ("Flatten", ["p"], "y", {})]
    good = file_of(pool, {"x": (None, 3, 8, 8)})
    for text, words in (
        ("{", "no JSON text"),
        ('{"label_names": ["a"]}', "label_names are not the names of its 3 outputs"),
        ('{"label_names": ["a", 2, "c"]}', "2 is no name"),
        ('{"mean": [1, 2]}', "mean must be three numbers"),
    ):
        del good.metadata_props[:]
        good.metadata_props.add(key="pretrained_cfg", value=text)
        assert words in said(good)
    wide = file_of(pool, {"x": (None, 3, 5000, 5000)})
    assert "images of 5000 pixels" in said(wide)
    with pytest.raises(interop.WeightsError, match="have 8x8 pixels, not 9x9"):
        del good.metadata_props[:]
        onnx.save(good, path)
        mobilenet.load_weights(path, size=9)
