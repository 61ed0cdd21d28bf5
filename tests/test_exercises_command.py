"""The exercises' command, and what it says of files that are not even wrong."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tinynet.exercises import learner, verdict
from tinynet.exercises.__main__ import main
from tinynet.exercises.course import COURSE

ROOT = Path(__file__).resolve().parent.parent


# The learner's file, in a process of its own.


def checked(tmp_path, source, name="multiply_backward", newline=None):
    path = tmp_path / f"{name}.py"
    path.write_text(source, encoding="utf-8", newline=newline)
    return verdict.check(COURSE[name], path)


HEAD = "import numpy as np\ndef multiply_backward(gy, a, b):\n"
REFUSED = {
    "raises": (HEAD + "    return gy * c, gy", "line 3: NameError: name 'c' is not defined."),
    "None": (HEAD + "    gy * b", "it returns None; does it end with `return ga, gb`?"),
    "a list": (HEAD + "    return [gy, gy]", "it returns a list of 2; end it with `return ga, gb`"),
    "one of two": (HEAD + "    return gy", "it returns a ndarray; end it with `return ga, gb`"),
    "lists": (
        HEAD + "    return list(gy), gy",
        "ga is a list, expected an array (np.array makes one)",
    ),
    "text": (HEAD + "    return np.array('x'), gy", "ga holds <U1 values, expected float64"),
    "syntax": ("def multiply_backward(gy, a, b)\n    pass", "line 1: this is not Python: "),
    "indentation": (HEAD + "return 1", "line 3: this is not Python: expected an indented block"),
    "no function": ("x = 1", "it defines no function multiply_backward; a new stub shows"),
    "signature": (
        "def multiply_backward(gy, a):\n    pass",
        "multiply_backward should take 3 arguments, as the stub does",
    ),
    "not Python's": ("import math\nmultiply_backward = dict.fromkeys", "should take 3 arguments"),
    "at the top": ("import numpy as np\nx = 1 / 0", "line 2: ZeroDivisionError: division by zero"),
    "writes": (HEAD + "    gy *= b\n    return gy, gy", "line 3: it writes into an array that it"),
    "through a view": (
        HEAD + "    g = a.reshape(-1)\n    g[0] = 1\n    return g, g",
        "line 4: it writes into an array that it was given, or a view of one; others read it too",
    ),
    "imports tinynet": (
        "from tinynet.exercises.course import COURSE\n" + HEAD + "    return gy, gy",
        "line 1: it imports tinynet; write it with NumPy alone",
    ),
    "imports a neighbour": ("import verdict", "line 1: ModuleNotFoundError: No module named"),
    "exits": (HEAD + "    raise SystemExit", "line 3: it ends the program; return a result"),
    "ends": (HEAD + "    import os; os._exit(0)", "it ended the process that ran it"),
    "asks": (HEAD + "    input()", "line 3: EOFError: "),
}


@pytest.mark.parametrize(("source", "sentence"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_cannot_be_compared_gets_one_sentence(tmp_path, source, sentence):
    found = checked(tmp_path, source)
    assert found.status == verdict.WRONG and found.mistake is None
    assert sentence in found.lines[0]
    assert "\n" not in found.lines[0]


def test_a_loop_without_an_end_is_stopped_and_its_line_named(tmp_path, monkeypatch):
    monkeypatch.setattr(verdict, "LIMIT", 0.3)
    found = checked(tmp_path, HEAD + "    while True:\n        a + b")
    assert re.match(r"line [34]: it was still running after 0.3 seconds; ", found.lines[0])
    assert found.status == verdict.WRONG


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "multiply_backward.py"
    path.write_bytes(b"\xff\xfe\x00")
    assert verdict.check(COURSE["multiply_backward"], path).lines == ["it is no text file in UTF-8"]


def test_what_is_printed_is_shown_and_is_no_fault(tmp_path):
    found = checked(tmp_path, HEAD + "    print('shape', gy.shape)\n    return gy * b, gy * a")
    assert found.status == verdict.DONE
    assert found.printed.startswith("shape (3,)\nshape (2, 3)\n")
    found = checked(tmp_path, HEAD + "    print('x' * 10**6)\n    return gy * b, gy * a")
    assert found.printed == "x" * learner.MOST_PRINTED


def test_a_learner_may_import_from_the_exercises_before(tmp_path):
    (tmp_path / "earlier.py").write_text("def times(a, b):\n    return a * b\n")
    source = "from earlier import times\n" + HEAD + "    return times(gy, b), times(gy, a)"
    assert checked(tmp_path, source).status == verdict.DONE


def test_the_results_are_not_in_the_memory_of_the_code_that_is_checked(tmp_path):
    source = HEAD + (
        "    import sys\n"
        "    return sum(m.startswith('tinynet') for m, there in sys.modules.items() if there)\n"
    )
    found = checked(
        tmp_path, source.replace("multiply_backward(gy, a, b)", "conv_size(*_)"), "conv_size"
    )
    assert found.lines[0].startswith("places = 0, expected")


def test_the_handbook_says_what_there_is(tmp_path, capsys):
    handbook = ROOT / "docs" / "handbook"
    text = (handbook / "README.md").read_text(encoding="utf-8")
    assert "Twenty-five functions" in text and len(COURSE) == 25
    exercise = COURSE["depthwise_gx"]
    wrong = f"import numpy as np\n{exercise.wrong('unflipped')}"
    (tmp_path / "depthwise_gx.py").write_text(wrong)
    _, shown, _ = run(capsys, "check", "depthwise_gx", "--dir", str(tmp_path))
    assert f"```\n{shown}```\n" in text
    named = []
    for chapter in handbook.glob("*.md"):
        chapter = chapter.read_text(encoding="utf-8")
        found = re.search(r"To write, \[with checks\]\(.*?\)(.*?)\n\n", chapter, re.DOTALL)
        named += re.findall(r"`(.*?)`", found[1]) if found else []
    assert set(named) == set(COURSE)


# The command line.


def run(capsys, *arguments):
    """(exit status, stdout, stderr)"""
    try:
        status = main(arguments) or 0
    except SystemExit as error:
        status = error.code
        if isinstance(status, str):
            return 1, capsys.readouterr().out, f"{status}\n"
    return status, *capsys.readouterr()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "exercises"


def test_the_list_says_what_is_done(folder, capsys):
    status, out, _ = run(capsys)
    assert status == 0 and all(f" {name} " in out for name in COURSE)
    assert "write descent_step" in out
    run(capsys, "write", "conv_size", "sgd_step", "cosine_rate")
    for name, text in (("conv_size", COURSE["conv_size"].source), ("sgd_step", "x = 1")):
        (folder / f"{name}.py").write_text(text)
    status, out, _ = run(capsys, "list")
    lines = {line.split()[1]: line for line in out.splitlines()[: len(COURSE)]}
    assert lines["conv_size"].endswith("  done") and lines["sgd_step"].endswith("  wrong")
    assert lines["cosine_rate"].endswith("  not yet")
    assert lines["conv_gx"].endswith(COURSE["conv_gx"].title)


def test_a_file_is_never_overwritten(folder, capsys):
    assert run(capsys, "write", "conv_gx", "--dir", "exercises")[0] == 0
    assert (folder / "conv_gx.py").read_text() == COURSE["conv_gx"].stub
    (folder / "conv_gx.py").write_text("mine")
    status, out, _ = run(capsys, "write", "conv_gx")
    assert status == 1
    path = Path("exercises") / "conv_gx.py"
    assert out == f"{path} exists and was left as it is; rename it to get a new stub\n"
    status, out, _ = run(capsys, "write", "all")
    assert status == 0 and out.splitlines()[-1] == "1 of the files existed and was left as it is"
    assert (folder / "conv_gx.py").read_text() == "mine"
    assert {file.stem for file in folder.iterdir()} == set(COURSE)


def test_checks_of_some_and_of_all_that_is_there(folder, capsys):
    run(capsys, "write", "conv_size", "conv_gx", "multiply_backward")
    (folder / "conv_size.py").write_text(COURSE["conv_size"].source)
    assert run(capsys, "check", "conv-size")[:2] == (
        0,
        "conv_size               done\n  right, in 9 calls on different inputs\n",
    )
    exercise = COURSE["multiply_backward"]
    text = f"import numpy as np\n\n{exercise.wrong('swapped')}"
    (folder / "multiply_backward.py").write_text(text)
    status, out, _ = run(capsys, "check", "exercises/multiply_backward.py")
    assert status == 1
    assert exercise.mistakes["swapped"].hint in " ".join(out.split())
    status, out, _ = run(capsys, "check", "conv_gx")
    assert (status, out) == (1, "conv_gx                 not yet\n  it is still the stub\n")
    status, out, _ = run(capsys, "check")
    assert status == 1
    shown = [line for line in out.splitlines() if line and not line.startswith(" ")]
    assert shown == [
        "multiply_backward       wrong",
        "conv_size               done",
        "conv_gx                 not yet",
        "1 done, 1 not yet, 1 wrong, of 25 exercises",
    ]


def test_hint_and_solution(folder, capsys):
    folder.mkdir()
    status, out, _ = run(capsys, "hint", "relu6_backward")
    assert status == 0 and " ".join(out.split()) == COURSE["relu6_backward"].hint
    status, out, _ = run(capsys, "solution", "relu6_backward")
    assert status == 0 and out.startswith("# The solution of relu6_backward follows; ")
    (folder / "relu6_backward.py").write_text(out)
    assert run(capsys, "check", "relu6_backward")[0] == 0


def test_wrong_usage_is_one_sentence(folder, capsys):
    status, _, err = run(capsys, "check", "multiply_backwards")
    assert status == 2
    assert "no exercise 'multiply_backwards'; did you mean multiply_backward?" in err
    assert run(capsys, "hint", "all")[0] == 2
    assert run(capsys, "write")[0] == 2
    assert run(capsys, "check") == (
        1,
        "",
        "exercises: nothing to check in exercises; begin with `write NAME`\n",
    )
    status, _, err = run(capsys, "check", "conv_gx")
    assert status == 1 and "there is no " in err and "begin with `write conv_gx`" in err
    folder.write_text("a file")
    status, _, err = run(capsys, "write", "conv_gx")
    assert status == 1 and err.startswith("exercises: ") and err.count("\n") == 1


def test_the_command(tmp_path):
    command = [sys.executable, "-m", "tinynet.exercises", "write", "conv_size"]
    done = subprocess.run(
        [*command, "--dir", str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"wrote {tmp_path / 'conv_size.py'}\n"
