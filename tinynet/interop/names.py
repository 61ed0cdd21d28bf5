"""What other programs call the arrays of a MobileNetV1, and how to rename them to ours.

A naming is data: the key of each kernel and BatchNorm, in the order of the layers. In a key {i}
counts blocks from 0 and {n} from 1; {s} and {b} are the stage of a block, which begins where the
stride is 2, and its place there; {_i}, {_d} and {_p} count layers of one class, as Keras 3 does:
nothing for the first, then "_1", "_2".
"""

import dataclasses
import re

import numpy as np

TORCH = ("weight", "bias", "running_mean", "running_var")
TENSORFLOW = ("gamma", "beta", "moving_mean", "moving_variance")
HALF = (0.5, 0.5, 0.5)  # as mean and std: x / 127.5 - 1
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}  # torchvision's


@dataclasses.dataclass(frozen=True)
class Naming:
    """kernels, norms: keys of the stem's, of a block's depthwise and of its pointwise layer; last:
    of the last layer's weight and bias. parts: what TORCH's parts of a BatchNorm are called.
    tidy: (pattern, replacement) of keys. ignored: a pattern of keys that no network needs.
    network: whose padding and epsilon are these, for mobilenet.build. images: mean, std, and how
    the authors resize."""

    title: str
    kernels: tuple
    norms: tuple
    last: tuple
    parts: tuple = TORCH
    channels_last: bool = True  # kernels are (KH, KW, I, O), depthwise ones (KH, KW, C, 1)
    tidy: tuple = ()
    ignored: str = r"(^|[./])num_batches_tracked$"
    network: str = "tensorflow"
    images: dict = dataclasses.field(default_factory=lambda: {"mean": HALF, "std": HALF})

    def keys(self, strides):
        """Our keys -> theirs, in the order of the layers."""
        units = [("stem", 0, {})]
        stage, place = 0, -1
        for i, stride in enumerate(strides):
            stage, place = (stage + 1, 0) if stride == 2 else (stage, place + 1)
            fields = {"i": i, "n": i + 1, "s": stage, "b": place, "_i": f"_{i}" if i else ""}
            fields |= {"_d": f"_{2 * i + 1}", "_p": f"_{2 * i + 2}"}
            units += [(f"blocks.{i}.depthwise", 1, fields), (f"blocks.{i}.pointwise", 2, fields)]
        found = {}
        for ours, kind, fields in units:
            found[f"{ours}.0.weight"] = self.kernels[kind].format(**fields)
            for part, theirs in zip(TORCH, self.parts, strict=True):
                found[f"{ours}.1.{part}"] = self.norms[kind].format(**fields) + theirs
        weight, bias = (key.format(n=len(strides) + 1) for key in self.last)
        return {**found, "classifier.weight": weight, "classifier.bias": bias}

    def tidied(self, arrays):
        """The arrays by keys without what differs from program to program."""
        found = {}
        # an average of the weights, where there is one, comes last and takes the place
        for key in sorted(arrays, key=lambda key: key.endswith("/ExponentialMovingAverage")):
            name = key
            for pattern, replacement in self.tidy:
                name = re.sub(pattern, replacement, name)
            if not re.search(self.ignored, name):
                found[name] = arrays[key]
        return found

    def ours(self, name, array):
        """An array of theirs with our axes; `name` is our key."""
        array = np.asarray(array)
        if name == "classifier.weight" and array.ndim == 4:  # a 1x1 convolution
            square = array.shape[:2] if self.channels_last else array.shape[2:]
            if square != (1, 1):
                return array
            return array[0, 0].T if self.channels_last else array[:, :, 0, 0]
        if array.ndim == 4 and self.channels_last:
            return array.transpose((2, 3, 0, 1) if ".depthwise." in name else (3, 2, 0, 1))
        return array


