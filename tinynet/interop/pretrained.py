"""A MobileNetV1 from a file of weights of any program that `containers` and `names` know, or
whichever network an ONNX file has."""

import json
import os

import numpy as np

from tinynet.autograd import no_grad, zeros
from tinynet.files import printable
from tinynet.interop import containers, keras, names
from tinynet.interop.source import WeightsError, content, json_of, reading
from tinynet.training import network as network_file

CONFIG = "pretrained_cfg"  # timm's name for how the images go
SIZE, CROP = 224, 0.875  # of ImageNet's photos; its shorter side is resized to SIZE / CROP


def load(path, build, blocks, *, labels=None, size=None, top=True):
    """The network in a file of weights, tinynet's own among them, and how to feed it.

    Args:
        path: a file, or a folder that holds one. build: mobilenet.build. blocks: (stride, channels)
            of each of its blocks at width 1.
        labels: None, or a file of names, as `names_of` reads it.
        size: None, or the edge of the images in pixels, if not what the file says (else 224).
        top: False takes weights without a last layer as well; "classes" is None for these, and the
            model's last layer has one output, with random weights.
    Returns: the model in evaluation mode, and a dict as `training.network.load` returns it.
    Raises: ValueError in one sentence that names the first key or shape that does not fit.
    """
    found = containers.read(path)
    if found is None:
        model, info = network_file.load(path, build)
    else:
        with reading(path):
            if found.graph is None:
                model, info = _model(found, build, blocks, top)
            else:
                model, info = _of_graph(found.graph, size)
    if labels is not None:
        info["classes"] = names_of(labels, info["options"]["num_classes"])
    return model, info if size is None else {**info, "size": size}


def _model(found, build, blocks, top):
    strides = [stride for stride, _ in blocks]
    naming = names.recognised(found.arrays, strides)
    state, keys = names.state(naming, found.arrays, strides)
    other = [key for key in naming.tidied(found.arrays) if key not in keys.values()]
    if other:
        raise WeightsError(f"{other[0]!r:.80} is no part of MobileNetV1 in {naming.title} names")
    has_top = "classifier.weight" in state
    if top and not has_top:
        raise WeightsError(
            "its last layer is missing (Keras's include_top=False), so it can name nothing; take "
            "the weights with their top, or train a last layer: train_cifar100.py --init FILE"
        )
    options, images = _facts(found, naming)
    size = images.pop("size", SIZE)
    mean, std = images.pop("mean"), images.pop("std")
    classes = (np.shape(state.get("classifier.weight", 0)) or (0,))[0]
    options = {**options, "width": _width(state, keys, blocks), "num_classes": max(1, classes)}
    model = build(naming.network, **options)
    fitting = {name: tensor.shape for name, tensor in model.state_dict().items()}
    for name, array in state.items():
        if array.shape != fitting[name]:
            theirs = np.shape(naming.tidied(found.arrays)[keys[name]])
            raise WeightsError(
                f"{keys[name]!r} has the shape {theirs}, which as {array.shape} is not the "
                f"{fitting[name]} of a MobileNetV1 of width {options['width']:.4g}"
            )
        if array.dtype.kind == "f":
            with np.errstate(over="ignore"):  # becomes infinite
                state[name] = array.astype(np.float32)
        if array.dtype.kind != "f" or not np.isfinite(state[name]).all():
            raise WeightsError(f"{keys[name]!r} must hold finite numbers")
    model.load_state_dict(state, strict=has_top)
    return model.eval(), {
        "network": naming.network,
        "options": options,
        "classes": [f"class {i}" for i in range(classes)] if has_top else None,
        "mean": np.asarray(mean, np.float64),
        "std": np.asarray(std, np.float64),
        "size": size,
        "images": {"crop": CROP, **images},
        "card": {},
    }


def _of_graph(graph, size):
    """(model, info) of a network in ONNX that gives one row of numbers for each image.

    What timm calls pretrained_cfg, among the file's metadata as JSON, says how the images and the
    classes go; else ImageNet's mean and deviation and the input's size are taken.
    """
    if len(graph.inputs) != 1 or len(graph.inputs[0][1]) != 4 or len(graph.outputs) != 1:
        raise WeightsError("expected a network of one input (N, 3, H, W) and one output")
    config = json_of(graph.metadata.get(CONFIG, "{}").encode(), CONFIG)
    images = {**names.IMAGENET, **_of_timm(config)} if config else {**names.IMAGENET, "crop": CROP}
    edge = graph.inputs[0][1][2]
    wanted, there = size, images.pop("size", SIZE)
    size = there if size is None else size
    if isinstance(edge, int):
        size = edge
    if type(size) is not int or not 1 <= size <= 4096:
        raise WeightsError(f"images of {size!r:.40} pixels; expected 1 to 4096")
    if wanted not in (None, size):
        raise WeightsError(f"its images have {size}x{size} pixels, not {wanted}x{wanted}")
    graph.end_before_softmax()  # `predict` has its own
    with no_grad(), np.errstate(all="ignore"):
        shape = graph(zeros(1, 3, size, size)).shape
    if len(shape) != 2:
        raise WeightsError(f"for one image it gives the shape {shape}; expected (1, classes)")
    classes = config.get("label_names")
    if classes is None:
        classes = [f"class {i}" for i in range(shape[1])]
    if not isinstance(classes, list) or len(classes) != shape[1]:
        raise WeightsError(f"its label_names are not the names of its {shape[1]:,} outputs")
    return graph, {
        "network": "onnx",
        "options": {"num_classes": shape[1]},
        "classes": [_name(entry) for entry in classes],
        "mean": np.asarray(images.pop("mean"), np.float64),
        "std": np.asarray(images.pop("std"), np.float64),
        "size": size,
        "images": images,
        "card": {"test_accuracy": config.get("test_accuracy")},
    }


