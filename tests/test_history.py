"""The training history: rows, CSV, curves."""

import json
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
        ({"epoch": 3, "loss": 10**400}, ValueError, "loss is beyond every float"),
        ({"epoch": 10**400}, ValueError, "epoch is beyond every float"),
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
    ("tree", "message"),
    [
        *((tree, "the history: expected a dict with a list") for tree in (None, 3, "x", [], {})),
        *(
            ({"rows": rows}, "the history: expected a dict with a")
            for rows in (None, 3, "", {}, {"epoch": 1}, ())
        ),
        *(({"rows": [row]}, "row 0: expected a dict") for row in (None, 3, "x", [], {1: 2})),
        ({"rows": [{}]}, "row 0: it has no epoch"),
        ({"rows": [{"epoch": -1}]}, "row 0: epoch must be at least 0, got -1"),
        *(({"rows": [{"epoch": e}]}, "row 0: epoch must") for e in ("1", None, True, 1.5, [])),
        ({"rows": [{"epoch": 1}, {"epoch": 2, "loss": "\n"}]}, "row 1: loss must be a number"),
        ({"rows": [{"epoch": 1}, {"epoch": 1}]}, "row 1: epoch 1 comes after epoch 1"),
        ({"rows": [{"epoch": 1, "a\nb": None}]}, r"row 0: a\\nb must be a number"),
    ],
)
def test_what_is_no_history_is_refused(tree, message):
    with pytest.raises(ValueError, match=f"not a saved history .{message}") as error:
        History.from_tree(tree)
    assert str(error.value).isprintable()


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
        (b"epoch,loss\n1,2\n2\n", "line 3: too many or too few"),
        (b"epoch,loss\n1,2,3\n", "line 2: too many or too few"),
        (b"epoch,loss\n1,low\n", "line 2.*low"),
        (b"epoch,loss\n,2\n", "line 2.*epoch"),
        (b"epoch,loss\n1.5,2\n", "line 2.*integer"),
        (b"epoch,loss\n2,1\n1,1\n", "line 3.*epoch 1 comes after"),
        (b'epoch,loss\n1,"2\n', "cannot read"),
        (b"\xff\xfe\x00", "it is not a text in UTF-8"),
        ("epoch;loss\n1;2\n".encode("utf-16"), "it is not a text in UTF-8"),
        (b"epoch,loss,loss\n1,2,3\n", "each once"),
        (b"epoch,loss\n1,2_0\n", "line 2: expected a number, got '2_0'"),
        (b"epoch,loss\n1,1e999\n", "line 2: expected a number, got '1e999'"),
        (b"epoch,loss\n1," + b"9" * 5000, "line 2: expected a number, got '999"),
        (b"epoch,loss\n1," + b"9" * 400, "line 2: loss is beyond every float"),
        (b"epoch,loss\n-1,2\n", "line 2: epoch must be at least 0"),
        (b"epoch;loss\n1;1.234,5\n", "line 2: expected a number, got '1.234.5'"),
        (b'epoch,loss\n1,"2,5"\n', "line 2: expected a number, got '2,5'"),
        (b"epoch,loss\n1,2\x00\n", "cannot read"),
        (b"sep=;\nepoch;loss\n1;2\n", "name the columns"),
        (b"epoch,loss\n1,\xc2\xa02\n", "line 2: expected a number"),
    ],
)
def test_a_damaged_csv_is_named(content, message, tmp_path):
    path = tmp_path / "h.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        History.read_csv(path)
    assert "h.csv" in str(error.value)
    assert "\n" not in str(error.value)


def spreadsheet(text, path):
    path.write_bytes(text.encode())
    return History.read_csv(path).rows


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(("cut", "point"), [(",", "."), (";", "."), (";", ","), ("\t", ",")])
def test_a_csv_that_a_spreadsheet_has_saved(cut, point, mark, ends, tmp_path):
    lines = ["epoch,lr,val_loss", "1,0.5,-2.5e-3", "2,,nan", "3,1e300,-inf", ",,", ""]
    text = mark + ends.join(lines).replace(",", cut).replace(".", point)
    rows = spreadsheet(text, tmp_path / "h.csv")
    assert repr(rows) == repr(
        [
            {"epoch": 1, "lr": 0.5, "val_loss": -2.5e-3},
            {"epoch": 2, "val_loss": math.nan},
            {"epoch": 3, "lr": 1e300, "val_loss": -math.inf},
        ]
    )
    quoted = mark + ends.join(['"epoch";"val; loss"', '"1";"2,5"'])
    assert spreadsheet(quoted, tmp_path / "q.csv") == [{"epoch": 1, "val; loss": 2.5}]


def test_columns_of_odd_names_come_back(tmp_path):
    history = History()
    history.append(
        epoch=1, **{"a;b": 1, "a,b": 2.5, 'say "x"': 3, "a\nb": 4, "self": 5, "\u00e9": 6}
    )
    history.write_csv(tmp_path / "h.csv")
    assert History.read_csv(tmp_path / "h.csv").rows == history.rows
    assert History.from_tree(history.to_tree()).rows == history.rows


def test_jsonl_has_one_object_for_each_epoch(tmp_path):
    history = make(2)
    history.append(epoch=10, train_loss=float("nan"), val_loss=float("-inf"), seconds=0.1 + 0.2)
    history.write_jsonl(tmp_path / "h.jsonl")
    text = (tmp_path / "h.jsonl").read_text()
    assert text.endswith("}\n") and "NaN" not in text and "Infinity" not in text
    rows = [json.loads(line) for line in text.splitlines()]
    assert rows[:2] == history.rows[:2]
    assert rows[2] == {"epoch": 10, "train_loss": None, "val_loss": None, "seconds": 0.1 + 0.2}
    History().write_jsonl(tmp_path / "h.jsonl")
    assert (tmp_path / "h.jsonl").read_bytes() == b""


def test_a_missing_csv_is_named(tmp_path):
    with pytest.raises(ValueError, match="h.csv .No such file"):
        History.read_csv(tmp_path / "h.csv")


@pytest.mark.parametrize("write", [History.write_csv, History.write_jsonl, curves.plot])
def test_what_cannot_be_written_leaves_no_trace(write, tmp_path):
    with pytest.raises(OSError, match="cannot write .*missing.*existing, writable folder"):
        write(make(2), tmp_path / "missing" / "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="cannot write"):
        write(make(2), tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]
