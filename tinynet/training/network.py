"""A trained network in one file: its weights, and all that is needed to use them.

The file is a checkpoint (see `checkpoint`), so nothing in it is pickled. `build` is the function
that makes the model, as mobilenet.build does: `build(network, **options)`.
"""

import os

import numpy as np

from tinynet.files import printable
from tinynet.training import checkpoint

FORMAT = "tinynet network"
LARGEST = 4096  # edge of an image, in pixels
SIZES = {
    "cifar100": 32,
    "shapes": 32,
}  # of the data sets of version 0.1.0, whose checkpoints do not say it


def save(
    path,
    model,
    build,
    *,
    network,
    options,
    classes,
    mean,
    std,
    size,
    card=None,
    dtype=None,
    images=None,
):
    """Write a network, with all that is needed to use it, into one file.

    Args:
        path: usually ends in `.npz`.
        network, options: `build(network, **options)` makes the model.
        classes: names, one for each output. mean, std: of the channels, in units of pixel / 255.
        size: edge of its images, in pixels. card: None, or facts such as {"test_accuracy": 0.6}.
        dtype: None, or "float16", which halves the file: the weights of convolutions and of the
            last layer are rounded to 3 digits; what has one axis stays as it is.
        images: None, or `crop` and `resample` of data.folder.image, as a dict.
    Raises ValueError where these do not fit together, or a weight does not fit the dtype;
    CheckpointError (a ValueError) where the file cannot be written.
    """
    if dtype not in (None, "float16"):
        raise ValueError(f"save_network: dtype must be None or 'float16', got {dtype!r}")
    state = {name: value.to("cpu").numpy() for name, value in model.state_dict().items()}
    if dtype is not None:
        with np.errstate(over="ignore"):  # becomes infinite, which is refused
            state = {n: a.astype(dtype) if a.ndim > 1 else a for n, a in state.items()}
    tree = {
        "format": FORMAT,
        "network": network,
        "options": dict(options),
        "classes": list(classes),
        "mean": np.asarray(mean, np.float64),
        "std": np.asarray(std, np.float64),
        "size": size,
        "model": state,
        "card": card,
        "images": images,
    }
    _restore(tree, build)
    checkpoint.save(path, tree)


def load(path, build):
    """Read what `save_network` wrote, or the checkpoint.npz of a training (or its folder).

    Returns: the model in evaluation mode, and a dict of the arguments of `save_network` from
    `network` to `card`, and `images`.
    Raises: ValueError in one sentence where that is not possible.
    """
    if os.path.isdir(path):
        path = os.path.join(path, "checkpoint.npz")
    tree = checkpoint.load(path)
    try:
        if isinstance(tree, dict) and tree.get("format") != FORMAT:
            tree = _of_training(tree)
        return _restore(tree, build)
    except Exception as error:  # in a file of other origin anything may have any type
        reason = str(error).partition("\n")[0] or type(error).__name__
        if isinstance(error, KeyError):
            reason = f"it has no {reason}"
        raise ValueError(
            printable(f"{path} holds no network that can be used ({reason}); give a file of ")
            + "save_network, or the checkpoint.npz of a training"
        ) from error


def _of_training(tree):
    """The tree of a training's checkpoint as that of a network: with --ema, the average."""
    options, model, prefix = tree["options"], tree["model"], "module."
    average = tree.get("average")
    if average is not None:
        model = {n.removeprefix(prefix): a for n, a in average.items() if n.startswith(prefix)}
    test = tree.get("test") or {"accuracy": tree.get("test_accuracy")}
    return {
        **{name: tree[name] for name in ("classes", "mean", "std")},
        "model": model,
        "network": options["network"],
        "options": {
            **(tree["init"]["build"] if "init" in tree else {}),
            "width": options["width"],
            "num_classes": len(tree["classes"]),
        },
        "size": tree.get("size", SIZES.get(options.get("dataset"))),
        "card": {"test_accuracy": test["accuracy"]},
    }


def _restore(tree, build):
    """(model, info) of the tree of a network file."""
    info = {name: tree[name] for name in ("network", "options", "classes", "mean", "std", "size")}
    info["card"], info["images"] = tree.get("card") or {}, tree.get("images") or {}
    classes, size = info["classes"], info["size"]
    for name in ("options", "card", "images", "model"):
        value = {**info, "model": tree["model"]}[name]
        if not isinstance(value, dict):
            raise ValueError(f"{name} must be a dict, got {type(value).__name__}")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise ValueError("classes must be a list of names")
    if info["options"].get("num_classes") != len(classes):
        outputs = info["options"].get("num_classes")
        raise ValueError(f"num_classes is {outputs}, but there are {len(classes)} names")
    for name in ("mean", "std"):
        info[name] = numbers = np.asarray(info[name], np.float64)
        above = numbers > 0 if name == "std" else np.isfinite(numbers)
        if numbers.shape != (3,) or not np.isfinite(numbers).all() or not above.all():
            raise ValueError(f"{name} must be three numbers, one for each colour, got {numbers}")
    if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= LARGEST:
        raise ValueError(f"size must be a number of pixels, got {size!r}")
    crop, resample = info["images"].get("crop", 1.0), info["images"].get("resample", "bilinear")
    if not isinstance(crop, int | float) or not 0.1 <= crop <= 1:
        raise ValueError(f"crop must be a share from 0.1 to 1, got {crop!r}")
    if resample not in ("bilinear", "bicubic") or info["images"].keys() - {"crop", "resample"}:
        raise ValueError(f"images must hold crop and resample, got {info['images']!r:.80}")
    state = {name: getattr(value, "array", value) for name, value in tree["model"].items()}
    for name, array in state.items():
        if (
            not hasattr(array, "dtype")
            or array.dtype.kind not in "fiu"
            or not np.isfinite(array).all()
        ):
            raise ValueError(f"{name} must hold finite numbers")
        if array.dtype == np.float16:
            state[name] = array.astype(np.float32)
    model = build(info["network"], **info["options"])
    model.load_state_dict(state)
    return model.eval(), info
