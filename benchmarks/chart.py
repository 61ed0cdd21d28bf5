"""The results as a chart: for each row how long PyTorch takes where tinynet takes 1."""

from matplotlib.figure import Figure  # not pyplot: it keeps every figure, and may want a screen

from benchmarks.report import MANY_TARGET
from benchmarks.rows import Row
from benchmarks.turns import CHANNELS_LAST, DEFAULT, OURS, OURS_LOCAL, OURS_SYNC
from tinynet.files import atomic_write

MANY = "PyTorch's best of several processes"
# From the Okabe-Ito palette: told apart by readers of every colour vision.
BARS = {
    OURS_LOCAL: ("tinynet, workers", "#0072B2"),
    OURS_SYNC: ("tinynet, workers, synchronised BatchNorm", "#009E73"),
    OURS: ("tinynet, one process", "#56B4E9"),
    DEFAULT: ("PyTorch, default format", "#E69F00"),
    CHANNELS_LAST: ("PyTorch, channels_last", "#CC79A7"),
    MANY: ("PyTorch, several processes (its best)", "#F0E442"),
}
HEIGHT = 0.3  # of a bar, in inches; the distance of two rows is another two thirds of it


def bars_of(record):
    """[(which of BARS, ms, target or None)] of a row; the first is the one that is 1."""
    times, row, workers = record["times"], record["row"], record.get("workers")
    names = [name for name in BARS if name in times]
    found = [(name, times[name]["median_ms"], None) for name in names]
    if workers:
        targets = {record["best"]: row["target_workers"]}
        found.append((MANY, times[workers["best"]]["median_ms"], MANY_TARGET))
    else:
        targets = {DEFAULT: row["target_default"]} | {record["best"]: row["target_best"]}
    return [(name, ms, targets.get(name, target)) for name, ms, target in found]


def draw(results, path):
    """Draw the rows that have PyTorch's times into the PNG file `path`; without any, nothing."""
    rows = {name: record for name, record in results["rows"].items() if record["best"]}
    if not rows:
        return
    bars, middles, place = [], [], 0.0
    for record in rows.values():
        these = bars_of(record)
        bars += [(place + n, *bar, these[0][1]) for n, bar in enumerate(these)]
        middles.append(place + (len(these) - 1) / 2)
        place += len(these) + 2 / 3
    figure = Figure(figsize=(9, 2.2 + HEIGHT * place), dpi=150, layout="constrained")
    ax = figure.subplots()
    for name, (label, colour) in BARS.items():
        own = [bar for bar in bars if bar[1] == name]
        if not own:
            continue
        lengths = [ms / unit for *_, ms, _, unit in own]
        ax.barh([bar[0] for bar in own], lengths, 0.9, color=colour, label=label)
    for at, _, ms, target, unit in bars:
        text = f"{ms:.3g} ms" if ms < 1000 else f"{ms / 1000:.2f} s"
        end, how = max(ms / unit, target or 0), {"textcoords": "offset points", "fontsize": 8}
        ax.annotate(text, (end, at), (4, 0), va="center", **how)
        if target is not None:
            ax.vlines(target, at - 0.5, at + 0.5, color="black", linewidth=2)
    ax.plot([], [], color="black", linewidth=2, label="target: PyTorch's bar reaches this line")
    labels = [
        f"{name}: {Row(**record['row']).what}".replace(", batch", ",\nbatch")
        + (f", {record['workers']['count']} workers" if record.get("workers") else "")
        + (" (rough)" if record["effort"]["rough"] else "")
        for name, record in rows.items()
    ]
    ax.set_yticks(middles, labels)
    ax.invert_yaxis()  # the first row on top
    ax.set_xlabel("time of one step, as a multiple of tinynet's first bar (longer: slower)")
    ax.spines[["top", "right", "left"]].set_visible(False)
    facts = results["machine"]
    libraries = f"tinynet (NumPy {facts['numpy']}) and PyTorch {facts['torch']}"
    figure.suptitle(f"MobileNetV1 on a CPU: {libraries}")
    ax.set_title(f"{facts['processor']}, {facts['cores']} cores, float32", fontsize=9)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    with atomic_write(path) as file:
        figure.savefig(file, format="png")
