"""History: one row of numbers for each epoch, as a CSV file and inside the checkpoint."""

import csv
import json
import math
from numbers import Integral, Real

from tinynet.files import atomic_write, ordinary, printable


class History:
    """The course of a training: `rows`, a list of dicts, one for each epoch, in order.

    The columns are what the training appends; `curves.plot` looks for `train_loss`, `val_loss`,
    `train_accuracy`, `val_accuracy` (shares from 0 to 1), `lr`, and `lr NAME` of parameters with a
    rate of their own.
    """

    def __init__(self):
        self.rows = []

    def __len__(self):
        return len(self.rows)

    def append(self, /, *, epoch, **values):
        """Add the row of an epoch. Every value is a number; epochs only rise, from 0 or more.

        Raises: ValueError, TypeError.
        """
        try:
            self._add({"epoch": epoch, **values})
        except (TypeError, ValueError) as error:
            raise type(error)(f"History.append: {error}") from None

    def _add(self, row):
        for name, value in row.items():
            if isinstance(value, bool) or not isinstance(value, Real):
                raise TypeError(f"{name} must be a number, got {type(value).__name__}")
            try:
                row[name] = float(value)
            except OverflowError:  # an int that nobody could draw
                raise ValueError(f"{name} is beyond every float") from None
            if isinstance(value, Integral):
                row[name] = int(value)
        epoch, last = row["epoch"], self.rows[-1]["epoch"] if self.rows else -1
        if not isinstance(epoch, int):
            raise TypeError(f"epoch must be an integer, got {epoch}")
        if epoch < 0:
            raise ValueError(f"epoch must be at least 0, got {epoch}")
        if epoch <= last:
            raise ValueError(
                f"epoch {epoch} comes after epoch {last}, but epochs rise (drop_after forgets the "
                f"later ones)"
            )
        self.rows.append(row)

    def drop_after(self, epoch):
        """Forget the rows of all epochs after `epoch`: they are about to be trained again."""
        self.rows = [row for row in self.rows if row["epoch"] <= epoch]

    def column(self, name):
        """Two lists: the epochs that have a value called `name`, and the values."""
        having = [row for row in self.rows if name in row]
        return [row["epoch"] for row in having], [row[name] for row in having]

    def to_tree(self):
        """The history as plain lists and dicts, for a checkpoint."""
        return {"rows": [dict(row) for row in self.rows]}

    @classmethod
    def from_tree(cls, tree):
        """The history that `to_tree` gave. Raises ValueError for anything else."""
        history, place = cls(), "the history"
        rows = tree.get("rows") if isinstance(tree, dict) else None
        try:
            if not isinstance(rows, list):
                raise TypeError("expected a dict with a list of rows")
            for i, row in enumerate(rows):
                place = f"row {i}"
                if not isinstance(row, dict) or not all(isinstance(name, str) for name in row):
                    raise TypeError("expected a dict of names and numbers")
                if "epoch" not in row:
                    raise ValueError("it has no epoch")
                history._add(dict(row))
        except (TypeError, ValueError) as error:
            sentence = printable(f"History.from_tree: not a saved history ({place}: {error})")
            raise ValueError(sentence) from error
        return history

    def write_csv(self, path):
        """Write a header and one line for each epoch; replaces the file in one moment.

        Raises: OSError in one sentence.
        """
        columns = list(dict.fromkeys(name for row in self.rows for name in row)) or ["epoch"]
        with atomic_write(path, "w") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)

    def write_jsonl(self, path):
        """Write one JSON object for each epoch, on a line of its own; null stands for NaN and the
        infinities, which JSON does not have. Replaces the file in one moment.

        Raises: OSError in one sentence.
        """
        with atomic_write(path, "w") as file:
            for row in self.rows:
                finite = {name: v if math.isfinite(v) else None for name, v in row.items()}
                file.write(json.dumps(finite, allow_nan=False) + "\n")

    @classmethod
    def read_csv(cls, path):
        """Read what `write_csv` wrote, also after a spreadsheet has saved it: with a byte order
        mark, with CRLF, and with semicolons or tabs between numbers that may have decimal commas.

        Raises: ValueError, naming the file and the line.
        """
        history = cls()
        try:
            ordinary(path)
            with open(path, encoding="utf-8-sig", newline="") as file:
                first = file.readline()
                cut = next((mark for mark in ",;\t" if mark in first), ",")
                file.seek(0)
                reader = csv.DictReader(file, delimiter=cut, strict=True)
                columns = reader.fieldnames or []
                if "epoch" not in columns or len(set(columns)) < len(columns):
                    raise ValueError(
                        "the first line must name the columns, each once, epoch among them"
                    )
                for row in reader:
                    try:
                        if None in row or None in row.values():  # so csv marks what does not match
                            raise ValueError("too many or too few cells")
                        cells = {name: cell for name, cell in row.items() if cell != ""}
                        if not cells:  # as a spreadsheet saves an empty row
                            continue
                        if "epoch" not in cells:
                            raise ValueError("no epoch")
                        history._add({name: _number(cell, cut) for name, cell in cells.items()})
                    except (TypeError, ValueError) as error:
                        raise ValueError(f"line {reader.line_num}: {error}") from error
        except UnicodeDecodeError as error:
            raise ValueError(_unread(path, "it is not a text in UTF-8")) from error
        except (OSError, ValueError, csv.Error) as error:
            raise ValueError(_unread(path, getattr(error, "strerror", None) or error)) from error
        return history


def _unread(path, reason):
    what = printable(f"History.read_csv: cannot read {path} ({reason})")
    return f"{what}; give a file that write_csv wrote"


def _number(cell, cut):
    if cut != ",":
        cell = cell.replace(",", ".")
    if cell.isascii() and "_" not in cell:  # Python takes 1_0 for ten
        for kind in (int, float):
            try:
                value = kind(cell)
            except ValueError:
                continue
            if kind is int or math.isfinite(value) or cell.strip("+- ").isalpha():  # not 1e999
                return value
    raise ValueError(f"expected a number, got {cell!r:.40}")
