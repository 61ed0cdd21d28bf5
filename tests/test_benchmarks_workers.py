"""Benchmarks of processes that share a batch: what is said of them, and that all of them end."""

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_benchmarks import SHORT, TINY, small_products  # noqa: F401  (a fixture)

import mobilenet
from benchmarks import chart, loop, report, turns, worker
from benchmarks.__main__ import main, parse_options, workers_for
from benchmarks.results import BenchmarkError
from benchmarks.rows import ROWS
from benchmarks.tinynet_worker import Stopwatch
from benchmarks.turns import (
    CHANNELS_LAST,
    DEFAULT,
    LOCAL,
    OURS,
    OURS_APART,
    OURS_LOCAL,
    OURS_SYNC,
    SHARED,
    SYNC,
    THEIRS,
    crew,
    measure,
)
from tinynet import cores, parallel
from tinynet.training import History


def test_the_answer_of_several_is_that_of_the_slowest_and_the_sum_of_their_memory():
    assert worker.together([[1.0, 2.0], [0.5, 3.0]]) == [0.5, 3.0]
    facts = [{"peak_mb": 3.0}, {"peak_mb": 4.5}]
    assert worker.together(facts) == {"peak_mb": 7.5}
    assert worker.together([{"peak_mb": 3.0}, {"peak_mb": None}]) == {"peak_mb": None}
    assert worker.together([7, 7]) == 7


def test_a_team_asks_all_before_it_waits_for_one():
    heard = []

    class One:
        def __init__(self, name):
            self.name = name

        def send(self, do, **arguments):
            heard.append((self.name, do, arguments))

        def answer(self):
            heard.append(self.name)
            return [float(self.name)]

        def __enter__(self):
            return self

        def __exit__(self, *_):
            heard.append("end")

    with turns.Team([One("1"), One("2")]) as team:
        assert team.ask("steps", count=3) == [2.0]
    asked = [("1", "steps", {"count": 3}), ("2", "steps", {"count": 3})]
    assert heard == [*asked, "1", "2", "end", "end"]


# one small row, measured


WITHOUT = (OURS, DEFAULT, CHANNELS_LAST)  # who is timed without workers


@pytest.fixture(scope="module")
def shared():
    return measure(TINY, SHORT, threads=1, workers=2)


def test_a_row_is_measured_with_two_workers(shared):
    times, workers = shared["times"], shared["workers"]
    assert list(times) == [*WITHOUT, *SHARED, *THEIRS]
    assert all([len(s) for s in one["seconds"]] == [1, 1] for one in times.values())
    medians = {name: one["median_ms"] for name, one in times.items()}
    assert shared["best"] in (DEFAULT, CHANNELS_LAST)
    assert medians[workers["best"]] == min(medians[name] for name in THEIRS)
    assert workers["count"] == 2
    for kind, ours in ((SYNC, OURS_SYNC), (LOCAL, OURS_LOCAL)):
        found = workers[kind]
        assert found["one"]["ratio"] == pytest.approx(medians[shared["best"]] / medians[ours])
        assert found["many"]["ratio"] == pytest.approx(medians[workers["best"]] / medians[ours])
        assert found["exchange"] == pytest.approx(medians[ours] / medians[OURS_APART] - 1)
        assert found["exchange_ms"] > 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process's own peak")
def test_the_memory_is_that_of_all_workers(shared):
    peaks = {name: one["peak_mb"] for name, one in shared["times"].items()}
    assert peaks[OURS_SYNC] > 1.5 * peaks[OURS]
    assert all(peaks[name] > 1.5 * peaks[CHANNELS_LAST] for name in THEIRS)


def test_the_table_of_rows_with_workers(shared):
    record = json.loads(json.dumps(shared))
    workers, best = record["workers"], record["workers"]["best"]
    record["row"]["target_workers"] = 2.3
    workers[LOCAL] |= {
        "one": {"ratio": 2.31, "quartiles": [2.2, 2.4]},
        "many": {"ratio": 0.98, "quartiles": [0.9, 1.1]},
        "exchange": 0.123,
    }
    workers[SYNC]["exchange"] = 0.04
    for name, peak in ((OURS, 99.0), (DEFAULT, 300.0), (CHANNELS_LAST, 100.0), (best, 500.0)):
        record["times"][name]["peak_mb"] = peak
    record["times"][OURS_LOCAL]["peak_mb"] = 501.0
    assert report.missed(record) == ["many", "memory"]
    line, *notes = report.table({"T": record}).splitlines()[2:6]
    assert "2.31 / 2.3 (2.20-2.40)" in line and "0.98 / 1.0 (0.90-1.10)" in line
    assert "12%/4%" in line and "501/500" in line and line.endswith("not many, memory")
    assert "2 workers" in notes[0] and best in notes[1] and "by op: " in notes[2]
    workers[LOCAL]["many"]["ratio"], record["times"][OURS_LOCAL]["peak_mb"] = 1.0, 499.0
    assert report.missed(record) == []
    record["times"][OURS]["peak_mb"] = 101.0
    assert report.missed(record) == ["memory"]
    workers[LOCAL]["one"]["ratio"] = 2.29
    assert report.missed(record) == ["one", "memory"]


def test_rows_with_and_without_workers_stand_in_two_tables(shared):
    alone = {**shared, "workers": None, "times": {n: shared["times"][n] for n in WITHOUT}}
    both = report.table({"T": shared, "U": alone})
    assert both.index(report.SHARED_LEGEND) < both.index(report.LEGEND)
    before = {name: value for name, value in alone.items() if name != "workers"}  # older files
    assert report.table({"U": before}) == report.table({"U": alone})


