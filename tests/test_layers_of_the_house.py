"""Who may import whom: read from the imports of every file, those inside functions included."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# autograd is two layers, between which the ops lie: the tape, and the Tensor made of ops
ENGINE = {"absent", "backend", "check", "tape", "tensor"}
NETWORK = ENGINE | {"ops", "nn", "summary", "cores", "parallel"}
SEES = {
    "absent": set(),
    "backend": set(),
    "cuda": {"absent", "backend"},
    "accelerator": {"backend"},
    "backends": set(),
    "files": set(),
    "pages": set(),
    "lock": {"files"},
    "cores": set(),
    "tape": {"backend"},
    "parallel": {"backend", "cores", "tape"},
    "check": {"backend", "tape"},
    "ops": {"backend", "tape"},
    "tensor": {"absent", "backend", "check", "tape", "ops"},
    "nn": ENGINE | {"ops", "parallel"},
    "optim": ENGINE,
    "utils": ENGINE,
    "serialization": ENGINE | {"files", "training"},  # inside a function: training needs the rest
    "swa_utils": ENGINE | {"nn", "optim"},  # the one file of optim in which there is a Module
    "data": {"backend", "tape", "parallel", "files", "lock"},
    # whatever it replaces: ops, an optimiser's update, what a Sequential does with its layers
    "fast": ENGINE | {"ops", "nn", "optim", "data"},
    "gradcheck": ENGINE,
    "stepper": ENGINE | {"files", "pages"},
    "lessons": NETWORK
    | {"tinynet", "mobilenet", "stepper", "files", "data", "training", "pages"}
    | {"interop"},
    "predict": NETWORK | {"files", "data"},
    "training": NETWORK | {"files", "pages", "lock", "optim", "swa_utils", "data", "tinynet"},
    "interop": NETWORK | {"files", "training"},
    "summary": ENGINE | {"ops", "nn"},
    "doctor": NETWORK | {"tinynet"},
    "exercises": NETWORK | {"tinynet", "optim", "files"},
    "mobilenet": NETWORK | {"tinynet", "files", "training", "predict", "interop"},
    "train_*": NETWORK
    | {"files", "tinynet", "mobilenet", "optim", "data", "training", "gradcheck"},
    # its __init__.py, the only one to name fast: without that folder everything works
    "tinynet": NETWORK
    | {
        "accelerator",
        "backends",
        "cuda",
        "serialization",
        "utils",
        "optim",
        "data",
        "training",
        "gradcheck",
        "stepper",
        "fast",
    },
    "benchmarks": NETWORK
    | {"files", "tinynet", "mobilenet", "optim", "data", "training", "train_*"}
    | {"fast", "doctor"},
}
PACKAGES = {"numpy", "matplotlib", "tqdm", "cupy"}
ALONE = {  # who may
    "torch": ("benchmarks/torch_worker.py", "tinynet/interop/torch.py"),
    "mpi4py": ("tinynet/parallel/mpi.py",),
    "tensorboardX": ("tinynet/training/events.py",),
    "PIL": ("tinynet/data/folder.py",),
    "safetensors": ("tinynet/interop/safetensors.py",),
    "h5py": ("tinynet/interop/hdf5.py",),
    "onnx": ("tinynet/interop/onnx/write.py", "tinynet/interop/onnx/file.py"),
}


def area(path):
    """The layer a file belongs to: 'nn' for tinynet/nn/conv.py, 'train_*' for the scripts."""
    if path.parts[:2] == ("tinynet", "stepper") and path.parts[2] in (
        "__main__.py",
        "lessons",
        "model.py",
    ):
        return "lessons"
    if path.as_posix() == "tinynet/optim/swa_utils.py":
        return "swa_utils"
    if path.parts[0] == "tinynet":
        return area_of_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))
    name = path.parts[0].removesuffix(".py")
    return "train_*" if name.startswith("train_") else name


def area_of_module(name):
    """The layer of a module or of a name in one: 'tape' for tinynet.autograd.tape.Function."""
    top, *rest = name.split(".")
    if not rest:
        return top
    if rest[0] == "autograd":
        return "tape" if rest[1:2] in (["tape"], ["mode"]) else "tensor"
    return rest[0]


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
            if called in ("importlib.import_module", "import_module", "__import__", "package"):
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
            first = name.split(".")[0]
            if first.startswith("train_"):
                first = "train_*"
            if first == "cupy":
                if path.as_posix() != "tinynet/backend.py":
                    yield f"{path}:{line}: only tinynet/backend.py may import cupy"
                elif at_top:
                    yield f"{path}:{line}: cupy may be imported inside a function only"
            elif first == "tinynet" or first in ours:
                there = area_of_module(name) if first == "tinynet" else first
                there = there if there in ours else first
                if there != here and there not in SEES[here]:
                    yield f"{path}:{line}: {here} must not import {there} ({name})"
            elif path.as_posix() in ALONE.get(first, ()):
                continue
            elif first not in PACKAGES | sys.stdlib_module_names:
                yield f"{path}:{line}: {first} is not a package that tinynet depends on"


def test_the_layers_hold():
    assert not list(violations(ROOT))


def test_the_files_are_found():
    areas = {"backend", "check", "tape", "tensor", "ops", "nn", "fast", "optim", "tinynet"}
    areas |= {"data", "mobilenet", "train_*", "benchmarks"}
    assert areas <= {area(file.relative_to(ROOT)) for file in sources(ROOT)}


BAD = {
    "backend imports autograd": ("tinynet/backend.py", "from tinynet.autograd import Tensor"),
    "the tape imports ops": ("tinynet/autograd/tape.py", "import tinynet.ops.conv"),
    "the tape imports Tensor": ("tinynet/autograd/tape.py", "from tinynet.autograd import Tensor"),
    "the mode imports Tensor": ("tinynet/autograd/mode.py", "from . import tensor"),
    "the checks import Tensor": ("tinynet/check.py", "from tinynet.autograd.tensor import Tensor"),
    "Tensor imports nn": ("tinynet/autograd/tensor.py", "from tinynet.nn import functional"),
    "ops import Tensor": ("tinynet/ops/conv.py", "from tinynet.autograd import Tensor"),
    "ops import the checks": ("tinynet/ops/conv.py", "from tinynet import check"),
    "ops import fast": ("tinynet/ops/conv.py", "from tinynet.fast.cpu import conv"),
    "nn imports fast": ("tinynet/nn/conv.py", "import tinynet.fast"),
    "the tape imports fast": (
        "tinynet/autograd/tape.py",
        "def f():\n    from tinynet.fast import registry",
    ),
    "fast imports the stepper": ("tinynet/fast/registry.py", "from tinynet import stepper"),
    "fast imports the network": ("tinynet/fast/cpu/conv.py", "import mobilenet"),
    "fast imports the whole package": ("tinynet/fast/registry.py", "import tinynet as tn"),
    "optim imports fast": ("tinynet/optim/sgd.py", "from tinynet.fast.cpu.optim import sgd"),
    "optim imports ops": ("tinynet/optim/sgd.py", "from tinynet.ops.matmul import MatMul"),
    "data imports Tensor": ("tinynet/data/loader.py", "from tinynet.autograd import Tensor"),
    "cupy in fast": ("tinynet/fast/cpu/conv.py", "def f():\n    import cupy"),
    "ops imports nn": ("tinynet/ops/conv.py", "from tinynet import nn"),
    "nn imports optim": ("tinynet/nn/conv.py", "from tinynet.optim import SGD"),
    "nn imports the whole package": ("tinynet/nn/conv.py", "import tinynet as tn"),
    "nn imports a name of the package": ("tinynet/nn/conv.py", "from tinynet import Tensor"),
    "optim imports nn": ("tinynet/optim/sgd.py", "from tinynet.nn import Parameter"),
    "gradcheck imports ops": ("tinynet/gradcheck.py", "from tinynet.ops.linear import Linear"),
    "stepper imports nn": ("tinynet/stepper/trace.py", "from tinynet.nn import Module"),
    "data imports ops": ("tinynet/data/loader.py", "from tinynet.ops.window import Window"),
    "data imports training": ("tinynet/data/loader.py", "from tinynet import training"),
    "training imports the stepper": ("tinynet/training/run.py", "from tinynet import stepper"),
    "training imports the network": ("tinynet/training/run.py", "import mobilenet"),
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
    "safetensors elsewhere": ("tinynet/interop/names.py", "f = package('safetensors.numpy')"),
    "torch in the other benchmarks": ("benchmarks/turns.py", "import torch"),
    "mpi4py outside its engine": ("tinynet/nn/conv.py", "from mpi4py import MPI"),
    "Pillow outside the folder of images": ("tinynet/data/stl10.py", "from PIL import Image"),
    "a script imports benchmarks": ("train_cifar100.py", "from benchmarks import rows"),
    "benchmarks import the stepper": ("benchmarks/turns.py", "from tinynet import stepper"),
    "tensorboardX in the history": ("tinynet/training/history.py", "import tensorboardX"),
    "interop imports the network": ("tinynet/interop/names.py", "import mobilenet"),
    "predict imports the network": ("tinynet/predict.py", "import mobilenet"),
    "scipy in a function": ("mobilenet.py", "def f():\n    from scipy import signal"),
    "a file without a layer": ("tinynet/mystery.py", "import math"),
}


@pytest.fixture
def house(tmp_path):
    """A small tree that keeps the rules."""
    files = {
        "tinynet/__init__.py": "from tinynet import nn, optim\nfrom tinynet.fast import registry",
        "tinynet/backend.py": "import numpy\ndef cupy():\n    import cupy\n    return cupy",
        "tinynet/check.py": "from tinynet.autograd.tape import Function",
        "tinynet/autograd/__init__.py": "from tinynet.autograd import mode, tape, tensor",
        "tinynet/autograd/mode.py": "import threading",
        "tinynet/autograd/tape.py": "from tinynet import backend\nfrom .mode import mode",
        "tinynet/autograd/tensor.py": "from tinynet import check\nfrom tinynet.ops import conv",
        "tinynet/ops/conv.py": "from ..autograd import tape\nfrom . import window",
        "tinynet/fast/cpu/conv.py": "from tinynet.ops.conv import Conv2d",
        "tinynet/fast/registry.py": "from tinynet.autograd import tape\nimport tinynet.optim",
        "tinynet/fast/cpu/sequential.py": "from tinynet.nn import BatchNorm2d",
        "tinynet/nn/conv.py": "from tinynet.ops.conv import Conv2d\nfrom tinynet import autograd",
        "tinynet/optim/sgd.py": "from tinynet.autograd import Tensor",
        "tinynet/gradcheck.py": "from .autograd import Tensor",
        "tinynet/stepper/trace.py": "import tinynet.autograd",
        "tinynet/interop/names.py": "from tinynet.nn import conv",
        "tinynet/data/loader.py": "import tqdm\nfrom tinynet.data.shapes import draw\n"
        "from tinynet.autograd.tape import implementation",
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


HEAVY = ("cupy", "matplotlib", "tqdm", "torch", "PIL", "safetensors", "h5py")


@pytest.mark.parametrize("module", ["tinynet", "tinynet.gradcheck"])
def test_importing_tinynet_loads_nothing_heavy(module):
    code = f"import sys, {module}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
