"""Whether ops are put on the tape: `no_grad`, `enable_grad`."""

import functools
import threading


class _GradMode(threading.local):
    enabled = True


_mode = _GradMode()


def is_grad_enabled():
    """True where ops are put on the tape, which is everywhere outside `no_grad`."""
    return _mode.enabled


class _SetGradMode:
    """Switches the tape on or off in a `with` block or, as a decorator, in a function."""

    enabled: bool

    def __init__(self):
        self._before = []  # a stack: one object may be entered again inside itself

    def __enter__(self):
        self._before.append(_mode.enabled)
        _mode.enabled = self.enabled
        return self

    def __exit__(self, *_):
        _mode.enabled = self._before.pop()

    def __call__(self, function):
        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            with type(self)():
                return function(*args, **kwargs)

        return wrapped


class no_grad(_SetGradMode):  # noqa: N801 (torch's name)
    """`with no_grad():` ops are computed and not recorded: nothing is kept for backward."""

    enabled = False


class enable_grad(_SetGradMode):  # noqa: N801
    """`with enable_grad():` records again inside a `no_grad` block."""

    enabled = True
