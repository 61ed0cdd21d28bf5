"""TensorBoard's event files, read back record by record."""

import math
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboardX.proto import event_pb2
from tensorboardX.record_writer import masked_crc32c

from tinynet.training import History
from tinynet.training.events import SCALARS, TensorBoard

ROOT = Path(__file__).resolve().parent.parent


def records(path):
    """The events of a file; the checksums must hold, and nothing may be left over."""
    data, place = path.read_bytes(), 0
    while place < len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        head, body = data[place : place + 8], data[place + 12 : place + 12 + length]
        assert struct.unpack_from("<I", data, place + 8)[0] == masked_crc32c(head)
        assert struct.unpack_from("<I", data, place + 12 + length)[0] == masked_crc32c(body)
        yield event_pb2.Event.FromString(body)
        place += 16 + length


def drawn(folder):
    """{tag: {step: value}} as TensorBoard draws it: file after file in the order of the names, and
    the start of a session takes away what its step and later ones had."""
    curves = {}
    for path in sorted(Path(folder).iterdir()):
        assert ".tfevents." in path.name
        first, *events = records(path)
        assert first.file_version == "brain.Event:2"
        for event in events:
            if event.HasField("session_log"):
                assert event.session_log.status == event_pb2.SessionLog.START
                curves = {
                    t: {s: v for s, v in c.items() if s < event.step} for t, c in curves.items()
                }
            for value in event.summary.value:
                curve = curves.setdefault(value.tag, {})
                assert event.step not in curve, "an epoch is drawn twice"
                curve[event.step] = value.simple_value
    return curves


def write(folder, epochs, loss):
    board = TensorBoard(folder)
    for epoch in epochs:
        board.epoch({"epoch": epoch, "train_loss": loss})
    board.close()


def test_every_column_is_a_scalar_at_its_epoch(tmp_path):
    history = History()
    columns = [column for _, column in SCALARS]
    for epoch in (1, 2, 7):
        values = {column: epoch + i / 8 for i, column in enumerate(columns)}
        history.append(epoch=epoch, seconds=3.0, **values)
    board = TensorBoard(tmp_path / "deep" / "events")
    for row in history.rows:
        board.epoch(row)
        assert drawn(tmp_path / "deep" / "events")["lr"][row["epoch"]]  # on the disk already
    board.close()
    expected = {tag: {e: e + i / 8 for e in (1, 2, 7)} for i, (tag, _) in enumerate(SCALARS)}
    assert drawn(tmp_path / "deep" / "events") == expected
    assert set(expected) > {"loss/train", "loss/validation", "accuracy/train", "lr"}


def test_columns_that_are_missing_or_no_numbers(tmp_path, capsys):
    board = TensorBoard(tmp_path)
    board.epoch({"epoch": 1, "train_loss": math.nan, "val_loss": math.inf})
    board.epoch({"epoch": 2})
    board.close()
    curves = drawn(tmp_path)
    assert set(curves) == {"loss/train", "loss/validation"}
    assert math.isnan(curves["loss/train"][1]) and curves["loss/validation"] == {1: math.inf}
    assert capsys.readouterr() == ("", "")


def test_a_resumed_training_draws_no_epoch_twice(tmp_path):
    write(tmp_path, range(1, 5), 1.0)
    write(tmp_path, range(3, 5), 2.0)  # within the same second
    write(tmp_path, range(4, 7), 3.0)
    assert drawn(tmp_path) == {"loss/train": {1: 1.0, 2: 1.0, 3: 2.0, 4: 3.0, 5: 3.0, 6: 3.0}}


def test_a_training_started_anew_hides_the_earlier_one(tmp_path):
    write(tmp_path, range(2, 5), 1.0)
    write(tmp_path, range(1, 3), 2.0)
    os.rename(next(tmp_path.glob("*1")), tmp_path / "events.out.tfevents.9999999999.later")
    assert drawn(tmp_path) == {"loss/train": {1: 2.0, 2: 2.0}}


def test_without_epochs_there_is_no_file(tmp_path):
    board = TensorBoard(tmp_path / "events")
    board.close()
    board.close()
    assert os.listdir(tmp_path) == []


def test_after_close_it_goes_on_in_another_file(tmp_path):
    board = TensorBoard(tmp_path)
    for epoch in (1, 2):
        board.epoch({"epoch": epoch, "lr": 0.5})
        board.close()
    assert drawn(tmp_path) == {"lr": {1: 0.5, 2: 0.5}}


def test_where_nothing_can_be_written_it_warns_once(tmp_path, capsys):
    (tmp_path / "events").write_text("a file")
    board = TensorBoard(tmp_path / "events")
    for epoch in (1, 2, 3):
        board.epoch({"epoch": epoch, "train_loss": 1.0})
    board.close()
    out, error = capsys.readouterr()
    assert out == ""
    expected = f"TensorBoard: cannot write events into {tmp_path / 'events'} (File exists); "
    assert error == expected + "the training goes on without them\n"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX's limit of the size of files")
def test_a_full_disk_ends_the_events_and_not_the_training(tmp_path):
    code = f"""
import resource, signal
from tinynet.training.events import TensorBoard

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
board = TensorBoard({str(tmp_path)!r})
board.epoch({{"epoch": 1, "train_loss": 1.0}})
resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
for epoch in range(2, 30):
    board.epoch({{"epoch": epoch, "train_loss": 1.0}})
board.close()
print("trained on")
"""
    # in development mode (from Python 3.13 on, always) a file that is closed too late says so
    command = [sys.executable, "-X", "dev", "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "trained on\n")
    assert done.stderr == (
        f"TensorBoard: cannot write events into {tmp_path} (File too large); the training goes on "
        "without them\n"
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "TensorBoard needs a package that is not here"),
        (
            "raise TypeError('Descriptors cannot be created directly.\\nSee there')",
            "cannot be loaded",
        ),
        ("raise ImportError", "cannot be loaded .ImportError."),
    ],
)
def test_without_the_package_it_says_how_to_get_it(content, words, monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.startswith("tensorboardX")]:
        monkeypatch.delitem(sys.modules, name)
    if content is None:
        monkeypatch.setitem(sys.modules, "tensorboardX", None)
    else:
        (tmp_path / "tensorboardX").mkdir()
        (tmp_path / "tensorboardX" / "__init__.py").write_text(content)
        monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=words) as error:
        TensorBoard(tmp_path)
    assert 'pip install -e ".[tensorboard]"' in str(error.value)
    assert "\n" not in str(error.value)


def test_a_closed_stderr_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "events").write_text("a file")
    closed = open(tmp_path / "x", "w")  # noqa: SIM115
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    TensorBoard(tmp_path / "events").epoch({"epoch": 1, "lr": 0.1})
