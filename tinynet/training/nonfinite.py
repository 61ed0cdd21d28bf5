"""Where numbers stopped being finite: the name of the tensor, or of the op and its module."""

import contextlib

import numpy as np

from tinynet import backend
from tinynet.autograd import Tensor, enable_grad, no_grad
from tinynet.autograd.tape import backprop, observe


def nonfinite_place(tree, place=""):
    """The place of the first array or Tensor that is not finite, such as "model.stem.0.weight", or
    None where all are.

    Args: tree: dicts, lists and tuples of arrays and Tensors; other values are passed over. A key
    that is neither text nor a number (`optimizer.state` has Tensors) is named by its position.
    """
    array = tree.array if isinstance(tree, Tensor) else tree
    if backend.is_array(array):
        return None if _is_finite(array) else place or "the array"
    if isinstance(tree, list | tuple):
        tree = dict(enumerate(tree))
    if isinstance(tree, dict):
        for i, (key, value) in enumerate(tree.items()):
            name = key if isinstance(key, str | int) else i
            found = nonfinite_place(value, f"{place}.{name}" if place else str(name))
            if found is not None:
                return found
    return None


def first_nonfinite(model, x, loss_fn=None):
    """One sentence on where a NaN or an infinity comes from: a parameter, a buffer, the input, an
    op of the forward pass with the module in which it ran, or the gradient of a parameter.

    The model runs once more, in the mode in which it is, and backward where there is a loss. Its
    parameters, buffers, gradients and the engine's random numbers are then what they were before;
    a SyncBatchNorm asks the other workers, so all have to call this, or none (`parallel.use`).

    Args: model: a Module. x: its input, a Tensor or an array. loss_fn: a function of the model's
    output that returns the loss; without it no gradient is looked at.
    """
    if not hasattr(model, "named_modules"):
        raise TypeError(f"first_nonfinite: model must be a Module, got {type(model).__name__}")
    x = x.detach().clone() if isinstance(x, Tensor) else Tensor(x.copy())
    buffers = _sentence_on("buffer", model.named_buffers())
    found = _sentence_on("parameter", model.named_parameters()) or _sentence_on("input", [("x", x)])
    if found := found or (not model.training and buffers):
        return found
    quiet = np.errstate(divide="ignore", over="ignore", invalid="ignore")
    with _as_it_was(model), quiet, no_grad() if loss_fn is None else enable_grad():
        found = _look(model, x, loss_fn)
    # a training step does not read running statistics, but spoils them: they come after its ops
    return found or buffers or "no NaN and no infinity was found again"


def _sentence_on(kind, named):
    for name, tensor in named:
        if not _is_finite(tensor.array):
            return f"the {kind} {name} is not finite: {_counts(tensor.array)}"
    return None


def _look(model, x, loss_fn):
    running = ["the loss"]  # the modules that run, the innermost last
    places, blown = {}, []  # op -> where it ran; what is said of ops whose output is not finite

    def watch(op, inputs, options, out):
        places[op] = running[-1]
        if not _is_finite(out.array):
            sound = all(_is_finite(tensor.array) for tensor in inputs)
            came = "finite inputs" if sound else "a constant that was not finite before"
            text = f"{op.name} in {running[-1]} made it, out of {came}: {_counts(out.array)}"
            blown.append((not sound, len(blown), text))

    with observe(watch), _telling(model, running):
        result = model(x)
        if loss_fn is not None:
            result = loss_fn(result)
    what = "output" if loss_fn is None else "loss"
    if not _is_finite(result.array):
        cause = min(blown)[-1] if blown else "no op made it, it was written into a tensor"
        return f"the {what} is not finite; {cause}"
    if loss_fn is None or not result.requires_grad:
        return None
    return _look_back(model, result, places)


def _look_back(model, loss, places):
    names = {id(p): name for name, p in model.named_parameters()}
    first = None  # the op that sent the first gradient that is not finite
    for op, _, gxs in backprop(loss):
        if first is None and not all(gx is None or _is_finite(gx) for gx in gxs):
            first = op
        for parent in op.parents:
            name = names.get(id(parent))
            if name is None or parent.grad is None or _is_finite(parent.grad.array):
                continue
            made = f"the backward of {op.name} in {places[op]} made it"
            if first is None:
                made += ", a sum of finite ones"
            elif first is not op:
                made += f", after that of {first.name} in {places[first]} had made the first"
            return (
                f"the loss is {loss.item():.4g}, but the gradient of {name} is not finite: "
                f"{_counts(parent.grad.array)}; {made}"
            )
    return None


@contextlib.contextmanager
def _telling(model, running):
    """A block inside which `running` says which modules of the model run."""

    def telling(name, module, forward):
        place = f"{name or 'the model itself'} ({type(module).__name__})"

        def tell(*args, **kwargs):
            running.append(place)
            try:
                return forward(*args, **kwargs)
            finally:
                running.pop()

        return tell

    # into the instance, where Module.__call__ finds it: other models and threads see nothing of it
    own = [(vars(module), vars(module).get("forward")) for module in model.modules()]
    try:
        for name, module in model.named_modules():
            vars(module)["forward"] = telling(name, module, module.forward)
        yield
    finally:
        for attributes, forward in own:
            attributes.pop("forward", None)
            if forward is not None:
                attributes["forward"] = forward


@contextlib.contextmanager
def _as_it_was(model):
    """A block after which buffers, gradients and random numbers are what they were."""
    gradients = [(p, p.grad) for p in model.parameters()]
    buffers = [(name, buffer, buffer.array.copy()) for name, buffer in model.named_buffers()]
    bits = backend.random_generator().bit_generator
    state = bits.state
    try:
        model.zero_grad()
        yield
    finally:
        bits.state = state
        for parameter, gradient in gradients:
            parameter.grad = gradient
        for name, buffer, values in buffers:
            *path, last = name.split(".")
            setattr(model.get_submodule(".".join(path)), last, buffer)  # it may have been replaced
            buffer.array[...] = values
            buffer.changed()


def _is_finite(array):
    """In one pass as a rule: a sum with a NaN or an infinity in it is one. (Other sums may be too
    large.)"""
    if array.dtype.kind != "f":
        return True
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(array.sum())) or bool(np.isfinite(array).all())


def _counts(array):
    nan, infinite = int(np.isnan(array).sum()), int(np.isinf(array).sum())
    return f"{nan} NaN and {infinite} infinite of {array.size} values, shape {array.shape}"
