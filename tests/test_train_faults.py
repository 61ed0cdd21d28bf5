"""The training script under attack: signals, full disks, terminals that are gone, odd names."""

import io
import os
import pty
import resource
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_parallel_script import environment
from tiny_training import SMALL, assert_same, learnt, script, sentence, stop_in_batch

import mobilenet
import train_cifar100
from tinynet import cores, parallel
from tinynet.data import folder as image_folder
from tinynet.training import checkpoint, finish
from tinynet.training import run as run_module
from tinynet.training.folder import FILES
from tinynet.training.run import Run

pytest_plugins = ["tiny_training"]
pytestmark = pytest.mark.usefixtures("quick")
ROOT = Path(__file__).resolve().parent.parent
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


# Signals, at every moment


def at(moment, number, monkeypatch):
    """Raise the signal once, at that moment of a training."""
    owner, name = {
        "the images are loaded": (run_module, "load_set"),
        "the network is built": (run_module, "make_optimizer"),
        "an epoch is judged": (run_module.loop, "evaluate"),
        "the checkpoint is written": (checkpoint, "save"),
        "the history is written": (run_module.History, "write_csv"),
        "the test set is loaded": (finish, "load_set"),
        "the test set is judged": (finish, "outputs"),
        "the pictures are drawn": (finish, "draw"),
        "the card is written": (finish, "facts"),
    }[moment]
    function, raised = getattr(owner, name), []

    def signalling(*arguments, **options):
        if not raised:
            raised.append(1)
            signal.raise_signal(number)
        return function(*arguments, **options)

    monkeypatch.setattr(owner, name, signalling)


@pytest.mark.parametrize(
    ("moment", "saved", "state"),
    [
        ("the images are loaded", False, None),
        ("the network is built", False, None),
        ("an epoch is judged", True, (1, 0)),
        ("the checkpoint is written", True, (1, 0)),
        ("the history is written", True, (1, 0)),
        ("the test set is loaded", False, (2, 0)),
        ("the test set is judged", False, (2, 0)),
        ("the pictures are drawn", False, (2, 0)),
        ("the card is written", False, (2, 0)),
    ],
)
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_saves_what_there_is(tmp_path, whole, monkeypatch, moment, saved, state, number):
    before = [signal.getsignal(n) for n in SIGNALS]
    with monkeypatch.context() as patch:
        at(moment, number, patch)
        said = sentence(tmp_path / "out")
    assert [signal.getsignal(n) for n in SIGNALS] == before
    how = "stopped and saved" if saved else "stopped"
    what = "there is no checkpoint yet, so start again" if state is None else "go on with --resume"
    assert said == f"train_cifar100.py: {how}; {what}"
    if state is None:
        assert not (tmp_path / "out").exists()
        return
    tree = checkpoint.load(tmp_path / "out" / "checkpoint.npz")
    assert (tree["epochs_done"], tree["batches_done"]) == state
    script(tmp_path / "out", "--resume")
    assert_same(learnt(tmp_path / "out"), learnt(whole))
    assert not set(os.listdir(tmp_path / "out")) - set(FILES)