OURS = Naming(
    "tinynet's",
    kernels=("stem.0.weight", "blocks.{i}.depthwise.0.weight", "blocks.{i}.pointwise.0.weight"),
    norms=("stem.1.", "blocks.{i}.depthwise.1.", "blocks.{i}.pointwise.1."),
    last=("classifier.weight", "classifier.bias"),
    channels_last=False,
    tidy=((r"^module\.", ""),),
    network="paper",
    images=IMAGENET,
)
TIMM = dataclasses.replace(
    OURS,
    title="timm's",
    kernels=(
        *("conv_stem.weight", "blocks.{s}.{b}.conv_dw.weight"),
        "blocks.{s}.{b}.conv_pw.weight",
    ),
    norms=("bn1.", "blocks.{s}.{b}.bn1.", "blocks.{s}.{b}.bn2."),
    # what timm's own mobilenetv1 weights want, all of them
    images={"mean": HALF, "std": HALF, "crop": 0.875, "resample": "bicubic"},
)
KERAS = Naming(
    "Keras's",
    kernels=("conv1/kernel", "conv_dw_{n}/depthwise_kernel", "conv_pw_{n}/kernel"),
    norms=("conv1_bn/", "conv_dw_{n}_bn/", "conv_pw_{n}_bn/"),
    last=("conv_preds/kernel", "conv_preds/bias"),
    parts=TENSORFLOW,
    tidy=(
        (r":0$", ""),
        (r"^(?:.*/)?(conv(?:1|_dw_\d+|_pw_\d+|_preds)(?:_bn)?)(?:/.*)?/(\w+)$", r"\1/\2"),
        (r"^(conv_dw_\d+)/kernel$", r"\1/depthwise_kernel"),  # Keras 3
    ),
)
KERAS_3 = dataclasses.replace(  # inside a .weights.h5 or .keras of Keras 3
    KERAS,
    title="Keras 3's",
    kernels=("conv2d/vars/0", "depthwise_conv2d{_i}/vars/0", "conv2d_{n}/vars/0"),
    norms=(
        *("batch_normalization/vars/", "batch_normalization{_d}/vars/"),
        "batch_normalization{_p}/vars/",
    ),
    last=("conv2d_{n}/vars/0", "conv2d_{n}/vars/1"),
    parts=("0", "1", "2", "3"),
    tidy=((r"^(?:.*/)?(\w+/vars/\d+)$", r"\1"),),
)
SLIM = Naming(
    "TF-slim's",
    kernels=(
        "MobilenetV1/Conv2d_0/weights",
        "MobilenetV1/Conv2d_{n}_depthwise/depthwise_weights",
        "MobilenetV1/Conv2d_{n}_pointwise/weights",
    ),
    norms=(
        "MobilenetV1/Conv2d_0/BatchNorm/",
        "MobilenetV1/Conv2d_{n}_depthwise/BatchNorm/",
        "MobilenetV1/Conv2d_{n}_pointwise/BatchNorm/",
    ),
    last=("MobilenetV1/Logits/Conv2d_1c_1x1/weights", "MobilenetV1/Logits/Conv2d_1c_1x1/biases"),
    parts=TENSORFLOW,
    tidy=((r":0$", ""), (r"/ExponentialMovingAverage$", "")),
    ignored=r"^global_step$|^beta\d_power$|/(RMSProp|Adam|Momentum)(_\d+)?$",
    network="slim",
)
# what a kernel's bias is called: of the last part of the kernel's key
BIASES = {"weight": "bias", "weights": "biases", "kernel": "bias", "0": "1"}
NAMINGS = (OURS, TIMM, KERAS, KERAS_3, SLIM)


def recognised(arrays, strides):
    """The naming of which most keys are there; else the one that `by_order` finds.

    Args: arrays: keys -> arrays. strides: of the blocks' depthwise layers.
    Raises: ValueError if the keys are nobody's.
    """

    def known(naming):
        return len(naming.tidied(arrays).keys() & set(naming.keys(strides).values()))

    best = max(NAMINGS, key=known)
    return best if known(best) > 4 else by_order(arrays, strides)


