"""A network from an ONNX file: a Module whose forward runs the file's graph by tinynet's ops."""

import functools
import math

import numpy as np

from tinynet.autograd import Tensor
from tinynet.files import printable
from tinynet.interop.onnx.file import DEEPEST, FLOATS, array_of, parse
from tinynet.interop.onnx.ops import OPS
from tinynet.interop.onnx.steps import constant, step_of
from tinynet.interop.source import WeightsError, content, reading
from tinynet.nn import Module, Parameter

MOST_NODES = 10_000
ROOM = 2**26  # numbers of a value, for each image


def load_onnx(path):
    """Read an ONNX file: a Module (in evaluation mode) that takes and returns what its graph does.

    It can be trained: weights are Parameters, BatchNorm's statistics and what else the file marks
    so are buffers, with the names that the file has, which are those of the state_dict in files of
    torch and tinynet. Ops are those of MobileNet-like networks (`ops.OPS`), opset 9 to 26.
    Nothing in a file is executed, and no other file is opened.

    Raises: WeightsError (a ValueError) in one sentence for a file that is damaged, larger than
    1 GiB, or has an op, an attribute or a type that is not known; and in `forward` where shapes do
    not fit, or a value would have more than 2**26 numbers for each image.
    """
    with reading(path):
        return Graph.of(content(path), printable(path))


