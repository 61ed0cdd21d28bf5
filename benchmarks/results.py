"""The file of a day's results: JSON, one entry a row, so that rows measured later join in."""

import datetime
import json
import re
from pathlib import Path

from benchmarks.turns import BenchmarkError
from tinynet.files import atomic_write

FOLDER = Path(__file__).resolve().parent / "results"
FORMAT = 1
EMPTY = {"rows": {}, "loop": None, "import": None}


def path_of_today(folder, kind="cpu"):
    """Today's file in `folder`, which is made if need be.

    Raises BenchmarkError where it cannot be made.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchmarkError(
            f"--out: cannot make the folder {folder} ({error.strerror}); choose a writable place"
        ) from None
    return Path(folder) / f"{kind}-{datetime.date.today().isoformat()}.json"


def load(path, machine, empty=EMPTY):
    """The results in `path`, or new ones where there is no such file.

    machine: the facts of this one. empty: what new ones hold. Raises BenchmarkError where the
    file is not one of results or comes from another machine or other versions, whose figures must
    not stand beside these.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"format": FORMAT, "machine": machine, **empty}
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise BenchmarkError(
            f"{path} is not a file of results of this program; move it away or give another --out"
        )
    for name, now in machine.items():
        before = found["machine"].get(name)
        if before != now:
            raise BenchmarkError(
                f"{path} holds figures taken with {name} {before}, not {now}; "
                "move it away or give another --out"
            )
    return found


def merge(found, new):
    """`found` with what `new` has measured in place of, or beside, its own; both are left alone."""
    merged = {**found, "rows": dict(sorted({**found["rows"], **new["rows"]}.items()))}
    for name in ("loop", "import"):
        merged[name] = new[name] or found[name]
    return merged


def save(path, results):
    """Write the JSON file; a list or an object that holds no other stands on one line."""
    text = json.dumps(results, indent=1)
    text = re.sub(r"[\[{][^\[\]{}]*[\]}]", lambda found: re.sub(r"\n *", " ", found[0]), text)
    with atomic_write(path, "w") as file:
        file.write(text + "\n")
