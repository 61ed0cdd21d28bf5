"""The exercises: list them, write their stubs, check what was made of them.

python -m tinynet.exercises
python -m tinynet.exercises write multiply_backward
python -m tinynet.exercises check multiply_backward
"""

import argparse
import difflib
import os
import sys
import textwrap

from tinynet import files
from tinynet.exercises import verdict
from tinynet.exercises.course import COURSE

FOLDER = "exercises"


def main(arguments=None):
    """Exit status 0, 1 if a check did not pass or a file could not be written, 2 for wrong
    arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m tinynet.exercises",
        description="Exercises with checks: write a function in NumPy, and be told what is wrong.",
        epilog="Without a command: the list, with what is done. A check runs the code in the file.",
    )
    commands = parser.add_subparsers(dest="command", metavar="command")
    for name, text in (
        ("list", "the exercises in the order of the course, and what is done"),
        ("write", "write stubs; a file that exists is never overwritten"),
        ("check", "check what was written; without names, all that is there"),
        ("hint", "print a hint"),
        ("solution", "print the solution"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        if name != "list":
            many = {"write": "+", "check": "*"}.get(name, 1)
            more = ", or all" if name == "write" else ""
            command.add_argument("names", nargs=many, metavar="NAME", help=f"an exercise{more}")
        if name in ("list", "write", "check"):
            command.add_argument(
                "--dir", default=FOLDER, metavar="DIR", help="the folder; default: %(default)s"
            )
    options = parser.parse_args(files.expanded(arguments))
    chosen = [_find(parser, name, options) for name in getattr(options, "names", ())]
    try:
        failed = run(options, chosen)
    except BrokenPipeError:  # `| head` has read what it needs
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    except OSError as error:
        sys.exit(f"exercises: {files.printable(error)}")
    if failed:
        sys.exit(1)


def run(options, chosen):
    """Do what the command says; True if something is not right."""
    folder = getattr(options, "dir", FOLDER)
    if options.command in (None, "list"):
        return overview(folder)
    if options.command == "write":
        everything = "all" in options.names
        return write(list(COURSE.values()) if everything else chosen, folder, everything)
    if options.command == "check":
        return check(chosen, folder)
    (exercise,) = chosen
    if options.command == "hint":
        print(textwrap.fill(exercise.hint, 88))
    else:
        print(
            f"# The solution of {exercise.name} follows; a hint may be enough (`hint` prints it)\n"
        )
        print(f"import numpy as np\n\n\n{exercise.source}", end="")
    return False


def _find(parser, name, options):
    """The exercise called `name`; dashes and a file's ending do not matter."""
    plain = os.path.basename(name).removesuffix(".py").replace("-", "_")
    if plain in COURSE:
        return COURSE[plain]
    if name == "all" and options.command == "write":
        return None
    near = difflib.get_close_matches(plain, COURSE, 1)
    guess = f"did you mean {near[0]}? " if near else ""
    return parser.error(
        f"there is no exercise {name!r}; {guess}`python -m tinynet.exercises` lists all"
    )


def overview(folder):
    """Print the list; False."""
    written = _written(folder)
    for number, exercise in enumerate(COURSE.values(), 1):
        there = exercise.name in written
        status = verdict.check(exercise, _path(exercise, folder)).status if there else ""
        print(f"{number:2}  {exercise.name:24}{exercise.title:58}{status}".rstrip())
    print(f"\nBegin with:  python -m tinynet.exercises write {next(iter(COURSE))}")
    return False


def write(exercises, folder, everything):
    """Write stubs into the folder; True if one that was named is there already."""
    os.makedirs(folder, exist_ok=True)
    left = 0
    for exercise in exercises:
        path = _path(exercise, folder)
        try:
            with open(path, "x", encoding="utf-8") as file:
                file.write(exercise.stub)
            print(f"wrote {path}")
        except FileExistsError:
            left += 1
            if not everything:
                print(f"{path} exists and was left as it is; rename it to get a new stub")
    if everything and left:
        was = "was left as it is" if left == 1 else "were left as they are"
        print(f"{left} of the files existed and {was}")
    return left > 0 and not everything


def check(exercises, folder):
    """Print what is right and what is wrong; True if something is."""
    several = not exercises
    if several:
        exercises = [COURSE[name] for name in _written(folder)]
        if not exercises:
            sys.exit(f"exercises: nothing to check in {folder}; begin with `write NAME`")
    verdicts = {}
    for exercise in exercises:
        path = _path(exercise, folder)
        if not os.path.exists(path):
            sys.exit(f"exercises: there is no {path}; begin with `write {exercise.name}`")
        found = verdicts[exercise.name] = verdict.check(exercise, path)
        print(f"{exercise.name:24}{found.status}")
        if found.status == verdict.WRONG or not several:
            for line in found.lines:
                _print(line)
        if found.printed:
            _print("It printed:", *found.printed.rstrip().split("\n"))
    statuses = [found.status for found in verdicts.values()]
    if several:
        counts = (f"{statuses.count(kind)} {kind}" for kind in verdict.KINDS)
        print(f"\n{', '.join(counts)}, of {len(COURSE)} exercises")
    return set(statuses) != {verdict.DONE}


def _print(first, *more):
    """A sentence, indented, and further lines as they are."""
    print(textwrap.fill(files.printable(first), 92, initial_indent="  ", subsequent_indent="  "))
    for line in more:
        print(f"    {files.printable(line)}")


def _path(exercise, folder):
    return os.path.join(folder, f"{exercise.name}.py")


def _written(folder):
    """Names of the exercises for which there is a file."""
    return [name for name in COURSE if os.path.exists(_path(COURSE[name], folder))]


if __name__ == "__main__":
    main()
