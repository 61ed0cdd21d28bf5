"""Figures of the chapter on MobileNetV2."""

import matplotlib.pyplot as plt
import numpy as np
from style import BLUE, COMPLETE, DARK, GREY, NOW, VALUE, WIDTH, arrow, blank, figure


@figure
def v1_and_v2_block():
    """A block of each network on a map of 56x56: bars as high as their channels are many."""
    blocks = (
        ("V1", (128, 128, 128), ("3x3 depthwise", "1x1")),
        ("V2", (24, 144, 144, 24), ("1x1", "3x3 depthwise", "1x1")),
    )
    drawn, axes = plt.subplots(figsize=(WIDTH, 7))
    for line, (name, channels, layers) in enumerate(blocks):
        y, between = -4.9 * line, 11.4 / len(layers)
        places = [between * i for i in range(len(channels))]
        for x, count in zip(places, channels, strict=True):
            high = count / 144 * 2.5
            axes.add_patch(plt.Rectangle((x - 0.2, y - high / 2), 0.4, high, facecolor=VALUE))
            axes.text(x, y + high / 2 + 0.15, count, ha="center", fontsize=16, weight="bold")
        cost = 0
        for i, layer in enumerate(layers):
            start, end = places[i] + 0.3, places[i + 1] - 0.3
            arrow(axes, (start, y), (end, y))
            linear = name == "V2" and i == len(layers) - 1
            axes.text((start + end) / 2, y + 0.2, layer, ha="center")
            after, color = ("no activation", NOW) if linear else ("ReLU6", DARK)
            axes.text((start + end) / 2, y - 0.6, after, ha="center", color=color)
            depthwise = "depthwise" in layer
            cost += 9 * channels[i] if depthwise else channels[i] * channels[i + 1]
        title = f"{name}: {cost:,} multiply-adds per pixel"
        axes.text(-0.9, y + 2.05, title, fontsize=16, weight="bold")
        if name == "V2":
            look = {"color": COMPLETE, "lw": 3}
            axes.plot([0, 0, places[-1]], [y - 0.4, y - 1.85, y - 1.85], **look)
            arrow(axes, (places[-1], y - 1.85), (places[-1], y - 0.35), color=COMPLETE, width=3)
            text = "+ x: the shortcut joins the narrow ends"
            axes.text(places[-1] / 2, y - 1.7, text, ha="center", color=COMPLETE)
    blank(axes, (-1, 12.1), (-7, 2.6))
    return drawn


@figure
def relu_in_few_channels():
    """A spiral through random matrices and ReLU, and what the equations that are left give back."""
    t = np.linspace(0.05, 1, 300)
    spiral = np.stack([t * np.cos(4 * np.pi * t), t * np.sin(4 * np.pi * t)], axis=1)
    drawn, grid = plt.subplots(1, 4, figsize=(WIDTH, 3.6))
    drawn.subplots_adjust(left=0, right=1, bottom=0, wspace=0.03)
    for axes, channels in zip(grid, (2, 3, 5, 15), strict=True):
        T = np.random.default_rng(27).standard_normal((channels, 2))
        y = np.maximum(spiral @ T.T, 0)
        back = np.array([np.linalg.pinv(T[row > 0]) @ row[row > 0] for row in y])
        found = abs(back - spiral).max(axis=1) < 1e-9
        axes.plot(*spiral.T, color=GREY, lw=3, zorder=0)
        axes.scatter(*back[~found].T, s=26, color=NOW)
        axes.scatter(*back[found].T, s=26, color=BLUE)
        axes.text(0, 1.12, f"{channels} channels", ha="center", fontsize=16, weight="bold")
        axes.text(0, -1.3, f"{found.mean():.0%} found again", ha="center", fontsize=15)
        blank(axes, (-1.12, 1.12), (-1.4, 1.4))
    return drawn
