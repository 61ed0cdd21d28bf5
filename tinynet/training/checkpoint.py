"""Checkpoints: a nested tree of numbers, text and arrays in one `.npz` file.

The file is a zip archive, as NumPy's own: an entry `tree.json` holds the structure, and every
array is a `.npy` entry that the structure names, so `np.load(path)` and any unzip program can look
inside. Nothing is pickled: a checkpoint from a stranger can be wrong, but it cannot run code.
"""

import contextlib
import hashlib
import io
import json
import math
import os
import re
import sys
import zipfile

import numpy as np

from tinynet.autograd import Tensor
from tinynet.files import atomic_write, ordinary, printable

FORMAT = "tinynet checkpoint"
VERSION = 1
TREE = "tree.json"
Scalar = str | int | float | None
KINDS = {  # for `expect`
    int: "a whole number from 0 up",
    float: "a finite number",
    bool: "True or False",
    str: "a text",
    np.ndarray: "an array",
    None: "None",
}


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
    try:
        text = json.dumps(
            {"format": FORMAT, "version": VERSION, "tree": _encode(tree, "tree", arrays)},
            allow_nan=False,
        )
    except RecursionError:
        raise TypeError("save: the tree is nested too deep, or holds itself") from None
    try:
        with atomic_write(path) as file, zipfile.ZipFile(file, "w") as archive:
            with _new_entry(archive, TREE) as entry:
                entry.write(text.encode())
            for name, array in arrays.items():
                with _new_entry(archive, name + ".npy") as entry:
                    np.lib.format.write_array(entry, array, allow_pickle=False)
    except OSError as error:
        raise CheckpointError(str(error)) from error


