"""The results as a picture: for each row how long PyTorch takes where tinynet takes 1."""

from matplotlib.figure import Figure  # not pyplot: it keeps every figure, and may want a screen

from benchmarks.turns import CHANNELS_LAST, DEFAULT, OURS
from tinynet.files import atomic_write

# From the Okabe-Ito palette: told apart by readers of every colour vision.
BARS = (
    (OURS, "tinynet", "#0072B2", None),
    (DEFAULT, "PyTorch, default format", "#E69F00", "target_default"),
    (CHANNELS_LAST, "PyTorch, channels_last", "#CC79A7", None),
)
DARK, GREY, LIGHT = "#222222", "#666666", "#E2E2E2"
HEIGHT = 0.26  # of a bar; the distance of two rows is 1


def draw(results, names, path):
    """Draw the rows that have PyTorch's times into the PNG file `path`; without any, draw nothing.

    names: row -> what it is, in words.
    """
    records = {name: one for name, one in results["rows"].items() if one["best"]}
    if not records:
        return
    figure = Figure(figsize=(9, 1.9 + 0.95 * len(records)), dpi=150, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
    ax = figure.subplots()
    for place, record in enumerate(records.values()):
        _draw_row(ax, place, record)
    keys = [ax.barh(0, 0, color=colour, label=label) for _, label, colour, _ in BARS]
    keys += ax.plot(
        [], [], color=DARK, linewidth=2, label="target: PyTorch's bar reaches this line"
    )
    labels = [
        f"{name}: {names[name]}" + (" (rough)" if record["effort"]["rough"] else "")
        for name, record in records.items()
    ]
    ax.set_yticks(range(len(records)), [_in_two(label) for label in labels])
    ax.set_ylim(len(records) - 0.5, -0.5)  # the first row on top
    ax.axvline(1, color=BARS[0][2], linewidth=0.8, linestyle=":", zorder=0)
    ax.set_xlabel("time of one step, as a multiple of tinynet's (longer: slower)", color=GREY)
    ax.tick_params(length=0, colors=GREY)
    ax.tick_params(axis="y", colors=DARK)
    ax.grid(axis="x", color=LIGHT, linewidth=0.6)
    ax.set_axisbelow(True)
    for spine in ax.spines.values():
        spine.set_visible(False)
    facts = results["machine"]
    figure.suptitle(
        f"MobileNetV1 on a CPU: tinynet (NumPy {facts['numpy']}) and PyTorch {facts['torch']}",
        color=DARK,
    )
    ax.set_title(f"{facts['processor']}, {facts['cores']} cores, float32", fontsize=9, color=GREY)
    figure.legend(handles=keys, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    with atomic_write(path) as file:
        figure.savefig(file, format="png")


def _in_two(label):
    """The network on one line, the rest on the next."""
    words = label.split(", ")
    return ", ".join(words[:2]) + ",\n" + ", ".join(words[2:])


def _draw_row(ax, place, record):
    ours = record["times"][OURS]["median_ms"]
    for number, (name, _, colour, target) in enumerate(BARS):
        y = place + (number - 1) * HEIGHT
        ms = record["times"][name]["median_ms"]
        ax.barh(y, ms / ours, HEIGHT * 0.9, color=colour)
        targets = [record["row"][target]] if target else []
        if name == record["best"]:
            targets.append(record["row"]["target_best"])
        for mark in targets:
            ax.plot([mark, mark], [y - HEIGHT / 2, y + HEIGHT / 2], color=DARK, linewidth=2)
        ax.annotate(
            f"{ms:.3g} ms" if ms < 1000 else f"{ms / 1000:.2f} s",
            (0, y),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color="white" if name == OURS else DARK,
        )
