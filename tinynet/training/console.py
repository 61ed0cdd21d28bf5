"""What a training says on the terminal: by worker 0, and never at the cost of the training."""

import contextlib
import os
import sys
import threading

from tqdm import tqdm

from tinynet import parallel
from tinynet.files import printable

tqdm.set_lock(threading.RLock())  # its own is a semaphore, which a worker that is killed leaves


def tell(text):
    """Print a line, if this is worker 0. A reader that has gone away, as `head` does, costs the
    line and no more."""
    if parallel.rank == 0:
        _say(text, "stdout")


def warn(text):
    """The same on stderr."""
    if parallel.rank == 0:
        _say(f"warning: {text}", "stderr")


def _say(text, name):
    stream = getattr(sys, name)
    if stream is None:  # closed from the start: 2>&-
        return
    try:
        stream.write(printable(text) + "\n")
        stream.flush()
    except (OSError, ValueError):
        # what comes next goes nowhere, and Python, which flushes at its end, finds no fault
        with contextlib.suppress(OSError):
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115


def short(path):
    """A path as a user of this folder would write it."""
    try:
        return path.relative_to(os.getcwd())
    except (ValueError, OSError):  # it is elsewhere, or the folder is gone
        return path


def progress_bar(loader, title, done):
    """Images done, images/s and time left, by worker 0; nothing where stderr is no terminal.
    done: batches that were trained before."""
    terminal = sys.stderr is not None and sys.stderr.isatty()
    return tqdm(
        total=len(loader) * loader.batch_size,
        initial=done * loader.batch_size,
        desc=title,
        unit=" images",
        leave=False,
        disable=parallel.rank != 0 or not terminal,
    )
