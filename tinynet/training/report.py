"""What a trained network sees and mistakes, as pictures (PNG), from arrays alone.

Every function replaces its file in one moment. It raises ValueError where the arrays do not fit
together and OSError where the file cannot be written, each in one sentence.
"""

import math

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tinynet.training.canvas import DPI, HEADER, MARGIN, Canvas, save, shorten, shown
from tinynet.training.curves import DARK, GREY, LIGHT, TRAIN, VALIDATION

RIGHT, WRONG = TRAIN, VALIDATION
SIDE = 1.92  # inches of an image: 288 dots, a whole multiple of 32 and of 96
MOST_CLASSES = 25  # in a matrix whose numbers can be read; of more, the worst pairs as bars
PAIRS = 20
MOST_FILTERS = 128
LONGEST = 36  # characters of a name beside a matrix


def confusion(predicted, labels, names, path, superclass_of=None):
    """Draw which classes are taken for which: a matrix of percentages whose rows sum to 100.

    With more than 25 classes, the 20 most frequent confusions as bars instead.

    Args:
        predicted, labels: (N,), integers. names: one for each row.
        superclass_of: None, or (C,), the superclass of each class: then `predicted` and `labels`
            are classes, and `names` those of the superclasses.
    """
    classes = len(names)
    if superclass_of is None:
        predicted, labels = _indices("confusion", classes, predicted=predicted, labels=labels)
    else:
        given = {"predicted": predicted, "labels": labels}
        predicted, labels = _indices("confusion", len(superclass_of), **given)
        (groups,) = _indices("confusion", classes, superclass_of=superclass_of)
        predicted, labels = groups[predicted], groups[labels]
    counts = np.bincount(labels * classes + predicted, minlength=classes**2)
    counts = counts.reshape(classes, classes)  # (true, predicted)
    images = counts.sum(axis=1, keepdims=True)
    shares = np.where(images > 0, counts / np.maximum(images, 1), np.nan)
    names = [shorten(shown(name), LONGEST) for name in names]
    what = "classes" if superclass_of is None else "superclasses"
    right = 100 * np.trace(counts) / len(labels)
    title = f"{right:.1f} % of {len(labels):,} images right, {classes} {what}"
    draw = _draw_pairs if classes > MOST_CLASSES else _draw_matrix
    save(draw(shares, names, title), path, bbox_inches="tight", pad_inches=0.25)


def _indices(caller, below, **arrays):
    """The arrays as int64, if all have one axis of equal length, and only indices from 0 up."""
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    shapes = [array.shape for array in arrays.values()]
    if len(shapes[0]) != 1 or len(set(shapes)) > 1 or not shapes[0][0]:
        names = " and ".join(arrays)
        raise ValueError(
            f"{caller}: {names} must have one axis, of the same length and not empty, got "
            f"{' and '.join(map(str, shapes))}"
        )
    for name, array in arrays.items():
        if array.dtype.kind not in "iu" or array.min() < 0 or array.max() >= below:
            raise ValueError(
                f"{caller}: {name} must be integers from 0 to {below - 1}, got {array.dtype} from "
                f"{array.min()} to {array.max()}"
            )
    return [array.astype(np.int64) for array in arrays.values()]


