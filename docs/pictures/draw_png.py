"""Draw the figures of the pages in docs: `python docs/pictures/draw_png.py`."""

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


def ring():
    """All-reduce round a ring of four workers: each panel a state, and what is sent from it."""
    n, width, pitch = 4, 2.0, 1.9  # of a cell, and from one worker to the next
    held = [[10**rank * (part + 1) for part in range(n)] for rank in range(n)]
    shades = ["#deebf7", "#9ecae1", "#6baed6", "#a1d99b"]  # by how many terms a number has
    titles = (
        ("start", "added once", "added twice", "each has one sum"),
        ("each has one sum", "copied once", "copied twice", "all have all sums"),
    )
    figure, grid = plt.subplots(2, n, figsize=(14, 7.2))
    figure.subplots_adjust(wspace=0, hspace=0.14)
    for (copying, step), axes in np.ndenumerate(grid):
        axes.set_title(titles[copying][step], fontsize=16)
        for rank, part in np.ndindex(n, n):
            x, y, number = width * part, -pitch * rank, held[rank][part]
            shade = shades[sum(digit != "0" for digit in str(number)) - 1]
            axes.add_patch(plt.Rectangle((x, y), width - 0.06, 1.25, facecolor=shade))
            axes.text(x + 0.97, y + 0.6, number, ha="center", va="center", fontsize=15)
        for rank in range(n if step == 0 else 0):
            axes.text(-0.3, -pitch * rank + 0.6, rank, ha="right", va="center", fontsize=16)
        if step == 0:
            name = ("reduce-scatter", "all-gather")[copying]
            axes.text(
                -1.6, -2.2, f"{name}\nworker", rotation=90, ha="center", va="center", fontsize=16
            )
        axes.set(xlim=(-0.5, 4 * width + 0.5), ylim=(-6.5, 1.95), aspect="equal")
        axes.axis("off")
        if step == n - 1:
            continue
        messages = [(rank, (rank + copying - step) % n) for rank in range(n)]
        for rank, part, value in [(rank, part, held[rank][part]) for rank, part in messages]:
            x, y = width * part + 0.97, -pitch * rank
            arrow = {"arrowstyle": "-|>,head_width=0.35", "color": DARK, "lw": 3}
            arrow |= {"shrinkA": 0, "shrinkB": 0}
            axes.annotate("", (x, y - 0.65), (x, y), arrowprops=arrow)
            if rank == n - 1:  # out below and in again at the top
                axes.annotate("", (x, 1.25), (x, 1.9), arrowprops=arrow)
            to = (rank + 1) % n
            held[to][part] = value if copying else held[to][part] + value
    assert all(row == [1111, 2222, 3333, 4444] for row in held)
    save(figure, "ring")


def step_of_two_workers():
    """Where the exchange lies in a step: after the walk or in pieces during it. Schematic."""
    forward, walk = (5.0, 5.6), ((1.3, 1.6, 1.9, 2.2), (1.5, 1.8, 1.9, 2.0))
    network, own, update = 1.2, 0.45, 0.85  # one piece: its way, copying and adding; all: the step
    titles = (
        "several machines, average_gradients(model) after the walk",
        "several machines, parallel.backward(loss, model): in pieces",
        "one machine, parallel.backward(loss, model): the workers copy and add themselves",
    )
    figure, panels = plt.subplots(3, 1, figsize=(12, 7.4), sharex=True, height_ratios=[3, 3, 2])
    for way, (axes, title) in enumerate(zip(panels, titles, strict=True)):
        bars = {0: [], 1: [], 2: []}  # of each worker, and of the network: start, end, colour, text
        posted = ([], [])
        for worker in (0, 1):
            now = forward[worker]
            bars[worker].append((0, now, BLUE, "forward"))
            for piece, length in enumerate(walk[worker], 1):
                bars[worker].append((now, now + length, ORANGE, f"back {piece}"))
                now += length
                if way == 2:
                    bars[worker].append((now, now + own, GREEN, f"{piece}"))
                    now += own
                posted[worker].append(now)
        free = max(posted[0][-1], posted[1][-1]) if way == 0 else 0
        for piece, both in enumerate(zip(*posted, strict=True), 1):
            begin = max(free, *both)
            free = begin + (network if way < 2 else 0)
            if way < 2:
                bars[2].append((begin, free, GREEN, f"{piece}"))
        for worker in (0, 1):
            bars[worker].append((posted[worker][-1], free, GREY, "wait"))
            bars[worker].append((free, free + update, DARK, "step"))
        lines = {0: 0, 2: -1, 1: -2} if way < 2 else {0: 0, 1: -1}
        for line, y in lines.items():
            for start, end, color, text in bars[line]:
                axes.barh(y, end - start, left=start, color=color, edgecolor="white", height=0.8)
                if end - start > 0.3:
                    ink = "black" if color in (ORANGE, GREY) else "white"
                    middle = ((start + end) / 2, y)
                    axes.text(*middle, text, ha="center", va="center", fontsize=12, color=ink)
        names = {0: "worker 0", 1: "worker 1", 2: "network"}
        axes.set_yticks(list(lines.values()), [names[line] for line in lines], fontsize=13)
        axes.set_title(title, fontsize=14, loc="left")
        axes.set(xticks=[], ylim=(min(lines.values()) - 0.5, 0.5))
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    panels[-1].set_xlabel("time (schematic: the lengths are not measured)", fontsize=13)
    figure.tight_layout()
    save(figure, "step-of-two-workers")


if __name__ == "__main__":
    threads()
    bands()
    traffic()
    ring()
    step_of_two_workers()
