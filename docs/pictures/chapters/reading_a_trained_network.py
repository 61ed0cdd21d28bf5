"""Figures of docs/handbook/reading-a-trained-network.md: the network that comes with tinynet."""

from functools import cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from style import BLUE, DARK, GREY, ORANGE, RED, VALUE, VALUE_LIGHT, WIDTH, cells, figure

import mobilenet
import tinynet as tn
from tinynet import predict
from tinynet.data import augment

ANSWERS = Path(__file__).resolve().parents[2] / "results/cifar100-two-cores/test-answers.npz"
SIGNED = LinearSegmentedColormap.from_list("signed", (RED, "white", BLUE))
FROM_WHITE = LinearSegmentedColormap.from_list("light", ("white", BLUE))

network = cache(lambda: mobilenet.load_network(mobilenet.WEIGHTS))


def road():
    """The chapter's drawing (3, 32, 32)."""
    at = (np.arange(256) + 0.5) / 8
    x, y = np.meshgrid(at, at)
    below, side = y - 14, abs(x - 16)
    places = [
        below < 0,
        (side < 0.05 * below + 0.1) & (y * y / 14 % 6 < 3),
        side < 0.8 * below + 0.8,
    ]
    colors = ((140, 190, 240), (240, 240, 220), (90, 90, 95), (120, 150, 70))
    image = np.stack([np.select(places, c[:3], c[3]) for c in zip(*colors, strict=True)])
    return image.reshape(3, 32, 8, 32, 8).mean(axis=(2, 4)).astype(np.uint8)


def tile(axes, values, **look):
    axes.imshow(values, interpolation="nearest", **look)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color(GREY)


@figure
def trained_filters():
    """The stem's filters as colours; behind them the depthwise filters of the first block."""
    model, _ = network()
    stem = model.stem[0].weight.numpy()
    depthwise = model.blocks[0].depthwise[0].weight.numpy()[:, 0]
    drawn, axes = plt.subplots(2, 8, figsize=(WIDTH, 3.6), layout="constrained")
    for k in range(8):
        largest = abs(stem).max(axis=(1, 2, 3))[k]
        if largest < 0.01:  # nothing: grey, and not its rounding errors enlarged
            largest = abs(stem).max()
        tile(axes[0, k], (0.5 + stem[k] / largest / 2).transpose(1, 2, 0))
        axes[0, k].set_title(f"{k}", fontsize=14)
        limit = abs(depthwise[k]).max()
        tile(axes[1, k], depthwise[k], cmap=SIGNED, vmin=-limit, vmax=limit)
    axes[0, 0].set_ylabel("stem")
    axes[1, 0].set_ylabel("depthwise")
    drawn.supxlabel(
        "below: blue adds, red subtracts, each filter on a scale of its own", fontsize=14
    )
    return drawn


@figure
def trained_maps():
    """The drawn road, its maps behind layer 1, and the first of those behind layers 9 and 17."""
    model, info = network()
    image = road()
    z, seen = tn.Tensor(augment.normalize(image[None], info["mean"], info["std"])), []
    with tn.no_grad():
        for unit in (model.stem, *(unit for block in model.blocks for unit in block)):
            z = unit(z)
            seen.append(z.numpy()[0])
    drawn = plt.figure(figsize=(WIDTH, 4.4), layout="constrained")
    grid = drawn.add_gridspec(3, 9, width_ratios=(2.2, *(1,) * 8))
    first = drawn.add_subplot(grid[:, 0])
    tile(first, image.transpose(1, 2, 0))
    first.set_title("the image", fontsize=14)
    for row, (layer, words) in enumerate(((0, "layer 1"), (8, "layer 9"), (16, "layer 17"))):
        for k in range(8):
            axes = drawn.add_subplot(grid[row, 1 + k])
            tile(axes, seen[layer][k], cmap=FROM_WHITE, vmin=0, vmax=6)
            if k == 0:
                axes.set_ylabel(words)
    return drawn


