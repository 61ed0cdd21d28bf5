"""Figures of the chapter on an autograd in forty lines."""

import matplotlib.pyplot as plt
import numpy as np
from style import (
    BLUE,
    COMPLETE,
    DARK,
    GREY,
    PINK,
    RED,
    VALUE,
    VALUE_LIGHT,
    WIDTH,
    arrow,
    blank,
    figure,
    powers,
)


@figure
def value_records():
    """y = a b + a as four records; arrows are `parents`."""
    a, b = 3, 2
    records = {
        "a": (0, 1.55, a, "–"),
        "b": (0, -1.55, b, "–"),
        "u": (4.6, -0.6, a * b, f"gy · {b},  gy · {a}"),
        "y": (9.2, 0.6, a * b + a, "gy,  gy"),
    }
    drawn, axes = plt.subplots(figsize=(WIDTH, 4.6), layout="constrained")
    wide, high = 3.0, 2.1
    for name, (x, y, array, send) in records.items():
        corner = (x - wide / 2, y - high / 2)
        axes.add_patch(plt.Rectangle(corner, wide, high, facecolor=VALUE_LIGHT, edgecolor=DARK))
        made = {"u": "u = a · b", "y": "y = u + a"}.get(name, name)
        axes.text(corner[0] + 0.15, y + 0.62, made, fontsize=16, fontweight="bold", va="center")
        axes.text(corner[0] + 0.15, y, f"array  {array}", color=VALUE, fontsize=15, va="center")
        axes.text(
            corner[0] + 0.15, y - 0.62, f"send  {send}", color=COMPLETE, fontsize=15, va="center"
        )
    for name, parent in ("ua", "ub", "yu", "ya"):
        (x, y, *_), (to_x, to_y, *_) = records[name], records[parent]
        start = (x - wide / 2, y + (0.25 if to_y > y else -0.25))
        end = (to_x + wide / 2, to_y + (-0.3 if (name, parent) == ("u", "a") else 0))
        if (name, parent) == ("y", "a"):
            start, end = (x - wide / 2, y + 0.7), (to_x + wide / 2, to_y + 0.55)
        arrow(axes, start, end, color=RED)
    axes.text(4.6, 2.15, "parents", color=RED, fontsize=15, ha="center")
    blank(axes, (-1.6, 10.8), (-2.7, 2.7))
    return drawn


def learning(moments):
    """The chapter's training: the points, their classes, and the weights at each of `moments`."""
    rng = np.random.default_rng(1)
    points = rng.uniform(-1, 1, (200, 2))
    t = np.where(np.hypot(points[:, :1], points[:, 1:]) < 0.7, 1.0, -1.0)
    w1, b1 = rng.standard_normal((2, 8)), np.zeros(8)
    w2, b2 = rng.standard_normal((8, 1)) / np.sqrt(8), np.zeros(1)
    seen = {}
    for step in range(max(moments) + 1):
        if step in moments:
            seen[step] = (w1, b1, w2, b2)
        hidden = (points @ w1 + b1).clip(0)
        gz = -t / (1 + np.exp(t * (hidden @ w2 + b2))) / len(points)
        gh = gz @ w2.T * (hidden > 0)
        w1, b1 = w1 - 2 * points.T @ gh, b1 - 2 * gh.sum(axis=0)
        w2, b2 = w2 - 2 * hidden.T @ gz, b2 - 2 * gz.sum(axis=0)
    return points, t[:, 0], seen


@figure
def disc_learnt():
    """Points of two classes and the border z = 0 at three moments of the training."""
    points, t, seen = learning((0, 40, 400))
    u, v = np.meshgrid(np.linspace(-1.05, 1.05, 106), np.linspace(-1.05, 1.05, 106))
    grid = np.stack([u.ravel(), v.ravel()], axis=1)
    drawn, panels = plt.subplots(1, 3, figsize=(WIDTH, 3.8), layout="constrained")
    for axes, (step, (w1, b1, w2, b2)) in zip(panels, seen.items(), strict=True):
        z = ((grid @ w1 + b1).clip(0) @ w2 + b2).reshape(u.shape)
        axes.contourf(u, v, z, [-1e9, 0, 1e9], colors=["#F8EAF2", VALUE_LIGHT])
        axes.contour(u, v, z, [0], colors=DARK, linewidths=2)
        for side, color, mark in ((1, BLUE, "o"), (-1, PINK, "s")):
            axes.plot(*points[t == side].T, mark, color=color, ms=4.5)
        axes.set(title=f"step {step}", xticks=[], yticks=[], aspect="equal")
        axes.spines[["left", "bottom"]].set_visible(False)
    return drawn


@figure
def difference_step():
    """The relative error of the central difference of w**3 at 1.3 in two precisions."""
    steps = 10.0 ** np.arange(-10, -0.4, 0.25)
    drawn, axes = plt.subplots(figsize=(WIDTH, 4.6), layout="constrained")
    for dtype, color, mark in ((np.float32, RED, "s"), (np.float64, BLUE, "o")):
        up, down, h = dtype(1.3) + steps.astype(dtype), dtype(1.3) - steps.astype(dtype), steps
        slopes = (up * up * up - down * down * down) / (2 * h.astype(dtype))
        errors = abs(slopes.astype(float) / (3 * 1.3**2) - 1)
        axes.loglog(steps, errors, mark + "-", color=color, ms=6, lw=1.5)
    axes.text(6e-6, 3e-2, "float32", color=RED, fontsize=16)
    axes.text(2e-8, 2e-8, "float64", color=BLUE, fontsize=16)
    axes.text(2e-10, 4e-11, "left: rounding", color=DARK)
    axes.text(1.5e-3, 4e-9, "right: the bend, as h²", color=DARK)
    axes.set(xlabel="step h", ylabel="relative error", ylim=(1e-12, 5))
    powers(axes.xaxis, range(-10, -1, 2))
    powers(axes.yaxis, range(-12, 1, 3))
    axes.grid(color=GREY, lw=0.6)
    return drawn
