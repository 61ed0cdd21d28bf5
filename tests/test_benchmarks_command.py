"""The benchmarks' command line: what it measures, writes and says, and how it fails."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_benchmarks import TINY

from benchmarks.__main__ import main, parse_options
from benchmarks.results import BenchmarkError
from benchmarks.rows import ROWS
from benchmarks.turns import Worker, cpu_workers

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
    assert "expected one of A, B, C, D, E, F, loop, train, import, got 'Z'" in done.stderr


def test_what_is_measured_without_naming_it():
    assert parse_options([], ROWS).rows == [*ROWS, "loop", "train", "import"]
    assert parse_options(["--quick"], ROWS).rows == ["A", "B", "C", "E", "F", "import"]
    assert parse_options(["d", "Loop", "--quick"], ROWS).rows == ["D", "loop"]


@pytest.mark.parametrize("arguments", [("T",), ("T", "--quick")])
def test_without_torch_the_command_says_what_to_do(monkeypatch, arguments):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SystemExit, match=r'pip install -e "\.\[test\]".*--ours-only'):
        run(*arguments)


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match="--out: cannot make the folder"):
        run("T", "--out", str(tmp_path / "file" / "below"))


def test_a_worker_that_dies_gives_its_reason():
    row = dataclasses.replace(TINY, size=-1)
    with (
        pytest.raises(BenchmarkError, match="tinynet_worker died: ValueError: negative dimensions"),
        cpu_workers(row, 1, ours_only=True),
    ):
        pass


def test_no_worker_is_left_behind():
    with pytest.raises(KeyboardInterrupt), Worker("benchmarks.tinynet_worker") as worker:
        worker.start()
        process = worker.process
        raise KeyboardInterrupt
    assert process.returncode is not None and worker.process is None


@pytest.mark.parametrize(
    ("limit", "do", "said"),
    [(60, "nothing", "AttributeError: .*'nothing'"), (0.05, "products", "no answer")],
)
def test_a_worker_that_fails_or_does_not_answer_is_replaced(limit, do, said):
    with Worker("benchmarks.tinynet_worker", limit=limit) as worker:
        with pytest.raises(BenchmarkError, match=said):
            worker.ask(do)
        assert worker.process is None
        worker.limit = 60
        assert len(worker.ask("products", size=2, count=1)) == 1


def test_rows_join_a_file_and_replace_only_themselves(tmp_path):
    run("import", "--quick", "--out", str(tmp_path))
    (file,) = tmp_path.glob("cpu-*.json")
    before = json.loads(file.read_text())
    file.write_text(json.dumps({**before, "rows": {"Z": {"best": None}, "A": {"best": None}}}))
    run("T", "--quick", "--rounds", "1", "--ours-only", "--out", str(tmp_path))
    after = json.loads(file.read_text())
    assert list(after["rows"]) == ["A", "T", "Z"] and after["rows"]["Z"] == {"best": None}
    assert after["import"] == before["import"] and after["import"]["import_s"] > 0


def test_the_time_of_the_import_is_told(capsys):
    run("import", "--quick")
    assert re.search(
        r"import tinynet: \d\.\d{3} s; target 0.25 s: (met|missed)", capsys.readouterr().out
    )


def test_a_profile_of_what_is_no_row_is_refused(capsys):
    with pytest.raises(SystemExit):
        run("--profile", "loop")
    assert "--profile: expected one of T" in capsys.readouterr().err
