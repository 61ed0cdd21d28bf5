"""Figures of docs/handbook/mobilenet-cost.md."""

import json
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.ticker import NullLocator
from style import BLUE, GREEN, GREY, NOW, ORANGE, PINK, RED, SKY, WIDTH, figure

from mobilenet import build
from tinynet.summary import summary

ROOT = Path(__file__).resolve().parents[3]


@figure
def one_layer_in_two_parts():
    """Multiply-adds of a 3x3 layer with 512 channels on a 14x14 map: whole, and in two parts."""
    K, C, O, pixels = 3, 512, 512, 14 * 14
    whole, depthwise, pointwise = (n * pixels / 1e6 for n in (K * K * C * O, K * K * C, C * O))
    drawn, axes = plt.subplots(figsize=(WIDTH, 2.9))
    axes.barh(1, whole, color=BLUE, height=0.6)
    axes.text(whole / 2, 1, f"{whole:.0f} million", ha="center", va="center", color="white")
    axes.barh(0, depthwise, color=ORANGE, height=0.6)
    axes.barh(0, pointwise, left=depthwise, color=SKY, height=0.6)
    both = depthwise + pointwise
    parts = f"depthwise {depthwise:.1f} (orange) + pointwise {pointwise:.1f} = {both:.1f} million"
    axes.text(both + 5, 0, parts, va="center")
    axes.set(yticks=[1, 0], yticklabels=["standard", "separable"], xticks=[])
    axes.set_xlabel("multiply-adds of a 3x3 layer, 512 to 512 channels, on a map of 14x14")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return drawn


@figure
def multiply_adds_and_time():
    """MobileNetV1 at width 1 and 224x224: what each kind of op has of the weights, of the
    multiply-adds and of a training step's time."""
    report = summary(build("paper"), (3, 224, 224))
    path = ROOT / "benchmarks" / "results" / "cpu-2026-11-26.json"
    row = json.loads(path.read_text(encoding="utf-8"))["rows"]["D"]
    kinds = ("pointwise", "depthwise", "BatchNorm", "ReLU6", "other")
    bars = {"parameters": {}, "multiply-adds": {}, "time of a\ntraining step": {}}
    parameters, adds, times = bars.values()
    for layer in report.rows:
        kind = {"BatchNorm2d": "BatchNorm"}.get(layer.kind, layer.kind)
        kind = kind if kind in kinds else "other"
        parameters[kind] = parameters.get(kind, 0) + layer.parameters
        adds[kind] = adds.get(kind, 0) + (layer.mult_adds or 0)
    for entry in row["profile"]["entries"]:
        kind = {"DepthwiseConv2d": "depthwise"}.get(entry["op"], entry["op"])
        if entry["op"] == "Conv2d" and ".pointwise." in entry["layer"]:
            kind = "pointwise"
        kind = kind if kind in kinds else "other"
        times[kind] = times.get(kind, 0) + entry["ms"]
    colours = dict(zip(kinds, (SKY, ORANGE, PINK, "#A1D99B", GREY), strict=True))
    drawn, axes = plt.subplots(figsize=(WIDTH, 3.9))
    for place, counts in enumerate(bars.values()):
        total, left = sum(counts.values()), 0
        for kind in kinds:
            share = 100 * counts.get(kind, 0) / total
            axes.barh(-place, share, left=left, color=colours[kind], height=0.62, edgecolor="white")
            if share > 2.5:
                axes.text(left + share / 2, -place, f"{share:.0f}", ha="center", va="center")
            left += share
    for kind in kinds:
        label = {"other": "stem, classifier, rest"}.get(kind, kind)
        axes.barh(-5, 0, color=colours[kind], label=label)
    axes.set(yticks=[0, -1, -2], yticklabels=bars, xticks=[], ylim=(-2.45, 0.5), xlim=(0, 100))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.legend(
        loc="lower center",
        bbox_to_anchor=(0.43, 1),
        ncols=5,
        frameon=False,
        handlelength=1,
        columnspacing=1.1,
        handletextpad=0.5,
    )
    axes.set_xlabel("percent; width 1, 224x224, batch 32 on two cores")
    return drawn


SERIES = {  # study: (colour, mark, name)
    "width": (BLUE, "o", "width"),
    "resolution": (GREEN, "s", "resolution"),
    "shape": (PINK, "D", "shallow"),
    "convolution": (RED, "*", "full convolutions"),
}


