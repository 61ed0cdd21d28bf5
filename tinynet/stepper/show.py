"""The page in a notebook: the last value of a cell in Jupyter, VS Code, Colab or marimo."""

import html

from tinynet.stepper.page import page_text

# Without it "#step=3" would lead to the notebook's own address, which the page must not take.
HERE = '<base href="about:srcdoc">'


class Page:
    """What `show` returns. Attributes: text: the page, as HTML of its own. title, height."""

    def __init__(self, text, title, height):
        self.text, self.title, self.height = text, title, height

    def __repr__(self):
        return f"<a page of {len(self.text):,} characters: {self.title}; a notebook shows it>"

    def _repr_html_(self):
        """The page in a frame of its own, which may run the page's scripts and nothing else: it
        reaches neither the notebook nor a network."""
        page = self.text.replace("<head>", f"<head>{HERE}", 1)
        style = f"width: 100%; height: {self.height}px; border: 1px solid #888"
        return (
            f'<iframe title="{html.escape(self.title)}" sandbox="allow-scripts" '
            f'srcdoc="{html.escape(page)}" style="{style}"></iframe>'
        )


def show(loss, title="", height=720):
    """The page that `save_html` writes, to be the last value of a notebook's cell.

    Args: loss, title: as for `save_html`. height: of the frame, in pixels.
    Returns a `Page`. Raises what `save_html` raises for a graph; ValueError for a height that is
    not an integer from 200 to 5000.
    """
    if not isinstance(height, int) or not 200 <= height <= 5000:
        raise ValueError(f"show: height must be an integer from 200 to 5000, got {height!r}")
    return Page(page_text(loss, title, "show"), title or "Backprop, step by step", height)
