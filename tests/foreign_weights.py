"""A small MobileNetV1 of torch, and its weights as other programs name and pack them."""

import io
import json
import zipfile

import h5py
import numpy as np
import safetensors.torch
import torch
from test_mobilenet_torch import torch_twin

WIDTH, CLASSES = 0.1, 7
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
TIMM_BLOCKS = [f"{s}.{b}" for s, n in enumerate((1, 2, 2, 6, 2)) for b in range(n)]
TF_PARTS = ("gamma", "beta", "moving_mean", "moving_variance")


def network(kind, width=WIDTH, classes=CLASSES):
    """A torch network with the padding and epsilon of a kind ("paper", "tensorflow", "slim"), whose
    BatchNorms are as after some training."""
    torch.manual_seed(4)
    model = torch_twin(kind, width, classes)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
        model(torch.randn(8, 3, 64, 64))  # statistics with which the images can be told apart
    return model.eval()


def layers(model):
    """[(weight of a convolution, four arrays of its BatchNorm)], and the last weight and bias."""
    state = [value.numpy() for name, value in model.state_dict().items() if "num_b" not in name]
    units = [(state[i], state[i + 1 : i + 5]) for i in range(0, len(state) - 2, 5)]
    return units, state[-2], state[-1]


def timm(model):
    units, weight, bias = layers(model)
    names = [("conv_stem", "bn1")]
    for block in TIMM_BLOCKS:
        names += [(f"blocks.{block}.conv_{c}", f"blocks.{block}.bn{i}") for c, i in ("d1", "p2")]
    found = {}
    for (conv, norm), (kernel, parts) in zip(names, units, strict=True):
        conv = conv.replace("conv_d", "conv_dw").replace("conv_p", "conv_pw")
        found[f"{conv}.weight"] = kernel
        for part, array in zip(
            ("weight", "bias", "running_mean", "running_var"), parts, strict=True
        ):
            found[f"{norm}.{part}"] = array
        found[f"{norm}.num_batches_tracked"] = np.array(5)
    return {**found, "classifier.weight": weight, "classifier.bias": bias}


