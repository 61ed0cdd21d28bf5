"""Walking the tape back: reverse-mode differentiation, one op at a time.

`backprop` follows the links between ops from the loss to the leaves (Baydin et al., "Automatic
differentiation in machine learning: a survey", JMLR 2018, section 3.2).
"""

import collections
from typing import Any, NamedTuple

from tinynet import backend, threads
from tinynet.autograd.tape import Function


class Step(NamedTuple):
    """One step of backprop: `op`, the gradient `gy` that came in, the gradients `gxs` that go
    to `op.parents` (None where none is wanted). All are plain arrays: read them, do not
    write into them, and copy what must outlive the step (a leaf adds later gradients into the
    array it got first). What `op` saved is freed when the walk goes on to the next step.
    """

    op: Function
    gy: Any
    gxs: tuple


def backprop(tensor, gradient=None, retain_graph=False):
    """Walk the tape back from `tensor`: a generator of one `Step` an op, loss first.

    The gradients of leaf tensors are added into their `.grad` as the walk goes. A `for` loop
    over it is all that a printer, a NaN hunter or a timer needs:

        for op, gy, gxs in backprop(loss):
            print(op, gy.shape)

    Args:
        tensor: where to start. gradient: its cotangent, an array or Tensor of its shape;
            needed unless it has one element (then 1). retain_graph: keep what the ops saved,
            so that the same graph can be walked again.

    Raises ValueError for a tensor without a graph, a missing or misshapen gradient, and
    RuntimeError for a graph that an earlier walk has freed.
    """
    return _start(tensor, gradient, retain_graph, watched=True)


def run_backprop(tensor, gradient=None, retain_graph=False):
    """`backprop` from beginning to end with nobody watching.

    Then an op may write its gradient over the one that came in (one array less to fetch from
    memory), and the gradients of weights may come `later`, from a second thread.
    """
    with threads.beside_blas():
        collections.deque(_start(tensor, gradient, retain_graph, watched=False), maxlen=0)


def _start(tensor, gradient, retain_graph, watched):
    if not isinstance(tensor, Function.tensor_type):
        raise TypeError(f"backprop: expected a Tensor, got {type(tensor).__name__}")
    if not tensor.requires_grad:
        raise ValueError(
            "backprop: this tensor has no graph (it does not require a gradient, or was made "
            "inside no_grad()); compute it from tensors with requires_grad=True"
        )
    gy = _start_gradient(tensor, gradient)
    order = [] if tensor.grad_fn is None else sorted_ops(tensor.grad_fn)
    for op in order:
        _refuse_freed(op)
    return _walk(tensor, gy, order, retain_graph, watched)


def _start_gradient(tensor, gradient):
    xp = backend.array_module(tensor.array)
    if gradient is None:
        if tensor.array.size != 1:
            raise ValueError(
                f"backprop: a tensor of shape {tensor.shape} needs a gradient of that shape; "
                "reduce it to one number first (.sum() or .mean()), or pass gradient="
            )
        return xp.ones_like(tensor.array)
    gy = getattr(gradient, "array", gradient)
    if not backend.is_array(gy):
        raise TypeError(
            f"backprop: gradient must be a Tensor or an array, got {type(gradient).__name__}"
        )
    if gy.shape != tensor.shape:
        raise ValueError(
            f"backprop: gradient has shape {gy.shape}, expected the tensor's {tensor.shape}"
        )
    return backend.to_device(gy, tensor.device).astype(tensor.dtype)


def _refuse_freed(op):
    if op.freed:
        raise RuntimeError(
            f"backprop: the graph was freed by an earlier backward ({op.name} no longer "
            "holds what it saved); run forward again, or pass retain_graph=True the first time"
        )


def sorted_ops(root):
    """All ops under `root`, every op before the ops that made its inputs.

    Depth first with an explicit stack (no recursion limit), each op entered once (shared ops
    cost nothing extra), so the time is linear in the number of links.
    """
    finished, seen, stack = [], {id(root)}, [(root, iter(root.parents))]
    while stack:
        op, parents = stack[-1]
        for parent in parents:
            if isinstance(parent, Function) and id(parent) not in seen:
                seen.add(id(parent))
                stack.append((parent, iter(parent.parents)))
                break
        else:
            finished.append(op)
            stack.pop()
    finished.reverse()
    return finished


