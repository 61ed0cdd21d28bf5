"""The model card: what it says, what it leaves out, and that odd names change nothing else."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

import mobilenet
from tinynet.training.card import machine, model_card

FACTS = {
    "title": "MobileNetV1 on CIFAR-100",
    "network": "cifar-4x4",
    "width": 0.25,
    "size": 32,
    "classes": ["apple", "aquarium_fish"],
    "accuracy": {"test": (0.6358, 0.88123), "validation": (0.64, None)},
    "test_reads": 1,
    "data": "CIFAR-100",
    "images": {"training": 45000, "validation": 5000, "test": 10000},
    "held_out": "50 training images of each class",
    "options": {"epochs": 22, "weight_decay": 0.0002, "mirror": None},
    "parameters": 238772,
    "mult_adds": 12062000,
    "file_size": 578737,
    "seconds": 12345.6,
    "images_per_second": 75.4,
    "machine": {"CPU": "Some | CPU", "cores": 2},
    "files": ["curves.png", "history.csv", "not there.png"],
    "weights": "runs/cifar100/checkpoint.npz",
    "command": ["python", "train_cifar100.py", "--data-dir", "my data", "--epochs", "22"],
}
NASTY = "a|b `c` ``` $x$ *d* _e_ [f](g) <script> # & \\ \\| ~ ! \n\t\x1b[31m \udcff é"


def card(tmp_path, **facts):
    model_card(tmp_path / "README.md", {**FACTS, **facts})
    return (tmp_path / "README.md").read_text(encoding="utf-8")


def blocks(text, language):
    found = re.findall(r"^(`{3,})(\w*)\n(.*?)\n\1$", text, re.MULTILINE | re.DOTALL)
    return [content for _, name, content in found if name == language]


def cells(line):
    """The cells of a table's line, as Markdown splits it and takes its escapes away."""
    parts = re.findall(r"((?:\\.|[^|\\])*)\|", line.removeprefix("|"))
    return [re.sub(r"\\(.)", r"\1", part.strip()) for part in parts]


def tables(text):
    return [cells(line) for line in text.splitlines() if line.startswith("|")]


def test_it_says_what_was_given(tmp_path):
    (tmp_path / "curves.png").write_bytes(b"")
    (tmp_path / "history.csv").write_bytes(b"")
    text = card(tmp_path)
    assert text.startswith("# MobileNetV1 on CIFAR-100\n")
    rows = tables(text)
    for row in (
        ["test", "63.58 %", "88.12 %"],
        ["validation", "64.00 %", ""],
        ["epochs", "22"],
        ["weight_decay", "0.0002"],
        ["mirror", "None"],
        ["parameters", "238,772"],
        ["multiply-adds per image", "12,062,000"],
        ["size of the file", "0.58 MB"],
        ["time of training", "3 h 25 min"],
        ["images per second", "75"],
        ["CPU", "Some | CPU"],
    ):
        assert row in rows, row
    for sentence in (
        r"MobileNetV1 (cifar-4x4, width 0.25) with 2 classes, for images of 32x32 pixels",
        "The test set was read once.",
        "Images: 45,000 (training), 5,000 (validation), 10,000 (test).",
        "Held out of the training for validation: 50 training images of each class.",
        "wrong about 36.4 % of the test images",
        "python train_cifar100.py --data-dir 'my data' --epochs 22",
        "![Loss, accuracy and learning rate by epoch](curves.png)",
        "[history.csv](history.csv)",
        "apple, aquarium_fish",
    ):
        assert sentence in text, sentence
    assert "not there" not in text


def test_what_is_not_given_is_not_mentioned(tmp_path):
    model_card(tmp_path / "README.md", {"title": "A network"})
    text = (tmp_path / "README.md").read_text()
    assert text == "# A network\n\nAn image classifier: MobileNetV1, trained with tinynet.\n"


@pytest.mark.parametrize("left_out", sorted(set(FACTS) - {"title"}))
def test_any_fact_may_be_missing(left_out, tmp_path):
    facts = {name: value for name, value in FACTS.items() if name != left_out}
    model_card(tmp_path / "README.md", facts)
    text = (tmp_path / "README.md").read_text()
    assert "None |" in text or left_out == "options"
    assert not re.search(r"\n## [^\n]*\n\n(##|$)", text), "a heading without a text"


