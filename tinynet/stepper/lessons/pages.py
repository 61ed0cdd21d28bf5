"""The lessons as web pages: one, or all of them in a folder with an index page."""

import html
import itertools
from pathlib import Path

from tinynet.files import atomic_write
from tinynet.pages import filled
from tinynet.stepper.lessons import ALL, page_guide
from tinynet.stepper.page import PARTS, save_html
from tinynet.stepper.trace import Trace


def save_lesson(lesson, path, linked=False):
    """Write a lesson's page. linked: the others lie beside it, as NAME.html."""
    trace = Trace(lesson.build())
    guide = page_guide(lesson, trace, linked) | {"network": _real_network(trace)}
    save_html(trace, path, lesson.title, guide)


def _real_network(trace):
    """MobileNetV1's sizes, beside which the costs of a lesson's convolution are seen: None for a
    lesson without one, and outside of tinynet's checkout."""
    if not any("Conv2d" in node.name for node in trace.nodes):
        return None
    try:
        from mobilenet import BLOCKS, STEM_CHANNELS
    except ImportError:
        return None
    return {"image": 224, "stem": STEM_CHANNELS, "classes": 1000, "blocks": BLOCKS}


def save_all(folder, lessons=None):
    """Write the pages of the lessons (all), NAME.html, and index.html: a generator of their paths.

    Raises OSError for a folder that cannot be made or written into.
    """
    folder, lessons = Path(folder), list(lessons or ALL.values())
    folder.mkdir(parents=True, exist_ok=True)
    for lesson in lessons:
        path = folder / f"{lesson.name}.html"
        save_lesson(lesson, path, linked=True)
        yield path
    with atomic_write(folder / "index.html", "w") as file:
        file.write(index(lessons))
    yield folder / "index.html"


def index(lessons):
    """The page that lists the lessons, under their groups, with aim and minutes."""
    groups = []
    for group, members in itertools.groupby(lessons, key=lambda lesson: lesson.group):
        items = "\n".join(map(_item, members))
        groups.append(f"<h2>{html.escape(group)}</h2>\n<ol>\n{items}\n</ol>")
    return filled(
        (PARTS / "index.html").read_text("utf-8"),
        style=(PARTS / "style.css").read_text("utf-8"),
        count=str(len(lessons)),
        minutes=str(sum(lesson.minutes for lesson in lessons)),
        groups="\n".join(groups),
    )


def _item(lesson):
    title, aim = html.escape(lesson.title), html.escape(lesson.aim)
    return (
        f'<li><a href="{lesson.name}.html"><span class="minutes">{lesson.minutes} min</span>'
        f"<b>{title}</b><span>{aim}</span></a></li>"
    )
