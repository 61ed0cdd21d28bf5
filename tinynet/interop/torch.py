"""State dicts from torch and back: names stay, arrays are copied."""

import numpy as np

from tinynet.autograd import Tensor
from tinynet.interop.safetensors import named, numbers
from tinynet.interop.source import package


def from_torch(state):
    """A torch state_dict, or the module itself, as a dict of names to CPU Tensors (copies).

    bfloat16 and float16 become float32. torch is not imported. Raises: TypeError for something
    else, or for an entry that is no array.
    """
    found = {}
    for name, value in named(state, "from_torch").items():
        if hasattr(value, "detach") and not isinstance(value, Tensor):
            value = value.detach().cpu()
            value = value.float() if value.itemsize == 2 and value.is_floating_point() else value
        try:
            array = np.array(np.asarray(value))  # a copy
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(f"from_torch: {name!r} is no array ({error})") from error
        if array.dtype.kind not in "fiub":
            raise TypeError(f"from_torch: {name!r} must hold numbers, got {type(value).__name__}")
        found[name] = Tensor(array)
    return found


def to_torch(state):
    """A Module's state, or a dict of names to Tensors or arrays, as a dict of torch tensors
    (copies on the CPU), for torch's `load_state_dict`.

    Raises: TypeError for something else, WeightsError (a ValueError) without torch.
    """
    torch = package("torch")
    return {
        name: torch.from_numpy(np.array(array, order="C"))
        for name, array in numbers(state, "to_torch")
    }
