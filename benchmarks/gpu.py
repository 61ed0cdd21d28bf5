"""tinynet on a GPU: is it right, how fast is it, what does it learn? `python -m benchmarks.gpu`.

Four parts: `check` compares the GPU with the CPU, `step` times a training step beside PyTorch's,
`kernels` each kernel beside a copy of memory, `train` trains CIFAR-100 for some minutes. All that
is found goes into one JSON file, which is written after each finding: a run that is cut off keeps
what it has. The exit status is 1 if a check was not passed or something failed.

An error of CUDA's makes the whole process useless, and a kernel may never end. So every library
works in processes of its own, and one that dies or does not answer is replaced.
"""

import argparse
import contextlib
import itertools
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

import tinynet as tn
from benchmarks import gpu_checks, report, results
from benchmarks.gpu_kernels import Device
from benchmarks.results import BenchmarkError
from benchmarks.rows import GPU_ROWS
from benchmarks.turns import CHANNELS_LAST, DEFAULT, FORMATS, OURS, Effort, Worker, compare, start
from tinynet.training import checkpoint
from tinynet.training.options import number

PARTS = ("check", "step", "kernels", "train")
DTYPES = ("float32", "float64")
KERNEL_ROWS = ("H", "I")  # large enough that memory is what counts
LIMIT = 150.0  # seconds for an answer: importing, compiling and choosing algorithms included
LATE = 240  # seconds for which a training may be late before it is stopped
SHARE = 0.95  # of the time that is left for training: epochs are not all alike
USUAL = Effort(5, turn_seconds=0.7, warm_up_seconds=2, block_seconds=0.1)
QUICK = Effort(
    3, turn_seconds=0.3, warm_up_seconds=1, profile_steps=2, block_seconds=0.1, rough=True
)
MODULES = {OURS: "gpu_kernels", DEFAULT: "torch_worker", CHANNELS_LAST: "torch_worker"}


def team():
    """name -> worker, of which each starts when it is first needed."""
    return {
        name: Worker(f"benchmarks.{module}", variables={"CUPY_TF32": "0"}, limit=LIMIT)
        for name, module in MODULES.items()
    }


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
        self.keep(part, began=results.now(), tinynet=tn.__version__)

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
                passed = all(one["passed"] for one in new)
                verdict = "passed" if passed else "NOT PASSED"
                say(f"check {name}, {dtype}: {verdict}; worst {report.worst(new)}")
                found.keep("check", results=taken)


def step(found, workers, options):
    if results.torch_version() is None:
        raise BenchmarkError("torch is not installed; install it, or leave out the part 'step'")
    effort = QUICK if options.quick else USUAL
    rows, profiles = {}, {}
    for row, tf32 in itertools.product(GPU_ROWS.values(), (False, True)):
        name = f"{row.name}, {'TF32' if tf32 else 'float32'}"
        with found.noting("step", name):
            rows[name] = one = measure(row, tf32, workers, effort)
            found.keep("step", rows=rows)
            times = (f"{who} {of['median_ms']:.2f} ms" for who, of in one["times"].items())
            say(f"step {name}: {', '.join(times)}: {one['ratio_best']['ratio']:.2f}")
        stop(workers)  # for their memory, and since CuPy's TF32 is set for good
        with found.noting("step", f"profile of {name}"):
            if name in rows:
                profiles[name] = profile(row, tf32, one["best"], workers, effort.profile_steps)
                found.keep("step", profiles=profiles)
        stop(workers)


def arguments_of(tf32):
    """name of a worker -> the arguments of its task "start" """
    arguments = {"device": "cuda", "tf32": tf32}
    return {OURS: arguments} | {
        name: {**arguments, "memory_format": layout} for name, layout in FORMATS.items()
    }


def measure(row, tf32, workers, effort=USUAL):
    """Time a row with TF32 on both sides, or on neither; returns what `compare` does."""
    options = arguments_of(tf32)
    ready = start(row, {name: (workers[name], options[name]) for name in options})
    return {**compare(row, ready, effort), "tf32": tf32}


