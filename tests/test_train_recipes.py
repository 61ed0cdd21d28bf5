"""The ingredients of a recipe do in the script what they say, step by step."""

import copy
import json
import math

import numpy as np
import pytest
from test_events import drawn
from test_parallel_script import TINY, assert_learnt_alike
from test_parallel_script import run as run_script

import mobilenet
import tinynet as tn
import train_cifar100
import train_stl10
from tinynet import nn, optim
from tinynet.data import cifar100, folder, shapes
from tinynet.nn import functional as F
from tinynet.parallel import Group
from tinynet.training import checkpoint, finish, loop, options
from tinynet.training.recipe import make_schedule
from tinynet.training.run import Run

SMALL = (
    *("--dataset", "shapes", "--per-class", "2", "--val-per-class", "1", "--network", "shallow"),
    *("--width", "0.05", "--batch-size", "24", "--epochs", "2", "--lr", "0.01", "--workers", "1"),
    *("--schedule", "constant"),
)
PROGRAMS = [train_cifar100.PROGRAM, train_stl10.PROGRAM]


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    """Which take longer than these trainings."""
    monkeypatch.setattr(Run, "draw_curves", lambda run, path: None)
    monkeypatch.setattr(finish, "draw", lambda *_: None)


def script(out, *arguments):
    train_cifar100.main([*SMALL, "--out", str(out), *arguments])


def make(*arguments, program=train_cifar100.PROGRAM):
    return Run(options.parse(program, [*SMALL, *arguments]), program)


def refusal(function, *arguments):
    with pytest.raises((SystemExit, ValueError)) as stop:
        function(*arguments)
    return str(stop.value.code if isinstance(stop.value, SystemExit) else stop.value)


class Enough(Exception):
    pass


def gradients_of_a_step(run, steps=1):
    """What the optimiser is given in the last of so many steps."""
    taken, step = [], run.optimizer.step

    def watched():
        taken.append([p.grad.numpy().copy() for p in run.model.parameters()])
        if len(taken) == steps:
            raise Enough
        step()

    run.optimizer.step = watched
    with pytest.raises(Enough), Group().stoppable() as stop:
        loop.train_epoch(run, 0, stop)
    return taken[-1]


def assert_close(found, wanted, tolerance=1e-4):
    for a, b in zip(found, wanted, strict=True):
        assert np.linalg.norm(a - b) <= tolerance * np.linalg.norm(b) + 1e-9


