"""The built-in lessons: step back through one of them, or write it as a page or a GIF.

python -m tinynet.stepper --list
python -m tinynet.stepper --lesson batchnorm
python -m tinynet.stepper --lesson conv --html conv.html
python -m tinynet.stepper --html-all lessons
"""

import argparse
import os
import sys

from tinynet.files import expanded
from tinynet.stepper import model
from tinynet.stepper.lessons import ALL, LESSONS, Lesson
from tinynet.stepper.lessons.terminal import show

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
    parser.add_argument(
        "--html-all", metavar="DIR", help="write all lessons as web pages, with an index page"
    )
    parser.add_argument("--gif", metavar="OUT", help="write the lesson's steps as a GIF")
    parser.add_argument("--cost", metavar="OUT", help="write the cost explorer, a web page")
    parser.add_argument("--model", metavar="FILE.py:CLASS", help="a network class of your own")
    parser.add_argument(
        "--weights", metavar="FILE", help="of --model: its weights, .npz or .safetensors"
    )
    parser.add_argument("--image", metavar="FILE", help="of --model: what it sees; default: noise")
    options = parser.parse_args(expanded(arguments))
    if options.lesson not in ALL:
        parser.error(f"--lesson: there is no lesson {options.lesson!r}; there are {', '.join(ALL)}")
    lesson = ALL[options.lesson]
    if options.model or options.weights or options.image:
        lesson = model.prepare(options)
    if options.list:
        for lesson in ALL.values():
            print(f"{lesson.name:20}{lesson.title}")
        return
    try:
        if not write_files(options, lesson):
            show(lesson, options.all)
    except ModuleNotFoundError as error:
        if error.name != "mobilenet":
            raise
        sys.exit("stepper: this needs mobilenet.py; run it in the folder of tinynet's checkout")
    except BrokenPipeError:  # `| head` has read what it needs
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_files(options, lesson):
    """Write what was asked for; True if anything was."""
    outputs = (
        (options.html, _html),
        (options.html_all, _html_all),
        (options.gif, _gif),
        (options.cost, _cost),
    )
    for wanted, write in outputs:
        if not wanted:
            continue
        try:
            for written in write(lesson, wanted) or [wanted]:
                print(f"wrote {written}")
        except (OSError, ValueError) as error:  # ValueError: too many ops
            sys.exit(f"stepper: {error}")
    return any(wanted for wanted, _ in outputs)


def _html(lesson, path):
    from tinynet.stepper.lessons.pages import save_lesson
    from tinynet.stepper.page import save_html

    if isinstance(lesson, Lesson):
        save_lesson(lesson, path)
    else:
        save_html(lesson.build(), path, title=lesson.title)


def _html_all(_, folder):
    from tinynet.stepper.lessons.pages import save_all

    return save_all(folder)


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
