"""Numbers, arrays and repetitions as lines of text, 80 columns wide."""

import textwrap

import numpy as np

WIDTH = 80
MARGIN = 12  # where the text begins, behind the word that says what it is
WHOLE = 64  # an array of at most so many elements is shown whole
WHOLE_LINES = 12


def number(value, digits=6):
    """That many digits of it: '0.3', '-1.5e-07', 'nan'; whole numbers whole."""
    value = float(value)
    if value.is_integer() and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.{digits}g}"


def element(name, index):
    """'x[0,1]', and 'x' for a tensor of no axes."""
    return f"{name}[{','.join(map(str, index))}]" if len(index) else name


def count(n, noun):
    """'1 op', '10,000 ops'"""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def field(label, text):
    """The lines of `text`, wrapped, with `label` before the first."""
    lines = []
    for part in str(text).split("\n"):
        indent = " " * (MARGIN + len(part) - len(part.lstrip()))
        lines += textwrap.wrap(
            part.strip(),
            WIDTH,
            initial_indent=indent,
            subsequent_indent=indent + "  " * (len(part) > WIDTH - len(indent)),
            break_on_hyphens=False,
        ) or [""]
    return [f"  {label}".ljust(MARGIN) + lines[0][MARGIN:], *lines[1:]]


def block(lines):
    """Lines of an array, moved to where a field's text begins."""
    return [" " * MARGIN + line for line in lines]


def array_lines(array, whole=WHOLE, most_lines=WHOLE_LINES, corner=True):
    """An array as text: whole if it is small, else its range and, if wanted, a corner of it."""
    array = np.asarray(array)
    if array.ndim == 0:
        return [number(array)]
    if array.size == 0:
        return [f"no elements, shape {array.shape}"]
    if array.size > 4 and (array == array.flat[0]).all():
        return [f"{number(array.flat[0])} everywhere"]
    if array.size <= whole:
        lines = _matrix(array) if array.ndim < 3 else _side_by_side(array)
        if len(lines) <= most_lines:
            return lines
    if not corner:
        return _sample(array)
    cut = (0,) * max(array.ndim - 2, 0) + (slice(4), slice(6))[-array.ndim :]
    return [*_sample(array), "a corner of it:", *_matrix(array[cut])]


def _sample(array):
    """What a large array is like: how many values, their range, how many are 0."""
    finite = array[np.isfinite(array)]
    text = f"{count(array.size, 'value')}, so sampled:"
    if finite.size:
        low, high, mean = (float(f(finite)) for f in (np.min, np.max, np.mean))
        zeros = int((array == 0).sum())
        mean = 0 if abs(mean) < 1e-12 * max(abs(low), abs(high)) else mean
        text += f" {low:.4g} to {high:.4g}, mean {mean:.3g}" + f"; {zeros:,} are 0" * (zeros > 0)
    return textwrap.wrap(text, WIDTH - MARGIN)


def not_finite(array):
    """'3 NaN, 1 Inf, the first at [0,2]', or '' where all is finite."""
    if array is None:
        return ""
    array = np.asarray(array)
    nans, infinities = int(np.isnan(array).sum()), int(np.isinf(array).sum())
    if not nans + infinities:
        return ""
    first = tuple(np.argwhere(~np.isfinite(array))[0])
    found = [f"{n:,} {name}" for n, name in ((nans, "NaN"), (infinities, "Inf")) if n]
    return ", ".join(found) + (f", the first at {element('', first)}" if first else "")


def _side_by_side(array):
    """The matrices of an array of three axes or more, each below its place: [0,1]."""
    rows = _matrix(array.reshape(-1, array.shape[-1]))
    H = array.shape[-2]
    if len(rows) * array.shape[-1] != array.size:
        return rows  # too wide
    rows = [" " + row[2:].rstrip("]") for row in rows]
    width = max(max(map(len, rows)), len(element("", array.shape[:-2]))) + 3
    lines, abreast = [], max((WIDTH - MARGIN) // width, 1)
    places = list(np.ndindex(array.shape[:-2]))
    for first in range(0, len(places), abreast):
        band = range(first, min(first + abreast, len(places)))
        lines.append("".join(element("", places[m]).ljust(width) for m in band))
        for h in range(H):
            lines.append("".join(rows[m * H + h].ljust(width) for m in band))
    return [line.rstrip() for line in lines]


def _matrix(array):
    if array.dtype.kind == "f":
        array = array + 0.0  # no -0
    text = np.array2string(array, max_line_width=WIDTH - MARGIN, precision=4, threshold=10**6)
    return [line for line in text.split("\n") if line]


def folded(keys, longest=40):
    """What repeats in a list, as (start, period, times): from `start` on, `period` keys come
    `times` times, one after the other. Times is 1 for what does not repeat three times."""
    runs, start = [], 0
    while start < len(keys):
        best = (start, 1, 1)
        for period in range(1, min(longest, (len(keys) - start) // 3) + 1):
            if keys[start] != keys[start + period]:
                continue
            end = start + period
            while end < len(keys) and keys[end] == keys[end - period]:
                end += 1
            times = (end - start) // period
            if times >= 3 and times * period > best[1] * best[2]:
                best = (start, period, times)
        runs.append(best)
        start += best[1] * best[2]
    return runs


def table(items, row, key, most=None):
    """A row of cells for each item, in columns.

    A run of items whose keys repeat is shown once, and of more than `most` rows the middle is
    left out; most=None shows everything.
    """
    runs = folded([key(item) for item in items]) if most and len(items) > 40 else []
    rows = []
    for start, period, times in runs or [(0, len(items), 1)]:
        rows += [row(item) for item in items[start : start + period]]
        if times > 1:
            these = f"these {period} rows" if period > 1 else "this row"
            rows.append((f"  ... {these} {count(times - 1, 'time')} more, alike but for names",))
    if most and len(rows) > most:
        half = most // 2
        left_out = (f"  ... {len(rows) - 2 * half:,} rows left out ...",)
        rows = [*rows[:half], left_out, *rows[-half:]]
    return _aligned(rows)


def _aligned(rows):
    widths = []
    for cells in (cells for cells in rows if len(cells) > 1):
        widths += [0] * (len(cells) - len(widths))
        widths = [max(width, len(cell)) for width, cell in zip(widths, cells, strict=True)]
    if widths:  # the widest column gives way
        widest = widths.index(max(widths))
        too_much = sum(widths) + 2 * len(widths) - WIDTH
        widths[widest] -= max(too_much, 0)
    lines = []
    for cells in rows:
        if len(cells) > 1:
            cells = [
                _cut(cell, width).ljust(width) for cell, width in zip(cells, widths, strict=True)
            ]
        lines.append(("  " + "  ".join(cells)).rstrip())
    return lines


def _cut(cell, width):
    return cell if len(cell) <= width else cell[: width - 3] + "..."
