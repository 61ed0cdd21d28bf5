"""Module and Parameter: how layers hold weights and contain other layers, as in torch."""

from tinynet import absent, backend
from tinynet.autograd import Tensor
from tinynet.autograd.convert import device_and_dtype, gpu
from tinynet.nn.state import StateMethods


class Parameter(Tensor):
    """A tensor that a Module lists among its parameters; it requires a gradient by default."""

    def __init__(self, data, requires_grad=True):
        shared = isinstance(data, Tensor)
        super().__init__(data.array if shared else data, requires_grad)
        if shared:
            self.counter = data.counter

    def __repr__(self):
        return "Parameter containing:\n" + super().__repr__()


class Module(StateMethods):
    """The base of every layer and network.

    Assigning a Parameter or a Module to an attribute registers it; `register_buffer` adds a
    tensor that belongs to the state but is not trained. Subclasses define `forward`.
    """

    def __init__(self):
        self.__dict__.update(
            _parameters={}, _buffers={}, _modules={}, _transient=set(), _hooks={}, training=True
        )

    # registering

    def __setattr__(self, name, value):
        if "_modules" not in self.__dict__ and not isinstance(value, Parameter | Module):
            object.__setattr__(self, name, value)  # torch allows it before super().__init__()
            return
        parameters, modules, buffers = tables = self._parameters, self._modules, self._buffers
        if isinstance(value, Parameter):
            table = parameters
        elif isinstance(value, Module) and name not in parameters:
            table = modules
        else:
            table = next((table for table in tables if name in table), None)
            if table is None:
                object.__setattr__(self, name, value)
                return
            if value is not None and not (table is buffers and isinstance(value, Tensor)):
                kind = {id(parameters): "Parameter", id(modules): "Module"}.get(id(table), "Tensor")
                raise TypeError(
                    f"{type(self).__name__}.{name} is a registered {kind}: "
                    f"expected a {kind} or None, got {type(value).__name__}"
                )
        self.__dict__.pop(name, None)
        for other in tables:
            if other is not table:
                other.pop(name, None)
        table[name] = value

    def __getattr__(self, name):  # reached only when ordinary lookup found nothing
        if "_modules" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__}: call super().__init__() first")
        for table in (self._parameters, self._buffers, self._modules):
            if name in table:
                return table[name]
        if hasattr(type(self), name):  # a property, whose own AttributeError must not be hidden
            return object.__getattribute__(self, name)
        raise AttributeError(absent.sentence(type(self).__name__, name))

    def __delattr__(self, name):
        for key in ("_parameters", "_buffers", "_modules"):
            if name in self.__dict__[key]:
                del self.__dict__[key][name]
                return
        object.__delattr__(self, name)

    def __dir__(self):
        return [*super().__dir__(), *self._parameters, *self._buffers, *self._modules]

    def _check_name(self, what, name):
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(
                f"{what}: a name must be a non-empty string without dots, got {name!r}"
            )
        if name not in self._parameters | self._buffers | self._modules and hasattr(self, name):
            raise ValueError(f"{what}: {type(self).__name__} already has an attribute {name!r}")

    def register_parameter(self, name, param):
        self._check_name("register_parameter", name)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"register_parameter: expected a Parameter or None for {name!r}, "
                f"got {type(param).__name__}"
            )
        self._parameters[name] = param

    def register_buffer(self, name, tensor, persistent=True):
        """A tensor that moves and is saved with the module, but is not trained."""
        self._check_name("register_buffer", name)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"register_buffer: expected a Tensor or None for {name!r}, "
                f"got {type(tensor).__name__}"
            )
        self._buffers[name] = tensor
        (self._transient.discard if persistent else self._transient.add)(name)

    def add_module(self, name, module):
        self._check_name("add_module", name)
        if module is not None and not isinstance(module, Module):
            raise TypeError(
                f"add_module: expected a Module for {name!r}, got {type(module).__name__}"
            )
        self._modules[name] = module

    register_module = add_module

    # running

    def forward(self, *args, **kwargs):
        raise NotImplementedError(f"{type(self).__name__} must define forward()")

    def __call__(self, *args, **kwargs):
        out = self.forward(*args, **kwargs)
        for hook in list(self._hooks.values()):
            replaced = hook(self, args, out)
            out = out if replaced is None else replaced
        return out

    def register_forward_hook(self, hook):
        """Call `hook(module, args, output)` after each forward; returns a handle to remove it."""
        handle = HookHandle(self._hooks)
        self._hooks[handle] = hook
        return handle

    # listing: each module and parameter once, even where it is shared

    def named_children(self):
        seen = set()
        for name, module in self._modules.items():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self):
        return (module for _, module in self.named_children())

    def named_modules(self, memo=None, prefix=""):
        """(dotted name, module) for this module (named `prefix`) and all below it.

        memo: the ids of the modules to leave out.
        """
        memo = set() if memo is None else memo
        if id(self) in memo:
            return
        memo.add(id(self))
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name)

    def modules(self):
        return (module for _, module in self.named_modules())

    def _named_tensors(self, table, prefix, recurse):
        seen = set()
        for path, module in self.named_modules(prefix=prefix) if recurse else [(prefix, self)]:
            for name, tensor in getattr(module, table).items():
                if tensor is not None and id(tensor) not in seen:
                    seen.add(id(tensor))
                    yield (f"{path}.{name}" if path else name), tensor

    def named_parameters(self, prefix="", recurse=True):
        return self._named_tensors("_parameters", prefix, recurse)

    def parameters(self, recurse=True):
        return (tensor for _, tensor in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix="", recurse=True):
        return self._named_tensors("_buffers", prefix, recurse)

    def buffers(self, recurse=True):
        return (tensor for _, tensor in self.named_buffers(recurse=recurse))

    def get_submodule(self, target):
        """The module at a dotted path, such as 'features.0'."""
        module = self
        for name in target.split(".") if target else []:
            if name not in module._modules:
                raise AttributeError(f"{type(module).__name__} has no submodule {name!r}")
            module = module._modules[name]
        return module

    def apply(self, fn):
        """Call `fn` on every module below and on this one; returns this module."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # modes, gradients, devices

    def train(self, mode=True):
        if not isinstance(mode, bool):
            raise TypeError(f"train: mode must be True or False, got {mode!r}")
        self.training = mode
        for child in self.children():  # not modules(): a child may define train() itself
            child.train(mode)
        return self

    def eval(self):
        return self.train(False)

    def requires_grad_(self, requires_grad=True):
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none=True):
        for parameter in self.parameters():
            if set_to_none or parameter.grad is None:
                parameter.grad = None
            else:
                parameter.grad.zero_()

    def to(self, *targets, device=None, dtype=None, non_blocking=False):
        """Move all parameters and buffers, in place: `to("cuda")`, `to(np.float64)`.

        A dtype must be floating and is taken by the floating tensors only. non_blocking: as
        torch's, and of no effect.
        """
        device, dtype = device_and_dtype("Module.to", targets, device, dtype)
        if dtype is not None and dtype.kind != "f":
            raise TypeError(f"Module.to: dtype must be floating, got {dtype}")

        def move(array):
            if dtype is not None and array.dtype.kind == "f":
                array = array.astype(dtype, copy=False)
            return array if device is None else backend.to_device(array, device)

        for tensor in [*self.parameters(), *self.buffers()]:
            tensor.array = move(tensor.array)
            if tensor.grad is not None:
                tensor.grad.array = move(tensor.grad.array)
        return self

    def cpu(self):
        return self.to("cpu")

    def cuda(self, device="cuda"):
        return self.to(gpu(device))

    def float(self):
        return self.to("float32")

    def double(self):
        return self.to("float64")

    # printing

    def extra_repr(self):
        """What stands between the parentheses of the printed module, for layers."""
        return ""

    def __repr__(self):
        extra = self.extra_repr()
        if "\n" not in extra and not self._modules:
            return f"{type(self).__name__}({extra})"
        lines = extra.split("\n") if extra else []
        for name, text in self._child_texts():
            lines.append(f"({name}): " + text.replace("\n", "\n  "))
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"

    def _child_texts(self):
        return [(name, repr(module)) for name, module in self._modules.items()]


class HookHandle:
    """What `register_forward_hook` returns: `remove()` takes the hook away."""

    def __init__(self, hooks):
        self._table = hooks

    def remove(self):
        self._table.pop(self, None)
