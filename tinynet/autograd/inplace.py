"""Changing a tensor in place.

Whoever holds the tensor, a view of it, or what it is a view of sees the new values, and where a
gradient is wanted it flows through the change, as in torch. For that a view remembers what it is a
view of. Every change is counted (`Tensor.changed`), and an op that saved the old values refuses to
go backward.
"""

import numpy as np

from tinynet import backend
from tinynet.autograd import convert
from tinynet.autograd.mode import enable_grad, is_grad_enabled
from tinynet.autograd.tape import Function
from tinynet.ops.shapes import Reshape, Write


class View:
    """Where a view comes from: `op` with `options` made it of `source`; `root` is at the end of the
    chain of sources; recorded: outside no_grad.

    A reshape may be a copy of what it should be a view of: `seen` is its source's counter when they
    were last alike, and `copy` is that copy for the views of it."""

    seen = copy = None

    def __init__(self, source, op, options, root, recorded):
        self.source, self.op, self.options = source, op, options
        self.root, self.recorded = root, recorded


def root_of(tensor):
    """What a view is a view of in the end; a tensor that is no view, itself."""
    return tensor if tensor._view is None else tensor._view.root


def become_view(tensor, source, op, options):
    """`op`, a class, with these options made `tensor` of `source`.

    Remembered is that it is a view of its memory; or that it should be: a convolution's result
    lies in memory with the batch innermost, so a reshape may copy where torch's would not. (Nor
    must it be a view where torch's would copy.) What an op makes counts as laid out row by row.
    """
    root = root_of(source)
    shares = backend.owner(tensor.array) is backend.owner(source.array)
    should = shares
    if op is Reshape and tensor.numel() and not root.array.flags.c_contiguous:
        rows = np.empty(root.shape, np.bool_)
        made = _through(source, rows).reshape(tensor.shape)
        should = backend.owner(made) is rows
    if shares and not should:
        tensor.array = tensor.array.copy()
    if not should:
        return
    tensor._view = view = View(source, op, options, root, is_grad_enabled())
    tensor._rewrites = root._rewrites
    if shares:
        tensor.counter, view.copy = source.counter, _copy_behind(source)
    else:
        view.seen = source.counter[0]


def detached(tensor):
    """The same memory outside the graph: a view of what is detached likewise, for who writes into a
    copy must reach what that is a copy of."""
    out = Function.tensor_type(fresh(tensor).array)
    out.counter, view = tensor.counter, tensor._view
    if view is not None:
        source = detached(view.source)
        out._view = View(source, view.op, view.options, root_of(source), recorded=True)
        out._view.seen, out._view.copy = view.seen, _copy_behind(source)
    return out


def _copy_behind(tensor):
    """The copy that this tensor is, or is a view of; None where it has memory that counts."""
    view = tensor._view
    return None if view is None else tensor if view.seen is not None else view.copy


def fresh(tensor):
    """The tensor itself, a view brought up to date with what was changed in place."""
    view = tensor._view
    if view is None:
        return tensor
    copy = _copy_behind(tensor)
    if copy is not None:
        source = fresh(copy._view.source)
        if copy._view.seen != source.counter[0]:
            copy.array[...] = source.array.reshape(copy.shape)
            copy.changed()
            copy._view.seen = source.counter[0]
    if view.recorded and tensor._rewrites != view.root._rewrites:
        with enable_grad():
            again = view.op.apply(view.source, **view.options)
        tensor._op, tensor._requires_grad = again._op, again._requires_grad
        tensor._rewrites = view.root._rewrites
    return tensor


def _through(tensor, array):
    """What this view would show of `array`, one of its root's shape."""
    if tensor._view is None:
        return array
    op = tensor._view.op(**tensor._view.options)
    return op.forward(_through(tensor._view.source, array))


def _positions(tensor):
    """Which elements of its root this view shows, as an array of its shape."""
    root = root_of(tensor)
    places = np.arange(root.numel()).reshape(root.shape)
    return backend.to_device(_through(tensor, places), tensor.device)


