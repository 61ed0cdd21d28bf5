"""The paper's arguments trained again: tiny studies by the real script, and made-up numbers."""

import csv
import json
import shutil
import signal
import statistics
import textwrap

import pytest
from test_benchmarks import SHORT
from test_curves import read_png, share_of

import mobilenet
from benchmarks import ablation_figures, ablation_runs, ablations, turns
from benchmarks.ablation_runs import in_words, seconds_left, trainings
from benchmarks.ablation_studies import KINDS, NETWORKS, STUDIES, rows_of
from benchmarks.results import ROOT
from tinynet.summary import summary
from tinynet.training import checkpoint, curves
from tinynet.training.options import SINCE

FURTHER = (
    *("--", "--dataset", "shapes", "--per-class", "2", "--val-per-class", "1"),
    *("--batch-size", "50", "--workers", "1"),
)
TINY = ("--epochs", "2", "--seeds", "1", "--width", "0.04")
BASE, FULL, DEPTHWISE = "shared-base-seed0", "convolution-full-seed0", "decay-depthwise-seed0"


def run(out, *arguments, further=FURTHER):
    ablations.main([*TINY, *arguments, "--out", str(out), *further])


def refusal(*arguments, **options):
    with pytest.raises(SystemExit) as stop:
        run(*arguments, **options)
    return stop.value.code


def recorded(out):
    return json.loads((out / "results.json").read_text())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("ablations") / "out"
    run(out, "convolution", "decay")
    return out


@pytest.fixture
def copied(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "copied")


# trained by the script


def test_a_training_that_two_studies_share_is_done_once(trained):
    folders = sorted(path.name for path in trained.iterdir() if path.is_dir())
    assert folders == sorted([BASE, FULL, DEPTHWISE])
    assert recorded(trained)["runs"].keys() == {BASE, FULL, DEPTHWISE}
    assert checkpoint.load(trained / BASE / "checkpoint.npz")["test_reads"] == 1
    for study in ("convolution", "decay"):
        rows = recorded(trained)["studies"][study]
        assert [row["seeds"] for row in rows] == [[0], [0]]


def test_the_trainings_differ_in_one_thing(trained):
    runs = recorded(trained)["runs"]
    base, full, depthwise = (runs[name]["options"] for name in (BASE, FULL, DEPTHWISE))
    changes = {name: full[name] for name in base if base[name] != full[name]}
    assert changes == {"network": "cifar-4x4-full-convolution"}
    changes = {name: depthwise[name] for name in base if base[name] != depthwise[name]}
    assert changes == {"depthwise_weight_decay": base["weight_decay"]}
    assert base["weight_decay"] > 0 and base["depthwise_weight_decay"] == 0


def test_the_results_are_those_of_the_last_epoch(trained):
    results = recorded(trained)
    for which, name in enumerate((FULL, BASE)):
        row = results["studies"]["convolution"][which]
        with open(trained / name / "history.csv", newline="") as file:
            *_, last = csv.DictReader(file)
        assert row["val_accuracy"] == [100 * float(last["val_accuracy"]), None]
        saved = checkpoint.load(trained / name / "checkpoint.npz")
        assert last["epoch"] == "2" and row["test_accuracy"] == [100 * saved["test_accuracy"], None]
        assert row["parameters"] == sum(
            array.numel()
            for key, array in saved["model"].items()
            if key.endswith(("weight", "bias"))
        )
    assert row["mult_adds"] == by_hand(0.04, 32)


def by_hand(width, size):
    """The multiply-adds of cifar-4x4 with 100 classes, from the paper's formula."""
    channels = [max(1, round(width * c)) for c in (32, 64, 128, 128, 256, 256, *[512] * 6, 1024)]
    channels.append(channels[-1])
    total = 27 * channels[0] * size**2
    for place, (before, after) in enumerate(zip(channels, channels[1:], strict=False)):
        size = (size + 1) // 2 if place in (3, 5, 11) else size
        total += (9 * before + before * after) * size**2
    return total + 100 * channels[-1]


def test_no_path_of_this_machine_is_in_the_results(trained):
    text = (trained / "results.json").read_text()
    assert str(trained) not in text and str(ROOT) not in text
    assert recorded(trained)["runs"][BASE]["machine"]["numpy"]


