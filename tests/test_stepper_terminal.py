"""The stepper in a terminal: what it shows, what the keys do, what it says of bad input."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from walks import answer, leaf, shown

from tinynet.autograd.tape import Function
from tinynet.stepper import Trace, __main__, record, terminal
from tinynet.stepper.lessons import ALL, LESSONS, Guide
from tinynet.stepper.terminal import walk

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments, python=(), **options):
    return subprocess.run(
        [sys.executable, *python, "-m", "tinynet.stepper", *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        **options,
    )


# the command


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_is_listed_where_nobody_can_be_asked(name, capsys):
    shown = piped(capsys, "--lesson", name)
    trace = Trace(LESSONS[name].build())
    last = len(trace.frames) - 1
    for number, frame in enumerate(trace.frames):
        if frame.phase == "backward":
            title = f"Step {number} of {last}: {frame.node.title} (#{frame.node.number})"
            assert f"\n{title}" in shown
    assert LESSONS[name].title in shown
    assert "The end: every gradient is complete" in shown
    assert max(map(len, shown.split("\n"))) <= 80
    assert shown.isascii() and "\033" not in shown
    errors = re.findall(r"  (\d+e[-+]\d+)$", shown.partition("The end:")[2], re.MULTILINE)
    assert errors and all(float(error) < 1e-3 for error in errors)


def piped(capsys, *arguments):
    """What the command prints in this process, where nobody can be asked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", None)
        __main__.main([str(argument) for argument in arguments])
    return capsys.readouterr().out


def test_the_lessons_are_listed_and_the_first_is_the_default(capsys):
    listed = piped(capsys, "--list")
    assert [line.split()[0] for line in listed.splitlines()] == list(ALL)
    assert piped(capsys) == piped(capsys, "--lesson", next(iter(ALL)))


def test_all_is_the_same_without_docstrings(tmp_path, capsys):
    """python -OO takes docstrings and asserts away."""
    listed = run("--lesson", "conv", python=["-OO"])
    assert listed.stdout == piped(capsys, "--lesson", "conv") and not listed.stderr
    pages = tmp_path / "bare.html", tmp_path / "usual.html"
    assert run("--lesson", "conv", "--html", pages[0], python=["-OO"]).stderr == ""
    piped(capsys, "--lesson", "conv", "--html", pages[1])
    assert pages[0].read_text() == pages[1].read_text()


def test_an_unknown_lesson_is_one_sentence(capsys):
    with pytest.raises(SystemExit) as stop:
        __main__.main(["--lesson", "linaer"])
    assert stop.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "no lesson 'linaer'" in said and all(name in said for name in LESSONS)


@pytest.mark.parametrize("option", ["--html", "--gif", "--cost"])
def test_a_file_that_cannot_be_written_is_one_sentence(option, tmp_path, capsys):
    path = tmp_path / "missing" / "out"
    with pytest.raises(SystemExit) as stop:
        __main__.main([option, str(path)])
    assert capsys.readouterr().out == ""
    assert str(path) in stop.value.code and "\n" not in stop.value.code


def test_a_reader_that_goes_away_is_no_error():
    command = f"{sys.executable} -m tinynet.stepper --lesson mobilenet | head -n 3"
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.startswith("Lesson 'mobilenet'") and done.stderr == ""


# what a step shows


def test_a_step_of_a_shared_scalar():
    text = answer(LESSONS["shared"].build(), "n", "n")
    assert text == (
        "Step 5 of 7: c = Add (#2)\n"
        "  forward   c = b + b\n"
        "  backward  gb += gc (1st use of b), gb += gc (2nd use of b)\n"
        "  shapes    c () from b (), b ()\n"
        "            gb () from gc ()\n"
        "  values    b = 6\n"
        "            c = 12\n"
        "  came in   gc = 1\n"
        "  numbers   c = b + b = 6 + 6 = 12\n"
        "            gb += gc = 1 (2nd use of b)\n"
        "  goes out  gb += 1 (2nd use of b), contribution 2 of 2\n"
        "            gb = 2 in all, complete\n"
        "  memory    the op had saved nothing; freed by now: 0 bytes\n"
    )


