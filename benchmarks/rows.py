"""What is timed: each row is a network, an image size, a batch and a kind of step."""

from dataclasses import asdict, dataclass

import mobilenet
from tinynet.summary import summary


@dataclass(frozen=True)
class Row:
    """A network and the step that is timed on it.

    size: of the square images. train: a whole training step, otherwise forward in evaluation mode
    without a tape, with BatchNorm folded into our convolutions. target_best, target_default: how
    many times as long as ours PyTorch's step is to take, in the faster of its two memory formats
    and in its default one. memory_target: our peak memory is to stay below PyTorch's.
    target_workers: how many times as long as our workers together PyTorch's step is to take, in
    one process and the faster of its formats.
    """

    name: str
    network: str
    width: float
    size: int
    batch: int
    classes: int
    train: bool
    target_best: float
    target_default: float
    memory_target: bool = False
    target_workers: float = 1.0

    @property
    def what(self):
        kind = "train" if self.train else "inference (our BatchNorm folded)"
        size = f"{self.size}x{self.size}"
        return f"{self.network}, width {self.width:g}, {size}, batch {self.batch}, {kind}"

    def layers(self):
        """The network as plain numbers, for a library that cannot build it by its name: a dict of
        stem (stride, channels), blocks [(stride, channels), ...], classes."""

        def scaled(channels):
            return max(1, round(self.width * channels))

        def plain(blocks=mobilenet.BLOCKS, stem_stride=2):  # and no more: the twin knows no others
            return {
                "stem": (stem_stride, scaled(mobilenet.STEM_CHANNELS)),
                "blocks": [(stride, scaled(channels)) for stride, channels in blocks],
                "classes": self.classes,
            }

        return plain(**mobilenet.NETWORKS[self.network])

    def message(self):
        """Everything a worker has to know, ready for JSON."""
        return {**asdict(self), "layers": self.layers()}

    def mult_adds(self):
        """(matrix products, depthwise): the multiply-adds of one step.

        Matrix products are the pointwise layers, the stem and the linear layer. Training does
        each three times (forward, the input's gradient, the weight's gradient), but for the
        stem's input gradient, which nobody needs.
        """
        model = mobilenet.build(self.network, self.classes, self.width)
        layers = [row for row in summary(model, (3, self.size, self.size)).rows if row.mult_adds]
        depthwise = sum(row.mult_adds for row in layers if row.kind == "depthwise")
        products = sum(row.mult_adds for row in layers) - depthwise
        if not self.train:
            return self.batch * products, self.batch * depthwise
        return self.batch * (3 * products - layers[0].mult_adds), self.batch * 3 * depthwise


_ALL = (
    Row("A", "paper", 1.0, 32, 128, 100, True, 1.3, 2.5, True, 2.3),
    Row("B", "paper", 0.25, 32, 128, 100, True, 1.3, 2.5, False, 2.0),
    Row("C", "cifar-4x4", 0.5, 32, 128, 100, True, 1.2, 2.0, True, 1.4),
    Row("D", "paper", 1.0, 224, 32, 1000, True, 1.0, 1.3, True, 1.7),
    Row("E", "paper", 1.0, 224, 1, 1000, False, 0.8, 0.8),
    Row("F", "paper", 1.0, 32, 128, 100, False, 1.0, 1.0),
    Row("G", "cifar-4x4", 1.0, 32, 128, 100, True, 1.0, 1.0, True),
    Row("H", "cifar-4x4", 1.0, 32, 512, 100, True, 1.0, 1.0, True),
    Row("I", "paper", 1.0, 224, 128, 1000, True, 1.0, 1.0, True),
)
ROWS, GPU_ROWS = ({row.name: row for row in rows} for rows in (_ALL[:6], _ALL[6:]))