def tensorflow(model, stem, depthwise, pointwise, last):
    """Names of TensorFlow's: (kernel, start of the BatchNorm's) by kind of layer, {} is a block's
    number from 1. Kernels have their channels last."""
    units, weight, bias = layers(model)
    found = {}
    for i, (kernel, parts) in enumerate(units):
        is_depthwise = i % 2 == 1
        names = stem if i == 0 else depthwise if is_depthwise else pointwise
        conv, norm = (name.format((i + 1) // 2) for name in names)
        found[conv] = kernel.transpose((2, 3, 0, 1) if is_depthwise else (2, 3, 1, 0))
        found |= {norm + part: array for part, array in zip(TF_PARTS, parts, strict=True)}
    return {**found, last[0]: weight.T[None, None], last[1]: bias}


def keras(model, depthwise="depthwise_kernel"):
    return tensorflow(
        model,
        ("conv1/kernel", "conv1_bn/"),
        (f"conv_dw_{{}}/{depthwise}", "conv_dw_{}_bn/"),
        ("conv_pw_{}/kernel", "conv_pw_{}_bn/"),
        ("conv_preds/kernel", "conv_preds/bias"),
    )


def slim(model):
    return tensorflow(
        model,
        ("MobilenetV1/Conv2d_0/weights", "MobilenetV1/Conv2d_0/BatchNorm/"),
        (
            "MobilenetV1/Conv2d_{}_depthwise/depthwise_weights",
            "MobilenetV1/Conv2d_{}_depthwise/BatchNorm/",
        ),
        (
            "MobilenetV1/Conv2d_{}_pointwise/weights",
            "MobilenetV1/Conv2d_{}_pointwise/BatchNorm/",
        ),
        (
            "MobilenetV1/Logits/Conv2d_1c_1x1/weights",
            "MobilenetV1/Logits/Conv2d_1c_1x1/biases",
        ),
    )


def keras_3_groups(model):
    """Paths inside the .weights.h5 of Keras 3, which counts the layers of each class."""
    counts, found = {}, {}
    for name, array in keras(model, "kernel").items():
        layer, part = name.split("/")
        kind = "batch_normalization" if layer.endswith("_bn") else "conv2d"
        kind = "depthwise_conv2d" if kind == "conv2d" and "_dw_" in layer else kind
        numbers = counts.setdefault(kind, {})
        count = numbers.setdefault(layer, len(numbers))
        part = {"kernel": 0, "bias": 1}.get(part, TF_PARTS.index(part) if part in TF_PARTS else 0)
        found[f"layers/{kind}{f'_{count}' if count else ''}/vars/{part}"] = array
    return found


def topology(stem="same", depthwise="valid", size=48, eps=1e-3):
    """Keras's description of the layers, as far as they matter here."""

    def layer(kind, name, **config):
        return {"class_name": kind, "config": {"name": name, **config}}

    pads = layer("ZeroPadding2D", "pad", padding=[[0, 1], [0, 1]])
    found = [layer("InputLayer", "input_1", batch_input_shape=[None, size, size, 3])]
    found += [pads] * (stem == "valid")
    found += [layer("Conv2D", "conv1", strides=[2, 2], padding=stem)]
    for i, stride in enumerate(STRIDES, 1):
        padding = depthwise if stride == 2 else "same"
        found += [pads] * (padding == "valid")
        found += [
            layer("DepthwiseConv2D", f"conv_dw_{i}", strides=[stride] * 2, padding=padding),
            layer("BatchNormalization", f"conv_dw_{i}_bn", epsilon=eps),
            layer("ReLU", f"conv_dw_{i}_relu", max_value=6.0),
            layer("Conv2D", f"conv_pw_{i}", strides=[1, 1], padding="same"),
        ]
    return {"class_name": "Functional", "config": {"name": "mobilenet", "layers": found}}


def write_h5(file, arrays, layers=None, prefix=""):
    with h5py.File(file, "w") as root:
        for name, array in arrays.items():
            root[prefix + name] = array
        if layers is not None:
            root.attrs["model_config"] = json.dumps(layers)
        root["optimizer_weights/iterations"] = np.ones(3, np.float32)


def write_keras(path, arrays, layers):
    buffer = io.BytesIO()
    write_h5(buffer, arrays)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.6.0"}')
        archive.writestr("config.json", json.dumps(layers))
        archive.writestr("model.weights.h5", buffer.getvalue())


def write_tfjs(folder, arrays, layers=None, bits=None):
    """model.json and two shards; bits: None, 8, 16, or "float16", as the weights are quantised."""
    folder.mkdir(exist_ok=True)
    weights, data = [], b""
    for name, array in arrays.items():
        entry = {"name": name, "shape": list(array.shape), "dtype": "float32"}
        if bits == "float16":
            entry["quantization"] = {"dtype": "float16", "original_dtype": "float32"}
            array = array.astype("<f2")
        elif bits:
            low, scale = float(array.min()), float(np.ptp(array)) / (2**bits - 1) or 1.0
            entry["quantization"] = {"dtype": f"uint{bits}", "min": low, "scale": scale}
            array = np.round((array - low) / scale).astype(f"<u{bits // 8}")
        weights.append(entry)
        data += array.tobytes()
    half = len(data) // 2
    (folder / "group1-shard1of2.bin").write_bytes(data[:half])
    (folder / "group1-shard2of2.bin").write_bytes(data[half:])
    model = {
        "format": "layers-model",
        "modelTopology": {"keras_version": "2.1.4", "model_config": layers},
        "weightsManifest": [
            {"paths": ["group1-shard1of2.bin", "group1-shard2of2.bin"], "weights": weights}
        ],
    }
    (folder / "model.json").write_text(json.dumps(model))
    return model


def write_safetensors(path, arrays):
    tensors = {name: torch.tensor(np.ascontiguousarray(a)) for name, a in arrays.items()}
    safetensors.torch.save_file(tensors, path)
