"""What a network costs: a table of its layers with multiply-adds and parameters.

Multiply-adds are those of convolutions and fully connected layers, as the MobileNet paper counts
them: KH*KW*(C/groups)*O*HO*WO and I*O, for one image. Parameters are the trained ones
(BatchNorm's weight and bias among them, its running statistics not).
"""

import functools
import math
from dataclasses import dataclass

import tinynet.nn as nn
from tinynet.autograd import Tensor, no_grad, zeros

HEADS = (
    *("layer", "kind", "kernel", "stride", "groups", "output"),
    *("mult-adds", "share", "parameters"),
)
NEVER_CALLED = ", never called"  # ends the kind of a layer that forward leaves out


@dataclass(frozen=True)
class Row:
    """One call of a layer: its dotted name, its kind, its geometry and its cost.

    A layer that forward calls twice has two rows, with the multiply-adds in both and the parameters
    in the first; the same goes for a parameter that two layers share.
    """

    name: str
    kind: str
    kernel: str
    stride: str
    groups: str
    output_shape: tuple  # without the batch axis; () where there is no tensor
    mult_adds: int
    parameters: int

    def cells(self, total):
        """The row as `HEADS` has it; total: the multiply-adds of the network."""
        return (
            *(self.name, self.kind, self.kernel, self.stride, self.groups),
            "x".join(map(str, self.output_shape)),
            f"{self.mult_adds:,}" if self.mult_adds else "",
            f"{self.mult_adds / total:.2%}" if self.mult_adds else "",
            f"{self.parameters:,}" if self.parameters else "",
        )


@dataclass(frozen=True)
class Summary:
    """The rows of a network, in the order in which forward comes to the end of each layer, then
    those of layers that it never calls. The totals are the sums of the rows."""

    rows: tuple

    @property
    def mult_adds(self):
        return sum(row.mult_adds for row in self.rows)

    @property
    def parameters(self):
        return sum(row.parameters for row in self.rows)

    def shares(self):
        """Kind of layer -> its part of all multiply-adds, from 0 to 1."""
        totals = {}
        for row in self.rows:
            if row.mult_adds:
                totals[row.kind] = totals.get(row.kind, 0) + row.mult_adds
        return {kind: count / self.mult_adds for kind, count in totals.items()}

    def __str__(self):
        lines = [HEADS, *(row.cells(self.mult_adds) for row in self.rows)]
        shares = self.shares()
        whole = "100.00%" if shares else ""
        totals = ("total", *[""] * 5, f"{self.mult_adds:,}", whole, f"{self.parameters:,}")
        text = align([*lines, totals], rules=(1, len(lines)))
        kinds = "   ".join(f"{kind} {share:.2%}" for kind, share in shares.items())
        return f"{text}\nmult-adds by kind: {kinds}" if kinds else text


def align(lines, rules=(), right_from=6):
    """Rows of strings as a table; a rule before each line number in `rules`, the columns from
    `right_from` on flushed right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = []
    for number, line in enumerate(lines):
        if number in rules:
            text.append("-" * (sum(widths) + 2 * (len(widths) - 1)))
        cells = [
            cell.rjust(width) if i >= right_from else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        text.append("  ".join(cells).rstrip())
    return "\n".join(text)


def _describe(module):
    """(kind, kernel, stride, groups) of a layer."""
    if isinstance(module, nn.Conv2d):
        if module.groups == module.in_channels > 1:
            kind = "depthwise"
        elif module.kernel_size == (1, 1):
            kind = "pointwise"
        else:
            kind = "convolution"
        kernel = "x".join(map(str, module.kernel_size))
        stride = "x".join(map(str, dict.fromkeys(module.stride)))  # one number where both are equal
        return kind, kernel, stride, str(module.groups)
    if isinstance(module, nn.Linear):
        return "fully connected", "", "", ""
    return type(module).__name__, "", "", ""


def _mult_adds(module, output_shape):
    if isinstance(module, nn.Conv2d):
        return math.prod(module.weight.shape) * math.prod(output_shape[2:]) * output_shape[0]
    if isinstance(module, nn.Linear):
        return math.prod(module.weight.shape) * math.prod(output_shape[:-1])
    return 0


def summary(model, input_size):
    """Run one image of zeros through `model` and describe every layer that it calls.

    Layers are the modules without children, and those that have parameters beside their children.
    Layers that forward never calls follow at the end, so that no parameter is missing.

    Args: input_size: (C, H, W) of one image, or whatever follows the batch axis.
    The model's mode and running statistics are left as they were.
    """
    layers = [
        (name or type(module).__name__, module)
        for name, module in model.named_modules()
        if all(False for _ in module.children()) or list(module.parameters(recurse=False))
    ]
    rows, called, counted, handles = [], set(), set(), []

    def own_parameters(module):
        """The number of its own parameters that stand in no row yet."""
        new = [p for p in module.parameters(recurse=False) if id(p) not in counted]
        counted.update(map(id, new))
        return sum(p.numel() for p in new)

    def record(name, module, args, output):
        shape = output.shape if isinstance(output, Tensor) else ()
        mult_adds = _mult_adds(module, shape) if shape else 0
        cost = shape[1:], mult_adds, own_parameters(module)
        rows.append(Row(name, *_describe(module), *cost))
        called.add(id(module))

    modes = [(module, module.training) for module in model.modules()]
    sample = next(iter(model.parameters()), None)
    x = zeros(1, *input_size)
    if sample is not None:
        x = x.to(sample.dtype).to(sample.device)
    try:
        for name, module in layers:
            handles.append(module.register_forward_hook(functools.partial(record, name)))
        model.eval()
        with no_grad():
            model(x)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
    for name, module in layers:
        if id(module) not in called:
            kind, *geometry = _describe(module)
            rows.append(Row(name, kind + NEVER_CALLED, *geometry, (), 0, own_parameters(module)))
    return Summary(tuple(rows))
