"""Checkpoints: a nested tree of numbers, text and arrays in one `.npz` file.

The file is a zip archive, as NumPy's own: an entry `tree.json` holds the structure, and every
array is a `.npy` entry that the structure names, so `np.load(path)` and any unzip program can look
inside. Nothing is pickled: a checkpoint from a stranger can be wrong, but it cannot run code.
"""

import io
import json
import math
import os
import re
import zipfile

import numpy as np

from tinynet.autograd import Tensor
from tinynet.files import atomic_write

FORMAT = "tinynet checkpoint"
VERSION = 1
TREE = "tree.json"


class CheckpointError(ValueError):
    """A checkpoint could not be written or read; the message says which, why and what to do."""


def save(path, tree):
    """Write `tree` to `path`, atomically: a file that is there is replaced in one moment or not.

    Args:
        path: usually ends in `.npz`.
        tree: dicts (keys: str or int), lists, tuples, numbers, str, bool, None, NumPy arrays and
            Tensors, nested in any way. NumPy's scalars come back as Python's numbers, Tensors as
            CPU Tensors that require no gradient, and subclasses of dict as dict.
    Raises: TypeError for anything else in the tree (nothing is written then), CheckpointError if
        the file cannot be written.
    """
    arrays = {}
    text = json.dumps(
        {"format": FORMAT, "version": VERSION, "tree": _encode(tree, "tree", arrays)},
        allow_nan=False,
    )
    try:
        with atomic_write(path) as file, zipfile.ZipFile(file, "w") as archive:
            with _new_entry(archive, TREE) as entry:
                entry.write(text.encode())
            for name, array in arrays.items():
                with _new_entry(archive, name + ".npy") as entry:
                    np.lib.format.write_array(entry, array, allow_pickle=False)
    except OSError as error:
        raise CheckpointError(str(error)) from error


def _new_entry(archive, name):
    # A ZipInfo made by hand carries no clock time: equal trees give equal files.
    return archive.open(zipfile.ZipInfo(name), "w", force_zip64=True)


def load(path):
    """Read the tree that `save` wrote.

    Raises: CheckpointError if there is no such file, if it is damaged, or if it is something else.
    """
    path = os.fspath(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive, path)
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(
            f"cannot read the checkpoint {path} ({error.strerror or error}); check the path"
        ) from error
    except Exception as error:  # zip, JSON and npy each fail in ways of their own on damaged data
        raise CheckpointError(
            f"{path} is not a checkpoint, or it is damaged ({_first_line(error)}); "
            f"use another one, or start the training afresh"
        ) from error


def _read(archive, path):
    if TREE not in archive.namelist():
        raise CheckpointError(
            f"{path} is a zip archive but no checkpoint (it has no {TREE}); "
            f"give a file that tinynet saved"
        )
    # Entries are read whole: only at its end can the checksum of an entry be verified.
    head = json.loads(archive.read(TREE))
    if not isinstance(head, dict) or head.get("format") != FORMAT or "tree" not in head:
        raise CheckpointError(
            f"{path} is not a checkpoint of tinynet; give a file that tinynet saved"
        )
    if head.get("version") != VERSION:
        raise CheckpointError(
            f"{path} has the checkpoint version {head.get('version')!r}, this tinynet reads "
            f"version {VERSION}; use the tinynet that saved it"
        )

    def read_array(name):
        return np.lib.format.read_array(io.BytesIO(archive.read(name + ".npy")), allow_pickle=False)

    return _decode(head["tree"], read_array)


# In the JSON text a list, str, bool, None, int or finite float stands for itself; anything else is
# an object with one key, which says what it is.


def _encode(value, place, arrays):
    """`value` as JSON data. Its arrays go into the dict `arrays`, under the names used in the JSON.

    `place` is where in the tree we are: for names and error messages.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, dict):
        for key in value:
            if isinstance(key, bool) or not isinstance(key, str | int):
                raise TypeError(f"save: the keys of {place} must be str or int, got {key!r}")
        pairs = [[k, _encode(v, f"{place}[{k!r}]", arrays)] for k, v in value.items()]
        return {"dict": pairs}
    if isinstance(value, list | tuple):
        entries = [_encode(v, f"{place}[{i}]", arrays) for i, v in enumerate(value)]
        return entries if isinstance(value, list) else {"tuple": entries}
    if isinstance(value, Tensor):
        return {"tensor": _keep(value.numpy(), place, arrays)}
    if isinstance(value, np.ndarray):
        return {"array": _keep(value, place, arrays)}
    raise TypeError(
        f"save: {place} is a {type(value).__module__}.{type(value).__name__}; a checkpoint holds "
        f"dicts, lists, tuples, numbers, str, bool, None, NumPy arrays and Tensors"
    )


def _keep(array, place, arrays):
    """Put `array` among `arrays` and return its name there: unique, and telling to a reader."""
    if array.dtype.hasobject:
        raise TypeError(f"save: {place} is an array of Python objects; a checkpoint holds numbers")
    words = re.sub(r"[^\w.\-]+", " ", place.removeprefix("tree")).strip().replace(" ", "/")
    name = f"{len(arrays)}/{words[:200]}"
    arrays[name] = array
    return name


def _decode(data, read_array):
    """The value that `_encode` turned into `data`."""
    if isinstance(data, list):
        return [_decode(entry, read_array) for entry in data]
    if not isinstance(data, dict):
        return data
    ((kind, content),) = data.items()
    if kind == "dict":
        return {key: _decode(entry, read_array) for key, entry in content}
    if kind == "tuple":
        return tuple(_decode(entry, read_array) for entry in content)
    if kind == "float":
        return float(content)
    if kind == "array":
        return read_array(content)
    if kind == "tensor":
        return Tensor(read_array(content))
    raise ValueError(f"unknown kind {kind!r} in {TREE}")


def _first_line(error):
    return str(error).split("\n")[0] or type(error).__name__
