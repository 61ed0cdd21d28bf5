"""The GPU's benchmarks where there is no GPU: what they compute, write and say, and how they fail.

Nothing looks at times.
"""

import json
import subprocess
import sys

import pytest
from device.fake_device import TINY, FakeDevice, stand_in  # noqa: F401

import benchmarks.gpu as gpu
import tinynet as tn
from benchmarks import gpu_checks, gpu_crew, gpu_report, gpu_steps, gpu_train
from benchmarks.gpu_torch import by_kernel
from benchmarks.gpu_worker import Network
from benchmarks.rows import GPU_ROWS
from benchmarks.turns import CHANNELS_LAST, DEFAULT, OURS, ROOT, BenchmarkError, Effort

SHORT = Effort(rounds=2, turn_seconds=0, warm_up_steps=1, profile_steps=1)


# without a GPU


@pytest.mark.skipif(tn.cuda_available(), reason="there is a GPU")
def test_without_a_gpu_it_is_one_sentence(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "--out", str(tmp_path / "r.json")],
        cwd=ROOT,
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
    """Members of the crew that answer as told, in place of processes."""

    def __init__(self, seconds, reserved):
        self.seconds, self.reserved, self.asked = seconds, reserved, []

    def call(self, *names):
        pass

    def member(self, name):
        return gpu_crew.Member(self, name)

    def ask(self, name, do, /, **arguments):
        self.asked.append((name, do))
        return answers(self.seconds[name], self.reserved[name], **arguments)[do]


def answers(seconds, reserved, count=1, **_):
    """What a member says whose steps take so many seconds."""
    return {
        "start": {"parameters": 5, "cuda": "12.9", "cudnn": 91000},
        "steps": [seconds],
        "blocks": [1.0] + [seconds] * (count - 1),
        "launches": [seconds / 2],
        "memory": {"reserved_mb": reserved, "used_mb": 1.0},
        "release": None,
        "profile": [{"name": "gemm", "calls": 27.0, "us": 1500.0}],
    }


def test_a_row_of_steps():
    crew = Scripted(
        {gpu_crew.OURS_TF32: 0.02, DEFAULT: 0.05, CHANNELS_LAST: 0.03},
        {gpu_crew.OURS_TF32: 11.0, DEFAULT: 12.0, CHANNELS_LAST: 10.0},
    )
    record = gpu_steps.measure(TINY, True, crew, SHORT)
    assert record["best"] == CHANNELS_LAST
    assert record["ratio"]["ratio"] == pytest.approx(1.5)  # the cold first block does not count
    assert record["met"] == {"ratio": True, "reserved": False, "used": True}
    assert record["times"][OURS]["images_per_second"] == pytest.approx(4 / 0.02)
    assert record["times"][OURS]["launch_ms"] == pytest.approx(10)
    order = [name for name, do in crew.asked if do == "blocks"]
    names = [gpu_crew.OURS_TF32, DEFAULT, CHANNELS_LAST]
    assert order == [*names, *names[1:], names[0]]
    json.dumps(record, allow_nan=False)
    text = gpu_report.step_text({"rows": {"H, TF32": record}})
    assert "1.50 (1.50-1.50)" in text and "not reserved" in text and "11/10" in text


@pytest.mark.usefixtures("stand_in")
def test_our_steps_on_the_device():
    network = Network(FakeDevice())
    network.start(TINY.message())
    assert {p.device for p in network.model.parameters()} == {"cuda"}
    before = network.model.classifier.weight.to("cpu").numpy().copy()
    assert len(network.steps(1)) == 1
    assert len(network.blocks(count=2, size=1)) == 2 and len(network.launches(1)) == 1
    assert (network.model.classifier.weight.to("cpu").numpy() != before).any()
    assert network.memory(1) == {"reserved_mb": 3.0, "used_mb": 2.0}


def test_kernels_of_a_profile_are_summed():
    events = [("a", 2.0), ("b", 10.0), ("a", 4.0), ("a", 6.0), ("a", 8.0), ("b", 12.0)]
    assert by_kernel(events, steps=2) == [
        {"name": "b", "calls": 1, "us": 11},
        {"name": "a", "calls": 2, "us": 10},
    ]


def test_the_rows_are_those_of_the_targets():
    rows = [(row.network, row.width, row.size, row.batch) for row in GPU_ROWS.values()]
    assert rows[:2] == [("cifar-4x4", 1.0, 32, 128), ("cifar-4x4", 1.0, 32, 512)]
    assert rows[2:] == [("paper", 1.0, 224, 128)]
    assert all(row.target_best == 1 and row.train for row in GPU_ROWS.values())


