"""Each op of tinynet as nodes of ONNX. https://onnx.ai/onnx/operators

A function here is given the file's builder `g`, the recorded call and the names of its inputs; it
adds nodes and returns the name of the result.
"""

import numpy as np

from tinynet.interop.onnx.record import BATCHES, same
from tinynet.ops import activation, elementwise, pooling, reductions, shapes
from tinynet.ops.batchnorm import BatchNorm
from tinynet.ops.conv import Conv2d
from tinynet.ops.depthwise import DepthwiseConv2d
from tinynet.ops.matmul import Linear, MatMul

MOST = 2**63 - 1  # the end of an axis, for Slice


def one(kind, **attributes):
    return lambda g, call, *xs: g.node(kind, xs, **attributes)


def geometry(window):
    (top, bottom), (left, right) = window.padding
    sizes = {"kernel_shape": window.kernel, "strides": window.stride}
    return {**sizes, "pads": (top, left, bottom, right), "dilations": window.dilation}


def conv(g, call, x, weight, *bias):
    groups = call.options.get("groups", call.shapes[0][1])  # depthwise: one for each channel
    return g.node("Conv", [x, weight, *bias], group=groups, **geometry(call.options["window"]))


def batch_norm(g, call, x, weight, bias):
    options = call.options
    if options["training"]:
        raise ValueError(f"save_onnx: {call} has no running statistics; ONNX needs them")
    statistics = [g.kept(options[name], call) for name in ("running_mean", "running_var")]
    return g.node(
        "BatchNormalization",
        [x, weight, bias, *statistics],
        epsilon=float(options["eps"]),
        momentum=1.0 - options["momentum"],  # ONNX's is the share of what was there
    )


def clip(g, call, x):
    bounds = [call.options["low"], call.options["high"]]
    made = ["" if b is None else g.constant(np.array(b, call.dtype)) for b in bounds]
    return g.node("Clip", [x, *made])


def relu6(g, call, x):
    return g.node("Clip", [x, *(g.constant(np.array(b, call.dtype)) for b in (0, 6))])


def softplus(g, call, x):
    """ONNX's has no beta, and no threshold: above 20 it differs from x by 2e-9."""
    beta = g.constant(np.array(call.options["beta"], call.dtype))
    return g.node("Div", [g.node("Softplus", [g.node("Mul", [x, beta])]), beta])


def remainder(g, call, a, b):
    """fmod has the sign of a: one more b, and the sign is that of b."""
    rest = g.node("Mod", [a, b], fmod=1)
    return g.node("Mod", [g.node("Add", [rest, b]), b], fmod=1)


def cast(g, call, x):
    return g.node("Cast", [x], to=g.element_type(call.dtype))


def soft(kind):
    return lambda g, call, x: g.node(kind, [x], axis=call.options["dim"])


def linear(g, call, x, weight, *bias):
    if len(call.shapes[0]) == 2:
        return g.node("Gemm", [x, weight, *bias], transB=1)
    y = g.node("MatMul", [x, g.node("Transpose", [weight], perm=(1, 0))])
    return g.node("Add", [y, *bias]) if bias else y


def average_pool(g, call, x):
    window, divisor = call.options["window"], call.options["divisor"]
    area = window.kernel[0] * window.kernel[1]
    sizes = geometry(window)
    if set(sizes.pop("dilations")) != {1}:
        raise ValueError(f"save_onnx: {call} is dilated, which AveragePool of ONNX cannot be")
    y = g.node("AveragePool", [x], count_include_pad=1, **sizes)
    if (divisor == area).all():
        return y
    return g.node("Mul", [y, g.constant((area / divisor).astype(call.dtype))])


