"""The tape: what an op is, how ops are linked, and how gradients walk back along the links.

An op is a `Function`: `forward` and `backward` side by side, both on plain arrays. Applying one
links it to the ops that made its inputs; those links are the tape. `backprop` walks it back
(Baydin et al., "Automatic differentiation in machine learning: a survey", JMLR 2018, section 3.2).
"""

import contextlib
from typing import Any, NamedTuple

import numpy as np

from tinynet import backend
from tinynet.autograd.mode import mode


class Function:
    """An op: `y = forward(*inputs)` and `gxs = backward(gy)`, on plain arrays.

    To write one, subclass it, keep with `self.save(...)` exactly what backward needs, and
    call it through `apply`. Options that are not tensors (axes, strides) go to `__init__`.

        class Square(Function):
            rule = {"y": "x**2", "gx": "2 x gy"}
            def forward(self, x):
                self.save(x)
                return x * x
            def backward(self, gy):
                (x,) = self.saved
                return 2 * x * gy

        y = Square.apply(x)

    `backward` returns one array per input (or a single array for a single input), of that input's
    shape, or None where `self.needs[i]` is False. It must not write into `gy`.

    What a class may say about itself:
        rule: its formula, for the stepper: the result, then one entry per gradient.
        where: what the other letters of the rule mean.
        broadcasts: its inputs broadcast; a gradient of the result's shape is summed back.
        is_view: its result may be a view of the first input.
    What the tape sets:
        definition: the class that was applied; the op may be a quicker implementation of it.
        parents: for each input, the op that made it, the leaf tensor itself, or None where
            no gradient is wanted. The tape never points at intermediate tensors, so their
            arrays live on only if an op saved them.
        needs: for each input, whether a gradient is wanted.
        input_shapes, input_dtypes, output_shape: of what `forward` was given and returned.
        saved: what `save` kept; () once the op's backward has run (`freed` is then True).
    """

    tensor_type: Any = None  # the class `apply` wraps results in; tensor.py sets it
    definition: Any = None
    rule, where = {}, ""
    broadcasts = is_view = freed = False
    saved = versions = ()

    @classmethod
    def apply(cls, *inputs, **options):
        """Run the op on tensors and return the result as a tensor."""
        arrays, needs = [], []
        for position, tensor in enumerate(inputs):
            if not isinstance(tensor, Function.tensor_type):
                raise TypeError(
                    f"{cls.__name__}: input {position} must be a Tensor, "
                    f"got {type(tensor).__name__}; wrap it with tinynet.tensor(...)"
                )
            if tensor._view is not None:
                tensor.bring_up_to_date()
            arrays.append(tensor.array)
            needs.append(tensor._requires_grad and mode.recording)
            if type(tensor.array) is not type(arrays[0]):
                raise ValueError(
                    f"{cls.__name__}: all inputs must be on one device, got "
                    f"{', '.join(x.device for x in inputs)}; move them with .to()"
                )
        op = implementation(cls, *arrays, **options)(**options)
        op.definition, op.needs = cls, tuple(needs)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # as torch: 1/0 is inf
            y = op.forward(*arrays)
        if type(y) is not np.ndarray and not backend.is_array(y):
            raise TypeError(f"{op.name}.forward must return an array, got {type(y).__name__}")
        out = Function.tensor_type(y)
        if True in needs:
            op._link(inputs, out)
        if op.is_view:
            out.become_view(inputs[0], cls, options)
        for observer in mode.observers:
            observer(op, inputs, options, out)
        return out

    def _link(self, inputs, out):
        parents, shapes, dtypes, versions = [], [], [], []
        for tensor, needed in zip(inputs, self.needs, strict=True):
            parent = tensor if tensor._op is None else tensor._op
            parents.append(parent if needed else None)
            shapes.append(tensor.array.shape)
            dtypes.append(tensor.array.dtype)
        self.parents, self.output_shape = tuple(parents), out.array.shape
        self.input_shapes, self.input_dtypes = tuple(shapes), tuple(dtypes)
        for tensor in (*inputs, out):  # has the op saved its memory? Then note its counter
            memory = tensor.array if tensor.array.base is None else tensor.array.base
            for kept in self.saved:
                if kept is memory or getattr(kept, "base", None) is memory:
                    versions.append((tensor.counter, tensor.counter[0]))
                    break
        self.versions = versions
        out._op, out._requires_grad = self, True

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
            self.saved, self.versions, self.freed = (), (), True

    @property
    def name(self):
        return (self.definition or type(self)).__name__

    def __repr__(self):
        return f"<{self.name}>"


def implementation(definition, *arrays, **options):
    """What serves a call of `definition` (an op's class, or a function on arrays): itself or, where
    `tinynet.fast` has something quicker for these arrays and `plain()` is off, that."""
    return definition if mode.plain or faster is None else faster(definition, arrays, options)


faster: Any = None  # fast/registry.py puts its own function here


@contextlib.contextmanager
def observe(observer):
    """Call `observer(op, inputs, options, output)` after every op that this thread applies inside
    the block: the Function, its input tensors, its options, and the tensor that it returned."""
    mode.observers += (observer,)
    try:
        yield
    finally:
        places = [i for i, other in enumerate(mode.observers) if other is observer]
        mode.observers = mode.observers[: places[-1]] + mode.observers[places[-1] + 1 :]


class Step(NamedTuple):
    """One step of backprop: `op`, the gradient `gy` that came in, the gradients `gxs` that go
    to `op.parents` (None where none is wanted). All are plain arrays: read them, do not
    write into them, and copy what must outlive the step. What `op` saved is freed when the walk
    goes on to the next step.
    """

    op: Function
    gy: Any
    gxs: tuple


