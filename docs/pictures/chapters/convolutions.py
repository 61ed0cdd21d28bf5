"""Figures of docs/handbook/convolution-from-zero.md."""

import matplotlib.pyplot as plt
import numpy as np
from style import GREY, NOW, NOW_LIGHT, RED, VALUE_LIGHT, WIDTH, blank, cells, figure

from tinynet.data import shapes

IMAGE = "striped disc"  # of the built-in shapes
FADED = "#F3F5F7"  # what no window reaches


def slid(x, w):
    """A filter w on a map x, both matrices, without padding."""
    K = len(w)
    rows, columns = (size - K + 1 for size in x.shape)
    return np.array(
        [[(x[h : h + K, v : v + K] * w).sum() for v in range(columns)] for h in range(rows)]
    )


def frame(axes, x, y, width, height, color=NOW):
    """A thick frame whose top left corner is (x, y)."""
    axes.add_patch(
        plt.Rectangle((x, y - height), width, height, fill=False, edgecolor=color, lw=3.5, zorder=3)
    )


@figure
def sliding_filter():
    """The filter (-1, 0, 1) at its five places along a row of seven numbers."""
    x, w = np.array([2, 2, 2, 5, 9, 9, 9]), np.array([-1, 0, 1])
    drawn, axes = plt.subplots(figsize=(WIDTH, 5.2))
    cells(axes, 0, 1, [x], VALUE_LIGHT, fontsize=18)
    axes.text(-0.3, 0.5, "row x", ha="right", va="center")
    for v in range(len(x) - len(w) + 1):
        y = -0.35 - 1.15 * v
        cells(axes, v, y, [w], NOW_LIGHT, fontsize=18)
        seen = x[v : v + len(w)]
        terms = " + ".join(
            f"({a})·{b}" if a < 0 else f"{a}·{b}" for a, b in zip(w, seen, strict=True)
        )
        axes.text(-0.3, y - 0.5, f"filter at place {v}", ha="right", va="center")
        axes.text(7.4, y - 0.5, f"{terms}  =", va="center")
        cells(axes, 12.6, y, [[seen @ w]], VALUE_LIGHT, fontsize=18)
    axes.text(13.1, 0.5, "y", ha="center", va="center", fontsize=18)
    blank(axes, (-3.6, 13.7), (-6.1, 1.1))
    return drawn


@figure
def sliding_window():
    """A 3x3 filter on a 4x4 image: one window, its nine products, one output."""
    x = np.array([[1, 2, 0, 1], [0, 3, 1, 2], [2, 1, 0, 1], [1, 0, 2, 3]])
    w = np.array([[1, 0, 2], [0, 1, 0], [-1, 0, 1]])
    y = slid(x, w)
    drawn, axes = plt.subplots(figsize=(WIDTH, 3.9))
    inside = np.pad(np.ones((3, 3)), ((0, 1), (1, 0)))
    colors = [[NOW_LIGHT if here else VALUE_LIGHT for here in row] for row in inside]
    cells(axes, 0, 4, x, colors, fontsize=18)
    frame(axes, 1, 4, 3, 3)
    axes.text(2, 4.3, "image x, 4x4", ha="center")
    axes.text(4.6, 2.5, "·", fontsize=30, ha="center", va="center")
    cells(axes, 5.2, 4, w, NOW_LIGHT, fontsize=18)
    axes.text(6.7, 4.3, "filter w, 3x3", ha="center")
    axes.text(8.8, 2.5, "=", fontsize=22, ha="center", va="center")
    cells(axes, 9.4, 3.5, y, [[VALUE_LIGHT, NOW_LIGHT], [VALUE_LIGHT] * 2], fontsize=18)
    frame(axes, 10.4, 3.5, 1, 1)
    axes.text(10.4, 3.8, "result y, 2x2", ha="center")
    seen = x[:3, 1:4]
    terms = [
        f"{b}·({a})" if a < 0 else f"{b}·{a}"
        for a, b in zip(w[w != 0].tolist(), seen[w != 0].tolist(), strict=True)
    ]
    axes.text(
        5.7, -0.75, f"y[0, 1]  =  {' + '.join(terms)}  =  {y[0][1]}", ha="center", fontsize=17
    )
    blank(axes, (-0.2, 12), (-1.1, 4.9))
    return drawn