def test_the_bars_of_a_row(shared):
    bars = chart.bars_of(shared)
    assert [name for name, *_ in bars] == list(chart.BARS)
    targets = {name: target for name, _, target in bars if target is not None}
    assert targets == {shared["best"]: 1.0, chart.MANY: 1.0}
    best = shared["times"][shared["workers"]["best"]]["median_ms"]
    assert bars[-1] == (chart.MANY, best, 1.0)
    alone = {**shared, "workers": None, "times": {n: shared["times"][n] for n in WITHOUT}}
    assert [name for name, *_ in chart.bars_of(alone)] == list(WITHOUT)


def test_the_command_shares_a_row_without_torch(capsys):
    main(["T", "--quick", "--rounds", "1", "--ours-only", "--workers", "2"], {"T": TINY})
    printed = capsys.readouterr().out
    assert report.SHARED_LEGEND in printed and ", 2 workers; " in printed and "- / 1.0" in printed


# the processes of a crew


def children(pid):
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pids, within=20):
    until = time.monotonic() + within
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("end", ["stop", "kill", "input"])
def test_all_of_a_crew_end(end):
    with crew(2, 1) as ours:
        ours.ask("start", row=TINY.message(), exchange=SYNC)
        pids = children(ours.process.pid)
        assert len(pids) >= 2
        if end == "kill":
            ours.process.kill()
        elif end == "input":
            ours.process.stdin.close()
            assert ours.process.wait(20) == 0
        else:
            ours.stop()
        assert gone(pids)


def test_a_worker_that_fails_ends_the_crew_with_its_reason():
    with crew(2, 1) as ours, pytest.raises(BenchmarkError, match=r"died: worker \d: Attribute.*no"):
        ours.ask("nothing")


def test_the_exchange_of_a_step_is_timed_and_counted():
    class Slow(parallel.Group):
        def begin(self, *arrays):
            watched.append(arrays)
            return lambda: watched.append("finished")

    watched, group = [], Stopwatch(Slow())
    one = SimpleNamespace(nbytes=12)
    group.all_reduce(one, one)
    group.begin(one)()
    assert watched == [(one, one), "finished", (one,), "finished"]
    assert group.messages == [24, 12] and group.seconds > 0


def test_only_batchnorm_over_the_whole_batch_sends_its_sums():
    with crew(2, 1) as sync, crew(2, 1) as local:
        for one, exchange in ((sync, SYNC), (local, LOCAL)):
            one.ask("start", row=TINY.message(), exchange=exchange)
        sync, local = (one.ask("exchanged", count=1)["messages"] for one in (sync, local))
    # 27 layers, forward and backward; once more where a mean is far from 0
    assert 2 * 27 <= len(sync) - len(local) <= 3 * 27
    model = mobilenet.build(TINY.network, TINY.classes, TINY.width)
    # every gradient, for each parameter whether it has one, and whether the job is to stop
    assert sum(local) == sum(4 * (p.numel() + 1) for p in model.parameters()) + 4


# options


@pytest.mark.parametrize(
    ("row", "asked", "have", "expected"),
    [("A", [], 2, 2), ("A", [], 64, 8), ("D", [], 64, 2), ("F", [], 64, 1)]
    + [("A", ["--workers", "3"], 2, 3), ("A", ["--workers", "1"], 2, 1)],
)
def test_how_many_workers_share_a_row(monkeypatch, row, asked, have, expected):
    monkeypatch.setattr(cores, "available", lambda: have)
    assert workers_for(parse_options(asked, ROWS), ROWS[row]) == expected


@pytest.mark.parametrize("count", ["0", "two", "999"])
def test_a_number_of_workers_that_cannot_be_is_refused(count, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["T", "--quick", "--workers", count], {"T": TINY})
    assert "--workers" in f"{stopped.value.code} {capsys.readouterr().err}"


# the training script


def test_the_training_script_is_run_in_turns_and_its_last_epoch_counts(monkeypatch):
    commands, rates = [], iter([100.0, 150.0, 170.0, 110.0])

    def run(command, **_):
        commands.append(command)
        history = History()
        for epoch, rate in enumerate((1.0, next(rates))):
            history.append(epoch=epoch, images_per_second=rate)
        history.write_csv(Path(command[command.index("--out") + 1]) / "history.csv")
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    found = loop.train_rates([1, 2], 2, loop.training(None, few=False))
    order = [command[command.index("--workers") + 1] for command in commands]
    assert order == ["1", "2", "2", "1"] and all("shapes" in command for command in commands)
    assert found["images_per_second"] == {"1": 105.0, "2": 160.0}
    assert "105 with 1, 160 with 2 (1.52 times)" in report.train_rates_text(found)


def test_the_training_script_itself_is_run(tmp_path):
    tiny = ["--network", "paper", "--width", "0.05", "--per-class", "2", "--val-per-class", "1"]
    tiny += ["--dataset", "shapes", "--epochs", "1", "--batch-size", "20"]
    (rate,) = loop.train_rates([2], 1, tiny)["images_per_second"].values()
    assert rate > 0
    with pytest.raises(BenchmarkError, match="^train_cifar100.py: .*missing"):
        loop.train_rates([1], 1, loop.training(str(tmp_path / "missing"), few=True))