def batches(run, count):
    run.train_loader.set_epoch(0)
    for _, (x, y) in zip(range(count), run.train_loader, strict=False):
        yield tn.Tensor(x), tn.Tensor(y)


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_accumulated_gradients_are_the_mean_of_the_parts(parts):
    run = make("--accumulate", str(parts), "--mixup", "0.3")
    model = copy.deepcopy(run.model).train()
    losses = [run.criterion(model(x), y) for x, y in batches(run, 2 * parts)]
    sizes = {len(y) for _, y in batches(run, parts)}
    for loss in losses[:parts]:
        loss.backward()
    wanted = [p.grad.numpy() / parts for p in model.parameters()]
    assert sizes == {24 // parts}
    assert_close(gradients_of_a_step(run), wanted)


def test_a_step_of_parts_moves_the_schedule_once(tmp_path):
    script(tmp_path, "--accumulate", "4", "--schedule", "cosine")
    tree = checkpoint.load(tmp_path / "checkpoint.npz")
    assert tree["scheduler"]["last_epoch"] == tree["scheduler"]["T_max"] == 2 * 4
    assert tree["history"]["rows"][-1]["lr"] == pytest.approx(0, abs=1e-12)


def test_gradients_are_clipped_together():
    free = gradients_of_a_step(make())
    norm = math.sqrt(sum(np.square(g, dtype=np.float64).sum() for g in free))
    clipped = gradients_of_a_step(make("--clip-grad-norm", str(norm / 10)))
    assert_close(clipped, [g / 10 for g in free])
    assert_close(gradients_of_a_step(make("--clip-grad-norm", str(2 * norm))), free, 0)


def test_the_average_of_the_weights_is_judged_and_kept(tmp_path, monkeypatch):
    seen, update = [], Run.average_weights

    def watched(run):
        update(run)
        seen.append({name: v.numpy().copy() for name, v in run.model.state_dict().items()})

    monkeypatch.setattr(Run, "average_weights", watched)
    script(tmp_path, "--ema", "0.8")
    wanted = dict(seen[0])
    for state in seen[1:]:
        for name, value in state.items():
            if value.dtype.kind == "f":
                wanted[name] = 0.8 * wanted[name] + 0.2 * value
    model, _ = mobilenet.load_network(tmp_path / "network.npz")
    kept = model.state_dict()
    floats = [name for name in wanted if wanted[name].dtype.kind == "f"]
    for name in floats:
        np.testing.assert_allclose(kept[name].numpy(), wanted[name], 1e-4, 1e-6, err_msg=name)
    assert any(not np.allclose(kept[n].numpy(), seen[-1][n], 1e-3, 1e-5) for n in floats)
    row = checkpoint.load(tmp_path / "checkpoint.npz")["history"]["rows"][-1]
    run = make()
    found = loop.evaluate(model, run.val_loader, run.criterion, "cpu")
    assert found["loss"] == pytest.approx(row["val_loss"], rel=1e-5)


def rates(*arguments, epochs=8, steps=5):
    given = ["--epochs", str(epochs), "--lr", "1", *arguments]
    parsed = options.parse(train_cifar100.PROGRAM, given)
    parameter = tn.zeros(1, requires_grad=True)
    parameter.grad = tn.zeros(1)
    optimizer = optim.SGD([parameter], lr=1.0, momentum=0.9)
    schedule, found = make_schedule(parsed, optimizer, steps), []
    for _ in range(epochs * steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return np.array(found)


@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "multistep", "constant"])
@pytest.mark.parametrize("warmup", ["0", "0.4", "3"])
def test_the_rate_rises_to_its_highest_and_then_follows_the_schedule(schedule, warmup):
    found, rising = rates("--schedule", schedule, "--warmup", warmup), round(5 * float(warmup))
    first = 1 / 25 if schedule == "onecycle" else 1 / (rising + 1)
    assert found[0] == pytest.approx(first if rising else 1)
    assert found[rising] == found.max() == pytest.approx(1)
    assert (np.diff(found[: rising + 1]) > 0).all()
    assert (np.diff(found[rising:]) <= 1e-12).all()
    left = 40 - rising
    last = {
        "onecycle": (1 + math.cos(math.pi * (left - 1) / left)) / 2,
        "cosine": (1 + math.cos(math.pi * (left - 1) / left)) / 2,
        "multistep": 1e-3,
        "constant": 1,
    }[schedule]
    assert found[-1] == pytest.approx(last, rel=1e-2)


def test_without_warmup_one_cycle_rises_for_three_tenths():
    found = rates("--schedule", "onecycle")
    assert abs(found.argmax() - 0.3 * 40) <= 1 and found[0] == pytest.approx(0.04)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--schedule", "onecycle", "--warmup", "8"], "--warmup 8: there are only 8 epochs"),
        (["--schedule", "constant", "--warmup", "1e6"], "there are only 8 epochs"),
        (["--schedule", "multistep", "--warmup", "4"], "falls after half of the 8 epochs"),
        (["--schedule", "constant", "--faults", "swapped-cosine"], "a fault of --schedule cosine"),
    ],
)
def test_a_warmup_that_does_not_fit_is_refused(arguments, words):
    assert words in refusal(rates, *arguments)


def test_the_swapped_cosine_rises():
    found = rates("--schedule", "cosine", "--faults", "swapped-cosine")
    assert found[0] == 0 and (np.diff(found) > 0).all() and found[-1] > 0.99


def test_softmax_twice():
    plain, twice = make(), make("--faults", "softmax-twice")
    logits, y = tn.randn(6, 100) * 3, tn.tensor(np.arange(6))
    wanted = F.cross_entropy(F.softmax(logits, 1), y, label_smoothing=0.1).item()
    assert twice.loss(logits, None, y).item() == pytest.approx(wanted, rel=1e-6)
    assert abs(plain.loss(logits, None, y).item() - wanted) > 0.1


def test_test_statistics_are_those_of_the_images_judged():
    plain, fault = make(), make("--faults", "test-statistics")
    mean, std = plain.val_set.channel_stats()
    assert np.array_equal(fault.val_loader.mean, mean)
    assert np.array_equal(fault.val_loader.std, std)
    assert not np.array_equal(plain.val_loader.mean, mean)
    for run in (plain, fault):
        assert np.array_equal(run.train_loader.mean, run.train_set.channel_stats()[0])
    found = [loop.outputs(run.model, run.val_loader, "cpu") for run in (plain, fault)]
    assert not np.array_equal(*found)


