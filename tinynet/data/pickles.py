"""Pickles of plain values and arrays of bytes, read by a machine that can call nothing.

A pickle is a program for a small stack machine, and one that may name and call any function. This
machine knows numbers, texts, lists, tuples and dicts, and the names by which NumPy builds an array,
which mean to it what stands here and no function; anything else is refused. The module
``pickletools`` of the standard library documents the opcodes.
"""

import numpy as np

from tinynet.data.dataset import DataError
from tinynet.files import printable

# CIFAR-100's have 4 for each of 50,000 images. Together with the file's length, which the caller
# checks, this bounds the memory.
MOST_OPCODES = 1_000_000
_LONG = 4096  # a text of more bytes stays a view of the file

_NAMES = {
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("numpy.core.multiarray", "_reconstruct"): "new array",
    ("numpy._core.multiarray", "_reconstruct"): "new array",
    ("_codecs", "encode"): "encode",  # how Python 3 writes bytes for Python 2
}
_NUMBERS = {b"K": 1, b"M": 2, b"J": 4}  # opcodes, and the bytes of the number that follows
_CONSTANTS = {b"N": None, b"\x88": True, b"\x89": False}
_EMPTY = {b"]": list, b"}": dict, b")": tuple}
# opcodes with a length of so many bytes, and so many bytes of content
_BYTES = {b"U": 1, b"T": 4, b"C": 1, b"B": 4, b"\x8e": 8}
_TEXTS = {b"\x8c": 1, b"X": 4, b"\x8d": 8}
_TUPLES = {b"\x85": 1, b"\x86": 2, b"\x87": 3}
_PUT, _GET = {b"q": 1, b"r": 4}, {b"h": 1, b"j": 4}
_IGNORED = {b"\x80": 1, b"\x95": 8}  # the protocol, a frame
_CALLS = (b"i", b"o", b"\x81", b"\x92", b"\x82", b"\x83", b"\x84", b"P", b"Q")


class _Global(str):
    """A name out of ``_NAMES``."""


class _Array:
    """An array that is being built."""

    value = None


def read(content, where):
    """Return the dict that the pickle ``content`` (a bytes-like object) describes, of any protocol
    from 2 to 4, written by Python 2 or 3.

    Keys are str. Bytes, and texts of Python 2, are bytes objects, long ones memoryviews of
    ``content``. Arrays are uint8 arrays, views of it too.

    Args: where: the name of the file, for messages.
    Raises: DataError if the pickle would call anything else, is damaged, or is no dict.
    """
    try:
        result = _run(memoryview(content).toreadonly(), where)
        if not isinstance(result, dict):
            raise ValueError("it holds no dict")
        return {key: v.value if isinstance(v, _Array) else v for key, v in result.items()}
    except DataError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise DataError(
            f"{where} is damaged or no pickle of CIFAR-100 "
            f"({printable(error, 200) or 'cut short'}): copy or download it again"
        ) from error


