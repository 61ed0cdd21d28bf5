"""Numbers and tensors as the web page shows them: rounded, and of large ones a corner."""

import math

import numpy as np

ALL, FEW = 24, 6  # elements that can be chosen: of a small tensor, of a large one


def number(x, digits=5):
    """A JSON number of that many significant digits; text where JSON has no number."""
    x = float(x)
    if math.isnan(x):
        return "NaN"
    if math.isinf(x):
        return "Infinity" if x > 0 else "-Infinity"
    x = float(f"{x:.{digits}g}")
    return int(x) if x.is_integer() and abs(x) < 1e15 else x


def corner(shape, cells):
    """How much of each axis to show so that at most `cells` values are: a corner at 0, 0, ...

    Of images and kernels (four axes) whole planes come first, then channels.
    """
    if math.prod(shape) <= cells:
        return tuple(shape)
    if len(shape) == 4 and cells >= 64:
        N, C, H, W = shape
        side = math.isqrt(cells // 4)
        if cells // 4 < H * W:
            H, W = min(H, side), min(W, side)
        planes = cells // (H * W)
        n = 1 if H * W > 49 else max(1, min(N, planes // min(C, math.isqrt(planes))))
        return n, min(C, planes // n), H, W
    side = 1
    while math.prod(min(size, side + 1) for size in shape) <= cells:
        side += 1
    return tuple(min(size, side) for size in shape)


def sample(array, cells):
    """The corner of an array that the page shows, and what is said of the whole array."""
    if array is None:
        return None
    box = corner(array.shape, cells)
    shown = array[tuple(slice(size) for size in box)]
    entry = {"box": box, "v": [number(x) for x in shown.ravel()]}
    if array.dtype.kind == "f":
        finite = array[np.isfinite(array)]
        if len(finite) < array.size:
            entry["nan"] = int(np.isnan(array).sum())
            entry["inf"] = int(np.isinf(array).sum())
    else:
        finite = array.ravel()
    if box != array.shape and finite.size:
        entry["min"], entry["max"] = number(finite.min()), number(finite.max())
    return entry


def chosen(gradient, every=ALL):
    """The elements whose numbers are worked out: all of a tensor of up to `every`; of a larger the
    largest, the smallest, and some of the corner that is shown."""
    if gradient.size <= every:
        return list(np.ndindex(gradient.shape))
    flat = np.where(np.isfinite(gradient), gradient, 0)
    picks = [
        np.unravel_index(flat.argmax(), flat.shape),
        np.unravel_index(flat.argmin(), flat.shape),
    ]
    box = corner(gradient.shape, 64)
    near = flat[tuple(slice(size) for size in box)]
    order = np.argsort(np.abs(near), axis=None, kind="stable")
    for place in (-1, len(order) // 2, -2, -(len(order) // 4), 0, 1):
        picks.append(np.unravel_index(order[place], box))
    picks = list(dict.fromkeys(tuple(map(int, pick)) for pick in picks))
    return picks[:FEW]
