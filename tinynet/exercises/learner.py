"""Runs a learner's function, in a process of its own: `python learner.py FOLDER`.

This file is a program that knows nothing of tinynet: neither the expected results nor the solutions
are in its memory, and it takes `import tinynet` away from the code that it runs.
"""

import sys

if __name__ == "__main__":
    del sys.path[0]  # this file's folder, in which the solutions are

import contextlib
import faulthandler
import inspect
import os
import pickle
import traceback

import numpy as np

MOST_PRINTED = 1_000  # characters that are kept


def run(source, path, name, calls, gives):
    """[outcome of each call]: ("results", arrays), ("raised", sentence, class of the error), or
    one outcome for all: ("stub", ) or ("refused", sentence).

    Args: source: the text of the file. path: its name, for line numbers. name: of the function.
    calls: the arguments of each call. gives: the names of the results.
    """
    try:
        names = {"__name__": name, "__file__": path}
        exec(compile(source, path, "exec"), names)
    except SyntaxError as error:
        return [("refused", f"line {error.lineno}: this is not Python: {error.msg}")]
    except BaseException as error:  # SystemExit too
        kind, *said = _raised(error, path)
        return [(kind,) if kind == "stub" else ("refused", said[0])]
    function = names.get(name)
    if not callable(function):
        return [("refused", f"it defines no function {name}; a new stub shows how it begins")]
    try:
        inspect.signature(function).bind(*calls[0])
    except (TypeError, ValueError):  # ValueError: one of C, which does not say what it takes
        return [("refused", f"{name} should take {len(calls[0])} arguments, as the stub does")]
    outcomes = []
    for arguments in calls:
        outcomes.append(_call(function, path, arguments, gives))
        if outcomes[-1][0] in ("stub", "refused"):
            return outcomes[-1:]
    return outcomes


def _call(function, path, arguments, gives):
    arguments = [_read_only(value) for value in arguments]
    try:
        with np.errstate(all="ignore"):
            result = function(*arguments)
        return _results(result, gives)
    except NotImplementedError:
        return ("stub",)
    except BaseException as error:
        return _raised(error, path)


def _read_only(value):
    """A copy that cannot be written to: an attempt raises an error in the line that makes it."""
    if isinstance(value, np.ndarray):
        value = value.copy()
        value.flags.writeable = False
    return value


def _results(result, gives):
    wanted = ", ".join(gives)
    if result is None:
        return ("refused", f"it returns None; does it end with `return {wanted}`?")
    if len(gives) > 1 and not (isinstance(result, tuple) and len(result) == len(gives)):
        found = type(result).__name__
        count = f" of {len(result)}" if isinstance(result, tuple | list) else ""
        return ("refused", f"it returns a {found}{count}; end it with `return {wanted}`")
    arrays = []
    for name, value in zip(gives, result if len(gives) > 1 else (result,), strict=True):
        if not isinstance(value, np.ndarray | np.generic | int | float):
            found = type(value).__name__
            return ("refused", f"{name} is a {found}, expected an array (np.array makes one)")
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            return ("refused", f"{name} holds {array.dtype} values, expected float64")
        arrays.append(array.astype(np.float64))
    return ("results", tuple(arrays))


def _raised(error, path):
    """An outcome that names the learner's line in which an error came up."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)]
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    own = [line for line, file in zip(lines, files, strict=True) if file == path]
    place = f"line {own[-1]}: " if own else ""
    text = " ".join(str(error).split())
    if isinstance(error, NotImplementedError):
        return ("stub",)
    if isinstance(error, ImportError) and (error.name or "").split(".")[0] == "tinynet":
        return ("refused", f"{place}it imports tinynet; write it with NumPy alone")
    if isinstance(error, SystemExit):
        return ("refused", f"{place}it ends the program; return a result")
    if isinstance(error, ValueError) and text.endswith("read-only"):
        return (
            "refused",
            f"{place}it writes into an array that it was given, or a view of one; others read it "
            "too: work on a new array",
        )
    kind = type(error).__name__
    return ("raised", f"{place}{kind}: {text}" if text else f"{place}{kind}", kind)


class Printed:
    """What the learner's code prints: the beginning of it is kept."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text = (self.text + text)[:MOST_PRINTED]
        return len(text)

    def flush(self):
        pass


def main(folder):
    with open(os.path.join(folder, "task"), "rb") as file:
        task, limit = pickle.load(file)
    printed = Printed()
    sys.modules["tinynet"] = None
    sys.path.insert(0, os.path.dirname(os.path.abspath(task["path"])))
    with open(os.path.join(folder, "late"), "w") as late:
        faulthandler.dump_traceback_later(limit, exit=True, file=late)
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            outcomes = run(**task)
        faulthandler.cancel_dump_traceback_later()
    with open(os.path.join(folder, "outcomes"), "wb") as file:
        pickle.dump((outcomes, printed.text), file)


if __name__ == "__main__":
    main(sys.argv[1])
