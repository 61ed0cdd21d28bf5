"""The results as a chart: for each row how long PyTorch takes where tinynet takes 1."""

from matplotlib.figure import Figure  # not pyplot: it keeps every figure, and may want a screen

from benchmarks.rows import Row
from benchmarks.turns import CHANNELS_LAST, DEFAULT, OURS
from tinynet.files import atomic_write

# From the Okabe-Ito palette: told apart by readers of every colour vision.
BARS = (
    (OURS, "tinynet", "#0072B2"),
    (DEFAULT, "PyTorch, default format", "#E69F00"),
    (CHANNELS_LAST, "PyTorch, channels_last", "#CC79A7"),
)
HEIGHT = 0.26  # of a bar; the distance of two rows is 1


def draw(results, path):
    """Draw the rows that have PyTorch's times into the PNG file `path`; without any, nothing."""
    rows = {name: record for name, record in results["rows"].items() if record["best"]}
    if not rows:
        return
    figure = Figure(figsize=(9, 1.9 + 0.95 * len(rows)), dpi=150, layout="constrained")
    ax = figure.subplots()
    for number, (who, label, colour) in enumerate(BARS):
        places = [place + (number - 1) * HEIGHT for place in range(len(rows))]
        times = [record["times"][who]["median_ms"] for record in rows.values()]
        ours = [record["times"][OURS]["median_ms"] for record in rows.values()]
        lengths = [theirs / our for theirs, our in zip(times, ours, strict=True)]
        bars = ax.barh(places, lengths, HEIGHT * 0.9, color=colour, label=label)
        texts = [f"{ms:.3g} ms" if ms < 1000 else f"{ms / 1000:.2f} s" for ms in times]
        colour = "white" if who == OURS else "black"
        ax.bar_label(bars, texts, label_type="center", fontsize=8, color=colour)
        for place, record in zip(places, rows.values(), strict=True):
            targets = [record["row"]["target_default"]] * (who == DEFAULT)
            targets += [record["row"]["target_best"]] * (who == record["best"])
            ax.vlines(targets, place - HEIGHT / 2, place + HEIGHT / 2, color="black", linewidth=2)
    ax.plot([], [], color="black", linewidth=2, label="target: PyTorch's bar reaches this line")
    labels = [
        f"{name}: {Row(**record['row']).what}".replace(", batch", ",\nbatch")
        + (" (rough)" if record["effort"]["rough"] else "")
        for name, record in rows.items()
    ]
    ax.set_yticks(range(len(rows)), labels)
    ax.invert_yaxis()  # the first row on top
    ax.set_xlabel("time of one step, as a multiple of tinynet's (longer: slower)")
    ax.spines[["top", "right", "left"]].set_visible(False)
    facts = results["machine"]
    libraries = f"tinynet (NumPy {facts['numpy']}) and PyTorch {facts['torch']}"
    figure.suptitle(f"MobileNetV1 on a CPU: {libraries}")
    ax.set_title(f"{facts['processor']}, {facts['cores']} cores, float32", fontsize=9)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    with atomic_write(path) as file:
        figure.savefig(file, format="png")