def digest(tree):
    """A checksum of all that `tree` holds, 32 hexadecimal digits: the same once it was saved and
    loaded. Raises TypeError as `save` does."""
    arrays = {}
    found = hashlib.blake2b(json.dumps(_encode(tree, "tree", arrays)).encode(), digest_size=16)
    for array in arrays.values():
        found.update(f"{array.dtype.str} {array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def _new_entry(archive, name):
    # A ZipInfo made by hand carries no clock time: equal trees give equal files.
    return archive.open(zipfile.ZipInfo(name), "w", force_zip64=True)


def load(path):
    """Read the tree that `save` wrote. Takes no more memory than a few times the file's size.

    Raises: CheckpointError if there is no such file, if it is damaged, or if it is something else
        (a pipe or a device is not opened).
    """
    path = os.fsdecode(path)
    with contextlib.ExitStack() as stack:
        try:
            ordinary(path)
            file = stack.enter_context(open(path, "rb"))
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
            reason = getattr(error, "strerror", None) or error
            raise CheckpointError(
                printable(f"cannot read the checkpoint {path} ({reason}); check the path")
            ) from error
        try:
            return _read(stack.enter_context(zipfile.ZipFile(file)), path)
        except CheckpointError as error:
            raise CheckpointError(printable(error.args[0])) from None
        except Exception as error:  # zip, JSON, npy each fail in ways of their own on damaged data
            raise CheckpointError(
                printable(f"{path} is not a checkpoint, or it is damaged ({_first_line(error)}); ")
                + "use another one, or start the training afresh"
            ) from error


def _read(archive, path):
    entries = {entry.filename: entry for entry in archive.infolist()}
    if TREE not in entries:
        raise CheckpointError(
            f"{path} is a zip archive but no checkpoint (it has no {TREE}); "
            f"give a file that tinynet saved"
        )
    # Small files can unpack to gigabytes, and many entries can claim the same bytes.
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
        raise CheckpointError(
            f"{path} is compressed, which tinynet's checkpoints are not; "
            "unpack it and pack it again without (zip -0)"
        )
    claimed = sum(entry.file_size for entry in archive.infolist())
    if len(entries) < len(archive.infolist()) or claimed > os.fstat(archive.fp.fileno()).st_size:
        raise ValueError(f"its entries overlap: {claimed} bytes")
    # Entries are read whole: only at its end can the checksum of an entry be verified.
    head = json.loads(archive.read(TREE))
    if not isinstance(head, dict) or head.get("format") != FORMAT or "tree" not in head:
        raise CheckpointError(
            f"{path} is not a checkpoint of tinynet; give a file that tinynet saved"
        )
    if head.get("version") != VERSION:
        raise CheckpointError(
            f"{path} has the checkpoint version {head.get('version')!r:.40}, this tinynet reads "
            f"version {VERSION}; use the tinynet that saved it"
        )

    def read_array(name):
        # `pop`: as many copies as the tree names an array would fill the memory
        entry = entries.pop(f"{name}.npy", None)
        if entry is None:
            raise ValueError(f"the array {name!r:.60} is missing, or named twice")
        return array(archive.read(entry))

    return _decode(head["tree"], read_array)


def array(data):
    """The array of a .npy file, whose header must not claim more than there is."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    # version 3 differs from 2 in the encoding of field names, which do not matter here
    numbered = "read_array_header_1_0" if version == (1, 0) else "read_array_header_2_0"
    shape, _, dtype = getattr(np.lib.format, numbered)(file)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise ValueError(f"an array of {shape} {dtype} in {len(data)} bytes")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


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
    if kind in ("dict", "tuple") and not isinstance(content, list):
        raise ValueError(f"a {kind} of {content!r:.40} in {TREE}")
    if kind == "dict":
        pairs = {key: _decode(entry, read_array) for key, entry in content}
        if len(pairs) < len(content) or not all(type(key) in (str, int) for key in pairs):
            raise ValueError(f"a dict with wrong keys in {TREE}")
        return pairs
    if kind == "tuple":
        return tuple(_decode(entry, read_array) for entry in content)
    if kind == "float" and content in ("nan", "inf", "-inf"):
        return float(content)
    if kind == "array":
        return read_array(content)
    if kind == "tensor":
        return Tensor(read_array(content))
    raise ValueError(f"unknown kind {kind!r} in {TREE}")


def expect(value, kind, place="the checkpoint"):
    """Demand that a part of a tree is of a kind: `expect(tree, {"epochs_done": int, ...})`.

    Args: kind: a dict of the keys that must be there (there may be more) and their kinds; [kind]
        for a list of any length; (kind, kind, ...) for one of several; None; `int` for a count (a
        whole number from 0 up), `float` for a finite number; or any class, such as str or dict.
        True and False are of the kind bool alone.
    Returns: value. Raises: CheckpointError in one sentence: where, what came, what was expected.
    """
    kinds = kind if isinstance(kind, tuple) else (kind,)
    fitting = next((each for each in kinds if _is_of(value, each)), ())
    if fitting == ():
        came = f"{value!r:.60}" if isinstance(value, Scalar) else _in_words(type(value))
        wanted = " or ".join(map(_in_words, kinds))
        raise CheckpointError(printable(f"{place} is {came}, expected {wanted}"))
    if isinstance(fitting, dict):
        for key, inner in fitting.items():
            if key not in value:
                raise CheckpointError(printable(f"{place} lacks {key!r}"))
            expect(value[key], inner, f"{place}[{key!r}]")
    elif isinstance(fitting, list):
        for i, entry in enumerate(value):
            expect(entry, fitting[0], f"{place}[{i}]")
    return value


def _is_of(value, kind):
    if isinstance(kind, dict | list):
        return isinstance(value, type(kind))
    if kind is None or kind is bool or isinstance(value, bool):
        return value is None if kind is None else kind is bool and isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and value >= 0
    if kind is float:  # NaN is not below anything
        return isinstance(value, int | float) and abs(value) <= sys.float_info.max
    return isinstance(value, kind)


def _in_words(kind):
    kind = type(kind) if isinstance(kind, dict | list) else kind
    return KINDS.get(kind) or f"a {kind.__name__}"


def _first_line(error):
    return str(error).split("\n")[0][:200] or type(error).__name__
