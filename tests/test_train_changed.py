"""Checkpoints whose values were changed: refused in a sentence before training, or harmless."""

import random
import warnings

import numpy as np
import pytest
from tiny_training import assert_same, learnt, script, sentence, stop_in_batch

import train_cifar100
from tinynet import nn
from tinynet.autograd import Tensor
from tinynet.training import checkpoint
from tinynet.training.run import digest

pytest_plugins = ["tiny_training"]
pytestmark = pytest.mark.usefixtures("quick")


def tiny(network, classes, width, dropout):
    return nn.Sequential(
        *(nn.Conv2d(3, 2, 3, stride=4, bias=False), nn.BatchNorm2d(2), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, classes)),
    )


TINY = train_cifar100.PROGRAM._replace(build=tiny, save_network=lambda *_, **__: None)


def places(tree, path=()):
    """The paths of all parts of a tree."""
    if path:
        yield path
    if isinstance(tree, dict | list | tuple):
        for key in tree if isinstance(tree, dict) else range(len(tree)):
            yield from places(tree[key], (*path, key))


def part_of(tree, path):
    for key in path:
        tree = tree[key]
    return tree


def changed(tree, path, value):
    """The tree with another value at that path, or without it."""
    if not path:
        return value
    key, *rest = path
    if isinstance(tree, dict):
        parts = {k: changed(v, rest, value) if k == key else v for k, v in tree.items()}
        return {k: v for k, v in parts.items() if v is not MISSING}
    parts = [changed(v, rest, value) if i == key else v for i, v in enumerate(tree)]
    return type(tree)(v for v in parts if v is not MISSING)


MISSING = object()
ANYTHING = (
    *(MISSING, None, True, 0, 7, -1, 1.5, 1e300, 10**400, float("nan"), float("-inf"), "text"),
    *("\x1b[31m\n", [], (), {}, {"a": 1}, np.zeros(0), np.ones((2, 3)), Tensor([1.0])),
)


def others(value):
    """Values that could stand in its place, some of them of its own kind."""
    if isinstance(value, Tensor | np.ndarray):
        kind = Tensor if isinstance(value, Tensor) else np.asarray
        a = value.numpy() if isinstance(value, Tensor) else value
        arrays = [-a, a + 1, a * 0, a[None], a.astype("f8") + 0.25]
        arrays += [a * np.nan, a + np.inf, a * 0 + 3e38] if a.dtype.kind == "f" else []
        texts = [np.full(a.shape, "x"), a.astype("c8")]
        return [*ANYTHING, *map(kind, arrays), *texts]
    if isinstance(value, bool):
        return [*ANYTHING, not value]
    if isinstance(value, int | float):
        return [*ANYTHING, value + 1, -value - 1, str(value)]
    if isinstance(value, str):
        return [*ANYTHING, value + "x", ""]
    if isinstance(value, dict):
        return [*ANYTHING, {**value, "extra": 1}, list(value.values())]
    if value is None:
        return [*ANYTHING]
    return [*ANYTHING, [*value, *value[:1]], tuple(value), list(value)[::-1][1:]]


