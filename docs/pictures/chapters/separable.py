"""Figures of docs/handbook/separable-convolutions.md."""

import matplotlib.pyplot as plt
import numpy as np
from chapters.convolutions import frame, slid
from style import (
    CHANNELS,
    COMPLETE_LIGHT,
    NOW_LIGHT,
    PARTIAL_LIGHT,
    VALUE_LIGHT,
    WIDTH,
    arrow,
    blank,
    cells,
    figure,
)

# the numbers of the chapter, and of the lesson depthwise-backward
X = np.array([[[2, -2, -2], [-1, -2, 2], [2, 0, -2]], [[-2, -1, 0], [1, 0, -1], [-2, 1, 1]]])
D = np.array([[[1, 2], [-1, 3]], [[2, 0], [1, -2]]])
P = np.array([[1, 2], [1, 3]])
GM = np.array([[[1, -1], [2, 1]], [[3, 1], [-2, 1]]])


@figure
def filter_then_combine():
    """The forward pass of the chapter: two channels of 3x3, filtered one by one, then combined."""
    M = np.array([slid(x, d) for x, d in zip(X, D, strict=True)])
    Y = np.tensordot(P, M, 1)
    drawn, axes = plt.subplots(figsize=(WIDTH, 5.2))
    for c in range(2):
        top = 8 - 4.6 * c
        cells(axes, 0, top, X[c], VALUE_LIGHT, fontsize=15)
        cells(axes, 4.6, top - 0.5, D[c], PARTIAL_LIGHT, fontsize=15)
        cells(axes, 8.6, top - 0.5, M[c], VALUE_LIGHT, fontsize=15)
        cells(axes, 14.6, top - 0.5, Y[c], VALUE_LIGHT, fontsize=15)
        arrow(axes, (3.2, top - 1.5), (4.4, top - 1.5))
        arrow(axes, (6.8, top - 1.5), (8.4, top - 1.5))
        axes.text(1.5, top + 0.25, f"x[{c}]", ha="center")
        axes.text(5.6, top - 0.25, f"d[{c}]", ha="center")
        axes.text(9.6, top - 0.25, f"m[{c}]", ha="center")
        axes.text(15.6, top - 0.25, f"y[{c}]", ha="center")
        for o in range(2):
            end = 8 - 4.6 * o - 1.5 + (0.3 if c == 0 else -0.3)
            arrow(axes, (10.8, top - 1.5), (14.4, end), width=1.6)
            where = 0.28
            x, y = 10.8 + where * 3.6, (1 - where) * (top - 1.5) + where * end
            axes.text(
                x,
                y,
                f"{P[o, c]}",
                ha="center",
                va="center",
                fontsize=15,
                bbox={"facecolor": PARTIAL_LIGHT, "edgecolor": "none", "pad": 3},
            )
    axes.text(4.6, 9.6, "depthwise: each channel by itself", ha="center", fontsize=15)
    axes.text(13.6, 9.6, "pointwise: each pixel by itself", ha="center", fontsize=15)
    blank(axes, (-0.4, 17.8), (0.2, 10.1))
    return drawn