def adaptive_pool(g, call, x):
    """The mean over a rectangle is one over its columns, then one over its rows: two products."""
    if call.options["output_size"] == (1, 1):
        return g.node("GlobalAveragePool", [x])
    products = []
    for size, wanted in zip(call.shapes[0][2:], call.options["output_size"], strict=True):
        share = np.zeros((wanted, size), call.dtype)
        for i in range(wanted):
            part = slice(i * size // wanted, -(-(i + 1) * size // wanted))
            share[i, part] = 1 / (part.stop - part.start)
        products.append(share)
    y = g.node("MatMul", [x, g.constant(products[1].T)])
    return g.node("MatMul", [g.constant(products[0]), y])


def max_pool(g, call, x):
    sizes = geometry(call.options["window"])
    if max(sizes["pads"]) >= min(sizes["kernel_shape"]):  # which onnxruntime refuses
        pads = g.integers([0, 0, *sizes["pads"][:2], 0, 0, *sizes["pads"][2:]])
        x = g.node("Pad", [x, pads, g.constant(np.array(-np.inf, call.dtype))])
        sizes["pads"] = (0, 0, 0, 0)
    return g.node("MaxPool", [x], **sizes)


def reduction(kind):
    def nodes(g, call, x):
        axes, keep = call.options["dim"], int(call.options["keepdim"])
        if not axes:
            return g.node("Identity", [x])
        if kind == "ReduceSum":  # the first whose axes became an input
            return g.node(kind, [x, g.integers(axes)], keepdims=keep)
        return g.node(kind, [x], axes=axes, keepdims=keep)

    return nodes


def reshape(g, call, x):
    """Sizes that follow the batch become -1 or, where the input has them in the same place, 0."""
    before, (old, other) = call.shapes[0], (call.shape, call.other.shape)
    moved = [i for i, (a, b) in enumerate(zip(old, other, strict=True)) if a != b]
    images = before[:1] == old[:1] and call.other.shapes[0][:1] == other[:1]
    if images and moved == [0] and len(old) == 2 and len(before) > 1:
        return g.node("Flatten", [x], axis=1)
    sizes = list(old)
    for place in moved:
        inputs = [shapes[place : place + 1] for shapes in (before, call.other.shapes[0])]
        kept = inputs == [(old[place],), (other[place],)] and len(moved) > 1
        sizes[place] = 0 if kept else -1
    if sizes.count(-1) > 1:
        raise ValueError(f"save_onnx: {call} has two sizes that follow the batch, {old}")
    return g.node("Reshape", [x, g.integers(sizes)])


def expand(g, call, x):
    """1 keeps the size of the input; a batch that the input lacks is asked of the images."""
    old, other, pieces = call.shape, call.other.shape, []
    first = len(old) - len(call.shapes[0])
    for place, size in enumerate(old):
        if size == other[place]:
            pieces.append(g.integers([size]))
        elif place >= first and call.shapes[0][place - first] == size:
            pieces.append(g.integers([1]))
        elif (size, other[place]) == BATCHES:
            pieces.append(g.batch())
        else:
            raise ValueError(f"save_onnx: {call} makes an axis of {size} that follows the batch")
    shape = g.integers(old) if old == other else g.node("Concat", pieces, axis=0)
    return g.node("Expand", [x, shape])


def index(g, call, x):
    """Slices first, then arrays and numbers from the last axis to the first, then new axes."""
    parts = list(call.options["index"])
    used = sum(part is not None and part is not ... for part in parts)
    whole = [slice(None)] * (len(call.shapes[0]) - used)
    at = next((i for i, part in enumerate(parts) if part is ...), len(parts))
    parts[at : at + 1] = whole
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    numbers = any(isinstance(part, int) for part in parts)
    if len(arrays) > 1 or (arrays and (numbers or arrays[0].dtype.kind not in "iu")):
        raise ValueError(f"save_onnx: {call} takes an index that ONNX has no node for")
    if any(isinstance(part, bool) for part in parts):
        raise ValueError(f"save_onnx: {call} takes a mask, which ONNX has no node for")
    taken = [part for part in parts if part is not None]
    cuts = {i: p for i, p in enumerate(taken) if isinstance(p, slice) and p != slice(None)}
    if cuts:
        ends = [[], [], []]
        for part in cuts.values():
            step = 1 if part.step is None else part.step
            low, high = (0, MOST) if step > 0 else (MOST, -MOST)
            ends[0].append(low if part.start is None else part.start)
            ends[1].append(high if part.stop is None else part.stop)
            ends[2].append(step)
        starts, stops, steps = map(g.integers, ends)
        x = g.node("Slice", [x, starts, stops, g.integers(list(cuts)), steps])
    for axis in reversed(range(len(taken))):
        if not isinstance(taken[axis], slice):
            x = g.node("Gather", [x, g.integers(taken[axis])], axis=axis)
    kept = [part for part in parts if not isinstance(part, int)]
    new = [i for i, part in enumerate(kept) if part is None]
    return g.node("Unsqueeze", [x, g.integers(new)]) if new else x


def pad(g, call, x):
    sides = ((0, 0),) * (len(call.shape) - len(call.options["sides"])) + call.options["sides"]
    pads = g.integers([before for before, _ in sides] + [after for _, after in sides])
    return g.node("Pad", [x, pads, g.constant(np.array(call.options["value"], call.dtype))])


NODES = {
    elementwise.Add: one("Add"),
    elementwise.Subtract: one("Sub"),
    elementwise.Multiply: one("Mul"),
    elementwise.Divide: one("Div"),
    elementwise.Remainder: remainder,
    elementwise.Power: one("Pow"),
    elementwise.Maximum: one("Max"),
    elementwise.Minimum: one("Min"),
    elementwise.Negate: one("Neg"),
    elementwise.Exp: one("Exp"),
    elementwise.Log: one("Log"),
    elementwise.Sqrt: one("Sqrt"),
    elementwise.Abs: one("Abs"),
    elementwise.Round: one("Round"),
    elementwise.Clip: clip,
    elementwise.Cast: cast,
    activation.ReLU: one("Relu"),
    activation.ReLU6: relu6,
    activation.Sigmoid: one("Sigmoid"),
    activation.Tanh: one("Tanh"),
    activation.LeakyReLU: lambda g, call, x: g.node(
        "LeakyRelu", [x], alpha=float(call.options["slope"])
    ),
    activation.ELU: lambda g, call, x: g.node("Elu", [x], alpha=float(call.options["alpha"])),
    activation.Softplus: softplus,
    activation.Softmax: soft("Softmax"),
    activation.LogSoftmax: soft("LogSoftmax"),
    BatchNorm: batch_norm,
    Conv2d: conv,
    DepthwiseConv2d: conv,
    Linear: linear,
    MatMul: one("MatMul"),
    pooling.AveragePool2d: average_pool,
    pooling.AdaptiveAveragePool2d: adaptive_pool,
    pooling.MaxPool2d: max_pool,
    reductions.Sum: reduction("ReduceSum"),
    reductions.Mean: reduction("ReduceMean"),
    reductions.Max: reduction("ReduceMax"),
    reductions.Min: reduction("ReduceMin"),
    reductions.Deviation: one("Sqrt"),
    shapes.Reshape: reshape,
    shapes.Permute: lambda g, call, x: g.node("Transpose", [x], perm=call.options["dims"]),
    shapes.Expand: expand,
    shapes.Index: index,
    shapes.Concatenate: lambda g, call, *xs: g.node("Concat", xs, axis=call.options["dim"]),
    shapes.Pad: pad,
}


def nodes_of(g, call, inputs):
    """The name of what a call returns. Raises: ValueError for an op that ONNX has no node for, or
    whose options follow the size of the batch."""
    if call.kind not in NODES:
        raise ValueError(f"save_onnx: {call} has no counterpart in ONNX; compute it by other ops")
    follows = call.kind in (shapes.Reshape, shapes.Expand)
    if not follows and not all(
        same(value, call.other.options[name]) for name, value in call.options.items()
    ):
        raise ValueError(f"save_onnx: the options of {call} follow the images or their number")
    return NODES[call.kind](g, call, *inputs)