def test_tables_and_pictures(trained):
    text = (trained / "convolution.md").read_text()
    assert "(Table 4)" in text and "![Full or separable convolutions](convolution.png)" in text
    assert "drawn shapes, cifar-4x4 from width 0.04, 2 epochs." in text and "ms/image" not in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| full", "| separable"]
    assert lines[2].endswith("| 71.7 | 4866 M |") and lines[3].endswith("| 70.6 | 569 M |")
    assert "paper" not in (trained / "decay.md").read_text().splitlines()[4]
    picture = read_png(trained / "convolution.png")
    assert all(share_of(picture, colour) > 1e-4 for colour in (curves.TRAIN, curves.VALIDATION))


def test_what_is_done_is_not_repeated(copied, monkeypatch, capfd):
    monkeypatch.setattr(ablation_runs, "SCRIPT", "nothing.py")  # would fail
    before = recorded(copied)
    (copied / "results.json").unlink()
    run(copied, "convolution", "decay")
    assert "3 trainings of 2 epochs: 3 networks, 1 seed; 3 done" in capfd.readouterr().out
    after = recorded(copied)
    for one in before["runs"].values():
        one["machine"] = None  # nobody knows any more
    assert after == before


# what goes wrong

INTERRUPTED = f"""
    import os, signal, sys, time
    sys.path.insert(0, {str(ROOT)!r})
    import train_cifar100
    from tinynet import parallel
    from tinynet.training.run import Run
    loss, batches = Run.loss, []
    def watched(self, *arguments):
        batches.append(1)
        if len(batches) == 3:  # the first of two in epoch 2
            os.kill(os.getppid(), signal.SIGINT)
            while not parallel.current().stop.wanted:
                time.sleep(0.01)
        return loss(self, *arguments)
    Run.loss = watched
    train_cifar100.main()
"""


def script(monkeypatch, folder, text):
    path = folder / "script.py"
    path.write_text(textwrap.dedent(text))
    monkeypatch.setattr(ablation_runs, "SCRIPT", path)


def test_stopped_and_resumed_it_learns_the_same(trained, copied, tmp_path, monkeypatch):
    shutil.rmtree(copied / DEPTHWISE)
    (copied / "results.json").unlink()
    script(monkeypatch, tmp_path, INTERRUPTED)
    before = signal.getsignal(signal.SIGINT)
    assert refusal(copied, "decay") == "benchmarks.ablations: stopped; the same command goes on"
    assert signal.getsignal(signal.SIGINT) is before
    saved = checkpoint.load(copied / DEPTHWISE / "checkpoint.npz")
    assert (saved["epochs_done"], saved["batches_done"]) == (1, 1)
    assert recorded(copied)["runs"].keys() == {BASE}
    monkeypatch.undo()
    run(copied, "decay")
    once, twice = (recorded(out)["runs"][DEPTHWISE] for out in (trained, copied))
    for epoch in [*once["history"], *twice["history"]]:
        del epoch["seconds"], epoch["images_per_second"]
    assert once == twice


def test_sigterm_is_passed_on(tmp_path, monkeypatch):
    text = "import os, signal; os.kill(os.getppid(), signal.SIGTERM); signal.pause()"
    script(monkeypatch, tmp_path, text)
    assert "stopped; the same command goes on" in refusal(tmp_path / "out", "decay")


def test_one_that_fails_does_not_lose_the_others(copied, capfd):
    path = copied / FULL / "checkpoint.npz"
    path.write_bytes(path.read_bytes()[:1000])
    shutil.rmtree(copied / BASE)
    (copied / "results.json").unlink()
    assert refusal(copied, "convolution") == (
        "benchmarks.ablations: 1 of 2 trainings failed, see above"
    )
    out = capfd.readouterr().out
    assert f"failed: {FULL}: train_cifar100.py: " in out and "checkpoint.npz" in out
    assert recorded(copied)["runs"].keys() == {BASE}
    assert len(path.read_bytes()) == 1000
    row = (copied / "convolution.md").read_text().split("| full")[1].splitlines()[0]
    assert row == " |  |  |  |  | 0 | 71.7 | 4866 M |"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("import os; os.kill(os.getpid(), 9)", "ended by SIGKILL"),
        ("import sys; sys.exit('out of luck')", "out of luck"),
        ("import sys; print(); sys.exit(3)", "it said nothing"),
    ],
)
def test_how_a_training_failed_is_told_once(tmp_path, monkeypatch, capfd, text, sentence):
    script(monkeypatch, tmp_path, text)
    assert "2 of 2 trainings failed" in refusal(tmp_path / "out", "decay")
    out = capfd.readouterr().out
    assert out.splitlines()[-1] == f"failed: {BASE}, {DEPTHWISE}: {sentence}"
    assert "decay: none of its trainings is done yet" in out
    assert "how long they take is not known" in out


