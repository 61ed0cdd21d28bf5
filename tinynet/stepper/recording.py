"""Recording a forward pass, so that its values can be shown later.

The engine keeps of a forward pass what backward needs and nothing else. While a `record()` block
lasts, the tape tells this module of every op (`observe`), and what went in and came out of it is
written down.
"""

import contextlib
import inspect
import weakref
from typing import Any, NamedTuple

from tinynet import backend
from tinynet.autograd.tape import Function, observe


class Call(NamedTuple):
    """One op as it was applied: copies of the arrays that went in and came out; leaves: the
    input tensors that no op made, None for the others; names: what the inputs are called, ''
    where they have no name; options of the op; path: the module that applied it,
    'blocks.0.depthwise', or ''."""

    inputs: tuple
    output: Any
    leaves: tuple
    names: tuple
    options: dict
    path: str


_calls = weakref.WeakKeyDictionary()  # op -> Call
_results = weakref.WeakKeyDictionary()  # op -> what its result is called where the block ends


@contextlib.contextmanager
def record():
    """Write down every op that this thread applies in the block, and the module it belongs to.

        with stepper.record():
            loss = criterion(model(x), y)
        stepper.walk(loss)

    The values are copied: it takes as much memory as the activations.
    """
    try:
        with observe(_write_down):
            yield
    finally:
        _name_results(inspect.currentframe().f_back.f_back)


def _write_down(op, inputs, options, output):
    if output.grad_fn is None or op in _calls:  # not recorded, or noted by a block around this one
        return
    modules, called = _stack()
    names = tuple(called.get(id(tensor), "") for tensor in inputs)
    leaves = tuple(tensor if tensor.grad_fn is None else None for tensor in inputs)
    copies = tuple(tensor.array.copy() for tensor in inputs)
    path = _path(modules)
    # of options too: running statistics, say, change later on
    kept = {name: _copy(option) for name, option in options.items()}
    _calls[op] = Call(copies, output.array.copy(), leaves, names, kept, path)


def call_of(op):
    """What was written down of an op, or None if it was not recorded."""
    return _calls.get(op)


def result_name(op):
    """What the op's result is called where its `record()` block ends, or ''."""
    return _results.get(op, "")


def _copy(option):
    return option.copy() if backend.is_array(option) else option


def _name_results(frame):
    """Note the names of recorded results: the last one, no op's input, has its name from here."""
    for name, value in _users_tensors(frame):
        if value.grad_fn in _calls:
            _results.setdefault(value.grad_fn, name)


def _users_tensors(frame):
    """(name, tensor) of a frame's variables, if the code is not the engine's. Names that begin
    with _ are left out: a REPL keeps the last result in `_`."""
    file = frame.f_globals.get("__name__", "")
    if file.startswith("tinynet.") and not file.startswith("tinynet.stepper.lessons."):
        return
    for name, value in frame.f_locals.items():
        if isinstance(value, Function.tensor_type) and not name.startswith("_"):
            yield name, value


def _stack():
    """What is running: the modules, innermost first, and {id of a tensor: what it is called}.

    A module runs in a frame whose `self` has modules of its own (the layer of modules lies above
    this one, so they are known by what they can do). A tensor is called what its parameter is
    called in the model, else as the user's variable.
    """
    modules, called, frame = [], {}, inspect.currentframe().f_back.f_back
    while frame is not None:
        module = frame.f_locals.get("self")
        if "_modules" in getattr(module, "__dict__", ()):
            if module not in modules:
                modules.append(module)
        else:
            for name, value in _users_tensors(frame):
                called.setdefault(id(value), name)
        frame = frame.f_back
    if modules:
        called.update((id(p), name) for name, p in modules[-1].named_parameters())
    return modules, called


def _path(modules):
    """The path of the innermost module in the outermost, as `named_modules()` says it."""
    paths = {id(module): name for name, module in modules[-1].named_modules()} if modules else {}
    return next((paths[id(module)] for module in modules if id(module) in paths), "")
