"""Figures of docs/handbook/batchnorm.md."""

from fractions import Fraction

import matplotlib.pyplot as plt
import numpy as np
from style import (
    BLUE,
    COMPLETE,
    DARK,
    GREY,
    ORANGE,
    RED,
    VALUE,
    WIDTH,
    arrow,
    blank,
    figure,
    powers,
)

import mobilenet
import tinynet as tn
import tinynet.nn as nn
from tinynet.data import shapes

X, GY, WEIGHT, BIAS = np.array([0.0, 0, 4, 4]), np.array([1.0, 0, 0, 0]), 2, 1
SIGNS = {Fraction(1, 2): "½", Fraction(1, 4): "¼", Fraction(3, 4): "¾"}


def exact(value):
    """A number as a whole number or a fraction, with a minus sign of its full width."""
    value = Fraction(float(value))
    return ("−" if value < 0 else "") + SIGNS.get(abs(value), str(abs(value)))


def row(values):
    return ", ".join(map(exact, values))


@figure
def activation_spread():
    """The deviation behind each of MobileNetV1's 27 layers, before any training."""
    drawn = shapes.make("train", per_class=1)
    images = tn.Tensor(((drawn.images[:64] / 255 - 0.5) / 0.25).astype(np.float32))
    figure, axes = plt.subplots(figsize=(WIDTH, 4.4))
    for normalise, factor, color, place, align, words in (
        (False, 3, RED, (26, 1.5e3), "right", "without BatchNorm, weights three times larger"),
        (True, 1, BLUE, (27, 5e-2), "right", "with BatchNorm, whatever the weights' scale"),
        (False, 1, ORANGE, (3, 1e-8), "left", "without BatchNorm, usual initial weights"),
    ):
        tn.manual_seed(0)
        net = mobilenet.build("cifar-4x4", 100, width=0.25, activation="relu")
        z, deviations = images, []
        for unit in [net.stem, *(unit for block in net.blocks for unit in block)]:
            unit[0].weight.array[...] *= factor
            unit[1] = unit[1] if normalise else nn.Identity()
            with tn.no_grad():
                z = unit(z)
            deviations.append(z.numpy().std())
        axes.semilogy(range(1, 28), deviations, "o-", color=color)
        axes.text(*place, words, color=DARK if color == ORANGE else color, ha=align, va="center")
    axes.set(xlabel="layer", ylabel="deviation of the activations", ylim=(1e-11, 1e4))
    axes.set_xticks([1, 5, 10, 15, 20, 25])
    powers(axes.yaxis, range(-10, 5, 2))
    axes.grid(axis="y", color=GREY)
    return figure


def walk():
    """Name -> (value, gradient) of each node, by the chapter's own rules."""
    mu = X.mean()
    d = X - mu
    v = (d**2).mean()
    r = np.sqrt(v)
    xhat = d / r
    gxhat = WEIGHT * GY
    gq = (gxhat * d).sum()
    gr = -gq * (1 / r) ** 2
    gv = gr / (2 * r)
    gs = np.full(4, gv / 4)
    gd = gxhat / r + 2 * d * gs
    gmu = -gd.sum()
    return {
        "x": (X, gd + gmu / 4),
        "μ = mean(x)": ([mu], [gmu]),
        "d = x − μ": (d, gd),
        "s = d²": (d**2, gs),
        "v = mean(s)": ([v], [gv]),
        "r = √v": ([r], [gr]),
        "q = 1 / r": ([1 / r], [gq]),
        "xhat = d q": (xhat, gxhat),
        "y = weight xhat + bias": (WEIGHT * xhat + BIAS, GY),
    }


PLACES = {"x": (0, 0), "d": (1, 0), "xhat": (2, 0), "y": (3.25, 0), "μ": (0, 1)}
PLACES |= {"s": (1, 1), "q": (2, 1), "v": (1, 2), "r": (2, 2)}
EDGES = "x d", "x μ", "d s", "d xhat", "s v", "v r", "r q", "q xhat", "xhat y"


