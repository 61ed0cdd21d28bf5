"""Figures of the chapter on memory layout."""

import matplotlib.pyplot as plt
import numpy as np
from style import (
    BLUE,
    CHANNELS,
    COMPLETE,
    DARK,
    GREY,
    NOW,
    NOW_LIGHT,
    VALUE_LIGHT,
    WIDTH,
    arrow,
    blank,
    cells,
    figure,
)


@figure
def strides_of_a_view():
    """A 3x4 array, its transpose, and the one row of numbers that both read."""
    x = np.arange(12).reshape(3, 4)
    drawn, axes = plt.subplots(figsize=(WIDTH, 5))
    i, j = 1, 2
    for left, array, name in ((0, x, "x"), (9, x.T, "x.T")):
        at = (i, j) if array is x else (j, i)
        colors = [
            [NOW_LIGHT if (row, column) == at else VALUE_LIGHT for column in range(array.shape[1])]
            for row in range(array.shape[0])
        ]
        cells(axes, left, 0, array.tolist(), colors, fontsize=16)
        steps = tuple(stride // array.itemsize for stride in array.strides)
        title = f"{name}: shape {array.shape}, strides {steps}"
        axes.text(left + array.shape[1] / 2, 0.35, title, ha="center", fontsize=15)
        where = f"{at[0]} x {steps[0]} + {at[1]} x {steps[1]} = {array[at]}"
        axes.text(left + array.shape[1] / 2, -4.75, where, ha="center", color=NOW, fontsize=15)
    row = [[NOW_LIGHT if k == x[i, j] else VALUE_LIGHT for k in range(12)]]
    cells(axes, 0, -6.6, [list(range(12))], row, fontsize=16)
    axes.text(-0.3, -7.1, "memory", ha="right", va="center", fontsize=15)
    for start in (2.6, 10.0):
        arrow(axes, (start, -5.0), (x[i, j] + 0.5, -6.5), color=NOW)
    blank(axes, (-2.2, 14.2), (-7.7, 1))
    return drawn


@figure
def one_product():
    """A pointwise convolution as a matrix product, where each channel is one row of memory."""
    O, C, places = 3, 4, 9
    drawn, axes = plt.subplots(figsize=(WIDTH, 3.9))
    shades = [BLUE, "#3182BD", "#6BAED6", "#9ECAE1"]
    cells(axes, 0, 0, [[None] * C] * O, GREY)
    axes.text(C + 0.5, -O / 2, "@", ha="center", va="center", fontsize=22)
    cells(axes, C + 1, 0.5, [[None] * places] * C, [[shade] * places for shade in shades])
    axes.text(C + places + 1.6, -O / 2, "=", ha="center", va="center", fontsize=22)
    cells(axes, C + places + 2.2, 0, [[None] * places] * O, CHANNELS[2][0])
    texts = ((2, "p: O x C", 0.3), (9.5, "x: C x (H·W·N)", 0.8), (19.7, "y: O x (H·W·N)", 0.3))
    for x, text, y in texts:
        axes.text(x, y, text, ha="center", fontsize=16)
    arrow(axes, (C + 1, -3.9), (C + 1 + places, -3.9), color=COMPLETE)
    below = "a row is a channel: one stretch of memory, no copy"
    axes.text(C + 1 + places / 2, -4.9, below, ha="center", color=DARK)
    blank(axes, (-0.2, 24.4), (-5.2, 1.6))
    return drawn
