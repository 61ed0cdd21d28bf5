"""Figures of docs/gpu-kernels.md."""

import matplotlib.pyplot as plt
from style import BLUE, CHANNELS, COMPLETE, DARK, GREY, WIDTH, arrow, blank, cells, figure


@figure
def gpu_threads():
    """A warp's 32 threads over a row of outputs in memory, and the pixels that one thread reads."""
    drawn, (memory, window) = plt.subplots(2, 1, figsize=(WIDTH, 6.4), height_ratios=[1, 1.1])
    above = "a warp: 32 threads, 32 values side by side (here 8 images per place)"
    memory.text(18, 4.6, above, ha="center", fontsize=15)
    for y, first, name, label in ((0, 8, "y: written", "w"), (-6, 16, "x: read, one tap", "q")):
        for i in range(48):
            shade = CHANNELS[0][i // 8 % 2] if 0 <= i - first < 32 else GREY
            memory.add_patch(plt.Rectangle((i, y), 1, 2, facecolor=shade, edgecolor="white"))
        memory.text(-0.6, y + 1, name, ha="right", va="center")
        for place in range(6):
            below = y + (2.5 if y == 0 else -1.7)
            memory.text(8 * place + 4, below, f"{label} = {place}", ha="center")
    for thread in (8, 19, 28, 39):
        arrow(memory, (thread + 8.5, -4), (thread + 0.5, 0), width=1.5)
    memory.set(xlim=(-12.5, 48.2), ylim=(-8.2, 5.8))
    memory.axis("off")

    cells(window, 0, 6, [[None] * 3] * 6, CHANNELS[1][0])
    for output in range(4):
        window.add_patch(plt.Circle((1.5, 4.5 - output), 0.25, facecolor=BLUE))
    for output, color in ((0, DARK), (3, COMPLETE)):
        box = plt.Rectangle((0, 3 - output), 3, 3, facecolor="none", edgecolor=color, lw=3)
        window.add_patch(box)
    lines = (
        (5.0, "a thread: 4 outputs, one below the other (blue)", DARK),
        (4.0, "the window of the first (dark) and of the last (green)", DARK),
        (2.4, "together they see 6 rows of 3 pixels:", DARK),
        (1.4, "18 reads, where four threads would make 4 x 9 = 36", DARK),
    )
    for y, text, color in lines:
        window.text(4, y, text, va="center", color=color)
    blank(window, (-3.6, 16.8), (-0.3, 6.3))
    return drawn
