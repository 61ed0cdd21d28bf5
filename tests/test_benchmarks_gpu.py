"""The GPU's benchmarks where there is no GPU: what they compute, write and say, and how they fail.

Nothing looks at times.
"""

import json
import os
import subprocess
import sys

import pytest
from device.fake_device import TINY, FakeDevice, stand_in  # noqa: F401

from benchmarks import gpu, gpu_checks, gpu_kernels, report
from benchmarks.results import ROOT, BenchmarkError
from benchmarks.rows import GPU_ROWS
from benchmarks.turns import CHANNELS_LAST, DEFAULT, OURS, Effort

NO_GPU = {"CUDA_VISIBLE_DEVICES": ""}
SHORT = Effort(rounds=2, turn_seconds=0, warm_up_seconds=0, profile_steps=1)


# without a GPU


def test_without_a_gpu_it_is_one_sentence(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "--out", str(tmp_path / "r.json")],
        cwd=ROOT,
        env={**os.environ, **NO_GPU},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and done.stdout == "" and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(
        ("benchmarks.gpu: the device 'cuda' needs CuPy", "benchmarks.gpu: CuPy")
    )
    assert not (tmp_path / "r.json").exists()


# steps


class Scripted:
    """A worker that answers as told, in place of a process. asked: (name, task, arguments)."""

    process = None

    def __init__(self, name, asked, answers):
        self.name, self.asked, self.answers = name, asked, answers

    def send(self, do, **arguments):
        self.asked.append((self.name, do, arguments))
        self.reply = self.answers(do, **arguments)

    def answer(self):
        return self.reply

    def ask(self, do, **arguments):
        self.send(do, **arguments)
        return self.answer()

    def stop(self):
        pass


def answers(seconds, reserved):
    """What a worker says whose steps take so many seconds."""

    def answer(do, count=1, **_):
        return {
            "start": 5,
            "steps": [1.0] + [seconds] * (count - 1) if count > 1 else [seconds],
            "facts": {"peak_mb": reserved, "launch_ms": 500 * seconds},
        }[do]

    return answer


def test_a_row_of_steps():
    seconds = {OURS: 0.02, DEFAULT: 0.05, CHANNELS_LAST: 0.03}
    reserved = {OURS: 11.0, DEFAULT: 12.0, CHANNELS_LAST: 10.0}
    asked = []
    workers = {
        name: Scripted(name, asked, answers(seconds[name], reserved[name])) for name in seconds
    }
    record = gpu.measure(TINY, True, workers, SHORT)
    assert record["best"] == CHANNELS_LAST
    # the cold first block does not count
    assert record["ratio_best"]["ratio"] == pytest.approx(1.5)
    assert report.missed(record) == ["memory"]
    assert record["times"][OURS]["launch_ms"] == pytest.approx(10)
    names = [OURS, DEFAULT, CHANNELS_LAST]
    order = [name for name, do, _ in asked if do == "steps"]
    assert order == [*names, *names, *names[1:], names[0]]  # warm-up, then two rounds
    starts = {name: arguments for name, do, arguments in asked if do == "start"}
    assert all(one["tf32"] and one["device"] == "cuda" for one in starts.values())
    assert "memory_format" not in starts[OURS]
    assert [starts[name]["memory_format"] for name in names[1:]] == [
        "contiguous_format",
        "channels_last",
    ]
    json.dumps(record, allow_nan=False)
    text = report.step_text({"rows": {"H, TF32": record}})
    assert "1.50 / 1.0 (1.50-1.50)" in text and "2.50 / 1.0 (2.50-2.50)" in text
    assert "not memory" in text and "11/12/10" in text
    assert "launch: 10.00/25.00/15.00 ms; 200 images/s" in text  # 4 in 0.02 s


def test_networks_that_differ_in_size_are_refused():
    workers = {
        name: Scripted(name, [], lambda do, size=size, **_: size)
        for size, name in enumerate((OURS, DEFAULT, CHANNELS_LAST))
    }
    with pytest.raises(BenchmarkError, match="not the same size"):
        gpu.measure(TINY, False, workers, SHORT)


