"""Tensor: an array, whether it wants a gradient, and the op that made it.

The methods are torch's, most of them one line over the ops of `tinynet/ops`; arguments are checked
in them. Those that reduce, reshape or choose are in `reducing.py`, `shaping.py` and `choosing.py`.
`convert.py` has what turns a user's data, numbers, dtypes and indices into arrays, `inplace.py` how
a tensor changes in place.
"""

import collections

import numpy as np

from tinynet import absent, backend, check
from tinynet.autograd import convert, inplace
from tinynet.autograd.choosing import Choosing
from tinynet.autograd.reducing import Reducing
from tinynet.autograd.shaping import Shaping
from tinynet.autograd.tape import Function, backprop
from tinynet.ops import activation
from tinynet.ops import elementwise as e
from tinynet.ops.matmul import MatMul

BASES = (type(None), np.ndarray)


def _described(method, name, text):
    """A method that was made, with what `help` and a traceback tell of it."""
    method.__name__, method.__qualname__, method.__doc__ = name, f"Tensor.{name}", text
    return method


def _binary(name, op, swap=False):
    def method(self, other):
        pair = convert.promote(name, self, other, floating=op is e.Divide)
        if pair is NotImplemented:
            return NotImplemented
        a, b = pair[::-1] if swap else pair
        (check.product if op is MatMul else check.broadcast)(name, a.shape, b.shape)
        if op is e.Power and a.dtype.kind != "f" and (b.array < 0).any():
            raise ValueError(
                f"{name}: integers to negative powers are not integers; convert with .float() first"
            )
        return op.apply(a, b)

    return _described(method, name, op.rule["y"])


def _unary(op, floating=False):
    def method(self):
        return op.apply(self.floating() if floating else self)

    return _described(method, op.__name__.lower(), op.rule["y"])


def _negative(self):
    if self.dtype.kind == "b":
        raise TypeError("-: bools have no negative; use ~x for the opposite")
    return e.Negate.apply(self)


def _comparison(name, function, kinds="biuf"):
    """The result is an array of bools, or for bits of integers; no gradient passes."""

    def method(self, other):
        pair = convert.promote(name, self, other)
        if pair is NotImplemented:
            return NotImplemented
        a, b = (inplace.fresh(tensor).array for tensor in pair)
        check.broadcast(name, a.shape, b.shape)
        if a.dtype.kind not in kinds:
            raise TypeError(f"{name}: is for bools and integers, got {a.dtype}; compare first")
        return Tensor(function(a, b))

    return _described(method, name, f"a {name} b, element by element")


def _test(name, function):
    def method(self):
        return Tensor(function(inplace.fresh(self).array))

    return _described(method, name, f"`{name}` of each element, as bools.")


def _to(target):
    name = target if isinstance(target, str) else target.__name__
    return _described(lambda self: self.to(target), name, f"The tensor as {name}.")


def _in_place(name, method):
    def changes(self, *args, **kwargs):
        old = inplace.before(self, *args[:1])
        args = [old if arg is self else arg for arg in args]
        result = getattr(old, method)(*args, **kwargs)
        return result if result is NotImplemented else inplace.become(self, name, result)

    return _described(changes, name, f"`{method}` in place")


def _times(name, tensor, other, alpha):
    """What add_ and sub_ take: `other`, alpha times."""
    if check.number(name, "alpha", alpha) == 1:
        return other
    return convert.promote(name, tensor, other)[1] * alpha


