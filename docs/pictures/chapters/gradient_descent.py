"""Figures of the chapter on gradient descent."""

import matplotlib.pyplot as plt
import numpy as np
from style import BLUE, DARK, GREY, NOW, ORANGE, SKY, VALUE, WIDTH, arrow, figure

X, T = np.array([-1.0, 0, 1, 2]), np.array([0.0, 0, 2, 6])  # the four points of the chapter

MAP = "#A3ADB8"  # the contours


def loss(w):
    """One weight: x = 1.5 should become 6."""
    return (1.5 * w - 6) ** 2


def slope(w):
    return 3 * (1.5 * w - 6)


def line_gradient(p, x):
    error = p[0] * x + p[1] - T
    return np.array([(2 * error * x).mean(), (2 * error).mean()])


def path(x, lr, steps, momentum=0.0):
    """The weights (w, b) before each step, from (0, 0)."""
    p, v, seen = np.zeros(2), np.zeros(2), [np.zeros(2)]
    for _ in range(steps):
        v = momentum * v + line_gradient(p, x)
        p = p - lr * v
        seen.append(p)
    return np.array(seen)


def line_losses(w, b, x):
    return ((w[..., None] * x + b[..., None] - T) ** 2).mean(axis=-1)


def contours(axes, x, ws, bs):
    """The loss of a line over the plane of its two weights."""
    w, b = np.meshgrid(np.linspace(*ws, 161), np.linspace(*bs, 161))
    levels = [1.05, 1.4, 2.2, 4, 7, 12, 20, 35, 60, 100]
    axes.contour(w, b, line_losses(w, b, x), levels, colors=MAP, linewidths=1.5)
    axes.set(xlim=ws, ylim=bs, xlabel="w", ylabel="b")


@figure
def one_weight():
    """The parabola, its tangent at w = 2, and one step of 0.9."""
    here, there = 2.0, 2.0 - 0.1 * slope(2.0)
    promised = loss(here) + slope(here) * (there - here)
    drawn, axes = plt.subplots(figsize=(WIDTH, 4.6), layout="constrained")
    w = np.linspace(1.4, 6, 200)
    axes.plot(w, loss(w), color=VALUE, lw=3)
    tangent = np.array([1.5, 3.0])
    axes.plot(tangent, loss(here) + slope(here) * (tangent - here), color=ORANGE, lw=2.5, ls="--")
    arrow(axes, (here, loss(here)), (there, promised), color=NOW, width=3)
    axes.plot([there] * 2, [promised, loss(there)], color=DARK, lw=1.5, ls=":")
    for at, y, color in ((here, loss(here), NOW), (there, loss(there), VALUE)):
        axes.plot(at, y, "o", color=color, ms=12)
    axes.text(
        here + 0.12, loss(here) + 0.1, f"w = 2, loss {loss(here):.0f}, slope −{-slope(here):.0f}"
    )
    axes.text(there + 0.14, loss(there), f"after the step: w = {there}, loss {loss(there):.2f}")
    axes.text(
        there - 0.16, promised - 0.15, f"the tangent says {promised:.1f}", ha="right", va="center"
    )
    axes.text(5.15, 6.2, "the loss", color=VALUE)
    axes.set(xlabel="w", ylabel="L", xlim=(1.4, 6), ylim=(-0.8, 12), xticks=range(2, 7))
    return drawn


@figure
def learning_rate():
    """Six steps from w = 2 with three learning rates."""
    drawn, panels = plt.subplots(
        1, 3, figsize=(WIDTH, 3.9), sharex=True, sharey=True, layout="constrained"
    )
    w = np.linspace(0, 8, 200)
    for axes, lr, verdict in zip(
        panels, (0.02, 0.2, 0.46), ("too small", "about right", "too large"), strict=True
    ):
        seen = [2.0]
        for _ in range(6):
            seen.append(seen[-1] - lr * slope(seen[-1]))
        seen = np.array(seen)
        axes.plot(w, loss(w), color=SKY, lw=2)
        axes.plot(seen, loss(seen), "o-", color=BLUE, lw=1.8, ms=7)
        axes.plot(seen[0], loss(seen[0]), "o", color=NOW, ms=11)
        axes.set(title=f"lr = {lr}: {verdict}", xlabel="w", ylim=(-0.8, 22), xticks=range(0, 9, 2))
    panels[0].set(ylabel="L")
    panels[0].annotate("start", (2, 9), (3.2, 13), arrowprops={"arrowstyle": "-", "color": DARK})
    return drawn


