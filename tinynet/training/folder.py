"""The folder of a training: one run at a time is in it, and loses nothing of an earlier one."""

import contextlib
import os
from pathlib import Path

from tinynet import lock
from tinynet.files import printable, rehearse, sweep

CHECKPOINT = "checkpoint.npz"
FILES = (  # that a run writes
    *(CHECKPOINT, "best.npz", "network.npz", "options.json", "history.csv", "history.jsonl"),
    *("curves.png", "confusion.png", "worst.png", "predictions.png", "filters.png"),
    *("film.npz", "film.html", "model-card.md"),
)


@contextlib.contextmanager
def run_folder(out, resume=False, overwrite=False):
    """`with run_folder(out) as folder:` has the folder `out`, an absolute Path, for one run alone.

    It is made if need be, and can be written. At the end the folders that were made and are
    still empty are removed. A folder that holds a training is refused, unless the run is to
    `resume` it or to `overwrite` it; also then nothing of it changes before the run writes its own
    files (see `drop_earlier`). A second run is refused as long as the first one lives, where the
    file system knows locks.

    Args: out: as the user wrote it: `~` is the home folder, `./~` a folder of that name.
    Raises: ValueError in one sentence that speaks of --out, --resume and --overwrite.
    """
    shown = printable(out)
    if resume and overwrite:
        raise ValueError("--resume and --overwrite exclude each other; give one of them")
    folder = _absolute(os.fsdecode(out), shown)
    with contextlib.ExitStack() as stack:
        if not resume:
            _make(folder, shown, stack)
        if os.path.isdir(folder):
            _hold(folder, shown, stack)
        there = [name for name in FILES if os.path.lexists(folder / name)]
        if resume and CHECKPOINT not in there:
            raise ValueError(
                f"--resume: there is no {CHECKPOINT} in {shown}; leave --resume out, or give "
                "another --out"
            )
        for name in FILES:
            try:
                rehearse(folder / name)
            except OSError as error:
                reason = error.__cause__.strerror or error.__cause__
                raise ValueError(
                    f"--out: {name} in {shown} cannot be written ({reason}); move it away, or "
                    "give another --out"
                ) from None
            stack.callback(sweep, folder / name)  # a worker may be killed while it writes
        if there and not (resume or overwrite):
            on = "go on with --resume, start" if CHECKPOINT in there else "start"
            what = "" if CHECKPOINT in there else f", or what is left of one: {', '.join(there)}"
            raise ValueError(
                f"{shown} holds a training already{what}; {on} anew with --overwrite, or give "
                "another --out"
            )
        yield folder


def drop_earlier(folder):
    """Remove the files that an overwritten run left beside its checkpoint; to be called when the
    first checkpoint of the new run is there, so that no file of another run stays beside it."""
    for name in FILES[1:]:
        with contextlib.suppress(OSError):
            os.remove(folder / name)


def _absolute(out, shown):
    """`out` as a Path that stays the same wherever the program goes."""
    if not out or "\0" in out:
        raise ValueError(f"--out: expected the name of a folder, got '{shown}'")
    path = os.path.expanduser(out)
    if path.startswith("~"):
        raise ValueError(
            f"--out: there is no home folder for {shown}; write ./{shown} for a folder of that name"
        )
    try:
        path = path if os.path.isabs(path) else os.path.join(os.getcwd(), path)
    except OSError as error:
        raise ValueError(
            f"--out: the folder that the program runs in is gone ({error.strerror}); give an "
            "absolute path"
        ) from None
    # What stands behind ".." may be gone at the end; and a/link/.. is not always a.
    return Path(os.path.realpath(path) if ".." in Path(path).parts else path)


def _make(folder, shown, stack):
    """Make a folder and those above it that are missing; the stack removes them if still empty."""

    def remove_if_empty(path):
        with contextlib.suppress(OSError):
            os.rmdir(path)

    try:
        for path in [*reversed(folder.parents), folder]:
            if not os.path.isdir(path):
                try:
                    os.mkdir(path)
                except FileExistsError:
                    if not os.path.isdir(path):  # another run was quicker
                        raise
                else:
                    stack.callback(remove_if_empty, path)
    except OSError as error:
        raise ValueError(
            f"--out: cannot make the folder {shown} ({error.strerror}); choose a writable place"
        ) from None


def _hold(folder, shown, stack):
    """Lock the folder until the stack ends, by a file that goes then."""
    try:
        mine = stack.enter_context(lock.hold(folder / "training"))
    except OSError as error:
        raise ValueError(
            f"--out: the folder {shown} cannot be written ({error.strerror}); choose a writable "
            "place"
        ) from None
    if mine is None:
        raise ValueError(
            f"--out: another run is at work in {shown}; wait for its end, or give another --out"
        )