def _run(content, where):
    at, encoded, stack, marks, memo = 0, 0, [], [], {}

    def take(n):
        nonlocal at
        if at + n > len(content):
            raise ValueError("cut short")
        at += n
        return content[at - n : at]

    def number(n, signed=False):
        return int.from_bytes(take(n), "little", signed=signed)

    def line():
        end = bytes(content[at : at + 200]).index(b"\n")
        return str(take(end + 1)[:-1], "ascii")

    def pop(n):
        if n > len(stack) - (marks[-1] if marks else 0):
            raise ValueError("a value is missing")
        values = stack[len(stack) - n :]
        del stack[len(stack) - n :]
        return values

    def pop_marked():
        values = pop(len(stack) - marks[-1])
        marks.pop()
        return values

    for _ in range(MOST_OPCODES):
        op = bytes(take(1))
        if op in _NUMBERS:
            stack.append(number(_NUMBERS[op], signed=op == b"J"))
        elif op in _PUT:
            memo[number(_PUT[op])] = stack[-1]
        elif op in _GET:
            stack.append(memo[number(_GET[op])])
        elif op in _BYTES:
            text = take(number(_BYTES[op]))
            stack.append(bytes(text) if len(text) < _LONG else text)
        elif op in _TEXTS:
            stack.append(_text(take(number(_TEXTS[op]))))
        elif op in _CONSTANTS:
            stack.append(_CONSTANTS[op])
        elif op in _EMPTY:
            stack.append(_EMPTY[op]())
        elif op in _TUPLES:
            stack.append(tuple(pop(_TUPLES[op])))
        elif op in _IGNORED:
            take(_IGNORED[op])
        elif op == b"\x8a":
            stack.append(number(number(1), signed=True))
        elif op == b"\x94":
            memo[len(memo)] = stack[-1]
        elif op == b"(":
            marks.append(len(stack))
        elif op == b"t":
            stack.append(tuple(pop_marked()))
        elif op in (b"a", b"e"):
            values = pop(1) if op == b"a" else pop_marked()
            list.extend(stack[-1], values)
        elif op in (b"s", b"u"):
            values = pop(2) if op == b"s" else pop_marked()
            keys = map(_key, values[::2])
            dict.update(stack[-1], zip(keys, values[1::2], strict=True))
        elif op in (b"c", b"\x93"):
            names = (line(), line()) if op == b"c" else tuple(pop(2))
            if not all(type(name) is str for name in names):
                raise ValueError("a function whose name is no text")
            if names not in _NAMES:
                raise _would_run(where, ".".join(names))
            stack.append(_Global(_NAMES[names]))
        elif op == b"R":
            stack.append(_call(*pop(2)))
            if isinstance(stack[-1], bytes):
                encoded += len(stack[-1])  # the same text may be encoded again and again
            if encoded > len(content):
                raise ValueError("more bytes than the file has")
        elif op == b"b":
            _build(stack[-2], *pop(1))
        elif op == b".":
            return stack.pop()
        elif op in _CALLS:
            raise _would_run(where, f"opcode {op!r}")
        else:
            raise ValueError(f"opcode {op!r}")
    raise ValueError(f"more than {MOST_OPCODES:,} opcodes")


def _text(content):
    # 4 bytes per letter, if one of them is far out: so long texts must be bytes by other letters
    if len(content) >= _LONG and np.frombuffer(content, np.uint8).max() > 0xC3:
        raise ValueError("a long text")
    return str(content, "utf-8")


def _would_run(where, what):
    return DataError(
        f"{where} would run code when unpickled ({printable(what, 60)}), which CIFAR-100 has no "
        f"need of: it is not read; download the data set from its home"
    )


def _key(key):
    if not isinstance(key, (str, bytes)):
        raise TypeError("a key that is no text")
    return key if isinstance(key, str) else key.decode("latin-1")


def _call(function, args):
    """What a call to one of ``_NAMES`` gives."""
    if not isinstance(function, _Global) or not isinstance(args, tuple):
        raise ValueError("a call of something else than a function")
    if function == "new array":
        kind, shape, _ = args
        if kind == "ndarray" and shape == (0,):
            return _Array()
    elif function == "dtype":
        if args[0] in ("u1", b"u1"):
            return function
        raise ValueError("an array of other things than bytes")
    elif function == "encode":
        text, coding = args
        if isinstance(text, str) and coding == "latin1":
            return text.encode("latin-1")
    raise ValueError(f"a call of {function} with wrong arguments")


def _build(target, state):
    """Fill an array; what a dtype is told besides its name makes no difference to bytes."""
    if isinstance(target, _Array):
        _, shape, dtype, by_columns, content = state
        if dtype != "dtype" or not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError("an array without a shape")
        array = np.frombuffer(content, np.uint8)
        target.value = array.reshape(shape, order="F" if by_columns else "C")
    elif target != "dtype":
        raise ValueError("a state for something that has none")