def test_the_test_set_read_more_than_once_is_not_hidden(tmp_path):
    assert "The test set was read 3 times." in card(tmp_path, test_reads=3)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (7260, "2 h 1 min")],
)
def test_durations(seconds, words, tmp_path):
    assert ["time of training", words] in tables(card(tmp_path, seconds=seconds))


def test_odd_names_stay_names(tmp_path):
    shown = NASTY.replace("\n", "\\n").replace("\t", "\\t").replace("\x1b", "\\x1b")
    shown = shown.replace("\udcff", "\\udcff")
    text = card(
        tmp_path,
        title=NASTY,
        network=NASTY,
        data=NASTY,
        held_out=NASTY,
        options={NASTY: NASTY, "other": "x"},
        classes=[NASTY, "- item", "1. one", "---"],
        machine={"CPU": NASTY},
    )
    rows = tables(text)
    assert [shown, shown] in rows and ["other", "x"] in rows and ["CPU", shown] in rows
    assert all(line.isprintable() for line in text.splitlines())
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        line for line in text.splitlines() if re.match(r"##? ", line)
    ]
    plain = re.sub(r"\\.", "", re.sub(r"^(```+)\w*\n.*?\n\1$", "", text, flags=re.M | re.S))
    for mark in "`<*$~":
        assert mark not in plain, mark
    headings = [line for line in card(tmp_path).splitlines() if line.startswith("## ")]
    assert [line for line in text.splitlines() if line.startswith("## ")] == headings


@pytest.mark.parametrize(
    "name", ["- item", "+ item", "1. one", "12) twelve", "---", "===", "+", "_a_", "__a__", "a_"]
)
def test_a_name_is_no_mark_of_markdown(name, tmp_path):
    lines = card(tmp_path, classes=[name]).splitlines()
    assert lines[-1] != name and re.sub(r"\\(.)", r"\1", lines[-1]) == name


def test_links_to_files_with_odd_names(tmp_path):
    name = "a b)(`|\n.png"
    (tmp_path / name).write_bytes(b"")
    text = card(tmp_path, files=[name])
    assert "](a%20b%29%28%60%7C%0A.png)" in text


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX")
@pytest.mark.parametrize(
    "argument",
    [
        "plain",
        "two words",
        "it's",
        "$HOME `id`",
        "",
        "line\nline",
        "\x1b[31m'\\",
        "```",
        "a\udcff\n",
    ],
)
def test_the_command_gives_the_shell_the_same_arguments(argument, tmp_path):
    text = card(tmp_path, command=["printf", "%s", argument], weights=argument)
    commands = blocks(text, "")
    assert len(commands) == 2 and "\n" not in "".join(commands)
    done = subprocess.run(["bash", "-c", commands[1]], capture_output=True, check=True)
    assert done.stdout == os.fsencode(argument)


@pytest.mark.parametrize("name", ["net.npz", 'it\'s ``` \\ "a" net.npz'])
def test_the_code_loads_the_network(name, tmp_path, monkeypatch, capsys):
    model = mobilenet.build("cifar-2x2", 2, 0.05)
    model.classifier.bias.array[...] = (0, 100)
    mobilenet.save_network(
        tmp_path / name,
        model,
        network="cifar-2x2",
        options={"width": 0.05, "num_classes": 2},
        classes=["apple", "aquarium_fish"],
        mean=[0.5] * 3,
        std=[0.25] * 3,
        size=32,
    )
    text = card(tmp_path, weights=tmp_path / name)
    (code,) = blocks(text, "python")
    exec(compile(code, "card", "exec"), {})
    assert capsys.readouterr().out == "aquarium_fish\n"
    assert "photo.jpg" in blocks(text, "")[0]


def test_the_machine(monkeypatch):
    facts = machine()
    assert facts["NumPy"] == np.__version__ and facts["cores"] >= 1
    assert facts["CPU"] and "\n" not in facts["CPU"]


def test_what_cannot_be_written_leaves_no_trace(tmp_path):
    with pytest.raises(OSError, match="cannot write .*missing"):
        model_card(tmp_path / "missing" / "README.md", FACTS)
    with pytest.raises(KeyError):
        model_card(tmp_path / "README.md", {})
    assert os.listdir(tmp_path) == []
