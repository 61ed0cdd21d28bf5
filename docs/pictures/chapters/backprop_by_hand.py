"""Figures of the chapter on backprop by hand."""

import matplotlib.pyplot as plt
from style import (
    COMPLETE,
    COMPLETE_LIGHT,
    DARK,
    NOW,
    PARTIAL_LIGHT,
    VALUE,
    VALUE_LIGHT,
    WIDTH,
    arrow,
    blank,
    figure,
)

SENT = "#8A5A00"  # a contribution: the stepper's orange, dark enough for text


def box(axes, x, y, text, width=1.0, height=0.62, color=VALUE_LIGHT):
    """A rounded box with its middle at (x, y)."""
    corner, style = (x - width / 2, y - height / 2), "round,pad=0,rounding_size=0.12"
    axes.add_patch(
        plt.matplotlib.patches.FancyBboxPatch(
            corner, width, height, boxstyle=style, facecolor=color, edgecolor=DARK, lw=1.2
        )
    )
    axes.text(x, y, text, ha="center", va="center_baseline", fontsize=15)


def gate(axes, title, name, values, sent, words):
    """Two values go into an op; forward above each wire in blue, backward below it in green."""
    (a, b, y), (ga, gb, gy) = values, sent
    for height, value, gradient in ((1, a, ga), (-1, b, gb)):
        axes.plot([0, 1.35], [height, 0.25 * height], color=DARK, lw=2, zorder=0)
        axes.text(0.0, height + 0.18, f"{value}", color=VALUE, ha="center", fontsize=16)
        axes.text(0.0, height - 0.52, f"{gradient}", color=COMPLETE, ha="center", fontsize=16)
    axes.plot([1.4, 2.9], [0, 0], color=DARK, lw=2, zorder=0)
    axes.text(2.6, 0.18, f"{y}", color=VALUE, ha="center", fontsize=16)
    axes.text(2.6, -0.52, f"{gy}", color=COMPLETE, ha="center", fontsize=16)
    axes.add_patch(plt.Circle((1.4, 0), 0.48, facecolor=VALUE_LIGHT, edgecolor=DARK, lw=1.2))
    axes.text(1.4, 0, name, ha="center", va="center_baseline", fontsize=15)
    axes.text(1.3, 1.75, title, ha="center", fontsize=16, fontweight="bold")
    axes.text(1.3, -2.15, words, ha="center")
    blank(axes, (-0.6, 3.2), (-2.4, 2.2))


@figure
def gates():
    """Four gates with numbers: 3 and 2 go forward, 4 comes back."""
    drawn, axes = plt.subplots(1, 4, figsize=(WIDTH, 3.4))
    a, b, gy = 3, 2, 4
    gate(axes[0], "sum", "+", (a, b, a + b), (gy, gy, gy), "hands it on")
    gate(axes[1], "product", "×", (a, b, a * b), (gy * b, gy * a, gy), "swaps the factors")
    gate(axes[2], "maximum", "max", (a, b, max(a, b)), (gy, 0, gy), "all to the winner")
    copy, (first, second) = axes[3], (gy, 1)
    for height, gradient in ((1, first), (-1, second)):
        copy.plot([1.2, 2.6], [0, height], color=DARK, lw=2, zorder=0)
        copy.text(2.6, height + 0.18, f"{a}", color=VALUE, ha="center", fontsize=16)
        copy.text(2.6, height - 0.52, f"{gradient}", color=COMPLETE, ha="center", fontsize=16)
    copy.plot([-0.2, 1.2], [0, 0], color=DARK, lw=2, zorder=0)
    copy.plot(1.2, 0, "o", color=DARK, ms=9)
    copy.text(0.1, 0.18, f"{a}", color=VALUE, ha="center", fontsize=16)
    copy.text(0.1, -0.52, f"{first + second}", color=COMPLETE, ha="center", fontsize=16)
    copy.text(1.3, 1.75, "copy", ha="center", fontsize=16, fontweight="bold")
    copy.text(1.3, -2.15, "adds what returns", ha="center")
    blank(copy, (-0.6, 3.2), (-2.4, 2.2))
    drawn.subplots_adjust(left=0, right=1, bottom=0.1, top=1, wspace=0)
    drawn.text(0.48, 0.03, "above the wires: values, forward", color=VALUE, ha="right")
    drawn.text(0.52, 0.03, "below: gradients, backward", color=COMPLETE)
    return drawn


def walked():
    """Values and gradients of L = max(a b + c, d) a, and what the two uses of a send."""
    value = {"a": 2, "b": 4, "c": -5, "d": 1}
    value["u"] = value["a"] * value["b"]
    value["v"] = value["u"] + value["c"]
    value["m"] = max(value["v"], value["d"])
    value["L"] = value["m"] * value["a"]
    g = {"L": 1, "m": value["a"]}
    g["v"], g["d"] = (g["m"], 0) if value["v"] > value["d"] else (0, g["m"])
    g["u"] = g["c"] = g["v"]
    g["b"], sent = g["u"] * value["a"], (g["L"] * value["m"], g["u"] * value["b"])
    return value, {**g, "a": sum(sent)}, sent


