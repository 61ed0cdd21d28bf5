"""A sheet of images and text measured in inches, for the pictures of `report`."""

import contextlib
import warnings
from bisect import bisect

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure  # not pyplot: it keeps every figure, and may want a screen
from matplotlib.patches import Rectangle

from tinynet.files import atomic_write
from tinynet.training.curves import DARK, GREY

DPI = 150
MARGIN = 0.24
HEADER = 1.05  # the height of title and note


class Canvas:
    """White paper of `width` by `height` inches; x runs to the right, y down."""

    def __init__(self, width, height):
        width, height = round(width * DPI) / DPI, round(height * DPI) / DPI  # whole dots
        self.figure = Figure(figsize=(width, height), dpi=DPI)
        self.ax = self.figure.add_axes([0, 0, 1, 1])
        self.ax.set_axis_off()
        self.ax.set_autoscale_on(False)
        self.ax.set_xlim(0, width)
        self.ax.set_ylim(height, 0)
        self._renderer = FigureCanvasAgg(self.figure).get_renderer()

    def header(self, y, title, note):
        """A title and, below it, a sentence that says what is to be seen."""
        self.text(MARGIN, y + 0.45, title, fontsize=20)
        self.text(MARGIN, y + 0.78, note, fontsize=14, color=GREY)

    def text(self, x, y, text, **style):
        """Text as it stands (no formulas); by default at the left of x, on the line y."""
        style = {"fontsize": 13, "color": DARK, "va": "baseline", "parse_math": False, **style}
        return self.ax.text(x, y, text, **style)

    def size_for(self, texts, width, **style):
        """The font size, from 13 down to 10, at which all texts are at most `width` wide."""
        widest = max(self._width(text, fontsize=13, **style) for text in texts)
        return int(min(13, max(10, 13 * width / widest)))

    def fitted(self, x, y, name, width, before="", after="", **style):
        """A name between two texts; where all is wider than `width`, its middle is left out."""

        def text(most):
            return f"{before}{shorten(name, most)}{after}"

        most = len(name)
        if self._width(text(len(name)), **style) > width:
            fitting = bisect(range(3, most), width, key=lambda n: self._width(text(n), **style))
            most = max(3, 2 + fitting)
        self.text(x, y, text(most), **style)

    def _width(self, text, **style):
        artist = self.text(0, 0, text, **style)
        with _quiet():
            extent = artist.get_window_extent(self._renderer)
        artist.remove()
        return extent.width / DPI

    def image(self, x, y, image, side):
        """image: (3, H, W), bytes, or numbers from 0 to 1. Its longer edge gets `side` inches; a
        small one is enlarged without blur."""
        H, W = image.shape[1:]
        high, wide = side * H / max(H, W), side * W / max(H, W)
        x, y = round(x * DPI) / DPI, round(y * DPI) / DPI  # on whole dots every pixel is as wide
        self.ax.imshow(
            np.moveaxis(image, 0, -1),
            extent=(x, x + wide, y + high, y),
            interpolation="nearest" if 2 * max(H, W) <= side * DPI else "auto",
            aspect="auto",
        )

    def bar(self, x, y, width, height, color):
        self.ax.add_patch(Rectangle((x, y), width, height, color=color, linewidth=0))

    def save(self, path):
        save(self.figure, path)


def save(figure, path, **options):
    """Write a figure as a PNG file, which appears in one moment."""
    with atomic_write(path) as file, _quiet():
        figure.savefig(file, format="png", **options)


@contextlib.contextmanager
def _quiet():
    """No warning for each character that the font lacks: a box stands in its place."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def shown(name):
    """A name as text of one line: what cannot be printed is replaced, underscores are spaces."""
    return "".join(c if c.isprintable() else "\ufffd" for c in str(name)).replace("_", " ")


def shorten(text, most):
    """`text`, or its beginning and its end, in at most `most` characters."""
    if len(text) <= most:
        return text
    end = (most - 1) // 2
    return text[: most - 1 - end].rstrip() + "…" + text[len(text) - end :].lstrip()
