"""The look of the figures: one set of colours and sizes, those of the stepper.

A figure is 10 inches wide. On a slide of 1024 pixels its text of 14 points is then 20 pixels high,
which can be read from the last row; no text is smaller than 13.
"""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

# Okabe and Ito's colours, told apart by the colour-blind, and what the stepper uses them for
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#007A58", "#D55E00"
SKY, PINK, YELLOW, GREY, DARK = "#56B4E9", "#CC79A7", "#F0E442", "#D0D7DE", "#1B1F24"
VALUE, PARTIAL, COMPLETE, NOW = (
    BLUE,
    ORANGE,
    GREEN,
    RED,
)  # a value; a gradient: in part, whole; here
VALUE_LIGHT, PARTIAL_LIGHT, COMPLETE_LIGHT, NOW_LIGHT = "#E3F1FA", "#FFF3D9", "#DCF3EA", "#FDEBDD"
CHANNELS = (("#9ECAE1", "#3182BD"), ("#FDD0A2", "#F16913"), ("#A1D99B", "#31A354"))  # light, dark
WIDTH = 10

FIGURES = {}  # name of the file -> the function that draws it


def figure(draw):
    """Registers `draw`, which returns a figure: `def three_paths()` draws three-paths.svg."""
    name = draw.__name__.replace("_", "-")
    assert name not in FIGURES, f"two figures are named {name}"
    FIGURES[name] = draw
    return draw


def save(name, folder):
    """Draws the figure of that name into `folder`. The same figure gives the same bytes."""
    settings = {
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica"],
        "font.size": 14,
        "axes.titlesize": 15,
        "axes.labelsize": 14,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "svg.fonttype": "none",  # text stays text: it can be searched and read aloud
        "svg.hashsalt": name,
    }
    with matplotlib.rc_context(settings):
        drawn = FIGURES[name]()
        drawn.savefig(
            folder / f"{name}.svg",
            bbox_inches="tight",
            facecolor="white",  # readable on a dark page too
            metadata={"Date": None, "Creator": None},
        )
        plt.close(drawn)


def cells(axes, x, y, values, colors, *, size=1.0, fontsize=14, edge="white"):
    """A matrix of boxes whose top left corner is (x, y), y growing upwards. `values` and `colors`
    are lists of rows; a value None leaves its box empty, one colour serves all boxes."""
    for row, line in enumerate(values):
        for column, value in enumerate(line):
            color = colors if isinstance(colors, str) else colors[row][column]
            corner = (x + column * size, y - (row + 1) * size)
            axes.add_patch(plt.Rectangle(corner, size, size, facecolor=color, edgecolor=edge))
            if value is not None:
                middle = (corner[0] + size / 2, corner[1] + size / 2)
                axes.text(*middle, f"{value}", ha="center", va="center", fontsize=fontsize)


def powers(axis, exponents):
    """Ticks at powers of ten. (matplotlib's own have exponents too small for a slide.)"""
    high = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    ticks = [10.0**exponent for exponent in exponents]
    words = ["10" + str(exponent).translate(high) if exponent else "1" for exponent in exponents]
    axis.set_ticks(ticks, words)
    axis.minorticks_off()


def arrow(axes, start, end, color=DARK, width=2, style="-|>"):
    """An arrow from `start` to `end`, both (x, y) in the data's units."""
    look = {"arrowstyle": f"{style},head_width=0.35,head_length=0.6", "color": color, "lw": width}
    axes.annotate("", end, start, arrowprops=look | {"shrinkA": 0, "shrinkB": 0})


def blank(axes, xlim, ylim):
    """No ticks, no frame, one unit as long as the other."""
    axes.set(xlim=xlim, ylim=ylim, aspect="equal")
    axes.axis("off")
