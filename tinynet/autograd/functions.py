"""Some of Tensor's methods as functions, by torch's names: `flatten(x, 1)` for `x.flatten(1)`."""

from tinynet.autograd.tensor import Tensor


def _function(name):
    method = getattr(Tensor, name)

    def function(input, *args, **kwargs):
        if not isinstance(input, Tensor):
            raise TypeError(f"{name}: expected a Tensor, got {type(input).__name__}")
        return method(input, *args, **kwargs)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = method.__doc__ or f"`input.{name}(...)`."
    return function


add = _function("add")
argmax = _function("argmax")
chunk = _function("chunk")
clamp = _function("clamp")
exp = _function("exp")
flatten = _function("flatten")
log = _function("log")
matmul = _function("matmul")
max = _function("max")
mean = _function("mean")
mul = _function("mul")
permute = _function("permute")
pow = _function("pow")
reshape = _function("reshape")
split = _function("split")
sqrt = _function("sqrt")
squeeze = _function("squeeze")
sum = _function("sum")
transpose = _function("transpose")
unsqueeze = _function("unsqueeze")