@figure
def line_and_bowl():
    """Left the lines of five moments, right the same moments on the map of the loss."""
    seen, moments = path(X, 0.1, 40), (0, 1, 2, 4, 40)
    colors = plt.get_cmap("Blues")(np.linspace(0.35, 0.95, len(moments)))
    drawn, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 4.7), layout="constrained")
    ends = np.array([-1.4, 2.5])
    for moment, color in zip(moments, colors, strict=True):
        w, b = seen[moment]
        left.plot(ends, w * ends + b, color=color, lw=2.5)
        left.text(2.56, w * 2.5 + b, f"{moment}", va="center", color=DARK)
    left.plot(X, T, "o", color=DARK, ms=10)
    left.text(2.56, 7.1, "step", ha="center")
    left.set(title="lines y = w x + b", xlabel="x", ylabel="y", xlim=(-1.5, 2.9), ylim=(-2.2, 7.4))
    contours(right, X, (-0.5, 3.6), (-1.2, 2.6))
    right.plot(*seen.T, color=DARK, lw=1.5)
    for moment, color in zip(moments, colors, strict=True):
        right.plot(*seen[moment], "o", color=color, ms=11, mec=DARK, zorder=3)
        if moment < 40:
            right.text(seen[moment][0] + 0.05, seen[moment][1] - 0.32, f"{moment}")
    label = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    right.text(2.15, 1.15, f"40: loss {line_losses(*seen[40], X):.2f}", bbox=label)
    right.set(title="the loss over all w and b", aspect="equal")
    return drawn


@figure
def narrow_valley():
    """The points moved by 3: forty steps with and without momentum."""
    drawn, panels = plt.subplots(
        1, 2, figsize=(WIDTH, 4.9), sharex=True, sharey=True, layout="constrained"
    )
    for axes, momentum in zip(panels, (0.0, 0.8), strict=True):
        contours(axes, X + 3, (-0.6, 3.2), (-7, 2))
        seen = path(X + 3, 0.06, 44, momentum)
        axes.plot(*seen.T, "o-", color=BLUE, lw=1.3, ms=4)
        axes.plot(*seen[0], "o", color=NOW, ms=11)
        axes.plot(2, -5, "*", color=DARK, ms=17)
        now = line_losses(*seen[-1], X + 3)
        title = f"momentum {momentum}" if momentum else "no momentum"
        axes.set(title=f"{title}, 44 steps: loss {now:.2f}")
    panels[1].set(ylabel="")
    panels[0].text(0.1, 0.5, "start", ha="right")
    panels[0].text(1.85, -5.35, "minimum", ha="right")
    return drawn


@figure
def batch_gradients():
    """200 gradients of batches of three sizes, at w = b = 0, for points around y = 2x + 1."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(1000)
    error = -(2 * x + 1 + rng.standard_normal(1000))
    each = np.stack([2 * error * x, 2 * error])
    drawn, panels = plt.subplots(
        1, 3, figsize=(WIDTH, 4.1), sharex=True, sharey=True, layout="constrained"
    )
    for axes, size in zip(panels, (4, 16, 64), strict=True):
        batches = [rng.choice(1000, size, replace=False) for _ in range(200)]
        axes.plot(*np.array([each[:, batch].mean(axis=1) for batch in batches]).T, ".", color=SKY)
        axes.plot(*each.mean(axis=1), "X", color=NOW, ms=13, mec="white")
        axes.axhline(0, color=GREY, lw=1, zorder=0)
        axes.axvline(0, color=GREY, lw=1, zorder=0)
        axes.set(title=f"batches of {size}", xlabel="gw", xlim=(-15, 3), ylim=(-8, 3))
    panels[0].set(ylabel="gb")
    panels[2].annotate(
        "all 1,000 points",
        each.mean(axis=1),
        (-13.5, -6.5),
        arrowprops={"arrowstyle": "-", "color": DARK},
    )
    return drawn
