"""Optimizer: parameter groups, state, and saving both, in torch's format.

An optimizer changes parameters in place: a parameter's array stays the same object, so that
the network, the optimizer and everything else that holds the parameter see one array.
"""

import math
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from tinynet import check
from tinynet.autograd import Tensor
from tinynet.backend import array_module, device_of
from tinynet.optim.state import check_extras, copy_buffer, describe, state_and_groups


class Optimizer:
    """Base class: a subclass passes its defaults here and writes `_update`, `_check_group` and
    `_buffer_names`.

    `param_groups` is a list of dicts, {"params": [...], "lr": ..., ...}, one for each set of
    parameters with hyperparameters of its own; `defaults` fills in what a group leaves out.
    `state` maps each parameter to its buffers. Schedules write into `param_groups`.

    Args:
        params: an iterable of tensors, of (name, tensor) pairs, or of dicts (groups).
        defaults: the hyperparameters of a group that does not name its own.
    Raises: TypeError or ValueError for anything that cannot be optimised.
    """

    def __init__(self, params, defaults):
        name = type(self).__name__
        if isinstance(params, Tensor | dict):
            raise TypeError(
                f"{name}: params must be an iterable of tensors or of dicts, got a single "
                f"{type(params).__name__}; put it in a list"
            )
        params = _listed(name, "params", params)
        if not params:
            raise ValueError(
                f"{name}: params is empty; pass model.parameters() of a model that has some "
                f"(an iterator that was already used up is empty too)"
            )
        self._check_group(defaults)
        self.defaults = defaults
        self.state = defaultdict(dict)
        self.param_groups = []
        self._step_called = False  # read by the schedules
        for group in params if isinstance(params[0], dict) else [{"params": params}]:
            self.add_param_group(group)

    def zero_grad(self, set_to_none=True):
        """Forget all gradients (`p.grad = None`), or fill them with zeros in place."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    p.grad.array[...] = 0

    def step(self, closure=None):
        """Update every parameter that has a gradient; parameters with `grad` None stay.

        Args: closure: a function that recomputes the loss, called first.
        Returns: what `closure` returned, or None.
        """
        if not (closure is None or callable(closure)):
            raise TypeError(
                f"{type(self).__name__}.step: closure must be a function that computes the loss, "
                f"or None, got {describe(closure)}"
            )
        loss = None if closure is None else closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            gs = [self._beside(p, "gradient", p.grad) for p in params]
            self._update(group, params, [p.array for p in params], gs)
            for p in params:
                p.changed()
        self._step_called = True
        return loss

    def add_param_group(self, param_group):
        """Add parameters with hyperparameters of their own, e.g. layers unfrozen later.

        Args: param_group: {"params": tensor, or iterable of tensors or (name, tensor) pairs,
            and any of the hyperparameters}.
        """
        name = type(self).__name__
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise TypeError(
                f"{name}: a parameter group must be a dict with the key 'params', got "
                f"{describe(param_group)}"
            )
        params, names = _split_names(name, param_group["params"])
        group = {**self.defaults, **param_group, "params": params}
        if names:
            group["param_names"] = names
        seen = {id(p) for other in self.param_groups for p in other["params"]}
        for i, p in enumerate(params):
            if not isinstance(p, Tensor):
                raise TypeError(
                    f"{name}: every parameter must be a Tensor, got {describe(p)} at index {i}"
                )
            if not p.is_leaf:
                raise ValueError(
                    f"{name}: the parameter at index {i} (shape {p.shape}) is the result of an "
                    f"operation; pass leaf tensors, such as model.parameters()"
                )
            if id(p) in seen:
                raise ValueError(
                    f"{name}: the parameter at index {i} (shape {p.shape}) was given twice; "
                    f"each parameter belongs to one group, once"
                )
            seen.add(id(p))
        if any(("param_names" in other) != bool(names) for other in self.param_groups):
            raise ValueError(f"{name}: give names to the parameters of all groups or of none")
        self._check_group(group)
        self.param_groups.append(group)

    def state_dict(self):
        """All that a later run needs to go on: {"state": ..., "param_groups": ...}.

        Parameters are numbered in order. The buffers are copies: training on does not change
        a dict taken earlier. torch's optimizer of the same name reads it once its tensors are
        torch's, and `load_state_dict` reads torch's.
        """
        numbers, groups = {}, []
        for group in self.param_groups:
            for p in group["params"]:
                numbers[p] = len(numbers)
            groups.append({**group, "params": [numbers[p] for p in group["params"]]})
        state = {
            numbers[p]: {key: Tensor(value.array.copy()) for key, value in buffers.items()}
            for p, buffers in self.state.items()
        }
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict):
        """Take over a `state_dict`: all of it or, if anything does not fit, nothing.

        Arrays may be Tensors, NumPy arrays or torch tensors; they are copied, to each
        parameter's dtype and device. Raises: TypeError, ValueError.
        """
        name = f"{type(self).__name__}.load_state_dict"
        saved_state, saved_groups = state_and_groups(name, state_dict)
        saved_sizes = [len(saved["params"]) for saved in saved_groups]
        sizes = [len(group["params"]) for group in self.param_groups]
        if saved_sizes != sizes:
            raise ValueError(
                f"{name}: the saved groups hold {saved_sizes} parameters and this optimizer's "
                f"{sizes}; build it with the same groups as the saved one"
            )
        groups, owners = [], {}  # the saved numbers need not be 0, 1, 2, ...: their order counts
        for group, saved in zip(self.param_groups, saved_groups, strict=True):
            missing = sorted(self.defaults.keys() - saved.keys())
            if missing:
                raise ValueError(
                    f"{name}: a saved group lacks {missing}; was it saved by another optimizer?"
                )
            names = {key: group[key] for key in ("param_names",) if key in group}
            groups.append({**names, **saved, "params": group["params"]})
            self._check_group(groups[-1])
            check_extras(name, groups[-1], self.defaults)
            for number, p in zip(saved["params"], group["params"], strict=True):
                if check.integer(name, "the number of a parameter", number) in owners:
                    raise ValueError(f"{name}: two parameters have the number {number}")
                owners[number] = (p, groups[-1])
        state = defaultdict(dict)
        for number, buffers in saved_state.items():
            if isinstance(number, bool) or number not in owners:
                raise ValueError(f"{name}: state of parameter {number!r}, which no group holds")
            p, group = owners[number]
            needed, optional = self._buffer_names(group)
            # torch before 2.0 saved "no momentum yet" as None
            buffers = {key: value for key, value in buffers.items() if value is not None}
            if buffers and not needed <= set(buffers) <= needed | optional:
                raise ValueError(
                    f"{name}: parameter {number} has the buffers {list(buffers)}, expected "
                    f"{sorted(needed | optional)}; was it saved by another optimizer?"
                )
            state[p] = {
                key: copy_buffer(f"{name}: {key!r} of parameter {number}", key, value, p)
                for key, value in buffers.items()
            }
        self.param_groups, self.state = groups, state

    def _check_group(self, group):
        """Raise ValueError or TypeError unless the hyperparameters of `group` make sense."""
        raise NotImplementedError

    def _buffer_names(self, group):
        """Two sets: the buffers that a parameter with state has, and those it may have."""
        raise NotImplementedError

    def _update(self, group, params, xs, gs):
        """Change the arrays `xs` of parameters by their gradients' arrays `gs`, in place."""
        raise NotImplementedError

    def _numbers(self, group, *keys, below=math.inf):
        """Hyperparameters as floats, for a NumPy float64 would lift float32 arrays to float64."""
        name = type(self).__name__
        return [float(check.number(name, key, group[key], high=below, below=True)) for key in keys]

    def _buffer(self, p, key):
        """The array of a parameter's buffer, zeros at first."""
        buffers = self.state[p]
        if key not in buffers:
            buffers[key] = Tensor(array_module(p.array).zeros_like(p.array))
        return self._beside(p, f"buffer {key!r}", buffers[key])

    def _next_step(self, p):
        """t of the step to come, kept as a tensor in the main memory, as torch does."""
        buffers = self.state[p]
        if "step" not in buffers:
            buffers["step"] = Tensor(np.zeros((), np.float32))
        buffers["step"].array += 1
        return float(buffers["step"].array)

    def _beside(self, p, what, tensor):
        """The array of a tensor that must have the parameter's shape and device."""
        x, array = p.array, tensor.array
        if array.shape != x.shape or type(array) is not type(x):
            raise RuntimeError(
                f"{type(self).__name__}: a parameter of shape {x.shape} on {device_of(x)} has a "
                f"{what} of shape {array.shape} on {device_of(array)}; build the optimizer after "
                "parameters are moved or replaced"
            )
        return array

    def __repr__(self):
        lines = [type(self).__name__ + " ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])


def _listed(owner, what, params):
    if isinstance(params, set | frozenset):
        raise TypeError(f"{owner}: {what} must be ordered, got a set; pass a list")
    try:
        return list(params)
    except TypeError as error:
        raise TypeError(
            f"{owner}: {what} must be an iterable of tensors, got {describe(params)}"
        ) from error


def _split_names(owner, params):
    """The list of tensors in `params`, and the list of their names, empty if they have none."""
    if isinstance(params, Tensor):
        return [params], []
    listed = _listed(owner, "'params' of a group", params)
    if not listed and isinstance(params, Iterator):
        raise ValueError(
            f"{owner}: 'params' of a group is an iterator that was already used up; "
            f"pass a list, or make it again"
        )
    named = [isinstance(p, tuple) and len(p) == 2 for p in listed]
    if not any(named):
        return listed, []
    if not all(named):
        raise ValueError(f"{owner}: give names to all parameters of a group or to none")
    return [p for _, p in listed], [name for name, _ in listed]
