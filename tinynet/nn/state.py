"""Saving and loading a module's state: names to tensors, as torch's `state_dict`."""

from typing import NamedTuple

import numpy as np

from tinynet import backend, check
from tinynet.autograd import Tensor
from tinynet.autograd.convert import as_array


class LoadResult(NamedTuple):
    """What `load_state_dict` returns: the names it did not find, and those it did not know."""

    missing_keys: list
    unexpected_keys: list


class StateMethods:
    """Module's `state_dict` and `load_state_dict`."""

    def _own_state(self, prefix=""):
        """(dotted name, tensor) of all parameters and persistent buffers, in torch's order."""
        for name, tensor in self._parameters.items():
            if tensor is not None:
                yield prefix + name, tensor
        for name, tensor in self._buffers.items():
            if tensor is not None and name not in self._transient:
                yield prefix + name, tensor
        for name, module in self._modules.items():
            if module is not None:
                yield from module._own_state(f"{prefix}{name}.")

    def state_dict(self):
        """A dict from dotted names to detached tensors that share this module's memory."""
        return {name: tensor.detach() for name, tensor in self._own_state()}

    def load_state_dict(self, state_dict, strict=True):
        """Copy values into the parameters and buffers of the same names.

        Args: state_dict: names to tensors or arrays (a torch state_dict of arrays fits).
        strict: refuse missing and unexpected names; shapes must fit in any case. Nothing is
        changed unless all fits.

        Raises TypeError for something that is no dict, ValueError for names or shapes.
        """
        if not hasattr(state_dict, "items"):
            raise TypeError(
                f"load_state_dict: expected a dict of names to arrays, "
                f"got {type(state_dict).__name__}"
            )
        own = dict(self._own_state())
        # As in torch, a state from before BatchNorm counted its batches is complete without.
        missing = [
            name
            for name in own
            if name not in state_dict and not name.endswith("num_batches_tracked")
        ]
        unexpected = [name for name in state_dict if name not in own]
        arrays, misfits = {}, []
        for name in own:
            if name in state_dict:
                arrays[name] = _as_array(name, state_dict[name])
                if arrays[name].shape != own[name].shape:
                    misfits.append(f"{name} {arrays[name].shape} for {own[name].shape}")
        problems = []
        if strict and missing:
            problems.append("missing " + _some(missing))
        if strict and unexpected:
            problems.append("unexpected " + _some(unexpected))
        if misfits:
            problems.append("wrong shapes: " + _some(misfits))
        if problems:
            raise ValueError(
                f"load_state_dict: the state does not fit {type(self).__name__}: "
                + "; ".join(problems)
            )
        for name, array in arrays.items():
            target = own[name].array
            target[...] = backend.to_device(array, backend.device_of(target))
            own[name].changed()
        return LoadResult(missing, unexpected)


def _as_array(name, value):
    """A Tensor, an array of either library, or another library's CPU tensor, as an array."""
    if hasattr(value, "detach"):  # torch refuses to convert a parameter otherwise
        value = value.detach()
    if isinstance(value, Tensor):
        return value.array
    if backend.is_array(value):
        return check.array("load_state_dict", name, value)
    if hasattr(value, "__array__"):
        return check.array("load_state_dict", name, np.asarray(value))
    return as_array(value, f"load_state_dict: {name}")


def _some(names, most=6):
    text = ", ".join(names[:most])
    return text if len(names) <= most else f"{text} and {len(names) - most} more"
