"""A network class from any file of the user's, run on one image: what `--model` steps through.

python -m tinynet.stepper --model net.py:Net --image cat.jpg
python -m tinynet.stepper --model "net.py:Net(width=0.25)" --weights net.npz --html net.html

The file may be written for torch: while it runs, `torch` and its modules are tinynet's.
"""

import ast
import contextlib
import importlib.util
import inspect
import math
import os
import re
import sys
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

import tinynet as tn
import tinynet.nn as nn
import tinynet.nn.functional as F
from tinynet.data import folder
from tinynet.files import printable
from tinynet.interop import load_safetensors
from tinynet.stepper.recording import record
from tinynet.training import checkpoint

# edges of images, in pixels: the first that the network takes
SIZES = (32, 28, 64, 96, 128, 224, 299, 16)


class Network(NamedTuple):
    """What is shown of a network: about: a sentence; build(): the loss of a recorded graph."""

    name: str
    title: str
    about: str
    build: Callable


def prepare(options):
    """The Network that `options.model` names; a page is written unless a GIF is wanted. Ends by
    SystemExit with one sentence where there is none."""
    try:
        if not options.model:
            raise ValueError("--weights and --image belong to a network; name it with --model")
        network = network_of(options.model, options.weights, options.image)
    except (ValueError, OSError) as error:
        sys.exit(printable(f"stepper: {error}"))
    if not (options.html or options.gif):
        options.html = f"{network.name}.html"
    return network


def network_of(asked, weights=None, image=None):
    """A network class of a file, made and run in evaluation mode.

    Args: asked: "FILE.py:CLASS" or "FILE.py:CLASS(width=0.25)", literals only. weights: a
    .safetensors or .npz file of arrays by name, or what a training of tinynet saved. image: a file
    for Pillow; None: random numbers.
    Raises ValueError in one sentence for all that fails, also within the user's file.
    """
    path, name, args, kwargs = _parsed(asked)
    with torch_names(), _folder_first(path):
        tn.manual_seed(0)
        model = _built(path, name, args, kwargs).eval()
        tree = _load(model, weights) if weights else {}
        loss, about = _run(model, path, tree, image)
    given = ", ".join([*map(repr, args), *(f"{key}={value!r}" for key, value in kwargs.items())])
    return Network(name, f"{name}({given})" if given else name, about, lambda: loss)


@contextlib.contextmanager
def torch_names():
    """`import torch` and the like find tinynet's modules; torch itself, if it is loaded, is back
    at the end."""

    def of(package):
        return {n: m for n, m in sys.modules.items() if n == package or n.startswith(f"{package}.")}

    before = of("torch")
    for name in before:
        del sys.modules[name]
    sys.modules.update({f"torch{n.removeprefix('tinynet')}": m for n, m in of("tinynet").items()})
    try:
        yield
    finally:
        for name in of("torch"):
            del sys.modules[name]
        sys.modules.update(before)


@contextlib.contextmanager
def _folder_first(path):
    """Modules beside the user's file are found, as when it is run."""
    sys.path.insert(0, str(path.parent))
    try:
        yield
    finally:
        sys.path.remove(str(path.parent))


def _parsed(asked):
    """(path, name, args, kwargs) of FILE.py:CLASS(...)."""
    found = re.fullmatch(r"(.+\.py):(\w+)\s*(\(.*\))?", asked, re.DOTALL)
    if not found:
        raise ValueError(
            f"--model: expected FILE.py:CLASS or FILE.py:CLASS(width=0.25), got {asked!r}"
        )
    file, name, call = found.groups()
    try:
        call = ast.parse(f"f{call or '()'}", mode="eval").body
        args = [ast.literal_eval(part) for part in call.args]
        kwargs = {part.arg: ast.literal_eval(part.value) for part in call.keywords}
        if not isinstance(call.func, ast.Name) or None in kwargs:  # f(1)(2), f(**x)
            raise ValueError
    except (ValueError, SyntaxError, AttributeError):
        raise ValueError(
            f"--model: the arguments of {name} must be literals, as in {name}(width=0.25, "
            f"kind='small'), got {found[3]}"
        ) from None
    path = Path(file).expanduser()
    if not path.is_file():
        raise ValueError(f"--model: there is no file {file}; check the path")
    return path.resolve(), name, args, kwargs


