"""Checks a learner's file: runs it, compares it with the definition, and says what is wrong."""

import os
import pickle
import re
import subprocess
import sys
import tempfile
from typing import NamedTuple

import numpy as np

from tinynet.exercises import learner

LIMIT = 10  # seconds for all calls of a function together, of which each takes milliseconds
START = 60  # seconds more for a process to begin and end, on a busy machine
RTOL, ATOL = 1e-8, 1e-10
SHOWN = 12  # an input of up to so many elements is shown, a larger one described
DONE, STUB, WRONG = KINDS = "done", "not yet", "wrong"


class Verdict(NamedTuple):
    """status: DONE, STUB or WRONG. lines: what there is to say. mistake: the name of the usual
    mistake that was recognised, or None. printed: what the learner's code printed."""

    status: str
    lines: list
    mistake: str | None = None
    printed: str = ""


def check(exercise, path):
    """The Verdict on the file at `path`, which is run in a process of its own.

    Raises OSError if it cannot be read.
    """
    try:
        with open(path, encoding="utf-8") as file:
            source = file.read()
    except UnicodeDecodeError:
        return Verdict(WRONG, ["it is no text file in UTF-8"])
    if source == exercise.stub:
        return Verdict(STUB, ["it is still the stub"])
    outcomes, printed = run_apart(task(exercise, source, os.fspath(path)), LIMIT)
    return judge(exercise, outcomes)._replace(printed=printed)


def task(exercise, source, path):
    """The arguments of `learner.run`."""
    return {
        "source": source,
        "path": path,
        "name": exercise.name,
        "calls": exercise.arguments,
        "gives": exercise.gives,
    }


def run_apart(task, limit):
    """(outcomes, what was printed) of `learner.run(**task)` in another process."""
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "task"), "wb") as file:
            pickle.dump((task, limit), file)
        quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        try:
            subprocess.run(
                [sys.executable, learner.__file__, folder], timeout=limit + START, **quiet
            )
        except subprocess.TimeoutExpired:
            return [("refused", f"it took more than {limit} seconds and had to be killed")], ""
        try:
            with open(os.path.join(folder, "outcomes"), "rb") as file:
                return pickle.load(file)  # by code that had this user's rights anyway
        except OSError:  # it did not come to its end
            with open(os.path.join(folder, "late"), encoding="utf-8") as file:
                late = file.read()
    if not late:
        return [("refused", "it ended the process that ran it")], ""
    found = re.search(rf'"{re.escape(task["path"])}", line (\d+)', late)
    place = f"line {found[1]}: " if found else ""
    text = f"{place}it was still running after {limit} seconds; is there a loop without an end?"
    return [("refused", text)], ""


def judge(exercise, outcomes):
    """The Verdict on what `learner.run` returned."""
    kind, *rest = outcomes[0]
    if kind == "stub":
        return Verdict(STUB, ["it still raises NotImplementedError"])
    if kind == "refused":
        return Verdict(WRONG, rest)
    for call, (outcome, expected) in enumerate(zip(outcomes, exercise.expected, strict=False)):
        kind, *rest = outcome
        if kind == "raised":
            return _wrong(exercise, outcomes, call, 0, rest[0])
        for which, (found, right) in enumerate(zip(rest[0], expected, strict=True)):
            sentence = _difference(exercise, call, which, found, right)
            if sentence:
                return _wrong(exercise, outcomes, call, which, sentence)
    return Verdict(DONE, [f"right, in {len(outcomes)} calls on different inputs"])


def _difference(exercise, call, which, found, right):
    """A sentence that says where a result is wrong; "" if it is right."""
    name = exercise.gives[which]
    if found.shape != right.shape:
        return f"{name} has shape {found.shape}, expected {right.shape}"
    wrong = ~same(found, right)
    if not wrong.any():
        return ""
    index = tuple(map(int, np.argwhere(wrong)[0]))
    place = f"{name}[{', '.join(map(str, index))}]" if index else name
    sentence = f"{place} = {number(found[index])}, expected {number(right[index])}"
    if wrong.size > 1:
        sentence += f" ({wrong.sum()} of {wrong.size} elements are wrong)"
    if np.allclose(found, right, rtol=1e-4, atol=1e-5):
        sentence += "; the first digits agree, so digits are lost on the way (in float32?)"
    difference = getattr(exercise.reference, "difference", None)
    if difference:
        moved, slope = difference(exercise.inputs[call], which, index)
        if slope is not None and np.isclose(slope, right[index], rtol=1e-4, atol=1e-4):
            place = f"{moved}[{', '.join(map(str, index))}]" if index else moved
            sentence += f". A finite difference with respect to {place} gives {slope:.4g}"
    return sentence


def _wrong(exercise, outcomes, call, which, sentence):
    mistake = recognise(exercise, outcomes, call, which)
    given = zip(exercise.parameters, exercise.arguments[call], strict=True)
    lines = [f"{sentence.rstrip('.')}.", f"Inputs: {', '.join(_shown(*pair) for pair in given)}."]
    if mistake:
        return Verdict(
            WRONG, [*lines, f"A common mistake: {exercise.mistakes[mistake].hint}"], mistake
        )
    return Verdict(WRONG, [*lines, f"Hint: {exercise.hint}"])


def recognise(exercise, outcomes, call, which):
    """The name of the mistake that gives the same result number `which` as the learner's code, in
    all calls or else (of two mistakes at once, say) the same numbers in this one; or None."""
    wrong = {name: mistaken(exercise, name) for name in exercise.mistakes}
    for name, theirs in wrong.items():
        if all(_alike(*pair, which) for pair in zip(outcomes, theirs, strict=True)):
            return name
    kind, ours, *_ = outcomes[call]
    if kind == "results" and ours[which].size != 1:  # one number may be the same by chance
        for name, theirs in wrong.items():
            if _alike(outcomes[call], theirs[call], which):
                return name
    return None


def mistaken(exercise, mistake):
    """The outcomes of the solution with a mistake in it."""
    return learner.run(**task(exercise, f"import numpy as np\n{exercise.wrong(mistake)}", "wrong"))


def _alike(ours, theirs, which):
    if ours[0] != theirs[0]:
        return False
    if ours[0] == "raised":
        return ours[2] == theirs[2]
    a, b = ours[1][which], theirs[1][which]
    return a.shape == b.shape and bool(same(a, b).all())


def same(a, b):
    return np.isclose(a, b, rtol=RTOL, atol=ATOL, equal_nan=True)


def number(value):
    """Six digits, or all of a whole number."""
    value = float(value)
    return f"{value:,.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.6g}"


def _shown(name, value):
    if isinstance(value, np.ndarray) and value.ndim and value.size > SHOWN:
        return f"{name} of shape {value.shape}"
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return f"{name} = {value}"