def config_of(info):
    """What `load` returns beside the model as metadata for `save_onnx`, so that `load` has it
    again."""
    size, images = info["size"], info["images"]
    config = {
        "input_size": [3, size, size],
        "mean": np.asarray(info["mean"]).tolist(),
        "std": np.asarray(info["std"]).tolist(),
        "crop_pct": images.get("crop"),
        "interpolation": images.get("resample"),
        "label_names": info["classes"],
        "test_accuracy": info["card"].get("test_accuracy"),
    }
    return {CONFIG: {name: value for name, value in config.items() if value is not None}}


def _width(state, keys, blocks):
    """The width multiplier of which most layers are; a short number before its exact ratio."""
    at_one = [32, *(channels for _, channels in blocks)]
    units = ["stem", *(f"blocks.{i}.pointwise" for i in range(len(blocks)))]
    for unit in units:
        if state[f"{unit}.0.weight"].ndim != 4:
            key = keys[f"{unit}.0.weight"]
            raise WeightsError(
                f"{key!r} must have four axes, got {state[f'{unit}.0.weight'].shape}"
            )
    found = [state[f"{unit}.0.weight"].shape[0] for unit in units]
    exact = max(found[-1], 1) / at_one[-1]
    if exact > 8:
        raise WeightsError(f"{found[-1]} channels at the end are more than any MobileNetV1 has")
    widths = [round(exact, digits) for digits in (2, 3, 4) if round(exact, digits)] + [exact]

    def fits(width):
        return sum(max(1, round(width * c)) == n for c, n in zip(at_one, found, strict=True))

    return max(widths, key=fits)


def _facts(found, naming):
    """(options of `build`, facts of the images) of the naming, or as the file or a config.json of
    timm beside it says."""
    options, images = {}, dict(naming.images)
    if naming.network == "tensorflow":
        try:
            options = keras.facts(found.topology)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            if isinstance(error, WeightsError):
                raise
            raise WeightsError(
                f"its description of the layers is damaged ({error!r:.80})"
            ) from error
        images |= {"size": options.pop("size", SIZE)}
    elif naming is names.TIMM:
        path = os.path.join(found.folder, "config.json")
        if os.path.isfile(path):
            config = json_of(content(path, 2**24), path)
            config = config.get("pretrained_cfg", config)
            images |= _of_timm(config) if isinstance(config, dict) else {}
    if type(images.get("size", SIZE)) is not int or not 1 <= images.get("size", SIZE) <= 4096:
        raise WeightsError(f"images of {images['size']!r:.40} pixels; expected 1 to 4096")
    return options, images


def _of_timm(config):
    """mean, std, size, crop and resample, as far as timm's pretrained_cfg has them."""
    found = {name: config[name] for name in ("mean", "std") if name in config}
    for name, numbers in found.items():
        fits = isinstance(numbers, list) and len(numbers) == 3
        if not fits or not all(isinstance(n, float | int) and abs(n) < 1e3 for n in numbers):
            raise WeightsError(f"config.json: {name} must be three numbers, got {numbers!r:.60}")
        if name == "std" and not all(n > 0 for n in numbers):
            raise WeightsError(f"config.json: std must be above 0, got {numbers!r:.60}")
    size = config.get("input_size")
    if isinstance(size, list) and len(size) == 3:
        found["size"] = size[1]
    crop = config.get("crop_pct")
    if isinstance(crop, float | int) and 0.1 <= crop <= 1:
        found["crop"] = crop
    if config.get("interpolation") in ("bilinear", "bicubic"):
        found["resample"] = config["interpolation"]
    return found


def names_of(path, outputs):
    """The names of a network's outputs in a file.

    A JSON list of names, or of dicts with "name"; a JSON dict of index to name, or to [id, name] as
    Keras has them; or a name on each line. TF-slim's networks have one more output, the first, for
    the background. Raises: WeightsError for anything else, and another number.
    """
    with reading(path):
        text = content(path, 2**24).decode("utf-8-sig")
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = [line.strip() for line in text.splitlines() if line.strip()]
        if isinstance(found, dict):
            numbers = {str(i): name for i, name in found.items()}
            lacking = [i for i in range(len(found)) if str(i) not in numbers]
            if lacking:
                raise WeightsError(f"it names no class {lacking[0]}")
            found = [numbers[str(i)] for i in range(len(found))]
        if not isinstance(found, list):
            raise WeightsError("expected a list of names, or a dict of index to name")
        labels = [_name(entry) for entry in found]
        if len(labels) == outputs - 1 and outputs == 1001:
            labels = ["background", *labels]
        if len(labels) != outputs:
            raise WeightsError(
                f"{len(labels):,} names, but the network has {outputs:,} outputs; give one for each"
            )
    return labels


def _name(entry):
    if isinstance(entry, dict):
        entry = entry.get("name")
    if isinstance(entry, list) and entry:
        entry = entry[-1]
    if not isinstance(entry, str):
        raise WeightsError(f"{printable(entry, 60)} is no name of a class")
    return entry