class Tensor(Reducing, Shaping, Choosing):
    """An n-axis array that can be differentiated.

    Args: data: an array (its memory is shared, as by torch.from_numpy), a number or nested
    lists. requires_grad: whether backward should leave a gradient in `.grad`.

    Attributes:
        array: the NumPy or CuPy array itself; who writes into it calls `changed()`.
        grad: None until a backward pass reaches this tensor, then a Tensor of its shape, to
            which further passes add.
        grad_fn: the op that made it, or None for a leaf.
        counter: [how often this memory was changed in place], one list for all tensors on it.
    """

    __array_ufunc__ = None  # let `array + tensor` reach Tensor.__radd__
    __hash__ = object.__hash__  # tensors are told apart by identity, as in torch
    _op = _grad = _view = None
    _requires_grad = False
    _rewrites = 0  # how often an in-place op was recorded for this memory

    def __init__(self, data, requires_grad=False):
        if type(data) is not np.ndarray or data.dtype not in check.DTYPES:
            data = convert.as_array(data)
        if type(data) is np.ndarray and type(data.base) not in BASES:
            data = data[...]  # memory of something else's: let all views of it name one owner
        self.array = data
        self.counter = [0]
        if requires_grad:
            self.requires_grad = True

    # what it is

    shape = property(lambda self: self.array.shape)
    ndim = property(lambda self: self.array.ndim)
    dtype = property(lambda self: self.array.dtype)
    device = property(lambda self: backend.device_of(self.array))
    is_cuda = property(lambda self: self.device != "cpu")

    def size(self, dim=None):
        return self.shape if dim is None else self.shape[self._one_dim("size", dim)]

    def dim(self):
        return self.ndim

    def numel(self):
        return self.array.size

    nelement = numel

    def is_floating_point(self):
        return self.dtype.kind == "f"

    def __len__(self):
        if self.ndim == 0:
            raise TypeError("len: a tensor of 0 axes has no length")
        return self.shape[0]

    def __iter__(self):
        if self.ndim == 0:
            raise TypeError("iter: a tensor of 0 axes cannot be iterated over")
        return (self[i] for i in range(len(self)))

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

    def __getattr__(self, name):  # reached only when ordinary lookup found nothing
        if hasattr(type(self), name):  # a property, whose own AttributeError must not be hidden
            return object.__getattribute__(self, name)
        raise AttributeError(absent.sentence("Tensor", name))

    # its place in the graph

    @property
    def requires_grad(self):
        if self._view is not None:
            inplace.fresh(self)
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, wanted):
        if wanted and self.dtype.kind != "f":
            raise ValueError(
                "requires_grad: only a floating tensor can require a gradient, this is "
                f"{self.dtype}"
            )
        if not wanted and self.grad_fn is not None:
            raise ValueError(
                "requires_grad: can be switched off on leaf tensors only; "
                "use .detach() to take a computed tensor out of the graph"
            )
        self._requires_grad = bool(wanted)

    def requires_grad_(self, requires_grad=True):
        self.requires_grad = requires_grad
        return self

    @property
    def grad_fn(self):
        if self._view is not None:
            inplace.fresh(self)
        return self._op

    @property
    def is_leaf(self):
        """True for a tensor that no recorded op made."""
        return self.grad_fn is None

    @property
    def node(self):
        """What a consumer's link on the tape points at: the op, or this leaf itself."""
        return self if self._op is None else self._op

    @property
    def grad(self):
        return self._grad

    @grad.setter
    def grad(self, grad):
        if grad is not None and not isinstance(grad, Tensor):
            raise TypeError(f"grad: must be a Tensor or None, got {type(grad).__name__}")
        if grad is not None and (grad.shape != self.shape or grad.dtype != self.dtype):
            raise ValueError(
                f"grad: must have the tensor's shape and dtype {self.shape} {self.dtype}, "
                f"got {grad.shape} {grad.dtype}"
            )
        self._grad = grad

    def accumulate_grad(self, gx):
        """Add the array `gx` into `.grad` (the tape calls this; the array becomes ours)."""
        if self._grad is None:
            self._grad = Tensor(gx)
        else:
            self._grad.array += gx
            self._grad.changed()

    def backward(self, gradient=None, retain_graph=False, create_graph=False):
        """Fill `.grad` of every leaf that this tensor was computed from: see `backprop`."""
        if create_graph:
            raise ValueError(
                "backward: create_graph=True asks for gradients of gradients; "
                "tinynet computes first-order gradients only"
            )
        collections.deque(backprop(self, gradient, retain_graph), maxlen=0)  # keeps no step

    def detach(self):
        """A tensor on the same memory, outside the graph."""
        return inplace.detached(self)

    @property
    def data(self):
        """The same as `detach()`; assigning a tensor replaces the array."""
        return self.detach()

    @data.setter
    def data(self, value):
        if not isinstance(value, Tensor):
            raise TypeError(f"data: must be set to a Tensor, got {type(value).__name__}")
        if self.requires_grad and value.dtype.kind != "f":
            raise ValueError(
                "data: that of a tensor which requires a gradient must be floating, "
                f"got {value.dtype}"
            )
        self.array, self.counter = value.array, value.counter

    def clone(self):
        """A copy that passes the gradient through."""
        return self * 1 if self.requires_grad else Tensor(self.array.copy())

    def contiguous(self):
        """The tensor itself: every op takes any memory layout (kept for torch code)."""
        return self

    # conversions; those to another floating dtype or device carry gradients

    def to(self, *targets, device=None, dtype=None, non_blocking=False, copy=False):
        """The tensor on a device and/or in a dtype: `x.to("cuda")`, `x.to(np.float64)`, or those of
        another tensor. non_blocking: as torch's, and of no effect. copy: never the tensor itself.
        """
        device, dtype = convert.device_and_dtype("to", targets, device, dtype)
        out = self.clone() if copy else self
        if dtype is not None and dtype != self.dtype:
            if self.dtype.kind == dtype.kind == "f":
                out = e.Cast.apply(out, dtype=dtype)
            else:
                out = Tensor(inplace.fresh(self).array.astype(dtype))
        if device is not None and device != out.device:
            out = e.Transfer.apply(out, device=device)
        return out

    float, double, long, bool = map(_to, (np.float32, np.float64, np.int64, np.bool_))
    int, cpu = _to(np.int32), _to("cpu")

    def cuda(self, device="cuda", non_blocking=False):
        """The tensor on the GPU."""
        return self.to(convert.gpu(device))

    def type(self, dtype):
        """The tensor in another dtype."""
        return self.to(dtype=dtype)

    def type_as(self, other):
        """The tensor in the dtype and on the device of `other`."""
        check.tensors("type_as", other=other)
        return self.to(other)

    def floating(self):
        """The tensor itself if it holds floats, else as float32 (torch's default)."""
        return self if self.dtype.kind == "f" else self.to(np.float32)

    def numpy(self):
        """The tensor as a NumPy array, sharing its memory (from a GPU: a copy)."""
        return backend.to_device(inplace.fresh(self).array, "cpu")

    def __array__(self, dtype=None, copy=None):
        array = self.numpy()
        if copy or (dtype is not None and array.dtype != dtype):
            return array.astype(dtype or array.dtype)
        return array

    def item(self):
        """The one element as a Python number."""
        if self.array.size != 1:
            raise ValueError(
                f"item: expected a tensor of one element, got shape {self.shape}; "
                "index it or use .tolist()"
            )
        return inplace.fresh(self).array.item()

    def tolist(self):
        return inplace.fresh(self).array.tolist()

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __index__(self):
        if self.array.size != 1 or self.dtype.kind not in "iu":
            raise TypeError(
                f"index: only a tensor of one integer can serve as one, got {self.dtype} of shape "
                f"{self.shape}"
            )
        return int(self.item())

    def __bool__(self):
        if self.array.size != 1:
            raise ValueError(
                f"bool: the truth of a tensor of shape {self.shape} is ambiguous; "
                "compare one element, or reduce it first"
            )
        return bool(self.item())

    def __format__(self, spec):
        """A tensor of no axes is formatted as its number: f"{loss:.3f}"."""
        if spec and self.ndim:
            raise TypeError(
                f"format: {spec!r} is for one number, got a tensor of shape {self.shape}"
            )
        return format(self.item(), spec) if self.ndim == 0 else str(self)

    # arithmetic, element by element; operands broadcast

    __add__, add = _binary("+", e.Add), _binary("add", e.Add)
    __sub__, sub = _binary("-", e.Subtract), _binary("sub", e.Subtract)
    __mul__, mul = _binary("*", e.Multiply), _binary("mul", e.Multiply)
    __truediv__, div = _binary("/", e.Divide), _binary("div", e.Divide)
    __mod__, remainder = _binary("%", e.Remainder), _binary("remainder", e.Remainder)
    __pow__, pow = _binary("**", e.Power), _binary("pow", e.Power)
    __matmul__, matmul = _binary("@", MatMul), _binary("matmul", MatMul)
    maximum, minimum = _binary("maximum", e.Maximum), _binary("minimum", e.Minimum)

    __radd__ = _binary("+", e.Add, swap=True)
    __rsub__ = _binary("-", e.Subtract, swap=True)
    __rmul__ = _binary("*", e.Multiply, swap=True)
    __rtruediv__ = _binary("/", e.Divide, swap=True)
    __rmod__ = _binary("%", e.Remainder, swap=True)
    __rpow__ = _binary("**", e.Power, swap=True)
    __rmatmul__ = _binary("@", MatMul, swap=True)

    __eq__, __ne__ = _comparison("==", np.equal), _comparison("!=", np.not_equal)
    __lt__, __le__ = _comparison("<", np.less), _comparison("<=", np.less_equal)
    __gt__, __ge__ = _comparison(">", np.greater), _comparison(">=", np.greater_equal)
    eq, ne = _comparison("eq", np.equal), _comparison("ne", np.not_equal)
    lt, le = _comparison("lt", np.less), _comparison("le", np.less_equal)
    gt, ge = _comparison("gt", np.greater), _comparison("ge", np.greater_equal)
    __and__ = __rand__ = _comparison("&", np.bitwise_and, kinds="biu")
    __or__ = __ror__ = _comparison("|", np.bitwise_or, kinds="biu")
    __xor__ = __rxor__ = _comparison("^", np.bitwise_xor, kinds="biu")

    def __invert__(self):
        return _comparison("~", lambda x, _: ~x, kinds="biu")(self, self)

    logical_not, isnan = _test("logical_not", np.logical_not), _test("isnan", np.isnan)
    isfinite, isinf = _test("isfinite", np.isfinite), _test("isinf", np.isinf)

    __neg__, __abs__, abs = _negative, _unary(e.Abs), _unary(e.Abs)
    exp, log, sqrt = _unary(e.Exp, True), _unary(e.Log, True), _unary(e.Sqrt, True)
    sigmoid, tanh = _unary(activation.Sigmoid, True), _unary(activation.Tanh, True)
    relu, round, neg = _unary(activation.ReLU), _unary(e.Round), _described(_negative, "neg", "-x")

    def square(self):
        return self * self

    def softmax(self, dim):
        return activation.Softmax.apply(self.floating(), dim=self._one_dim("softmax", dim))

    def log_softmax(self, dim):
        return activation.LogSoftmax.apply(self.floating(), dim=self._one_dim("log_softmax", dim))

    def clip(self, min=None, max=None):
        """Limit every element to [min, max]; either bound may be None."""
        if min is None and max is None:
            raise ValueError("clip: give min, max or both; got neither")
        low, high = convert.bound("min", min), convert.bound("max", max)
        x = self.floating() if float in (type(low), type(high)) else self
        return e.Clip.apply(x, low=low, high=high)

    clamp = clip

    # in place. Where a gradient is wanted, arithmetic is recorded like any op, and the methods
    # that overwrite values are refused. A leaf that requires a gradient changes only inside
    # no_grad() or through .data, as in torch.

    def __setitem__(self, index, value):
        inplace.overwrite(self, "assignment", value, convert.index(self.array, index))

    def copy_(self, source):
        return inplace.overwrite(self, "copy_", source)

    def fill_(self, value):
        return inplace.overwrite(self, "fill_", value)

    def zero_(self):
        return inplace.overwrite(self, "zero_", 0)

    def normal_(self, mean=0.0, std=1.0):
        """Fill with draws from N(mean, std**2); `manual_seed` makes them repeat."""
        mean, std = check.number("normal_", "mean", mean), check.number("normal_", "std", std, 0)
        check.floats("normal_", tensor=self)
        return inplace.overwrite(
            self, "normal_", backend.random_generator().normal(mean, std, self.shape)
        )

    def uniform_(self, low=0.0, high=1.0):
        """Fill with draws from [low, high); `manual_seed` makes them repeat."""
        low = check.number("uniform_", "low", low)
        check.floats("uniform_", tensor=self)
        if check.number("uniform_", "high", high) < low:
            raise ValueError(f"uniform_: low {low} is above high {high}")
        return inplace.overwrite(
            self, "uniform_", backend.random_generator().uniform(low, high, self.shape)
        )

    def add_(self, other, alpha=1):
        other = _times("add_", self, other, alpha)
        return inplace.become(self, "add_", inplace.before(self, other).add(other))

    def sub_(self, other, alpha=1):
        other = _times("sub_", self, other, alpha)
        return inplace.become(self, "sub_", inplace.before(self, other).sub(other))

    mul_, div_ = _in_place("mul_", "mul"), _in_place("div_", "div")
    masked_fill_ = _in_place("masked_fill_", "masked_fill")
    clip_, clamp_ = _in_place("clip_", "clip"), _in_place("clamp_", "clamp")
    __iadd__, __isub__ = _in_place("+=", "__add__"), _in_place("-=", "__sub__")
    __imul__, __itruediv__ = _in_place("*=", "__mul__"), _in_place("/=", "__truediv__")
    __imod__, __ipow__ = _in_place("%=", "__mod__"), _in_place("**=", "__pow__")

    def become(self, name, result):
        """Take the values of `result`, an op's, into this tensor's memory: the in-place form."""
        return inplace.become(self, name, result)

    def bring_up_to_date(self):
        """Called by the tape for a view, which shows what was changed in place since."""
        inplace.fresh(self)

    def become_view(self, source, op, options):
        """Called by the tape: `op`, a class, with these options made this tensor of `source`."""
        inplace.become_view(self, source, op, options)

    def changed(self):
        """Say that values in `array` were changed: ops that saved them refuse to go backward."""
        self.counter[0] += 1


Function.tensor_type = Tensor
