"""Figures of the chapter on an op of one's own."""

import matplotlib.pyplot as plt
import numpy as np
from style import (
    BLUE,
    COMPLETE,
    DARK,
    GREY,
    NOW,
    ORANGE,
    PARTIAL_LIGHT,
    VALUE_LIGHT,
    WIDTH,
    arrow,
    blank,
    figure,
)


@figure
def op_contract():
    """What goes into an op and comes out of it, forward and backward."""
    drawn, axes = plt.subplots(figsize=(WIDTH, 4.6))
    boxes = (
        (0, "forward(x)", "arrays in, an array out", BLUE, VALUE_LIGHT),
        (-3.6, "backward(gy)", "one gradient per input", ORANGE, PARTIAL_LIGHT),
    )
    for y, name, what, color, light in boxes:
        box = plt.Rectangle((3.6, y), 5.2, 2, facecolor=light, edgecolor=color, lw=2.5)
        axes.add_patch(box)
        axes.text(6.2, y + 1.3, name, ha="center", va="center", fontsize=18, weight="bold")
        axes.text(6.2, y + 0.55, what, ha="center", va="center")
    arrow(axes, (1.1, 1), (3.5, 1), color=BLUE, width=3)
    arrow(axes, (8.9, 1), (11.3, 1), color=BLUE, width=3)
    arrow(axes, (11.3, -2.6), (8.9, -2.6), color=ORANGE, width=3)
    arrow(axes, (3.5, -2.6), (1.1, -2.6), color=ORANGE, width=3)
    arrow(axes, (6.2, -0.1), (6.2, -1.5), color=COMPLETE, width=3)
    axes.text(6.5, -0.8, "self.save(s, y)", va="center", color=COMPLETE, fontsize=16)
    for x, y, text in ((0.6, 1, "x"), (11.8, 1, "y"), (11.8, -2.6, "gy"), (0.6, -2.6, "gx")):
        axes.text(x, y, text, ha="center", va="center", fontsize=20, weight="bold", color=DARK)
    blank(axes, (0, 12.4), (-3.8, 2.2))
    return drawn


@figure
def swish_and_slope():
    """Swish, its slope, and the slope with the second term forgotten."""
    x = np.linspace(-6, 6, 241)
    s = 1 / (1 + np.exp(-x))
    drawn, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 4.2), layout="constrained")
    left.plot(x, x * s, color=BLUE, lw=3)
    left.set_title("y = x s(x)")
    right.plot(x, s + x * s * (1 - s), color=COMPLETE, lw=3, label="dy/dx = s + y (1 - s)")
    right.plot(x, s, color=NOW, lw=3, ls="--", label="forgotten: s")
    right.set_title("its slope")
    right.legend(fontsize=14, frameon=False, loc="upper left")
    right.set_ylim(-0.2, 1.75)
    for axes in (left, right):
        axes.axhline(0, color=GREY, zorder=0)
        axes.axvline(0, color=GREY, zorder=0)
        axes.set_xlabel("x")
    return drawn