@figure
def flipped_kernel():
    """What a pixel gets back: the flipped filter slides over gy with a border of zeros."""
    gy, d = GM[0], D[0]
    padded, flipped = np.pad(gy, 1), d[::-1, ::-1]
    gx = slid(padded, flipped)
    drawn, axes = plt.subplots(figsize=(WIDTH, 3.9))
    inside = np.pad(np.ones((2, 2)), 1)
    colors = [[PARTIAL_LIGHT if here else "#F3F5F7" for here in row] for row in inside]
    cells(axes, 0, 4, padded, colors, fontsize=17)
    frame(axes, 1, 3, 2, 2)
    axes.text(2, 4.3, "gm in a border of zeros", ha="center")
    cells(axes, 5.6, 4, d, VALUE_LIGHT, fontsize=17)
    axes.text(6.6, 4.3, "filter d", ha="center")
    cells(axes, 5.6, 1.6, flipped, NOW_LIGHT, fontsize=17)
    axes.text(6.6, -0.85, "d flipped", ha="center")
    arrow(axes, (6.6, 1.95), (6.6, 1.65))
    axes.text(8.7, 2, "=", fontsize=22, ha="center", va="center")
    cells(axes, 9.8, 3.5, gx, COMPLETE_LIGHT, fontsize=17)
    frame(axes, 10.8, 2.5, 1, 1)
    axes.text(11.3, 4.3, "gx", ha="center")
    terms = [
        f"({a})·({b})" if a < 0 and b < 0 else f"{a}·{b}"
        for a, b in zip(gy.ravel().tolist(), flipped.ravel().tolist(), strict=True)
    ]
    total = f"gx[1, 1]  =  {' + '.join(terms)}  =  {gx[1, 1]}"
    axes.text(6.4, -1.9, total, ha="center", fontsize=17)
    blank(axes, (-0.6, 13.4), (-2.3, 4.9))
    return drawn


@figure
def two_kinds_of_weights():
    """The weights of a standard and of a separable layer from 3 to 4 channels, one box each."""
    drawn, axes = plt.subplots(figsize=(WIDTH, 5.2))

    def block(x, y, channel):
        cells(axes, x, y, [[None] * 3] * 3, CHANNELS[channel][0], size=0.6)

    for o in range(4):
        for c in range(3):
            block(2.1 * c, 8.6 - 2.1 * o, c)
        axes.text(-0.3, 7.7 - 2.1 * o, f"filter {o}", ha="right", va="center")
    axes.text(3, 9.6, "standard", ha="center", fontsize=17)
    axes.text(3, -0.5, "4 · 3 · 9 = 108 weights", ha="center")
    for c in range(3):
        block(9.4 + 2.1 * c, 8.6, c)
        cells(axes, 10 + 2.1 * c, 5.4, [[None]] * 4, CHANNELS[c][0], size=0.6)
        arrow(axes, (10.3 + 2.1 * c, 6.65), (10.3 + 2.1 * c, 5.55))
    axes.text(12.4, 9.6, "separable", ha="center", fontsize=17)
    axes.text(16, 7.7, "depthwise\n3 · 9 = 27", va="center")
    axes.text(16, 4.2, "pointwise\n4 · 3 = 12", va="center")
    axes.text(12.4, -0.5, "27 + 12 = 39 weights", ha="center")
    axes.text(12.4, 1.3, "a colour is an input channel", ha="center")
    blank(axes, (-2.9, 19.2), (-1, 10.3))
    return drawn


@figure
def signed_sum_and_edge_strength():
    """A square under two edge filters; their sum loses two corners, the sum of sizes does not."""
    square = np.zeros((18, 18))
    square[5:13, 5:13] = 1
    across = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4
    a, b = slid(square, across), slid(square, across.T)
    maps = {
        "image": square[1:-1, 1:-1],
        "across": a,
        "down": b,
        "across + down": a + b,
        "|across| + |down|": abs(a) + abs(b),
    }
    drawn, all_axes = plt.subplots(1, 5, figsize=(WIDTH, 2.7), layout="constrained")
    for axes, (name, values) in zip(all_axes, maps.items(), strict=True):
        axes.imshow(values, cmap="RdBu", vmin=-2, vmax=2)
        axes.set_title(name, fontsize=13)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        if "+" in name:
            for row in (4, 11):
                for column in (4, 11):
                    where = (1.5 if column < 8 else 13.5, 1 if row < 8 else 14)
                    axes.text(
                        *where, f"{values[row, column]:g}", ha="center", va="center", fontsize=13
                    )
    all_axes[2].set_xlabel("blue: positive, red: negative; the numbers are those at the corners")
    return drawn