def test_what_is_done_to_images_in_training_alone():
    run = make("--mixup", "0.5", "--cutout", "12", "--resolution", "40")
    (x, y), (seen, _) = next(batches(run, 1)), next(iter(run.val_loader))
    assert x.shape == (24, 3, 40, 40) and seen.shape[2:] == (40, 40)
    assert y.shape == (24, 100) and np.allclose(y.numpy().sum(1), 1)
    assert (y.numpy() > 0).sum() > 24
    plain = make("--cutout", "12", "--augment", "none")
    x = next(batches(plain, 1))[0].numpy()
    covered = (x == 0).all(axis=1).reshape(24, -1).sum(1)
    assert (covered >= 36).all() and (covered <= 144).all()
    assert not (next(iter(plain.val_loader))[0] == 0).any()
    assert make("--zoom", "0.25").train_loader.zoom == 0.25
    assert make("--zoom", "0.25").val_loader.zoom == 1


def test_so_many_images_of_each_class(monkeypatch):
    everything = shapes.make("train", 5)

    def load(data_dir, split, **_):
        return everything

    for dataset, module in (("shapes", None), ("cifar100", cifar100), ("folder", folder)):
        if module:
            monkeypatch.setattr(module, "load", load)
        run = make("--dataset", dataset, "--per-class", "4", "--val-per-class", "1")
        assert (np.bincount(run.train_set.labels) == 3).all(), dataset
        assert (np.bincount(run.val_set.labels) == 1).all()


