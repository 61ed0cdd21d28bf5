"""The built-in lessons: step back through one of them, or write it as a page or a GIF.

python -m tinynet.stepper --list
python -m tinynet.stepper --lesson batchnorm
python -m tinynet.stepper --lesson conv --html conv.html
"""

import argparse
import os
import sys
import textwrap

from tinynet.stepper.lessons import LESSONS
from tinynet.stepper.terminal import walk
from tinynet.stepper.text import WIDTH

# what the cost explorer starts from: title, network of `mobilenet.build`, classes, image size
COST_NETWORKS = (
    ("MobileNetV1, ImageNet", "paper", 1000, 224),
    ("the shallow one, ImageNet", "shallow", 1000, 224),
    ("MobileNetV1, CIFAR-100, 4x4", "cifar-4x4", 100, 32),
    ("MobileNetV1, CIFAR-100, 2x2", "cifar-2x2", 100, 32),
)


def main(arguments=None):
    """Exit status 0, 2 for wrong arguments, 1 for a file that cannot be written."""
    parser = argparse.ArgumentParser(
        prog="python -m tinynet.stepper",
        description="The built-in lessons: step back through one of them, or write it as a page or "
        "a GIF.",
    )
    parser.add_argument("--list", action="store_true", help="list the lessons")
    parser.add_argument(
        "--lesson",
        default=next(iter(LESSONS)),
        metavar="NAME",
        help="which lesson; default: %(default)s",
    )
    parser.add_argument(
        "--all", action="store_true", help="all steps in full, however many, if the output is piped"
    )
    parser.add_argument("--html", metavar="OUT", help="write the lesson as a web page of one file")
    parser.add_argument("--gif", metavar="OUT", help="write the lesson's steps as a GIF")
    parser.add_argument("--cost", metavar="OUT", help="write the cost explorer, a web page")
    options = parser.parse_args(arguments)
    if options.lesson not in LESSONS:
        parser.error(
            f"--lesson: there is no lesson {options.lesson!r}; there are {', '.join(LESSONS)}"
        )
    if options.list:
        for lesson in LESSONS.values():
            print(f"{lesson.name:15}{lesson.title}")
        return
    try:
        if not write_files(options):
            show(LESSONS[options.lesson], options.all)
    except ModuleNotFoundError as error:
        if error.name != "mobilenet":
            raise
        sys.exit("stepper: this needs mobilenet.py; run it in the folder of tinynet's checkout")
    except BrokenPipeError:  # `| head` has read what it needs
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show(lesson, everything):
    """The lesson in the terminal."""
    print(f"Lesson {lesson.name!r}: {lesson.title}", textwrap.fill(lesson.about, WIDTH), sep="\n\n")
    print()
    walk(lesson.build(), everything=everything)


def write_files(options):
    """Write what was asked for; True if anything was."""
    lesson = LESSONS[options.lesson]
    for wanted, write in ((options.html, _html), (options.gif, _gif), (options.cost, _cost)):
        if not wanted:
            continue
        try:
            write(lesson, wanted)
        except OSError as error:
            sys.exit(f"stepper: {error}")
        print(f"wrote {wanted}")
    return bool(options.html or options.gif or options.cost)


def _html(lesson, path):
    from tinynet.stepper.page import save_html

    save_html(lesson.build(), path, title=lesson.title)


def _gif(lesson, path):
    from tinynet.stepper.plots import animate

    animate(lesson.build(), path)


def _cost(lesson, path):
    import mobilenet
    from tinynet.stepper.cost import save_cost_page
    from tinynet.summary import summary

    networks = {}
    for title, name, classes, size in COST_NETWORKS:
        networks[title] = summary(mobilenet.build(name, classes), (3, size, size))
    save_cost_page(path, networks)


if __name__ == "__main__":
    main()
