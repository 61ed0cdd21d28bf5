"""What else the web page knows of some ops: windows, kinks, and the paths of BatchNorm.

The ops are known by their names and attributes: their layer lies above this one.
"""

import numpy as np

from tinynet.stepper.batchnorm import batchnorm_parts
from tinynet.stepper.page.samples import number

CEILINGS = {"ReLU": None, "ReLU6": 6}


def convolution(node):
    """The geometry of a convolution, None for another op."""
    if node.name not in ("Conv2d", "DepthwiseConv2d"):
        return None
    window, channels = node.op.window, node.op.input_shapes[0][1]
    depthwise = node.name == "DepthwiseConv2d"
    return {
        "kernel": window.kernel,
        "stride": window.stride,
        "padding": window.padding,
        "dilation": window.dilation,
        "groups": channels if depthwise else node.op.groups,
    }


def clip_counts(trace, node):
    """How many values a clipping op holds at its floor, passes on, and holds at its ceiling."""
    if node.value is None:
        return None
    if node.name == "Clip":
        x, low, high = trace.nodes[node.inputs[0]].value, node.op.low, node.op.high
        below = 0 if low is None else (x < low).sum()  # at the bounds themselves it passes
        above = 0 if high is None else (x > high).sum()
    elif node.name in CEILINGS:
        y, low, high = node.value, 0, CEILINGS[node.name]
        below, above = (y <= low).sum(), 0 if high is None else (y >= high).sum()
    else:
        return None
    active = node.value.size - int(below) - int(above) - int(np.isnan(node.value).sum())
    return {
        "low": low,
        "high": high,
        "below": int(below),
        "active": active,
        "above": int(above),
    }


def batchnorm_paths(trace, step, elements, cells):
    """The three summands of gx for the elements of x that can be chosen, and for each channel
    what is needed to work them out for others. None for another op, or if x needs no gradient."""
    node = step.node
    if node.name != "BatchNorm" or step.gxs[0] is None or node.value is None:
        return None
    x, weight, _ = (np.asarray(trace.nodes[i].value, np.float64) for i in node.inputs)
    parts = batchnorm_parts(node.op, x, weight, step.gy)
    mean, std, scale, mean_gy, mean_gy_xhat, xhat, gy = parts
    C, rows = len(weight), []
    for index in elements[node.inputs[0]]:
        c = index[1]
        paths = gy[index], -mean_gy[c], -xhat[index] * mean_gy_xhat[c]
        rows.append(
            {
                "gy": number(gy[index], 8),
                "xhat": number(xhat[index], 8),
                "paths": [number(scale[c] * path, 8) for path in paths],
                "scale": number(scale[c], 8),
                "weight": number(weight[c], 8),
                "std": number(std[c], 8),
                "mean_gy": number(mean_gy[c], 8),
                "mean_gy_xhat": number(mean_gy_xhat[c], 8),
            }
        )
    channels = min(C, cells, 64)
    lines = {"mean": mean, "std": std, "scale": scale, "mean_gy": mean_gy}
    lines["mean_gy_xhat"] = mean_gy_xhat
    return {
        "training": bool(node.op.training),
        "count": gy.size // C,
        "elements": rows,
        **{name: [number(v) for v in line[:channels]] for name, line in lines.items()},
    }
