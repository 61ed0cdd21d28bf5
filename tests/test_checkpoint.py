"""Checkpoints: what goes in comes out, and a damaged or foreign file is refused."""

import io
import math
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch

from tinynet import optim
from tinynet.autograd import Tensor
from tinynet.training import CheckpointError, checkpoint

TREE = {
    "model": {
        "conv.weight": Tensor(np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)),
        "bn.num_batches_tracked": np.array(7),
        "bad/../name \u00e9": np.array([True, False]),
    },
    "optimizer": {
        "state": {0: {"step": Tensor(np.float32(3)), "exp_avg": Tensor(np.zeros((0, 3)))}, -1: {}},
        "param_groups": [{"lr": 0.1, "betas": (0.9, 0.999), "params": [0, 1]}],
    },
    "history": [{"epoch": 1, "loss": float("nan")}, {"epoch": 2, "loss": float("-inf")}],
    "plain": [None, True, False, 0, -(10**30), 1e-300, 0.1, "", "text \u2713 \n", (), [], {}],
    "nested": ((1, [2, (3,)]), {"dict": {"array": "0/x"}, "tuple": {"float": "nan"}}),
    "arrays": [
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(24, dtype=np.int16).reshape(2, 3, 4)[::-1, :, ::2],
        np.arange(5, dtype=">f8"),
        np.array([1 + 2j]),
    ],
}


def same(a, b):
    """Equal in value, type, dtype and shape, all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, Tensor):
        return same(a.numpy(), b.numpy())
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


def assert_one_sentence(error, path):
    assert path.name in str(error.value)
    assert "\n" not in str(error.value)


def test_a_tree_comes_back_as_it_was(tmp_path):
    path = tmp_path / "run.npz"
    assert checkpoint.save(path, TREE) is None
    assert same(checkpoint.load(path), TREE)
    assert same(checkpoint.load(str(path)), TREE)
    assert os.listdir(tmp_path) == ["run.npz"]


@pytest.mark.parametrize("tree", [3, "x", None, [], (1,), np.ones(2)])
def test_the_tree_may_be_anything(tree, tmp_path):
    checkpoint.save(tmp_path / "x", tree)
    assert same(checkpoint.load(tmp_path / "x"), tree)


def test_scalars_of_numpy_come_back_as_numbers(tmp_path):
    tree = [np.float32(0.1), np.float64("nan"), np.int64(3), np.bool_(True)]
    checkpoint.save(tmp_path / "x.npz", tree)
    assert same(checkpoint.load(tmp_path / "x.npz"), [float(np.float32(0.1)), math.nan, 3, True])


def test_what_is_loaded_is_ones_own(tmp_path):
    checkpoint.save(tmp_path / "x.npz", TREE)
    weight = checkpoint.load(tmp_path / "x.npz")["model"]["conv.weight"]
    weight.array[...] = -1  # writeable, and no view of the file
    assert not weight.requires_grad
    assert same(checkpoint.load(tmp_path / "x.npz"), TREE)


def test_numpy_alone_can_look_inside(tmp_path):
    checkpoint.save(tmp_path / "x.npz", TREE)
    with np.load(tmp_path / "x.npz", allow_pickle=False) as archive:
        (name,) = [name for name in archive.files if "conv.weight" in name]
        np.testing.assert_array_equal(archive[name], TREE["model"]["conv.weight"].numpy())
        assert b"tinynet checkpoint" in archive["tree.json"]


def test_equal_trees_give_equal_files(tmp_path):
    for name in "ab":
        checkpoint.save(tmp_path / name, TREE)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("make_optimizer", "make_schedule"),
    [
        (
            lambda p: optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
            lambda o: optim.lr_scheduler.OneCycleLR(o, 0.5, 20),
        ),
        (
            lambda p: optim.AdamW([{"params": p, "lr": 0.02}], amsgrad=True),
            lambda o: optim.lr_scheduler.SequentialLR(
                o,
                [
                    optim.lr_scheduler.LinearLR(o, 0.1, total_iters=4),
                    optim.lr_scheduler.MultiStepLR(o, [2, 6]),
                ],
                [4],
            ),
        ),
    ],
)
def test_a_training_goes_on_exactly(tmp_path, make_optimizer, make_schedule):
    def build(array):
        p = Tensor(array.copy(), requires_grad=True)
        optimizer = make_optimizer([p])
        return p, optimizer, make_schedule(optimizer)

    def train(p, optimizer, schedule, steps):
        for step in steps:
            p.grad = Tensor(np.random.default_rng(step).standard_normal((3, 2)).astype(np.float32))
            optimizer.step()
            schedule.step()

    straight = build(np.ones((3, 2), np.float32))
    train(*straight, range(6))
    p, optimizer, schedule = straight
    tree = {"p": p, "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
    checkpoint.save(tmp_path / "x.npz", tree)
    train(*straight, range(6, 15))

    loaded = checkpoint.load(tmp_path / "x.npz")
    resumed = build(loaded["p"].numpy())
    resumed[1].load_state_dict(loaded["optimizer"])
    resumed[2].load_state_dict(loaded["schedule"])
    train(*resumed, range(6, 15))
    np.testing.assert_array_equal(resumed[0].numpy(), straight[0].numpy())
    assert resumed[2].get_last_lr() == straight[2].get_last_lr()


@pytest.mark.parametrize(
    ("leaf", "message"),
    [
        (torch.zeros(2), "torch.Tensor"),
        ({1, 2}, "set"),
        (b"bytes", "bytes"),
        (3 + 4j, "complex"),
        (np.array([None]), "Python objects"),
        ({1.5: 0}, "str or int, got 1.5"),
        ({True: 0}, "str or int, got True"),
        (os, "module"),
    ],
)
def test_what_no_checkpoint_holds_is_refused_by_its_place(leaf, message, tmp_path):
    checkpoint.save(tmp_path / "x.npz", TREE)
    with pytest.raises(TypeError, match=r"tree\['a'\]\[1\]") as error:
        checkpoint.save(tmp_path / "x.npz", {"a": (0, leaf)})
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert os.listdir(tmp_path) == ["x.npz"]
    assert same(checkpoint.load(tmp_path / "x.npz"), TREE)


# Damaged files


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "run.npz"
    tree = {"w": np.linspace(0, 1, 40), "t": Tensor(np.ones(3)), "h": [{"epoch": 1}]}
    checkpoint.save(path, tree)
    return path, tree


def test_a_truncated_file_is_refused_wherever_it_ends(saved):
    path, _ = saved
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 9), *range(len(whole) - 40, len(whole))]:
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="damaged") as error:
            checkpoint.load(path)
        assert_one_sentence(error, path)


def test_flipped_bits_are_refused_or_without_effect(saved):
    path, tree = saved
    whole = path.read_bytes()
    content = tree["w"].tobytes()
    start = whole.index(content)
    inside = range(start, start + len(content))
    refused = set()
    for position in {*range(0, len(whole), 3), *inside}:
        spoiled = bytearray(whole)
        spoiled[position] ^= 1 << position % 8
        path.write_bytes(spoiled)
        try:
            assert same(checkpoint.load(path), tree)  # a date, say, tells nothing
        except CheckpointError as error:
            refused.add(position)
            assert path.name in str(error)
            assert "\n" not in str(error)
    assert refused >= set(inside)
    assert len(refused) > 1.3 * len(inside)  # headers, structure and directory are seen to as well


def rewrite(path, **changes):
    """Replace or add entries of the archive, checksums and all."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    entries.update({name.replace("__", "."): data for name, data in changes.items()})
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)