def test_the_chain_rule_is_written_term_by_term():
    text = answer(LESSONS["linear"].build(), "r linear", "e 1,2")
    assert "gx[1,2] = the sum over the 2 outputs that move with x[1,2] of" in text
    assert "gy[1,0] * dy[1,0]/dx = 3.5 * 2 = 7\n" in text
    assert "gy[1,1] * dy[1,1]/dx = 0.5 * 1 = 0.5\n" in text
    assert "\n              = 7.5\n" in text
    assert "y[1,0] = 2 * 3 + 1 * (-1) + (-1) * 0 + 0.5 = 5.5" in text


def test_batchnorm_shows_its_three_paths():
    text = answer(LESSONS["batchnorm"].build(), "r batchnorm")
    parts = re.search(
        r"directly +(\S+)\n +through the mean +(\S+)\n +through the variance +(\S+)\n"
        r" +together +(\S+)",
        text,
    )
    *paths, together = map(float, parts.groups())
    assert all(paths) and sum(paths) == pytest.approx(together, rel=1e-4)


def test_memory_adds_up():
    loss = LESSONS["linear"].build()
    text = shown(loss)
    saved = [int(n) for n in re.findall(r"had saved (\d+) bytes", text)]
    assert f"freed by now: {sum(saved)} bytes\n\nThe end" in text


def test_a_module_is_named():
    text = answer(LESSONS["mobilenet"].build(), "r blocks.3.dep")
    assert text.startswith("Step 152 of 175: t48 = ReLU6 (#48) in blocks.3.depthwise.2\n")


def test_large_tensors_are_sampled_and_the_screen_says_so():
    text = answer(LESSONS["mobilenet"].build(), "r stem.2")
    assert "6,144 values, so sampled:" in text and "a corner of it:" in text
    assert text.count("\n") < 40


# keys


def test_steps_forward_and_back():
    loss = LESSONS["shared"].build()
    titles = re.findall(
        r"^(?:Step \d|Forward|The end|This)", shown(loss, *"bnnnnnnbbb", "", " "), re.M
    )
    assert titles == (
        ["Forward", "This", "Step 4", "Step 5", "Step 6", "Step 7", "The end", "This"]
        + ["Step 7", "Step 6", "Step 5", "Step 6", "Step 7"]
    )


def test_quitting_ends_the_walk():
    assert shown(LESSONS["shared"].build(), "q", "n").endswith("\n> q\n")


def test_running_to_a_named_op():
    loss = LESSONS["separable"].build()
    assert answer(loss, "r RELU6").startswith("Step 12 of 17: y = ReLU6")
    assert answer(loss, "r relu6", "r relu6").startswith("Step 15 of 17: t6 = ReLU6")
    assert answer(loss, "r depthwise.0").startswith("Step 17 of 17")
    assert "is called 'sum'; behind are steps 10" in answer(loss, "n", "r sum")
    assert "No op is called 'lstm'. There are BatchNorm, Conv2d" in answer(loss, "r lstm")


def test_printing_a_tensor():
    loss = LESSONS["shared"].build()
    assert "gradient  not known yet: 0 of 2 arrived" in answer(loss, "n", "p a")
    assert re.search(r"value +3\n  gradient  4", answer(loss, *"nnnn", "p a"))
    assert "value     3" in answer(loss, "p #0")
    assert "No tensor is called 'z'" in answer(loss, "p z")
    loss = LESSONS["linear"].build()
    assert "[1,2] = 1\n  gradient  [1,2] = 1.5" in answer(loss, "r linear", "p weight 1,2")
    assert "[1,2] = 1\n" in answer(loss, "p weight[1, -1]".replace("-1", "2"))
    assert "weight[5,0] is outside its shape (2, 3)" in answer(loss, "p weight 5,0")
    assert "weight has 2 axes, shape (2, 3)" in answer(loss, "p weight 5")
    assert "a constant requires no gradient" in answer(loss, "p target")
    text = answer(LESSONS["mobilenet"].build(), "p weight")
    assert text.startswith("55 tensors are called 'weight': #1 stem.0.weight")


