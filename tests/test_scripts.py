"""Whole training scripts written for torch, run with torch and then with tinynet in its place: only
their import lines change. The losses of all steps, the accuracies and what is printed are equal."""

import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import tinynet as tn

SCRIPTS = Path(__file__).parent / "scripts"
RUNS = {
    "mnist_convnet": ["--dropout", "0"],
    "mnist_convnet, saved": ["--dropout", "0", "--epochs", "1", "--save-model", "FOLDER/mnist.pt"],
    "cifar_resnet": ["--folder", "FOLDER"],
    "vgg_loop": [],
    "vgg_loop, batch norm": ["--arch", "A", "--batch-norm"],
    "mobilenet_onecycle": [],
    "stl_transfer": ["--folder", "FOLDER"],
    "autoencoder": ["--folder", "FOLDER"],
    "autoencoder, bce": ["--folder", "FOLDER", "--loss", "bce"],
    "autoencoder, logits": ["--folder", "FOLDER", "--loss", "logits"],
    "autoencoder, l1": ["--folder", "FOLDER", "--loss", "l1"],
}


def swapped(source):
    """The script with tinynet in torch's place: what the documentation tells a user to do."""
    source = re.sub(r"^import torch$", "import tinynet as torch", source, flags=re.M)
    return re.sub(r"^(import|from) torch\b", r"\1 tinynet", source, flags=re.M)


def program(name, library):
    source = (SCRIPTS / f"{name}.py").read_text()
    source = swapped(source) if library is tn else source
    assert library is torch or not re.search(r"^\s*(import|from) torch", source, re.M)
    namespace = {"__name__": name}
    exec(compile(source, f"{name}.py with {library.__name__}", "exec"), namespace)
    return namespace


def run(name, library, argv, dtype, weights):
    """Run a script's main() with `dtype` for float32: its result and what it printed.

    Its models begin with the next of `weights`, dicts of arrays; torch's run fills that list.
    """
    space = program(name, library)
    load, given = space["load_data"], iter(weights.copy())
    space["load_data"] = lambda: tuple(
        array.astype(dtype) if array.dtype == np.float32 else array for array in load()
    )

    def alike(make):
        def made(*args):
            model = make(*args).to(getattr(library, np.dtype(dtype).name))
            if library is torch:
                weights.append({k: v.numpy().copy() for k, v in model.state_dict().items()})
            else:
                model.load_state_dict(next(given))
            return model

        return made

    for key in ("make_model", "make_head"):
        if key in space:
            space[key] = alike(space[key])
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        result = space["main"](argv)
    return result, printed.getvalue()


def both(case, dtype, folder):
    name, weights, found = case.split(",")[0], [], []
    for library in (torch, tn):
        where = folder / library.__name__
        where.mkdir()
        argv = [word.replace("FOLDER", str(where)) for word in RUNS[case]]
        found.append(run(name, library, argv, dtype, weights))
    return found


@pytest.mark.parametrize("case", RUNS)
def test_the_same_run(case, tmp_path):
    """In float64: every loss, every accuracy, every printed line."""
    (theirs, their_lines), (ours, our_lines) = both(case, np.float64, tmp_path)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-10)
    assert ours[1] == pytest.approx(theirs[1], abs=1e-12)
    assert our_lines == their_lines
    assert theirs[0][-1] < theirs[0][0]  # it learns


def test_a_run_that_is_resumed(tmp_path):
    """From the checkpoint of the best epoch, which each library has written and reads itself."""
    weights = []
    for words in (["--epochs", "1"], ["--resume", "--epochs", "2"]):
        weights.clear()
        theirs, ours = (
            run(
                "cifar_resnet",
                library,
                ["--folder", str(tmp_path / library.__name__), *words],
                np.float64,
                weights,
            )
            for library in (torch, tn)
        )
        np.testing.assert_allclose(ours[0][0], theirs[0][0], rtol=1e-10)
        assert ours[1] == theirs[1]
    assert "Resuming" in ours[1] and "Epoch: 1" in ours[1]


def test_dropout_and_shuffling_repeat_by_the_seed():
    argv = ["--shuffle", "--epochs", "2"]

    def losses(seed):
        with contextlib.redirect_stdout(io.StringIO()):
            return program("mnist_convnet", tn)["main"]([*argv, "--seed", seed])[0]

    first = losses("3")
    assert first == losses("3") != losses("4") and first[-1] < first[0]


@pytest.mark.parametrize("case", RUNS)
def test_float32(case, tmp_path):
    """The first steps to float32's precision; later ones part ways slowly, as two runs of torch on
    two machines do."""
    (theirs, _), (ours, _) = both(case, np.float32, tmp_path)
    assert len(ours[0]) == len(theirs[0])
    np.testing.assert_allclose(ours[0][:3], theirs[0][:3], rtol=1e-5)
