"""The learning curves as a picture: loss, accuracy and learning rate over the epochs."""

import contextlib
import functools
import io
import itertools
import math
import os
import sys

from tinynet.files import atomic_write, printable

# From the Okabe-Ito palette: told apart by readers of every colour vision.
TRAIN, VALIDATION = "#0072B2", "#D55E00"
DARK, GREY, LIGHT = "#222222", "#666666", "#E2E2E2"
STEPS = [1, 2, 5, 10]  # of the ticks

# title, height, factor, format of the last value, smallest value shown (None: as it comes),
# lines: (label, column, colour)
PANELS = [
    (
        "Loss",
        3,
        1,
        "{:.3f}",
        None,
        [("train", "train_loss", TRAIN), ("validation", "val_loss", VALIDATION)],
    ),
    (
        "Top-1 accuracy (%)",
        3,
        100,
        "{:.1f} %",
        0,
        [("train", "train_accuracy", TRAIN), ("validation", "val_accuracy", VALIDATION)],
    ),
    ("Learning rate", 1, 1, "{:.2g}", 0, [("", "lr", GREY)]),
]


def load():
    """Import matplotlib, which takes a moment, now and not in the first `plot`.

    Raises: RuntimeError in one sentence where it cannot be imported.
    """
    # matplotlib looks at MPLBACKEND when it is imported, and fails if it does not know that one: a
    # notebook hands its own backend down to the programs that it starts.
    fresh, backend = "matplotlib" not in sys.modules, os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib.figure  # not pyplot: it keeps every figure, and may want a screen
        import matplotlib.style
        import matplotlib.ticker
    except Exception as error:  # whatever is wrong with an installation
        reason = printable(f"{type(error).__name__}: {error}")
        raise RuntimeError(
            f"matplotlib, which draws the curves, cannot be imported ({reason}); install it anew"
        ) from error
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if fresh and backend:
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = backend  # for a later pyplot
    return matplotlib


def plot(history, path):
    """Draw a `History` into the PNG file `path`; replaces the file in one moment.

    Columns drawn, as far as they are there: train_loss and val_loss; train_accuracy and
    val_accuracy (shares from 0 to 1, drawn in percent); lr, and "lr NAME". Each line carries its
    name and its last value at its end. A user's own settings of matplotlib change nothing.

    Raises: ValueError if the history has none of these columns, OSError in one sentence,
        RuntimeError in one sentence where matplotlib fails.
    """
    drawn = []
    scaled = {}  # columns with the same rates are one line
    for name in (history.rows or [{}])[0]:
        if name.startswith("lr "):
            scaled.setdefault(tuple(history.column(name)[1]), []).append(name)
    for *panel, names in PANELS:
        if names[0][1] == "lr":
            same = [
                (", ".join(n.removeprefix("lr ") for n in them), them) for them in scaled.values()
            ]
            names = [*names, *((label, them[0], GREY) for label, them in same)]
        lines = [(label, *history.column(name), colour) for label, name, colour in names]
        lines = [line for line in lines if line[1]]
        if lines:
            drawn.append((*panel, lines))
    if not drawn:
        raise ValueError("plot: the history has no epoch with a loss, an accuracy or an lr yet")

    matplotlib, picture = load(), io.BytesIO()
    try:
        with matplotlib.style.context("default"):
            _draw(history, drawn, matplotlib).savefig(picture, format="png")
    except Exception as error:  # of numbers that cannot be drawn, fonts, memory
        reason = printable(f"{type(error).__name__}: {error}")
        raise RuntimeError(
            f"the curves cannot be drawn for {printable(path)} ({reason})"
        ) from error
    with atomic_write(path) as file:
        file.write(picture.getbuffer())


def _draw(history, drawn, matplotlib):
    """The figure, of the panels that there are."""
    locator = functools.partial(matplotlib.ticker.MaxNLocator, steps=STEPS)
    heights = [height for _, height, *_ in drawn]
    size = 8, 0.9 + 0.75 * sum(heights)
    figure = matplotlib.figure.Figure(figsize=size, dpi=150, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
    axes = figure.subplots(len(drawn), sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for ax, (title, height, factor, form, bottom, lines) in zip(axes, drawn, strict=True):
        quiet = height == 1
        for _, epochs, values, colour in lines:
            ax.plot(
                epochs,
                [factor * value for value in values],
                color=colour,
                linewidth=1.2 if quiet else 1.8,
                marker="o" if len(epochs) <= 20 else None,  # one epoch alone is a dot, not a line
                markersize=3.5,
                clip_on=False,
                zorder=3,  # above the frame
            )
        ax.set_title(title, loc="left", fontsize=9 if quiet else 11, color=GREY if quiet else DARK)
        ax.set_ylim(bottom=bottom)
        ax.yaxis.set_major_locator(locator(2 if quiet else 5))
        _make_plain(ax)
        _label_ends(ax, lines, factor, form, height)
    first, last = history.rows[0]["epoch"], history.rows[-1]["epoch"]
    margin = 0.02 * (last - first) or 0.5
    axes[-1].set_xlim(first - margin, last + margin)
    axes[-1].xaxis.set_major_locator(locator(10, integer=True, min_n_ticks=1))
    axes[-1].set_xlabel("epoch", color=GREY, fontsize=9)
    return figure


def _make_plain(ax):
    """Leave of the frame what the eye needs."""
    ax.tick_params(colors=GREY, labelsize=8, length=0)
    ax.grid(axis="y", color=LIGHT, linewidth=0.6)
    for side, spine in ax.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(LIGHT)


def _label_ends(ax, lines, factor, form, height):
    """Write each line's name and last value to the right of it, one label clear of the other."""
    low, high = ax.get_ylim()
    labels = []
    for name, _, values, colour in lines:
        finite = [value for value in values if math.isfinite(value)]
        if finite:
            place = (factor * finite[-1] - low) / (high - low)
            labels.append([place, f"{name} {form.format(factor * values[-1])}".strip(), colour])
    labels.sort()
    gap = 0.26 / height  # about a line of text, as a share of the panel
    for below, above in list(itertools.pairwise(labels)) * 9:  # of two labels once would do
        push = max(0.0, gap - (above[0] - below[0])) / 2
        below[0], above[0] = below[0] - push, above[0] + push
    for place, text, colour in labels:
        ax.text(1.01, place, text, transform=ax.transAxes, va="center", fontsize=9, color=colour)