def test_a_gradient_of_which_a_part_arrived():
    a = leaf(3.0)
    with record():
        b = a * 2
        loss = b * (b + 1)
    text = answer(loss, "n", "p b")
    assert "gradient  not known yet: 1 of 2 arrived\n  so far    7" in text
    assert "gradient  13" in answer(loss, "n", "n", "p b")


def test_choosing_an_element():
    loss = LESSONS["linear"].build()
    assert "gweight[1,0] = " in answer(loss, "r linear", "e weight 1,0")
    assert "gx[" not in answer(loss, "r linear", "e weight 1,0")
    assert "gx[0,1] = " in answer(loss, "r linear", "e [0,1]")
    assert "x[0,9] is outside its shape (2, 3)" in answer(loss, "r linear", "e 0,9")
    assert "No gradient goes to z here" in answer(loss, "r linear", "e z 0")
    assert "There is no op on this screen" in answer(loss, "e 0")
    chosen = answer(LESSONS["shared"].build(), "n", "e b")
    assert "gb += gc = 1 (1st use of b)" in chosen and "2nd use of b)\n  goes" not in chosen


def test_checking_an_element():
    loss = LESSONS["linear"].build()
    text = answer(loss, "r linear", "e weight 0,2", "f")
    assert "d loss / d weight[0,2]:" in text and "by backprop 10.5\n" in text
    assert float(re.search(r"relative error (\S+)", text)[1]) < 1e-6
    text = answer(LESSONS["relu6"].build(), "r relu6", "e 1", "f")
    assert "slope 0 to the left, 2 to the right: a kink" in text
    assert "There is no op" in answer(loss, "f")
    a = leaf(3.0)
    with record():
        b = a * 2
        loss = b * (b + 1)
    assert "by backprop 13 (once complete: 1 of 2 arrived)" in answer(loss, "n", "e a", "f")


def test_a_wrong_backward_is_found_by_the_check():
    class Wrong(Function):
        """y = x**2;  gx = gy x"""

        def forward(self, x):
            self.save(x)
            return x * x

        def backward(self, gy):
            return gy * self.saved[0]

    x = leaf([2.0, 3.0])
    with record():
        loss = Wrong.apply(x).sum()
    assert "no kink, so one of the backward" in answer(loss, "r wrong", "e 1", "f")


def test_help_and_unknown_commands():
    loss = LESSONS["shared"].build()
    assert "run to the next op" in answer(loss, "?")
    assert answer(loss, "nonsense") == "'nonsense' is not a command; ? lists them.\n"
    assert "4  c = Add" in answer(loss, "l")


