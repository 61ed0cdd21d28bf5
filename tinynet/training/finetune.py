"""Fine-tuning: a training that begins with weights from elsewhere, and trains some of them.

Yosinski et al., "How transferable are features in deep neural networks?" (arXiv 1411.1792).
"""

from tinynet import parallel
from tinynet.files import printable

FROM_WEIGHTS = "network", "width", "resolution"  # options that --init decides
LAST = "classifier."  # the layer that names the classes
KEPT = {  # what a checkpoint holds of the weights that its run began with, for `checkpoint.expect`
    "network": str,
    "build": dict,
    "width": float,
    "size": int,
    "outputs": int,
    "new_classifier": bool,
    "image_stats": tuple,
}


def begin(options, program, saved):
    """What --init says, as a dict, or None; network, width and resolution in `options` are set by
    it. saved: the tree of a checkpoint: then the file need not be there any more.

    To be called by all workers. Raises ValueError where options and weights do not fit together.
    """
    origin = None
    if options.init is not None:
        if saved is not None:
            origin = {**saved["init"], "mean": saved["mean"], "std": saved["std"]}
        elif parallel.rank == 0:
            origin = read(options.init, program)
        origin = parallel.broadcast(origin)
        settle(options, origin)
    if options.freeze or options.lr_scale:  # refused now, before any download
        model = build(program, options, origin, 2)
        freeze(model, options.freeze)
        group_by_rate(model, [], options)
    return origin


def read(path, program):
    """The weights in a file and what they expect of images, as a dict."""
    model, info = program.load_weights(path, top=False)
    if info["network"] not in program.networks:  # ONNX
        raise ValueError(
            f"--init {printable(path)} holds a network of its own, and the training makes one of "
            f"{', '.join(program.networks)}; interop.load_onnx gives a Module to train in Python"
        )
    build = {n: v for n, v in info["options"].items() if n not in ("num_classes", "dropout")}
    return {
        "network": info["network"],
        "width": float(build.pop("width", 1.0)),
        "build": build,
        "size": info["size"],
        "mean": info["mean"],
        "std": info["std"],
        "classes": info["classes"],
        "outputs": len(info["classes"] or ()),
        "state": {name: value.numpy() for name, value in model.state_dict().items()},
    }


def settle(options, origin):
    """Set the options that the weights decide. Raises ValueError where another was given."""
    for name in ("network", "width"):
        given, theirs = getattr(options, name), origin[name]
        if given is not None and given != theirs:
            raise ValueError(
                f"--{name} {given}: the weights of --init {options.init} are of {name} {theirs}; "
                f"leave --{name} out"
            )
        setattr(options, name, theirs)
    options.resolution = options.resolution or origin["size"]


def more_options(origin):
    """What `program.build` must be told beside network, classes, width and dropout."""
    return {} if origin is None else origin["build"]


def build(program, options, origin, classes):
    more = more_options(origin)
    try:
        return program.build(
            options.network, classes, options.width, dropout=options.dropout, **more
        )
    except TypeError as error:
        if not more:
            raise
        raise ValueError(f"--init {options.init}: {error}") from None  # in a changed checkpoint


def take(model, origin, class_names, path):
    """Load the weights into `model`, all but the last layer where it named other classes. Returns a
    sentence about that; `origin` notes whether the last layer is new."""
    theirs, state = origin["classes"], origin.pop("state")
    new = origin["new_classifier"] = theirs is None or list(theirs) != list(class_names)
    if new:
        state = {name: value for name, value in state.items() if not name.startswith(LAST)}
    model.load_state_dict(state, strict=not new)
    names = [name for name, _ in model.named_parameters() if name in state]
    count = sum(state[name].size for name in names)
    last = f"a new last layer for {_classes(class_names)}"
    if theirs is None:
        last += " (the file has none)"
    elif new:
        other = "other classes" if len(theirs) == len(class_names) else f"{len(theirs):,}"
        last += f" (the file's is for {other})"
    else:
        last = f"the last layer too, for the same {_classes(class_names)}"
    return (
        f"--init {path}: {origin['network']}, width {origin['width']:.4g}; taken: {count:,} "
        f"parameters and the statistics of BatchNorm; {last}"
    )


def _classes(names):
    return f"{len(names):,} class{'es' * (len(names) != 1)}"


# which parameters are trained, and at which rate


def under(name, prefix):
    """Whether a dotted name is `prefix` or lies below it."""
    return f"{name}.".startswith(f"{prefix}.")


