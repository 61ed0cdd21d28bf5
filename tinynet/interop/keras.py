"""What Keras's description of the layers says of a MobileNet beside its weights."""

import math

from tinynet.interop.source import WeightsError

PADS = {((0, 1), (0, 1)): "end", ((1, 1), (1, 1)): "symmetric"}  # of ZeroPadding2D


def facts(topology):
    """Options of mobilenet.build, and "size", as far as the dict `topology` tells them; of
    model.json it is modelTopology, of a .keras file config.json, of an .h5 file model_config.

    Keras 2.1, 2.2 and tf.keras pad the strided layers in three ways, which differ on odd sizes.
    Raises: WeightsError for layers that MobileNetV1 does not have.
    """
    found, pad = {}, None
    for kind, config in _layers(topology):
        size = config.get("batch_shape", config.get("batch_input_shape"))
        if isinstance(size, list) and len(size) == 4 and isinstance(size[1], int):
            found.setdefault("size", size[1])
        if kind == "ZeroPadding2D":
            pad = tuple(map(tuple, config["padding"]))
        elif kind in ("Conv2D", "DepthwiseConv2D") and config.get("strides") in ([2, 2], (2, 2)):
            name = "stem_padding" if kind == "Conv2D" else "padding"
            value = "same" if config["padding"] == "same" else PADS.get(pad)
            if value is None or found.setdefault(name, value) != value:
                raise WeightsError(
                    f"the layer {config.get('name')!r:.60} pads otherwise than a MobileNet"
                )
        elif kind == "BatchNormalization":
            eps = config.get("epsilon", 1e-3)
            if not isinstance(eps, (int, float)) or not 0 < eps < math.inf:
                raise WeightsError(f"a BatchNormalization has the epsilon {eps!r:.40}")
            found["bn_eps"] = float(eps)
        elif kind == "ReLU":
            found["activation"] = "relu" if config.get("max_value") is None else "relu6"
    return found


def _layers(node, depth=0):
    """(class, config) of every layer, those of models inside models too."""
    if depth > 8 or not isinstance(node, dict):
        return
    node = node.get("model_config", node)
    config = node.get("config") if isinstance(node, dict) else None
    layers = config.get("layers") if isinstance(config, dict) else config
    if isinstance(layers, list):
        for layer in layers:
            yield from _layers(layer, depth + 1)
    elif isinstance(config, dict):
        yield node.get("class_name"), config