def by_order(arrays, strides):
    """The naming of a torch module whose layers were registered in the order of the network, such
    as a Sequential: numbers in keys count. Raises: ValueError if these layers are others."""
    modules = {}
    for key in arrays:
        prefix, _, part = key.rpartition(".")
        modules.setdefault(prefix, {})[part] = np.asarray(arrays[key])

    def having(test):
        return [p for p, parts in modules.items() if "weight" in parts and test(parts)]

    stem = having(lambda parts: parts["weight"].shape[1:] == (3, 3, 3))
    root = stem[0].split(".")[0] if stem else ""

    def place(prefix):
        words = re.split(r"(\d+)|\.", prefix)
        order = [(not w.isdigit(), int(w) if w.isdigit() else 0, w) for w in words if w]
        return prefix.split(".")[0] != root, order

    kernels = sorted(having(lambda parts: parts["weight"].ndim == 4), key=place)
    norms = sorted(having(lambda parts: "running_mean" in parts), key=place)
    dense = having(lambda parts: parts["weight"].ndim == 2)
    units = 1 + 2 * len(strides)
    if not dense and len(kernels) == units + 1:  # a 1x1 convolution
        dense = [kernels.pop()]
    if (len(kernels), len(norms)) != (units, units) or len(dense) > 1 or kernels[0] not in stem:
        first = next(iter(arrays), None)
        raise ValueError(
            f"no keys of a MobileNetV1 that are known; the first is {first!r:.80}"
            if not kernels
            else f"{len(kernels)} convolutions, {len(norms)} BatchNorms and {len(dense)} linear "
            f"layers, but MobileNetV1 has {units}, {units} and 1"
        )
    last = dense[0] if dense else "classifier"
    return _Listed(
        **{**vars(OURS), "title": "torch's, by the order of the layers", "tidy": ()}
        | {"kernels": tuple(kernels), "norms": tuple(norms)}
        | {"last": (f"{last}.weight", f"{last}.bias")}
    )


class _Listed(Naming):
    """A naming whose keys are lists, one entry for each unit."""

    def keys(self, strides):
        names = list(OURS.keys(strides))
        theirs = []
        for kernel, norm in zip(self.kernels, self.norms, strict=True):
            theirs += [f"{kernel}.weight", *(f"{norm}.{part}" for part in TORCH)]
        return dict(zip(names, [*theirs, *self.last], strict=True))


def state(naming, arrays, strides):
    """Arrays by keys of a naming -> (a state_dict of MobileNetV1, our keys -> theirs).

    Without both arrays of the last layer the state has none either. A kernel's bias, which ours
    lack, is taken off the mean of the BatchNorm behind it: (x + bias) - mean = x - (mean - bias).
    Raises: ValueError that names the first key that lacks, or does not fit.
    """
    arrays, keys = naming.tidied(arrays), naming.keys(strides)
    top = [ours for ours in keys if ours.startswith("classifier.")]
    if not any(keys[ours] in arrays for ours in top):
        keys = {ours: key for ours, key in keys.items() if ours not in top}
    for key in keys.values():
        if key not in arrays:
            raise ValueError(f"the weights lack {key!r}")
    found = {ours: naming.ours(ours, arrays[key]) for ours, key in keys.items()}
    for ours, kernel in [(ours, key) for ours, key in keys.items() if ours.endswith(".0.weight")]:
        stem, part = re.fullmatch(r"(.*?)(?:depthwise_)?(\w+)", kernel).groups()
        bias, mean = stem + BIASES[part], ours.replace(".0.weight", ".1.running_mean")
        if bias in arrays:
            if np.shape(arrays[bias]) != found[mean].shape:
                raise ValueError(
                    f"{bias!r} has the shape {np.shape(arrays[bias])}, but its layer has "
                    f"{found[mean].shape} channels"
                )
            keys[ours.replace("weight", "bias")] = bias
            found[mean] = found[mean] - arrays[bias]
    return found, keys
