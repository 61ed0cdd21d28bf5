"""The benchmarks' command line: what it measures, writes and says, and how it fails."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
from test_benchmarks import TINY

from benchmarks.__main__ import main, parse_options
from benchmarks.rows import ROWS
from benchmarks.turns import BenchmarkError, Worker, contestants

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments):
    main([*arguments], {"T": TINY})


def test_the_command_measures_prints_and_writes(tmp_path, capsys):
    run("t", "--quick", "--rounds", "1", "--ours-only", "--out", str(tmp_path / "new"))
    printed = capsys.readouterr().out
    assert TINY.what in printed and "rough" in printed
    (file,) = (tmp_path / "new").glob("cpu-*.json")
    assert list(json.loads(file.read_text())["rows"]) == ["T"]


def test_the_command_profiles_a_row(capsys):
    run("--profile", "T", "--quick")
    assert "blocks.3.pointwise.0" in capsys.readouterr().out


def test_an_unknown_row_is_one_sentence():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "Z"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert "expected one of A, B, C, D, E, F, loop, import, got 'Z'" in done.stderr


def test_what_is_measured_without_naming_it():
    assert parse_options([], ROWS).rows == [*ROWS, "loop", "import"]
    assert parse_options(["--quick"], ROWS).rows == ["A", "B", "C", "E", "F", "import"]
    assert parse_options(["d", "Loop", "--quick"], ROWS).rows == ["D", "loop"]


@pytest.mark.parametrize("arguments", [("T",), ("T", "--quick")])
def test_without_torch_the_command_says_what_to_do(monkeypatch, arguments):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SystemExit, match=r'pip install "tinynet\[test\]".*--ours-only'):
        run(*arguments)


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match="--out: cannot make the folder"):
        run("T", "--out", str(tmp_path / "file" / "below"))


def test_a_worker_that_dies_gives_its_reason():
    row = dataclasses.replace(TINY, batch=-1)
    with (
        pytest.raises(BenchmarkError, match="tinynet_worker died: ValueError: negative dimensions"),
        contestants(row, 1, ours_only=True),
    ):
        pass


def test_no_worker_is_left_behind():
    with pytest.raises(KeyboardInterrupt), Worker("benchmarks.tinynet_worker") as worker:
        raise KeyboardInterrupt
    assert worker.process.returncode is not None