@pytest.mark.usefixtures("stand_in")
def test_our_steps_on_the_device():
    network = gpu_kernels.Network(FakeDevice())
    assert network.start(TINY.message(), "cuda") > 0
    assert {p.device for p in network.model.parameters()} == {"cuda"}
    before = network.model.classifier.weight.to("cpu").numpy().copy()
    assert len(network.steps(count=2, size=1)) == 2
    assert (network.model.classifier.weight.to("cpu").numpy() != before).any()
    facts = network.facts(1)
    assert facts["peak_mb"] == 3.0 and facts["launch_ms"] > 0


def test_the_rows_are_those_of_the_targets():
    rows = [(row.network, row.width, row.size, row.batch) for row in GPU_ROWS.values()]
    assert rows[:2] == [("cifar-4x4", 1.0, 32, 128), ("cifar-4x4", 1.0, 32, 512)]
    assert rows[2:] == [("paper", 1.0, 224, 128)]
    assert all(row.target_best == 1 and row.train for row in GPU_ROWS.values())


def test_the_workers_of_the_gpu_are_there():
    for module in {worker.module for worker in gpu.team().values()}:
        assert (ROOT / (module.replace(".", "/") + ".py")).exists()
    worker = gpu.team()[OURS]
    worker.environment |= NO_GPU
    with pytest.raises(BenchmarkError, match="CuPy"):
        worker.ask("copy_rate")
    assert worker.process is None


# training


@pytest.mark.parametrize(("seconds", "expected"), [(135, 10), (25, 1)])
def test_epochs_end_in_time(tmp_path, monkeypatch, seconds, expected):
    """Two epochs of 9 s and 5 s to prepare leave 135 - 23 s, and the second run prepares again:
    90 % of 107 s."""
    asked, clock = [], iter((0, 23, seconds))

    def run_script(out, epochs, arguments, limit):
        asked.append((epochs, limit))
        out.mkdir(exist_ok=True)
        return {"history": {"rows": [{"seconds": 9}] * 2}, "test_accuracy": 0.5}

    monkeypatch.setattr(gpu, "run_script", run_script)
    monkeypatch.setattr(gpu.time, "perf_counter", lambda: next(clock))
    gpu.trained(seconds, [], tmp_path)
    assert [epochs for epochs, _ in asked] == [2, expected]
    assert asked[1][1] == seconds - 23 + gpu.LATE


SMALL = ["--dataset", "shapes", "--per-class", "2", "--val-per-class", "1", "--width", "0.05"]
SMALL += ["--network", "paper", "--batch-size", "50", "--device", "cpu"]


def test_a_training_ends_with_the_schedule(tmp_path):
    found = gpu.trained(0, SMALL, tmp_path)
    assert len(found["epochs"]) == 1 and 0 <= found["test_accuracy"] <= 1
    assert (tmp_path / "checkpoint.npz").exists() and not (tmp_path / "trial").exists()
    text = report.train_text(json.loads(json.dumps(found)))
    assert "1 epochs in" in text and "--dataset shapes" in text


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((), "--width 1 --batch-size 512 --dataset shapes --per-class 500"),
        (("--", "--data-dir", "d"), "--width 1 --batch-size 512 --data-dir d"),
    ],
)
def test_options_of_the_training_are_passed_on(command, monkeypatch, given, expected):
    asked = []
    monkeypatch.setattr(gpu, "trained", lambda *arguments: asked.append(arguments) or {})
    status, _ = command("--only", "train", "--minutes", "7", *given)
    ((seconds, arguments, out),) = asked
    assert status == 0 and seconds == 420 and out.name == "r"
    assert " ".join(arguments) == f"{expected} --device cuda --tf32 --overwrite"


def test_a_training_that_fails_or_takes_too_long_is_told(tmp_path):
    with pytest.raises(BenchmarkError, match="ended with status 2, see above"):
        gpu.run_script(tmp_path, "x", [], 60)
    with pytest.raises(BenchmarkError, match="stopped after 0 s"):
        gpu.run_script(tmp_path, 1, SMALL, 0.05)


# the command


