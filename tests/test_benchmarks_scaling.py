"""The benchmark of scaling: the model's equations at their limits, and one small row measured."""

import dataclasses
import json
import re

import pytest
from test_benchmarks import SHORT
from test_benchmarks import TINY as ROW

from benchmarks import scaling, scaling_model
from benchmarks.scaling import KINDS, curves, main, work_of
from benchmarks.scaling_model import (
    Cluster,
    Machine,
    Work,
    cores_all_reduce,
    cores_step,
    curve,
    gpus_all_reduce,
    gpus_step,
    ring,
    tree,
)
from benchmarks.turns import LOCAL, OURS, SYNC

TINY = dataclasses.replace(ROW, batch=8)  # a quarter of it is enough for BatchNorm
WORK = Work(overhead=0.0, image=0.01, traffic=1e6, flops=1e9, messages=(4_000_000, 800))
ROOMY = Machine(one_core=1e10, each_core=1e10, socket=1e15, sum_seconds=0.0)
EVEN = {"strong": lambda n: 128 / n, "weak": lambda n: 128}


# rings


def test_the_time_of_a_ring():
    assert ring(1, 1e9, 1e9, 1.0) == 0
    assert ring(2, 1e9, 1e9, 0) == 1  # half of it there, half of it back
    assert ring(4, 0, 1e9, 1e-6) == pytest.approx(6e-6)
    assert ring(4, 1e9, 1e9, 1e-6) == pytest.approx(1.5 + 6e-6)
    assert ring(100_000, 1e9, 1e9, 0) == pytest.approx(2, rel=1e-4)  # its bytes' limit


def test_gpus_reduce_inside_a_machine_and_then_between_machines():
    cluster = Cluster()
    inside = ring(8, 8e6, cluster.inside, cluster.inside_latency)
    assert gpus_all_reduce(1, 8e6, cluster) == 0
    assert gpus_all_reduce(8, 8e6, cluster) == inside
    between = ring(4, 1e6, cluster.between, cluster.between_latency)
    assert gpus_all_reduce(32, 8e6, cluster) == pytest.approx(inside + between)


def test_little_data_goes_between_many_machines_by_trees():
    cluster = Cluster()
    assert tree(1, 8, 1e9, 1.0) == 0
    assert tree(64, 1e9, 1e9, 1e-6) == pytest.approx(2 + 12e-6)
    inside = gpus_all_reduce(8, 800, cluster)
    between = tree(64, 100, cluster.between, cluster.tree_latency)
    assert gpus_all_reduce(512, 800, cluster) == pytest.approx(inside + between)


@pytest.mark.parametrize("n", [2, 8, 64])
def test_exchange_takes_longer_with_more_bytes(n):
    machine, cluster = dataclasses.replace(ROOMY, sum_seconds=1e-5), Cluster()
    sizes = (8, 8_000, 8_000_000, 80_000_000)
    for times in (
        [cores_all_reduce(n, size, machine) for size in sizes],
        [gpus_all_reduce(n, size, cluster) for size in sizes],
    ):
        assert all(before < after for before, after in zip(times, times[1:], strict=False))


# shared memory


def test_the_all_reduce_of_cores_moves_what_the_code_moves():
    rate = Machine(one_core=1.0, each_core=1.0, socket=1e9, sum_seconds=0.0)
    assert cores_all_reduce(1, 100, rate) == 0
    # two workers: each reads and writes its own, reads both slots and writes the sum
    assert cores_all_reduce(2, 100, rate) == pytest.approx(5 * 100)
    # small pieces are added up by everyone, large ones are divided
    assert cores_all_reduce(8, 100, rate) == pytest.approx((2 + 9) * 100)
    assert cores_all_reduce(8, 80_000, rate) == pytest.approx((5 + 1 / 8) * 80_000)


def test_each_piece_waits_for_all_workers():
    machine = Machine(1e30, 1e30, 1e30, sum_seconds=1e-5, sum_workers=2)
    assert cores_all_reduce(2, 8, machine) == pytest.approx(1e-5)
    assert cores_all_reduce(8, 8, machine) == pytest.approx(4e-5)
    assert cores_all_reduce(2, 10 * scaling_model.PIECE, machine) == pytest.approx(1e-4)


# steps


@pytest.mark.parametrize("kind", ["strong", "weak"])
@pytest.mark.parametrize(("step", "place"), [(cores_step, ROOMY), (gpus_step, Cluster())])
def test_one_worker_is_fully_efficient_and_exchanges_nothing(kind, step, place):
    work = dataclasses.replace(WORK, overhead=0.002)
    one = curve(work, EVEN[kind], step, place, (1,))[1]
    assert one["efficiency"] == one["speed_up"] == 1 and one["exchange"] == 0


@pytest.mark.parametrize("kind", ["strong", "weak"])
def test_without_exchange_and_with_memory_enough_cores_are_fully_efficient(kind):
    points = curve(dataclasses.replace(WORK, messages=()), EVEN[kind], cores_step, ROOMY, (1, 64))
    assert points[64]["efficiency"] == pytest.approx(1)
    assert points[1]["ms"] == pytest.approx(1280)


