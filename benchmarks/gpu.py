"""tinynet on a GPU: is it right, how fast is it, what does it learn? `python -m benchmarks.gpu`.

Each finding is written to one JSON file at once: a run that is cut off keeps what it has. The exit
status is 1 if a check was not passed or something failed.

An error of CUDA's makes the whole process useless, and a kernel may never end. So every library
works in processes of its own, and one that dies or does not answer is replaced.
"""

import argparse
import contextlib
import itertools
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import gpu_checks, report, results
from benchmarks.gpu_kernels import Device
from benchmarks.results import BenchmarkError
from benchmarks.rows import GPU_ROWS
from benchmarks.turns import FORMATS, OURS, Effort, Worker, compare, start
from tinynet.files import expanded
from tinynet.training import checkpoint
from tinynet.training.options import number

DTYPES = ("float32", "float64")
KERNEL_ROWS = ("H", "I")  # large enough that memory is what counts
LIMIT = 150.0  # seconds for an answer: importing, compiling and choosing algorithms included
LATE = 240  # seconds for which a training may be late before it is stopped
SHARE = 0.9  # of the time that is left for training: validating and saving take the rest
USUAL = Effort(5, turn_seconds=0.7, warm_up_seconds=2, block_seconds=0.1)
QUICK = Effort(3, turn_seconds=0.3, warm_up_seconds=1, block_seconds=0.1, rough=True)


def team():
    """name -> worker, of which each starts when it is first needed."""
    modules = {OURS: "gpu_kernels"} | dict.fromkeys(FORMATS, "torch_worker")
    return {name: Worker(f"benchmarks.{modules[name]}", limit=LIMIT) for name in modules}


def stop(workers):
    for worker in workers.values():
        worker.stop()


class Report:
    """All that was found so far, and its file, written after each finding."""

    def __init__(self, path, found):
        self.path, self.found = path, found

    def begin(self, part):
        """Forget what an earlier run has found in this part."""
        self.found["errors"] = [one for one in self.found["errors"] if one["part"] != part]
        self.found["parts"][part] = {}
        self.keep(part, began=results.now())

    def keep(self, part, **values):
        self.found["parts"][part].update(values)
        results.save(self.path, self.found)

    @contextlib.contextmanager
    def noting(self, part, item, errors=BenchmarkError):
        """Write down one of the `errors` that happens inside the block, and go on after it."""
        try:
            yield
        except errors as error:
            print(f"  FAILED {item}: {error}", flush=True)
            entry = {"part": part, "item": item, "error": str(error)}
            self.found["errors"].append({**entry, "said": getattr(error, "said", [])})
            results.save(self.path, self.found)


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def check(found, workers, options):
    taken = []
    for dtype in DTYPES[:1] if options.quick else DTYPES:
        for name in gpu_checks.CHECKS:
            with found.noting("check", f"{name}, {dtype}"):
                new = workers[OURS].ask("check", name=name, dtype=dtype)
                taken += [{"check": name, "dtype": dtype, **one} for one in new]
                say(f"check {name}, {dtype}: worst {report.worst(new)}")
                found.keep("check", results=taken)


def step(found, workers, options):
    if results.torch_version() is None:
        raise BenchmarkError("torch is not installed; install it, or leave out the part 'step'")
    effort = QUICK if options.quick else USUAL
    rows = {}
    for row, tf32 in itertools.product(GPU_ROWS.values(), (False, True)):
        name = f"{row.name}, {'TF32' if tf32 else 'float32'}"
        with found.noting("step", name):
            rows[name] = one = measure(row, tf32, workers, effort)
            found.keep("step", rows=rows)
            say(f"step {name}: PyTorch's best / ours: {one['ratio_best']['ratio']:.2f}")
        stop(workers)  # for their memory, and since CuPy's TF32 is set for good


def measure(row, tf32, workers, effort=USUAL):
    """Time a row with TF32 on both sides, or on neither; returns what `compare` does."""
    options = {"device": "cuda", "tf32": tf32}
    ready = {OURS: (workers[OURS], options)}
    for name, layout in FORMATS.items():
        ready[name] = workers[name], {**options, "memory_format": layout}
    return compare(row, start(row, ready), effort)


def kernels(found, workers, options):
    worker, rows = workers[OURS], {}
    for name in KERNEL_ROWS[:1] if options.quick else KERNEL_ROWS:
        row, measured = GPU_ROWS[name], []
        entries = worker.ask("record", row=row.message())
        copy_rate = worker.ask("copy_rate")
        say(f"kernels {name}: {row.what}: {len(entries)} kinds of launches")
        for i, facts in enumerate(entries):
            if worker.process is None:  # the last one died, and a new one has to know them
                worker.ask("record", row=row.message())
            with found.noting("kernels", f"{name}, {facts['kernel']} on {facts['on']}"):
                measured.append(rated(facts, worker.ask("kernel", number=i), copy_rate))
                by = {"kernels": by_kernel(measured, copy_rate), "entries": measured}
                rows[name] = {"copy_gb_per_s": copy_rate / 1e9, **by}
                found.keep("kernels", rows=rows)
        stop(workers)  # for their memory