def _built(path, name, args, kwargs):
    spec = importlib.util.spec_from_file_location(f"{path.stem} of the user", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up
    with _told(f"{path.name} cannot be imported", path):
        spec.loader.exec_module(module)
    made = getattr(module, name, None)
    if not callable(made):
        there = [
            n
            for n, value in vars(module).items()
            if isinstance(value, type) and value.__module__ == spec.name
        ]
        raise ValueError(
            f"--model: {path.name} has no class {name!r}; its classes: {', '.join(there) or 'none'}"
        )
    try:
        signature = inspect.signature(made)
    except ValueError:  # Python does not know it
        signature = inspect.Signature.from_callable(lambda *args, **kwargs: None)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        names = signature.parameters
        needed = [n for n, p in names.items() if p.default is p.empty] or names
        raise ValueError(
            f"--model: {name}{signature} does not fit ({error}); write its arguments behind the "
            f'name: --model "{path.name}:{name}({", ".join(f"{n}=..." for n in needed)})"'
        ) from None
    with _told(f"{name} cannot be made", path):
        model = made(*args, **kwargs)
    if not isinstance(model, nn.Module):
        raise ValueError(f"--model: {name} must make an nn.Module, got {type(model).__name__}")
    return model


@contextlib.contextmanager
def _told(what, path):
    """Whatever the user's code raises, as one sentence with the line of the user's file."""
    try:
        yield
    except (Exception, SystemExit) as error:
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if _is(f, path)]
        if isinstance(error, SyntaxError) and error.filename == str(path):
            lines = [error.lineno]
        where = f"line {lines[-1]}: " if lines else ""
        reason = str(error).partition("\n")[0]
        hint = ""
        if isinstance(error, ModuleNotFoundError):
            hint = "; tinynet stands in for torch, and whatever else it imports must be installed"
        if isinstance(error, AttributeError) and "tinynet" in reason:
            hint = "; tinynet does not have all that torch has"
        kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
        raise ValueError(f"{what} ({where}{kind}{reason}){hint}") from error


def _is(frame, path):
    return os.path.realpath(frame.filename) == str(path)


def _load(model, path):
    """Load the weights. Returns what else the file knows: of a training the mean, std and size."""
    if str(path).endswith(".safetensors"):
        tree, state = {}, load_safetensors(path)
    else:
        tree, state = _archive(path)
    try:
        model.load_state_dict(state)
    except (TypeError, ValueError) as error:
        raise ValueError(f"--weights: {path}: {error}") from None
    return tree


def _archive(path):
    """(what a training saved, or {}; the weights) of a .npz file."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        tree = {}
        if checkpoint.TREE in names:
            tree = checkpoint.load(path)
            state = tree["model"]
        elif all(name.endswith(".npy") for name in names):
            with np.load(path, allow_pickle=False) as file:
                state = dict(file)
        else:
            raise ValueError(f"an archive with {names[0]}")
    except FileNotFoundError:
        raise ValueError(f"--weights: there is no file {path}; check the path") from None
    except Exception as error:  # whatever a file of other origin leads to
        raise ValueError(
            f"--weights: {path} holds no weights that can be read ({printable(error, 80)}); save "
            "them as .safetensors, or with np.savez(FILE, **{name: w.numpy() for name, w in "
            "model.state_dict().items()})"
        ) from None
    return tree, state


def _run(model, path, tree, image):
    """(the loss of a recorded graph, a sentence that says what was computed)."""
    first = None
    for shape in _shapes(model, tree, image):
        x = tn.tensor(_input(shape, tree, image))
        try:
            with _told(f"{type(model).__name__} does not run on an input of {x.shape}", path):
                with record():
                    y = model(x)
                    loss, words = _loss(y)
                return loss, f"In evaluation mode, on one input of {x.shape[1:]}. {words}"
        except ValueError as error:
            first = first or error
    raise first


def _shapes(model, tree, image):
    """What the network may take, judged by its first layer with weights."""
    sizes = dict.fromkeys([*([tree["size"]] if isinstance(tree.get("size"), int) else []), *SIZES])
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            C = layer.in_channels
            shapes = [(C, size, size) for size in sizes]
            break
        if isinstance(layer, nn.Linear):
            K = layer.in_features
            edges = {C: math.isqrt(K // C) for C in (3, 1)}
            shapes = [(C, edge, edge) for C, edge in edges.items() if C * edge**2 == K]
            shapes.insert(len(shapes) if image else 0, (K,))
            break
    else:
        raise ValueError(
            f"{type(model).__name__} has neither a Conv2d nor a Linear layer, which would say what "
            "it takes; give it one"
        )
    if image:
        shapes = [shape for shape in shapes if len(shape) == 3 and shape[0] in (1, 3)]
        if not shapes:
            raise ValueError(
                f"--image: the first layer of {type(model).__name__}, {layer}, takes no image of 1 "
                "or 3 channels; leave --image out"
            )
    return shapes


def _input(shape, tree, image):
    """One input, float32."""
    if image is None:
        return np.random.default_rng(0).standard_normal((1, *shape)).astype(np.float32)
    pixels = folder.image(image, shape[1]) / 255
    if "mean" in tree and "std" in tree:
        pixels = (pixels - np.reshape(tree["mean"], (3, 1, 1))) / np.reshape(tree["std"], (3, 1, 1))
    if shape[0] == 1:
        pixels = pixels.mean(axis=0, keepdims=True)
    return pixels[None].astype(np.float32)


def _loss(y):
    """(a number to go back from, a sentence that says which)."""
    if not isinstance(y, tn.Tensor):
        raise ValueError(f"forward must return a Tensor, got {type(y).__name__}")
    if y.ndim and y.shape[0] != 1:
        raise ValueError(f"one image has one row of results, got {y.shape}")
    if y.ndim == 2 and y.shape[1] > 1:
        label = tn.tensor(y.numpy().argmax(axis=1))
        words = f"The loss is the cross-entropy of its most probable class, {label.item()}."
        return F.cross_entropy(y, label), words
    return y.mean(), "The loss is the mean of what it returns."
