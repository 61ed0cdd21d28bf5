"""What a network costs: a table of its layers with multiply-adds and parameters.

Multiply-adds are those of convolutions and fully connected layers, as the MobileNet paper counts
them: KH*KW*(C/groups)*O*HO*WO and I*O, for one picture. Parameters are the trained ones
(BatchNorm's weight and bias among them, its running statistics not).
"""

import math
from dataclasses import dataclass

import tinynet.nn as nn
from tinynet.autograd import Tensor, no_grad, zeros


@dataclass(frozen=True)
class Row:
    """One layer: its dotted name, its kind, its geometry and its cost."""

    name: str
    kind: str
    kernel: str
    stride: str
    groups: str
    output_shape: tuple
    mult_adds: int
    parameters: int


@dataclass(frozen=True)
class Summary:
    """The rows of a network, in the order in which forward runs them, and their totals."""

    rows: tuple
    parameters: int  # of the whole network, shared ones counted once

    @property
    def mult_adds(self):
        return sum(row.mult_adds for row in self.rows)

    def shares(self):
        """Kind of layer -> its part of all multiply-adds, from 0 to 1."""
        totals = {}
        for row in self.rows:
            if row.mult_adds:
                totals[row.kind] = totals.get(row.kind, 0) + row.mult_adds
        return {kind: count / self.mult_adds for kind, count in totals.items()}

    def __str__(self):
        heads = (
            *("layer", "kind", "kernel", "stride", "groups", "output", "mult-adds"),
            *("share", "parameters"),
        )
        lines = [heads]
        for row in self.rows:
            share = f"{row.mult_adds / self.mult_adds:.2%}" if row.mult_adds else ""
            lines.append(
                (
                    row.name,
                    row.kind,
                    row.kernel,
                    row.stride,
                    row.groups,
                    "x".join(map(str, row.output_shape)),
                    f"{row.mult_adds:,}" if row.mult_adds else "",
                    share,
                    f"{row.parameters:,}" if row.parameters else "",
                )
            )
        totals = ("total", *[""] * 5, f"{self.mult_adds:,}", "100.00%", f"{self.parameters:,}")
        kinds = "   ".join(f"{kind} {share:.2%}" for kind, share in self.shares().items())
        return align([*lines, totals], rules=(1, len(lines))) + f"\nmult-adds by kind: {kinds}"


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
        stride = "x".join(map(str, sorted(set(module.stride))))
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
    """Run one picture of zeros through `model` and describe every layer it passes.

    Args: input_size: (C, H, W) of one picture, or whatever follows the batch axis.
    The model's mode and running statistics are left as they were.
    """
    rows, handles = [], []

    def recorder(name):
        def record(module, args, output):
            if not isinstance(output, Tensor):
                return
            rows.append(
                Row(
                    name or type(module).__name__,
                    *_describe(module),
                    output.shape[1:],
                    _mult_adds(module, output.shape),
                    sum(p.numel() for p in module.parameters()),
                )
            )

        return record

    modes = [(module, module.training) for module in model.modules()]
    sample = next(iter(model.parameters()), None)
    x = zeros(1, *input_size)
    if sample is not None:
        x = x.to(sample.dtype).to(sample.device)
    try:
        for name, module in model.named_modules():
            if not any(True for _ in module.children()):
                handles.append(module.register_forward_hook(recorder(name)))
        model.eval()
        with no_grad():
            model(x)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
    return Summary(tuple(rows), sum(p.numel() for p in model.parameters()))