def test_stopped_in_the_last_evaluation_the_test_set_is_left_for_later(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        at("an epoch is judged", signal.SIGTERM, patch)
        assert "stopped and saved" in sentence(tmp_path, "--epochs", "1")
    tree = checkpoint.load(tmp_path / "checkpoint.npz")
    assert (tree["epochs_done"], tree["test_reads"]) == (1, 0)


def test_the_advice_is_true_when_a_training_is_overwritten(tmp_path, whole, monkeypatch):
    (tmp_path / "checkpoint.npz").write_bytes((whole / "checkpoint.npz").read_bytes())
    before = (tmp_path / "checkpoint.npz").read_bytes()
    with monkeypatch.context() as patch:
        at("the images are loaded", signal.SIGINT, patch)
        said = sentence(tmp_path, "--overwrite")
    assert "stopped; the training that was there is as it was; start again" in said
    assert (tmp_path / "checkpoint.npz").read_bytes() == before
    with monkeypatch.context() as patch:
        stop_in_batch(2, patch)
        said = sentence(tmp_path, "--overwrite")
    assert "stopped and saved; go on with --resume in place of --overwrite" in said
    script(tmp_path, "--resume")
    assert_same(learnt(tmp_path), learnt(whole))


def ended(process):
    """Its exit status, in time."""
    until = time.monotonic() + 60
    while not (found := os.waitpid(process, os.WNOHANG))[0]:
        assert time.monotonic() < until
        time.sleep(0.02)
    return os.waitstatus_to_exitcode(found[1])


@pytest.mark.parametrize(("workers", "ignored"), [("1", True), ("2", False)])
def test_a_terminal_that_is_closed(tmp_path, workers, ignored):
    """The run stops and saves; under nohup it goes on, and nothing that it says is read."""
    process, terminal = pty.fork()
    if not process:
        if ignored:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        else:
            os.dup2(os.open(tmp_path / "said", os.O_WRONLY | os.O_CREAT), 2)
        epochs = ["--epochs", "3" if ignored else "100000"]
        command = [*SMALL, "--workers", workers, *epochs, "--out", str(tmp_path / "out")]
        os.execve(
            sys.executable, [sys.executable, ROOT / "train_cifar100.py", *command], environment()
        )
    seen, until = b"", time.monotonic() + 60
    while b"epoch 1/" not in seen and time.monotonic() < until:
        if select.select([terminal], [], [], 0.1)[0]:
            seen += os.read(terminal, 4096)
    os.close(terminal)
    assert ended(process) == (0 if ignored else 1), seen
    tree = checkpoint.load(tmp_path / "out" / "checkpoint.npz")
    assert not set(os.listdir(tmp_path / "out")) - set(FILES)
    if ignored:
        assert tree["epochs_done"] == 3
    else:
        said = (tmp_path / "said").read_text()
        assert said == "train_cifar100.py: stopped and saved; go on with --resume\n"


# Between two files


def test_killed_before_the_best_network_is_written(tmp_path, whole, monkeypatch):
    def killed(run):
        raise SystemExit("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Run, "write_best", killed)
        with pytest.raises(SystemExit, match="killed"):
            script(tmp_path)
    assert os.listdir(tmp_path) == ["checkpoint.npz"]
    assert checkpoint.load(tmp_path / "checkpoint.npz")["best"]["epoch"] == 1
    with monkeypatch.context() as patch:
        stop_in_batch(1, patch)
        assert "stopped and saved" in sentence(tmp_path, "--resume")
    average = checkpoint.load(tmp_path / "checkpoint.npz")["average"]
    best = mobilenet.load_network(tmp_path / "best.npz")[0].state_dict()
    assert len(best) + 1 == len(average)
    script(tmp_path, "--resume")
    assert_same(learnt(tmp_path), learnt(whole))


def test_killed_before_the_pictures_are_drawn(tmp_path, monkeypatch):
    drawn = []

    def killed(*_):
        raise SystemExit("killed")

    with monkeypatch.context() as patch:
        patch.setattr(finish, "draw", killed)
        with pytest.raises(SystemExit, match="killed"):
            script(tmp_path)
    monkeypatch.setattr(finish, "draw", lambda *_: drawn.append(1))
    for _ in range(2):
        script(tmp_path, "--resume")
    assert drawn == [1] and checkpoint.load(tmp_path / "checkpoint.npz")["test_reads"] == 1


def test_what_a_finished_run_has_lost_is_written_again(tmp_path, monkeypatch):
    monkeypatch.undo()  # with curves
    monkeypatch.setattr(finish, "draw", lambda *_: None)
    script(tmp_path)
    names = ["curves.png", "history.csv", "history.jsonl", "model-card.md", "network.npz"]
    names += ["options.json"]
    before = {name: (tmp_path / name).read_bytes() for name in names}
    for name in names:
        (tmp_path / name).unlink()
    script(tmp_path, "--resume")
    for name in set(names) - {"options.json"}:
        assert (tmp_path / name).read_bytes() == before[name], name
    assert (tmp_path / "options.json").exists()


# Disks and memory


@pytest.fixture
def room():
    """room(bytes): no file may get larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_without_room_for_the_checkpoint(tmp_path, room, monkeypatch):
    script(tmp_path, "--epochs", "1")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    room(len(before["checkpoint.npz"]) // 2)
    said = sentence(tmp_path, "--epochs", "2", "--resume")
    assert "cannot write" in said and "checkpoint.npz" in said
    assert said.endswith("the file there stays as it was")
    assert (tmp_path / "checkpoint.npz").read_bytes() == before["checkpoint.npz"]
    assert sorted(os.listdir(tmp_path)) == sorted(before)


def test_a_disk_without_room_for_the_other_files(tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    for module in ("tinynet.training.history", "tinynet.training.card", "tinynet.training.run"):
        monkeypatch.setattr(f"{module}.atomic_write", full)
    monkeypatch.setattr(mobilenet.network_file.checkpoint, "save", keep_networks_out)
    script(tmp_path)
    assert os.listdir(tmp_path) == ["checkpoint.npz"]
    warned = capsys.readouterr().err.splitlines()
    names = ["best.npz", "options.json", "history.csv", "history.jsonl", "network.npz"]
    for name in [*names, "model-card.md"]:  # once each
        assert [name in line for line in warned].count(True) == 1, warned
    assert checkpoint.load(tmp_path / "checkpoint.npz")["test_reads"] == 1


def keep_networks_out(path, tree, save=checkpoint.save):
    if path.name != "checkpoint.npz":
        raise OSError(28, "No space left on device")
    save(path, tree)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--workers", "1000", "--batch-size", "2000"], "--workers 1000: there are"),
        (["--workers", "26"], "cannot be shared by so many"),
        (["--batch-size", "100000"], "--batch-size 100000: the 100 training images make no batch"),
        (["--cutout", "1024"], "cutout must be a whole number from 0 to 32"),
        (["--val-per-class", "1000000"], "the smallest class has 2 training images"),
        (["--accumulate", "25"], "training needs more than one value per channel"),
        (["--warmup", "1000000"], "--warmup 1e+06: there are only 2 epochs"),
    ],
)
def test_numbers_too_large_to_be_meant(tmp_path, arguments, words):
    assert words in sentence(tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [["--resolution", "1024"], ["--width", "8"]])
def test_too_little_memory(tmp_path, arguments):
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (600 << 20, 600 << 20))

    done = subprocess.run(
        [sys.executable, ROOT / "train_cifar100.py", *SMALL, *arguments, "--out", tmp_path / "o"],
        env=environment(),
        capture_output=True,
        text=True,
        preexec_fn=limit,
        timeout=60,
    )
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
    assert "out of memory (" in done.stderr and "; lower --batch-size, --res" in done.stderr
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("rate", ["1e9", "1e308"])
def test_a_rate_too_high_ends_in_one_line(tmp_path, rate, capsys):
    said = sentence(tmp_path / "out", "--lr", rate)
    assert "is not finite" in said and "start again with a lower --lr than" in said
    assert capsys.readouterr().err == ""  # NumPy's warnings would stand here
    assert not (tmp_path / "out").exists()


# Terminals and names


@pytest.mark.parametrize("closed", [["stdout"], ["stderr"], ["stdout", "stderr"]])
def test_streams_that_are_closed_from_the_start(tmp_path, monkeypatch, whole, closed):
    for name in closed:
        monkeypatch.setattr(sys, name, None)
    script(tmp_path)
    assert_same(learnt(tmp_path), learnt(whole))


def test_streams_that_break(tmp_path, monkeypatch, whole):
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(io.BufferedWriter(Broken()), "utf-8"))
    script(tmp_path)
    assert_same(learnt(tmp_path), learnt(whole))


class Broken(io.RawIOBase):
    def writable(self):
        return True

    def write(self, data):
        raise OSError(5, "Input/output error")


def test_names_do_not_depend_on_the_terminal(tmp_path, monkeypatch):
    image = pytest.importorskip("PIL.Image")
    monkeypatch.undo()
    monkeypatch.setattr(Run, "draw_curves", lambda run, path: None)
    monkeypatch.setattr(finish, "draw", lambda *_: None)
    names = ["k\u00e4fer", "\u732b", "a b", "-x", "new\nline", os.fsdecode(b"caf\xe9")]
    for split in ("train", "test"):
        for i, name in enumerate(names):
            (tmp_path / "my images" / split / name).mkdir(parents=True)
            for j in range(5):
                file = tmp_path / "my images" / split / name / f"{j}.png"
                image.effect_noise((16, 16), 20 * i + j + 10).convert("RGB").save(file)
    recipe = ["--dataset", "folder", "--data-dir", str(tmp_path / "my images"), "--epochs", "1"]
    recipe += ["--batch-size", "8", "--per-class", "4", "--out", str(tmp_path / "\u00fc b")]
    plain, data = sys.stdout, io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(data, "ascii"))
    train_cifar100.main([*SMALL, *recipe])
    sys.stdout.flush()
    assert b"\\xfc b/checkpoint.npz" in data.getvalue()
    ascii_names = image_folder.load(tmp_path / "my images").class_names
    monkeypatch.setattr(sys, "stdout", plain)
    assert image_folder.load(tmp_path / "my images").class_names == ascii_names
    assert set(ascii_names) >= {"k\u00e4fer", "\u732b", "a b", "-x", "new\\nline"}
    train_cifar100.main([*SMALL, *recipe, "--resume"])


def test_a_wrong_command_line_is_one_line(tmp_path, capsys):
    for arguments in (["--preset", "best"], ["--epochs", "x"], ["--nonsense\x1b[31m"]):
        with pytest.raises(SystemExit) as stop:
            script(tmp_path, *arguments)
        (line,) = capsys.readouterr().err.splitlines()
        assert stop.value.code == 2 and line.isprintable() and line.endswith("; see --help")


def test_other_workers_or_threads_are_told(tmp_path, whole, monkeypatch, capsys):
    (tmp_path / "checkpoint.npz").write_bytes((whole / "checkpoint.npz").read_bytes())
    threads = checkpoint.load(whole / "checkpoint.npz")["threads"]
    monkeypatch.setattr(cores, "blas_threads", lambda: 77)
    script(tmp_path, "--resume", "--epochs", "3")
    said = capsys.readouterr().out.splitlines()[0]
    assert f"1 workers of {threads} BLAS threads, and is now with 1 of 77: the last bits" in said
    assert parallel.size == 1