# the teacher


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A network file that fits the shapes of SMALL."""
    return save_teacher(tmp_path_factory.mktemp("teacher") / "network.npz", 1)


def save_teacher(path, seed, classes=None, mean=None):
    run = make()
    tn.manual_seed(seed)
    model = mobilenet.build("paper", num_classes=100, width=0.05)
    mobilenet.save_network(
        path,
        model,
        network="paper",
        options={"num_classes": 100, "width": 0.05},
        classes=classes or list(run.class_names),
        mean=run.mean if mean is None else mean,
        std=run.std,
        size=32,
    )
    return path


def test_the_loss_with_a_teacher_is_the_formula(teacher):
    arguments = ("--teacher-weight", "0.7", "--temperature", "3", "--label-smoothing", "0")
    run = make("--teacher", str(teacher), *arguments)
    x, y = next(batches(run, 1))
    logits = tn.randn(24, 100)

    def log_softmax(z):
        z = z - z.max(1, keepdims=True)
        return z - np.log(np.exp(z).sum(1, keepdims=True))

    theirs = mobilenet.load_network(teacher)[0](x).numpy().astype(np.float64)
    ours = logits.numpy().astype(np.float64)
    hard = -log_softmax(ours)[np.arange(24), y.numpy()].mean()
    soft = -(np.exp(log_softmax(theirs / 3)) * log_softmax(ours / 3)).sum(1).mean()
    wanted = 0.3 * hard + 0.7 * 9 * soft
    assert run.loss(logits, x, y).item() == pytest.approx(wanted, rel=1e-5)
    assert all(p.grad is None for p in run.teacher.network.parameters())


def test_a_teacher_of_other_images_is_refused(tmp_path):
    names = [f"class {i}" for i in range(100)]
    other = save_teacher(tmp_path / "other.npz", 1, classes=names)
    assert "names other classes" in refusal(make, "--teacher", str(other))
    other = save_teacher(tmp_path / "other.npz", 1, mean=np.array([0.1, 0.5, 0.5]))
    assert "was trained on images of mean" in refusal(make, "--teacher", str(other))
    missing = ["--teacher", str(tmp_path / "missing.npz")]
    assert "missing.npz" in refusal(script, tmp_path / "out", *missing)
    assert not (tmp_path / "out").exists()


def test_a_resumed_run_needs_its_teacher_again(tmp_path, teacher):
    script(tmp_path / "run", "--teacher", str(teacher), "--epochs", "1")
    again = (tmp_path / "run", "--resume", "--epochs", "2")
    assert "had a --teacher; give that network again" in refusal(script, *again)
    other = save_teacher(tmp_path / "other.npz", 2)
    said = refusal(script, *again, "--teacher", str(other))
    assert "had another network for its --teacher" in said
    moved = (tmp_path / "moved.npz").resolve()
    moved.write_bytes(teacher.read_bytes())
    script(*again, "--teacher", str(moved))
    assert checkpoint.load(tmp_path / "run" / "checkpoint.npz")["epochs_done"] == 2
    script(tmp_path / "without", "--epochs", "1")
    said = refusal(
        script, tmp_path / "without", "--resume", "--epochs", "2", "--teacher", str(other)
    )
    assert "had no --teacher; leave it out" in said


# presets


@pytest.mark.parametrize(
    ("program", "preset"), [(program, name) for program in PROGRAMS for name in program.presets]
)
def test_every_preset_builds_its_network_and_can_be_overridden(program, preset):
    parsed = options.parse(program, ["--preset", preset])
    for name, value in program.presets[preset].items():
        assert getattr(parsed, name) == value
    model = program.build(parsed.network, 10, parsed.width, dropout=parsed.dropout)
    assert sum(p.numel() for p in model.parameters()) > 0
    other = options.parse(program, ["--lr", "0.125", "--preset", preset, "--epochs", "3"])
    assert (other.lr, other.epochs, other.network) == (0.125, 3, parsed.network)
    words = options.in_words(parsed, program.presets[preset])
    assert vars(options.parse(program, words)) == {**vars(parsed), "preset": None}


def test_a_preset_is_printed_as_it_is_used(tmp_path, capsys):
    script(tmp_path, "--preset", "julia", "--faults", "softmax-twice", "--epochs", "1")
    said = capsys.readouterr().out.splitlines()[0]
    assert said.startswith("preset julia: ")
    assert "--network shallow" in said and "--lr 0.01" in said and "--optimizer adam" in said


def test_the_card_has_a_command_that_trains_the_same(tmp_path):
    out = tmp_path / "my runs"
    script(out, "--lr", "0.0123456789", "--mixup", "0.2", "--faults", "test-statistics")
    card = (out / "model-card.md").read_text()
    command = card.split("How to train it again")[1].split("```")[1].split()
    assert command[:2] == ["python", "train_cifar100.py"]
    again = options.parse(train_cifar100.PROGRAM, command[2:])
    once = options.parse(train_cifar100.PROGRAM, [*SMALL, *("--lr", "0.0123456789")])
    once.mixup, once.faults = 0.2, ["test-statistics"]
    assert options.recorded(again) == options.recorded(once)


def test_names_on_a_command_line():
    program = train_cifar100.PROGRAM
    parsed = options.parse(program, ["--data-dir=-my photos", "--teacher", "a b"])
    words = options.in_words(parsed, ["data_dir", "teacher", "mirror", "tf32"])
    assert words == ["--data-dir=-my photos", "--teacher", "a b"]
    assert options.parse(program, words) == parsed


# TensorBoard, and workers


def test_tensorboard_draws_every_epoch_once(tmp_path):
    script(tmp_path, "--tensorboard", "--epochs", "2")
    (tmp_path / "history.csv").unlink()
    script(tmp_path, "--tensorboard", "--epochs", "4", "--resume")
    rows = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    curves = drawn(tmp_path / "tensorboard")
    for tag, column in (("loss/train", "train_loss"), ("accuracy/validation", "val_accuracy")):
        wanted = {row["epoch"]: pytest.approx(row[column], rel=1e-6) for row in rows}
        assert curves[tag] == wanted and list(wanted) == [1, 2, 3, 4]


def test_two_workers_learn_what_one_learns_with_every_ingredient(tmp_path, teacher):
    recipe = (
        *("--batch-size", "24", "--accumulate", "2", "--ema", "0.5", "--mixup", "0.4"),
        *("--cutout", "8", "--clip-grad-norm", "0.5", "--resolution", "24", "--optimizer", "adamw"),
        *("--schedule", "cosine", "--warmup", "0.5", "--depthwise-weight-decay", "1e-4"),
        *("--teacher", str(teacher), "--lr", "1e-6"),
    )
    for workers in ("1", "2"):
        run_script(tmp_path / workers, *recipe, "--workers", workers)
    assert "--batchnorm" in TINY  # sync
    assert_learnt_alike(tmp_path / "2", tmp_path / "1")


def test_dropout_is_in_the_network():
    run = make("--dropout", "0.3")
    assert [m.p for m in run.model.modules() if isinstance(m, nn.Dropout)] == [0.3]