def rated(facts, seconds, copy_rate):
    """An entry's facts, its median microseconds, and its share of the copy's rate."""
    median = results.quartiles(seconds)[1]
    return {**facts, "us": 1e6 * median, "share": facts["bytes"] / median / copy_rate}


def by_kernel(entries, copy_rate):
    """kernel -> the microseconds of its launches in a step, and the share of the copy's rate that
    those which are not small come to; the most expensive first."""
    totals = {}
    for kernel in dict.fromkeys(entry["kernel"] for entry in entries):
        same = [entry for entry in entries if entry["kernel"] == kernel]
        large = [entry for entry in same if not entry["small"]]
        us, large_us = (sum(one["calls"] * one["us"] for one in some) for some in (same, large))
        moved = sum(entry["calls"] * entry["bytes"] for entry in large)
        share = moved / (large_us / 1e6) / copy_rate if large else None
        totals[kernel] = {"us": us, "share": share}
    return dict(sorted(totals.items(), key=lambda item: -item[1]["us"]))


def train(found, workers, options):
    """The training script for about `--minutes`, on the built-in shapes if not told otherwise."""
    arguments = ["--width", "1", "--batch-size", "512", "--dataset", "shapes", "--per-class", "500"]
    if options.script:
        arguments = arguments[:4] + options.script
    arguments += ["--device", "cuda", "--tf32", "--overwrite"]
    out = found.path.with_suffix("")  # beside the JSON file
    found.keep("train", **trained(60 * options.minutes, arguments, out))


def trained(seconds, arguments, out):
    """Train for about so many seconds: two epochs that do not count show how long one takes, then
    as many as end in time, so that the one-cycle schedule comes to its end."""
    began, trial = time.perf_counter(), out / "trial"
    epoch = run_script(trial, 2, arguments, seconds + LATE)["history"]["rows"][1]["seconds"]
    shutil.rmtree(trial)
    spent = time.perf_counter() - began
    left, preparation = seconds - spent, spent - 2 * epoch
    epochs = max(1, int(SHARE * (left - preparation) / epoch))
    say(f"an epoch takes {epoch:.1f} s: training for {epochs} epochs")
    saved = run_script(out, epochs, arguments, max(left, 0) + LATE)
    return {
        "minutes_taken": (time.perf_counter() - began) / 60,
        "arguments": arguments,
        "epochs": saved["history"]["rows"],
        "test_accuracy": saved["test_accuracy"],
        "checkpoint": str(out / "checkpoint.npz"),
    }


def run_script(out, epochs, arguments, limit):
    """What the checkpoint of the training script holds in the end."""
    script = [sys.executable, str(results.ROOT / "train_cifar100.py")]
    command = [*script, "--epochs", str(epochs), "--out", str(out), *arguments]
    try:
        subprocess.run(command, timeout=limit, check=True)
    except subprocess.CalledProcessError as error:
        status = error.returncode
        raise BenchmarkError(f"the training ended with status {status}, see above") from None
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"the training was stopped after {limit:.0f} s") from None
    return checkpoint.load(out / "checkpoint.npz")


PARTS = {"check": check, "step": step, "kernels": kernels, "train": train}


def parse_options(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description="tinynet on a GPU: is it right, how fast is it, what does it learn?",
    )
    add = parser.add_argument
    # fmt: off
    add("--out", metavar="FILE.json",
        help="default benchmarks/results/gpu-DATE.json; parts join those that it has")
    add("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART",
        help=f"only these of {', '.join(PARTS)}")
    add("--quick", action="store_true", help="rough figures, checks in float32 only")
    add("--minutes", type=number(float, 0), default=2.0, help="of training; default 2")
    add("script", nargs="*", metavar="OPTION",
        help="of train_cifar100.py, after `--`: `-- --data-dir data`; without any the built-in "
        "shapes are learnt; default of width and batch: --width 1 --batch-size 512")
    # fmt: on
    return parser.parse_args(expanded(arguments))


def main(arguments=None):
    options, workers = parse_options(arguments), team()
    try:
        facts = Device().facts()
        path = Path(options.out) if options.out else results.path_of_today(results.FOLDER, "gpu")
        path.parent.mkdir(parents=True, exist_ok=True)
        found = Report(path, results.load(path, facts, {"parts": {}, "errors": []}))
        print(report.machine_text(facts), flush=True)
        for name in [name for name in PARTS if name in options.only]:
            say(f"part {name}")
            found.begin(name)
            with found.noting(name, "the whole part", Exception):  # the other parts go on
                PARTS[name](found, workers, options)
            stop(workers)
    except (BenchmarkError, OSError, RuntimeError) as error:
        sys.exit(f"benchmarks.gpu: {error}")
    except KeyboardInterrupt:
        sys.exit("benchmarks.gpu: stopped")
    finally:
        stop(workers)
    print(report.gpu_text(found.found))
    print(f"\nwritten: {path}")
    checks = found.found["parts"].get("check", {}).get("results", [])
    if found.found["errors"] or not all(one["passed"] for one in checks):
        sys.exit(1)  # targets of speed do not count


if __name__ == "__main__":
    main()
