"""A lock between programs, for what only one of them should make at a time."""

import contextlib
import os
import time

from tinynet import files


class Lock:
    """A lock that is held. ``beat`` shows those who wait that its holder gets on."""

    def __init__(self, path):
        self.path, self.last = path, 0.0

    def beat(self):
        if time.monotonic() - self.last > 1:
            self.last = time.monotonic()
            with contextlib.suppress(OSError):
                os.utime(self.path)


@contextlib.contextmanager
def hold(path):
    """``with hold(path) as lock:`` gives the ``Lock`` of whoever makes ``path``, a ``Path``; or
    None while somebody else has it.

    The system keeps the lock, on an empty file beside ``path``, and frees it when its holder
    ends, however that happens. The holder removes the file. On a disk that has no locks
    everybody gets one.

    Raises:
        OSError: if the file cannot be made.
    """
    path = file_of(path)
    handle = _take(path)
    try:
        yield None if handle is None else Lock(path)
    finally:
        if handle is not None:
            _release(handle, path)


def file_of(path):
    return path.with_name(f".{path.name}.lock")


def _take(path):
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        if files.lock(handle) is False:
            os.close(handle)
            return None
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
        os.close(handle)  # the holder before has just removed that file: there may be a new one


def _release(handle, path):
    steps = [(os.unlink, path), (os.close, handle)]
    for step, what in steps if files.fcntl else reversed(steps):  # Windows removes no open file
        with contextlib.suppress(OSError):
            step(what)
