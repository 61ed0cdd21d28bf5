"""A network as an ONNX file, which other programs run. The format: https://onnx.ai/onnx/intro

The ops of a forward pass become nodes; parameters and buffers keep their names of the state_dict.
"""

import json
import os

import numpy as np

from tinynet.autograd import Tensor, no_grad
from tinynet.files import atomic_write, printable
from tinynet.interop.onnx.graph import Graph
from tinynet.interop.onnx.nodes import nodes_of
from tinynet.interop.onnx.record import BATCHES, batch, both
from tinynet.interop.source import package
from tinynet.nn import Module

OPSET, IR = 17, 8
LARGEST = 2**31 - 2**20  # bytes of a file, for protobuf
CHECKED = 1, 5  # sizes of the batch at which the file is compared with the model
CLOSE = 1e-4  # of the largest number that the model gives


def save_onnx(model, args, path, input_names=("input",), output_names=("output",), metadata=None):
    """Write a network in evaluation mode as ONNX (opset 17), atomically.

    As torch.onnx.export: the ops of forward passes are recorded, so what Python decides in
    `forward` is decided once. The first axis is the batch, of any size "N" in the file; other sizes
    are those of `args`. What was written is run by tinynet's ops and compared with the model before
    the file appears.

    Args:
        model: a Module on the CPU; it keeps its mode. args: a Tensor (N, ...), or a tuple of them,
            such as the model takes; only its shape, dtype and range matter.
        input_names, output_names: what the file calls them; one name for each.
        metadata: None, or a dict of str to what JSON can hold, for the file's metadata_props.
    Raises: TypeError, ValueError in one sentence where the arguments are wrong, where an op has no
        counterpart in ONNX, or where the model does something that one sequence of ops cannot;
        WeightsError (a ValueError) without the package onnx; OSError where the file cannot be
        written.
    """
    if not isinstance(model, Module):
        raise TypeError(f"save_onnx: expected a Module first, got {type(model).__name__}")
    if not isinstance(path, str | bytes | os.PathLike):
        raise TypeError(f"save_onnx: the third argument is a path, got {type(path).__name__}")
    arrays = _arrays(args)
    names = _names("input_names", input_names, len(arrays))
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.device != "cpu":
            raise ValueError(f"save_onnx: the model is on {tensor.device}; move it with .cpu()")
    package("onnx")
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        builder = Builder(model, names, arrays, output_names)
        data = builder.file(metadata or {})
        _compare(model, Graph.of(data), arrays)
    finally:
        for module, mode in modes:
            module.training = mode
    with atomic_write(path) as file:
        file.write(data)


def _arrays(args):
    tensors = args if isinstance(args, tuple | list) else (args,)
    for tensor in tensors:
        if not isinstance(tensor, Tensor) or tensor.dtype.kind != "f":
            got = getattr(tensor, "dtype", type(tensor).__name__)
            raise TypeError(f"save_onnx: args must be Tensors of floating numbers, got {got}")
        if tensor.ndim == 0 or 0 in tensor.shape or len(tensor) != len(tensors[0]):
            raise ValueError(
                "save_onnx: the first axis of each of args is the batch, of one size and not "
                f"empty; got shape {tensor.shape}"
            )
    if not tensors:
        raise ValueError("save_onnx: args is empty; give the Tensor that the model takes")
    return [tensor.to("cpu").detach().numpy() for tensor in tensors]


def _names(what, names, count):
    names = list(names) if isinstance(names, tuple | list) else [names]
    if len(names) != count or not all(isinstance(n, str) and n for n in names):
        raise ValueError(f"save_onnx: {what} must be {count} str, got {names!r:.80}")
    return names


def _compare(model, graph, arrays):
    for size in CHECKED:
        inputs = [Tensor(batch(array, size)) for array in arrays]
        with no_grad(), np.errstate(all="ignore"):
            ours, theirs = _tuple(model(*inputs)), _tuple(graph(*inputs))
        for a, b in zip(ours, theirs, strict=True):
            room = CLOSE * np.abs(a.numpy()[np.isfinite(a.numpy())]).max(initial=1e-30)
            if a.shape != b.shape or not np.allclose(a, b, CLOSE, room, equal_nan=True):
                raise ValueError(
                    f"save_onnx: for {size} images the file would give other numbers than the "
                    f"model (shapes {b.shape} and {a.shape}); something in forward depends on "
                    "their number or values"
                )


def _tuple(outputs):
    return tuple(outputs) if isinstance(outputs, tuple | list) else (outputs,)


