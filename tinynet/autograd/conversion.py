"""Between dtypes, devices and Python: ops `Cast` and `Transfer`, and Tensor's conversions."""

import numpy as np

from tinynet import backend
from tinynet.autograd.tape import Function

DEVICES = ("cpu", "cuda", "cuda:0")
NUMBERS = (bool, int, float, np.bool_, np.integer, np.floating)


def check_dtype(name, dtype):
    """`dtype` as a NumPy dtype that a tensor may have: floating, integer or bool."""
    try:
        checked = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"{name}: dtype must name a NumPy dtype, got {dtype!r}") from None
    if checked.kind not in "fiub":
        raise TypeError(f"{name}: a tensor holds floats, integers or bools, got dtype {checked}")
    return checked


def device_and_dtype(targets, device, dtype):
    """What `to("cuda", np.float64)` asks for: each target is a device if it names one."""
    for target in targets:
        if isinstance(target, str) and target in DEVICES:
            device = target
        else:
            dtype = target
    return device, dtype


class Cast(Function):
    """y = x in another floating dtype;  gx = gy in x's dtype (the tape casts it)"""

    def __init__(self, dtype):
        self.dtype = dtype

    def forward(self, x):
        return x.astype(self.dtype)

    def backward(self, gy):
        return gy


class Transfer(Function):
    """y = x on another device;  gx = gy moved back"""

    def __init__(self, device):
        self.device = device

    def forward(self, x):
        self.source = backend.device_of(x)
        return backend.to_device(x, self.device)

    def backward(self, gy):
        return backend.to_device(gy, self.source)


class ConversionMethods:
    """Tensor's conversions. Those to another floating dtype or device carry gradients."""

    def to(self, *targets, device=None, dtype=None):
        """The tensor on a device and/or in a dtype: `x.to("cuda")`, `x.to(np.float64)`."""
        device, dtype = device_and_dtype(targets, device, dtype)
        out = self
        if dtype is not None:
            dtype = check_dtype("to", dtype)
            if dtype != self.dtype and self.dtype.kind == dtype.kind == "f":
                out = Cast.apply(out, dtype=dtype)
            elif dtype != self.dtype:
                out = self.constant(self.array.astype(dtype))
        if device is not None and backend.check_device(device) != out.device:
            out = Transfer.apply(out, device=backend.check_device(device))
        return out

    def float(self):
        return self.to(np.float32)

    def double(self):
        return self.to(np.float64)

    def long(self):
        return self.to(np.int64)

    def bool(self):
        return self.to(np.bool_)

    def cpu(self):
        return self.to("cpu")

    def cuda(self):
        return self.to("cuda")

    def floating(self):
        """The tensor itself if it holds floats, else as float32 (torch's default)."""
        return self if self.dtype.kind == "f" else self.to(np.float32)

    def promote(self, other, floating=False):
        """This tensor and `other` (Tensor, array, number) in the dtype torch computes them in.

        Numbers and 0-axis tensors bend to the other side's dtype unless they are of a higher
        kind (bool < integer < float); integers meet floats in the floats' dtype.
        NotImplemented for an `other` that is none of these. `floating`: integers become float32.
        """
        if isinstance(other, NUMBERS):
            xp = backend.array_module(self.array)
            # astype, since uint8 + (-1) wraps around as in torch where NumPy refuses the -1
            other = type(self).constant(xp.asarray(other).astype(self._dtype_for(other)))
        elif backend.is_array(other):
            other = type(self).constant(backend.to_device(other, self.device))
        elif not isinstance(other, ConversionMethods):
            return NotImplemented
        a, b = self, other
        if a.dtype != b.dtype:
            common = _common_dtype(a.array, b.array)
            a, b = a.to(common), b.to(common)
        return (a.floating(), b.floating()) if floating else (a, b)

    def _dtype_for(self, number):
        if isinstance(number, bool | np.bool_) or (
            isinstance(number, int | np.integer) and self.dtype.kind != "b"
        ):
            return self.dtype
        if isinstance(number, int | np.integer):
            return np.dtype(np.int64)
        return self.dtype if self.dtype.kind == "f" else np.dtype(np.float32)

    def numpy(self):
        """The tensor as a NumPy array, sharing its memory (from a GPU: a copy)."""
        return backend.to_device(self.array, "cpu")

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
        return self.array.item()

    def tolist(self):
        return self.array.tolist()

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __bool__(self):
        if self.array.size != 1:
            raise ValueError(
                f"the truth of a tensor of shape {self.shape} is ambiguous; "
                "compare one element, or reduce it first"
            )
        return bool(self.array.item())

    def __format__(self, spec):
        """A tensor of no axes is formatted as its number: f"{loss:.3f}"."""
        return format(self.item(), spec) if self.ndim == 0 else super().__format__(spec)

    def __len__(self):
        if self.ndim == 0:
            raise TypeError("a tensor of 0 axes has no length")
        return self.shape[0]


def rank(dtype):
    """bool < integer < floating, as 0, 1, 2: what decides first when dtypes meet."""
    return {"b": 0, "i": 1, "u": 1, "f": 2}[dtype.kind]


def promote_dtypes(a, b):
    """The dtype two dtypes meet in: the one of higher rank, within a rank the wider."""
    if rank(a) == rank(b):
        return np.promote_types(a, b)
    return a if rank(a) > rank(b) else b


def _common_dtype(a, b):
    """torch's promotion: as `promote_dtypes`, but within a rank a 0-axis array gives way."""
    if rank(a.dtype) == rank(b.dtype) and (a.ndim == 0) != (b.ndim == 0):
        return b.dtype if a.ndim == 0 else a.dtype
    return promote_dtypes(a.dtype, b.dtype)
