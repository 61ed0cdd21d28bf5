"""Figures of docs/handbook/train-resume-read-curves.md: curves of real runs."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from style import BLUE, DARK, GREY, ORANGE, RED, WIDTH, figure

from tinynet.training import History

RESULTS = Path(__file__).resolve().parents[2] / "results"


def column(run, name):
    return np.array(History.read_csv(RESULTS / f"{run}.csv").column(name)[1])


@figure
def curves_one_cycle():
    """90 epochs of the network that comes with tinynet: accuracy above, the rate below."""
    run = "cifar100-two-cores/history"
    drawn, (above, below) = plt.subplots(
        *(2, 1), figsize=(WIDTH, 5.6), sharex=True, height_ratios=(3, 1), layout="constrained"
    )
    epochs = np.arange(1, 91)
    for name, color in (("train_accuracy", ORANGE), ("val_accuracy", BLUE)):
        above.plot(epochs, 100 * column(run, name), color=color, lw=2.5)
    above.text(88, 93, "training", color=DARK, ha="right")
    above.text(88, 60, "validation", color=BLUE, ha="right")
    above.set(ylabel="accuracy, %", ylim=(0, 100))
    above.grid(axis="y", color=GREY)
    rate = column(run, "lr")
    below.fill_between(epochs, rate, color=GREY)
    below.plot(epochs, rate, color=DARK)
    below.set(xlabel="epoch", ylabel="rate", yticks=[0, 0.4], ylim=(0, 0.45))
    below.set_xticks([1, 15, 30, 45, 60, 75, 90])
    return drawn


@figure
def curves_overfitting():
    """`stl10` beside `stl10-tuned`: loss and accuracy in training and validation."""
    drawn, axes = plt.subplots(
        *(2, 2), figsize=(WIDTH, 6.2), sharey="row", sharex="col", layout="constrained"
    )
    runs = (("stl10-1.0", "stl10: learns them by heart"), ("stl10-tuned-1.0", "stl10-tuned"))
    for i, (run, title) in enumerate(runs):
        for row, kind, scale in ((0, "loss", 1), (1, "accuracy", 100)):
            for part, color in (("train", ORANGE), ("val", BLUE)):
                values = scale * column(f"photos/{run}", f"{part}_{kind}")
                axes[row, i].plot(range(1, 1 + len(values)), values, color=color, lw=2.5)
            axes[row, i].grid(axis="y", color=GREY)
        axes[0, i].set_title(title)
        axes[1, i].set_xlabel("epoch")
    loss = column("photos/stl10-1.0", "val_loss")
    lowest = loss.argmin()
    axes[0, 0].plot(lowest + 1, loss[lowest], "o", color=RED, ms=10)
    axes[0, 0].text(lowest + 3, loss[lowest], "lowest", color=RED, va="center")
    axes[0, 0].set(ylabel="loss", ylim=(0, 5))
    axes[1, 0].set(ylabel="accuracy, %", ylim=(0, 105))
    axes[0, 1].text(98, 1.6, "training: shifted,\nmirrored, mixed", ha="right", va="bottom")
    axes[1, 0].text(48, 88, "training", ha="right", va="top")
    axes[1, 0].text(48, 55, "validation", color=BLUE, ha="right", va="top")
    return drawn


@figure
def best_of_fifty():
    """One setting worth 70 %, and the best of 50 of them, on a test set of 10,000 images."""
    rng = np.random.default_rng(0)
    measured = rng.binomial(10_000, 0.7, size=(20_000, 50)) / 100
    drawn, axes = plt.subplots(figsize=(WIDTH, 3.8))
    bins = np.arange(68, 72.6, 0.1)
    for values, color in ((measured[:, 0], BLUE), (measured.max(axis=1), RED)):
        axes.hist(
            values, bins, weights=np.full(len(values), 100 / len(values)), color=color, alpha=0.8
        )
    axes.axvline(70, color=DARK, ls="--")
    axes.text(69.25, 7, "one setting", color=BLUE, ha="right")
    mean = measured.max(axis=1).mean()
    words = f"the best of 50 equal ones:\n{mean:.1f} % on average"
    axes.text(71.6, 8, words, color=RED, ha="left")
    axes.text(69.97, 18.5, "what all are worth", ha="right")
    axes.set(xlabel="accuracy on the test set, %", ylabel="share of the stories, %", ylim=(0, 20))
    return drawn