def _walk(tensor, gy, order, retain_graph, watched):
    if not order:
        tensor.accumulate_grad(gy)
        return
    # For each op that waits for its gradient: the sum so far, and whether that sum is an array
    # of ours that we may write into (the first contribution may be somebody's view).
    waiting = {id(tensor.grad_fn): (gy, not watched)}
    may_defer = not watched and backend.device_of(gy) == "cpu"
    del gy
    deferred = []  # (op, which of its inputs, promise of the gradient)
    for op in order:
        if id(op) not in waiting:
            continue  # every path to it carried no gradient
        _refuse_freed(op)  # by another walk, since this one began
        gy, ours = waiting.pop(id(op))
        op.owns_gy, op.may_defer = ours and not watched, may_defer
        gxs = _kept_apart(op, op.backward(gy), deferred)
        _hand_out(op, gy, gxs, waiting, watched)
        yield Step(op, gy, gxs)
        if not retain_graph:
            op.free()
        del gy, gxs  # big arrays, which the next op's backward has better use for
    for op, i, promise in deferred:
        op.parents[i].accumulate_grad(_checked(op, i, promise.result()))


def _kept_apart(op, gxs, deferred):
    """What `op.backward` returned as a tuple of arrays of the inputs' shapes and dtypes.

    None stands where no gradient is wanted, and where one is promised: that goes to `deferred`.
    """
    gxs = gxs if isinstance(gxs, tuple) else (gxs,)
    if len(gxs) != len(op.parents):
        raise ValueError(
            f"{op.name}.backward returned {len(gxs)} gradients for {len(op.parents)} inputs"
        )
    arrays = []
    for i, (gx, needed) in enumerate(zip(gxs, op.needs, strict=True)):
        if isinstance(gx, threads.Promise):
            if isinstance(op.parents[i], Function):
                gx = gx.result()  # the walk goes through here: it has to wait
            else:
                deferred.append((op, i, gx))
                gx = None
        arrays.append(_checked(op, i, gx) if needed and gx is not None else None)
    return tuple(arrays)


def _checked(op, i, gx):
    if not backend.is_array(gx) or gx.shape != op.input_shapes[i]:
        got = f"shape {gx.shape}" if backend.is_array(gx) else type(gx).__name__
        raise ValueError(
            f"{op.name}.backward returned {got} as the gradient of input {i}, "
            f"expected an array of shape {op.input_shapes[i]}"
        )
    return gx if gx.dtype == op.input_dtypes[i] else gx.astype(op.input_dtypes[i])


def _hand_out(op, gy, gxs, waiting, watched):
    for i, (parent, gx) in enumerate(zip(op.parents, gxs, strict=True)):
        if gx is None:
            continue
        ours = _is_ours(op, gy, gxs, i)
        if not isinstance(parent, Function):
            # a leaf keeps what it gets and adds into it
            parent.accumulate_grad(gx if ours else gx.copy())
        elif id(parent) not in waiting:
            waiting[id(parent)] = (gx, ours and not watched)
        else:
            total, ours = waiting[id(parent)]
            if ours:
                total += gx
            else:
                total = total + gx
            waiting[id(parent)] = (total, True)


def _is_ours(op, gy, gxs, i):
    """Whether gradient i may be written into: its elements share their memory neither with one
    another (a broadcast view) nor with gy (unless that was ours), a sibling or what op saved."""
    gx = gxs[i]
    others = *gxs[:i], *gxs[i + 1 :], *op.saved, None if op.owns_gy else gy
    broadcast = 0 in gx.strides and any(
        stride == 0 and size > 1 for stride, size in zip(gx.strides, gx.shape, strict=True)
    )
    return not broadcast and not backend.may_share_memory(gx, *others)