# the crew


@pytest.mark.parametrize(("limit", "said"), [(60, "needs CuPy"), (0.05, "no answer within")])
@pytest.mark.skipif(tn.cuda_available(), reason="there is a GPU")
def test_who_fails_or_falls_silent_is_dismissed(limit, said):
    with gpu_crew.Crew(limit) as crew:
        with pytest.raises(BenchmarkError, match=said):
            crew.ask(OURS, "copy_rate")
        assert not crew.workers


# training


def test_epochs_end_in_time():
    assert gpu_train.epochs_in(100, 5, 9) == 10  # 95 % of 95 s
    assert gpu_train.epochs_in(10, 20, 5) == 1


def test_a_training_ends_with_the_schedule(tmp_path):
    quick = ["--dataset", "shapes", "--per-class", "2", "--val-per-class", "1"]
    quick += ["--width", "0.05", "--network", "paper", "--batch-size", "50", "--device", "cpu"]
    found = gpu_train.train(0, quick, tmp_path)
    assert len(found["epochs"]) == 1 and 0 <= found["test_accuracy"] <= 1
    assert (tmp_path / "checkpoint.npz").exists() and not (tmp_path / "trial").exists()
    part = {"data": "shapes", "tf32": False, **json.loads(json.dumps(found))}
    assert "1 epochs in" in gpu_report.train_text(part)


# the command


class FakeCrew(gpu_crew.Crew):
    """Its members are functions in this process."""

    def call(self, *names):
        pass

    def ask(self, name, do, /, **arguments):
        if do in self.broken:
            error = BenchmarkError(f"the process of {name} died: CUDA_ERROR_ILLEGAL_ADDRESS")
            error.said = ["Traceback", "CUDA_ERROR_ILLEGAL_ADDRESS"]
            raise error
        return {
            "check": [gpu_checks.result("output 0", self.error, 1e-4)],
            "record": [
                {"kernel": "k", "on": "2x3", "calls": 4, "bytes": 20_000_000, "small": False}
            ],
            "copy_rate": 2e9,
            "kernel": [0.04, 0.05],
            **answers(0.02 if name.startswith(OURS) else 0.05, 1.0, **arguments),
        }[do]


@pytest.fixture
def command(monkeypatch, tmp_path, stand_in):  # noqa: F811
    """Runs the command with members that answer `error` and are `broken` where told."""

    def run(*arguments, error=1e-6, broken=()):
        monkeypatch.setattr(gpu, "Device", FakeDevice)
        monkeypatch.setattr(gpu, "Crew", FakeCrew)
        monkeypatch.setattr(FakeCrew, "error", error, raising=False)
        monkeypatch.setattr(FakeCrew, "broken", broken, raising=False)
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
    assert "stand-in, compute capability 9.0" in printed
    assert f"{len(gpu_checks.CHECKS)} of {len(gpu_checks.CHECKS)} results passed" in printed
    assert "under target" in printed and "22%" in printed  # 20 MB in 45 ms, beside 2 GB/s


def test_steps_and_profiles_of_all_rows(command, capsys, monkeypatch):
    monkeypatch.setattr(gpu_steps, "QUICK", SHORT)
    status, found = command("--only", "step", "--quick")
    assert status == 0
    rows = [f"{name}, {mode}" for name in GPU_ROWS for mode in ("float32", "TF32")]
    assert list(found["parts"]["step"]["rows"]) == rows
    assert list(found["parts"]["step"]["profiles"]) == rows
    printed = capsys.readouterr().out
    assert "2.50 (2.50-2.50)" in printed and "1.50/1.50" in printed and "27/27" in printed
    assert "27.0 calls  gemm" in printed


def test_a_profile_that_fails_costs_nothing_else(command, capsys, monkeypatch):
    monkeypatch.setattr(gpu_steps, "QUICK", SHORT)
    status, found = command("--only", "step", "--quick", broken=("profile",))
    assert status == 1 and len(found["parts"]["step"]["rows"]) == 6
    assert "2.50 (2.50-2.50)" in capsys.readouterr().out


@pytest.mark.parametrize(("error", "text"), [(1e-3, "1.0e-03"), (None, "not a number")])
def test_a_check_that_is_not_passed_ends_with_status_1(command, capsys, error, text):
    status, found = command("--only", "check", "--quick", error=error)
    assert status == 1 and found["errors"] == []
    assert f"NOT PASSED SGD, float32: output 0: {text}, at most 0.0001" in capsys.readouterr().out


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
