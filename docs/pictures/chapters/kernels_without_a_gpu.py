"""Figures of the chapter on kernels without a GPU."""

import matplotlib.pyplot as plt
from style import (
    BLUE,
    COMPLETE,
    COMPLETE_LIGHT,
    GREY,
    NOW,
    NOW_LIGHT,
    SKY,
    VALUE_LIGHT,
    WIDTH,
    arrow,
    blank,
    cells,
    figure,
)


@figure
def a_thread_per_output():
    """Ten outputs and three blocks of four threads; one thread computes its place."""
    outputs, threads, here = 10, 4, 6
    drawn, axes = plt.subplots(figsize=(WIDTH, 4.3))
    for place in range(-(-outputs // threads) * threads):
        block, thread = divmod(place, threads)
        x = place + 0.5 * block
        red = place == here
        kind = NOW_LIGHT if red else VALUE_LIGHT if place < outputs else GREY
        cells(axes, x, 0, [[thread]], kind, fontsize=16)
        if place < outputs:
            cells(axes, x, 3, [[place]], NOW_LIGHT if red else VALUE_LIGHT, fontsize=16)
            arrow(axes, (x + 0.5, 0.1), (x + 0.5, 1.9), color=NOW if red else BLUE)
        else:
            axes.text(x + 0.5, 0.25, "leaves", rotation=90, ha="center", va="bottom")
        if thread == 0:
            axes.text(x + 2, -1.6, f"block {block}", ha="center", fontsize=16)
    axes.text(-0.3, 2.5, "output", ha="right", va="center", fontsize=16)
    axes.text(-0.3, -0.5, "thread", ha="right", va="center", fontsize=16)
    block, thread = divmod(here, threads)
    sum_of = f"place = block {block} x {threads} threads + thread {thread} = {here}"
    axes.text(here + 1, 3.5, sum_of, ha="center", color=NOW, fontsize=16)
    blank(axes, (-2.2, 13.4), (-2, 4.3))
    return drawn


@figure
def reads_of_a_warp():
    """Eight threads, memory in pieces of eight values: one piece or eight."""
    size = 8
    drawn, axes = plt.subplots(figsize=(WIDTH, 4.4))
    orders = (
        ("(C, H, W, N): image n of one pixel lies beside image n + 1", range(16, 24)),
        ("(N, C, H, W): from image n to image n + 1 it is C x H x W values", range(5, 64, size)),
    )
    for line, (title, read) in enumerate(orders):
        y = -7.4 * line
        fetched = {address // size for address in read}
        for address in range(8 * size):
            x = address + 0.7 * (address // size)
            there = address // size in fetched
            color = BLUE if address in read else VALUE_LIGHT if there else GREY
            axes.add_patch(plt.Rectangle((x, y), 1, 2.4, facecolor=color, edgecolor="white"))
        axes.text(0, y + 3.4, title, fontsize=15)
        lost = 1 - len(read) / (size * len(fetched))
        count = f"{len(fetched)} piece{'s' * (len(fetched) > 1)} fetched"
        share = f", {lost:.0%} of them thrown away".replace("88%", "seven eighths")
        axes.text(0, y - 1.9, count + (share if lost else ", all of it used"), fontsize=15)
    axes.set(xlim=(-0.5, 69.5), ylim=(-9.8, 5))
    axes.axis("off")
    return drawn


@figure
def scatter_and_gather():
    """Four outputs that read three pixels each, backward: by outputs, or by pixels."""
    drawn, panels = plt.subplots(1, 2, figsize=(WIDTH, 4.2))
    drawn.subplots_adjust(left=0, right=1, bottom=0, top=1, wspace=0.04)
    titles = ("scatter: a thread per arrow", "gather: a thread per pixel")
    for axes, title in zip(panels, titles, strict=True):
        scatters = title.startswith("scatter")
        cells(axes, 1, 4, [["gy0", "gy1", "gy2", "gy3"]], VALUE_LIGHT)
        colors = [VALUE_LIGHT if scatters else SKY] * 6
        colors[2] = NOW_LIGHT if scatters else COMPLETE_LIGHT
        cells(axes, 0, 1, [[f"gx{p}" for p in range(6)]], [colors])
        for output in range(4):
            for tap in range(3):
                here = output + tap == 2
                color = (NOW if scatters else COMPLETE) if here else GREY
                start, end = (output + 1.5, 2.95), (output + tap + 0.5, 1.05)
                arrow(axes, start, end, color=color, width=3 if here else 1.5)
        below = "three threads add to gx2" if scatters else "its thread reads three values"
        axes.text(3, -0.8, below, ha="center", color=NOW if scatters else COMPLETE)
        axes.text(3, 4.4, title, ha="center", fontsize=16, weight="bold")
        blank(axes, (-0.1, 6.1), (-1.2, 5))
    return drawn
