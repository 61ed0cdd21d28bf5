"""A "layers model" of TensorFlow.js: model.json, and the bytes of the weights in files beside it.

The manifest in model.json lists groups of weights, with dtype and shape, and the files ("shards")
that hold a group's bytes one after the other. https://www.tensorflow.org/js/guide/save_load
"""

import math
import os
import re

import numpy as np

from tinynet.interop.source import UNPACKED, WeightsError, content

DTYPES = {"float32": "<f4", "uint8": "u1", "uint16": "<u2", "float16": "<f2"}
OTHERS = {"int32": 4, "bool": 1}  # bytes of each number; no network needs these


def read(model, folder):
    """({name: float32 array}, Keras's dict of the layers) of the dict in model.json.

    Weights that were quantised to 8 or 16 bits are scaled back. Shards lie in `folder`; a name
    that leads out of it is refused, as is a link that does. Raises: WeightsError.
    """
    if "weightsManifest" not in model:
        raise WeightsError("a JSON file without weightsManifest, so no model of TensorFlow.js")
    if model.get("format") == "graph-model":
        raise WeightsError(
            "a graph model of TensorFlow.js, whose layers are folded together; convert the Keras "
            "model with --output_format=tfjs_layers_model"
        )
    arrays = {}
    for group in model["weightsManifest"]:
        data = _shards(group["paths"], folder, UNPACKED - sum(a.nbytes for a in arrays.values()))
        at = 0
        for weight in group["weights"]:
            name, shape = weight["name"], weight["shape"]
            stored = weight.get("quantization", weight).get("dtype", weight["dtype"])
            size = np.dtype(DTYPES[stored]).itemsize if stored in DTYPES else OTHERS.get(stored)
            if not isinstance(name, str) or size is None or not _is_shape(shape):
                raise WeightsError(f"{name!r:.80} is of {stored!r:.20} {shape!r:.60}")
            end = at + size * math.prod(shape)
            if end > len(data):
                raise WeightsError(f"{name!r:.80} {shape} ends behind the {len(data):,} bytes")
            if stored in DTYPES:
                array = np.frombuffer(data[at:end], DTYPES[stored]).reshape(shape)
                arrays[name] = _scaled_back(array, weight)
            at = end
        if at != len(data):
            raise WeightsError(f"the shards have {len(data):,} bytes, the weights {at:,}")
    topology = model.get("modelTopology")
    return arrays, topology if isinstance(topology, dict) else {}


def _is_shape(shape):
    return isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)


def _scaled_back(array, weight):
    array = array.astype(np.float32)
    if "scale" in weight.get("quantization", {}):
        scale, low = weight["quantization"]["scale"], weight["quantization"].get("min", 0)
        array = array * np.float32(scale) + np.float32(low)
    return array


def _shards(names, folder, most):
    parts, home = [], os.path.realpath(folder)
    for name in names:
        plain = isinstance(name, str) and not re.search(r"^[/~]|[\\:\0]|(^|/)\.\.(/|$)", name)
        path = os.path.join(home, name) if plain else home
        if not plain or os.path.commonpath([home, os.path.realpath(path)]) != home:
            raise WeightsError(f"the shard {name!r:.80} is no file in the folder of model.json")
        parts.append(content(path, most))
        most -= len(parts[-1])
    return b"".join(parts)