class Graph(Module):
    """What `load_onnx` returns. metadata: {key: text} of the file's metadata_props; inputs,
    outputs: [(name, sizes)], None or a str for a size that the file leaves open."""

    @classmethod
    def of(cls, data, path="the file"):
        """The network in the bytes of a file; path: what it is called in sentences."""
        self = cls()
        graph, self.opset, self.metadata = parse(data)
        self.path, self.steps, self.constants, self.places = path, [], {}, {}
        if len(graph.node) + len(graph.initializer) > MOST_NODES:
            raise WeightsError(f"more than {MOST_NODES:,} nodes and weights")
        given = {tensor.name for tensor in graph.initializer}
        self.inputs = [_described(value) for value in graph.input if value.name not in given]
        self.outputs = [_described(value) for value in graph.output]
        known = given | {name for name, _ in self.inputs}
        if len(known) < len(given) + len(self.inputs) or len(given) < len(graph.initializer):
            raise WeightsError("two of its inputs or weights have one name")
        if not self.inputs or not self.outputs:
            raise WeightsError("its graph has no inputs or no outputs")
        weights = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            step = step_of(node, known)
            if step.kind == "Identity" and step.inputs[0] in weights:
                # torch writes weights of equal values once, and the others as copies of the first
                weights[step.outputs[0]] = weights[step.inputs[0]]
            elif step.kind == "Constant":
                self._constant(step.outputs[0], constant(step))
            else:
                self.steps.append(step)
        for name, _ in self.outputs:
            if name not in known:
                raise WeightsError(f"no node makes its output {name!r:.80}")
        uses = {name: set() for name in weights}
        for step in self.steps:
            for place, name in enumerate(step.inputs):
                uses.get(name, set()).add((step.kind, place))
        for name, tensor in weights.items():
            self._keep(name, tensor, uses[name])
        self._count_batches()
        last = {name: place for place, step in enumerate(self.steps) for name in step.inputs}
        for name, place in last.items():
            if name and name not in dict(self.outputs):
                self.steps[place].last_uses += (name,)
        return self.eval()

    def forward(self, *inputs):
        values = self._values(inputs)
        room = functools.partial(_room, ROOM * max(len(inputs[0]) if inputs[0].ndim else 1, 1))
        special = {"training": self.training, "opset": self.opset, "room": room}
        for step in self.steps:
            special["outputs"], special["tracked"] = len(step.outputs), None
            if step.kind == "BatchNormalization":
                special["tracked"] = self._tracked(step)
            options = {**step.options, **{name: special[name] for name in step.wants}}
            try:
                results = OPS[step.kind](*[values[name] for name in step.inputs], **options)
            except Exception as error:  # in a file of a stranger anything may be wrong
                reason = printable(str(error).partition("\n")[0] or type(error).__name__, 250)
                raise WeightsError(f"{self.path}: {step.title}: {reason}") from error
            results = results if isinstance(results, tuple) else (results,)
            for name in step.last_uses:
                values.pop(name, None)
            values.update(zip(step.outputs, results, strict=True))
        found = tuple(values[name] for name, _ in self.outputs)
        found = tuple(v if isinstance(v, Tensor) else Tensor(v) for v in found)
        return found if len(found) > 1 else found[0]

    def end_before_softmax(self):
        """Where the only output is a Softmax, let it be what that takes."""
        step = self.steps[-1]
        if step.kind == "Softmax" and [step.outputs[0]] == [name for name, _ in self.outputs]:
            self.steps.pop()
            self.outputs = [(step.inputs[0], self.outputs[0][1])]

    def extra_repr(self):
        return f"{len(self.steps)} nodes of {self.path}"

    # what forward begins with

    def _values(self, inputs):
        if len(inputs) != len(self.inputs):
            raise TypeError(f"{self.path}: takes {len(self.inputs)} inputs, got {len(inputs)}")
        values = {**self.constants, "": None}
        for name, (owner, key) in self.places.items():
            values[name] = getattr(owner, key)
        for (name, sizes), x in zip(self.inputs, inputs, strict=True):
            if not isinstance(x, Tensor) or x.dtype.kind != "f":
                got = getattr(x, "dtype", type(x).__name__)
                raise TypeError(f"{name!r:.80}: expected a Tensor of floating numbers, got {got}")
            fits = len(sizes) == x.ndim and all(
                not isinstance(size, int) or size == there
                for size, there in zip(sizes, x.shape, strict=True)
            )
            if not fits:
                raise ValueError(
                    f"{self.path}: {name!r:.80} has the shape {_shown(sizes)}, got {x.shape}"
                )
            values[name] = x
        return values

    def _tracked(self, step):
        place = self.places.get(_counter(step.inputs[3]))
        return None if place is None else getattr(*place)

    # building

    def _keep(self, name, tensor, uses):
        """An initialiser as a parameter, a buffer or, if it holds integers, a constant. uses: the
        kinds of nodes that take it, and as which input."""
        array = array_of(tensor)
        statistic = any(kind == "BatchNormalization" and place > 2 for kind, place in uses)
        setting = uses and all(kind in ("Clip", "Pad", "Dropout") for kind, _ in uses)
        if array.dtype.kind != "f" or setting or not uses:
            self._constant(name, array)
            return
        if not np.isfinite(array).all():
            raise WeightsError(f"{name!r:.80} must hold finite numbers")
        marked = tensor.doc_string  # in files of tinynet
        if marked == "buffer" or statistic or (array.ndim == 0 and marked != "parameter"):
            self._register(name, Tensor(array), Module.register_buffer)
        else:
            self._register(name, Parameter(array), Module.register_parameter)

    def _constant(self, name, array):
        """Integers as they are; floating numbers as a buffer, to be moved, that no state has."""
        if array.dtype.kind != "f":
            self.constants[name] = array
            return
        key = f"constant{len(self.places)}"
        self.register_buffer(key, Tensor(array), persistent=False)
        self.places[name] = self, key

    def _register(self, name, tensor, register):
        """Under the dotted name: a Module for each part, unless that is no name of an attribute."""
        *parts, last = name.split(".")
        try:
            owner = self
            if len(parts) > DEEPEST:
                raise ValueError(f"{name!r:.80} has {len(parts)} parts")
            for part in parts:
                if part not in owner._modules:
                    owner.add_module(part, Module())
                owner = owner._modules[part]
            if last in owner._modules | owner._parameters | owner._buffers:
                raise ValueError(f"{name!r:.80} is there already")
            register(owner, last, tensor)
        except ValueError:  # "", or what a Module has of its own
            owner, last = self, "_".join(["weight", *parts, last])
            while last in self._parameters or last in self._buffers or hasattr(self, last):
                last += "_"
            register(owner, last, tensor)
        self.places[name] = owner, last

    def _count_batches(self):
        """torch's third buffer of a BatchNorm, which evaluation does not need and no file has."""
        for step in self.steps:
            if step.kind == "BatchNormalization":
                name = _counter(step.inputs[3])
                if name and name not in self.places and name not in self.constants:
                    self._register(name, Tensor(np.zeros((), np.int64)), Module.register_buffer)


def _counter(name):
    end = "running_mean"
    return name.removesuffix(end) + "num_batches_tracked" if name.endswith(f".{end}") else None


def _described(value):
    """(name, sizes) of a ValueInfoProto."""
    kind = value.type.tensor_type
    if kind.elem_type not in FLOATS:
        raise WeightsError(f"{value.name!r:.80} is no tensor of floating numbers")
    sizes = [
        size.dim_value if size.HasField("dim_value") else size.dim_param or None
        for size in kind.shape.dim
    ]
    return value.name, sizes


def _shown(sizes):
    return "(" + ", ".join(printable(size or "any", 20) for size in sizes) + ")"


def _room(most, shape):
    if math.prod(shape) > most:
        raise ValueError(f"a result of shape {tuple(shape)!s:.80} is more than {most:,} numbers")
