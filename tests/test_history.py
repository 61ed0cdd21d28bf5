"""The training history: rows, CSV, curves."""

import math
import os

import numpy as np
import pytest

from tinynet.training import History, curves


def make(epochs, **extra):
    history = History()
    for epoch in range(1, epochs + 1):
        history.append(
            epoch=epoch,
            lr=0.1 / epoch,
            train_loss=4 / epoch,
            val_loss=4.5 / epoch,
            train_accuracy=1 - 1 / epoch,
            val_accuracy=0.9 - 0.9 / epoch,
            **extra,
        )
    return history


def test_rows_columns_and_resuming():
    history = make(4)
    assert len(history) == 4
    assert history.rows[1]["lr"] == 0.05
    assert history.column("train_loss") == ([1, 2, 3, 4], [4.0, 2.0, 4 / 3, 1.0])
    history.drop_after(2)
    assert [row["epoch"] for row in history.rows] == [1, 2]
    history.append(epoch=3, note=1)
    assert history.column("note") == ([3], [1])
    assert history.column("nothing") == ([], [])
    history.drop_after(0)
    assert history.rows == []


def test_numbers_of_numpy_become_pythons():
    history = History()
    history.append(epoch=np.int64(1), loss=np.float32(0.1))
    assert {name: type(value) for name, value in history.rows[0].items()} == {
        "epoch": int,
        "loss": float,
    }


@pytest.mark.parametrize(
    ("row", "error", "message"),
    [
        ({"epoch": 2}, ValueError, "epoch 2 comes after epoch 2"),
        ({"epoch": 1}, ValueError, "drop_after"),
        ({"epoch": 2.5}, TypeError, "epoch must be an integer"),
        ({"epoch": True}, TypeError, "epoch must be a number, got bool"),
        ({"epoch": 3, "loss": "low"}, TypeError, "loss must be a number, got str"),
        ({"epoch": 3, "loss": None}, TypeError, "loss"),
        ({"loss": 3.0}, TypeError, "epoch"),
    ],
)
def test_wrong_rows_are_refused(row, error, message):
    history = make(2)
    with pytest.raises(error, match=message):
        history.append(**row)
    assert len(history) == 2


def test_the_tree_is_a_copy_and_comes_back():
    history = make(3)
    tree = history.to_tree()
    history.append(epoch=4)
    history.rows[0]["lr"] = -1
    assert History.from_tree(tree).rows == make(3).rows


@pytest.mark.parametrize(
    "tree", [None, 3, {}, {"rows": 3}, {"rows": [3]}, {"rows": [{}]}, {"rows": [{"epoch": "1"}]}]
)
def test_what_is_no_history_is_refused(tree):
    with pytest.raises(ValueError, match="not a saved history"):
        History.from_tree(tree)


def test_csv_keeps_every_number(tmp_path):
    history = make(3)
    history.append(epoch=10, train_loss=float("nan"), val_loss=float("inf"), seconds=0.1 + 0.2)
    history.write_csv(tmp_path / "h.csv")
    again = History.read_csv(tmp_path / "h.csv")
    assert repr(again.rows[:3]) == repr(history.rows[:3])
    assert again.rows[3].keys() == history.rows[3].keys()
    assert math.isnan(again.rows[3]["train_loss"])
    assert again.rows[3]["seconds"] == 0.1 + 0.2
    lines = (tmp_path / "h.csv").read_bytes().split(b"\n")
    assert lines[0] == b"epoch,lr,train_loss,val_loss,train_accuracy,val_accuracy,seconds"
    assert len(lines) == 6
    assert lines[-1] == b""


def test_a_history_of_nothing_has_a_csv_too(tmp_path):
    History().write_csv(tmp_path / "h.csv")
    assert History.read_csv(tmp_path / "h.csv").rows == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "name the columns"),
        (b"loss\n3\n", "name the columns"),
        (b"epoch,loss\n1,2\n2\n", "line 3 has too many or too few"),
        (b"epoch,loss\n1,2,3\n", "line 2 has too many or too few"),
        (b"epoch,loss\n1,low\n", "line 2.*low"),
        (b"epoch,loss\n,2\n", "line 2.*epoch"),
        (b"epoch,loss\n1.5,2\n", "line 2.*integer"),
        (b"epoch,loss\n2,1\n1,1\n", "line 3.*epoch 1 comes after"),
        (b'epoch,loss\n1,"2\n', "cannot read"),
        (b"\xff\xfe\x00", "cannot read"),
    ],
)
def test_a_damaged_csv_is_named(content, message, tmp_path):
    path = tmp_path / "h.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        History.read_csv(path)
    assert "h.csv" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_csv_is_named(tmp_path):
    with pytest.raises(ValueError, match="h.csv .No such file"):
        History.read_csv(tmp_path / "h.csv")


@pytest.mark.parametrize("write", [lambda h, path: h.write_csv(path), curves.plot])
def test_what_cannot_be_written_leaves_no_trace(write, tmp_path):
    with pytest.raises(OSError, match="cannot write .*missing.*existing, writable folder"):
        write(make(2), tmp_path / "missing" / "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="cannot write"):
        write(make(2), tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]


def read_png(path):
    from matplotlib.image import imread

    return imread(path)[..., :3]


def share_of(picture, colour):
    """The share of pixels of a colour, given as '#RRGGBB'."""
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return (np.abs(picture - wanted).max(axis=-1) < 0.02).mean()


@pytest.mark.parametrize("epochs", [1, 5, 100])
def test_the_picture_shows_both_curves(epochs, tmp_path):
    curves.plot(make(epochs), tmp_path / "curves.png")
    picture = read_png(tmp_path / "curves.png")
    assert picture.shape[0] > 600
    assert picture.shape[1] > 900
    for colour in (curves.TRAIN, curves.VALIDATION, curves.GREY):
        assert share_of(picture, colour) > 1e-4


@pytest.mark.parametrize("left_out", ["train", "val"])
def test_the_picture_shows_the_columns_that_are_there(left_out, tmp_path):
    history = History()
    for row in make(3).rows:
        history.append(**{name: row[name] for name in row if not name.startswith(left_out)})
    curves.plot(history, tmp_path / "curves.png")
    picture = read_png(tmp_path / "curves.png")
    for name, colour in (("train", curves.TRAIN), ("val", curves.VALIDATION)):
        assert (share_of(picture, colour) > 1e-4) == (name != left_out)


def test_a_picture_of_a_diverged_run(tmp_path):
    history = make(3)
    history.append(epoch=4, train_loss=float("nan"), val_loss=float("inf"), train_accuracy=0.0)
    curves.plot(history, tmp_path / "curves.png")
    nothing_finite = History()
    nothing_finite.append(epoch=1, train_loss=float("nan"), lr=0.0)
    curves.plot(nothing_finite, tmp_path / "nan.png")
    assert read_png(tmp_path / "nan.png").std() > 0


@pytest.mark.parametrize("rows", [[], [{"epoch": 1, "seconds": 3}]])
def test_a_history_without_curves_is_refused(rows, tmp_path):
    history = History()
    for row in rows:
        history.append(**row)
    with pytest.raises(ValueError, match="no epoch with a loss"):
        curves.plot(history, tmp_path / "curves.png")
    assert os.listdir(tmp_path) == []
