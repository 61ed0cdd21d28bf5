"""History: one row of numbers for each epoch, as a CSV file and inside the checkpoint."""

import csv
from numbers import Integral, Real

from tinynet.files import atomic_write


class History:
    """The course of a training: `rows`, a list of dicts, one for each epoch, in order.

    The columns are what the training appends; `curves.plot` looks for `train_loss`, `val_loss`,
    `train_accuracy`, `val_accuracy` (shares from 0 to 1) and `lr`.
    """

    def __init__(self):
        self.rows = []

    def __len__(self):
        return len(self.rows)

    def append(self, *, epoch, **values):
        """Add the row of an epoch. Every value is a number; epochs only rise.

        Raises: ValueError, TypeError.
        """
        row = {"epoch": epoch, **values}
        for name, value in row.items():
            if isinstance(value, bool) or not isinstance(value, Real):
                raise TypeError(
                    f"History.append: {name} must be a number, got {type(value).__name__}"
                )
            row[name] = int(value) if isinstance(value, Integral) else float(value)
        if not isinstance(row["epoch"], int):
            raise TypeError(f"History.append: epoch must be an integer, got {epoch}")
        if self.rows and epoch <= self.rows[-1]["epoch"]:
            raise ValueError(
                f"History.append: epoch {epoch} comes after epoch {self.rows[-1]['epoch']}; "
                f"when resuming, call drop_after first"
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
        history = cls()
        try:
            for row in tree["rows"]:
                history.append(**row)
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(f"History.from_tree: not a saved history ({error})") from error
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

    @classmethod
    def read_csv(cls, path):
        """Read what `write_csv` wrote. Raises ValueError, naming the file and the line."""
        history = cls()
        try:
            with open(path, encoding="utf-8", newline="") as file:
                reader = csv.DictReader(file, strict=True)
                if "epoch" not in (reader.fieldnames or []):
                    raise ValueError("the first line must name the columns, epoch among them")
                for row in reader:
                    if None in row or None in row.values():  # so csv marks what does not match
                        raise ValueError(f"line {reader.line_num} has too many or too few cells")
                    try:
                        history.append(**{k: _number(v) for k, v in row.items() if v != ""})
                    except (TypeError, ValueError) as error:
                        raise ValueError(f"line {reader.line_num}: {error}") from error
        except (OSError, ValueError, csv.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise ValueError(
                f"History.read_csv: cannot read {path} ({reason}); give a file that write_csv wrote"
            ) from error
        return history


def _number(text):
    try:
        return int(text)
    except ValueError:
        return float(text)
