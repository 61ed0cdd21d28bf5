"""An optimizer's state dict: what came is checked, before anything changes."""

import math

import numpy as np

from tinynet import check
from tinynet.autograd import Tensor
from tinynet.backend import device_of, is_array, to_device

SCHEDULED = "initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum"  # left in groups

SQUARES = "square_avg", "acc_delta"  # buffers of means of squares, beside those that end in _sq


def state_and_groups(name, state_dict):
    """The two parts of a state dict, which are of the kinds that they must be of."""
    parts = state_dict if isinstance(state_dict, dict) else {}
    state, groups = parts.get("state"), parts.get("param_groups")
    fits = isinstance(state, dict) and isinstance(groups, list | tuple)
    fits = fits and all(isinstance(buffers, dict) for buffers in state.values())
    for group in groups if fits else ():
        fits = fits and isinstance(group, dict) and isinstance(group.get("params"), list | tuple)
    if fits:
        return state, groups
    kinds = {key: type(value).__name__ for key, value in parts.items()}
    raise TypeError(
        f"{name}: expected a dict with 'state' (a dict of dicts) and 'param_groups' (a list of "
        f"dicts that name their 'params'), as state_dict() returns it, got "
        + (f"a dict of {brief(kinds)}" if kinds else describe(state_dict))
    )


def check_extras(name, group, defaults):
    """Raise TypeError or ValueError unless those entries of a saved group make sense that
    `_check_group` leaves out: flags, names, what schedules left."""
    for key, default in defaults.items():
        flag = isinstance(group[key], int | np.bool_) and group[key] in (0, 1)
        if isinstance(default, bool) and not flag:
            raise TypeError(f"{name}: {key} must be True or False, got {brief(group[key])}")
    for key in filter(group.__contains__, SCHEDULED):
        most = 1 if key.endswith("_momentum") and "betas" in group else math.inf  # for a beta
        check.number(name, key, group[key], low=0, high=most, below=True)
    names, count = group.get("param_names"), len(group["params"])
    named = isinstance(names, list | tuple) and all(isinstance(each, str) for each in names)
    if "param_names" in group and not (named and len(names) == count):
        raise ValueError(f"{name}: param_names must be {count} texts, got {brief(names)}")


def copy_buffer(what, key, value, p):
    """`value` as a new Tensor like `p`: its dtype, its device. `what` is for the error."""
    array = value.array if isinstance(value, Tensor) else value
    try:
        array = array if is_array(array) else np.asarray(array)
    except ValueError:  # of ragged lists
        raise ValueError(f"{what} is no array, got {describe(value)}") from None
    if key == "step":  # one number for each parameter, always in the main memory
        shape, dtype, device = (), np.float32, "cpu"
    else:
        shape, dtype, device = p.array.shape, p.array.dtype, device_of(p.array)
    if array.shape != shape:
        raise ValueError(f"{what} has the shape {array.shape}, expected {shape}")
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{what} holds {array.dtype}, expected real numbers")
    if key == "step" and check.number(what, "it", array.item(), low=0) % 1:
        raise ValueError(f"{what} must be a whole number, got {array.item()}")
    with np.errstate(over="ignore"):  # a float64 may be too large for float32
        array = to_device(array, device).astype(dtype, copy=True)
    # A mean of squares may overflow, and the parameter then stays; else nothing good would come.
    square = key.endswith("_sq") or key in SQUARES
    if not (array >= 0 if square else abs(array) < math.inf).all():
        kinds = "negative or no number" if square else "infinite or no number"
        raise ValueError(f"{what} holds values that are {kinds}")
    return Tensor(array)


def describe(value):
    """What came, for an error message: its type, and its keys if it is a dict."""
    keys = f" with the keys {list(value)[:8]}" if isinstance(value, dict) else ""
    return f"{'a ' if keys else ''}{type(value).__name__}{keys}"


def brief(value):
    """The first words of a value, on one line, for an error message."""
    return " ".join(repr(value).split())[:80]