@pytest.fixture
def command(monkeypatch, tmp_path, stand_in):  # noqa: F811
    """Runs the command with workers that answer `error` and are `broken` where told."""

    def run(*arguments, error=1e-6, broken=()):
        def answer(name):
            usual = answers(0.02 if name.startswith(OURS) else 0.05, 1.0)
            entry = {"kernel": "k", "on": "2x3", "calls": 4, "bytes": 20_000_000, "small": False}
            special = {
                "check": [gpu_checks.result("output", error, 1e-4)],
                "record": [entry],
                "copy_rate": 2e9,
                "kernel": [0.04, 0.05],
            }

            def reply(do, **arguments):
                if do in broken:
                    said = ["Traceback", "CUDA_ERROR_ILLEGAL_ADDRESS"]
                    raise BenchmarkError(f"the process of {name} died: {said[1]}", said)
                return special[do] if do in special else usual(do, **arguments)

            return reply

        monkeypatch.setattr(gpu, "Device", FakeDevice)
        team = {name: Scripted(name, [], answer(name)) for name in gpu.team()}
        monkeypatch.setattr(gpu, "team", lambda: team)
        status = 0
        try:
            gpu.main(["--out", str(tmp_path / "new" / "r.json"), *arguments])
        except SystemExit as end:
            status = end.code
        return status, json.loads((tmp_path / "new" / "r.json").read_text())

    return run


def test_what_was_found_is_written_and_told(command, capsys):
    status, found = command("--only", "check", "kernels", "--quick")
    assert status == 0 and found["errors"] == []
    assert found["machine"]["device"] == "stand-in"
    assert len(found["parts"]["check"]["results"]) == len(gpu_checks.CHECKS)
    assert found["parts"]["kernels"]["rows"]["H"]["entries"][0]["us"] == pytest.approx(45_000)
    printed = capsys.readouterr().out
    assert "device stand-in, CuPy 14, no torch" in printed
    assert f"{len(gpu_checks.CHECKS)} of {len(gpu_checks.CHECKS)} results passed" in printed
    assert (
        "under the target of 70%" in printed and "22%" in printed
    )  # 20 MB in 45 ms, beside 2 GB/s


def test_steps_of_all_rows(command, capsys, monkeypatch):
    monkeypatch.setattr(gpu, "QUICK", SHORT)
    status, found = command("--only", "step", "--quick")
    assert status == 0
    rows = [f"{name}, {mode}" for name in GPU_ROWS for mode in ("float32", "TF32")]
    assert list(found["parts"]["step"]["rows"]) == rows
    printed = capsys.readouterr().out
    assert "2.50 / 1.0 (2.50-2.50)" in printed and "launch: 10.00/25.00/25.00 ms" in printed


@pytest.mark.parametrize(("error", "text"), [(1e-3, "1.0e-03"), (None, "not a number")])
def test_a_check_that_is_not_passed_ends_with_status_1(command, capsys, error, text):
    status, found = command("--only", "check", "--quick", error=error)
    assert status == 1 and found["errors"] == []
    assert f"NOT PASSED linear, float32: output: {text}, at most 0.0001" in capsys.readouterr().out


def test_a_part_that_fails_leaves_the_others(command, capsys):
    status, found = command("--only", "check", "kernels", "--quick", broken=("check",))
    assert status == 1 and len(found["errors"]) == len(gpu_checks.CHECKS)
    assert found["errors"][0]["part"] == "check" and found["errors"][0]["said"]
    assert "H" in found["parts"]["kernels"]["rows"]
    assert "CUDA_ERROR_ILLEGAL_ADDRESS" in capsys.readouterr().out


def test_parts_join_a_file_and_replace_only_themselves(command):
    command("--only", "check", "--quick", error=1.0)
    status, found = command("--only", "kernels", "--quick", broken=("record",))
    assert status == 1 and [one["part"] for one in found["errors"]] == ["kernels"]
    assert found["parts"]["check"]["results"][0]["error"] == 1.0
    status, found = command("--only", "kernels", "check", "--quick")
    assert status == 0 and not found["errors"]


@pytest.mark.usefixtures("stand_in")
def test_a_file_that_cannot_be_written_is_one_sentence(command, tmp_path, monkeypatch):
    (tmp_path / "new").write_text("")
    monkeypatch.setattr(gpu, "Device", FakeDevice)
    with pytest.raises(SystemExit, match="benchmarks.gpu: .*new"):
        gpu.main(["--out", str(tmp_path / "new" / "r.json")])
