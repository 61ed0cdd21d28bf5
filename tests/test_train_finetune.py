"""Fine-tuning by the script: --init, --freeze and --lr-scale, on a few drawn shapes."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import foreign_weights as foreign
import numpy as np
import pytest
from device import strict
from tiny_training import (  # noqa: F401
    assert_same,
    learnt,
    quick,
    script,
    sets,
    stop_in_batch,
    whole,
)

import mobilenet
import tinynet as tn
import train_cifar100
import train_stl10
from tinynet import interop, parallel
from tinynet.autograd.tape import sorted_ops
from tinynet.data import shapes
from tinynet.fast.cuda import graph
from tinynet.training import checkpoint, curves, finetune, options, program
from tinynet.training.history import History
from tinynet.training.run import Run, digest

ROOT = Path(__file__).resolve().parent.parent
TUNE = (
    *("--dataset", "shapes", "--per-class", "2", "--val-per-class", "1", "--batch-size", "25"),
    *("--epochs", "2", "--lr", "0.01", "--schedule", "constant", "--workers", "1"),
)
FEATURES = ("--freeze", "stem", "blocks")


def tune(out, *arguments):
    program.main(train_cifar100.PROGRAM, [*TUNE, "--out", str(out), *map(str, arguments)])


def refused(*arguments):
    with pytest.raises(SystemExit) as stop:
        tune(*arguments)
    assert isinstance(stop.value.code, str) and stop.value.code.isprintable()
    return stop.value.code


def make(*arguments):
    """A Run that is not trained yet."""
    parsed = options.parse(train_cifar100.PROGRAM, [*TUNE, *map(str, arguments)])
    return Run(parsed, train_cifar100.PROGRAM)


def begun(path, *arguments, of=train_cifar100.PROGRAM):
    """The options once the weights have had their say."""
    parsed = options.parse(of, ["--init", str(path), *arguments])
    return parsed, finetune.begin(parsed, of, None)


@pytest.fixture
def undrawn(monkeypatch):
    """No pictures, which take longer than these trainings; but images are loaded as usual."""
    monkeypatch.setattr(Run, "draw_curves", lambda run, path: None)
    monkeypatch.setattr("tinynet.training.finish.draw", lambda *_: None)


def state(path):
    return {n: t.numpy() for n, t in mobilenet.load_network(path)[0].state_dict().items()}


@pytest.fixture(scope="module")
def keras(tmp_path_factory):
    """Seven classes, as Keras names and pads them."""
    path = tmp_path_factory.mktemp("keras") / "w.npz"
    np.savez(path, **foreign.keras(foreign.network("tensorflow", 0.05)))
    return path


@pytest.fixture(scope="module")
def topless(tmp_path_factory, keras):
    path = tmp_path_factory.mktemp("topless") / "w.npz"
    np.savez(path, **{n: a for n, a in np.load(keras).items() if "preds" not in n})
    return path


# what the weights decide


def test_a_run_begins_with_the_weights_of_another(tmp_path, quick, whole, capsys):  # noqa: F811
    tune(tmp_path, "--init", whole, "--lr", "0", "--epochs", "1")
    said = capsys.readouterr().out.splitlines()[0]
    assert said.startswith(f"--init {whole}: shallow, width 0.05; taken: ")
    assert said.endswith("; the last layer too, for the same 100 classes")
    before, after = state(whole), state(tmp_path)  # with --ema, what is judged is the average
    count = sum(a.size for n, a in before.items() if re.search("(weight|bias)$", n))
    assert f"taken: {count:,} parameters" in said
    names = [name for name in before if re.search("(weight|bias)$", name)]
    assert len(names) == 3 * 17 + 2
    for name in names:
        assert np.array_equal(before[name], after[name]), name


def test_weights_decide_network_width_and_resolution(keras, tmp_path):
    parsed, origin = begun(keras)
    assert (parsed.network, parsed.width, parsed.resolution) == ("tensorflow", 0.05, 224)
    assert origin["mean"].tolist() == origin["std"].tolist() == [0.5] * 3
    parsed, _ = begun(keras, of=train_stl10.PROGRAM)  # whose own are stl10, 1.0, 224
    assert (parsed.network, parsed.width, parsed.epochs) == ("tensorflow", 0.05, 50)
    foreign.write_h5(tmp_path / "w.h5", dict(np.load(keras)), foreign.topology(eps=2e-3))
    parsed, origin = begun(tmp_path / "w.h5", "--network", "tensorflow", "--width", "0.05")
    assert (parsed.resolution, origin["build"]["bn_eps"]) == (48, 2e-3)
    assert begun(tmp_path / "w.h5", "--resolution", "40")[0].resolution == 40
    parsed, _ = begun(mobilenet.WEIGHTS)
    assert (parsed.network, parsed.width, parsed.resolution) == ("cifar-4x4", 0.25, 32)


def test_a_preset_gives_the_rest(keras, tmp_path, quick, capsys):  # noqa: F811
    tune(tmp_path, "--init", keras, "--preset", "julia", "--resolution", "32", "--epochs", "1")
    said = capsys.readouterr().out.splitlines()[0]
    assert said.startswith("preset julia: ") and "--optimizer adam" in said
    assert "network" not in said and "width" not in said
    assert checkpoint.load(tmp_path / "checkpoint.npz")["options"]["network"] == "tensorflow"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--network", "paper"], "--network paper: the weights of --init .* are of network tensor"),
        (["--width", "0.5"], r"--width 0\.5: .* are of width 0\.05; leave --width out"),
        (
            ["--freeze", "features"],
            "--freeze features: no parameter has a name that begins with it; there are stem, "
            r"stem\.0 to stem\.1, blocks, blocks\.0 to blocks\.12, classifier$",
        ),
        (["--freeze", "block"], "--freeze block: no parameter"),
        (["--freeze", "stem", "blocks", "classifier"], "nothing to train"),
        (["--lr-scale", "head=0.1"], "--lr-scale head: no parameter"),
        (["--lr-scale", "stem=0.1", "stem=1"], "--lr-scale: stem is named twice"),
        (["--freeze", "stem", "--lr-scale", "stem.0=2"], "--lr-scale stem.0: it is frozen"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_image_is_read(
    keras, tmp_path, monkeypatch, arguments, words
):
    monkeypatch.setattr("tinynet.training.run.load_set", None)
    assert re.search(words, refused(tmp_path / "out", "--init", keras, *arguments))
    assert not (tmp_path / "out").exists()


def test_weights_that_cannot_be_read_are_refused(tmp_path):
    assert "w.npz" in refused(tmp_path / "out", "--init", tmp_path / "w.npz")
    (tmp_path / "w.npz").write_bytes(b"nothing")
    assert "no file of weights that is known" in refused(
        tmp_path / "out", "--init", tmp_path / "w.npz"
    )


@pytest.mark.parametrize("text", ["blocks", "=2", "blocks=0", "blocks=nan", "blocks=x", ""])
def test_a_wrong_factor_is_refused(text, capsys):
    with pytest.raises(SystemExit):
        options.parse(train_cifar100.PROGRAM, ["--lr-scale", text])
    said = capsys.readouterr().err
    assert "expected PREFIX=FACTOR, such as blocks=0.1" in said or "expected a number from" in said


def test_prefixes_end_at_a_dot():
    assert finetune.under("blocks.1.depthwise", "blocks.1")
    assert not finetune.under("blocks.11.depthwise", "blocks.1")


# the last layer


def test_other_classes_get_a_new_last_layer(keras, tmp_path, quick, capsys):  # noqa: F811
    tune(tmp_path, "--init", keras, "--resolution", "32", "--lr", "0", "--epochs", "1")
    said = capsys.readouterr().out.splitlines()[0]
    assert said.endswith("; a new last layer for 100 classes (the file's is for 7)")
    before = mobilenet.load_weights(keras)[0].state_dict()
    after = state(tmp_path)
    assert after["classifier.weight"].shape == (100, 51)
    for name, value in before.items():
        if name.endswith(".weight") and not name.startswith("classifier"):
            assert np.array_equal(value.numpy(), after[name]), name


def test_as_many_classes_of_other_names_are_other_classes(whole, tmp_path):  # noqa: F811
    model, info = mobilenet.load_network(whole)
    origin = {**finetune.read(whole, train_cifar100.PROGRAM), "classes": [*info["classes"]][::-1]}
    fresh = mobilenet.build("shallow", 100, 0.05)
    last = fresh.classifier.weight.numpy().copy()
    told = finetune.take(fresh, origin, info["classes"], "w.npz")
    assert origin["new_classifier"] and told.endswith("(the file's is for other classes)")
    assert np.array_equal(fresh.classifier.weight.numpy(), last)
    for ours, theirs in ((fresh.stem, model.stem), (fresh.blocks, model.blocks)):
        for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
            assert np.array_equal(a.numpy(), b.numpy())


def test_weights_without_a_last_layer(topless, keras, tmp_path, quick, capsys):  # noqa: F811
    with pytest.raises(ValueError, match="or train a last layer: train_cifar100.py --init FILE"):
        mobilenet.load_weights(topless)
    with pytest.raises(SystemExit, match="can name nothing"):
        mobilenet.predict(["photo.jpg"], topless)
    tune(tmp_path, "--init", topless, "--resolution", "32", *FEATURES)
    assert "for 100 classes (the file has none)" in capsys.readouterr().out
    wanted = mobilenet.load_weights(keras)[0].blocks.state_dict()
    found = mobilenet.load_network(tmp_path)[0].blocks.state_dict()
    for name, value in wanted.items():
        assert np.array_equal(found[name].numpy(), value.numpy()), name
    assert ", no last layer) and a new last layer." in (tmp_path / "model-card.md").read_text()


# frozen parameters


RECIPES = {
    "sgd": ("--weight-decay", "0.1", "--depthwise-weight-decay", "0.1"),
    "adamw": ("--optimizer", "adamw", "--weight-decay", "0.5", "--ema", "0.7"),
    "sync": ("--batchnorm", "sync", "--clip-grad-norm", "1", "--accumulate", "5"),
}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("frozen", [("stem", "blocks"), ("blocks.3", "stem.0")])
def test_what_is_frozen_stays_bit_for_bit(keras, tmp_path, quick, recipe, frozen):  # noqa: F811
    tune(
        *(tmp_path, "--init", keras, "--resolution", "32", "--lr", "0.1", *RECIPES[recipe]),
        *("--freeze", frozen[0], "--freeze", *frozen[1:], "--epochs", "1"),
    )
    before = {n: t.numpy() for n, t in mobilenet.load_weights(keras)[0].state_dict().items()}
    tree = checkpoint.load(tmp_path / "checkpoint.npz")
    networks = [{n: t.numpy() for n, t in tree["model"].items()}]
    if tree["average"]:
        networks.append({n.removeprefix("module."): t.numpy() for n, t in tree["average"].items()})
    for after in networks:
        for name, value in before.items():
            if name.startswith("classifier"):
                continue
            still = any(finetune.under(name, prefix) for prefix in frozen)
            still = still and not (after is not networks[0] and name.endswith("tracked"))
            # a ReLU6 that is 0 for every image leaves a few gradients 0
            moved = name.endswith(("1.weight", "1.bias", "running_mean", "running_var"))
            assert not still or np.array_equal(after[name], value), name
            assert still or not moved or not np.array_equal(after[name], value), name


@pytest.mark.parametrize("frozen", [(), ("stem",), ("stem", "blocks.0", "blocks.5"), FEATURES[1:]])
def test_the_walk_back_stops_at_what_is_frozen(keras, quick, frozen):  # noqa: F811
    run = make("--init", keras, "--resolution", "32", *(("--freeze", *frozen) if frozen else ()))
    finetune.train(run.model)
    loss = run.model(tn.Tensor(np.ones((2, 3, 32, 32), np.float32))).sum()
    with tn.plain():
        plain = run.model(tn.Tensor(np.ones((2, 3, 32, 32), np.float32))).sum()
    # blocks.5 lies behind others that are trained, so the walk goes through it
    behind = {"stem": 1, "blocks": 26, "blocks.0": 2, "blocks.5": 0}
    frozen_units = sum(behind[prefix] for prefix in frozen)
    for each in (loss, plain):
        kinds = [type(op).__name__ for op in sorted_ops(each.node)]
        assert sum("BatchNorm" in kind for kind in kinds) == 27 - frozen_units, kinds
        if frozen_units == 27:
            assert kinds == ["Sum", "Linear"]
    loss.backward()
    for name, parameter in run.model.named_parameters():
        still = any(finetune.under(name, prefix) for prefix in frozen)
        assert (parameter.grad is None) == still, name


def test_gradients_pass_through_frozen_blocks(keras, quick):  # noqa: F811
    run = make("--init", keras, "--resolution", "32", "--freeze", "blocks")
    x = tn.Tensor(np.random.default_rng(0).standard_normal((4, 3, 32, 32)).astype(np.float32))
    y = tn.Tensor(np.arange(4))
    finetune.train(run.model)
    assert run.model.stem.training and run.model.stem[1].training
    assert not any(module.training for module in run.model.blocks.modules())
    found = []
    for mode in (tn.plain, parallel.Group):
        run.model.zero_grad()
        with mode() if mode is tn.plain else parallel.use(mode()):
            run.criterion(run.model(x), y).backward()
        found.append(run.model.stem[0].weight.grad.numpy().copy())
    assert abs(found[0]).max() > 1e-6
    np.testing.assert_allclose(found[0], found[1], rtol=1e-3, atol=1e-6 * abs(found[0]).max())


def test_a_batchnorm_of_which_a_part_is_trained_takes_statistics(keras, quick):  # noqa: F811
    run = make("--init", keras, "--resolution", "32", "--freeze", "stem.1.weight", "blocks.0")
    model = finetune.train(run.model)
    assert model.stem[1].training and not model.blocks[0].depthwise[1].training
    assert model.blocks[1].training and model.dropout.training


@pytest.mark.parametrize("batchnorm", ["local", "sync"])
def test_three_workers(keras, tmp_path, undrawn, batchnorm):
    arguments = ["--init", keras, "--resolution", "32", "--freeze", "stem", "blocks.0", "blocks.1"]
    arguments += ["--batchnorm", batchnorm, "--batch-size", "48", "--lr", "1e-4", "--epochs", "1"]
    arguments += ["--ema", "0.5"] if batchnorm == "local" else []
    tune(tmp_path / "3", *arguments, "--workers", "3")
    before, three = mobilenet.load_weights(keras)[0].state_dict(), state(tmp_path / "3")
    for name, value in before.items():
        if name.startswith(("stem", "blocks.0.", "blocks.1.")):
            assert np.array_equal(three[name], value.numpy()), name
    if batchnorm == "sync":
        tune(tmp_path / "1", *arguments)
        for name, value in state(tmp_path / "1").items():
            np.testing.assert_allclose(three[name], value, rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.fast_only
@pytest.mark.parametrize("frozen", [("stem", "blocks"), ("blocks.0", "blocks.7")])
def test_on_a_gpu_a_recorded_step_learns_the_same(keras, tmp_path, undrawn, monkeypatch, frozen):
    arguments = ["--init", keras, "--resolution", "32", "--freeze", *frozen, "--device", "cuda"]
    arguments += ["--lr-scale", "classifier.bias=3", "--epochs", "1", "--batch-size", "20"]
    records, record = [], graph.Recording.record
    monkeypatch.setattr(graph.Recording, "record", lambda *of: records.append(record(*of)))
    with strict.gpu():
        tune(tmp_path / "graphed", *arguments)
        monkeypatch.setattr(graph, "WARM_UP", 10**9)
        tune(tmp_path / "plain", *arguments)
    assert len(records) == 1
    graphed, plain = state(tmp_path / "graphed"), state(tmp_path / "plain")
    before = mobilenet.load_weights(keras)[0].state_dict()
    for name, value in plain.items():
        assert np.array_equal(graphed[name], value), name
        if any(finetune.under(name, prefix) for prefix in frozen):
            assert np.array_equal(graphed[name], before[name].numpy()), name


# learning rates


SCHEDULES = {
    "onecycle": ("--warmup", "1"),
    "cosine": ("--warmup", "0.5"),
    "multistep": (),
    "constant": ("--warmup", "0.5"),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_acts_on_all_groups(schedule, quick):  # noqa: F811
    network = ("--network", "shallow", "--width", "0.05", "--schedule", schedule)
    network += SCHEDULES[schedule]
    run = make(*network, "--lr-scale", "blocks=0.1", "blocks.7=0.5", "--lr-scale", "stem.1=3")
    plain = make(*network)
    names = {id(p): name for name, p in run.model.named_parameters()}
    factors = {"blocks.7.": 0.5, "blocks.": 0.1, "stem.1.": 3.0}
    seen = set()
    for _ in range(8):
        wanted = plain.scheduler.get_last_lr()[0]
        for group in run.optimizer.param_groups:
            for parameter in group["params"]:
                name = names[id(parameter)]
                factor = next((f for p, f in factors.items() if name.startswith(p)), 1.0)
                assert group["lr"] == pytest.approx(factor * wanted, rel=1e-12), name
                seen.add(name)
        row = finetune.rates(run.options, run.optimizer, run.scheduler)
        assert row["lr"] == wanted
        assert list(row) == ["lr", "lr blocks", "lr blocks.7", "lr stem.1"]
        assert row["lr stem.1"] == pytest.approx(3 * wanted, rel=1e-12)
        for each in (run, plain):
            each.optimizer.step()
            each.scheduler.step()
    assert len(seen) == len(names)
    decays = [sorted({g["weight_decay"] for g in r.optimizer.param_groups}) for r in (run, plain)]
    assert decays[0] == decays[1] == [0.0, 2e-4]


def test_all_rates_halved_are_the_half_of_the_rate(tmp_path, quick, whole):  # noqa: F811
    everything = ("stem=0.5", "blocks=0.5", "classifier=0.5")
    tune(tmp_path / "a", "--init", whole, "--lr", "0.25", "--lr-scale", *everything)
    tune(tmp_path / "b", "--init", whole, "--lr", "0.125")
    a, b = state(tmp_path / "a"), state(tmp_path / "b")
    for name in a:
        assert np.array_equal(a[name], b[name]), name
    row = checkpoint.load(tmp_path / "a" / "checkpoint.npz")["history"]["rows"][-1]
    assert (row["lr"], row["lr blocks"]) == (0.25, 0.125)
    assert "lr,lr stem,lr blocks,lr classifier,train" in (tmp_path / "a/history.csv").read_text()


def test_without_the_options_nothing_is_another(tmp_path, quick, whole, sets):  # noqa: F811
    """Groups, checkpoint and columns are those of runs from before there was fine-tuning."""
    run = make("--network", "full-convolution", "--width", "0.05", "--depthwise-weight-decay", "1")
    assert [len(group["params"]) for group in run.optimizer.param_groups] == [15, 29, 0]
    assert not any("lr_scale" in group for group in run.optimizer.param_groups)
    assert "init" not in run.state()
    rows = checkpoint.load(whole / "checkpoint.npz")["history"]["rows"]
    assert [name for name in rows[0] if name.startswith("lr")] == ["lr"]


def test_a_checkpoint_from_before_there_was_fine_tuning_is_gone_on_from(tmp_path, quick, whole):  # noqa: F811
    tree = checkpoint.load(whole / "checkpoint.npz")
    for name in ("init", "freeze", "lr_scale"):
        del tree["options"][name]
    tree["digest"] = digest(tree)
    checkpoint.save(tmp_path / "checkpoint.npz", tree)
    script(tmp_path, "--resume", "--epochs", "3")
    assert checkpoint.load(tmp_path / "checkpoint.npz")["epochs_done"] == 3


def test_the_curves_have_a_line_for_each_rate(tmp_path, monkeypatch):
    history, figures = History(), []
    draw = curves._draw
    monkeypatch.setattr(curves, "_draw", lambda *of: figures.append(draw(*of)) or figures[-1])
    for epoch in (1, 2):
        rates = {"lr": 0.1, "lr stem": 0.02, "lr blocks": 0.02, "lr blocks.7": 0.025, "lr head": 1}
        history.append(epoch=epoch, **rates)
    curves.plot(history, tmp_path / "curves.png")
    (axes,) = figures[0].axes
    said = [text.get_text() for text in axes.texts]
    assert said == ["stem, blocks 0.02", "blocks.7 0.025", "0.1", "head 1"]
    places = [text.get_position()[1] for text in axes.texts]
    assert min(np.diff(places)) > 0.2  # of a panel for four lines: none over another
    assert [line.get_ydata()[-1] for line in axes.lines] == [0.1, 0.02, 0.025, 1]


# stopping, resuming


ALL = (*("--freeze", "stem", "blocks.0"), *("--lr-scale", "blocks=0.5"), "--ema", "0.5")
ALL += ("--schedule", "onecycle", "--resolution", "32")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory, sets, keras):  # noqa: F811
    out = tmp_path_factory.mktemp("tuned")
    with pytest.MonkeyPatch.context() as patch:
        quick.__wrapped__(patch, sets)
        tune(out, "--init", keras, *ALL)
    return out


def test_stopped_and_resumed_without_the_file(tuned, keras, tmp_path, monkeypatch, quick):  # noqa: F811
    there = tmp_path / "w.npz"
    there.write_bytes(keras.read_bytes())
    with monkeypatch.context() as patch:
        stop_in_batch(6, patch, signal.SIGTERM)
        assert "stopped and saved" in refused(tmp_path / "out", "--init", there, *ALL)
    there.unlink()
    tune(tmp_path / "out", "--init", there, *ALL, "--resume")
    found, wanted = learnt(tmp_path / "out"), learnt(tuned)
    for tree in (found, wanted):
        del tree["/options/init"], tree["/digest"]
    assert_same(found, wanted)


def test_killed_and_resumed(tuned, keras, tmp_path, undrawn):
    arguments = [*TUNE, "--init", str(keras), *ALL, "--out", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, ROOT / "train_cifar100.py", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "checkpoint.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    program.main(train_cifar100.PROGRAM, [*arguments, "--resume"])
    assert_same(learnt(tmp_path), learnt(tuned))


def test_statistics_that_all_workers_share_are_taken_up_as_they_are(keras, quick):  # noqa: F811
    """By one worker, of an epoch that three were in: the mean of three equal numbers may differ."""
    run = make("--init", keras, "--resolution", "32", *FEATURES)
    before = {name: buffer.numpy().copy() for name, buffer in run.buffers()}
    run._take_up_share([{"buffers": before, "losses": (1.0, 25), "hits": (2.0, 25)}] * 3)
    for name, buffer in run.buffers():
        assert np.array_equal(buffer.numpy(), before[name]), name
    assert run.progress.losses.total == 3.0
    other = {name: value + 3 for name, value in before.items()}
    run._take_up_share(
        [{"buffers": b, "losses": (0.0, 0), "hits": (0.0, 0)} for b in (before, before, other)]
    )
    moved = dict(run.buffers())["model.stem.1.running_mean"].numpy()
    np.testing.assert_allclose(moved, before["model.stem.1.running_mean"] + 1, rtol=1e-5)


def test_other_options_are_refused_on_resume(tuned, keras, whole):  # noqa: F811
    for arguments, words in (
        (["--init", whole, *ALL], "was trained with init"),
        ([*ALL, "--network", "tensorflow", "--width", "0.05"], "not None"),
        (["--init", keras, *ALL, "--freeze", "blocks.1"], "with freeze .'stem', 'blocks.0'., not"),
        (["--init", keras, *ALL, "--lr-scale", "stem=2"], "was trained with lr_scale"),
        (["--init", keras, *ALL, "--resolution", "40"], "was trained with resolution 32, not 40"),
        (["--init", keras, *ALL, "--network", "paper"], "are of network tensorflow"),
    ):
        assert re.search(words, refused(tuned, *arguments, "--resume")), arguments
    without = [word for word in ALL if word not in ("--resolution", "32")]
    said = refused(tuned, "--init", keras, *without, "--resume")
    assert "was trained with resolution 32, not 224" in said
    assert "was trained with init None, not" in refused(whole, "--init", keras, "--resume")


def test_a_changed_checkpoint_is_refused(tuned, keras, tmp_path, quick):  # noqa: F811
    good = checkpoint.load(tuned / "checkpoint.npz")
    mean, std = good["init"]["image_stats"]
    assert mean.tolist() != [0.5] * 3 and good["mean"].tolist() == [0.5] * 3
    for name, value in (
        *(("image_stats", (mean + 0.01, std)), ("image_stats", ()), ("image_stats", None)),
        *(("build", {"padding": "odd"}), ("build", {"more": 1}), ("build", {"bn_eps": "x"})),
        *(("build", {"bn_eps": 0.5}), ("network", "paper"), ("network", []), ("width", 0.5)),
        *(("size", 64), ("outputs", 3), ("new_classifier", False)),
    ):
        changed = {**good, "init": {**good["init"], name: value}}
        checkpoint.save(tmp_path / "checkpoint.npz", changed)
        said = refused(tmp_path, "--init", keras, *ALL, "--resume")
        assert said.startswith("train_cifar100.py: "), name
    checkpoint.save(tmp_path / "checkpoint.npz", {n: v for n, v in good.items() if n != "init"})
    assert "lacks 'init'" in refused(tmp_path, "--init", keras, *ALL, "--resume")


def test_other_images_are_noticed_on_resume(tuned, keras, monkeypatch, sets):  # noqa: F811
    other = shapes.make("train", 3)
    monkeypatch.setattr("tinynet.training.run.load_set", lambda *_: other)
    said = refused(tuned, "--init", keras, *ALL, "--resume")
    assert "was trained on other images (mean" in said


# what comes of it


def test_the_card_names_the_origin_and_what_was_frozen(tuned, keras):
    text = (tuned / "model-card.md").read_text().replace("\\", "")
    model = mobilenet.build("tensorflow", 100, 0.05)
    total = sum(p.numel() for p in model.parameters())
    still = [p for part in (model.stem, model.blocks[0]) for p in part.parameters()]
    trained = total - sum(p.numel() for p in still)
    assert (
        f"The training began with the weights of {keras} (tensorflow, width 0.05, 7 classes) and a "
        f"new last layer. Frozen: stem, blocks.0; {trained:,} of {total:,} parameters were trained."
    ) in text
    assert "--freeze stem blocks.0 --lr-scale blocks=0.5" in text
    assert "| lr_scale |" in text and "| init |" in text


def test_a_network_is_built_as_its_weights_were(tuned):
    x = tn.Tensor(np.random.default_rng(0).standard_normal((2, 3, 33, 33)).astype(np.float32))
    logits = []
    for path in (tuned, tuned / "network.npz"):
        model, info = mobilenet.load_network(path)
        assert info["mean"].tolist() == info["std"].tolist() == [0.5] * 3
        assert (info["network"], info["size"], info["images"]) == ("tensorflow", 32, {})
        assert model.stem[1].eps == 1e-3
        with tn.no_grad():
            logits.append(model(x).numpy())
    assert np.array_equal(*logits)
    origin = finetune.read(tuned, train_cifar100.PROGRAM)  # and tuned once more
    assert (origin["network"], origin["size"], len(origin["classes"])) == ("tensorflow", 32, 100)


def test_a_build_option_reaches_network_and_predict(keras, tmp_path, quick):  # noqa: F811
    layers = foreign.topology(stem="valid", size=32, eps=5e-3)
    foreign.write_tfjs(tmp_path / "w", dict(np.load(keras)), layers)
    tune(tmp_path / "out", "--init", tmp_path / "w", *FEATURES, "--epochs", "1")
    for path in ("", "network.npz", "best.npz"):
        model, _ = mobilenet.load_network(tmp_path / "out" / path)
        assert type(model.stem[0]) is mobilenet.EndConv2d and model.stem[1].eps == 5e-3


def test_the_film_shows_what_is_frozen(keras, tmp_path, quick):  # noqa: F811
    tune(tmp_path, "--init", keras, "--resolution", "32", *FEATURES, "--film")
    film = checkpoint.load(tmp_path / "film.npz")
    gradients = film["frames"]["gradients"]
    assert (gradients[:, :-1] == 0).all() and (gradients[:, -1] > 0).all()
    assert (film["frames"]["norms"] == film["frames"]["norms"][0]).all()


def test_the_example_of_the_docs(tmp_path, undrawn, monkeypatch, capsys):
    """From shapes to a folder of images and to the name of one: its commands, but less training."""
    section = (ROOT / "docs" / "training.md").read_text().split("## Fine-tuning")[1]
    blocks = re.findall(r"```(python)?\n(.*?)```", section.split("\n## ")[0], re.DOTALL)
    less = {"shapes": ["--per-class", "2", "--val-per-class", "1", "--batch-size", "25"]}
    monkeypatch.chdir(tmp_path)
    run = []
    for language, block in blocks:
        for line in [] if language else block.replace("\\\n", "").splitlines():
            _, script, *words = shlex.split(line)
            run.append(script)
            if script == "train_cifar100.py":
                words += [*less.get(Path(words[-1]).name, []), "--epochs", "1", "--workers", "1"]
                program.main(train_cifar100.PROGRAM, words)
            else:
                mobilenet.main(words)
        if language:
            exec(compile(block, "docs/training.md", "exec"), {})
    assert run == ["train_cifar100.py", "train_cifar100.py", "mobilenet.py"]
    said = capsys.readouterr().out
    assert "a new last layer for 10 classes (the file's is for 100)" in said
    assert "\nmine/test/star/" in said and "10 classes; " in said
    model, info = mobilenet.load_weights("runs/mine")
    assert (info["network"], info["options"]["width"], info["size"]) == ("cifar-2x2", 0.25, 32)
    first = mobilenet.load_weights("runs/shapes")[0]
    for before, after in zip(first.blocks.parameters(), model.blocks.parameters(), strict=True):
        assert np.array_equal(before.numpy(), after.numpy())


def test_a_network_in_onnx_is_not_one_that_the_training_makes(tmp_path):
    path = tmp_path / "net.onnx"
    interop.save_onnx(mobilenet.build("cifar-2x2", 10, 0.25), tn.zeros(1, 3, 32, 32), path)
    words = refused(tmp_path / "out", "--init", path)
    assert "holds a network of its own" in words and "interop.load_onnx" in words
    assert not (tmp_path / "out" / "checkpoint.npz").exists()
