"""The nodes of an ONNX file as steps: what is run, on which inputs, with which options."""

import dataclasses
import inspect
import math

import numpy as np

from tinynet.interop.onnx.file import array_of
from tinynet.interop.onnx.ops import OPS
from tinynet.interop.source import WeightsError

SPECIAL = ("training", "opset", "outputs", "tracked", "room")  # keywords that no attribute gives
CONSTANTS = ("value", "value_float", "value_floats", "value_int", "value_ints")


@dataclasses.dataclass
class Step:
    """One node: `results = function(*inputs, **options)`; wants: which SPECIAL it is given."""

    title: str
    kind: str
    inputs: tuple
    outputs: tuple
    options: dict
    wants: tuple
    last_uses: tuple = ()


def step_of(node, known):
    """A NodeProto as a Step; known: the names that there are before it, to which its own are added.

    Raises: WeightsError for an op, an attribute or a number of inputs that is not known, and for
    inputs that nothing before it makes.
    """
    title = f"the node {node.name!r:.80} ({node.op_type:.40})"
    if node.domain not in ("", "ai.onnx"):
        raise WeightsError(f"{title} is of {node.domain!r:.80}; only ONNX's own can be run")
    for name in node.input:
        if name and name not in known:
            raise WeightsError(
                f"{title} takes {name!r:.80}, which nothing before it makes: it is missing, or the "
                "nodes form a circle"
            )
    for name in node.output:
        if name in known or not name:
            raise WeightsError(f"{title} makes {name!r:.80}, which is there already")
        known.add(name)
    options = {a.name: _attribute(a, title) for a in node.attribute}
    wants = ()
    if node.op_type != "Constant":
        if node.op_type not in OPS:
            raise WeightsError(f"{title} is an op that tinynet cannot run")
        wants = _check(OPS[node.op_type], options, len(node.input), title)
    if len(node.output) != 1 and node.op_type != "Split":
        raise WeightsError(f"{title} has {len(node.output)} results; 1 is known")
    return Step(title, node.op_type, tuple(node.input), tuple(node.output), options, wants)


def _attribute(attribute, title):
    """An attribute as a Python value. Raises: WeightsError for graphs and the like."""
    kinds = {1: "f", 2: "i", 3: "s", 4: "t", 6: "floats", 7: "ints"}
    kind = kinds.get(attribute.type)
    if kind is None or attribute.ref_attr_name:
        raise WeightsError(f"{title}: its attribute {attribute.name!r:.80} is of no known type")
    value = getattr(attribute, kind)
    if kind == "t":
        return array_of(value)
    if kind == "s":
        return value.decode("utf-8", "replace")
    if kind == "f":  # 0.001 and not the nearest float32 to it, which is what a file can hold
        return float(str(np.float32(value)))
    return tuple(value) if kind in ("ints", "floats") else value


def constant(step):
    """The array of a Constant node."""
    options = step.options
    if len(options) != 1 or not options.keys() <= set(CONSTANTS):
        raise WeightsError(f"{step.title} has no value that is known")
    ((name, value),) = options.items()
    dtype = {"value": None, "value_float": np.float32, "value_floats": np.float32}
    return np.asarray(value, dtype.get(name, np.int64))


def _check(function, options, inputs, title):
    """Which of SPECIAL the function wants. Raises: WeightsError where inputs or attributes do not
    fit what it takes."""
    most = least = 0
    wants, known = [], {}
    for name, parameter in inspect.signature(function).parameters.items():
        required = parameter.default is parameter.empty
        if parameter.kind is parameter.VAR_POSITIONAL:
            most = math.inf
        elif parameter.kind is not parameter.KEYWORD_ONLY:
            most, least = most + 1, least + required
        elif name in SPECIAL:
            wants.append(name)
        else:
            known[name] = parameter.default
            if required and name not in options:
                raise WeightsError(f"{title} lacks the attribute {name!r}")
    if not least <= inputs <= most:
        raise WeightsError(f"{title} has {inputs} inputs; {least} to {most} are known")
    for name, value in options.items():
        if name not in known:
            raise WeightsError(f"{title} has the attribute {name!r:.80}, which is not known")
        default = known[name]
        wanted = tuple if default is None else int if default is inspect._empty else type(default)
        if not isinstance(value, wanted):
            raise WeightsError(f"{title}: its attribute {name!r:.80} is {value!r:.80}")
    return tuple(wants)