def profile(row, tf32, best, workers, count):
    """The kernels of a step: of ours, and of PyTorch's in its faster memory format. PyTorch's
    profiler sees both."""
    found = {}
    for name in (OURS, best):
        options = {"ours": name == OURS, "row": row.message(), **arguments_of(tf32)[name]}
        kernels = workers[DEFAULT].ask("profile", count=count, **options)
        found[name] = {
            "gpu_ms": sum(one["us"] for one in kernels) / 1000,
            "launches": sum(one["calls"] for one in kernels),
            "kernels": kernels,
        }
    return found


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
                rows[name] = {"row": asdict(row), "copy_gb_per_s": copy_rate / 1e9, **by}
                found.keep("kernels", rows=rows)


def rated(facts, seconds, copy_rate):
    """An entry's facts and what was measured: median microseconds, GB/s, share of the copy's."""
    low, median, high = results.quartiles(seconds)
    rate = facts["bytes"] / median
    return {
        **facts,
        "us": 1e6 * median,
        "quartiles_us": [1e6 * low, 1e6 * high],
        "gb_per_s": rate / 1e9,
        "share": rate / copy_rate,
    }


def by_kernel(entries, copy_rate):
    """The same for each kernel over all its launches of a step that are not small."""
    totals = {}
    for entry in entries:
        total = totals.setdefault(entry["kernel"], {"us": 0.0, "large_us": 0.0, "large_bytes": 0})
        us = entry["calls"] * entry["us"]
        total["us"] += us
        if not entry["small"]:
            total["large_us"] += us
            total["large_bytes"] += entry["calls"] * entry["bytes"]
    for total in totals.values():
        us, moved = total["large_us"], total["large_bytes"]
        total["share"] = moved / (us / 1e6) / copy_rate if us else None
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
    """Train for about so many seconds. Two epochs that do not count show how long one takes; then
    as many are trained as end in time, so that the one-cycle schedule comes to its end.

    arguments: of the training script. out: its folder. Returns a dict ready for JSON.
    """
    began, trial = time.perf_counter(), out / "trial"
    first, second = run_script(["--epochs", "2", "--out", trial, *arguments], seconds + LATE)
    shutil.rmtree(trial)
    epoch, left = second - first, began + seconds - time.perf_counter()
    epochs = epochs_in(left, first - epoch, epoch)
    say(f"an epoch takes {epoch:.1f} s: training for {epochs} epochs")
    run_script(["--epochs", str(epochs), "--out", out, *arguments], max(left, 0) + LATE)
    saved = checkpoint.load(out / "checkpoint.npz")
    return {
        "minutes_asked": seconds / 60,
        "minutes_taken": (time.perf_counter() - began) / 60,
        "arguments": arguments,
        "options": saved["options"],
        "epochs": saved["history"]["rows"],
        "test_accuracy": saved["test_accuracy"],
        "checkpoint": str(out / "checkpoint.npz"),
    }


def epochs_in(seconds, preparation, epoch):
    """How many epochs of `epoch` seconds fit, after `preparation`; at least one."""
    return max(1, int(SHARE * (seconds - preparation) / epoch))


def run_script(arguments, limit):
    """Run the training script; the seconds after which it told of the end of each epoch."""
    command = [sys.executable, str(results.ROOT / "train_cifar100.py"), *map(str, arguments)]
    began, ends = time.perf_counter(), []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        timer = threading.Timer(limit, process.kill)
        timer.start()
        try:
            for line in process.stdout:
                print(line, end="", flush=True)
                if line.startswith("epoch "):
                    ends.append(time.perf_counter() - began)
        finally:
            timer.cancel()
    if process.returncode:
        status = f"the training ended with status {process.returncode}, see above"
        raise BenchmarkError(f"{status} (it is stopped after {limit:.0f} s)")
    return ends


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
    return parser.parse_args(arguments)


def main(arguments=None):
    options, workers = parse_options(arguments), team()
    parts = {"check": check, "step": step, "kernels": kernels, "train": train}
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
                parts[name](found, workers, options)
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
