"""An array as a heat map: a matrix as it is, maps of more axes side by side."""

import math
import textwrap
from dataclasses import dataclass

import numpy as np

from tinynet.stepper.plots.graph import DARK, GREY, LIGHT, MARK, SMALL, TEXT, fit, share, write
from tinynet.stepper.text import not_finite

LONGEST = 64  # rows or columns of a matrix; half as many of each map
MOST_MAPS = 4  # down and across


@dataclass
class Picture:
    """cells: a 2-D masked array (masked: the gaps between maps). frames: (row, column, height,
    width) of each map. note: what of the array is left out, '' if nothing."""

    cells: np.ma.MaskedArray
    frames: list
    note: str

    @property
    def numbers(self):
        return self.cells.compressed()


def picture(array):
    """Args: array of any shape. What is too large is sampled, and the note says so."""
    array = np.asarray(array)
    if array.ndim > 2 and math.prod(array.shape[2:]) > 1:
        return _maps(array)
    rows = array.shape[0] if array.ndim > 1 else 1
    matrix = array.reshape(rows, -1)
    sampled, steps = _sample(matrix, LONGEST)
    names = ("row", "column") if array.ndim > 1 else ("row", "element")
    return Picture(np.ma.array(sampled), [(0, 0, *sampled.shape)], _note(steps, names))


def _maps(array):
    """(A, B, H, W): A down and B across; with one of them 1, the others in a square."""
    if array.ndim == 3:
        array = array[:, None]
    A, B, H, W = math.prod(array.shape[:-3]), *array.shape[-3:]
    maps = array.reshape(A, B, H, W)
    if A == 1 or B == 1:
        shown = min(A * B, MOST_MAPS**2)
        across = math.ceil(math.sqrt(shown))
        chosen = list(maps.reshape(A * B, H, W)[:shown])
        notes = [f"the first {shown} of {A * B} maps"] if shown < A * B else []
    else:
        down, across = min(A, MOST_MAPS), min(B, MOST_MAPS)
        chosen = list(maps[:down, :across].reshape(-1, H, W))
        notes = []
        for count, size, way in ((down, A, "down"), (across, B, "across")):
            notes.append(f"{way}: {f'{count} of {size}' if count < size else f'all {size}'}")
        if len(chosen) == A * B:
            notes = []
    pieces = [_sample(piece, LONGEST // 2) for piece in chosen]
    steps = pieces[0][1]
    h, w = pieces[0][0].shape
    height = math.ceil(len(pieces) / across) * (h + 1) - 1
    cells = np.ma.zeros((height, across * (w + 1) - 1), array.dtype)
    cells.mask = True
    frames = []
    for i, (piece, _) in enumerate(pieces):
        row, column = i // across * (h + 1), i % across * (w + 1)
        cells[row : row + h, column : column + w] = piece
        frames.append((row, column, h, w))
    note = _note(steps, ("row", "column"))
    return Picture(cells, frames, "; ".join([*notes, note] if note else notes))


def _sample(matrix, longest):
    steps = tuple(max(1, math.ceil(size / longest)) for size in matrix.shape)
    return matrix[:: steps[0], :: steps[1]], steps


def _note(steps, names):
    if steps[0] == steps[1] > 1:
        return f"sampled: 1 {names[0]} and {names[1]} in {steps[0]}"
    parts = [f"1 {name} in {step}" for step, name in zip(steps, names, strict=True) if step > 1]
    return "sampled: " + ", ".join(parts) if parts else ""


def draw_heat(figure, box, array, title, subtitle):
    """Draw an array into box = (x, y, width, height) in inches; white stands for 0.

    Elements that are NaN or infinite carry a cross, and a line says how many there are.
    """
    x, y, width, height = box
    shown = picture(array)
    # The values as they are; the scale ends at the largest one that is a number.
    finite = np.abs(shown.numbers[np.isfinite(shown.numbers)])
    limit = float(finite.max(initial=0)) or 1.0
    notes = textwrap.wrap(shown.note, int(width / 0.072)) if shown.note else []
    top = y + height
    for text, size, options in (
        (title, TEXT, {"weight": "bold", "color": DARK}),
        (subtitle, SMALL, {"color": GREY}),
    ):
        text = fit(text, width, size, options.get("weight", "normal"))
        write(figure, x, top - 0.09, text, size=size, **options)
        top -= 0.2
    bad = not_finite(array)
    if bad:
        write(
            figure,
            x,
            top - 0.09,
            fit(bad, width, SMALL, "bold"),
            size=SMALL,
            weight="bold",
            color=MARK,
        )
        top -= 0.2
    under = 0.17 * len(notes) + 0.38
    low = _draw_cells(figure, (x, y + under, width, top - y - under - 0.05), shown, limit, title)
    for line in notes:
        write(figure, x, low - 0.11, line, size=SMALL, color=GREY)
        low -= 0.17
    _draw_scale(figure, (x, low - 0.19, min(width, 1.9), 0.1), limit)


def _draw_cells(figure, box, shown, limit, title):
    """Returns the lower edge of the heat map."""
    from matplotlib.patches import Rectangle

    rows, columns = shown.cells.shape
    x, y, width, height = box
    if not rows * columns:
        return y + height
    # Square cells of at most 0.7 inches; one that would be a mere thread is made wider.
    side = min(width / columns, height / rows, 0.7)
    w, h = max(side * columns, min(width, 0.5)), max(side * rows, 0.3)
    axes = figure.add_axes(share(figure, (x, y + height - h, w, h)), label=title)
    axes.imshow(
        shown.cells,
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
        aspect="auto",
        interpolation="nearest",
    )
    axes.axis("off")
    for row, column, tall, wide in shown.frames:
        place = (column - 0.5, row - 0.5)
        axes.add_patch(Rectangle(place, wide, tall, fill=False, ec=DARK, lw=0.8, clip_on=False))
    is_bad = ~np.ma.getmaskarray(shown.cells) & ~np.isfinite(shown.cells.data)
    crosses = np.argwhere(is_bad)
    axes.plot(crosses[:, 1], crosses[:, 0], "x", color=DARK, markersize=4, mew=1.2)
    if h / rows >= 0.17:
        _write_numbers(axes, shown, limit, 0.92 * w / columns)
    return y + height - h


def _write_numbers(axes, shown, limit, room):
    """The numbers in their cells, with three digits or two, if they fit."""
    places = np.argwhere(~np.ma.getmaskarray(shown.cells) & np.isfinite(shown.cells.data))
    if len(places) > 60:
        return
    for digits in (3, 2):
        texts = [f"{shown.cells[row, column] + 0.0:.{digits}g}" for row, column in places]
        if all(fit(text, room, SMALL) == text for text in texts):
            break
    else:
        return
    for (row, column), text in zip(places, texts, strict=True):
        colour = "white" if abs(shown.cells[row, column]) > 0.6 * limit else DARK
        axes.text(column, row, text, size=SMALL, color=colour, ha="center", va="center")


def _draw_scale(figure, box, limit):
    x, y, width, height = box
    axes = figure.add_axes(share(figure, (x, y, width, height)), label="scale")
    axes.imshow(np.linspace(-1, 1, 64)[None], cmap="RdBu_r", aspect="auto")
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_color(LIGHT)
    for place, text, ha in (
        (0, f"-{limit:.3g}", "left"),
        (0.5, "0", "center"),
        (1, f"{limit:.3g}", "right"),
    ):
        write(figure, x + place * width, y - 0.1, text, size=SMALL, color=GREY, ha=ha)