def test_asking_at_a_terminal(monkeypatch):
    lines = iter(["n", "q"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(lines))
    assert "Step 4 of 7" in shown(LESSONS["shared"].build())


@pytest.mark.parametrize("error", [EOFError, KeyboardInterrupt])
def test_the_end_of_input_ends_the_walk(monkeypatch, error):
    def ask(prompt):
        raise error

    monkeypatch.setattr("builtins.input", ask)
    assert "Step 4" not in shown(LESSONS["shared"].build())


def test_a_notebook_that_is_run_by_itself_gets_the_listing(monkeypatch):
    def ask(prompt):
        raise NotImplementedError("this kernel does not support input requests")

    monkeypatch.setattr("builtins.input", ask)
    text = shown(LESSONS["shared"].build())
    assert "Step 7 of 7" in text and "The end" in text


class Screen(io.StringIO):
    encoding = "ascii"

    def isatty(self):
        return True


def test_bold_on_a_terminal_only_and_not_under_no_color(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    out = Screen()
    walk(LESSONS["shared"].build(), out, ["n"])
    assert "\033[1mStep 4 of 7" in out.getvalue()
    assert {*re.findall(r"\033\[(\d+)m", out.getvalue())} == {"0", "1"}  # no colour to clash
    monkeypatch.setenv("NO_COLOR", "1")
    out = Screen()
    walk(LESSONS["shared"].build(), out, ["n"])
    assert "\033" not in out.getvalue()


def test_names_that_the_terminal_cannot_write():
    β = leaf(2.0)
    with record():
        loss = β * β
    out = Screen()
    walk(loss, out, ["n"])
    assert "\\u03b2" in out.getvalue()


def test_standard_output_is_the_one_of_the_moment(capsys):
    assert not terminal._can_ask() or os.isatty(0)
    walk(LESSONS["shared"].build(), keys=["n"])
    assert "Step 4 of 7" in capsys.readouterr().out


# predictions


def lesson_walk(name, *keys):
    """What a terminal shows of a lesson, to a reader who types these keys."""
    trace, out = Trace(ALL[name].build()), io.StringIO()
    walk(trace, out=out, keys=keys, told=Guide(ALL[name], trace).told())
    return re.split(r"^> ?(.*)\n", out.getvalue(), flags=re.MULTILINE)[2::2]


@pytest.mark.parametrize(
    "typed, verdict",
    [
        ("2", "You predicted 2: right."),
        ("gb = 4/2", "You predicted 2: right."),
        ("2,0", "You predicted 2: right."),
        ("1", "You predicted 1; it is 2."),
        ("0", "You predicted 0; it is 2."),
    ],
)
def test_a_lesson_asks_before_it_tells(typed, verdict):
    asked, told, following = lesson_walk("shared", "", typed, "n")
    assert "What will gb be" in asked and "Step 4" not in asked
    assert told.startswith(f"{verdict}\n\nStep 4 of 7") and "Each use sends 1" in told
    assert "Step 5 of 7" in following


def test_enter_is_to_be_told_and_a_command_is_still_one():
    asked, told = lesson_walk("shared", "", "")
    assert "predict" in asked and told.startswith("Step 4 of 7")
    asked, listed, told = lesson_walk("shared", "", "l", "")
    assert "c = Add" in listed and told.startswith("Step 4 of 7")  # it is asked once


def test_a_question_is_asked_once_and_not_of_the_steps_behind():
    screens = lesson_walk("shared", "", "2", "b", "n")
    assert "Step 4" not in screens[2] and screens[3].startswith("Step 4 of 7")


@pytest.mark.parametrize("name", LESSONS)
def test_every_answer_of_every_lesson_is_taken_for_right(name):
    trace = Trace(ALL[name].build())
    told, keys, asked = Guide(ALL[name], trace).told(), [], 0
    screens = terminal.Screens(trace, told=told)
    for number in range(trace.seed + 1, len(trace.frames)):
        ask = told.get(screens.moment(number), {}).get("ask")
        keys += [""] if ask is None else ["", repr(ask["answer"])]
        asked += ask is not None
    shown = "\n".join(lesson_walk(name, *keys))
    assert shown.count(": right.\n") == asked > 0
    assert f"Step {len(trace.frames) - 1} of" in shown


@pytest.mark.parametrize(
    "guess, truth, right",
    [
        (0.1204, 0.12, True),
        (0.125, 0.12, True),
        (0.1251, 0.12, False),
        (-0.12, 0.12, False),
        (0.0, 0.0, True),
        (1e-5, 0.0, False),
        (float("nan"), 0.5, False),
        (float("inf"), 0.5, False),
    ],
)
def test_what_counts_as_right(guess, truth, right):
    assert terminal.is_right(guess, truth) is right


def test_what_is_no_number_is_a_command():
    assert [terminal.parsed(text) for text in ("x", "1/0", "1/2/", "", "p 1")] == [None] * 5
    assert (terminal.parsed("1/4"), terminal.parsed("ga = -1e-3")) == (0.25, -1e-3)