class Builder:
    """The file that is being made: what the functions of `nodes` add nodes to."""

    def __init__(self, model, names, arrays, output_names):
        self.helper = package("onnx.helper")
        self.nodes, self.initialisers, self.shapes, self.taken = [], {}, [], set(names)
        buffers = dict(model.named_buffers())
        found = {**buffers, **dict(model.named_parameters())}
        self.state = {name: found[name] for name in model.state_dict() if name in found}
        self.owners = {id(tensor.array): name for name, tensor in self.state.items()}
        self.buffers, self.names, self.title = buffers, names, type(model).__name__
        calls, outputs, shapes = both(model, self.state, names, arrays)
        self.inputs = [
            self.value(name, array.dtype, [(n, *array.shape[1:]) for n in BATCHES])
            for name, array in zip(names, arrays, strict=True)
        ]
        for name in set(names) & set(self.state):
            raise ValueError(f"save_onnx: {name!r} names an input and an entry of the state")
        made = self.add(calls)
        self.outputs = []
        output_names = _names("output_names", output_names, len(outputs))
        dtypes = [calls[s].dtype if isinstance(s, int) else arrays[0].dtype for s in outputs]
        for name, source, dtype, pair in zip(output_names, outputs, dtypes, shapes, strict=True):
            if name in self.taken or name in self.state:
                raise ValueError(f"save_onnx: {name!r} is to name two things")
            self.taken.add(name)
            result = self.given(source, made)
            self.nodes.append(self.helper.make_node("Identity", [result], [name]))
            self.outputs.append(self.value(name, dtype, pair))
        self.drop_identities()

    def add(self, calls):
        """Nodes for the calls; the name of each one's result."""
        made = {}
        for place, call in calls.items():
            self.call = call
            inputs = [self.given(source, made) for source in call.sources]
            made[place] = nodes_of(self, call, inputs)
            self.shapes.append(self.value(made[place], call.dtype, (call.shape, call.other.shape)))
        return made

    def given(self, source, made):
        """The name of what a source stands for."""
        if isinstance(source, int):
            return made[source]
        if isinstance(source, str):
            return source if source in self.names else self.initialiser(source)
        return self.constant(source)

    def initialiser(self, name):
        if name not in self.initialisers:
            array = np.ascontiguousarray(self.state[name].detach().numpy())
            total = sum(len(t.raw_data) for t in self.initialisers.values()) + array.nbytes
            if total > LARGEST:
                raise ValueError(
                    f"save_onnx: the weights have more than {LARGEST:,} bytes, which one ONNX file "
                    "cannot hold"
                )
            tensor = package("onnx.numpy_helper").from_array(array, name)
            tensor.doc_string = "buffer" if name in self.buffers else "parameter"
            self.initialisers[name] = tensor
        return name

    # what the functions of `nodes` call

    def node(self, kind, inputs, **attributes):
        """Add a node; the name of its result. Names begin with the path of the module."""
        path = "/" + "/".join([*filter(None, self.call.path.split(".")), kind])
        name, number = path, 0
        while name in self.taken:
            number += 1
            name = f"{path}_{number}"
        self.taken.add(name)
        result = f"{name}_output_0"
        self.taken.add(result)
        if kind != "Constant":
            attributes["doc_string"] = self.call.formula
        self.nodes.append(self.helper.make_node(kind, list(inputs), [result], name, **attributes))
        return result

    def constant(self, array):
        value = package("onnx.numpy_helper").from_array(np.asarray(array, order="C"))
        return self.node("Constant", [], value=value)

    def integers(self, values):
        return self.constant(np.array(values, np.int64))

    def kept(self, array, call):
        """An array of the model's: by its name if it is a buffer."""
        owner = self.owners.get(id(array))
        return self.constant(array) if owner is None else self.initialiser(owner)

    def batch(self):
        """The size of the batch, as an array of one number."""
        return self.node("Shape", [self.names[0]], start=0, end=1)

    def element_type(self, dtype):
        return self.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    # the file

    def value(self, name, dtype, pair):
        """The type and shape of a value; pair: of its shapes at the two batches."""
        sizes = [
            a if a == b else "N" if (a, b) == BATCHES else None for a, b in zip(*pair, strict=True)
        ]
        return self.helper.make_tensor_value_info(name, self.element_type(dtype), sizes)

    def drop_identities(self):
        """The last Identity of each output, where a node makes the value: it takes the name."""
        made = {node.output[0]: node for node in self.nodes}
        for output in self.outputs:
            (source,) = made[output.name].input
            users = [n for n in self.nodes if source in n.input]
            if source in made and len(users) == 1 and made[source].op_type != "Constant":
                self.nodes = [n for n in self.nodes if n is not made[output.name]]
                made[source].output[0] = output.name
                self.shapes = [value for value in self.shapes if value.name != source]

    def file(self, metadata):
        """The bytes of the file, which onnx.checker has accepted."""
        onnx = package("onnx")
        graph = self.helper.make_graph(
            self.nodes,
            self.title,
            self.inputs,
            self.outputs,
            [self.initialisers[name] for name in self.state if name in self.initialisers],
            doc_string=f"The forward pass of a {self.title} in evaluation mode. "
            "N: how many images (or other inputs) there are, any number.",
            value_info=self.shapes,
        )
        model = self.helper.make_model(
            graph,
            opset_imports=[self.helper.make_opsetid("", OPSET)],
            producer_name="tinynet",
            doc_string=f"{self.title}, written by tinynet. Names of weights are those of the "
            "state_dict.",
        )
        model.ir_version = IR
        for key, value in metadata.items():
            model.metadata_props.add(key=key, value=json.dumps(value))
        if model.ByteSize() > LARGEST:
            raise ValueError(f"save_onnx: the file would have more than {LARGEST:,} bytes")
        try:
            onnx.checker.check_model(model, full_check=True)
        except Exception as error:  # it has several
            reason = printable(str(error).partition("\n")[0], 200)
            raise ValueError(f"save_onnx: onnx.checker refuses the file ({reason})") from error
        return model.SerializeToString()