def before(tensor, other=None):
    """`tensor` for an op whose result it will become: if that is recorded, with memory of
    its own, in which what the op saves stays as it is."""
    wanted = tensor.requires_grad or getattr(other, "requires_grad", False)
    if not (is_grad_enabled() and wanted):
        return tensor
    before = Function.tensor_type(tensor.array.copy())
    before._op, before._requires_grad = tensor._op, tensor._requires_grad
    return before


def become(tensor, name, result):
    """Take the values of `result`, an op's, into the tensor's memory: its in-place form."""
    if result.shape != tensor.shape:
        raise ValueError(
            f"{name}: the result has shape {result.shape}, "
            f"which a tensor of shape {tensor.shape} cannot take in place"
        )
    if convert.RANKS[result.dtype.kind] > convert.RANKS[tensor.dtype.kind]:
        raise TypeError(
            f"{name}: the result is {result.dtype}, which a tensor of {tensor.dtype} cannot "
            "hold; convert it first, for example with .float()"
        )
    root = root_of(tensor)
    wanted = result.requires_grad or tensor.requires_grad or root.requires_grad
    if not (is_grad_enabled() and wanted):
        return put(tensor, name, result.array)
    if root.requires_grad and root.is_leaf:
        raise RuntimeError(
            f"{name}: a leaf tensor that requires a gradient cannot be changed in place; leave "
            "out the in-place form, or change it inside no_grad() or through .data"
        )
    if tensor is not root and not tensor._view.recorded:
        raise RuntimeError(
            f"{name}: this view was made inside no_grad(), so a change of it cannot be "
            "recorded; make the view outside"
        )
    made = result.to(tensor.dtype)
    put(tensor, name, made.array)
    if tensor is not root:
        made = Write.apply(root, made, positions=_positions(tensor))
    root._op, root._requires_grad = made._op, made._requires_grad
    root._rewrites += 1
    return tensor


def overwrite(tensor, name, value, index=...):
    root = root_of(tensor)
    if is_grad_enabled() and (tensor.requires_grad or root.requires_grad):
        raise RuntimeError(
            f"{name}: a tensor that requires a gradient cannot be overwritten; "
            "do it inside no_grad() or through .data"
        )
    if is_grad_enabled() and getattr(value, "requires_grad", False):
        raise RuntimeError(
            f"{name}: the value requires a gradient, which overwriting would lose; "
            "build the result with cat, stack or arithmetic, or pass value.detach()"
        )
    if isinstance(value, Function.tensor_type):
        value = fresh(value).array
    elif not isinstance(value, convert.NUMBERS):
        value = convert.as_array(value, name)
    if backend.is_array(value):
        value = backend.to_device(value, tensor.device)
    return put(tensor, name, value, index)


def put(tensor, name, value, index=...):
    """Write into the memory, which views and what this is a view of share."""
    strides = zip(tensor.array.strides, tensor.shape, strict=True)
    if tensor.numel() and any(stride == 0 and size > 1 for stride, size in strides):
        raise ValueError(
            f"{name}: an expanded tensor is read-only, for several of its elements are one "
            "in memory; clone() it first"
        )
    if not getattr(fresh(tensor).array.flags, "writeable", True):  # CuPy has no such flag
        raise ValueError(f"{name}: the memory of this tensor is read-only; clone() it first")
    try:
        tensor.array[index] = value
    except (ValueError, OverflowError, IndexError, TypeError) as error:
        raise (ValueError if isinstance(error, OverflowError) else type(error))(
            f"{name}: a value of shape {getattr(value, 'shape', ())} cannot be written into "
            f"a tensor of shape {tensor.shape} ({error})"
        ) from None
    tensor.changed()
    copy = _copy_behind(tensor)
    if copy is not None:  # write where a view would have
        source = copy._view.source
        put(source, name, copy.array.reshape(source.shape))
        copy._view.seen = source.counter[0]
    return tensor
