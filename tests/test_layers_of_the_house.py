"""Who may import whom: read from the imports of every file, those inside functions included."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

ENGINE = {"backend", "autograd"}
NETWORK = ENGINE | {"ops", "nn", "summary"}
SEES = {
    "backend": set(),
    "files": set(),
    "threads": set(),
    "kernel": {"backend"},
    "autograd": {"backend", "threads"},
    "ops": ENGINE | {"kernel"},
    "nn": ENGINE | {"ops"},
    "optim": ENGINE | {"kernel"},
    "gradcheck": ENGINE,
    "stepper": ENGINE | {"files"},
    "lessons": NETWORK | {"tinynet", "mobilenet", "stepper"},
    "training": ENGINE | {"files"},
    "data": set(),
    "summary": ENGINE | {"ops", "nn"},
    "doctor": NETWORK | {"tinynet", "threads"},
    "mobilenet": NETWORK | {"tinynet"},
    "train_*": NETWORK | {"tinynet", "mobilenet", "optim", "data", "training", "gradcheck"},
    "tinynet": NETWORK | {"optim", "data", "training", "gradcheck", "stepper"},  # its __init__.py
    "benchmarks": NETWORK
    | {"files", "threads", "tinynet", "mobilenet", "optim", "data", "training", "train_*"}
    | {"kernel", "doctor"},
}
PACKAGES = {"numpy", "matplotlib", "tqdm", "cupy"}
TORCH = {"benchmarks/torch_worker.py", "benchmarks/gpu_torch.py"}  # who may import torch


def area(path):
    """The layer a file belongs to: 'nn' for tinynet/nn/conv.py, 'train_*' for the scripts."""
    if path.parts[:2] == ("tinynet", "stepper") and path.name in ("__main__.py", "lessons.py"):
        return "lessons"
    if path.parts[0] == "tinynet":
        name = path.parts[1].removesuffix(".py")
        return "tinynet" if name == "__init__" else name
    name = path.parts[0].removesuffix(".py")
    return "train_*" if name.startswith("train_") else name


def sources(root):
    return sorted(
        [*root.glob("*.py"), *root.glob("tinynet/**/*.py"), *root.glob("benchmarks/*.py")]
    )


def modules_named(tree, path):
    """(line, dotted name, whether at the top level) of everything that a file imports."""
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(path.parts[: len(path.parts) - node.level]) if node.level else ""
            base = ".".join(filter(None, [package, node.module]))
            names = [f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func)
            if called in ("importlib.import_module", "import_module", "__import__"):
                names = [str(node.args[0].value)]
        for name in names:
            yield node.lineno, name, id(node) in top


def violations(root):
    """What is wrong in the tree under `root`, one sentence a find."""
    files = sources(root)
    ours = {area(file.relative_to(root)) for file in files}
    for file in files:
        path = file.relative_to(root)
        here = area(path)
        if here not in SEES:
            yield f"{path}: has no layer; give {here!r} a place in SEES"
            continue
        for line, name, at_top in modules_named(ast.parse(file.read_text()), path):
            first, *rest = name.split(".")
            if first.startswith("train_"):
                first = "train_*"
            if first == "cupy":
                if path.as_posix() != "tinynet/backend.py":
                    yield f"{path}:{line}: only tinynet/backend.py may import cupy"
                elif at_top:
                    yield f"{path}:{line}: cupy may be imported inside a function only"
            elif first == "tinynet" or first in ours:
                there = rest[0] if first == "tinynet" and rest and rest[0] in ours else first
                if there != here and there not in SEES[here]:
                    yield f"{path}:{line}: {here} must not import {there} ({name})"
            elif first == "torch" and path.as_posix() in TORCH:
                continue
            elif first not in PACKAGES | sys.stdlib_module_names:
                yield f"{path}:{line}: {first} is not a package that tinynet depends on"


def test_the_layers_hold():
    assert not list(violations(ROOT))


def test_the_files_are_found():
    areas = {"backend", "autograd", "ops", "nn", "optim", "mobilenet", "train_*", "benchmarks"}
    assert areas <= {area(file.relative_to(ROOT)) for file in sources(ROOT)}


BAD = {
    "backend imports autograd": ("tinynet/backend.py", "from tinynet.autograd import Tensor"),
    "autograd imports ops": ("tinynet/autograd/tape.py", "import tinynet.ops.conv"),
    "ops imports nn": ("tinynet/ops/conv.py", "from tinynet import nn"),
    "nn imports optim": ("tinynet/nn/conv.py", "from tinynet.optim import SGD"),
    "nn imports the whole package": ("tinynet/nn/conv.py", "import tinynet as tn"),
    "nn imports a name of the package": ("tinynet/nn/conv.py", "from tinynet import Tensor"),
    "optim imports nn": ("tinynet/optim/sgd.py", "from tinynet.nn import Parameter"),
    "gradcheck imports ops": ("tinynet/gradcheck.py", "from tinynet.ops.linear import Linear"),
    "stepper imports nn": ("tinynet/stepper/trace.py", "from tinynet.nn import Module"),
    "data imports backend": ("tinynet/data/loader.py", "from tinynet.backend import array_module"),
    "data imports training": ("tinynet/data/loader.py", "from tinynet import training"),
    "training imports optim": ("tinynet/training/history.py", "import tinynet.optim"),
    "autograd imports mobilenet": ("tinynet/autograd/tape.py", "import mobilenet"),
    "mobilenet imports a script": ("mobilenet.py", "from train_cifar100 import main"),
    "inside a function": ("tinynet/ops/conv.py", "def f():\n    from tinynet.nn import Module"),
    "under a condition": ("tinynet/ops/conv.py", "if True:\n    import tinynet.nn"),
    "relative, one dot": ("tinynet/gradcheck.py", "from . import nn"),
    "relative, two dots": ("tinynet/ops/conv.py", "from ..nn import Module"),
    "by name": ("tinynet/ops/conv.py", "import importlib\nimportlib.import_module('tinynet.nn')"),
    "cupy outside the backend": ("tinynet/ops/conv.py", "import cupy as cp"),
    "a part of cupy": ("tinynet/ops/conv.py", "from cupy.cuda import runtime"),
    "cupy in a function": ("tinynet/nn/conv.py", "def f():\n    import cupy"),
    "cupy by name": ("tinynet/nn/conv.py", "from importlib import *\nimport_module('cupy')"),
    "cupy at import time": ("tinynet/backend.py", "import cupy"),
    "torch": ("tinynet/nn/conv.py", "import torch"),
    "torch in the other benchmarks": ("benchmarks/turns.py", "import torch"),
    "a script imports benchmarks": ("train_cifar100.py", "from benchmarks import rows"),
    "benchmarks import the stepper": ("benchmarks/turns.py", "from tinynet import stepper"),
    "scipy in a function": ("mobilenet.py", "def f():\n    from scipy import signal"),
    "a file without a layer": ("tinynet/mystery.py", "import math"),
}


@pytest.fixture
def house(tmp_path):
    """A small tree that keeps the rules."""
    files = {
        "tinynet/__init__.py": "from tinynet import nn, optim\nfrom tinynet.autograd import Tensor",
        "tinynet/backend.py": "import numpy\ndef cupy():\n    import cupy\n    return cupy",
        "tinynet/autograd/tape.py": "import sys\nfrom tinynet import backend",
        "tinynet/autograd/tensor.py": "from tinynet.autograd.tape import Function",
        "tinynet/ops/conv.py": "from ..autograd import tape\nfrom . import window",
        "tinynet/nn/conv.py": "from tinynet.ops.conv import Conv2d\nfrom tinynet import autograd",
        "tinynet/optim/sgd.py": "from tinynet.autograd import Tensor",
        "tinynet/gradcheck.py": "from .autograd import Tensor",
        "tinynet/stepper/trace.py": "import tinynet.autograd",
        "tinynet/data/loader.py": "import tqdm\nfrom tinynet.data.shapes import draw",
        "tinynet/training/history.py": "from tinynet.training import metrics",
        "mobilenet.py": "import tinynet as tn\nimport tinynet.nn as nn",
        "train_cifar100.py": "import mobilenet\nfrom tinynet.data import loader",
        "benchmarks/torch_worker.py": "import torch\nfrom benchmarks import turns",
        "benchmarks/turns.py": "import mobilenet, train_cifar100\nfrom tinynet.nn import Module",
    }
    for name, text in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert not list(violations(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("name", "text"), BAD.values(), ids=BAD)
def test_a_violation_is_caught(house, name, text):
    (house / name).write_text(text)
    (found,) = violations(house)
    assert found.startswith(name)


HEAVY = ("cupy", "matplotlib", "tqdm", "torch")


@pytest.mark.parametrize("module", ["tinynet", "tinynet.gradcheck"])
def test_importing_tinynet_loads_nothing_heavy(module):
    code = f"import sys, {module}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
