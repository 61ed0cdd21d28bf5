"""Larger and smaller images, each pixel the nearest one of the input."""

import numpy as np

from tinynet import check
from tinynet.nn.module import Module


def interpolate(input, size=None, scale_factor=None, mode="nearest"):
    """(N, C, H, W) to (N, C, HO, WO): output (h, w) is pixel (floor(h H/HO), floor(w W/WO)).

    Give `size`, an int or (HO, WO), or `scale_factor`, a number or two: HO = floor(scale H), and
    the scale itself stands for HO/H. Raises ValueError for the modes that tinynet lacks.
    """
    check.floats("interpolate", input=input)
    if mode != "nearest":
        raise ValueError(
            f"interpolate: tinynet has mode='nearest' alone, got {mode!r}; images are resized "
            "smoothly by tinynet.data.augment.resize, before training"
        )
    if input.ndim != 4:
        raise ValueError(f"interpolate: expected (N, C, H, W), got shape {input.shape}")
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate: give size or scale_factor, one of them")
    sides = input.shape[2:]
    if size is not None:
        sizes = check.pair("interpolate", "size", size, least=1)
        steps = [side / new for side, new in zip(sides, sizes, strict=True)]
    else:
        two = scale_factor if isinstance(scale_factor, tuple | list) else (scale_factor,) * 2
        for factor in two:
            check.number("interpolate", "scale_factor", factor, 0, above=True)
        sizes = [int(side * factor) for side, factor in zip(sides, two, strict=True)]
        steps = [1 / factor for factor in two]
    for axis, (side, new, step) in enumerate(zip(sides, sizes, steps, strict=True), 2):
        # float32, in which torch finds the pixels
        places = np.arange(new, dtype=np.float32) * np.float32(step)
        places = np.minimum(places.astype(np.int64), side - 1)
        input = input[(slice(None),) * axis + (places,)]
    return input


class Upsample(Module):
    """`interpolate` as a layer."""

    def __init__(self, size=None, scale_factor=None, mode="nearest"):
        super().__init__()
        self.size, self.scale_factor, self.mode = size, scale_factor, mode

    def forward(self, x):
        return interpolate(x, self.size, self.scale_factor, self.mode)

    def extra_repr(self):
        given = "size" if self.scale_factor is None else "scale_factor"
        value = getattr(self, given)
        if given == "scale_factor":  # torch keeps floats
            value = tuple(map(float, value)) if isinstance(value, tuple) else float(value)
        return f"{given}={value}, mode={self.mode!r}"
