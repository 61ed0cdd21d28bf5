"""Two layers made one, for inference: the same numbers with fewer passes over memory."""

import collections

from tinynet.nn.batchnorm import BatchNorm2d
from tinynet.nn.containers import Sequential
from tinynet.nn.conv import Conv2d
from tinynet.nn.linear import Identity
from tinynet.nn.module import Module, Parameter


def fold_batchnorm(model):
    """Move every BatchNorm2d into the convolution before it, for inference. Returns `model`.

    With fixed statistics y = scale conv(x) + shift: the scale goes into the filters and the
    shift into the bias, scale = weight/sqrt(running_var + eps), shift = bias - running_mean scale
    (+ the convolution's bias, scaled). The model can not be trained any further, nor its old
    state_dict loaded. Results differ by rounding only. Raises ValueError in training mode.
    """
    if not isinstance(model, Module):
        raise TypeError(f"fold_batchnorm: expected a Module, got {type(model).__name__}")
    for conv, container, place in _neighbours(model):
        norm = container[place]
        if not (isinstance(conv, Conv2d) and type(norm) is BatchNorm2d):
            continue
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
    """(layer, its Sequential, index of the layer after it), of layers that stand in one place."""
    containers = [module for module in model.modules() if isinstance(module, Sequential)]
    places = collections.Counter(id(layer) for container in containers for layer in container)
    return [
        (layer, container, place)
        for container in containers
        for place, layer in enumerate(list(container)[:-1], start=1)
        if places[id(layer)] == 1
    ]
