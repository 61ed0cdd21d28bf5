"""Figures of docs/handbook/activations-and-loss.md."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from style import BLUE, COMPLETE, DARK, GREEN, GREY, ORANGE, RED, VALUE, WIDTH, figure, powers

import tinynet as tn
import tinynet.nn.functional as F
from tinynet.training import History

RESULTS = Path(__file__).resolve().parents[2] / "results"


@figure
def relu6_kinks():
    """ReLU and ReLU6 above their slopes, which are 0 at the kinks themselves."""
    figure, axes = plt.subplots(
        *(2, 2), figsize=(WIDTH, 4.8), sharex=True, sharey="row", layout="constrained"
    )
    x = np.linspace(-3, 9, 121)
    for column, (name, function) in enumerate((("ReLU", F.relu), ("ReLU6", F.relu6))):
        leaf = tn.Tensor(x, requires_grad=True)
        y = function(leaf)
        y.sum().backward()
        slope = leaf.grad.numpy()
        above, below = axes[:, column]
        above.plot(x, y.numpy(), color=VALUE, lw=3)
        above.set_title(name)
        kinks = [0.0] if name == "ReLU" else [0.0, 6.0]
        for level in (0, 1):  # the two levels of the slope, without a line between them
            part = np.where((slope == level) & ~np.isin(x.round(6), kinks), slope, np.nan)
            below.plot(x, part, color=COMPLETE, lw=3)
        for kink in kinks:
            at = slope[np.argmin(abs(x - kink))]
            below.plot([kink], [1], "o", ms=9, mfc="white", mec=COMPLETE, mew=2)
            below.plot([kink], [at], "o", ms=9, color=RED)
        for each in (above, below):
            each.set_xticks([0, 6])
            each.grid(axis="x", color=GREY)
        above.set_yticks([0, 6])
        below.set(yticks=[0, 1], ylim=(-0.2, 1.3), xlabel="x")
    axes[0, 0].set_ylabel("y")
    axes[1, 0].set_ylabel("slope")
    axes[1, 0].text(0.4, 0.02, "0 at the kink", color=RED, va="bottom")
    return figure


@figure
def gradient_through_depth():
    """The mean size of the gradient behind each of 20 layers, on its way from the last to x."""
    figure, axes = plt.subplots(figsize=(WIDTH, 4.4))
    for words, activation, a, color, place in (
        ("ReLU, weights of variance 6 / fan-in", F.relu, 6, RED, (14.5, 2e4)),
        ("ReLU, 2 / fan-in", F.relu, 2, BLUE, (19.5, 8)),
        ("ReLU, 1/3 / fan-in: the default", F.relu, 1 / 3, ORANGE, (19.5, 3e-5)),
        ("sigmoid, 1 / fan-in", F.sigmoid, 1, DARK, (2, 1e-10)),
    ):
        rng = np.random.default_rng(0)
        weights = [rng.standard_normal((100, 100)) * np.sqrt(a / 100) for _ in range(20)]
        values = [tn.Tensor(rng.standard_normal((64, 100)))]
        for weight in weights:
            values.append(activation(values[-1] @ tn.Tensor(weight)))
        gradient, sizes = rng.standard_normal((64, 100)), []
        for weight, value in zip(weights[::-1], values[-2::-1], strict=True):
            sizes.append(abs(gradient).mean())
            leaf = tn.Tensor(value.numpy(), requires_grad=True)
            activation(leaf @ tn.Tensor(weight)).backward(tn.Tensor(gradient))
            gradient = leaf.grad.numpy()
        sizes.append(abs(gradient).mean())
        axes.semilogy(range(21), sizes, "o-", color=color)
        align = "left" if place[0] == 2 else "right"
        axes.text(*place, words, color=DARK if color == ORANGE else color, ha=align, va="bottom")
    axes.set(xlabel="layers gone through, backward", ylabel="mean size of the gradient")
    axes.set(xticks=range(0, 21, 5), ylim=(1e-13, 1e6))
    powers(axes.yaxis, range(-12, 7, 3))
    axes.grid(axis="y", color=GREY)
    return figure


@figure
def softmax_minus_one_hot():
    """The chapter's p, q and p - q."""
    p, q = np.array([1, 2, 3]) / 6, np.array([0, 1, 0])
    figure, all_axes = plt.subplots(1, 3, figsize=(WIDTH, 3.6), sharey=True, layout="constrained")
    for axes, values, title, color in (
        (all_axes[0], p, "p, predicted", VALUE),
        (all_axes[1], q, "q, the target", DARK),
        (all_axes[2], p - q, "gz = p − q", GREEN),
    ):
        axes.bar(range(3), values, color=color, width=0.65)
        for i, value in enumerate(values):
            sixths = round(6 * value)
            words = f"{sixths}/6".replace("-", "−") if sixths % 6 else f"{sixths // 6}"
            up = value >= 0
            at = value + (0.03 if up else -0.03)
            axes.text(i, at, words, ha="center", va="bottom" if up else "top")
        axes.axhline(0, color=DARK, linewidth=1)
        axes.set(title=title, ylim=(-0.9, 1.35), yticks=[])
        axes.set_xticks(range(3), ["class 0", "class 1\n(true)", "class 2"])
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.tick_params(length=0)
    return figure


@figure
def softmax_twice():
    """The Julia network's training loss with one softmax and with two, by epoch."""
    figure, axes = plt.subplots(figsize=(WIDTH, 4.2))
    for name, color in (("softmax", RED), ("own-settings", BLUE)):
        axes.plot(
            *History.read_csv(RESULTS / f"julia/{name}.csv").column("train_loss"),
            "o-",
            color=color,
            ms=4,
        )
    best = np.eye(100)[:1]
    two = F.cross_entropy(tn.Tensor(best), tn.tensor([0]), label_smoothing=0.1).item()
    axes.axhline(np.log(100), color=DARK, ls=":")
    axes.axhline(two, color=RED, ls="--")
    axes.text(32, 4.63, f"guessing: log 100 = {np.log(100):.2f}", ha="right", va="bottom")
    axes.text(32, 4.53, "two softmaxes", color=RED, ha="right", va="top")
    axes.text(17, 4.2, "one softmax", color=BLUE, ha="right", va="center")
    words = f"no lower with two softmaxes: {two:.2f}"
    axes.text(1, two + 0.02, words, color=RED, va="bottom")
    axes.set(xlabel="epoch", ylabel="training loss", ylim=(3.6, 4.8), xticks=[1, 8, 16, 24, 32])
    return figure
