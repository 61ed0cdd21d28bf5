"""Reading files of strangers: what is opened, how much of it, and the sentence for a wrong one."""

import contextlib
import importlib
import json
import os

from tinynet.files import ordinary, printable

LARGEST = 2**30  # bytes of a file; MobileNetV1 has 17 million
UNPACKED = 2**28  # bytes of what a compressed file holds, or several files together
LONGEST_JSON = 2**24  # bytes, which Python's dicts and lists multiply by twenty


class WeightsError(ValueError):
    """A file of weights cannot be used; the message says which, why and what to do."""


@contextlib.contextmanager
def reading(path):
    """Turn whatever goes wrong inside, on a damaged file anything, into a WeightsError."""
    try:
        yield
    except WeightsError as error:
        text = str(error)
        start = "" if text.startswith(str(path)) else f"{path}: "
        raise WeightsError(printable(start + text)) from error.__cause__
    except OSError as error:
        if not error.strerror:  # HDF5's word for damage
            raise _damaged(path, error) from error
        raise WeightsError(
            printable(f"cannot read the weights {path} ({error.strerror}); check the path")
        ) from error
    except MemoryError as error:
        raise WeightsError(printable(f"{path} does not fit into the memory")) from error
    except Exception as error:
        raise _damaged(path, error) from error


def _damaged(path, error):
    reason = printable(str(error).partition("\n")[0], 200) or type(error).__name__
    return WeightsError(
        printable(f"{path} is damaged or no file of weights ({reason}); copy it again")
    )


def content(path, most=LARGEST):
    """The bytes of an ordinary file. Raises: OSError, WeightsError for one that is too large."""
    path = os.fsdecode(path)
    if "\0" in path:
        raise WeightsError("no name of a file can hold a zero byte")
    found = ordinary(path)
    if found is None:
        raise WeightsError(f"there is no {path}; check the path")
    if found.st_size > most:
        raise WeightsError(f"{path} has {found.st_size:,} bytes; at most {most:,} are read")
    with open(path, "rb") as file:
        return file.read(found.st_size)


def json_of(data, what):
    """The dict that JSON text describes. Raises: WeightsError for anything else."""
    if len(data) > LONGEST_JSON:
        raise WeightsError(f"{what} has {len(data):,} bytes of JSON; {LONGEST_JSON:,} are read")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{what} is no JSON text ({printable(error, 100)})") from error
    if not isinstance(found, dict):
        raise WeightsError(f"{what} must be a dict of JSON, got a {type(found).__name__}")
    return found


def package(name):
    """An optional package, imported. Raises: WeightsError that says how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise WeightsError(
            f'this needs the package {name.partition(".")[0]}: pip install -e ".[interop]"'
        ) from error
