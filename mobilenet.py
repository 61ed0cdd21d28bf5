"""MobileNetV1: the network as a table, the class built from it, its files, and a command line.

    python mobilenet.py summary --width 1.0 --resolution 224
    python mobilenet.py table
    python mobilenet.py predict photo.jpg
    python mobilenet.py predict photo.jpg --weights model.safetensors --labels names.txt
    python mobilenet.py export --weights runs/NAME --out network.onnx

Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
Applications", arXiv 1704.04861. Table 1 there prints stride 2 on the last depthwise layer; the
sizes it prints beside it need stride 1, which is what stands here.
"""

import argparse
import contextlib
import os
import sys
from pathlib import Path

import tinynet.nn as nn
import tinynet.nn.functional as F
from tinynet.files import expanded
from tinynet.interop import names
from tinynet.summary import align, summary
from tinynet.training import network as network_file

STEM_CHANNELS = 32

# The separable blocks of Table 1, in order: (stride of the depthwise layer, output channels).
BLOCKS = (
    *((1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512)),
    *((1, 512),) * 5,
    *((2, 1024), (1, 1024)),
)
STRIDES = tuple(stride for stride, _ in BLOCKS)
SHALLOW_BLOCKS = BLOCKS[:6] + BLOCKS[11:]  # section 4.1: without the five 14x14x512 blocks

# The same blocks with the strides of the usual CIFAR network that ends on a 4x4 map.
CIFAR_4X4_BLOCKS = tuple(
    (stride, channels)
    for stride, (_, channels) in zip((1, 1, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1), BLOCKS, strict=True)
)