def test_other_options_are_refused(copied):
    message = refusal(copied, "decay", further=(*FURTHER, "--lr", "0.2"))
    assert message.endswith(
        f"{BASE}/checkpoint.npz was trained with lr 0.4, not 0.2; give the same options, or "
        "another --out"
    )
    message = refusal(copied, "shape", further=(*FURTHER, "--lr", "0.2"))  # shares no training
    assert message.endswith(
        "results.json holds trainings with lr 0.4, not 0.2; give the same options, or another --out"
    )
    assert "base_width 0.04, not 0.1;" in refusal(copied, "shape", "--width", "0.1")
    assert not list(copied.glob("shape*"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["widht"], "expected one of convolution, shape, width, resolution, decay, got 'widht'"),
        (["--seeds", "0"], "expected a whole number from 1 to 1000, got '0'"),
        (["--width", "0.03"], "expected a number from 0.04 to 8, got '0.03'"),
        (["--measure", "--report"], "--measure and --report exclude each other"),
        (["--epoch=3"], "unrecognized arguments: --epoch=3"),
        (["--", "--width=1"], "--width=1, after `--`, is set by this program"),
        (["--", "--out", "x"], "--out, after `--`, is set by this program"),
        (["--", "--lr", "x"], "argument --lr: expected a number from 0 up, got 'x'"),
        (["--", "--weight-decay", "0"], "decay: with --weight-decay 0 there is nothing to compare"),
    ],
)
def test_wrong_options_are_refused(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        ablations.main(arguments)
    assert stop.value.code == 2 and words in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "there is no .*results.json; train first"),
        ("{", "is not a file of results"),
        ('{"format": 1, "machine": {}, "rows": {}}', "it lacks 'options'"),
        ('{"format": 1, "options": {}, "runs": {"a": {}}, "times": null}', "a lacks 'network'"),
        ('{"format": 1, "options": {}, "runs": {}, "times": {}}', "times lacks 'machine'"),
    ],
)
def test_a_report_of_nothing_is_refused(tmp_path, text, words):
    if text is not None:
        (tmp_path / "results.json").write_text(text)
    with pytest.raises(SystemExit, match=words):
        ablations.main(["--report", "--out", str(tmp_path)])


# what is run


def test_every_network_is_trained_once_before_the_second_seed(tmp_path):
    options = ablations.parse_options(["--seeds", "2", "--width", "0.5", "--data-dir", "d"])
    them = trainings(options, tmp_path)
    assert [(one.seed, one.network) for one in them] == [
        (seed, which) for seed in (0, 1) for which in NETWORKS
    ]
    assert len({one.name for one in them}) == 20
    shared = [one.name for one in them[:10] if one.name.startswith("shared")]
    assert shared == ["shared-base-seed0", "shared-width-0.75-seed0"]
    by_name = {one.name: one.options for one in them}
    assert by_name["shared-width-0.75-seed1"].width == 0.375
    assert by_name["resolution-28-seed0"].resolution == 28
    assert by_name["shape-shallow-seed0"].network == "cifar-4x4-shallow"
    assert {one.options.data_dir for one in them} == {"d"}


def test_the_paper_s_costs_are_those_of_its_networks():
    names = {
        "cifar-4x4": "paper",
        "cifar-4x4-shallow": "shallow",
        "cifar-4x4-full-convolution": "full-convolution",
    }
    for _, which, paper in {row[1]: row for s in STUDIES.values() for row in s.rows}.values():
        name, width, resolution = NETWORKS[which].shape
        model = mobilenet.build(names[name], 1000, width)
        size = {32: 224, 28: 192, 24: 160, 20: 128}[resolution]
        if paper:
            cost = summary(model, (3, size, size)).mult_adds
            assert paper[1] == pytest.approx(cost / 1e6, abs=1.5), which


def test_how_long_it_may_take(tmp_path):
    options = ablations.parse_options(["decay", "width", "--seeds", "1", "--epochs", "10"])
    them = trainings(options, tmp_path)
    names = [one.name for one in them]
    assert len(names) == 5
    known = dict.fromkeys(names)
    assert seconds_left(them, known) is None
    known[BASE] = {"done": True, "history": [{"seconds": 10.0}] * 5 + [{"seconds": 20.0}] * 5}
    assert seconds_left(them, known) == pytest.approx(4 * 10 * 15)
    known[DEPTHWISE] = {"done": False, "history": [{"seconds": 5.0}] * 4}
    assert seconds_left(them, known) == pytest.approx(6 * 5 + 3 * 10 * (15 + 5) / 2)
    assert in_words(3660).startswith("about 1 h 01 min more")