def test_a_step_s_overhead_cannot_be_shared():
    work = dataclasses.replace(WORK, messages=(), overhead=0.64)
    points = curve(work, EVEN["strong"], cores_step, ROOMY, (1, 64))
    assert points[64]["ms"] == pytest.approx(640 + 20)
    assert points[64]["speed_up"] == pytest.approx(1.92 / 0.66)


def test_a_socket_whose_memory_is_full_does_not_grow_faster():
    work = dataclasses.replace(WORK, messages=())  # a core asks for 100 MB/s
    full = dataclasses.replace(ROOMY, socket=4e8)
    points = curve(work, EVEN["weak"], cores_step, full, (1, 2, 4, 8, 64))
    assert [points[n]["speed_up"] for n in (2, 4, 8, 64)] == pytest.approx([2, 4, 4, 4])


def test_a_gpu_is_as_fast_as_the_nearer_of_its_limits():
    cluster = Cluster(flops=1e12, memory=1e10)
    assert gpus_step(WORK, 10, 1, cluster)[0] == pytest.approx(10 * 1e-3)  # arithmetic
    assert gpus_step(WORK, 10, 1, dataclasses.replace(cluster, memory=1e8))[0] == pytest.approx(0.1)


# measured


@pytest.fixture(scope="module")
def measured():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scaling, "COPIED", 1 << 16)
        patch.setattr(scaling.cores, "available", lambda: 2)
        record = scaling.measure(TINY, SHORT)
    return json.loads(json.dumps(record))


@pytest.fixture
def file(measured, tmp_path):
    path = tmp_path / "scaling.json"
    path.write_text(json.dumps({"format": 1, "machine": {}, "rows": {"A": measured}}))
    return path


def test_a_row_is_measured_with_one_and_two_workers(measured):
    assert measured["sizes"] == [2]
    names = [OURS, scaling.FEW, *(f"2 {kind} {one}" for kind, one in KINDS)]
    assert list(measured["times"]) == names
    assert all(one["median_ms"] > 0 for one in measured["times"].values())
    assert len(measured["messages"][SYNC]) > len(measured["messages"][LOCAL]) >= 1
    for name in ("one_core", "each_core", "sum_seconds", "traffic"):
        assert measured[name] > 0
    assert measured["flops"] == 2 * sum(TINY.mult_adds()) / TINY.batch


def made_up(record, ms, few):
    times = {**record["times"], OURS: {"median_ms": ms}, scaling.FEW: {"median_ms": few}}
    return {**record, "times": times}


def test_a_step_is_a_line_through_two_batches(measured):
    work = work_of(made_up(measured, 10.0, 4.0), SYNC)  # of 8 images and of 2
    assert (work.overhead, work.image) == pytest.approx((0.002, 0.001))
    assert work_of(made_up(measured, 10.0, 1.0), SYNC).overhead == pytest.approx(0)
    assert work_of(made_up(measured, 10.0, 11.0), SYNC).image == pytest.approx(0.000125)


def test_strong_scaling_ends_where_a_worker_would_have_no_image(measured):
    modelled = curves(measured, 1e12, Cluster())
    assert list(modelled["cores"]["strong", SYNC]) == [1, 2, 4, 8]
    assert list(modelled["cores"]["weak", SYNC]) == list(scaling_model.CORES)
    assert list(modelled["GPUs"]) == [("weak", SYNC), ("weak", LOCAL)]


def test_the_measured_speed_up_counts_the_images_of_all(measured):
    times = {name: {"median_ms": 10.0} for name in measured["times"]}
    found = scaling.measured({**measured, "times": times})
    assert [(n, kind, images, up) for n, kind, _, images, _, up in found] == [
        *[(2, "strong", 8, 1.0)] * 2,
        *[(2, "weak", 16, 2.0)] * 2,
    ]


def test_a_file_is_modelled_without_measuring(file, monkeypatch, capsys):
    monkeypatch.setattr(scaling, "measure", None)
    main(["--from", str(file), "--socket-gb-per-s", "123", "--gpu-gb-per-s", "2000"])
    printed = capsys.readouterr().out
    assert "a model, not a measurement" in printed
    assert "a socket's memory 123 GB/s" in printed and "a GPU's 2 TB/s" in printed
    assert re.search(r"^ +512 ", printed, re.MULTILINE)
    assert file.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_the_command_measures_and_writes(measured, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(scaling, "measure", lambda row, effort: measured)
    main(["a", "--out", str(tmp_path)])
    (path,) = tmp_path.glob("scaling-*.json")
    assert json.loads(path.read_text())["rows"] == {"A": measured}
    assert path.with_suffix(".png").exists() and "measuring A" in capsys.readouterr().out


@pytest.mark.parametrize("found", [None, {"rows": {}}, {"rows": {"A": {"best": None}}}])
def test_a_file_without_measurements_of_scaling_is_refused(tmp_path, found):
    path = tmp_path / "other.json"
    if found is not None:
        path.write_text(json.dumps({"format": 1, "machine": {}, **found}))
    with pytest.raises(SystemExit, match="other.json holds no such measurements"):
        main(["--from", str(path)])


def test_a_row_of_inference_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["F"])
    assert "expected one of A, B, C, D, got 'F'" in capsys.readouterr().err
