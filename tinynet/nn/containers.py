"""Modules that hold modules."""

import itertools
import operator

from tinynet import check
from tinynet.autograd import Tensor
from tinynet.autograd.tape import implementation
from tinynet.nn.module import Module


class _Indexed(Module):
    """Children named '0', '1', ...: what Sequential and ModuleList share."""

    def __len__(self):
        return len(self._modules)

    def __iter__(self):
        return iter(self._modules.values())

    def _key(self, index):
        name = type(self).__name__
        position = check.integer(name, "index", index)
        if not -len(self) <= position < len(self):
            raise IndexError(f"{name}: index {index} is out of range for {len(self)} modules")
        return list(self._modules)[position]

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self._slice(list(self._modules.items())[index])
        return self._modules[self._key(index)]

    def __setitem__(self, index, module):
        setattr(self, self._key(index), module)

    def __delitem__(self, index):
        keys = list(self._modules)[index] if isinstance(index, slice) else [self._key(index)]
        kept = [module for name, module in self._modules.items() if name not in keys]
        self._modules.clear()
        self.extend(kept)  # numbered anew, as in torch

    def append(self, module):
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules):
        if not hasattr(modules, "__iter__"):
            raise TypeError(
                f"{type(self).__name__}: expected modules, got {type(modules).__name__}"
            )
        for module in modules:
            self.append(module)
        return self

    __iadd__ = extend

    def insert(self, index, module):
        if not isinstance(module, Module):
            raise TypeError(f"insert: expected a Module, got {type(module).__name__}")
        modules = [*self._modules.values()]
        modules.insert(index, module)
        self._modules.clear()
        return self.extend(modules)

    def pop(self, index):
        module = self[index]
        del self[index]
        return module


class Sequential(_Indexed):
    """Modules applied one after the other: `Sequential(a, b)` or `Sequential({"name": a})`."""

    def __init__(self, *modules):
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], dict):
            for name, module in modules[0].items():
                self.add_module(name, module)
        else:
            self.extend(modules)

    def _slice(self, items):
        return type(self)(dict(items))

    def forward(self, x):
        run = implementation(in_turn, x.array) if isinstance(x, Tensor) else in_turn
        return run(self, x)


def in_turn(modules, x):
    """What a Sequential computes: one module after the other."""
    for module in modules:
        x = module(x)
    return x


class ModuleList(_Indexed):
    """A list of modules whose parameters are found; it has no forward of its own."""

    def __init__(self, modules=()):
        super().__init__()
        self.extend(modules)

    def _slice(self, items):
        return type(self)(module for _, module in items)

    def _child_texts(self):  # equal neighbours share a line: (0-2): 3 x ReLU()
        texts = []
        for text, run in itertools.groupby(super()._child_texts(), key=operator.itemgetter(1)):
            names = [name for name, _ in run]
            if len(names) > 1:
                text = f"{len(names)} x {text}"
            texts.append(("-".join(dict.fromkeys((names[0], names[-1]))), text))
        return texts


class ModuleDict(Module):
    """Modules by name, whose parameters are found; it has no forward of its own."""

    def __init__(self, modules=None):
        super().__init__()
        self.update({} if modules is None else modules)

    def __getitem__(self, key):
        return self._modules[key]

    def __setitem__(self, key, module):
        self.add_module(key, module)

    def __delitem__(self, key):
        del self._modules[key]

    def __len__(self):
        return len(self._modules)

    def __iter__(self):
        return iter(self._modules)

    def __contains__(self, key):
        return key in self._modules

    def clear(self):
        self._modules.clear()

    def pop(self, key):
        return self._modules.pop(key)

    def keys(self):
        return self._modules.keys()

    def items(self):
        return self._modules.items()

    def values(self):
        return self._modules.values()

    def update(self, modules):
        """Add or replace modules: a mapping, or pairs of a name and a module."""
        pairs = modules.items() if hasattr(modules, "items") else modules
        try:
            pairs = [(name, module) for name, module in pairs]
        except (TypeError, ValueError):
            raise TypeError(
                "ModuleDict: expected a mapping or pairs of a name and a module, got "
                f"{type(modules).__name__}"
            ) from None
        for name, module in pairs:
            self.add_module(name, module)
