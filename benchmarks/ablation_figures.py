"""Tables and pictures of the studies, from what results.json holds."""

import math

from benchmarks.ablation_studies import KINDS, rows_of
from benchmarks.report import machine_text
from tinynet.files import atomic_write
from tinynet.training.canvas import save
from tinynet.training.curves import DARK, GREY, LIGHT, TRAIN, VALIDATION, load
from tinynet.training.finish import SETS

COLOURS = TRAIN, VALIDATION  # of the Okabe-Ito palette
DRAWN = list(KINDS)[1]  # the kind of step whose time the picture shows
FEWEST_POINTS = 6  # of accuracy that the axis spans: what is less is mostly chance
NOTE = """\
Accuracy in percent after the last epoch, mean ± standard deviation over the seeds (n - 1). Choices
are made by the validation accuracy; the test accuracy decides nothing. The paper's figures are
top-1 on ImageNet (1000 classes, 224x224): another data set, so compare the pattern and not the
numbers."""
TIMED = """\
Times are medians in one process of {threads} BLAS threads, the networks taking turns; forward with
BatchNorm folded. {machine}."""


def write(name, study, found, folder):
    """Write NAME.md and NAME.png into the folder. Returns the table's text; None, and no file,
    where no training of the study is done."""
    rows = rows_of(study, found)
    if not any(row["seeds"] for row in rows):
        return None
    draw(study, rows, about(found), folder / f"{name}.png")
    text = table(rows)
    notes = [about(found) + ".", NOTE]
    if times := found["times"]:
        threads = times["threads"] or "an unknown number of"
        notes.append(TIMED.format(threads=threads, machine=machine_text(times["machine"])))
    parts = [f"# {study.title} ({study.source})", f"![{study.title}]({name}.png)", text, *notes]
    with atomic_write(folder / f"{name}.md", "w") as file:
        file.write("\n\n".join(parts) + "\n")
    return text


def about(found):
    """What all trainings have in common."""
    options = found["options"]
    data, width = SETS.get(options["dataset"], options["dataset"]), options["base_width"]
    return f"{data}, cifar-4x4 from width {width:g}, {options['epochs']} epochs"


def table(rows):
    """The rows as a table in Markdown."""
    timed, paper = any(row["ms"] for row in rows), any(row["paper"] for row in rows)
    heads = ["", "mult-adds", "parameters", "validation", "test", "seeds"]
    heads += [f"ms/image: {kind}" for kind in KINDS] * timed
    heads += ["paper: top-1", "paper: mult-adds"] * paper
    lines = [heads, ["---"] * len(heads)]
    for row in rows:
        cells = [
            row["label"],
            _shown(row["mult_adds"], millions),
            _shown(row["parameters"], "{:,}".format),
            _shown(row["val_accuracy"], percent),
            _shown(row["test_accuracy"], percent),
            str(len(row["seeds"])),
        ]
        cells += [f"{row['ms'][kind]:.3g}" for kind in KINDS] if timed else []
        if paper:
            cells += [f"{row['paper']['top1']}", millions(row["paper"]["mult_adds"])]
        lines.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _shown(value, form):
    return "" if value is None else form(value)


def millions(count):
    return f"{count / 1e6:.4g} M"


def percent(accuracy):
    mean, spread = accuracy
    return f"{mean:.2f}" if spread is None else f"{mean:.2f} ± {spread:.2f}"