@figure
def batchnorm_graph():
    """Eight nodes and x: under each name its value, and its gradient."""
    figure, axes = plt.subplots(figsize=(WIDTH, 5.4))
    step, drop, height = 3.35, 2.3, 1.6
    boxes = {}
    for name, (value, gradient) in walk().items():
        column, line = PLACES[name.split()[0]]
        x, y, wide = column * step, -line * drop, 4.4 if name[0] == "y" else 2.75
        boxes[name.split()[0]] = x, y, wide
        axes.add_patch(
            plt.Rectangle((x - wide / 2, y - height / 2), wide, height, fc="white", ec=DARK)
        )
        same = len(gradient) > 1 and len(set(gradient)) == 1
        lines = (
            (name, DARK),
            (row(value), VALUE),
            (f"{exact(gradient[0])} each" if same else row(gradient), COMPLETE),
        )
        for i, (text, color) in enumerate(lines):
            weight = "bold" if i else "normal"
            axes.text(
                x, y + 0.5 - 0.5 * i, text, ha="center", va="center", color=color, weight=weight
            )
    for edge in EDGES:
        (x, y, wide), (X1, Y1, W1) = (boxes[end] for end in edge.split())
        if y == Y1:
            side = 1 if x < X1 else -1
            arrow(axes, (x + side * wide / 2, y), (X1 - side * W1 / 2, Y1))
        else:
            side = 1 if y < Y1 else -1
            arrow(axes, (x, y + side * height / 2), (X1, Y1 - side * height / 2))
    (x, y, wide), (X1, Y1, W1) = boxes["μ"], boxes["d"]
    arrow(axes, (x + wide / 2, y + 0.5), (X1 - W1 / 2, Y1 - 0.6))
    gy, xhat = GY, walk()["xhat = d q"][0]
    x, y, _ = boxes["y"]
    for i, (name, value, gradient) in enumerate(
        (("weight", WEIGHT, (gy * xhat).sum()), ("bias", BIAS, gy.sum()))
    ):
        line = y - drop + 0.25 - 0.6 * i
        axes.text(x - 0.4, line, name, ha="right", va="center")
        axes.text(x + 0.1, line, exact(value), ha="center", va="center", color=VALUE, weight="bold")
        at = x + 0.9, line
        axes.text(*at, exact(gradient), ha="center", va="center", color=COMPLETE, weight="bold")
    axes.text(x, y - 2 * drop + 0.25, "blue: the value", ha="center", color=VALUE, weight="bold")
    axes.text(
        x, y - 2 * drop - 0.4, "green: its gradient", ha="center", color=COMPLETE, weight="bold"
    )
    blank(axes, (-1.5, 13.2), (-2 * drop - 0.9, 0.9))
    return figure


@figure
def batchnorm_paths():
    """The three contributions to gx of the chapter's four values, and their sum."""
    std, g = X.std(), WEIGHT * GY
    xhat = (X - X.mean()) / std
    parts = [g / std, np.full(4, -g.mean() / std), -xhat * (g * xhat).mean() / std]
    figure, all_axes = plt.subplots(1, 4, figsize=(WIDTH, 3.2), sharey=True, layout="constrained")
    titles = ("directly", "through the mean", "through the variance", "gx, the sum")
    for axes, values, title in zip(all_axes, [*parts, sum(parts)], titles, strict=True):
        color = COMPLETE if title.startswith("gx") else ORANGE
        axes.bar(range(1, 5), values, color=color)
        for i, value in enumerate(values, 1):
            up = value > 0
            axes.text(
                *(i, value + (0.04 if up else -0.04), exact(value)),
                ha="center",
                va="bottom" if up else "top",
            )
        axes.axhline(0, color=DARK, linewidth=1)
        axes.set_title(title, fontsize=14)
        axes.set(xticks=range(1, 5), ylim=(-0.7, 1.2), yticks=[])
        axes.set_xticklabels([f"x{'₁₂₃₄'[i]}" for i in range(4)])
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.tick_params(length=0)
    return figure


@figure
def variance_digits():
    """The relative error of two formulas in float32, against mean / deviation."""
    noise = np.random.default_rng(0).standard_normal((100, 4096))
    means = 10.0 ** np.arange(-1, 4.25, 0.25)
    single, double = [], []
    for mean in means:
        sample = (noise + mean).astype(np.float32)
        exact_var = sample.astype(np.float64).var(axis=1)
        one = (sample * sample).mean(axis=1) - sample.mean(axis=1) ** 2
        two = ((sample - sample.mean(axis=1, keepdims=True)) ** 2).mean(axis=1)
        for found, errors in ((one, single), (two, double)):
            errors.append(np.sqrt(((found / exact_var - 1) ** 2).mean()))
    figure, axes = plt.subplots(figsize=(WIDTH, 4.2))
    axes.loglog(means, single, "o-", color=RED)
    axes.loglog(means, 2.0**-24 * (1 + means**2), "--", color=DARK)
    axes.loglog(means, double, "o-", color=BLUE)
    axes.axhline(1, color=GREY)
    axes.text(0.1, 1.4, "no digit is left", va="bottom")
    axes.text(220, 6e-2, "E[x²] − E[x]²", color=RED, ha="right", va="center")
    axes.text(500, 1.2e-3, "2⁻²⁴ (1 + mean² / variance)", color=DARK, va="center")
    axes.text(9, 9e-9, "mean subtracted first", color=BLUE, va="center")
    axes.set(xlabel="mean, in deviations", ylabel="relative error", ylim=(3e-9, 100))
    powers(axes.yaxis, range(-8, 3, 2))
    powers(axes.xaxis, range(-1, 5))
    return figure