@pytest.mark.parametrize("recipe", [(), ("--optimizer", "adam", "--schedule", "onecycle")])
def test_a_changed_checkpoint_is_refused_or_without_effect(tmp_path, monkeypatch, recipe):
    script(tmp_path / "whole", *recipe, of=TINY)
    wanted = learnt(tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_in_batch(6, patch)
        assert "stopped and saved" in sentence(tmp_path, *recipe, of=TINY)
    good = checkpoint.load(tmp_path / "checkpoint.npz")
    assert (good["epochs_done"], good["batches_done"]) == (1, 2)

    cases = [(path, value) for path in places(good) for value in others(part_of(good, path))]
    random.Random(0).shuffle(cases)
    many = [case for case in cases if case[0][0] in ("classes", "options")]
    cases = [case for case in cases if case[0][0] not in ("classes", "options")]
    cases = [*many[:50], *cases[:300]]
    refusals = 0
    batches = stop_in_batch(0, monkeypatch)
    for path, value in cases:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            checkpoint.save(tmp_path / "checkpoint.npz", changed(good, path, value))
        batches.clear()
        try:
            script(tmp_path, "--resume", *recipe, of=TINY)
        except SystemExit as stop:
            said = stop.code
            assert isinstance(said, str) and said.isprintable() and not batches, (path, value)
            refusals += 1
        else:
            found = learnt(tmp_path)
            for name in ("/workers", "/threads", "/test_reads"):
                found[name] = wanted[name]
            assert_same(found, wanted)
    assert refusals > 300


def test_every_kind_of_change_has_its_sentence(tmp_path, whole):
    good = checkpoint.load(whole / "checkpoint.npz")
    for path, value, words in (
        (("model", "stem.0.weight"), good["model"]["stem.0.weight"] + 1, "its checksum does not"),
        (("history", "rows", 0, "val_accuracy"), 1.0, "its checksum does not fit"),
        (("test_accuracy",), 1.0, "its checksum does not fit"),
        (("best", "epoch"), 7, "its checksum does not fit"),
        (("options", "lr"), 0.02, "was trained with lr 0.02, not 0.01"),
        (("classes", 0), "cat", "was trained on other classes"),
        (("mean",), good["mean"] + 0.01, "was trained on other images (mean"),
        (("std",), good["std"] * np.nan, "was trained on other images (std"),
        (("epochs_done",), -1, "'epochs_done'] is -1, expected a whole number from 0 up"),
        (("seconds",), -1.0, "its seconds are -1.0"),
        (("format",), "another", "is not a checkpoint of this script"),
    ):
        checkpoint.save(tmp_path / "checkpoint.npz", changed(good, path, value))
        assert words in sentence(tmp_path, "--resume"), path


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("model", "blocks.1.depthwise.0.weight"),
        ("model", "stem.1.running_var"),
        ("average", "module.stem.1.running_mean"),
        ("optimizer", "state.0.momentum_buffer"),
    ],
)
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_named_before_training(tmp_path, whole, part, name, wrong):
    tree = checkpoint.load(whole / "checkpoint.npz")
    path = (part, "state", 0, "momentum_buffer") if part == "optimizer" else (part, name)
    array = part_of(tree, path).numpy().copy()
    array.flat[0] = wrong
    checkpoint.save(tmp_path / "checkpoint.npz", changed(tree, path, Tensor(array)))
    before = (tmp_path / "checkpoint.npz").read_bytes()
    said = sentence(tmp_path, "--resume", "--epochs", "3")
    assert f"not finite, in {part}.{name}" in said
    assert (tmp_path / "checkpoint.npz").read_bytes() == before


def test_the_checksum_knows_what_was_learnt_and_not_how_long_it_took(tmp_path, whole):
    script(tmp_path)
    one, two = (checkpoint.load(out / "checkpoint.npz") for out in (tmp_path, whole))
    assert one["seconds"] != two["seconds"] or one["history"] != two["history"]
    assert one["digest"] == two["digest"] == digest(two)
    assert checkpoint.digest({"a": Tensor([0.0])}) != checkpoint.digest({"a": np.zeros(1)})


def test_a_checkpoint_from_before_there_was_an_option_is_gone_on_from(tmp_path, monkeypatch, whole):
    with monkeypatch.context() as patch:
        stop_in_batch(6, patch)
        sentence(tmp_path)
    old = changed(checkpoint.load(tmp_path / "checkpoint.npz"), ("options", "zoom"), MISSING)
    old["digest"] = digest(old)
    checkpoint.save(tmp_path / "checkpoint.npz", old)
    assert "trained with zoom 1.0, not 0.5" in sentence(tmp_path, "--resume", "--zoom", "0.5")
    script(tmp_path, "--resume")
    assert_same(learnt(tmp_path), learnt(whole))