def draw(study, rows, note, path):
    """Test accuracy against multiply-adds and, where they were measured, milliseconds."""
    rows = [row for row in rows if row["seeds"]]
    panels = [("multiply-adds per image", [row["mult_adds"] for row in rows], millions)]
    if all(row["ms"] for row in rows):
        milliseconds = [row["ms"][DRAWN] for row in rows]
        panels.append((f"ms per image, {DRAWN}", milliseconds, "{:g}".format))
    matplotlib = load()
    with matplotlib.style.context("default"):
        size = (2.4 + 5.6 * len(panels), 6.4)
        figure = matplotlib.figure.Figure(figsize=size, dpi=150, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.15, h_pad=0.15)
        for ax, (what, places, form) in zip(
            figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True
        ):
            _panel(ax, study, rows, places)
            _scale(ax, study, places, form, matplotlib.ticker)
            ax.set_xlabel(what, fontsize=15, color=DARK, labelpad=8)
        low, high = min(len(row["seeds"]) for row in rows), max(len(row["seeds"]) for row in rows)
        seeds = f"{low} to {high} seeds" if low < high else f"{high} seed{'s' * (high > 1)}"
        figure.axes[0].set_title(
            f"{note}\ntest accuracy (%), mean ± standard deviation of {seeds}",
            loc="left",
            fontsize=14,
            color=GREY,
            pad=14,
            linespacing=1.4,
        )
        above = {
            "xycoords": "axes fraction",
            "textcoords": "offset points",
            "annotation_clip": False,
        }
        figure.axes[0].annotate(study.title, (0, 1), (0, 68), fontsize=21, color=DARK, **above)
        save(figure, path)


def _panel(ax, study, rows, places):
    means = [row["test_accuracy"][0] for row in rows]
    spreads = [row["test_accuracy"][1] or 0 for row in rows]
    if study.series:
        ax.plot(places, means, color=COLOURS[0], linewidth=2.5)
    if not study.series and places[0] == places[-1]:  # of equal cost: they stand side by side
        places = [place * 1.03**side for place, side in zip(places, (-1, 1), strict=False)]
    outer = max(places)
    for number, row in enumerate(rows):
        x, y, spread = places[number], means[number], spreads[number]
        colour = COLOURS[0] if study.series else COLOURS[number]
        style = {"color": colour, "markersize": 10, "linewidth": 2.5, "capsize": 6, "capthick": 2.5}
        ax.errorbar(x, y, spread or None, fmt="o", zorder=3, **style)
        text = f"{row['label']}: {y:.1f} %"
        if study.series:  # below the line, which rises
            offset, place = (10, -8), {"ha": "left", "va": "top"}
        else:  # away from each other
            left = x < outer
            offset, place = (-16 if left else 16, 0), {"ha": "right" if left else "left"}
            place["va"] = "center"
        where = {"xytext": offset, "textcoords": "offset points", "fontsize": 15, "color": colour}
        ax.annotate(text, (x, y), **where, **place)
    lowest = min(mean - spread for mean, spread in zip(means, spreads, strict=True))
    highest = max(mean + spread for mean, spread in zip(means, spreads, strict=True))
    middle, half = (lowest + highest) / 2, 0.62 * max(highest - lowest, FEWEST_POINTS)
    ax.set_ylim(max(0, middle - half) if lowest > 0 else -1, middle + half)


def _scale(ax, study, places, form, ticker):
    """A logarithmic axis with room for the labels, and of the frame what the eye needs."""
    low, high = min(places), max(places)
    span = max(high / low, 2.0)
    before, after = (span**0.08, span**0.3) if study.series else (span**1.2, span**1.2)
    ax.set_xscale("log")
    ax.set_xlim(low / before, high * after)
    steps = (1, 2, 5) if math.log10(high * after / low * before) < 2 else (1,)
    ax.xaxis.set_major_locator(ticker.LogLocator(subs=steps, numticks=20))
    ax.xaxis.set_minor_locator(ticker.NullLocator())
    ax.xaxis.set_major_formatter(lambda value, _: form(value))
    ax.yaxis.set_major_locator(ticker.MaxNLocator(8, steps=[1, 2, 5, 10]))
    ax.tick_params(colors=DARK, labelsize=14, length=0, pad=8)
    ax.grid(axis="y", color=LIGHT, linewidth=1)
    ax.set_axisbelow(True)
    for side, spine in ax.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(LIGHT)
