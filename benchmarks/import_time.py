"""How long `import tinynet` takes in a fresh interpreter."""

import os
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks.turns import ROOT

TARGET = 0.25  # seconds


def measure(times):
    """Median seconds of `import tinynet` and of an interpreter that does nothing, in turns.

    Returns {"raw_s", "bare_s", "import_s": the difference, "seconds": every one}.
    """
    seconds = {"pass": [], "import tinynet": []}
    with tempfile.TemporaryDirectory() as compiled:
        # compiled files as a user has them, even where this process must not write any
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for _ in range(times + 1):
            for code, taken in seconds.items():
                started = time.perf_counter()
                command = [sys.executable, "-c", code]
                subprocess.run(command, cwd=ROOT, env=environment, check=True)
                taken.append(time.perf_counter() - started)
    for taken in seconds.values():
        del taken[0]  # it read the sources and compiled them
    bare, raw = (statistics.median(taken) for taken in seconds.values())
    return {"raw_s": raw, "bare_s": bare, "import_s": raw - bare, "seconds": seconds}
