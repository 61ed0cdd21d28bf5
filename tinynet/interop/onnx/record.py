"""What a forward pass does, op by op, recorded at two sizes of the batch to see what follows it."""

import dataclasses
import inspect
from typing import Any

import numpy as np

from tinynet import backend
from tinynet.autograd import Tensor, enable_grad, observe, plain

BATCHES = 2, 3


@dataclasses.dataclass
class Call:
    """An op as it was applied. sources: of each input the number of the call that made it, a name
    (of an input or an entry of the state), or an array that no op made. path: of the module that
    applied it. other: the same call in the recording of the other batch."""

    kind: type
    formula: str
    options: dict
    sources: tuple
    shapes: tuple
    shape: tuple
    dtype: Any
    path: str
    other: Any = None

    def __str__(self):
        return f"{self.kind.__name__} in {self.path or 'the model itself'!r}"


class Recorder:
    """The observer: `calls`, and where a tensor comes from.

    A tensor is known by the op that made it, which stays right where it is changed in place; by
    itself if no gradient was wanted.
    """

    def __init__(self, model, state, named):
        self.calls, self.kept = [], []  # what is kept alive keeps its id
        self.modules = {id(module): path for path, module in model.named_modules()}
        self.names = {id(t): name for name, t in [*state.items(), *named]}
        self.ops = {id(t.grad_fn): name for name, t in named}
        self.loose = {}

    def __call__(self, op, inputs, options, output):
        place = len(self.calls)
        sources = tuple(map(self.source, inputs))
        shapes = tuple(tensor.shape for tensor in inputs)
        formula = "".join(f"{y} = {rule}" for y, rule in op.rule.items() if y.startswith("y"))
        formula += f"; {op.where}" * bool(op.where)
        call = Call(
            *(op.definition, formula, options, sources),
            *(shapes, output.shape, output.dtype, self.path()),
        )
        self.calls.append(call)
        self.kept.append((op, inputs, output))
        if output.requires_grad:
            self.ops[id(op)] = place
        else:
            self.loose[id(output)] = place, output.counter[0]

    def source(self, tensor):
        made = tensor.grad_fn
        if made is not None and id(made) in self.ops:
            return self.ops[id(made)]
        if id(tensor) in self.names:
            return self.names[id(tensor)]
        place, counter = self.loose.get(id(tensor), (None, None))
        if counter == tensor.counter[0]:
            return place
        return tensor.detach().numpy().copy()

    def path(self):
        """The innermost module that is running."""
        frame = inspect.currentframe().f_back
        while frame is not None:
            path = self.modules.get(id(frame.f_locals.get("self")))
            if path is not None:
                return path
            frame = frame.f_back
        return ""


def record(model, state, names, arrays):
    """(calls, sources of the outputs, their shapes) of the model on arrays; state: its tensors by
    their names; names: of the inputs.

    By the definitions alone, so that no two ops are computed as one. Raises: TypeError for outputs
    that are no Tensors.
    """
    with plain(), enable_grad():
        # copies that an op made, which a model may change in place
        inputs = [Tensor(array, requires_grad=True).clone() for array in arrays]
        recorder = Recorder(model, state, list(zip(names, inputs, strict=True)))
        with observe(recorder):
            outputs = model(*inputs)
    outputs = outputs if isinstance(outputs, tuple | list) else (outputs,)
    for output in outputs:
        if not isinstance(output, Tensor):
            raise TypeError(
                f"save_onnx: the model must return a Tensor or several, got {type(output).__name__}"
            )
    return recorder.calls, [recorder.source(o) for o in outputs], [o.shape for o in outputs]


def both(model, state, names, arrays):
    """({number: call} of those that an output needs, sources of the outputs, [(shape, shape at the
    other batch)]) of two recordings.

    Raises: ValueError where the ops, or numbers that no op made, differ between the two.
    """
    calls, outputs, shapes = record(model, state, names, [batch(a, BATCHES[0]) for a in arrays])
    others, ends, shapes_there = record(model, state, names, [batch(a, BATCHES[1]) for a in arrays])
    kinds = [call.kind for call in calls], [call.kind for call in others]
    if kinds[0] != kinds[1] or len(outputs) != len(ends):
        raise ValueError(
            "save_onnx: the model applies other ops to other images; a file can hold one "
            "sequence of ops only"
        )
    needed, todo = {}, list(outputs)
    while todo:
        place = todo.pop()
        if isinstance(place, int) and place not in needed:
            call, other = calls[place], others[place]
            needed[place], call.other = call, other
            todo += call.sources
            if all(map(same, call.sources, other.sources)):
                continue
            raise ValueError(
                f"save_onnx: {call} takes numbers that follow the images or the size of the batch "
                "and that no op made; compute them by ops of tensors (or use eval() and no "
                "randomness)"
            )
    if not all(map(same, outputs, ends)):
        raise ValueError("save_onnx: an output of the model is computed by no op of its inputs")
    return dict(sorted(needed.items())), outputs, list(zip(shapes, shapes_there, strict=True))


def batch(array, size):
    """So many images that resemble those of `array`, no two alike."""
    draws = np.random.default_rng(size).uniform(0.8, 1.2, (size, *array.shape[1:]))
    rows = array[np.arange(size) % len(array)]
    return (rows * draws + (draws if np.ptp(array) == 0 else 0)).astype(array.dtype)


def same(a, b):
    """Whether options of an op, or sources, are equal: arrays bit by bit."""
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(map(same, a, b))
    if backend.is_array(a) and backend.is_array(b):
        return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if backend.is_array(a) or backend.is_array(b):
        return False
    return a == b
