"""The tape: what an op is, how ops are linked, and how gradients walk back along them.

An op is a `Function`: `forward` and `backward` side by side, both on plain arrays. Applying
one links it to the ops that made its inputs; those links are the tape. `backprop` follows
them from the loss to the leaves (reverse-mode differentiation: Baydin et al., "Automatic
differentiation in machine learning: a survey", JMLR 2018, section 3.2).
"""

import collections
from typing import Any, NamedTuple

from tinynet import backend
from tinynet.autograd.grad_mode import is_grad_enabled


class Function:
    """An op: `y = forward(*inputs)` and `gxs = backward(gy)`, on plain arrays.

    To write one, subclass it, keep with `self.save(...)` exactly what backward needs, and
    call it through `apply`. Options that are not tensors (axes, strides) go to `__init__`.

        class Square(Function):
            '''y = x**2;  gx = 2 x gy'''
            def forward(self, x):
                self.save(x)
                return x * x
            def backward(self, gy):
                (x,) = self.saved
                return 2 * x * gy

        y = Square.apply(x)

    `backward` returns one array an input (or a single array for a single input), of that
    input's shape, or None where `self.needs[i]` is False: fresh arrays, `gy` itself or views
    of `gy`. It must never write into `gy`, unless `self.owns_gy`.

    Attributes that the tape sets:
        parents: for each input, the op that made it, the leaf tensor itself, or None where
            no gradient is wanted. The tape never points at intermediate tensors, so their
            arrays live on only if an op saved them.
        needs: for each input, whether a gradient is wanted.
        input_shapes, input_dtypes, output_shape: what `forward` was given and returned.
        saved: what `save` kept; () once the op's backward has run (`freed` is then True).
        owns_gy: whether nobody else will read the `gy` that backward is given, so that the
            gradient may be written in its place.
    """

    tensor_type: Any = None  # the class `apply` wraps results in; tensor.py sets it
    saved = ()
    freed = False
    owns_gy = False

    @classmethod
    def apply(cls, *inputs, **options):
        """Run the op on tensors and return the result as a tensor."""
        for position, tensor in enumerate(inputs):
            if not isinstance(tensor, Function.tensor_type):
                raise TypeError(
                    f"{cls.__name__}: input {position} must be a Tensor, "
                    f"got {type(tensor).__name__}; wrap it with tinynet.tensor(...)"
                )
        op = cls(**options)
        arrays = [tensor.array for tensor in inputs]
        if len({backend.device_of(array) for array in arrays}) > 1:
            places = ", ".join(tensor.device for tensor in inputs)
            raise ValueError(
                f"{op.name}: all inputs must be on one device, got {places}; move them with .to()"
            )
        recording = is_grad_enabled()
        op.needs = tuple(recording and tensor.requires_grad for tensor in inputs)
        y = op.forward(*arrays)
        if not backend.is_array(y):
            raise TypeError(f"{op.name}.forward must return an array, got {type(y).__name__}")
        out = Function.tensor_type(y)
        if any(op.needs):
            op.parents = tuple(
                tensor.node if needed else None
                for tensor, needed in zip(inputs, op.needs, strict=True)
            )
            op.input_shapes = tuple(array.shape for array in arrays)
            op.input_dtypes = tuple(array.dtype for array in arrays)
            op.output_shape = out.array.shape
            out.requires_grad = True
            out.grad_fn = op
        return out

    def forward(self, *inputs):
        raise NotImplementedError(f"{self.name} must define forward(self, *inputs)")

    def backward(self, gy):
        raise NotImplementedError(f"{self.name} must define backward(self, gy)")

    def save(self, *values):
        """Keep arrays (and small values) for `backward`, where they are `self.saved`."""
        if any(self.needs):
            self.saved = values

    def free(self):
        """Let go of what was saved. A second backward through this op is then refused."""
        if self.saved:
            self.saved, self.freed = (), True

    @property
    def name(self):
        return type(self).__name__

    def __repr__(self):
        return f"<{self.name}>"


def unbroadcast(gy, shape):
    """Sum `gy` over the axes along which an input of `shape` was broadcast."""
    if gy.shape == shape:
        return gy
    extra = gy.ndim - len(shape)
    stretched = [extra + i for i, size in enumerate(shape) if size == 1 != gy.shape[extra + i]]
    return gy.sum(axis=(*range(extra), *stretched)).reshape(shape)


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
    """`backprop` from beginning to end with nobody watching, so that an op may write its
    gradient over the one that came in: one array less to fetch from memory."""
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
    order = [] if tensor.grad_fn is None else _sorted(tensor.grad_fn)
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


def _sorted(root):
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
    del gy
    for op in order:
        if id(op) not in waiting:
            continue  # every path to it carried no gradient
        _refuse_freed(op)  # by another walk, since this one began
        gy, ours = waiting.pop(id(op))
        op.owns_gy = ours and not watched
        gxs = _checked(op, op.backward(gy))
        _hand_out(op, gy, gxs, waiting, watched)
        yield Step(op, gy, gxs)
        if not retain_graph:
            op.free()
        del gy, gxs  # big arrays, which the next op's backward has better use for


def _checked(op, gxs):
    """The result of `op.backward` as a tuple of arrays of the inputs' shapes and dtypes."""
    gxs = gxs if isinstance(gxs, tuple) else (gxs,)
    if len(gxs) != len(op.parents):
        raise ValueError(
            f"{op.name}.backward returned {len(gxs)} gradients for {len(op.parents)} inputs"
        )
    checked = []
    for i, (gx, needed) in enumerate(zip(gxs, op.needs, strict=True)):
        if not needed or gx is None:
            checked.append(None)
            continue
        if not backend.is_array(gx) or gx.shape != op.input_shapes[i]:
            got = f"shape {gx.shape}" if backend.is_array(gx) else type(gx).__name__
            raise ValueError(
                f"{op.name}.backward returned {got} as the gradient of input {i}, "
                f"expected an array of shape {op.input_shapes[i]}"
            )
        checked.append(gx.astype(op.input_dtypes[i], copy=False))
    return tuple(checked)


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
    others = [other for j, other in enumerate(gxs) if j != i and other is not None]
    others += [kept for kept in op.saved if backend.is_array(kept)]
    if not op.owns_gy:
        others.append(gy)
    may_share = backend.array_module(gx).may_share_memory
    return 0 not in gx.strides and not any(may_share(gx, other) for other in others)
