"""Files of weights by what is in them, whatever they are called: arrays by the names they have."""

import dataclasses
import io
import os
import re
import zipfile
from typing import Any

from tinynet.files import printable
from tinynet.interop import hdf5, safetensors, tensorflowjs
from tinynet.interop.onnx.graph import Graph
from tinynet.interop.source import UNPACKED, WeightsError, content, json_of, reading
from tinynet.training import checkpoint

# of a ModelProto: the version of the format, then the tag of one of the next fields
ONNX = re.compile(rb"\x08[\x01-\x7f][\x12\x1a\x22\x28\x32\x3a\x42\x72]")
JSON_TEXT = re.compile(rb'\s*\{\s*["}]')
KERAS_WEIGHTS, KERAS_CONFIG = "model.weights.h5", "config.json"  # the entries of a .keras file
MOST_ENTRIES = 10_000
IN_FOLDERS = ("model.json", "model.safetensors")
READ = (
    "expected safetensors, ONNX, Keras's .h5 or .keras, .npz, the model.json of TensorFlow.js, or "
    "a file of tinynet"
)


@dataclasses.dataclass
class Contents:
    """arrays: names -> arrays, as the file has them. topology: Keras's dict of the layers, or {}.
    folder: where the file lies. graph: of an ONNX file, which has no arrays here, the network."""

    arrays: dict
    topology: dict = dataclasses.field(default_factory=dict)
    folder: str = "."
    graph: Any = None


def read(path):
    """What a file (or a folder that holds one) has in it; None for tinynet's own, and for nothing.

    Takes a few times the file's size of memory, or of the 256 MiB that compressed ones may hold.
    Nothing in a file is executed: pickles are refused. Raises: WeightsError in one sentence.
    """
    path = os.fsdecode(path)
    if not os.path.exists(path):
        return None
    if os.path.isdir(path):
        names = os.listdir(path)
        if "checkpoint.npz" in names:
            return None
        found = [name for name in IN_FOLDERS if name in names]
        if not found:
            raise WeightsError(f"the folder {path} holds neither {' nor '.join(IN_FOLDERS)}")
        path = os.path.join(path, found[0])
    with reading(path):
        return _contents(content(path), path)


def _contents(data, path):
    folder = os.path.dirname(path)
    if data.startswith(b"PK"):
        found = _of_zip(data)
    elif data.startswith(hdf5.MAGIC):
        found = Contents(*hdf5.read(io.BytesIO(data)))
    elif JSON_TEXT.match(data):
        found = Contents(*tensorflowjs.read(json_of(data, "the file"), folder))
    elif data[8:9] == b"{":
        found = Contents(safetensors.arrays(data))
    elif ONNX.match(data):
        found = Contents({}, graph=Graph.of(data, printable(path)))
    elif data.startswith(b"\x80"):
        raise _pickled()
    else:
        raise WeightsError(f"no file of weights that is known: {READ}")
    if found:
        found.folder = folder
    return found


def _pickled():
    return WeightsError(
        "a pickle, which can run any code and is not opened; save it as safetensors: "
        'safetensors.torch.save_file(model.state_dict(), "model.safetensors")'
    )


def _of_zip(data):
    if data.count(b"PK\1\2") > MOST_ENTRIES:  # each would take half a kilobyte of Python's
        raise WeightsError(f"a zip of more than {MOST_ENTRIES:,} entries")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        names = {entry.filename for entry in entries}
        if checkpoint.TREE in names:
            return None
        if any(name.endswith(".pkl") for name in names):
            raise _pickled()
        claimed = sum(entry.file_size for entry in entries)
        if claimed > max(UNPACKED, len(data)):
            raise WeightsError(
                f"{len(data):,} bytes that unpack to {claimed:,}; at most {UNPACKED:,} are unpacked"
            )
        if len(names) < len(entries):
            raise WeightsError("two entries of one name")
        if KERAS_WEIGHTS in names:
            layers = _entry(archive, KERAS_CONFIG) if KERAS_CONFIG in names else b"{}"
            arrays, _ = hdf5.read(io.BytesIO(_entry(archive, KERAS_WEIGHTS)))
            return Contents(arrays, json_of(layers, KERAS_CONFIG))
        arrays = {}
        for entry in entries:
            if not entry.filename.endswith(".npy"):
                raise WeightsError(f"a zip with {entry.filename!r:.80}, which is no array: {READ}")
            raw = _entry(archive, entry.filename)
            name = entry.filename.removesuffix(".npy")
            if b"'|O" in raw[:256] or b"'O'" in raw[:256]:
                raise WeightsError(
                    f"{name!r:.80} holds Python objects, a pickle, which can run any code; save "
                    "arrays of numbers"
                )
            arrays[name] = checkpoint.array(raw)
        return Contents(arrays)


def _entry(archive, name):
    """The bytes of an entry: no more than it claims, for read() would unpack all that there is."""
    with archive.open(name) as file:
        return file.read(archive.getinfo(name).file_size)
