"""The tape: what an op is, and how ops are linked.

An op is a `Function`: `forward` and `backward` side by side, both on plain arrays. Applying
one links it to the ops that made its inputs; those links are the tape. Gradients walk back
along them in `walk.py`.
"""

from typing import Any

from tinynet import backend, threads
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
        may_defer: whether `later` may put work off.
    """

    tensor_type: Any = None  # the class `apply` wraps results in; tensor.py sets it
    saved = ()
    freed = False
    owns_gy = may_defer = False

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
        check_one_device(op.name, *arrays)
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

    def later(self, work, values):
        """For `backward` to return as one of its gradients: `work()`, or a promise of it.

        The gradient of a weight is nobody's input, so the walk back can go on while a second
        thread works it out. Not to be used by an op that also returns `gy` or a view of it.
        """
        return threads.later(work, values) if self.may_defer else work()

    @property
    def name(self):
        return type(self).__name__

    def __repr__(self):
        return f"<{self.name}>"


def check_one_device(name, *arrays):
    if len({type(array) for array in arrays}) == 1:
        return
    devices = [backend.device_of(array) for array in arrays]
    if len(set(devices)) > 1:
        raise ValueError(
            f"{name}: all inputs must be on one device, got {', '.join(devices)}; "
            "move them with .to()"
        )


def unbroadcast(gy, shape):
    """Sum `gy` over the axes along which an input of `shape` was broadcast."""
    if gy.shape == shape:
        return gy
    extra = gy.ndim - len(shape)
    stretched = [extra + i for i, size in enumerate(shape) if size == 1 != gy.shape[extra + i]]
    return gy.sum(axis=(*range(extra), *stretched)).reshape(shape)
