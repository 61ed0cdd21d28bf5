"""Several processes take turns at one row: only one works at a time, in an order that rotates.

Two libraries in one process would fight: PyTorch's threads spin while NumPy's work. And minutes
apart the machine may be another one. So each library has its own process, and they alternate.
"""

import contextlib
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import machine, stats

ROOT = Path(__file__).resolve().parent.parent
OURS, DEFAULT, CHANNELS_LAST = "tinynet", "torch default", "torch channels_last"
PAUSE = 0.15  # seconds after a turn: the threads that just worked spin for a while, then sleep
LONG = 2.0  # seconds of a step that needs no other before it to fill the caches and wake threads


class BenchmarkError(RuntimeError):
    """Nothing can be measured. The message is one sentence, fit for a command line.

    said: the last lines that a process which died has left, for a log.
    """

    said = ()


@dataclass(frozen=True)
class Effort:
    """How long to measure: turns for each process, but no more than fit into about
    `row_seconds`; about how many seconds a turn; steps of warm-up, no more once these have taken
    `warm_up_seconds`; steps of the profile; the size of the square matrices whose product shows
    the machine's rate. rough: whether the figures are to be called so."""

    rounds: int = 15
    row_seconds: float = 600.0
    turn_seconds: float = 1.0
    warm_up_steps: int = 8
    warm_up_seconds: float = 8.0
    profile_steps: int = 5
    product_size: int = 2048
    rough: bool = False


QUICK = Effort(
    rounds=3,
    row_seconds=10.0,
    turn_seconds=0.4,
    warm_up_steps=4,
    warm_up_seconds=1.5,
    profile_steps=1,
    rough=True,
)


class Worker:
    """A process that answers requests; `with` ends it, whatever happens.

    variables: environment variables that it is to have besides its parent's.
    """

    def __init__(self, module, threads=None, variables=None):
        self.module = module
        threads = str(threads or machine.cores())
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed in __exit__)
        self.process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            cwd=ROOT,
            env={
                **os.environ,
                **dict.fromkeys(machine.THREAD_VARIABLES, threads),
                **(variables or {}),
            },
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.errors):
            with contextlib.suppress(OSError):  # a request that the process did not live to read
                pipe.close()

    def send(self, do, **arguments):
        with contextlib.suppress(BrokenPipeError):  # `answer` says why
            print(json.dumps({"do": do, **arguments}), file=self.process.stdin, flush=True)

    def answer(self):
        line = self.process.stdout.readline()
        if line.endswith("\n"):
            return json.loads(line)
        status = self.process.wait()
        self.errors.seek(0)
        said = self.errors.read().decode(errors="replace").strip().splitlines()
        why = said[-1] if said else f"it said nothing and ended with status {status}"
        error = BenchmarkError(f"the process of {self.module} died: {why}")
        error.said = said[-40:]
        raise error

    def ask(self, do, **arguments):
        self.send(do, **arguments)
        return self.answer()


@contextlib.contextmanager
def contestants(row, threads, ours_only=False):
    """name -> worker that has the row's network ready. All prepare at the same time."""
    with contextlib.ExitStack() as stack:
        workers = {}

        def enter(name, module, **arguments):
            workers[name] = stack.enter_context(Worker(module, threads))
            workers[name].send("start", row=row.message(), **arguments)

        enter(OURS, "benchmarks.tinynet_worker")
        if not ours_only:
            for name, layout in ((DEFAULT, "default"), (CHANNELS_LAST, "channels_last")):
                enter(name, "benchmarks.torch_worker", threads=threads, memory_format=layout)
        started = {name: worker.answer() for name, worker in workers.items()}
        sizes = {name: facts["parameters"] for name, facts in started.items()}
        if len(set(sizes.values())) > 1:
            raise BenchmarkError(f"row {row.name}: the networks are not the same size: {sizes}")
        yield workers, started


def measure(row, effort, threads=None, ours_only=False):
    """Time one row.

    Returns a dict ready for JSON: the row, when and how it was measured, "times" (name of a
    contestant -> statistics, memory and every step's seconds), "best" (the faster of PyTorch's
    two), "ratio_best" and "ratio_default", "products", "profile"; without PyTorch the three
    in the middle are None. Raises BenchmarkError when a worker dies.
    """
    threads = threads or machine.cores()
    products, depthwise = row.mult_adds()
    with (
        contestants(row, threads, ours_only) as (workers, started),
        # a process of its own: its matrices must not count as the network's memory
        Worker("benchmarks.tinynet_worker", threads) as calculator,
    ):
        seconds, rates = _take_turns(workers, calculator, effort)
        times = {
            name: {
                **stats.describe(seconds[name]),
                "after_imports_mb": started[name]["after_imports_mb"],
                "peak_mb": worker.ask("memory")["peak_mb"],
            }
            for name, worker in workers.items()
        }
        profile = workers[OURS].ask("profile", count=effort.profile_steps)
    record = {
        "row": asdict(row),
        "measured": datetime.datetime.now().isoformat(timespec="seconds"),
        "threads": threads,
        "effort": asdict(effort),
        "times": times,
        "best": None,
        "ratio_best": None,
        "ratio_default": None,
        "products": _products(products, depthwise, rates, times[OURS]["median_ms"]),
        "profile": profile,
    }
    if not ours_only:
        best = min((DEFAULT, CHANNELS_LAST), key=lambda name: times[name]["median_ms"])
        record["best"] = best
        record["ratio_best"] = stats.ratio(seconds[best], seconds[OURS])
        record["ratio_default"] = stats.ratio(seconds[DEFAULT], seconds[OURS])
    return record


def _products(mult_adds, depthwise, rates, step_ms):
    """The time that the step's matrix products would take at the machine's own rate."""
    rate = stats.quartiles(rates)[1]
    ms = 2 * mult_adds / rate / 1e6
    return {
        "mult_adds": mult_adds,
        "depthwise_mult_adds": depthwise,
        "gflops": rate,
        "all_gflops": rates,
        "ms": ms,
        "share": ms / step_ms,
    }


def _take_turns(workers, calculator, effort):
    """(name -> one list of seconds a round, GFLOP/s of matrix products before each round and
    after the last). The first step of a turn, which finds the caches cold, does not count."""
    names = list(workers)
    counts, colds, estimate = {}, {}, 0.0
    for name, worker in workers.items():
        step = warm_up(worker, effort)
        counts[name] = max(1, round(effort.turn_seconds / step))
        colds[name] = 0 if step > LONG else 1
        estimate += (counts[name] + colds[name]) * step + PAUSE
    rounds = max(1, min(effort.rounds, int(effort.row_seconds / estimate)))
    product = {"size": effort.product_size, "count": 2}
    seconds = {name: [] for name in names}
    rates = _rested(calculator, "products", **product)
    for number in range(rounds):
        for name in rotated(names, number):
            cold = colds[name]
            taken = _rested(workers[name], "steps", count=cold + counts[name])
            seconds[name].append(taken[cold:])
        rates += _rested(calculator, "products", **product)
    return seconds, rates


def rotated(names, number):
    """The order of round `number`: each time another one begins."""
    first = number % len(names)
    return names[first:] + names[:first]


def _rested(worker, do, **arguments):
    answer = worker.ask(do, **arguments)
    time.sleep(PAUSE)
    return answer


def warm_up(worker, effort):
    """Run the steps that do not count; returns about how many seconds a step takes."""
    spent = []
    while len(spent) < effort.warm_up_steps and sum(spent) < effort.warm_up_seconds:
        spent += worker.ask("steps", count=1)
    time.sleep(PAUSE)
    return min(spent)
