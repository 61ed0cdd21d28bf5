"""`save` and `load`, by torch's names: files that hold numbers and names, and no code."""

import zipfile

from tinynet.autograd import Tensor
from tinynet.files import ordinary

ADVICE = "save its state_dict(), and load that into a new one"


def save(obj, f):
    """Write a state dict, or any tree of dicts, lists, tuples, numbers, texts and tensors, to the
    path `f`, whatever its name ends in, as `tinynet.training.checkpoint` does (an .npz archive).

    Raises: TypeError for what is no such tree, a whole Module say; CheckpointError (a ValueError)
    where the file cannot be written.
    """
    from tinynet.training import checkpoint  # it needs the rest of tinynet

    if hasattr(obj, "state_dict"):
        raise TypeError(f"save: {type(obj).__name__} is an object with code; {ADVICE}")
    checkpoint.save(_path("save", f), obj)


def load(f, map_location=None, weights_only=True):
    """What `save` wrote; its tensors are on the CPU, or where `map_location` says.

    Raises: CheckpointError (a ValueError) for any other file, such as torch's own, a pickle.
    """
    from tinynet.training import checkpoint

    if _is_pickle(_path("load", f)):
        raise checkpoint.CheckpointError(
            f"load: {f} is a pickle, which can run any code and is not opened; where torch is, "
            "turn it into safetensors: docs/weights.md has the line"
        )
    tree = checkpoint.load(f)
    return tree if map_location is None else _moved(tree, map_location)


def _path(name, f):
    if not isinstance(f, str) and not hasattr(f, "__fspath__"):
        raise TypeError(f"{name}: expected a path, got {type(f).__name__}")
    return f


def _is_pickle(path):
    """Whether it is a file that torch wrote: a pickle, or a zip archive with one inside."""
    try:
        ordinary(path)  # a pipe is not opened
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):
                file.seek(0)
                return file.read(1) == b"\x80"
            with zipfile.ZipFile(file) as archive:
                return any(name.endswith(".pkl") for name in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return False  # whose sentence `checkpoint.load` has


def _moved(tree, device):
    if isinstance(tree, Tensor):
        return tree.to(device=device)
    if isinstance(tree, dict):
        return {key: _moved(value, device) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(_moved(value, device) for value in tree)
    return tree
