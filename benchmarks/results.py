"""Medians and ratios, facts about the machine, and the file of a day's results.

Times come as one list of seconds per round. The file is JSON, one entry per row, so that rows
measured later join in.
"""

import datetime
import importlib.metadata
import itertools
import json
import platform
import re
from pathlib import Path

import numpy as np

from tinynet import cores
from tinynet.files import atomic_write

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "benchmarks" / "results"
FORMAT = 1
EMPTY = {"rows": {}, "loop": None, "import": None}


class BenchmarkError(RuntimeError):
    """Nothing can be measured. The message is one sentence, fit for a command line.

    said: the last lines that a process which died has left, for a log.
    """

    def __init__(self, message, said=()):
        super().__init__(message)
        self.said = said[-40:]


def quartiles(values):
    """[first quartile, median, third quartile] as floats."""
    return np.percentile(list(values), (25, 50, 75)).tolist()


def describe(rounds):
    """The median of all rounds' steps in ms, and every one of them."""
    return {"median_ms": 1000 * quartiles(itertools.chain(*rounds))[1], "seconds": rounds}


def ratio(theirs, ours):
    """How many times as long theirs takes: the ratio of the medians over all rounds, and the
    quartiles of the rounds' own ratios, which tell how far chance moves it."""
    overall = describe(theirs)["median_ms"] / describe(ours)["median_ms"]
    each = [quartiles(a)[1] / quartiles(b)[1] for a, b in zip(theirs, ours, strict=True)]
    return {"ratio": overall, "quartiles": quartiles(each)[::2]}


def torch_version():
    """The version of the installed torch, None without one. Does not import it."""
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return None


def machine():
    """What a reader of the figures has to know about where they were taken."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    model = re.search(r"^model name\s*: (.*)", text, re.MULTILINE)
    return {
        "processor": model[1] if model else platform.processor() or platform.machine(),
        "cores": cores.available(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": cores.blas_name(),
        "torch": torch_version(),
    }


def now():
    return datetime.datetime.now().isoformat(timespec="seconds")


def path_of_today(folder, kind="cpu"):
    """Today's file in `folder`, which is made if need be; BenchmarkError where it cannot be."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchmarkError(
            f"--out: cannot make the folder {folder} ({error.strerror}); choose a writable place"
        ) from None
    return Path(folder) / f"{kind}-{datetime.date.today().isoformat()}.json"


def load(path, machine, empty=EMPTY):
    """The results in `path`, or new ones like `empty` where there is no such file.

    Raises BenchmarkError where the file is not one of results, or the facts about the machine are
    others: its figures must not stand beside these.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"format": FORMAT, "machine": machine, **empty}
    except ValueError:
        found = None
    other = "move it away or give another --out"
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise BenchmarkError(f"{path} is not a file of results of this program; {other}")
    for name, now in machine.items():
        before = found["machine"].get(name)
        if before != now:
            taken = f"{path} holds figures taken with {name} {before}, not {now}"
            raise BenchmarkError(f"{taken}; {other}")
    return found


def save(path, results):
    """Write the JSON file; a list or an object that holds no other stands on one line."""
    text = json.dumps(results, indent=1)
    text = re.sub(r"[\[{][^\[\]{}]*[\]}]", lambda found: re.sub(r"\n *", " ", found[0]), text)
    with atomic_write(path, "w") as file:
        file.write(text + "\n")
