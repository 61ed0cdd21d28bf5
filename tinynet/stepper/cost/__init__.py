"""The cost explorer: one page that counts multiply-adds and parameters as its controls move.

The page computes in the reader's browser. What a network is made of comes from the summaries that
it is given, and they are checked against the page's rules before it is written. The address says
what the controls are set to, by their ids, so that a link opens one layer's numbers:

    cost.html#own-kernel=3&own-in=512&own-out=512&own-size=14&own-stride=1
    cost.html#network=TITLE&width=0.5&resolution=224&classes=10&kernel=3&layer=blocks.7.pointwise
"""

from pathlib import Path

from tinynet.files import atomic_write
from tinynet.pages import DOM, as_json, filled

ASSETS = Path(__file__).with_name("assets")
SCRIPTS = ("count.js", "cost.js", "own.js", "address.js")
KINDS = ("convolution", "depthwise", "pointwise", "fully connected")


def save_cost_page(path, networks):
    """Write the page to `path`, as one file that needs no server and no network.

    Args: networks: {title: a `tinynet.summary.Summary` of the network at width 1}, the first one
    shown first. Its resolution and its classes are where the page starts from. The layers must
    form a chain, and the convolutions must be square and keep ceil(size / stride) of each side.
    Raises: ValueError for networks that the page cannot count, OSError for a path that cannot be
    written.
    """
    if not networks:
        raise ValueError("save_cost_page: networks is empty; pass {title: summary(model, size)}")
    table = [_network(title, summary) for title, summary in networks.items()]
    text = filled(
        (ASSETS / "template.html").read_text("utf-8"),
        style=(ASSETS / "style.css").read_text("utf-8"),
        script=DOM + "".join((ASSETS / name).read_text("utf-8") for name in SCRIPTS),
        networks=as_json(table),
    )
    with atomic_write(path, "w") as file:
        file.write(text)


def _network(title, summary):
    """What the page knows of a network: {title, resolution, classes, layers}."""
    rows = [*summary.rows, None]
    layers = []
    for row, following in zip(rows, rows[1:], strict=False):
        if row.kind in KINDS:
            layers.append(_layer(row, following))
    if not layers or layers[-1]["kind"] != "fully connected":
        raise ValueError(f"save_cost_page: {title!r} must end in a fully connected layer")
    first, last = summary.rows[0], layers[-1]
    size = first.output_shape[-1] * layers[0]["stride"]
    counted = count(layers, size)
    if counted != (summary.mult_adds, summary.parameters):
        raise ValueError(
            f"save_cost_page: {title!r} has {summary.mult_adds:,} multiply-adds and "
            f"{summary.parameters:,} parameters, but counted as a chain of convolutions with "
            f"BatchNorm it has {counted[0]:,} and {counted[1]:,}; pass a network that is one"
        )
    return {"title": title, "resolution": size, "classes": last["channels"], "layers": layers}


def _layer(row, following):
    kernels = {*(row.kernel or "1").split("x")}
    strides = {*(row.stride or "1").split("x")}
    if len(kernels) > 1 or len(strides) > 1:
        raise ValueError(f"save_cost_page: layer {row.name} must have a square kernel and stride")
    norm = following is not None and following.kind == "BatchNorm2d"
    return {
        "name": row.name.removesuffix(".0") if norm else row.name,
        "kind": row.kind,
        "kernel": int(kernels.pop()),
        "stride": int(strides.pop()),
        "channels": row.output_shape[0],
        "norm": norm,
        "bias": row.kind == "fully connected",
    }


def count(layers, size, channels=3):
    """(multiply-adds, parameters) of a chain of layers on a square image of side `size` with 3
    channels: the sums that the page computes."""
    mult_adds = parameters = 0
    for layer in layers:
        out = layer["channels"]
        size = 1 if layer["kind"] == "fully connected" else -(-size // layer["stride"])
        per_output = layer["kernel"] ** 2 * (1 if layer["kind"] == "depthwise" else channels)
        mult_adds += per_output * out * size**2
        parameters += per_output * out + out * (2 * layer["norm"] + layer["bias"])
        channels = out
    return mult_adds, parameters
