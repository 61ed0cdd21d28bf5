"""Several processes take turns at one row: only one works at a time, in an order that rotates.

Two libraries in one process would fight: PyTorch's threads spin while NumPy's work. And minutes
apart the machine may be another one. So each library has its own process, and they alternate.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass

from benchmarks import results
from benchmarks.results import BenchmarkError
from benchmarks.tinynet_worker import LOCAL, SYNC
from benchmarks.worker import together
from tinynet import cores

OURS, DEFAULT, CHANNELS_LAST = "tinynet", "torch default", "torch channels_last"
FORMATS = {DEFAULT: "contiguous_format", CHANNELS_LAST: "channels_last"}  # as torch calls them
# several processes that share a batch; "apart": each trains alone, nothing is exchanged
SHARED = {f"tinynet workers, {one or 'apart'}": one for one in (SYNC, LOCAL, None)}
OURS_SYNC, OURS_LOCAL, OURS_APART = SHARED
# in the format that was the quicker one in every row
THEIRS = {f"{CHANNELS_LAST}, {how}": CHANNELS_LAST for how in ("apart", "DDP")}
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
PAUSE = 0.15  # seconds after a turn: the threads that just worked spin for a while, then sleep
GRACE = 10.0  # for a process to end when it is asked to
PRODUCT_SIZE = 2048  # of the square matrices whose product shows the machine's rate


@dataclass(frozen=True)
class Effort:
    """How long to measure a row."""

    rounds: int = 15  # turns of each process
    row_seconds: float = 600.0  # about: fewer rounds where 15 would take longer
    turn_seconds: float = 1.0
    warm_up_seconds: float = 4.0
    profile_steps: int = 5
    block_seconds: float = 0.0  # between two moments at which a GPU is waited for
    rough: bool = False  # whether the figures are to be called so


QUICK = Effort(3, row_seconds=10, turn_seconds=0.4, warm_up_seconds=1, profile_steps=1, rough=True)


class Worker(contextlib.AbstractContextManager):
    """A process that answers requests, started by the first one; `with` ends it in any case.

    One that fails, or does not answer within `limit` seconds, is ended. The next request starts
    another, which knows nothing of what was before.
    """

    def __init__(self, module, threads=None, limit=3600.0, arguments=()):
        self.module, self.limit, self.process = module, limit, None
        self.arguments = tuple(map(str, arguments))
        threads = dict.fromkeys(THREAD_VARIABLES, str(threads or cores.available()))
        self.environment = {**os.environ, **threads, "CUPY_TF32": "0"}  # TF32 only when asked for

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed in `stop`)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.errors}
        place = {"cwd": results.ROOT, "env": self.environment}
        command = [sys.executable, "-m", self.module, *self.arguments]
        self.process = subprocess.Popen(command, text=True, **pipes, **place)

    def stop(self):
        if self.process is None:
            return
        self.process.terminate()  # one that has started others ends them
        try:
            self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.errors):
            with contextlib.suppress(OSError):  # a request that the process did not live to read
                pipe.close()
        self.process = None

    def send(self, do, **arguments):
        if self.process is None:
            self.start()
        with contextlib.suppress(BrokenPipeError):  # `answer` says why
            print(json.dumps({"do": do, **arguments}), file=self.process.stdin, flush=True)

    def answer(self):
        """Raises BenchmarkError where none comes."""
        began, timer = time.perf_counter(), threading.Timer(self.limit, self.process.kill)
        timer.start()
        try:
            line = self.process.stdout.readline()
        finally:
            timer.cancel()
        if line.endswith("\n"):
            return json.loads(line)
        late, status = time.perf_counter() - began >= self.limit, self.process.wait()
        self.errors.seek(0)
        said = self.errors.read().decode(errors="replace").strip().splitlines()
        self.stop()
        if late:
            raise BenchmarkError(f"{self.module}: no answer within {self.limit:g} s", said)
        why = said[-1] if said else f"it said nothing and ended with status {status}"
        raise BenchmarkError(f"the process of {self.module} died: {why}", said)

    def ask(self, do, **arguments):
        self.send(do, **arguments)
        return self.answer()


class Team(contextlib.ExitStack):
    """Workers that are asked at the same time and answer as one."""

    def __init__(self, workers):
        super().__init__()
        self.workers = [self.enter_context(worker) for worker in workers]

    def send(self, do, **arguments):
        for worker in self.workers:
            worker.send(do, **arguments)

    def answer(self):
        return together([worker.answer() for worker in self.workers])

    ask = Worker.ask


def crew(workers, threads=None):
    """A worker whose process starts workers of `tinynet.parallel`."""
    threads = threads or max(1, cores.available() // workers)
    return Worker("benchmarks.tinynet_worker", threads, arguments=(workers,))


@contextlib.contextmanager
def cpu_workers(row, threads=None, ours_only=False, workers=1):
    """name -> worker that has the row's network ready. workers: where they are more than 1, there
    are also processes, so many at a time, that share each batch and the cores."""
    with contextlib.ExitStack() as stack:
        found = {OURS: (Worker("benchmarks.tinynet_worker", threads), {})}
        layouts = {} if ours_only else FORMATS
        for name, layout in layouts.items():
            found[name] = Worker("benchmarks.torch_worker", threads), {"memory_format": layout}
        if workers > 1:
            for name, exchange in SHARED.items():
                found[name] = crew(workers, threads), {"exchange": exchange}
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            for name, form in THEIRS.items() if layouts else ():
                meeting = [os.path.join(folder, name)] if name.endswith("DDP") else []
                few = threads or max(1, cores.available() // workers)
                each = [
                    Worker("benchmarks.torch_worker", few, arguments=(rank, workers, *meeting))
                    for rank in range(workers)
                ]
                found[name] = Team(each), {"memory_format": FORMATS[form]}
        for worker, _ in found.values():
            stack.enter_context(worker)
        yield start(row, found)


def start(row, workers):
    """name -> worker that has the row's network ready. All prepare at the same time.

    workers: name -> (worker, further arguments of its "start"). Raises BenchmarkError if the
    networks are not the same size.
    """
    for worker, options in workers.values():
        worker.send("start", row=row.message(), **options)
    sizes = {name: worker.answer() for name, (worker, _) in workers.items()}
    if len(set(sizes.values())) > 1:
        raise BenchmarkError(f"row {row.name}: the networks are not the same size: {sizes}")
    return {name: worker for name, (worker, _) in workers.items()}


def compare(row, workers, effort, between=lambda: None):
    """Time a row on workers that have it ready.

    Returns a dict ready for JSON: the row, when and how it was measured, "times" (name -> median,
    every step's seconds, and the worker's facts), "best" (the faster of PyTorch's two),
    "ratio_best" and "ratio_default"; without PyTorch the last three are None. "workers" is what
    `compare_shared` returns, or None.
    """
    seconds = take_turns(workers, effort, between)
    times = {
        name: {**results.describe(seconds[name]), **worker.ask("facts")}
        for name, worker in workers.items()
    }
    best = fastest(times, FORMATS)
    return {
        "row": asdict(row),
        "measured": results.now(),
        "effort": asdict(effort),
        "times": times,
        "best": best,
        "ratio_best": best and results.ratio(seconds[best], seconds[OURS]),
        "ratio_default": best and results.ratio(seconds[DEFAULT], seconds[OURS]),
        "workers": compare_shared(seconds, times, workers, effort)
        if OURS_SYNC in workers
        else None,
    }


def fastest(times, names):
    """The name whose step takes least time, of those that were timed; None if none was."""
    return min(
        times.keys() & set(names), key=lambda name: (times[name]["median_ms"], name), default=None
    )


def compare_shared(seconds, times, workers, effort):
    """What is to say of processes that share a batch.

    Returns "best", the fastest of PyTorch's, or None; for "sync" and "local", our two kinds of
    BatchNorm: "one" and "many", the ratios of PyTorch's best in one process and in several to our
    workers, or None; "exchange", how much longer a step takes than without any exchange, and
    "exchange_ms", which worker 0 spends in it, waiting included.
    """
    one, many = fastest(times, FORMATS), fastest(times, THEIRS)
    found = {"best": many}
    for kind, name in ((SYNC, OURS_SYNC), (LOCAL, OURS_LOCAL)):
        found[kind] = {
            "one": one and results.ratio(seconds[one], seconds[name]),
            "many": many and results.ratio(seconds[many], seconds[name]),
            "exchange": results.ratio(seconds[name], seconds[OURS_APART])["ratio"] - 1,
            "exchange_ms": workers[name].ask("exchanged", count=effort.profile_steps)["ms"],
        }
    return found


def measure(row, effort, threads=None, ours_only=False, workers=1):
    """Time one row on the CPU. Returns what `compare` does, with "products" (the time that the
    step's matrix products alone would take) and "profile"; in "workers" is their "count" too."""
    rates = []
    with (
        cpu_workers(row, threads, ours_only, workers) as ready,
        # a process of its own: its matrices must not count as the network's memory
        Worker("benchmarks.tinynet_worker", threads) as calculator,
    ):

        def multiply():
            rates.extend(_rested(calculator, "products", size=PRODUCT_SIZE, count=2))

        record = compare(row, ready, effort, multiply)
        profile = ready[OURS].ask("profile", count=effort.profile_steps)
    if record["workers"]:
        record["workers"]["count"] = workers
    rate = results.quartiles(rates)[1]
    ms = 2 * row.mult_adds()[0] / rate / 1e6
    share = ms / record["times"][OURS]["median_ms"]
    products = {"ms": ms, "share": share, "gflops": rate, "all_gflops": rates}
    return {**record, "products": products, "profile": profile}


def take_turns(workers, effort, between=lambda: None):
    """name -> one list of seconds per round: of a step, one for each block of steps.

    The first block of a turn, which finds the caches cold, does not count. `between` runs before
    each round and after the last.
    """
    turns, estimate = {}, 0.0
    for name, worker in workers.items():
        step = warm_up(worker, effort)
        size = max(1, round(effort.block_seconds / step))
        count = 1 + max(1, round(effort.turn_seconds / (size * step)))
        turns[name] = {"count": count, "size": size}
        estimate += count * size * step + PAUSE
    order, seconds = list(workers), {name: [] for name in workers}
    between()
    for _ in range(max(1, min(effort.rounds, int(effort.row_seconds / estimate)))):
        for name in order:
            seconds[name].append(_rested(workers[name], "steps", **turns[name])[1:])
        order = order[1:] + order[:1]  # each time another one begins
        between()
    return seconds


def _rested(worker, do, **arguments):
    answer = worker.ask(do, **arguments)
    time.sleep(PAUSE)
    return answer


def warm_up(worker, effort):
    """Run the steps that do not count; returns about how many seconds a step takes."""
    spent = worker.ask("steps", count=1)
    while sum(spent) < effort.warm_up_seconds:
        spent += worker.ask("steps", count=1)
    time.sleep(PAUSE)
    return min(spent)
