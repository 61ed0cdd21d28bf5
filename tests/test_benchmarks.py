"""The benchmarks: what they compute, print and write, and how they fail. Nothing looks at times."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import assert_same

import mobilenet
import tinynet as tn
from benchmarks import chart, loop, profile, report, results, torch_worker, turns
from benchmarks.results import BenchmarkError
from benchmarks.rows import ROWS, Row
from benchmarks.tinynet_worker import Network
from benchmarks.turns import CHANNELS_LAST, DEFAULT, OURS, Effort, measure
from tinynet.autograd import Function, observe

ROOT = Path(__file__).resolve().parent.parent
TINY = Row("T", "paper", 0.05, 32, 4, 10, True, 1.3, 2.5, True)
SHORT = Effort(rounds=2, turn_seconds=0, warm_up_seconds=0, profile_steps=1)


# statistics


def test_statistics_of_made_up_times():
    rounds = [[0.010, 0.020], [0.030, 0.040, 0.050]]
    found = results.describe(rounds)
    assert found["seconds"] == rounds
    assert found["median_ms"] == pytest.approx(30)
    assert results.quartiles(x for one in rounds for x in one) == pytest.approx([0.02, 0.03, 0.04])


def test_ratio_is_theirs_over_ours_and_its_spread_that_of_the_rounds():
    ours = [[1.0], [2.0], [1.0], [1.0], [1.0]]
    theirs = [[2.0], [2.0], [3.0], [4.0], [5.0]]
    found = results.ratio(theirs, ours)
    assert found["ratio"] == 3
    assert found["quartiles"] == [2, 4]  # of 2, 1, 3, 4, 5


# rows


def test_the_rows_cost_what_the_paper_says():
    products, depthwise = ROWS["E"].mult_adds()  # batch 1, forward only
    assert products + depthwise == 568_740_352
    assert depthwise / (products + depthwise) == pytest.approx(0.0306, abs=5e-5)
    stem = 112 * 112 * 32 * 27
    assert ROWS["D"].mult_adds() == (32 * (3 * products - stem), 32 * 3 * depthwise)
    forward = dataclasses.replace(ROWS["C"], train=False).mult_adds()
    assert round(sum(forward) / 128 / 1e6, 2) == 45.36


def test_the_table_of_rows_is_the_one_of_the_targets():
    assert list(ROWS) == list("ABCDEF") and all(row.name == name for name, row in ROWS.items())
    assert [name for name, row in ROWS.items() if row.memory_target] == ["A", "C", "D"]
    assert [name for name, row in ROWS.items() if not row.train] == ["E", "F"]
    assert ["BatchNorm folded" in row.what for row in ROWS.values()] == [False] * 4 + [True] * 2


def test_a_network_that_the_twin_cannot_build_is_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'activation'"):
        dataclasses.replace(TINY, network="stl10").message()


@pytest.mark.parametrize(
    "row", [TINY, dataclasses.replace(TINY, network="cifar-4x4", width=0.1)], ids=("paper", "4x4")
)
def test_the_twin_has_our_parameters_and_with_our_weights_our_logits(row, rng):
    ours = mobilenet.build(row.network, row.classes, row.width)
    theirs = torch_worker.twin(row.layers())
    state = theirs.state_dict()
    assert len(state) == len(ours.state_dict())
    copied = zip(state, map(np.asarray, ours.state_dict().values()), strict=True)
    theirs.load_state_dict({name: torch.tensor(array) for name, array in copied})
    x = rng.standard_normal((row.batch, 3, row.size, row.size), dtype=np.float32)
    assert_same(ours(tn.Tensor(x)), theirs(torch.tensor(x)), "logits", rtol=1e-3, atol=1e-4)


def test_all_rows_have_twins_of_their_size():
    for row in ROWS.values():
        with torch.device("meta"):
            theirs = torch_worker.twin(row.layers())
        ours = mobilenet.build(row.network, row.classes, row.width)
        assert sum(p.numel() for p in theirs.parameters()) == sum(
            p.numel() for p in ours.parameters()
        )


# a row, measured with next to no effort


@pytest.fixture(scope="module", autouse=True)
def small_products():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(turns, "PRODUCT_SIZE", 64)
        yield


@pytest.fixture(scope="module")
def beside_torch():
    return measure(TINY, SHORT, threads=1)


@pytest.fixture(scope="module")
def alone():
    ballast = np.ones(100_000_000)  # 800 MB in this process, from which a child must not count
    record = measure(dataclasses.replace(TINY, train=False), SHORT, threads=1, ours_only=True)
    assert len(ballast)
    return record


def test_a_row_is_measured_beside_torch(beside_torch):
    record = beside_torch
    assert list(record["times"]) == [OURS, DEFAULT, CHANNELS_LAST]
    for one in record["times"].values():
        assert [len(seconds) for seconds in one["seconds"]] == [1, 1]
        assert one["median_ms"] > 0
    medians = {name: one["median_ms"] for name, one in record["times"].items()}
    assert medians[record["best"]] == min(medians[DEFAULT], medians[CHANNELS_LAST])
    assert record["ratio_default"]["ratio"] == pytest.approx(medians[DEFAULT] / medians[OURS])
    assert record["ratio_best"]["ratio"] <= record["ratio_default"]["ratio"]
    assert record["products"]["gflops"] > 0
    assert len(record["products"]["all_gflops"]) == 6  # before each round and after the last


def test_without_torch_a_row_has_no_ratio(alone):
    assert list(alone["times"]) == [OURS] and alone["ratio_best"] is None
    assert report.missed(alone) is None
    assert "- / 1.3" in report.table({"T": alone})


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process's own peak")
def test_the_peak_is_the_worker_s_own(alone):
    assert 5 < alone["times"][OURS]["peak_mb"] < 400


def test_results_are_written_read_and_drawn(beside_torch, alone, tmp_path):
    path, facts = tmp_path / "r.json", results.machine()
    assert results.load(path, facts)["rows"] == {}
    new = {**results.load(path, facts), "rows": {"I": alone, "T": beside_torch}}
    results.save(path, new)
    found = results.load(path, facts)
    assert found == new
    chart.draw(found, tmp_path / "r.png")
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")


def test_the_table_says_what_was_met_and_where_the_time_goes(beside_torch):
    record = json.loads(json.dumps(beside_torch))
    record["ratio_best"] = {"ratio": 1.31, "quartiles": [1.2, 1.4]}
    record["ratio_default"] = {"ratio": 2.49, "quartiles": [2.4, 2.6]}
    for name, peak in ((OURS, 101.0), (DEFAULT, 300.0), (CHANNELS_LAST, 100.0)):
        record["times"][name]["peak_mb"] = peak
    assert report.missed(record) == ["default", "memory"]
    text = report.table({"T": record})
    assert "1.31 / 1.3 (1.20-1.40)  " in text and "2.49 / 2.5 (2.40-2.60)  " in text
    assert "101/300/100" in text and "not default, memory" in text
    assert "by op: " in text and "DepthwiseConv2d backward" in text
    record["ratio_default"]["ratio"], record["times"][OURS]["peak_mb"] = 2.5, 99.0
    assert report.missed(record) == []
    assert report.table({"T": record}).splitlines()[2].endswith("yes")


# files of results

FACTS = {"processor": "P", "numpy": "2"}


def test_figures_of_another_machine_are_not_mixed(tmp_path):
    results.save(tmp_path / "r.json", results.load(tmp_path / "r.json", FACTS))
    with pytest.raises(BenchmarkError, match="taken with numpy 2, not 3; move it away"):
        results.load(tmp_path / "r.json", {**FACTS, "numpy": "3"})


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 99}'])
def test_a_file_of_something_else_is_refused(tmp_path, text):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(BenchmarkError, match="not a file of results"):
        results.load(tmp_path / "r.json", FACTS)


# the profile


@pytest.fixture
def tiny_network():
    network = Network()
    network.start(TINY.message())
    return network


def test_the_profile_sees_every_op_and_leaves_no_trace(tiny_network):
    entries = tiny_network.profile(1)["entries"]
    assert not any(module._hooks for module in tiny_network.model.modules())
    assert all(entry["layer"] for entry in entries if entry["direction"] != "optimizer")
    depthwise = [entry for entry in entries if entry["op"] == "DepthwiseConv2d"]
    assert [entry["direction"] for entry in depthwise] == ["forward"] * 13 + ["backward"] * 13
    assert depthwise[0]["layer"] == depthwise[-1]["layer"] == "blocks.0.depthwise.0"
    assert depthwise[0]["shape"] == "4x2x16x16"
    assert [entry["op"] for entry in entries if entry["layer"].startswith("loss")]
    assert entries[-1]["op"] == "SGD"
    network = tiny_network
    with observe(lambda *_: None):  # BatchNorm and its activation are two ops then
        loss = network.criterion(network.model(network.x), network.labels)
    assert len(entries) == 2 * len(list(tn.backprop(loss))) + 1  # of which none is seen any more


def test_the_profile_calls_an_op_by_its_name_whoever_serves_it(tiny_network, monkeypatch):
    monkeypatch.setattr(Function, "name", "by another name")
    entries = tiny_network.profile(1)["entries"]
    assert {entry["op"] for entry in entries[:-1]} == {"by another name"}


def test_the_flops_of_the_profile_are_those_of_the_row(tiny_network):
    entries = tiny_network.profile(1)["entries"]
    assert sum(entry["flops"] or 0 for entry in entries) == 2 * TINY.mult_adds()[0]


def test_the_shares_of_the_profile_add_up_to_the_step(tiny_network):
    taken = tiny_network.profile(2)
    sums = profile.by_op(taken)
    assert sum(ms for _, ms, _ in sums) == pytest.approx(taken["step_ms"])
    assert sum(share for *_, share in sums) == pytest.approx(1)
    text = profile.table(taken)
    assert "blocks.12.pointwise.0" in text and "the rest" in text and "100.0%" in text


def test_the_profile_of_inference_has_forwards_only():
    network = Network()
    network.start(dataclasses.replace(TINY, train=False).message())
    assert {entry["direction"] for entry in network.profile(1)["entries"]} == {"forward"}


# the training loop


def test_the_loop_is_timed_beside_bare_steps(tiny_network, capsys):
    found = tiny_network.loop(blocks=2, block=3, images=40)
    assert found["batches"] == 10
    assert list(found["seconds"]) == ["wait", "step", "bare"]
    assert all(len(seconds) == 4 for seconds in found["seconds"].values())
    assert 0 < found["wait_ms"] < found["step_ms"] and found["start_ms"] > 0


def test_the_first_wait_of_an_epoch_is_shared_by_its_steps():
    found = loop.summarize([1.0, 1.0], [10.0, 10.0], [8.0, 8.0], start=10.0, batches=10)
    assert found["slow_down"] == pytest.approx(11 / 8 - 1)
    assert "+37.5%; target 5%: missed" in report.loop_text(found)
    quick = loop.summarize([0.0], [8.1], [8.0], start=1.0, batches=100)
    assert "+1.4%; target 5%: met" in report.loop_text(quick)
