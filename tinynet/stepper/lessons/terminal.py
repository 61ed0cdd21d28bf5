"""A lesson in the terminal: its aim, the walk, a question about the fault, what to keep."""

import sys
import textwrap

from tinynet.stepper.lessons import Guide, neighbours
from tinynet.stepper.terminal import walk
from tinynet.stepper.text import WIDTH, table
from tinynet.stepper.trace import Trace


def show(lesson, everything=False):
    """Print the lesson; with a terminal at both ends, step by step and asking."""
    trace = Trace(lesson.build())
    guide = Guide(lesson, trace)
    print(f"Lesson {lesson.name!r}: {lesson.title}\n")
    _say(lesson.aim)
    told = guide.told()
    _say(told["start"]["text"])
    walk(trace, everything=everything, told=told)
    print()
    if lesson.table is not None:
        title, head, rows = guide.table()
        print(title, *table([head, *rows], tuple, None), "", sep="\n")
    if "choose" in lesson.sections:
        _ask(guide)
    _say(f"To keep: {guide.summary()}")
    following = neighbours(lesson)[1]
    if following:
        print(f"Next: {following.title} (--lesson {following.name})")


def _ask(guide):
    """Where is the fault? Asked until it is found, once in a pipe; then it is revealed."""
    question, choices, right, why, code = guide.choice()
    _say(f"Find the fault: {question}")
    for number, choice in enumerate(choices, 1):
        _say(f"{number}  {choice}", indent="   ", end="")
    print()
    while sys.stdin.isatty() and sys.stdout.isatty():
        try:
            answer = input("Which? (its number, Enter to be told) > ").strip()
        except (EOFError, KeyboardInterrupt):
            print()
            break
        if answer in ("", str(choices.index(right) + 1)):
            break
        print("Not that. Look at the table again.")
    _say(f"It is {choices.index(right) + 1}: {right}. {why}")
    print(textwrap.indent(code, "    "), end="\n\n")


def _say(text, indent="", end="\n"):
    print(textwrap.fill(text, WIDTH, subsequent_indent=indent), end="\n" + end)