def freeze(model, prefixes):
    """Train no parameter whose name begins with one of the prefixes: no gradient, no weight decay.

    Raises ValueError where a prefix fits no parameter, or nothing is left to train.
    """
    for prefix in prefixes:
        for parameter in _below(model, prefix, "--freeze"):
            parameter.requires_grad_(False)
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError("--freeze: all parameters are frozen, so there is nothing to train")


def _below(model, prefix, option):
    found = [p for name, p in model.named_parameters() if under(name, prefix)]
    if not found:
        raise ValueError(
            f"{option} {prefix}: no parameter has a name that begins with it; there are "
            f"{', '.join(_prefixes(model))}"
        )
    return found


def _prefixes(model):
    for name, child in model.named_children():
        if any(True for _ in child.parameters()):
            yield name
            parts = [part for part, below in child.named_children() if [*below.parameters()]]
            if parts:
                yield f"{name}.{parts[0]} to {name}.{parts[-1]}"


def is_frozen(module):
    """Whether a module has parameters and none of them is trained."""
    parameters = list(module.parameters())
    return bool(parameters) and not any(p.requires_grad for p in parameters)


def train(model):
    """`model.train()`, but for what is frozen: in evaluation mode BatchNorm normalises by its
    running statistics and leaves them as they are. Returns the model."""
    model.train()
    for module in model.modules():
        if is_frozen(module):
            module.eval()
    return model


class Moving:
    """The buffers of a model that training changes, for `parallel.average_buffers`: a mean of equal
    numbers may differ from them in the last bit."""

    def __init__(self, model):
        self.model = model

    def buffers(self):
        for module in self.model.modules():
            if not is_frozen(module):
                yield from module.buffers(recurse=False)


def scales(options):
    """{prefix: factor} of --lr-scale."""
    found = {}
    for text in options.lr_scale:
        prefix, _, factor = text.rpartition("=")
        if prefix in found:
            raise ValueError(f"--lr-scale: {prefix} is named twice; name it once")
        found[prefix] = float(factor)
    return found


def group_by_rate(model, groups, options):
    """Parameter groups without what is frozen, each divided by the factors of --lr-scale; of
    several prefixes that fit a parameter the longest counts. Groups have "lr", and "lr_scale" where
    it is not 1.

    Raises ValueError where a prefix fits no parameter, or only frozen ones.
    """
    factors = scales(options)
    for prefix in factors:
        if not any(p.requires_grad for p in _below(model, prefix, "--lr-scale")):
            raise ValueError(
                f"--lr-scale {prefix}: it is frozen by --freeze; leave out one of them"
            )
    factor_of = {}
    for name, parameter in model.named_parameters():
        fitting = [prefix for prefix in factors if under(name, prefix)]
        factor_of[id(parameter)] = factors[max(fitting, key=len)] if fitting else 1.0
    found = []
    for group in groups:
        parts = {}
        for parameter in group["params"]:
            if parameter.requires_grad:
                parts.setdefault(factor_of[id(parameter)], []).append(parameter)
        for factor, params in parts.items() or [(1.0, [])]:
            scaled = {"lr": options.lr * factor, "lr_scale": factor} if factor != 1 else {}
            found.append({**group, "params": params, **scaled})
    return found


def rates(options, optimizer, scheduler):
    """The learning rates for a row of the history: "lr", that of all that is not scaled, and
    "lr PREFIX" for each --lr-scale."""
    last = {}  # factor -> rate
    for group, lr in zip(optimizer.param_groups, scheduler.get_last_lr(), strict=True):
        last.setdefault(group.get("lr_scale", 1.0), lr)
    factor, lr = next(iter(last.items()))
    base = last.get(1.0, lr / factor)
    named = scales(options).items()
    return {"lr": base, **{f"lr {name}": last.get(f, base * f) for name, f in named}}


def described(run):
    """Sentences for the model card: where the weights came from, and which stayed as they were."""
    sentences, options, origin = [], run.options, run.origin
    if origin is not None:
        had = f", {origin['outputs']:,} classes" if origin["outputs"] else ", no last layer"
        last = "a new last layer" if origin["new_classifier"] else "its last layer"
        sentences.append(
            f"The training began with the weights of {options.init} ({origin['network']}, width "
            f"{origin['width']:.4g}{had}) and {last}."
        )
    if options.freeze:
        parameters = list(run.model.parameters())
        trained = sum(p.numel() for p in parameters if p.requires_grad)
        sentences.append(
            f"Frozen: {', '.join(options.freeze)}; {trained:,} of "
            f"{sum(p.numel() for p in parameters):,} parameters were trained."
        )
    return " ".join(sentences)
