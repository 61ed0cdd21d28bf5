"""The arrays of an HDF5 file, as Keras writes them: .h5, .weights.h5, and inside .keras.

Only what lies in the file itself is read: HDF5 knows links to other files, arrays that lie in
others, and groups that hold themselves.
"""

import math

import numpy as np

from tinynet.interop.source import UNPACKED, WeightsError, json_of, package

MAGIC = b"\x89HDF\r\n\x1a\n"
MOST_OBJECTS, DEEPEST = 10_000, 12
OTHERS = ("optimizer_weights", "optimizer")  # groups that no network needs


def read(file):
    """({path in the file: array}, Keras's dict of the layers or {}) of a seekable file.

    Arrays of anything but floating-point numbers are passed over. Raises: WeightsError; h5py's own
    errors for damage.
    """
    h5py = package("h5py")
    arrays, room = {}, [UNPACKED, MOST_OBJECTS]
    with h5py.File(file, "r") as root:
        layers = root.attrs.get("model_config", "{}")
        todo = [(root, "", 0)]
        while todo:
            group, place, depth = todo.pop()
            for name in group:
                path = f"{place}/{name}".lstrip("/")
                room[1] -= 1
                if depth > DEEPEST or room[1] < 0:
                    raise WeightsError(
                        f"more than {MOST_OBJECTS:,} groups, or they hold themselves"
                    )
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise WeightsError(f"{path!r:.80} is a link, which is not followed")
                entry = group[name]
                if isinstance(entry, h5py.Group):
                    if name not in OTHERS:
                        todo.append((entry, path, depth + 1))
                elif isinstance(entry, h5py.Dataset) and entry.dtype.kind == "f":
                    room[0] -= _check(entry, path)
                    if room[0] < 0:
                        raise WeightsError(f"its arrays have more than {UNPACKED:,} bytes")
                    arrays[path] = np.asarray(entry[()])
    layers = layers if isinstance(layers, (str, bytes)) else "{}"
    return arrays, json_of(layers, "model_config")


def _check(dataset, path):
    """The bytes that a Dataset will take."""
    if dataset.external or dataset.is_virtual:
        raise WeightsError(f"{path!r:.80} lies in another file, which is not opened")
    if dataset.shape is None:
        raise WeightsError(f"{path!r:.80} has no shape")
    if dataset.id.get_create_plist().get_nfilters():  # could unpack to anything
        raise WeightsError(
            f"{path!r:.80} is compressed, which Keras's files are not; unpack it (h5repack -f NONE)"
        )
    claimed, there = dataset.nbytes, dataset.id.get_storage_size()
    if claimed > there:
        raise WeightsError(f"{path!r:.80} claims {claimed:,} bytes and has {there:,}")
    return max(claimed, math.prod(dataset.chunks or ()) * dataset.dtype.itemsize)
