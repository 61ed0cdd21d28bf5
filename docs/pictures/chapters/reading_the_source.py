"""Figure of the chapter on reading the source."""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
from style import BLUE, ORANGE, WIDTH, figure

import tinynet as tn
from tinynet import nn

HOME = Path(tn.__file__).parent


def calls_of(function):
    """What `function` returns, and the file of each call into tinynet on the way."""
    files = []

    def note(frame, event, _):
        file, name = Path(frame.f_code.co_filename), frame.f_code.co_name
        if event == "call" and HOME in file.parents and not name.startswith("<"):
            files.append(file.relative_to(HOME).as_posix())

    sys.setprofile(note)
    try:
        return function(), files
    finally:
        sys.setprofile(None)


@figure
def eight_files():
    """Every call of a depthwise layer in plain mode, forward and back, as a dot at its file."""
    layer = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
    x = tn.ones(2, 8, 6, 6, requires_grad=True)
    with tn.plain():
        layer(x)
        y, forward = calls_of(lambda: layer(x))
        walk = tn.backprop(y, tn.ones_like(y))
        _, back = calls_of(lambda: next(walk))
    order = list(dict.fromkeys(forward + back))
    drawn, axes = plt.subplots(figsize=(WIDTH, 4.8))
    for files, start, color in ((forward, 0, BLUE), (back, len(forward) + 1, ORANGE)):
        places = range(start, start + len(files))
        heights = [-order.index(file) for file in files]
        axes.plot(places, heights, color=color, lw=2.5, marker="o", ms=9)
        name = f"{'forward' if color == BLUE else 'back'}: {len(files)} calls"
        axes.text(start + len(files) / 2 - 0.5, 0.8, name, ha="center", fontsize=16)
    axes.set_yticks([-i for i in range(len(order))], order, fontsize=14)
    axes.set(xticks=[], ylim=(0.5 - len(order), 1.3), xlim=(-0.7, len(forward + back) + 0.7))
    axes.grid(axis="y", color="#E6EAEE")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return drawn
