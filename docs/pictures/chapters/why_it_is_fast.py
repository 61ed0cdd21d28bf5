"""Figures of docs/why-it-is-fast.md and the chapter on memory layout."""

import matplotlib.pyplot as plt
from style import CHANNELS, DARK, WIDTH, blank, cells, figure


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