def _draw_matrix(shares, names, title):
    C = len(names)
    cell = min(0.8, max(0.44, 6 / C))  # inches
    size = 13 if cell < 0.6 else 16
    own, absent = np.eye(C, dtype=bool), np.isnan(shares)
    values = np.where(absent, 0, shares)
    darkest = max(0.1, values[~own].max(initial=0))  # of the mistakes, which are small numbers
    depth = np.where(own, values, values / darkest)
    colours = np.where(own[..., None], to_rgb(RIGHT), to_rgb(WRONG))
    figure = Figure(figsize=(C * cell, C * cell), dpi=DPI)
    ax = figure.add_axes([0, 0, 1, 1])
    # never so deep that the dark numbers could not be read
    ax.imshow(1 - 0.65 * depth[..., None] * (1 - colours), interpolation="nearest")
    middle = {"fontsize": size, "ha": "center", "va": "center_baseline"}
    for row, column in np.ndindex(C, C):
        percent = 100 * shares[row, column]
        if row == column:
            frame = {"fill": False, "edgecolor": DARK, "linewidth": 1.5, "zorder": 3}
            ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **frame))
        if percent > 0 or percent == 0 and row == column:
            text = f"{percent:.0f}" if percent >= 0.5 or percent == 0 else "·"
            weight = "bold" if row == column else "normal"
            ax.text(column, row, text, color=DARK, fontweight=weight, **middle)
    for row in np.flatnonzero(absent[:, 0]):
        ax.text((C - 1) / 2, row, "no image", color=GREY, **middle)
    plain = {"fontsize": size, "color": DARK, "parse_math": False}
    ax.set_xticks(range(C), names, rotation=45, ha="right", rotation_mode="anchor", **plain)
    ax.set_yticks(range(C), names, **plain)
    ax.set_xticks(np.arange(C + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(C + 1) - 0.5, minor=True)
    ax.grid(which="minor", color=LIGHT, linewidth=0.8)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel("what the network said", fontsize=size, color=GREY, labelpad=8)
    ax.set_ylabel("what it was", fontsize=size, color=GREY, labelpad=14)
    _head(ax, title, "Percent of each row. Framed: right. Dot: less than 0.5.", size + 4)
    return figure


def _draw_pairs(shares, names, title):
    mistakes = np.where(np.eye(len(names), dtype=bool), 0, np.nan_to_num(shares))
    order = np.argsort(-mistakes, axis=None, kind="stable")[:PAIRS]
    pairs = [(i, j) for i, j in np.argwhere(mistakes >= 0)[order] if mistakes[i, j] > 0]
    figure = Figure(figsize=(6, 0.36 * max(1, len(pairs))), dpi=DPI)
    ax = figure.add_axes([0, 0, 1, 1])
    values = [100 * mistakes[i, j] for i, j in pairs]
    ax.barh(range(len(pairs)), values, height=0.7, color=WRONG)
    for place, value in enumerate(values):
        ax.text(value, place, f" {value:.0f} %", fontsize=13, color=DARK, va="center_baseline")
    rows = [f"{names[i]}  →  {names[j]}" for i, j in pairs]
    ax.set_yticks(range(len(pairs)), rows, fontsize=13, color=DARK, parse_math=False)
    ax.set_ylim(max(1, len(pairs)) - 0.5, -0.5)
    ax.set_xlim(0, max(values, default=1))
    ax.tick_params(length=0, labelbottom=False)
    ax.spines[:].set_visible(False)
    note = "Most frequent mistakes: what it was → what was said," if pairs else "No mistakes."
    note += "\nin percent of the images of what it was." if pairs else ""
    _head(ax, title, note, 17)
    return figure


def _head(ax, title, note, size):
    """A title and a note above axes of any size."""
    place = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom"}
    lines = note.count("\n") + 1
    ax.annotate(note, (0, 1), (0, 9), fontsize=size - 4, color=GREY, **place)
    above = 9 + 1.35 * lines * (size - 4) + 6
    ax.annotate(title, (0, 1), (0, above), fontsize=size, color=DARK, **place)


def worst(images, labels, probabilities, class_names, path, count=24):
    """Draw the images about which the network was most certain and wrong.

    Args:
        images: (N, 3, H, W), bytes. labels: (N,), integers. probabilities: (N, C).
        class_names: C of them. count: how many images at most, the most certain first.
    """
    labels, probabilities = _fitting("worst", images, labels, probabilities, class_names)
    names = [shown(name) for name in class_names]
    said, certainty = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(said != labels)
    chosen = wrong[np.argsort(-certainty[wrong], kind="stable")][:count]
    columns = min(6, max(4, len(chosen)))
    rows = math.ceil(len(chosen) / columns)
    step, high, room = SIDE + MARGIN, SIDE + 0.86, SIDE + 0.14
    canvas = Canvas(columns * step + MARGIN, HEADER + rows * high + 0.1)
    title = f"The {len(chosen)} most certain mistakes" if len(chosen) else "No mistakes"
    note = f"{len(wrong):,} of {len(labels):,} images wrong. Bold: what it was."
    canvas.header(0, title, note)
    percents = [f" {100 * certainty[i]:.0f} %" for i in chosen]
    captions = [f"said {names[said[i]]}{p}" for i, p in zip(chosen, percents, strict=True)]
    size = canvas.size_for(captions, room) if captions else None
    for place, (i, percent) in enumerate(zip(chosen, percents, strict=True)):
        x, y = MARGIN + place % columns * step, HEADER + place // columns * high
        canvas.image(x, y, images[i], SIDE)
        canvas.fitted(x, y + SIDE + 0.29, names[labels[i]], room, fontsize=13, fontweight="bold")
        below = {"before": "said ", "after": percent, "fontsize": size, "color": WRONG}
        canvas.fitted(x, y + SIDE + 0.55, names[said[i]], room, **below)
    canvas.save(path)


def predictions(images, labels, probabilities, class_names, path, count=6):
    """Draw a few images, each with the five classes that the network finds most probable.

    They are the first `count` images of an order shuffled with a fixed seed. The other arguments
    are those of `worst`.
    """
    labels, probabilities = _fitting("predictions", images, labels, probabilities, class_names)
    names = [shown(name) for name in class_names]
    chosen = np.random.default_rng(1).permutation(len(labels))[:count]
    best = np.argsort(-probabilities[chosen], axis=1, kind="stable")[:, :5]
    right = best[:, 0] == labels[chosen]
    columns, room, bars = min(2, len(chosen)), 1.6, 2.0  # inches of a name and of a 100 % bar
    step, high = SIDE + room + bars + 1.2, SIDE + 0.75
    rows = math.ceil(len(chosen) / columns)
    canvas = Canvas(columns * step + MARGIN, HEADER + rows * high)
    note = "Picked at random. Bars: how probable the network finds a class."
    canvas.header(0, f"{right.sum()} of {len(chosen)} images right", note)
    size = canvas.size_for([names[j] for j in best.flat], room, fontweight="bold")
    for place, i in enumerate(chosen):
        x, y = MARGIN + place % columns * step, HEADER + place // columns * high
        mark, colour = ("✓ ", RIGHT) if right[place] else ("✗ ", WRONG)
        style = {"before": mark, "color": colour, "fontsize": 14, "fontweight": "bold"}
        canvas.fitted(x, y + 0.2, names[labels[i]], step - MARGIN, **style)
        canvas.image(x, y + 0.34, images[i], SIDE)
        left = x + SIDE + room + 0.25
        for line, j in enumerate(best[place]):
            middle, share = y + 0.34 + (line + 0.5) * SIDE / 5, probabilities[i, j]
            colour = RIGHT if j == labels[i] else WRONG if line == 0 else GREY
            style = {
                "va": "center_baseline",
                "fontsize": size,
                "fontweight": "bold" if j == labels[i] else "normal",
            }
            canvas.fitted(left - 0.1, middle, names[j], room, ha="right", **style)
            canvas.bar(left, middle - 0.13, max(bars * share, 1 / DPI), 0.26, colour)
            percent = f"{100 * share:.0f} %" if share >= 0.005 else "< 1 %"
            canvas.text(left + bars * share + 0.08, middle, percent, **style)
    canvas.save(path)


def _fitting(caller, images, labels, probabilities, class_names):
    """`labels` and `probabilities` as NumPy arrays, if all four fit together."""
    labels, probabilities = np.asarray(labels), np.asarray(probabilities)
    N, C = len(labels), len(class_names)
    if np.ndim(images) != 4 or images.shape[:2] != (N, 3) or probabilities.shape != (N, C):
        raise ValueError(
            f"{caller}: expected images (N, 3, H, W), labels (N,) and probabilities (N, {C}), got "
            f"{np.shape(images)}, {labels.shape} and {probabilities.shape}"
        )
    if not np.isfinite(probabilities).all():
        raise ValueError(f"{caller}: a probability is not a finite number; the network diverged")
    return *_indices(caller, C, labels=labels), probabilities


def filters(weight, path, depthwise=None):
    """Draw the filters of the first layer in colour and, if given, those of a depthwise layer.

    Each is scaled to its own largest weight: grey is 0, lighter is more, darker is less.

    Args: weight: (O, 3, KH, KW). depthwise: None, or (C, 1, KH, KW).
    """
    groups = [("First layer", "on red, green and blue", np.asarray(weight), 3)]
    if depthwise is not None:
        groups.append(("First depthwise layer", "one per channel", np.asarray(depthwise), 1))
    for _, _, array, channels in groups:
        if array.ndim != 4 or array.shape[1] != channels or not array.size:
            raise ValueError(f"filters: expected (O, {channels}, KH, KW), got {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError("filters: a weight is not a finite number; the network diverged")
    columns = min(16, max(8, *(len(array) for _, _, array, _ in groups)))
    side, step = 0.8, 0.92
    rows = [math.ceil(min(len(array), MOST_FILTERS) / columns) for _, _, array, _ in groups]
    canvas = Canvas(columns * step + 2 * MARGIN, sum(rows) * step + (HEADER + 0.1) * len(groups))
    y = 0.0
    for (title, what, array, _), count in zip(groups, rows, strict=True):
        drawn = array[:MOST_FILTERS]
        first = "" if len(drawn) == len(array) else f"the first {len(drawn)} of "
        size = "x".join(map(str, array.shape[2:]))
        canvas.header(y, title, f"{first}{len(array)} filters of {size}, {what}; grey is 0")
        for i, kernel in enumerate(drawn):
            largest = np.abs(kernel).max()
            scaled = 0.5 + 0.5 * kernel / (largest if largest > 0 else 1)
            rgb = np.repeat(scaled, 3 // len(scaled), axis=0)
            place = MARGIN + i % columns * step, y + HEADER + i // columns * step
            canvas.image(*place, rgb, side)
        y += HEADER + count * step + 0.1
    canvas.save(path)
