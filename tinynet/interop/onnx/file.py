"""The bytes of an ONNX file as its graph, with limits: what is read may come from anybody."""

import math

import numpy as np

from tinynet.interop.source import WeightsError, package

FIELDS = 200_000  # of all messages; each takes about a hundred bytes once it is parsed
PACKED = 2**22  # bytes of packed integers, each of which becomes eight
DEEPEST = 20
OPSETS = range(9, 27)
FLOATS = {1: "<f4", 10: "<f2", 11: "<f8", 16: "<u2"}  # of TensorProto; 16 is bfloat16
OTHERS = {2: "u1", 3: "i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8", 9: "?", 12: "<u4", 13: "<u8"}
FIELD_OF = {1: "float_data", 11: "double_data", 7: "int64_data", 12: "uint64_data"}


def parse(data):
    """(GraphProto, opset, {key: text} of metadata_props) of a file's bytes. Raises: WeightsError;
    protobuf's own error for damage."""
    onnx = package("onnx")
    measure(data, onnx.ModelProto.DESCRIPTOR)
    model = onnx.ModelProto.FromString(data)
    graph = model.graph
    if not graph.node:
        raise WeightsError("no ONNX file, or one without nodes")
    for entry in model.opset_import:
        if entry.domain not in ("", "ai.onnx"):
            raise WeightsError(
                f"its ops are of {entry.domain!r:.80} too; only ONNX's own can be run"
            )
    opset = max((entry.version for entry in model.opset_import), default=0)
    if opset not in OPSETS:
        raise WeightsError(f"its opset is {opset}; {OPSETS[0]} to {OPSETS[-1]} can be run")
    if len(model.functions) or len(graph.sparse_initializer):
        raise WeightsError("it has functions or sparse tensors, which cannot be run")
    return graph, opset, {entry.key: entry.value for entry in model.metadata_props}


def measure(data, descriptor):
    """Refuse bytes that would take far more memory parsed than they are.

    The wire format of protobuf (https://protobuf.dev/programming-guides/encoding): fields, each a
    tag with the number and the kind, then a number or a length and bytes, which may be a message.
    """
    fields = packed = 0
    todo = [(0, len(data), descriptor, 0)]
    numbered = {}  # of each kind of message, its fields by their numbers
    while todo:
        at, end, kind, depth = todo.pop()
        if kind.full_name not in numbered:
            numbered[kind.full_name] = dict(kind.fields_by_number.items())
        message = numbered[kind.full_name]
        if depth > DEEPEST:
            raise WeightsError(f"its messages lie more than {DEEPEST} deep in one another")
        while at < end:
            tag, at = _varint(data, at)
            fields += 1
            if fields > FIELDS:
                raise WeightsError(f"it has more than {FIELDS:,} fields, which no network needs")
            size = {1: 8, 5: 4}.get(tag & 7, 0)
            if tag & 7 == 0:
                _, at = _varint(data, at)
            elif tag & 7 == 2:
                size, at = _varint(data, at)
                field = message.get(tag >> 3)
                if field is not None and field.message_type is not None:
                    todo.append((at, at + size, field.message_type, depth + 1))
                elif field is not None and field.type not in (1, 2, 9, 12):  # double to bytes
                    packed += size
            elif not size:
                raise WeightsError("no ONNX file, or a damaged one")
            at += size
            if at > end or packed > PACKED:
                raise WeightsError(
                    "cut off, or no ONNX file; copy it again"
                    if at > end
                    else f"it has more than {PACKED:,} bytes of packed integers"
                )


def _varint(data, at):
    if at < len(data) and data[at] < 128:
        return data[at], at + 1
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise WeightsError("cut off, or no ONNX file; copy it again")
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise WeightsError("no ONNX file, or a damaged one")


def array_of(tensor):
    """A TensorProto as an array; half precision as float32, exactly. Raises: WeightsError."""
    what = f"the tensor {tensor.name!r:.80}"
    if tensor.data_location or len(tensor.external_data):
        raise WeightsError(
            f"{what} lies in another file, which is not opened; save the model in one file"
        )
    kind, shape = tensor.data_type, tuple(tensor.dims)
    if kind not in FLOATS and kind not in OTHERS:
        raise WeightsError(f"{what} is of type {kind}, neither floating numbers nor integers")
    dtype = np.dtype(FLOATS.get(kind) or OTHERS[kind])
    if tensor.HasField("raw_data"):
        flat = tensor.raw_data
        if len(flat) % dtype.itemsize:
            raise WeightsError(f"{what} has {len(flat):,} bytes of {dtype.itemsize} each")
        flat = np.frombuffer(flat, dtype)
    else:
        flat = np.asarray(getattr(tensor, FIELD_OF.get(kind, "int32_data")))
        if kind in (10, 16):  # the bits of two bytes
            flat = flat.astype("<u2").view(dtype)
        flat = flat.astype(dtype)
    if min(shape, default=0) < 0 or math.prod(shape) != flat.size:
        raise WeightsError(f"{what} claims the shape {shape!s:.80} and has {flat.size:,} numbers")
    if kind == 16:  # the upper half of a float32
        flat = (flat.astype(np.uint32) << 16).view(np.float32)
    elif kind == 10:
        flat = flat.astype(np.float32)
    return flat.reshape(shape).astype(flat.dtype.newbyteorder("="))
