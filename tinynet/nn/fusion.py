"""Two layers made one, for inference: the same numbers with fewer passes over memory."""

import collections
import itertools

from tinynet.nn.batchnorm import BatchNorm2d, SyncBatchNorm
from tinynet.nn.containers import Sequential
from tinynet.nn.conv import Conv2d
from tinynet.nn.linear import Identity
from tinynet.nn.module import Module, Parameter

NORMS = (BatchNorm2d, SyncBatchNorm)


def fold_batchnorm(model):
    """Move every BatchNorm2d into the convolution before it, for inference. Returns `model`.

    With fixed statistics y = scale conv(x) + shift: the scale goes into the filters and the
    shift into the bias, scale = weight/sqrt(running_var + eps), shift = bias - running_mean scale
    (+ the convolution's bias, scaled). The model cannot be trained any further, nor its old
    state_dict loaded. Results differ by rounding only. Raises ValueError in training mode.

    Only neighbours in a Sequential are folded that nothing else can tell apart: no hook, no place
    elsewhere in the model, no `forward` of their own or of their Sequential's. (A subclass of
    Conv2d whose forward stays linear in its weight says so: `foldable = True` in its body.)
    """
    if not isinstance(model, Module):
        raise TypeError(f"fold_batchnorm: expected a Module, got {type(model).__name__}")
    for conv, norm, container, place in _neighbours(model):
        if norm.training or norm.running_mean is None:
            raise ValueError(
                "fold_batchnorm: BatchNorm2d must use its running statistics; call model.eval() "
                "first (and keep track_running_stats)"
            )
        scale = (norm.running_var.array + norm.eps) ** -0.5
        shift = 0 if norm.bias is None else norm.bias.array
        if norm.weight is not None:
            scale = scale * norm.weight.array
        mean = norm.running_mean.array - (0 if conv.bias is None else conv.bias.array)
        conv.weight = Parameter(conv.weight.array * scale[:, None, None, None])
        conv.bias = Parameter(shift - mean * scale)
        container[place] = Identity().eval()
    return model


def _neighbours(model):
    """(convolution, BatchNorm after it, their Sequential, index of the BatchNorm)"""
    places = collections.Counter(
        id(child) for module in model.modules() for child in module._modules.values()
    )

    def is_free(module):
        return places[id(module)] == 1 and not module._hooks and "forward" not in vars(module)

    pairs = []
    for container in model.modules():
        if getattr(type(container), "forward", None) is not Sequential.forward:
            continue
        layers = list(container) if "forward" not in vars(container) else []
        for place, (conv, norm) in enumerate(itertools.pairwise(layers), start=1):
            if _folds(conv) and type(norm) in NORMS and is_free(conv) and is_free(norm):
                pairs.append((conv, norm, container, place))
    return pairs


def _folds(layer):
    kind = type(layer)
    as_written = kind.__dict__.get("foldable") or kind.forward is Conv2d.forward
    return isinstance(layer, Conv2d) and as_written
