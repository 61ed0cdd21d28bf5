"""Figures of the chapter on every core, every machine."""

import matplotlib.pyplot as plt
import numpy as np
from style import BLUE, COMPLETE, DARK, GREY, ORANGE, WIDTH, arrow, blank, cells, figure


@figure
def ring():
    """All-reduce round a ring of four workers: each panel a state, and what is sent from it."""
    n, width, pitch, high = 4, 1.16, 1.3, 0.82  # of a cell; from worker to worker; a cell's height
    held = [[10**rank * (part + 1) for part in range(n)] for rank in range(n)]
    shades = ["#EEF5FB", "#C6DBEF", "#7FBCE6", "#A1D99B"]  # by how many terms a number has
    titles = (
        ("reduce-scatter", "added once", "added twice", "each has one sum"),
        ("all-gather", "copied once", "copied twice", "all have all sums"),
    )
    drawn, grid = plt.subplots(2, n, figsize=(WIDTH, 6.2))
    drawn.subplots_adjust(left=0, right=1, bottom=0, top=1, wspace=0.0, hspace=0.02)
    for (copying, step), axes in np.ndenumerate(grid):
        weight = "bold" if step == 0 else "normal"
        title = titles[copying][step]
        axes.text(2 * width, high + 0.75, title, ha="center", fontsize=15, weight=weight)
        for rank, part in np.ndindex(n, n):
            x, y, number = width * part, -pitch * rank, held[rank][part]
            shade = shades[sum(digit != "0" for digit in str(number)) - 1]
            axes.add_patch(plt.Rectangle((x, y), width - 0.06, high, facecolor=shade))
            axes.text(x + width / 2 - 0.03, y + high / 2, number, ha="center", va="center")
        for rank in range(n if step == 0 else 0):
            axes.text(-0.15, -pitch * rank + high / 2, rank, ha="right", va="center", weight="bold")
        blank(axes, (-0.45, 4 * width + 0.25), (-3 * pitch - 0.7, 2.2))
        if step == n - 1:
            continue
        messages = [(rank, (rank + copying - step) % n) for rank in range(n)]
        for rank, part, value in [(rank, part, held[rank][part]) for rank, part in messages]:
            x, y = width * (part + 0.5) - 0.03, -pitch * rank
            arrow(axes, (x, y), (x, y - pitch + high), width=2.5)
            if rank == n - 1:  # out below and in again at the top
                arrow(axes, (x, high + 0.48), (x, high), width=2.5)
            to = (rank + 1) % n
            held[to][part] = value if copying else held[to][part] + value
    assert all(row == [1111, 2222, 3333, 4444] for row in held)
    return drawn


@figure
def step_of_two_workers():
    """Where the exchange lies in a step: after the walk or in pieces during it. Schematic."""
    forward, walk = (4.0, 4.6), ((1.3, 1.6, 1.9, 2.2), (1.5, 1.8, 1.9, 2.0))
    network, own, update = 1.2, 0.5, 1.25  # one piece: its way, copying and adding; all: the step
    titles = (
        "several machines, average_gradients(model) after the walk back",
        "several machines, parallel.backward(loss, model): in pieces",
        "one machine, parallel.backward(loss, model): the workers copy and add",
    )
    colors = {"forward": BLUE, "backward": ORANGE, "exchange": COMPLETE}
    colors |= {"wait": GREY, "step": DARK}
    drawn, axes = plt.subplots(figsize=(WIDTH, 7.2))
    top = 0
    for way, title in enumerate(titles):
        bars = {0: [], 1: [], 2: []}  # of each worker, and of the network: start, end, what, text
        posted = ([], [])
        for worker in (0, 1):
            now = forward[worker]
            bars[worker].append((0, now, "forward", "forward"))
            for piece, length in enumerate(walk[worker], 1):
                bars[worker].append((now, now + length, "backward", piece))
                now += length
                if way == 2:
                    bars[worker].append((now, now + own, "exchange", piece))
                    now += own
                posted[worker].append(now)
        free = max(posted[0][-1], posted[1][-1]) if way == 0 else 0
        for piece, both in enumerate(zip(*posted, strict=True), 1):
            begin = max(free, *both)
            free = begin + (network if way < 2 else 0)
            if way < 2:
                bars[2].append((begin, free, "exchange", piece))
        for worker in (0, 1):
            bars[worker].append((posted[worker][-1], free, "wait", "wait"))
            bars[worker].append((free, free + update, "step", "step"))
        axes.text(0, top + 0.75, title, fontsize=15)
        lines = {0: "worker 0", 2: "network", 1: "worker 1"}
        for line, name in list(lines.items()) if way < 2 else [(0, "worker 0"), (1, "worker 1")]:
            axes.text(-0.2, top, name, ha="right", va="center")
            for start, end, what, text in bars[line]:
                look = {"color": colors[what], "edgecolor": "white", "height": 0.85}
                axes.barh(top, end - start, left=start, **look)
                if end - start > (1 if what == "wait" else 0.3):
                    ink = "white" if what in ("forward", "exchange", "step") else "black"
                    middle = (start + end) / 2, top
                    axes.text(*middle, text, ha="center", va="center", color=ink)
            top -= 1
        top -= 1.0
    for place, (what, color) in enumerate(colors.items()):
        cells(axes, 3.6 * place, top + 0.75, [[None]], color, size=0.5)
        axes.text(3.6 * place + 0.7, top + 0.5, what, va="center")
    axes.text(
        -2.4, top - 0.6, "Time runs to the right; the lengths are not measured. 1 to 4: pieces."
    )
    axes.set(xlim=(-2.5, 18.1), ylim=(top - 0.8, 1.4))
    axes.axis("off")
    return drawn
