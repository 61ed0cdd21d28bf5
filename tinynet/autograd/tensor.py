"""Tensor: an array, whether it wants a gradient, and the op that made it."""

import numpy as np

from tinynet import backend
from tinynet.autograd.arithmetic import ArithmeticMethods
from tinynet.autograd.conversion import ConversionMethods, check_dtype
from tinynet.autograd.elementwise import ElementwiseMethods
from tinynet.autograd.grad_mode import is_grad_enabled
from tinynet.autograd.inplace import InPlaceMethods
from tinynet.autograd.reductions import ReductionMethods
from tinynet.autograd.shaping import ShapeMethods
from tinynet.autograd.tape import Function
from tinynet.autograd.walk import run_backprop


class Tensor(
    ArithmeticMethods,
    ElementwiseMethods,
    ReductionMethods,
    ShapeMethods,
    ConversionMethods,
    InPlaceMethods,
):
    """An n-axis array that can be differentiated.

    Args: data: an array (its memory is shared, as by torch.from_numpy), a number or nested
    lists. requires_grad: whether backward should leave a gradient in `.grad`.

    Attributes:
        array: the NumPy or CuPy array itself.
        grad: None until a backward pass reaches this tensor, then a Tensor of its shape, to
            which further passes add.
        grad_fn: the op that made it, or None for a leaf.
    """

    __array_ufunc__ = None  # let `array + tensor` reach Tensor.__radd__

    def __init__(self, data, requires_grad=False):
        if not backend.is_array(data):
            data = _array_from_python(data)
        elif isinstance(data, np.generic):
            data = np.asarray(data)
        check_dtype("Tensor", data.dtype)
        self.array = data
        self.grad_fn = None
        self._grad = None
        self._requires_grad = False
        if requires_grad:
            self.requires_grad = True

    @classmethod
    def constant(cls, array):
        """A plain Tensor (also where `cls` is a subclass) that requires no gradient."""
        return Tensor(array)

    # what it is

    @property
    def shape(self):
        return self.array.shape

    def size(self, dim=None):
        return self.array.shape if dim is None else self.array.shape[dim]

    @property
    def ndim(self):
        return self.array.ndim

    def dim(self):
        return self.array.ndim

    def numel(self):
        return self.array.size

    @property
    def dtype(self):
        return self.array.dtype

    @property
    def device(self):
        return backend.device_of(self.array)

    def __repr__(self):
        text = np.array2string(self.numpy(), precision=4, separator=", ", prefix="tensor(")
        if self.dtype not in (np.float32, np.int64, np.bool_):
            text += f", dtype={self.dtype}"
        if self.device != "cpu":
            text += f", device='{self.device}'"
        if self.grad_fn is not None:
            text += f", grad_fn={self.grad_fn!r}"
        elif self.requires_grad:
            text += ", requires_grad=True"
        return f"tensor({text})"

    # its place in the graph

    @property
    def requires_grad(self):
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, wanted):
        if wanted and self.dtype.kind != "f":
            raise ValueError(f"only a floating tensor can require a gradient, this is {self.dtype}")
        if not wanted and self.grad_fn is not None:
            raise ValueError(
                "requires_grad can be switched off on leaf tensors only; "
                "use .detach() to take a computed tensor out of the graph"
            )
        self._requires_grad = bool(wanted)

    def requires_grad_(self, requires_grad=True):
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self):
        """True for a tensor that no recorded op made."""
        return self.grad_fn is None

    @property
    def node(self):
        """What a consumer's link on the tape points at: the op, or this leaf itself."""
        return self if self.grad_fn is None else self.grad_fn

    @property
    def grad(self):
        return self._grad

    @grad.setter
    def grad(self, grad):
        if grad is not None and not isinstance(grad, Tensor):
            raise TypeError(f"grad must be a Tensor or None, got {type(grad).__name__}")
        if grad is not None and (grad.shape != self.shape or grad.dtype != self.dtype):
            raise ValueError(
                f"grad must have the tensor's shape and dtype {self.shape} {self.dtype}, "
                f"got {grad.shape} {grad.dtype}"
            )
        self._grad = grad

    def accumulate_grad(self, gx):
        """Add the array `gx` into `.grad` (the tape calls this; the array becomes ours)."""
        if self._grad is None:
            self._grad = Tensor(gx)
        else:
            self._grad.array += gx

    def backward(self, gradient=None, retain_graph=False, create_graph=False):
        """Fill `.grad` of every leaf that this tensor was computed from: see `backprop`."""
        if create_graph:
            raise ValueError(
                "backward: create_graph=True asks for gradients of gradients; "
                "tinynet computes first-order gradients only"
            )
        run_backprop(self, gradient, retain_graph)

    def detach(self):
        """A tensor on the same memory, outside the graph."""
        return Tensor(self.array)

    @property
    def data(self):
        """The same as `detach()`; assigning a tensor replaces the array."""
        return self.detach()

    @data.setter
    def data(self, value):
        if not isinstance(value, Tensor):
            raise TypeError(f"data must be set to a Tensor, got {type(value).__name__}")
        if self.requires_grad and value.dtype.kind != "f":
            raise ValueError(
                f"data of a tensor that requires a gradient must be floating, got {value.dtype}"
            )
        self.array = value.array

    def clone(self):
        """A copy that passes the gradient through."""
        return self * 1 if self.requires_grad else Tensor(self.array.copy())

    def rebind(self, other):
        """Become `other`, keeping this object: the in-place form of an op.

        As in torch, whoever holds this tensor sees the new value, and its gradient flows
        through the op; the old array is untouched, so ops that saved it stay right. Under
        `no_grad` the value changes and the place in the graph does not.
        """
        if self.requires_grad and self.is_leaf and is_grad_enabled():
            raise RuntimeError(
                f"{other.grad_fn.name}: a leaf tensor that requires a gradient cannot be changed "
                "in place; leave out inplace=True, or change it inside no_grad() or through .data"
            )
        self.array = other.array
        if is_grad_enabled():
            self.grad_fn, self._requires_grad = other.grad_fn, other.requires_grad
        return self


Function.tensor_type = Tensor


def _array_from_python(data):
    """Numbers and nested lists (of numbers, arrays or tensors) as an array in torch's dtypes:
    float32 for Python's floats, while arrays in a list keep theirs."""
    if isinstance(data, Tensor):
        raise TypeError("Tensor: got a Tensor; use .detach() or .clone()")
    try:
        array = np.asarray(data)
    except ValueError:
        raise ValueError("Tensor: the nested lists are ragged; rows must be equally long") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"Tensor: expected numbers, got {type(data).__name__} {data!r:.60}")
    first = data
    while isinstance(first, list | tuple) and first:
        first = first[0]
    if array.dtype == np.float64 and not hasattr(first, "dtype"):
        return array.astype(np.float32)
    return array