# The named networks: options of MobileNetV1 that differ from the paper's.
NETWORKS = {
    "paper": {},
    "shallow": {"blocks": SHALLOW_BLOCKS},
    "full-convolution": {"separable": False},
    "cifar-4x4": {"blocks": CIFAR_4X4_BLOCKS, "stem_stride": 1},
    # section 4.1 on CIFAR: without the five 8x8x512 blocks, and with full convolutions
    "cifar-4x4-shallow": {
        "blocks": CIFAR_4X4_BLOCKS[:6] + CIFAR_4X4_BLOCKS[11:],
        "stem_stride": 1,
    },
    "cifar-4x4-full-convolution": {
        "blocks": CIFAR_4X4_BLOCKS,
        "stem_stride": 1,
        "separable": False,
    },
    "cifar-2x2": {"stem_stride": 1},
    # Twelve blocks (four of 512 to 512), each with an extra pointwise layer that narrows to
    # 0.9997 of the channels, a bottleneck ratio; Glorot weights. Meant for width 0.1.
    "bottleneck": {
        "blocks": BLOCKS[:10] + BLOCKS[11:],
        "bottleneck": 0.9997,
        "initial_weights": "glorot",
    },
    # The paper's network with ReLU, in four widths, for STL-10 resized to 224x224.
    "stl10": {"activation": "relu", "widths": (0.25, 0.5, 0.75, 1.0)},
    # Padding and epsilon of tf.keras's MobileNet and of TF-slim's, for weights trained there. They
    # differ where a strided layer meets a map of odd size.
    "tensorflow": {"padding": "end", "stem_padding": "same", "bn_eps": 1e-3},
    "slim": {"padding": "same", "bn_eps": 1e-3},
}
DEFAULT_WIDTHS = {"bottleneck": 0.1}


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding: output size ceil(size / stride).

    The padding follows from the input's size, and where it is odd the extra zero goes to the
    bottom and right: a stride-2 3x3 window on an even size pads (0, 1), not (1, 1).
    """

    foldable = True  # nn.fold_batchnorm: zeros around the image leave it linear in its weight

    def forward(self, x):
        sides = []
        for size, k, s in zip(
            x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True
        ):
            total = max((-(-size // s) - 1) * s + k - size, 0)
            sides += [total // 2, total - total // 2]  # F.pad wants left, right, top, bottom
        return super().forward(F.pad(x, sides))


class EndConv2d(nn.Conv2d):
    """Strided convolution with zeros at the bottom and right only, as in Keras's MobileNet."""

    foldable = True

    def forward(self, x):
        kh, kw = self.kernel_size
        return super().forward(F.pad(x, (0, kw // 2, 0, kh // 2)))


class MobileNetV1(nn.Module):
    """(N, 3, H, W) images -> (N, num_classes) logits.

    Args:
        num_classes: outputs of the last layer.
        width: the width multiplier alpha of section 3.3: every layer has round(alpha * c)
            channels, at least one.
        blocks: (stride, channels) of each block. stem_stride: of the first convolution.
        activation: "relu6" or "relu".
        separable: False replaces each block by one full 3x3 convolution (section 4.1).
        bottleneck: None, or the ratio of an extra pointwise layer between the depthwise and the
            last pointwise one.
        padding: "symmetric" (1 on every side, as torch), "same" (as TensorFlow) or "end" (where
            the stride is 2 at the bottom and right only). stem_padding: None, or that of the stem.
        bn_eps: BatchNorm's epsilon. dropout: probability before the last layer.
        initial_weights: "default" (torch's) or "glorot".
        widths: None, or the only widths allowed.

    Raises ValueError for a width that is not positive or not allowed, or an unknown option.
    """

    def __init__(
        self,
        num_classes=1000,
        width=1.0,
        *,
        blocks=BLOCKS,
        stem_stride=2,
        activation="relu6",
        separable=True,
        bottleneck=None,
        padding="symmetric",
        stem_padding=None,
        bn_eps=1e-5,
        dropout=0.0,
        initial_weights="default",
        widths=None,
    ):
        super().__init__()
        stem_padding = stem_padding or padding
        self._check(width, widths, activation, padding, stem_padding, initial_weights)
        self._activation = {"relu": nn.ReLU, "relu6": nn.ReLU6}[activation]
        self._padding, self._bn_eps = stem_padding, bn_eps

        def scaled(channels):
            return max(1, round(width * channels))

        channels = scaled(STEM_CHANNELS)
        self.stem = self._unit(3, channels, kernel=3, stride=stem_stride)
        self._padding = padding
        layers = []
        for stride, out_channels in blocks:
            layers.append(
                self._block(channels, scaled(out_channels), stride, separable, bottleneck)
            )
            channels = scaled(out_channels)
        self.blocks = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, num_classes)
        if initial_weights == "glorot":
            for module in self.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(self.classifier.bias)

    @staticmethod
    def _check(width, widths, activation, padding, stem_padding, initial_weights):
        if isinstance(width, bool) or not isinstance(width, int | float) or not 0 < width <= 100:
            raise ValueError(f"MobileNetV1: width must be a positive number, got {width!r}")
        if widths is not None and width not in widths:
            allowed = ", ".join(map(str, widths))
            raise ValueError(f"MobileNetV1: width must be one of {allowed}, got {width}")
        for name, value, known in (
            ("activation", activation, ("relu", "relu6")),
            ("padding", padding, ("symmetric", "same", "end")),
            ("stem_padding", stem_padding, ("symmetric", "same", "end")),
            ("initial_weights", initial_weights, ("default", "glorot")),
        ):
            if value not in known:
                raise ValueError(f"MobileNetV1: {name} must be one of {known}, got {value!r}")

    def _unit(self, in_channels, out_channels, kernel, stride=1, groups=1):
        """Convolution - BatchNorm - activation: what every layer of the network is made of."""
        kind = SameConv2d if self._padding == "same" else nn.Conv2d
        if self._padding == "end" and stride == 2:
            kind = EndConv2d
        conv = kind(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            padding=kernel // 2 if kind is nn.Conv2d else 0,
            groups=groups,
            bias=False,
        )
        return nn.Sequential(
            conv, nn.BatchNorm2d(out_channels, eps=self._bn_eps), self._activation()
        )

    def _block(self, in_channels, out_channels, stride, separable, bottleneck):
        """Section 3.1: a depthwise 3x3 filters, a pointwise 1x1 combines."""
        if not separable:
            return self._unit(in_channels, out_channels, kernel=3, stride=stride)
        block = nn.Sequential()
        block.add_module(
            "depthwise",
            self._unit(in_channels, in_channels, kernel=3, stride=stride, groups=in_channels),
        )
        if bottleneck is not None:
            narrow = max(1, round(bottleneck * in_channels))
            block.add_module("bottleneck", self._unit(in_channels, narrow, kernel=1))
            in_channels = narrow
        block.add_module("pointwise", self._unit(in_channels, out_channels, kernel=1))
        return block

    def forward(self, x):
        x = self.blocks(self.stem(x))
        x = self.pool(x).flatten(1)
        return self.classifier(self.dropout(x))


def build(network="paper", num_classes=1000, width=None, **options):
    """The network of that name in NETWORKS; `options` override its own."""
    if network not in NETWORKS:
        raise ValueError(f"build: network must be one of {', '.join(NETWORKS)}, got {network!r}")
    width = DEFAULT_WIDTHS.get(network, 1.0) if width is None else width
    return MobileNetV1(num_classes, width, **{**NETWORKS[network], **options})


def decay_groups(model, weight_decay, depthwise=0.0):
    """The parameters as optimiser groups: with weight decay, and without.

    Without: everything of one axis (BatchNorm, biases) and depthwise filters, which have few
    parameters and want "very little or no weight decay" (section 3.2). depthwise: the weight decay
    of these filters; where it is not 0 they are a third group.
    """
    filters = {
        id(module.weight)
        for module in model.modules()
        if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1
    }
    decays = [weight_decay, 0.0] + [depthwise] * (depthwise != 0)
    groups = [{"params": [], "weight_decay": decay} for decay in decays]
    for parameter in model.parameters():
        place = -1 if id(parameter) in filters else 0 if parameter.ndim > 1 else 1
        groups[place]["params"].append(parameter)
    return groups


def keras_state(weights):
    """The weights of Keras's MobileNet as a state_dict of MobileNetV1.

    Args: weights: a mapping of Keras's names ("conv_dw_1/depthwise_kernel", in Keras 3
    "conv_dw_1/kernel") to arrays, such as an open .npz file. Kernels stand there as (KH, KW, I, O),
    depthwise ones as (KH, KW, C, 1). Without Keras's top there is no `classifier` in the result.
    Load it into build("tensorflow", width=..., num_classes=1000).
    Raises: ValueError for a name that lacks.
    """
    try:
        return names.state(names.KERAS, weights, STRIDES)[0]
    except ValueError as error:
        raise ValueError(f"keras_state: {error}; expected those of Keras's MobileNet") from None


def paper_table():
    """The sixteen models of the paper, width by resolution: multiply-adds and parameters."""
    sizes = (224, 192, 160, 128)
    lines = [("width", *(f"mult-adds at {size}" for size in sizes), "parameters")]
    for width in (1.0, 0.75, 0.5, 0.25):
        model = MobileNetV1(1000, width)
        costs = [summary(model, (3, size, size)) for size in sizes]
        counts = [f"{cost.mult_adds:,}" for cost in costs]
        lines.append((str(width), *counts, f"{costs[0].parameters:,}"))
    return align(lines, rules=(1,), right_from=1)


# The network that `predict` takes where none is named.
WEIGHTS = Path(__file__).resolve().parent / "weights" / "cifar100-mobilenet-0.25.npz"


def save_network(path, model, **facts):
    """Write a network, with all that is needed to use it: tinynet.training.network.save says how.

    Args: facts: network, options (of `build`), classes, mean, std, size, and if wanted card, dtype,
    images.
    """
    network_file.save(path, model, build, **facts)


def load_network(path):
    """Read what `save_network` wrote, or the checkpoint.npz of a training (or its folder).

    Returns: the model in evaluation mode, and a dict of what `save_network` was given.
    Raises: ValueError in one sentence where that is not possible.
    """
    return network_file.load(path, build)


def load_weights(path, labels=None, size=None, top=True):
    """The network in a file of Keras, TensorFlow, timm, torch, ONNX or tinynet: what
    tinynet.interop.pretrained.load does."""
    from tinynet.interop import pretrained  # here, not at the top: most trainings need none of it

    return pretrained.load(path, build, BLOCKS, labels=labels, size=size, top=top)


# what a training script needs to know of this file: see tinynet.training.program.Program
FOR_TRAINING = {
    "networks": tuple(NETWORKS),
    "build": build,
    "decay_groups": decay_groups,
    "save_network": save_network,
    "load_network": load_network,
    "load_weights": load_weights,
}


def predict(images, weights=None, device="cpu", labels=None, size=None):
    """What `python mobilenet.py predict` does; returns whether all images could be read."""
    from tinynet import backend  # here, not at the top: the other commands need no images
    from tinynet.predict import show

    with said():
        backend.check_device(device)
        model, info = trained(weights, labels, size)
        summary(model, (3, info["size"], info["size"]))  # are the images large enough?
    return show(model, info, images, device)


def export(out, weights=None, labels=None, size=None):
    """What `python mobilenet.py export` does: the ending of `out` says which file is written."""
    from tinynet import interop  # here, not at the top: the other commands write none
    from tinynet.autograd import zeros
    from tinynet.interop import pretrained

    with said():
        if not out.endswith((".onnx", ".safetensors", ".npz")):
            raise ValueError(f"--out must end in .onnx, .safetensors or .npz, got {out!r}")
        model, info = trained(weights, labels, size)
        size = info["size"]
        if out.endswith(".onnx"):
            facts = pretrained.config_of(info)
            x = zeros(1, 3, size, size)
            interop.save_onnx(model, x, out, "images", "logits", metadata=facts)
        elif out.endswith(".safetensors"):
            interop.save_safetensors(out, model)
        else:
            save_network(out, model, **info)
    print(f"{out}: {os.path.getsize(out):,} bytes; {len(info['classes'])} classes, {size}x{size}")


@contextlib.contextmanager
def said():
    """What goes wrong with a file, as the one sentence with which the command ends."""
    try:
        yield
    except (ValueError, RuntimeError, OSError) as error:
        sys.exit(f"mobilenet.py: {error}")


def trained(weights, labels, size):
    if weights is None and not WEIGHTS.exists():
        raise ValueError(f"there is no {WEIGHTS}; name the weights with --weights FILE")
    return load_weights(WEIGHTS if weights is None else weights, labels, size)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description="MobileNetV1: its layers, what they cost, and what it sees in images."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("summary", help="every layer of one network, with its cost")
    one.add_argument("--network", default="paper", choices=NETWORKS, help="default: paper")
    one.add_argument("--width", type=float, help="width multiplier; default 1.0 (bottleneck: 0.1)")
    one.add_argument("--resolution", type=int, default=224, help="image size; default 224")
    one.add_argument("--classes", type=int, default=1000, help="outputs; default 1000")
    commands.add_parser("table", help="the sixteen models of the paper: multiply-adds, parameters")
    see = commands.add_parser("predict", help="name what is on images, by a trained network")
    see.add_argument("images", nargs="*", metavar="IMAGE", help="image files, or .npy (H, W, 3)")
    see.add_argument(
        "--weights",
        metavar="FILE",
        help="of Keras, TensorFlow, timm, torch, ONNX or a training; default: trained on CIFAR-100",
    )
    see.add_argument("--labels", metavar="FILE", help="names of the outputs: JSON, or one a line")
    see.add_argument("--resolution", type=int, help="image size; default: what the file says")
    see.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="default: cpu")
    give = commands.add_parser("export", help="write a trained network for other programs")
    give.add_argument(
        "--weights", metavar="FILE", help="as for predict; default: trained on CIFAR-100"
    )
    give.add_argument(
        "--out",
        metavar="FILE",
        required=True,
        help="ends in .onnx, .safetensors (the weights alone) or .npz (tinynet's own)",
    )
    give.add_argument("--labels", metavar="FILE", help="names of the outputs, as for predict")
    give.add_argument("--resolution", type=int, help="image size; default: what the file says")
    options = parser.parse_args(expanded(arguments))
    try:
        if options.command == "table":
            print(paper_table())
        elif options.command == "summary":
            print_summary(options, parser)
        elif options.command == "predict" and not options.images:
            see.error("name one image or more: python mobilenet.py predict photo.jpg")
        elif options.resolution is not None and not 1 <= options.resolution <= 4096:
            wrong = f"--resolution must be from 1 to 4096 pixels, got {options.resolution}"
            (see if options.command == "predict" else give).error(wrong)
        elif options.command == "export":
            export(options.out, options.weights, options.labels, options.resolution)
        elif not predict(
            *(options.images, options.weights, options.device),
            *(options.labels, options.resolution),
        ):
            sys.exit(1)
        print(end="", flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        gone = isinstance(error, BrokenPipeError)  # whoever read the output
        sys.exit(1 if gone else f"mobilenet.py: cannot write what it found ({error.strerror})")
    except KeyboardInterrupt:
        sys.exit("mobilenet.py: stopped")


def print_summary(options, parser):
    try:
        model = build(options.network, options.classes, options.width)
        print(summary(model, (3, options.resolution, options.resolution)))
    except (ValueError, TypeError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
