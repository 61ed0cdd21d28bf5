"""The built-in lessons, from one weight to a whole MobileNetV1, and a museum of wrong backwards.

    loss = LESSONS["shared"].build()
    stepper.walk(loss)

All are in float64 and start from the same numbers each time. `LESSONS` is in the order in which to
take them; `MUSEUM` has the exhibits, whose gradients are wrong on purpose; `ALL` is both.
"""

from tinynet.stepper.lessons import (
    basics,
    convolutions,
    depth,
    losses,
    museum,
    museum_training,
    networks,
)
from tinynet.stepper.lessons.guide import Guide
from tinynet.stepper.lessons.lesson import Lesson

GROUPS = (basics, losses, depth, convolutions, networks)
LESSONS = {lesson.name: lesson for group in GROUPS for lesson in group.LESSONS}
MUSEUM = {room.name: room for room in (*museum.ROOMS, *museum_training.ROOMS)}
ALL = {**LESSONS, **MUSEUM}


def neighbours(lesson):
    """The lessons before and after, None at the ends."""
    names = list(ALL)
    place = names.index(lesson.name)
    previous = ALL[names[place - 1]] if place else None
    return previous, ALL[names[place + 1]] if place + 1 < len(names) else None


def page_guide(lesson, trace, linked=False):
    """What `save_html` takes as `guide`, for a lesson of this package and a Trace of its graph.
    linked: whether the other lessons' pages lie beside this one."""
    place = list(ALL).index(lesson.name) + 1
    return Guide(lesson, trace).for_page(place, len(ALL), neighbours(lesson), linked)


__all__ = ["ALL", "LESSONS", "MUSEUM", "Guide", "Lesson", "neighbours", "page_guide"]
