"""Every command line explains itself, with `python -OO` too, which leaves docstrings out."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinynet.files import expanded

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = {
    "mobilenet.py": "what they cost",
    "train_cifar100.py": "Train MobileNetV1 on CIFAR-100",
    "train_stl10.py": "Train MobileNetV1 on STL-10",
    "docs/notebooks/make.py": "Make the notebooks",
    "docs/pictures/draw.py": "Draw the figures",
    "-m tinynet.stepper": "The built-in lessons",
    "-m tinynet.doctor": "What tinynet finds on this machine",
    "-m tinynet.exercises": "write a function in NumPy, and be told what is wrong",
    "-m benchmarks.ablations": "trained again at CIFAR's size",
    "-m benchmarks": "Time tinynet beside PyTorch",
    "-m benchmarks.gpu": "tinynet on a GPU",
    "-m benchmarks.scaling": "How training scales",
}


def run(*arguments, optimize=""):
    environment = {**os.environ, "PYTHONOPTIMIZE": optimize, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("optimize", ["", "2"], ids=["plain", "OO"])
@pytest.mark.parametrize("command", COMMANDS)
def test_help(command, optimize):
    done = run(*command.split(), "--help", optimize=optimize)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert COMMANDS[command] in " ".join(done.stdout.split())


def test_a_tilde_is_the_users_folder(monkeypatch):
    home = os.path.expanduser("~")
    given = [
        "--out=~/run",
        "~/cat.png",
        "--data-dir",
        "~",
        "a~/b",
        "--lr=0.1",
        "~anna/x",
        "--x=y=~/z",
    ]
    assert expanded(given) == [
        *(f"--out={home}/run", f"{home}/cat.png", "--data-dir", home),
        *("a~/b", "--lr=0.1", "~anna/x", "--x=y=~/z"),
    ]
    monkeypatch.setattr(sys, "argv", ["program", "--out=~"])
    assert expanded() == [f"--out={home}"]


def test_every_program_that_takes_a_path_takes_a_tilde():
    for command in COMMANDS:
        if command in ("-m tinynet.doctor", "docs/notebooks/make.py", "docs/pictures/draw.py"):
            continue  # which take none
        name = command.removeprefix("-m ").replace(".", "/") if "-m" in command else command
        path = ROOT / name
        path = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
        text = path.read_text(encoding="utf-8")
        assert "expanded(arguments)" in text or "program.main(" in text, command


def test_every_program_is_in_the_list():
    """A file with an `if __name__ == "__main__"` that reads options is a command line."""
    folders = (ROOT, ROOT / "tinynet", ROOT / "benchmarks", ROOT / "docs")
    files = {file for folder in folders[1:] for file in folder.rglob("*.py")} | set(
        ROOT.glob("*.py")
    )
    programs = set()
    for file in files:
        text = file.read_text(encoding="utf-8")
        starts = file.name == "__main__.py" or '__name__ == "__main__"' in text
        if starts and ("argparse.ArgumentParser(" in text or "program.main(" in text):
            module = file.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
            inside = module.startswith(("tinynet.", "benchmarks."))
            path = file.relative_to(ROOT).as_posix()
            programs.add(f"-m {module.removesuffix('.__main__')}" if inside else path)
    assert programs == set(COMMANDS)


def test_the_stepper_from_elsewhere_says_that_it_lacks_mobilenet(tmp_path):
    (tmp_path / "tinynet").symlink_to(ROOT / "tinynet")
    missing = "raise ModuleNotFoundError(\"No module named 'mobilenet'\", name='mobilenet')"
    (tmp_path / "mobilenet.py").write_text(missing)  # even where an installation has one
    stepper = (sys.executable, "-m", "tinynet.stepper")
    elsewhere = {"cwd": tmp_path, "capture_output": True, "text": True}
    done = subprocess.run([*stepper, "--list"], **elsewhere)
    assert done.returncode == 0 and "A whole MobileNetV1" in done.stdout
    done = subprocess.run([*stepper, "--lesson", "mobilenet"], **elsewhere)
    assert done.returncode == 1
    assert done.stderr == (
        "stepper: this needs mobilenet.py; run it in the folder of tinynet's checkout\n"
    )


def test_a_summary_without_docstrings():
    done = run("mobilenet.py", "summary", "--width", "0.25", optimize="2")
    assert done.returncode == 0 and "470,072" in done.stdout