class Trap:
    """Unpickling this makes a folder."""

    def __init__(self, place):
        self.place = str(place)

    def __reduce__(self):
        return os.mkdir, (self.place,)


def npy(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


HEAD = '{"format": "tinynet checkpoint", "version": 1, "tree": %s}'
FOREIGN = {
    "empty": lambda path, trap: path.write_bytes(b""),
    "text": lambda path, trap: path.write_text("hello"),
    "a bare pickle": lambda path, trap: path.write_bytes(pickle.dumps(trap)),
    "numpy's npz": lambda path, trap: np.savez(path, w=np.ones(3)),
    "an npz with pickles": lambda path, trap: np.savez(path, w=np.array([trap], dtype=object)),
    "torch's file": lambda path, trap: torch.save({"w": torch.ones(2)}, path),
    "pickles in a checkpoint": lambda path, trap: rewrite(
        path,
        **{"tree.json": HEAD % '{"array": "x"}', "x.npy": npy(np.array([trap], dtype=object))},
    ),
    "no json": lambda path, trap: rewrite(path, tree__json="{"),
    "other json": lambda path, trap: rewrite(path, tree__json="[1, 2]"),
    "other program's": lambda path, trap: rewrite(path, tree__json='{"format": "x", "tree": 1}'),
    "array missing": lambda path, trap: rewrite(path, tree__json=HEAD % '{"array": "9/x"}'),
    "unknown kind": lambda path, trap: rewrite(path, tree__json=HEAD % '{"pickle": "9/x"}'),
    "two kinds": lambda path, trap: rewrite(path, tree__json=HEAD % '{"tuple": [], "dict": []}'),
    "unhashable key": lambda path, trap: rewrite(path, tree__json=HEAD % '{"dict": [[[], 1]]}'),
    "endless nesting": lambda path, trap: rewrite(
        path, tree__json=HEAD % ("[" * 100_000 + "]" * 100_000)
    ),
    "huge array": lambda path, trap: rewrite(
        path,
        tree__json=HEAD % '{"array": "x"}',
        x__npy=npy(np.ones(3)).replace(b"(3,), }            ", b"(3000000000000,), }"),
    ),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_no_checkpoint_is_refused_and_runs_no_code(kind, saved, tmp_path):
    path, _ = saved
    FOREIGN[kind](path, Trap(tmp_path / "trapped"))
    with pytest.raises(CheckpointError) as error:
        checkpoint.load(path)
    assert_one_sentence(error, path)
    assert not (tmp_path / "trapped").exists()


def test_another_version_is_named(saved):
    path, _ = saved
    rewrite(path, tree__json='{"format": "tinynet checkpoint", "version": 99, "tree": 1}')
    with pytest.raises(CheckpointError, match="version 99, this tinynet reads version 1"):
        checkpoint.load(path)


def test_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "nothing.npz", tmp_path):
        with pytest.raises(CheckpointError, match="cannot read") as error:
            checkpoint.load(path)
        assert_one_sentence(error, path)