def points(studies, study, ms):
    """[(label, multiply-adds in millions or ms per image, accuracy, its spread)]; ms: which kind of
    step, None for multiply-adds, "paper" for the paper's figures."""
    chosen = studies[study]
    if study in ("convolution", "shape"):  # the other row of these is a point of the width
        chosen = [row for row in chosen if row["network"] in ("full", "shallow")]
    for row in chosen:
        if ms == "paper":
            yield row["label"], row["paper"]["mult_adds"] / 1e6, row["paper"]["top1"], 0
        else:
            x = row["ms"][ms] if ms else row["mult_adds"] / 1e6
            yield row["label"], x, *row["test_accuracy"]


def measured(name):
    path = ROOT / "docs" / "results" / name / "results.json"
    return json.loads(path.read_text(encoding="utf-8"))


SIZES = {"32": "224", "28": "192", "24": "160", "20": "128"}  # ours and the paper's


def note(axes, study, label, x, y):
    """The label of a point, where the other series leave room."""
    look = {"textcoords": "offset points", "fontsize": 13}
    if study == "width":
        colour, text = SERIES[study][0], {"1": "separable"}.get(label, label)
        right = label in ("1", "0.25")
        where = {"1": (11, -5), "0.25": (10, -4)}.get(label, (-9, 3))
        look |= {"color": "black" if label == "1" else colour, "ha": "left" if right else "right"}
        axes.annotate(text, (x, y), where, **look)
    elif study == "resolution" and label not in ("32", "224"):
        axes.annotate(label, (x, y), (9, -13), color=SERIES[study][0], **look)


def panel(axes, studies, ms, title, what):
    for study, (colour, mark, name) in SERIES.items():
        found = list(points(studies, study, ms))
        labels, x, y, spread = zip(*found, strict=True)
        axes.errorbar(
            x,
            y,
            spread if any(spread) else None,
            color=colour,
            fmt=f"-{mark}",
            markersize=14 if mark == "*" else 8,
            capsize=3,
            lw=2,
            label=name,
        )
        for label, at, height in zip(labels, x, y, strict=True):
            note(
                axes, study, SIZES[label] if ms == "paper" and label in SIZES else label, at, height
            )
    axes.set_xscale("log")
    axes.set_title(title, fontsize=14)
    axes.set_xlabel(what)
    low, high = axes.get_xlim()
    axes.set_xlim(low / 1.9, high * 1.3)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(axis="y", color=GREY, lw=0.8)


@figure
def accuracy_for_cost():
    """Accuracy against multiply-adds, in the paper and here, and against milliseconds."""
    drawn, (paper, ours, times) = plt.subplots(1, 3, figsize=(WIDTH, 5), layout="constrained")
    studies = measured("ablations")["studies"]
    panel(paper, studies, "paper", "ImageNet, the paper", "million multiply-adds")
    panel(ours, studies, None, "CIFAR-100", "million multiply-adds")
    panel(times, studies, "forward, batch 128", "CIFAR-100", "forward, ms per image")
    paper.set_ylabel("accuracy (%)")
    for axes, ticks in ((paper, [50, 500, 5000]), (ours, [1, 10, 100]), (times, [0.2, 0.5, 1, 2])):
        axes.set_xticks(ticks)
    handles, labels = paper.get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
    return drawn


@figure
def three_seeds_on_shapes():
    """The test accuracy of each seed on the drawn shapes: how far chance moves a short training."""
    found = measured("ablations-shapes")
    rows = {("width", "1"): "separable", ("convolution", "full"): "full"}
    rows |= {("width", label): f"width {label}" for label in ("0.75", "0.5", "0.25")}
    rows |= {("resolution", label): f"resolution {label}" for label in ("28", "24", "20")}
    seeds = {}  # by the network's name in results.json
    for run in found["runs"].values():
        seeds.setdefault(run["network"], []).append(100 * run["test_accuracy"])
    drawn, axes = plt.subplots(figsize=(WIDTH, 4.4), layout="constrained")
    order = sorted(rows, key=lambda row: row[0] != "convolution")
    for line, (study, label) in enumerate(order):
        row = next(row for row in found["studies"][study] if row["label"] == label)
        mean = row["test_accuracy"][0]
        axes.plot([mean, mean], [line - 0.3, line + 0.3], color=NOW, lw=3)
        axes.plot(seeds[row["network"]], [line] * 3, "o", color=BLUE, markersize=11, alpha=0.7)
    axes.set_yticks(range(len(rows)), [rows[row] for row in order])
    axes.invert_yaxis()
    axes.set_xlabel("test accuracy on drawn shapes after 4 epochs (%): dots are seeds, bars means")
    axes.grid(axis="x", color=GREY, lw=0.8)
    return drawn