PLACES = {"b": (0, 1.6), "a": (0, 3.2), "u": (2, 2.4), "c": (2, 0.7), "v": (4, 1.6)}
PLACES |= {"d": (4, -0.1), "m": (6, 0.9), "L": (8, 2.0)}
USES = {"u": "ab", "v": "uc", "m": "vd", "L": "ma"}
LABELS = {"u": "u = a · b", "v": "v = u + c", "m": "m = max(v, d)", "L": "L = m · a"}


def graph(known):
    value, gradient, sent = walked()
    drawn, axes = plt.subplots(figsize=(WIDTH, 5.1), layout="constrained")
    half = {name: 0.87 if name == "m" else 0.7 if name in LABELS else 0.35 for name in PLACES}
    for result, inputs in USES.items():
        for name in inputs:
            (x, y), end = PLACES[name], PLACES[result]
            if (name, result) == ("a", "L"):
                axes.plot([x, end[0]], [y, y], color=DARK, lw=1.6, zorder=0)
                arrow(axes, (end[0], y), (end[0], end[1] + 0.33), width=1.6)
            else:
                up = 0.2 if y > end[1] else -0.2
                arrow(axes, (x + half[name], y), (end[0] - half[result], end[1] + up), width=1.6)
    for name, (x, y) in PLACES.items():
        box(axes, x, y, LABELS.get(name, name), width=2 * half[name])
        number = f"{value[name]}".replace("-", "−")
        aside = 0.4 if name == "L" else 0
        axes.text(x + aside, y + 0.42, number, color=VALUE, ha="center", fontsize=17)
        shown = f"{gradient[name]}" if known or name == "L" else "?"
        axes.text(x, y - 0.72, f"g{name} = {shown}", color=COMPLETE, ha="center", fontsize=16)
    if known:
        note = {"color": SENT, "fontsize": 16, "ha": "center", "va": "center"}
        patch = {"facecolor": PARTIAL_LIGHT, "edgecolor": "none", "pad": 2}
        axes.text(4.2, 3.2, f"{sent[0]}", bbox=patch, **note)
        axes.text(0.82, 2.94, f"{sent[1]}", bbox=patch, **note)
    blank(axes, (-0.75, 8.85), (-1.0, 3.95))
    return drawn


@figure
def graph_forward():
    """The values, and the gradients as question marks."""
    return graph(known=False)


@figure
def graph_backward():
    """All gradients, and what the two uses of a send."""
    return graph(known=True)


SIZES = {"N": 4, "C": 3, "O": 2}


def product(axes, x, y, factors):
    """`result = left right`, three matrices as boxes from (x, y) on; the inner sizes are red."""
    for place, (name, rows, columns, color) in enumerate(factors):
        width, height = 0.4 * SIZES[columns], 0.4 * SIZES[rows]
        corner = (x, y - height / 2)
        axes.add_patch(
            plt.Rectangle(corner, width, height, facecolor=color, edgecolor=DARK, lw=1.2)
        )
        axes.text(x + width / 2, y, name, ha="center", va="center_baseline", fontsize=17)
        size = {"ha": "center", "fontsize": 15}
        row_color, column_color = NOW if place == 2 else DARK, NOW if place == 1 else DARK
        axes.text(x - 0.18, y, rows, va="center", color=row_color, **size)
        axes.text(x + width / 2, y + height / 2 + 0.09, columns, color=column_color, **size)
        if place == 0:
            axes.text(x + width + 0.28, y, "=", ha="center", va="center", fontsize=20)
        x += width + (0.85 if place == 0 else 0.55)


@figure
def linear_shapes():
    """The three matrix products of a linear layer, as boxes with the sizes N = 4, C = 3, O = 2."""
    drawn, axes = plt.subplots(figsize=(WIDTH, 4.9), layout="constrained")
    axes.text(0, 2.6, "forward", va="center", fontsize=16, fontweight="bold")
    x, w = ("x", "N", "C", VALUE_LIGHT), ("w", "O", "C", VALUE_LIGHT)
    product(axes, 2.2, 2.6, (("y", "N", "O", VALUE_LIGHT), x, ("wᵀ", "C", "O", VALUE_LIGHT)))
    axes.text(7.0, 2.6, "a sum over C, the red letter", va="center", color=NOW)
    axes.text(0, 0, "backward", va="center", fontsize=16, fontweight="bold")
    product(axes, 2.2, 0, (("gx", "N", "C", COMPLETE_LIGHT), ("gy", "N", "O", COMPLETE_LIGHT), w))
    product(axes, 7.7, 0, (("gw", "O", "C", COMPLETE_LIGHT), ("gyᵀ", "O", "N", COMPLETE_LIGHT), x))
    axes.text(4.5, -1.35, "sum over O", ha="center", color=NOW)
    axes.text(10.4, -1.35, "sum over N", ha="center", color=NOW)
    blank(axes, (0, 13.2), (-1.6, 3.9))
    return drawn
