"""Checks of the arguments that layers and functions share."""

from tinynet.autograd import Tensor


def pair(name, argument, value, least=0):
    """An int or a pair of ints, each at least `least`, as a tuple (height, width)."""
    if type(value) is tuple and [type(v) for v in value] == [int, int] and min(value) >= least:
        return value  # what a layer holds, and gives again at every step
    both = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(both) == 1:
        both *= 2
    whole = all(hasattr(v, "__index__") and not isinstance(v, bool) for v in both)
    if len(both) != 2 or not whole or min(both) < least:
        error = ValueError if whole else TypeError
        raise error(
            f"{name}: {argument} must be an integer or a pair of integers, "
            f"at least {least}, got {value!r}"
        )
    return tuple(v.__index__() for v in both)


def count(name, argument, value):
    """A positive int, such as a number of channels."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}: {argument} must be an integer, got {value!r}")
    if value < 1:
        raise ValueError(f"{name}: {argument} must be at least 1, got {value}")
    return value.__index__()


def check_tensor(name, argument, value):
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{name}: {argument} must be a Tensor, got {type(value).__name__}; "
            "wrap it with tinynet.tensor(...)"
        )


def same_dtype(name, **tensors):
    """Mixed dtypes would be computed in the wider one, slowly and silently: refuse them."""
    first = tensors["input"].dtype
    if first.kind != "f":
        raise TypeError(
            f"{name}: the input must be floating, got {first}; convert it with x.float()"
        )
    for key, t in tensors.items():
        if t is not None and t.dtype != first:
            raise TypeError(
                f"{name}: the input is {first} but {key} is {t.dtype}; convert one of them, "
                "for example with x.float() or model.double()"
            )