# made-up numbers


def made_up(times=None):
    """Results of all networks with the seeds 0 to 2, but of 20 pixels with one seed only."""
    runs = {}
    for place, which in enumerate(NETWORKS):
        for seed, accuracy in enumerate([0.50, 0.52, 0.57][: 1 if which == "20" else 3]):
            runs[f"{which}-{seed}"] = {
                "network": which,
                "seed": seed,
                "classes": 100,
                "mult_adds": 10**7 + place * 10**5,
                "parameters": 1000 + place,
                "val_accuracy": accuracy - 0.01,
                "test_accuracy": accuracy,
            }
    options = {"dataset": "cifar100", "epochs": 12, "base_width": 0.25}
    return {"format": 1, "options": options, "runs": runs, "times": times}


def made_up_times():
    ms = {kind: {"ms_per_image": 0.5 + place} for place, kind in enumerate(KINDS)}
    return {"machine": {"cores": 2}, "threads": 2, "networks": dict.fromkeys(NETWORKS, ms)}


def test_the_numbers_of_a_table():
    table = ablation_figures.table(rows_of(STUDIES["resolution"], made_up()))
    assert table.splitlines() == [
        "|  | mult-adds | parameters | validation | test | seeds | paper: top-1 | "
        "paper: mult-adds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        # the mean of 50, 52 and 57, and the root of (9 + 1 + 16) / 2
        "| 32 | 10 M | 1,000 | 52.00 ± 3.61 | 53.00 ± 3.61 | 3 | 70.6 | 569 M |",
        "| 28 | 10.6 M | 1,006 | 52.00 ± 3.61 | 53.00 ± 3.61 | 3 | 69.1 | 418 M |",
        "| 24 | 10.7 M | 1,007 | 52.00 ± 3.61 | 53.00 ± 3.61 | 3 | 67.2 | 290 M |",
        "| 20 | 10.8 M | 1,008 | 49.00 | 50.00 | 1 | 64.4 | 186 M |",
    ]
    timed = ablation_figures.table(rows_of(STUDIES["decay"], made_up(made_up_times())))
    assert timed.splitlines()[3].endswith("| 53.00 ± 3.61 | 3 | 0.5 | 1.5 | 2.5 |")


def test_a_report_needs_nothing_but_the_results(tmp_path):
    for times, wide in ((None, 1200), (made_up_times(), 2040)):
        ablations.save(tmp_path / "results.json", made_up(times))
        ablations.main(["width", "--report", "decay", "--out", str(tmp_path)])
        for name in ("width", "decay"):
            assert ("ms/image" in (tmp_path / f"{name}.md").read_text()) == bool(times)
            picture = read_png(tmp_path / f"{name}.png")
            assert picture.shape[1] == wide and share_of(picture, curves.TRAIN) > 1e-4
    assert len(list(tmp_path.iterdir())) == 1 + 2 * 2


def test_measured_times(copied, monkeypatch, capfd):
    monkeypatch.setattr(ablations, "EFFORT", SHORT)
    monkeypatch.setattr(turns, "PAUSE", 0)
    for kind, (batch, training) in KINDS.items():
        monkeypatch.setitem(KINDS, kind, (min(batch, 4), training))
    run(copied, "convolution", "--measure")
    times = recorded(copied)["times"]
    assert times["networks"].keys() == NETWORKS.keys() and times["classes"] == 100
    for kind, (batch, _) in KINDS.items():
        for which in NETWORKS:
            one = times["networks"][which][kind]
            assert len(one["seconds"]) == SHORT.rounds
            seconds = statistics.median(s for turn in one["seconds"] for s in turn)
            assert one["ms_per_image"] == pytest.approx(1000 * seconds / batch)
    assert times["networks"]["depthwise"] == times["networks"]["base"]
    assert "ms/image: training step, batch 128" in capfd.readouterr().out


def test_results_from_before_there_was_an_option_are_added_to(tmp_path):
    old, now = {"options": {"lr": 0.4}}, {"lr": 0.4, **SINCE}  # no zoom
    ablations.same_options(old, now, tmp_path)
    with pytest.raises(ablations.BenchmarkError, match="holds trainings with zoom 1.0, not 0.5"):
        ablations.same_options(old, {**now, "zoom": 0.5}, tmp_path)