@figure
def people_confusion():
    """Labels against answers among the five classes of people, in per cent of the labels."""
    kept, names = np.load(ANSWERS), network()[1]["classes"]
    people = ["baby", "boy", "girl", "man", "woman"]
    numbers = [names.index(name) for name in people]
    counts = [
        [int(((kept["label"] == a) & (kept["answer"] == b)).sum()) for b in numbers]
        for a in numbers
    ]
    drawn, axes = plt.subplots(figsize=(WIDTH, 5.4))
    shade = LinearSegmentedColormap.from_list("shade", ("white", "#7FB8DA"))
    others = [100 - sum(row) for row in counts]
    colors = [[shade(value / 60) for value in row] for row in counts]
    cells(axes, 0, 0, counts, colors, edge=GREY, fontsize=16)
    cells(axes, 5.3, 0, [[value] for value in others], "white", edge=GREY, fontsize=16)
    for k, name in enumerate(people):
        axes.text(-0.2, -k - 0.5, name, ha="right", va="center")
        axes.text(k + 0.5, 0.15, name, ha="center", va="bottom")
    axes.text(5.8, 0.15, "other", ha="center", va="bottom")
    axes.text(3.2, 0.75, "the answer", ha="center", weight="bold")
    axes.text(-1.75, -2.5, "the label", ha="center", va="center", rotation=90, weight="bold")
    axes.set(xlim=(-2, 6.5), ylim=(-5.1, 1.2))
    axes.axis("off")
    return drawn


@figure
def reliability():
    """Share of right answers against the claimed probability, in ten bins."""
    kept = np.load(ANSWERS)
    sure, right = kept["probability"].astype(float), kept["label"] == kept["answer"]
    bins = np.minimum((10 * sure).astype(int), 9)
    drawn, (axes, below) = plt.subplots(
        *(2, 1), figsize=(WIDTH, 6), sharex=True, height_ratios=(3, 1), layout="constrained"
    )
    shares = [100 * right[bins == b].mean() for b in range(10)]
    middles = np.arange(5, 100, 10)
    axes.bar(middles, shares, width=9, color=VALUE_LIGHT, edgecolor=VALUE)
    claimed = [100 * sure[bins == b].mean() for b in range(10)]
    axes.plot(claimed, shares, "o", color=VALUE, ms=9)
    axes.plot([0, 100], [0, 100], "--", color=DARK)
    axes.text(4, 88, "dashed: as often right\nas it says", ha="left", va="center")
    axes.set(ylabel="right, %", ylim=(0, 100), xlim=(0, 100))
    counts = np.bincount(bins, minlength=10)
    below.bar(middles, counts, width=9, color=ORANGE)
    below.set(ylabel="answers", xlabel="probability of the answer, %", xticks=range(0, 101, 10))
    for x, count in ((5, counts[0]), (95, counts[9])):
        below.text(x, count + 60, f"{count:,}", ha="center", va="bottom")
    below.set_ylim(0, 4300)
    return drawn


@figure
def road_occlusion():
    """The road's probability with a square of 8x8 covered, for each of 7x7 places."""
    model, info = network()
    image, mean = road(), (255 * network()[1]["mean"]).astype(np.uint8)[:, None, None]
    places = [(r, q) for r in range(0, 25, 4) for q in range(0, 25, 4)]
    covered = np.repeat(image[None], len(places), axis=0)
    for k, (r, q) in enumerate(places):
        covered[k, :, r : r + 8, q : q + 8] = mean
    shares = predict.probabilities(model, info, covered)[:, info["classes"].index("road")]
    worst = int(shares.argmin())
    drawn, axes = plt.subplots(1, 3, figsize=(WIDTH, 4.2), layout="constrained")
    tile(axes[0], image.transpose(1, 2, 0))
    before = predict.probabilities(model, info, image[None])[0, info["classes"].index("road")]
    axes[0].set_title(f"road {before:.0%}")
    tile(axes[1], covered[worst].transpose(1, 2, 0))
    axes[1].set_title(f"covered here: {shares[worst]:.0%}", color=RED)
    percent = 100 * shares.reshape(7, 7)
    tile(
        axes[2],
        percent,
        cmap=LinearSegmentedColormap.from_list("low", (RED, "white")),
        vmin=20,
        vmax=90,
    )
    for r, q in np.ndindex(7, 7):
        axes[2].text(q, r, f"{percent[r, q]:.0f}", ha="center", va="center", fontsize=13)
    axes[2].set_title("covered there: road, %")
    return drawn
