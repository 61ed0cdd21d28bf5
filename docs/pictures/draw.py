"""Draw the figures of the pages in docs: `python docs/pictures/draw.py`."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from tinynet.fast.cpu import banded
from tinynet.ops.window import Window

HERE = Path(__file__).parent
# Okabe and Ito's colours, told apart by the colour-blind
BLUE, ORANGE, GREEN, GREY, DARK = "#0072B2", "#E69F00", "#009E73", "#DDDDDD", "#333333"


def save(figure, name):
    figure.savefig(HERE / f"{name}.png", dpi=130, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)


def cells(axes, x, y, colors, texts=None, size=1.0):
    for i, color in enumerate(colors):
        box = plt.Rectangle((x + i * size, y), size, size, facecolor=color, edgecolor="white", lw=1)
        axes.add_patch(box)
        if texts:
            middle = (x + (i + 0.5) * size, y + size / 2)
            axes.text(*middle, texts[i], ha="center", va="center", fontsize=7, color=DARK)


def layout():
    """The same 3 channels of 2 images, 2x2 pixels, in either order of memory."""
    C, N, P = 3, 2, 4
    shades = [("#9ecae1", "#3182bd"), ("#fdd0a2", "#f16913"), ("#a1d99b", "#31a354")]
    figure, axes = plt.subplots(figsize=(9, 3.1))
    orders = {
        "N, C, H, W (torch's default)": [
            (n, c, p) for n in range(N) for c in range(C) for p in range(P)
        ],
        "N, H, W, C (channels_last)": [
            (n, c, p) for n in range(N) for p in range(P) for c in range(C)
        ],
        "C, H, W, N (tinynet)": [(n, c, p) for c in range(C) for p in range(P) for n in range(N)],
    }
    for line, (name, order) in enumerate(orders.items()):
        y = -2.2 * line
        cells(axes, 0, y, [shades[c][n] for n, c, p in order], ["abcd"[p] for n, c, p in order])
        axes.text(-0.4, y + 0.5, name, ha="right", va="center", fontsize=9)
        of_one = [i for i, (n, c, p) in enumerate(order) if c == 1]
        for i in of_one:
            axes.plot([i + 0.1, i + 0.9], [y - 0.18] * 2, color=DARK, lw=2.5, solid_capstyle="butt")
    axes.text(
        12,
        -5.6,
        "underlined: one channel, over which BatchNorm sums: one stretch in the last order only",
        ha="center",
        fontsize=9,
    )
    axes.text(
        12,
        1.5,
        "3 colours: channels; light and dark: two images; a to d: pixels",
        ha="center",
        fontsize=9,
    )
    axes.set(xlim=(-8.6, 24.2), ylim=(-6, 2.1), aspect="equal")
    axes.axis("off")
    save(figure, "memory-order")


def bands():
    """The band matrix of one 3x3 filter on rows of 8, stride 1 and 2, made by the kernel itself."""
    weight = np.arange(1, 10, dtype=np.float32).reshape(1, 3, 3)
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.4), width_ratios=[1, 1])
    for axes, stride in zip(panels, (1, 2), strict=True):
        window = Window((3, 3), (stride, stride), ((1, 1), (1, 1)))
        outputs = window.output_size(8, 8)[1]
        matrix = banded._bands(weight, window, range(outputs), range(8))[0].reshape(outputs, 24)
        shown = np.where(matrix == 0, np.nan, matrix)
        axes.imshow(shown, cmap="viridis", vmin=-2, vmax=10, aspect="equal")
        for (row, column), value in np.ndenumerate(matrix):
            if value:
                color = "white" if value < 6 else "black"
                axes.text(
                    column, row, f"{value:.0f}", ha="center", va="center", fontsize=6, color=color
                )
        for edge in (7.5, 15.5):
            axes.axvline(edge, color=DARK, lw=1)
        axes.set_xticks(
            [3.5, 11.5, 19.5],
            ["row h-1", "row h", "row h+1"] if stride == 1 else ["row 2h-1", "row 2h", "row 2h+1"],
            fontsize=8,
        )
        axes.set_yticks(range(outputs), [f"y[h, {w}]" for w in range(outputs)], fontsize=7)
        axes.tick_params(length=0)
        axes.set_title(f"stride {stride}: {outputs} outputs from 3 rows of 8 pixels", fontsize=9)
    save(figure, "band-matrix")


def traffic():
    """How many times a map goes between memory and processor, in BatchNorm."""
    # reading counts 1; writing over what was just read 1; writing a new map 2, for the processor
    # fetches what it is about to overwrite
    steps = {
        "forward, pass by pass": [
            ("mean", 1),
            ("var", 1),
            ("scale", 3),
            ("shift", 2),
        ],
        "forward, piece by piece": [("read x", 1), ("write y", 2)],
        "backward, pass by pass": [
            ("sum", 1),
            ("dot", 2),
            ("scale", 3),
            ("slope x", 3),
            ("level", 2),
            ("add", 3),
        ],
        "backward, piece by piece": [("read gy, x", 2), ("write gx", 2)],
    }
    figure, axes = plt.subplots(figsize=(9, 2.7))
    shades = [BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#F0E442", "#D55E00", BLUE]
    for line, parts in enumerate(steps.values()):
        start = 0
        for (what, count), color in zip(parts, shades, strict=False):
            axes.barh(-line, count, left=start, color=color, edgecolor="white", height=0.7)
            axes.text(
                start + count / 2,
                -line,
                what,
                ha="center",
                va="center",
                fontsize=6.5,
                color="black" if color in (ORANGE, "#F0E442", "#56B4E9", "#CC79A7") else "white",
            )
            start += count
        axes.text(start + 0.15, -line, f"{start:g}", va="center", fontsize=9)
    axes.set_yticks([-i for i in range(len(steps))], list(steps), fontsize=9)
    axes.set_xlabel("how many times the map crosses between memory and processor", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlim(0, 15)
    axes.set_xticks(range(0, 16, 2))
    save(figure, "passes")


def threads():
    """A warp's 32 threads over a row of outputs in memory, and the pixels that one thread reads."""
    figure, (memory, window) = plt.subplots(
        1, 2, figsize=(11, 3), gridspec_kw={"width_ratios": [3.6, 1]}
    )
    shades = ["#9ecae1", "#6baed6"]
    rows = {"y[c, h]:\nwritten": ("w", 8, 0), "x[c, r]:\nread for one tap": ("q", 16, -3.4)}
    for text, (column, first, y) in rows.items():
        warp = range(first, first + 32)
        cells(memory, 0, y, [shades[i // 8 % 2] if i in warp else GREY for i in range(48)])
        memory.text(-1, y + 0.5, text, ha="right", va="center", fontsize=9)
        for place in range(6):
            memory.text(8 * place + 4, y - 0.7, f"{column} = {place}", ha="center", fontsize=8)
    for thread in (8, 19, 28, 39):
        style = {"arrowstyle": "-|>", "color": DARK, "lw": 0.8}
        memory.annotate("", (thread + 0.5, 0.0), (thread + 8.5, -2.4), arrowprops=style)
    memory.set_title(
        "a warp: 32 threads, 32 values side by side (here 8 images n per place)", fontsize=10
    )
    memory.set(xlim=(-9, 49), ylim=(-4.6, 1.4))
    for row in range(6):
        cells(window, 0, -row, ["#fdd0a2"] * 3)
    for output in range(4):
        window.add_patch(plt.Circle((1.5, -output - 0.5), 0.25, facecolor=BLUE))
    for output, color in ((0, DARK), (3, GREEN)):
        box = plt.Rectangle((0, -output - 2), 3, 3, facecolor="none", edgecolor=color, lw=2.2)
        window.add_patch(box)
    window.set_title("a thread: 4 outputs,\n18 pixels read for 4 x 9", fontsize=10)
    window.set(xlim=(-0.5, 3.5), ylim=(-5.2, 1.2), aspect="equal")
    for axes in (memory, window):
        axes.axis("off")
    save(figure, "gpu-threads")


if __name__ == "__main__":
    layout()
    threads()
    bands()
    traffic()