@figure
def padding_and_stride():
    """Where a window stands along a row, and which pixels it never covers."""
    cases = ((8, 3, 2, 0), (8, 3, 2, 1), (8, 3, 3, 0), (7, 1, 2, 0))
    drawn, axes = plt.subplots(figsize=(WIDTH, 6.6))
    top = 0.0
    for H, K, S, P in cases:
        places = (H + 2 * P - K) // S + 1
        seen = {S * v - P + i for v in range(places) for i in range(K)}
        row = range(-P, H + P)
        text = [0 if i < 0 or i >= H else "abcdefgh"[i] for i in row]
        colors = ["white" if i < 0 or i >= H else VALUE_LIGHT if i in seen else FADED for i in row]
        cells(axes, -P, top, [text], [colors], fontsize=17, edge=GREY)
        for i in row:
            if i not in seen:
                axes.plot([i + 0.15, i + 0.85], [top - 0.85, top - 0.15], color=RED, lw=2.5)
        for v in range(places):
            start, y = S * v - P, top - 1.22 - 0.27 * (v % 2)
            axes.plot([start + 0.1, start + K - 0.1], [y, y], color=NOW, lw=5)
        lost = [i for i in row if i not in seen]
        zeros = sum(i >= H for i in lost)
        what = "nothing is lost"
        if lost:
            what = "a zero is never read" if zeros else f"{len(lost)} pixel{'s' * (len(lost) > 1)}"
            what += "" if zeros else " never read"
        name = f"H = {H}, K = {K}, S = {S}, P = {P}"
        axes.text(10, top - 0.3, name, va="center")
        axes.text(10, top - 1.05, f"{places} places, {what}", va="center")
        top -= 2.35
    axes.text(4, 0.4, "red bars: the window at its places; crossed out: never read", ha="center")
    blank(axes, (-1.3, 17), (top + 0.6, 1.0))
    return drawn


@figure
def receptive_field_cone():
    """Three layers of 3 with strides 1, 2, 1: one output sees nine pixels."""
    strides = (1, 2, 1)
    drawn, axes = plt.subplots(figsize=(WIDTH, 5))
    seen = [np.array([0])]  # of the last layer; then of the one below, down to the image
    for stride in strides[::-1]:
        seen.append(np.unique([stride * v + i for v in seen[-1] for i in (-1, 0, 1)]))
    fields, distance = [1], [1]
    for stride in strides:
        fields.append(fields[-1] + 2 * distance[-1])
        distance.append(distance[-1] * stride)
    names = ["image", "layer 1, stride 1", "layer 2, stride 2", "layer 3, stride 1"]
    for level, (name, here) in enumerate(zip(names, seen[::-1], strict=True)):
        step, y = distance[level], 1.75 * level
        assert len(seen[0]) == 1 and fields[-1] == len(seen[-1])
        reach = 6 // step
        for v in range(-reach, reach + 1):
            color = NOW_LIGHT if v in here else FADED
            edge = NOW if v in here else GREY
            box = plt.Rectangle((v * step - 0.42, y - 0.42), 0.84, 0.84, facecolor=color)
            box.set(edgecolor=edge, lw=2)
            axes.add_patch(box)
        if level:
            below = distance[level - 1]
            for v in here:
                for i in (-1, 0, 1):
                    start = ((strides[level - 1] * v + i) * below, y - 1.33)
                    axes.plot(
                        *zip(start, (v * step, y - 0.42), strict=True), color=NOW, lw=1.2, zorder=0
                    )
        axes.text(-7, y, name, ha="right", va="center")
        text = f"{len(here)} of them seen" if level else f"{len(here)} pixels seen"
        axes.text(7, y, text if level < 3 else "one output", va="center")
    blank(axes, (-11.2, 10.6), (-0.7, 5.9))
    return drawn


@figure
def what_filters_see():
    """A drawn image under a blur and under two edge filters."""
    images = shapes.make("train", per_class=1).images.astype(float).mean(axis=1)
    image = images[shapes.CLASS_NAMES.index(IMAGE)] / 255
    across = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4
    filters = {"blur": np.full((3, 3), 1 / 9), "left to right": across, "top to bottom": across.T}
    drawn, (above, below) = plt.subplots(
        2, 4, figsize=(WIDTH, 5), layout="constrained", height_ratios=(1, 2.3)
    )
    above[0].axis("off")
    below[0].imshow(image, cmap="gray", vmin=0, vmax=1)
    below[0].set_title("image")
    for (name, w), small, large in zip(filters.items(), above[1:], below[1:], strict=True):
        texts = [
            ["1/9" if name == "blur" else f"{4 * a:g}/4" if a else "0" for a in row] for row in w
        ]
        cells(small, 0, 3, texts, NOW_LIGHT)
        blank(small, (0, 3), (0, 3))
        signed = {"cmap": "RdBu", "vmin": -0.6, "vmax": 0.6}
        seen = slid(image, w)
        large.imshow(seen, **({"cmap": "gray", "vmin": 0, "vmax": 1} if name == "blur" else signed))
        large.set_title(name)
    for axes in below:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    note = "blue: brighter to the right (or below); red: darker; white: no change"
    below[2].set_xlabel(note, labelpad=8)
    return drawn
