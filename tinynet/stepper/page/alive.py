"""What the page's own engine needs to compute a graph anew: exact inputs, and the ops' options.

The ops are known by their names and attributes: their layer lies above this one. Ops that only
move elements are told to the page as positions, found by moving positions with the op itself.
"""

import numpy as np

from tinynet import backend
from tinynet.stepper.page.samples import number

LIMIT = 20_000  # values that a reader can change and see all follow at once
EVERY = 128  # of such a graph's tensors up to that size, every element can be chosen
MOVES = {"Reshape", "Permute", "Expand", "Index", "Gather", "Concatenate", "Pad", "Write", "Where"}
WINDOW = ("kernel", "stride", "padding", "dilation")


def alive(trace):
    """{leaves, labels, options, seed}, each by the number of its node; or {why: a sentence} where
    the page cannot compute the graph, so that nothing can be changed."""
    why = obstacle(trace)
    if why:
        return {"why": why}
    ops = [node for node in trace.nodes if node.op is not None]
    fresh = {node.number: _fresh(node) for node in ops}
    return {
        "leaves": {n.number: exact(n.value) for n in trace.nodes if n.op is None},
        "labels": {
            number: {"shape": op.target.shape, "v": exact(op.target)}
            for number, op in fresh.items()
            if hasattr(op, "target")
        },
        "options": {node.number: options(node, fresh[node.number]) for node in ops},
        "seed": exact(trace.loss_gradient),
    }


def obstacle(trace):
    """Why the page cannot compute a graph, in a sentence; '' if it can."""
    if not trace.recorded:
        return "the values of this graph were not recorded."
    values = sum(node.value.size for node in trace.nodes)
    if values > LIMIT:
        return (
            f"this graph holds {values:,} values, and the page computes graphs of up to {LIMIT:,}."
        )
    for node in trace.nodes:
        if node.op is None:
            continue
        if not node.op.definition.__module__.startswith("tinynet.ops."):
            return f"{node.name} is an op of your own, which the page cannot compute."
        if getattr(node.op, "group", None) is not None:
            return f"{node.name} takes its statistics from several workers, not from this one."
    return ""


def options(node, op):
    """What an op was told, as JSON holds it. op: a fresh one, by its definition."""
    told = {}
    if node.name in MOVES:
        return _moves(node, op)
    if hasattr(op, "window"):
        told |= {key: getattr(op.window, key) for key in WINDOW}
        told["groups"] = getattr(op, "groups", node.op.input_shapes[0][1])
    if hasattr(op, "dim"):
        dims = op.dim if isinstance(op.dim, tuple) else (op.dim,)
        told["dim"] = [dim % len(node.op.input_shapes[0]) for dim in dims]
    if hasattr(op, "divisor"):
        told["divisor"] = exact(op.divisor)
    for setting in ("low", "high", "alpha", "beta", "threshold", "slope"):
        if getattr(op, setting, None) is not None:
            told[setting] = number(getattr(op, setting), 17)
    if node.name == "BatchNorm":
        told |= {"training": bool(op.training), "eps": op.eps}
        if not op.training:
            told |= {"mean": exact(op.running_mean), "var": exact(op.running_var)}
    if hasattr(op, "target"):
        told |= {"smoothing": op.smoothing, "ignored": op.ignored}
        told["weight"] = None if op.weight is None else exact(op.weight)
    return told


def _moves(node, op):
    """{from: for each element of y the place it comes from, among those of all inputs laid one
    behind the other}; -1 stands for a border of `value`."""
    places, start = [], 0
    for shape in node.op.input_shapes:
        size = int(np.prod(shape, dtype=int))
        places.append(np.arange(start, start + size).reshape(shape))
        start += size
    told = {}
    if node.name == "Write":
        flat = places[0].reshape(-1).copy()
        flat[op.positions] = places[1].reshape(op.positions.shape)
        return {"from": flat.tolist()}
    if node.name == "Pad":
        told["value"] = number(op.value, 17)
        op.value = -1
    moved = op.forward(*places).ravel()
    if node.name != "Reshape":
        told["from"] = moved.tolist()
    return told


def _fresh(node):
    """An op like the node's, by its definition, with its options on the CPU."""
    op = node.op.definition(**{name: _on_cpu(option) for name, option in node.options.items()})
    op.needs = (False,) * len(node.inputs)
    op.input_shapes = node.op.input_shapes
    return op


def _on_cpu(option):
    if isinstance(option, tuple):
        return tuple(_on_cpu(part) for part in option)
    return backend.to_device(option, "cpu") if backend.is_array(option) else option


def exact(array):
    """All values of an array, read row by row, to the last digit."""
    return [number(x, 17) for x in np.asarray(_on_cpu(array)).ravel()]