def backprop(tensor, gradient=None, retain_graph=False):
    """Walk the tape back from `tensor`: a generator of one `Step` per op, the loss first.

    The gradients of leaf tensors are added into their `.grad` as the walk goes. A `for` loop
    over it is all that a printer, a NaN hunter or a timer needs:

        for op, gy, gxs in backprop(loss):
            print(op, gy.shape)

    Args:
        tensor: where to start. gradient: its cotangent, an array or Tensor of its shape;
            needed unless it has one element (then 1). retain_graph: keep what the ops saved,
            so that the same graph can be walked again.

    Raises ValueError for a tensor without a graph, a missing or misshapen gradient, and
    RuntimeError for a graph that an earlier walk has freed, and where a tensor that an op saved
    has been changed in place since.
    """
    if not isinstance(tensor, Function.tensor_type):
        raise TypeError(f"backprop: expected a Tensor, got {type(tensor).__name__}")
    if not tensor.requires_grad:
        raise ValueError(
            "backprop: this tensor has no graph (it does not require a gradient, or was made "
            "inside no_grad()); compute it from tensors with requires_grad=True"
        )
    gy = _start_gradient(tensor, gradient)
    node = tensor.node
    order = sorted_ops(node) if isinstance(node, Function) else []
    for op in order:
        _refuse_stale(op)
    return _walk(node, gy, order, retain_graph)


def _walk(node, gy, order, retain_graph):
    waiting = {id(node): gy}  # for each op that is to come, the sum of its gradients so far
    if not order:
        node.accumulate_grad(gy)
    for op in order:
        gy = waiting.pop(id(op), None)
        if gy is None:
            continue  # every path to it carried no gradient
        _refuse_stale(op)  # by what has happened since this walk began
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            gxs = _gradients(op, op.backward(gy))
        for i, (parent, gx) in enumerate(zip(op.parents, gxs, strict=True)):
            if gx is None:
                continue
            if not isinstance(parent, Function):
                own = _is_own(gx, gy, *gxs[:i], *gxs[i + 1 :], *op.saved)
                # of x * x, the second gradient is added into what the leaf took as the first
                own = own and id(parent) not in map(id, op.parents[i + 1 :])
                parent.accumulate_grad(gx if own else gx.copy())
            elif id(parent) in waiting:
                waiting[id(parent)] = waiting[id(parent)] + gx
            else:
                waiting[id(parent)] = gx
        yield Step(op, gy, gxs)
        if not retain_graph:
            op.free()
        del gy, gxs, gx  # large arrays, whose memory the next op's backward can have


def _start_gradient(tensor, gradient):
    if gradient is None:
        if tensor.array.size != 1:
            raise ValueError(
                f"backprop: a tensor of shape {tensor.shape} needs a gradient of that shape; "
                "reduce it to one number first (.sum() or .mean()), or pass gradient="
            )
        return np.ones_like(tensor.array)
    if not isinstance(gradient, Function.tensor_type):
        if not backend.is_array(gradient):
            raise TypeError(
                f"backprop: gradient must be a Tensor or an array, got {type(gradient).__name__}"
            )
        gradient = Function.tensor_type(gradient)  # refuses what arithmetic would take otherwise
    gy = gradient.detach().array
    if gy.shape != tensor.shape:
        raise ValueError(
            f"backprop: gradient has shape {gy.shape}, expected the tensor's {tensor.shape}"
        )
    return backend.to_device(gy, tensor.device).astype(tensor.dtype)


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


def _refuse_stale(op):
    if op.freed:
        raise RuntimeError(
            f"backprop: the graph was freed by an earlier backward ({op.name} no longer "
            "holds what it saved); run forward again, or pass retain_graph=True the first time"
        )
    for counter, saved in op.versions:
        if counter[0] != saved:
            raise RuntimeError(
                f"backprop: a tensor that {op.name} saved for its gradient has been changed in "
                "place since (by an in-place op, an optimizer step or load_state_dict, say); run "
                "forward again, or change a clone()"
            )


def _gradients(op, gxs):
    """What `op.backward` returned as a tuple of arrays of the inputs' shapes and dtypes, None where
    no gradient is wanted."""
    gxs = gxs if isinstance(gxs, tuple) else (gxs,)
    if len(gxs) != len(op.parents):
        raise ValueError(
            f"{op.name}.backward returned {len(gxs)} gradients for {len(op.parents)} inputs"
        )
    arrays = []
    wanted = zip(gxs, op.needs, op.input_shapes, op.input_dtypes, strict=True)
    for i, (gx, needed, shape, dtype) in enumerate(wanted):
        if not needed or gx is None:
            arrays.append(None)
            continue
        got = getattr(gx, "shape", None)
        if op.broadcasts and got not in (None, shape):
            gx = unbroadcast(gx, shape)
        elif got != shape:
            came = type(gx).__name__ if got is None else f"shape {got}"
            raise ValueError(
                f"{op.name}.backward returned {came} as the gradient of input {i}, "
                f"expected an array of shape {shape}"
            )
        arrays.append(gx if gx.dtype == dtype else gx.astype(dtype))
    return tuple(arrays)


def unbroadcast(gy, shape):
    """Sum `gy` over the axes along which an input of `shape` was broadcast."""
    extra = gy.ndim - len(shape)
    stretched = [extra + i for i, size in enumerate(shape) if size == 1 != gy.shape[extra + i]]
    return gy.sum(axis=(*range(extra), *stretched)).reshape(shape)


def _is_own(gx, *others):
    """Whether no element of `gx` shares its memory with another or with another array's."""
    if 0 in gx.strides and gx.size > 1:
        return False
    memory = gx if gx.base is None else gx.base
    for other in others:  # noqa: SIM110 (all() costs a generator at every leaf)
        if other is memory or getattr(other, "base", None) is memory:
            return False
    return True
