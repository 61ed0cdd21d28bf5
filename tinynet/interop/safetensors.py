"""State dicts in safetensors files, which torch, timm and Hugging Face read and write.

The format (https://github.com/huggingface/safetensors): the length of a JSON header, the header
with the dtype, shape and place of each array, and their bytes. Nothing in it can run.
"""

import numpy as np

from tinynet.autograd import Tensor
from tinynet.files import atomic_write
from tinynet.interop.source import LONGEST_JSON, WeightsError, content, package, reading

DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "BOOL": "?",
    **{f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)},
}


def load_safetensors(path):
    """Read a safetensors file: a dict of names to CPU Tensors, for `load_state_dict`.

    Half precision (F16, BF16) comes as float32, exactly. Takes a few times the file's size of
    memory. Raises: WeightsError (a ValueError) if it is damaged, something else, larger than 1 GiB,
    or holds a dtype that no Tensor has; or if the package safetensors is missing.
    """
    with reading(path):
        return {name: Tensor(array) for name, array in arrays(content(path)).items()}


def save_safetensors(path, state):
    """Write a Module's state, or a dict of names to Tensors or arrays, atomically.

    `safetensors.torch.load_file(path)` gives the same names, shapes and dtypes to torch. Raises:
    TypeError for values that are no numbers, WeightsError without the package safetensors, OSError
    in one sentence where the file cannot be written.
    """
    safetensors = package("safetensors.numpy")
    found = {}
    for name, array in numbers(state, "save_safetensors"):
        order = array.dtype.newbyteorder("=")
        found[name] = np.array(array, order, order="C")  # the package writes memory as it lies
    with atomic_write(path) as file:
        file.write(
            safetensors.save(found, {"format": "pt"})
        )  # as torch's own, which transformers asks for


def named(state, function):
    """The state_dict of a Module, or the dict itself. Raises: TypeError."""
    state = state.state_dict() if hasattr(state, "state_dict") else state
    if not hasattr(state, "items"):
        raise TypeError(
            f"{function}: expected a Module or a state_dict, got {type(state).__name__}"
        )
    for name in state:
        if not isinstance(name, str):
            raise TypeError(f"{function}: the names of a state_dict are str, got {name!r:.60}")
    return state


def numbers(state, function):
    """(name, array on the CPU) of each entry of a Module or a state_dict. Raises: TypeError."""
    for name, value in named(state, function).items():
        array = value.to("cpu").numpy() if isinstance(value, Tensor) else np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{function}: {name!r} holds no numbers but {array.dtype}")
        yield name, array


def arrays(data):
    """The arrays in the bytes of a safetensors file, by name."""
    safetensors = package("safetensors")
    header = int.from_bytes(data[:8], "little")
    if header > LONGEST_JSON:
        raise WeightsError(f"no safetensors file: its header would have {header:,} bytes")
    try:
        entries = safetensors.deserialize(data)
    except safetensors.SafetensorError as error:
        reason = str(error).removeprefix("Error while deserializing: ")
        raise WeightsError(f"damaged, or no safetensors file ({reason}); copy it again") from error
    found = {}
    for name, entry in entries:
        dtype = DTYPES.get(entry["dtype"])
        if dtype is None:
            raise WeightsError(f"{name!r:.80} has the dtype {entry['dtype']}, which no Tensor has")
        array = np.frombuffer(entry["data"], dtype).reshape(entry["shape"])
        if entry["dtype"] == "BF16":  # the upper half of a float32
            array = (array.astype(np.uint32) << 16).view(np.float32)
        found[name] = array.astype(np.float32) if entry["dtype"] == "F16" else array
    return found
