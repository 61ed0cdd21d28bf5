"""Figures of docs/why-it-is-fast.md and the chapter on memory layout."""

import matplotlib.pyplot as plt
import numpy as np
from style import CHANNELS, DARK, PARTIAL, PARTIAL_LIGHT, VALUE, WIDTH, blank, cells, figure

from tinynet.fast.cpu import banded
from tinynet.ops.window import Window


@figure
def memory_order():
    """The same 3 channels of 2 images, 2x2 pixels, in three orders of memory."""
    C, N, P = 3, 2, 4
    orders = {
        "N, C, H, W\n(torch's default)": [
            (n, c, p) for n in range(N) for c in range(C) for p in range(P)
        ],
        "N, H, W, C\n(channels_last)": [
            (n, c, p) for n in range(N) for p in range(P) for c in range(C)
        ],
        "C, H, W, N\n(tinynet)": [(n, c, p) for c in range(C) for p in range(P) for n in range(N)],
    }
    drawn, axes = plt.subplots(figsize=(WIDTH, 3.6))
    for line, (name, order) in enumerate(orders.items()):
        y = -2.6 * line
        colors = [[CHANNELS[c][n] for n, c, p in order]]
        cells(axes, 0, y + 1, [["abcd"[p] for n, c, p in order]], colors)
        axes.text(-0.4, y + 0.5, name, ha="right", va="center")
        for i in (i for i, (n, c, p) in enumerate(order) if c == 1):
            axes.plot([i + 0.1, i + 0.9], [y - 0.25] * 2, color=DARK, lw=3, solid_capstyle="butt")
    above = "a colour is a channel, light and dark are two images, a to d pixels"
    axes.text(8.5, 2.0, above, ha="center")
    below = "underlined: one channel, over which BatchNorm sums; one stretch in the last order only"
    axes.text(8.5, -7.0, below, ha="center")
    blank(axes, (-7, 24.2), (-7.4, 2.8))
    return drawn


@figure
def band_matrix():
    """The band matrix of one 3x3 filter on rows of 8, stride 1 and 2, made by the kernel itself."""
    weight = np.arange(1, 10, dtype=np.float32).reshape(1, 3, 3)
    rows = {1: ("row h-1", "row h", "row h+1"), 2: ("row 2h-1", "row 2h", "row 2h+1")}
    drawn, axes = plt.subplots(figsize=(WIDTH, 6.2))
    top = 0
    for stride, names in rows.items():
        window = Window((3, 3), (stride, stride), ((1, 1), (1, 1)))
        outputs = window.output_size(8, 8)[1]
        matrix = banded._bands(weight, window, range(outputs), range(8))[0].reshape(outputs, 24)
        title = f"stride {stride}: 3 rows of 8 pixels give {outputs} outputs"
        axes.text(12, top + 1.5, title, ha="center", fontsize=15)
        for i, name in enumerate(names):
            axes.text(8 * i + 4, top + 0.35, name, ha="center")
            axes.plot([8 * i + 0.1, 8 * i + 7.9], [top + 0.15] * 2, color=DARK, lw=1.5)
        for w, line in enumerate(matrix):
            axes.text(-0.3, top - w - 0.5, f"y[h, {w}]", ha="right", va="center")
            colors = [CHANNELS[k // 8][0] if value else "#F2F4F6" for k, value in enumerate(line)]
            cells(axes, 0, top - w, [[f"{v:.0f}" if v else None for v in line]], [colors])
        top -= outputs + 3
    blank(axes, (-2.6, 24.1), (top + 2.4, 2.4))
    return drawn


@figure
def passes():
    """How many times a map goes between memory and processor, in BatchNorm."""
    # r: a read; w: a write over what was just read; n: to a new array, which the processor
    # fetches before it overwrites it, so that it crosses twice
    ways = {
        "forward, pass by pass": {"mean": "r", "var": "r", "scale": "rn", "shift": "rw"},
        "forward, piece by piece": {"all of it": "rn"},
        "backward, pass by pass": {
            "sum": "r",
            "dot": "rr",
            "scale": "rn",
            "slope x": "rn",
            "level": "rw",
            "add": "rrw",
        },
        "backward, piece by piece": {"all of it": "rrn"},
    }
    looks = {"r": (1, VALUE, "read"), "w": (1, PARTIAL_LIGHT, "written over what was just read")}
    looks["n"] = 2, PARTIAL, "written to a new array: counts 2"
    drawn, axes = plt.subplots(figsize=(WIDTH, 6))
    for line, (name, steps) in enumerate(ways.items()):
        x, y, crossings = 0, -2.75 * line, 0
        for step, moves in steps.items():
            start = x
            for move in moves:
                times, color, _ = looks[move]
                cells(axes, x, y, [[None] * times], color, edge=DARK)
                x += times
            axes.text((start + x) / 2, y + 0.2, step, ha="center")
            crossings += sum(looks[move][0] for move in moves)
            x += 0.55
        axes.text(0, y + 0.85, f"{name}: {crossings} times", fontsize=15, weight="bold")
    for y, (times, color, meaning) in zip((0, -1.2, -2.4), looks.values(), strict=True):
        cells(axes, 10.6 - times * 0.7, y, [[None] * times], color, size=0.7, edge=DARK)
        axes.text(10.8, y - 0.35, meaning, va="center")
    blank(axes, (-0.1, 18), (-9.4, 1.5))
    return drawn
