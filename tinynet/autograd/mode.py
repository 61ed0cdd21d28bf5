"""How a thread applies ops: recorded or not (`no_grad`), plain or fast, watched or not."""

import functools
import inspect
import os
import threading


class _Mode(threading.local):
    recording = True  # whether ops are put on the tape
    plain = os.environ.get("TINYNET_PLAIN", "0") not in ("", "0")  # by their definitions alone
    observers = ()  # see tape.observe


mode = _Mode()


def is_grad_enabled():
    """True where ops are put on the tape, which is everywhere outside `no_grad`."""
    return mode.recording


class _Switch:
    """Sets one entry of the mode in a `with` block or, as a decorator with or without brackets, in
    a function or in every step of a generator."""

    setting: tuple  # the entry's name and its value inside

    def __new__(cls, function=None):
        switch = super().__new__(cls)
        switch._before = []  # a stack: one object may be entered again inside itself
        return switch if function is None else switch(function)

    def __enter__(self):
        name, value = self.setting
        self._before.append(getattr(mode, name))
        setattr(mode, name, value)
        return self

    def __exit__(self, *_):
        setattr(mode, self.setting[0], self._before.pop())

    def __call__(self, function):
        name = type(self).__name__
        if inspect.isclass(function) or not callable(function):
            got = getattr(function, "__name__", repr(function))
            raise TypeError(f"{name}: decorates functions, got {got}; decorate its methods")
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{name}: cannot decorate the coroutine {function.__name__}, which other code may "
                f"interrupt; write `with {name}():` around the lines between its awaits"
            )
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def wrapped(*args, **kwargs):
                return _each_step(type(self), function(*args, **kwargs))

        else:

            @functools.wraps(function)
            def wrapped(*args, **kwargs):
                with type(self)():
                    return function(*args, **kwargs)

        return wrapped


def _each_step(switch, generator):
    """`generator`, each of its steps inside a block of `switch`, what lies between outside."""
    resume = functools.partial(next, generator)
    while True:
        try:
            with switch():
                value = resume()
        except StopIteration as stop:
            return stop.value
        try:
            sent = yield value
        except GeneratorExit:
            with switch():
                generator.close()
            raise
        except BaseException as error:
            resume = functools.partial(generator.throw, error)
        else:
            resume = functools.partial(generator.send, sent)


class no_grad(_Switch):  # noqa: N801 (torch's name)
    """`with no_grad():` ops are computed and not recorded: nothing is kept for backward."""

    setting = "recording", False


class inference_mode(no_grad):  # noqa: N801
    """The same as `no_grad`, by the name of torch's stricter form."""


class set_grad_enabled:  # noqa: N801
    """`set_grad_enabled(False)` stops recording from here on; in a `with` statement, inside its
    block alone."""

    def __init__(self, enabled):
        if not isinstance(enabled, bool):
            raise TypeError(f"set_grad_enabled: expected True or False, got {enabled!r}")
        self._before, mode.recording = mode.recording, enabled

    def __enter__(self):
        return self

    def __exit__(self, *_):
        mode.recording = self._before


class enable_grad(_Switch):  # noqa: N801
    """`with enable_grad():` records again inside a `no_grad` block."""

    setting = "recording", True


class plain(_Switch):  # noqa: N801
    """`with plain():` every op is computed by its definition in `tinynet/ops`, slowly and readably,
    whatever `tinynet/fast` offers. The environment variable TINYNET_PLAIN=1 does so everywhere."""

    setting = "plain", True
