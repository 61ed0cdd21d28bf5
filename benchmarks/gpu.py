"""tinynet on a GPU: is it right, how fast is it, what does it learn? `python -m benchmarks.gpu`.

Four parts: `check` compares the GPU with the CPU, `step` times a training step beside PyTorch's,
`kernels` each kernel beside a copy of memory, `train` trains CIFAR-100 for some minutes. All that
is found goes into one JSON file, which is written after each finding: a run that is cut off keeps
what it has. The exit status is 1 if a check was not passed or something failed.
"""

import argparse
import dataclasses
import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

import tinynet as tn
from benchmarks import gpu_checks, gpu_kernels, gpu_report, gpu_steps, machine, results
from benchmarks.gpu_crew import OURS, Crew
from benchmarks.gpu_device import Device
from benchmarks.rows import GPU_ROWS
from benchmarks.turns import ROOT, BenchmarkError
from tinynet.training.options import number

PARTS = ("check", "step", "kernels", "train")
DTYPES = ("float32", "float64")
KERNEL_ROWS = ("H", "I")  # large enough that memory is what counts
LATE = 240  # seconds for which a training may be late before it is stopped
EMPTY = {"parts": {}, "errors": []}


class Report:
    """All that was found so far, and its file."""

    def __init__(self, path, found):
        self.path, self.found = path, found

    def keep(self, part, **values):
        self.found["parts"].setdefault(part, {}).update(values)
        results.save(self.path, self.found)

    def begin(self, part):
        """Forget what an earlier run has found in this part."""
        self.found["errors"] = [one for one in self.found["errors"] if one["part"] != part]
        began = datetime.datetime.now().isoformat(timespec="seconds")
        self.found["parts"][part] = {"began": began, "tinynet": tn.__version__}
        results.save(self.path, self.found)

    def failed(self, part, item, error):
        print(f"  FAILED {item}: {error}", flush=True)
        said = list(getattr(error, "said", ()))
        entry = {"part": part, "item": item, "error": str(error), "said": said}
        self.found["errors"].append(entry)
        results.save(self.path, self.found)


def say(text):
    print(f"{datetime.datetime.now():%H:%M:%S} {text}", flush=True)


def check(report, crew, options):
    found = []
    dtypes = DTYPES[:1] if options.quick else DTYPES
    for dtype in dtypes:
        for name in gpu_checks.CHECKS:
            try:
                taken = crew.ask(OURS, "check", name=name, dtype=dtype)
            except BenchmarkError as error:
                report.failed("check", f"{name}, {dtype}", error)
                continue
            found += [{"check": name, "dtype": dtype, **one} for one in taken]
            passed = all(one["passed"] for one in taken)
            say(f"check {name}, {dtype}: {'passed' if passed else 'NOT PASSED'}")
        report.keep("check", results=found)
    crew.dismiss(OURS)  # whose arrays are poisoned, which takes time


def step(report, crew, options):
    if machine.torch_version() is None:
        raise BenchmarkError("torch is not installed; install it, or leave out the part 'step'")
    effort = gpu_steps.QUICK if options.quick else gpu_steps.USUAL
    found, profiles = {}, {}
    for row in GPU_ROWS.values():
        for tf32 in (False, True):
            name = f"{row.name}, {'TF32' if tf32 else 'float32'}"
            try:
                found[name] = gpu_steps.measure(row, tf32, crew, effort)
            except BenchmarkError as error:
                report.failed("step", name, error)
                crew.dismiss(*crew.workers)  # memory that they still hold would disturb the next
                continue
            report.keep("step", rows=found)
            say(f"step {name}: {row.what}: {gpu_report.in_short(found[name])}")
    crew.dismiss(*crew.workers)
    for name, record in found.items():
        row = GPU_ROWS[record["row"]["name"]]
        try:
            profiles[name] = gpu_steps.profile(
                row, record["tf32"], record["best"], crew, effort.profile_steps
            )
        except BenchmarkError as error:
            report.failed("step", f"profile of {name}", error)
        report.keep("step", profiles=profiles)
    crew.dismiss(*crew.workers)
    say("profiles done")


def kernels(report, crew, options):
    found = {}
    for name in KERNEL_ROWS[:1] if options.quick else KERNEL_ROWS:
        row = GPU_ROWS[name]
        entries, measured = crew.ask(OURS, "record", row=row.message()), []
        copy_rate = crew.ask(OURS, "copy_rate")
        say(f"kernels {name}: {row.what}: {len(entries)} kinds of launches")
        for i, facts in enumerate(entries):
            try:
                seconds = crew.ask(OURS, "kernel", number=i)
            except BenchmarkError as error:
                report.failed("kernels", f"{name}, {facts['kernel']} on {facts['on']}", error)
                crew.ask(OURS, "record", row=row.message())  # the next worker has to know them
                continue
            measured.append(gpu_kernels.rated(facts, seconds, copy_rate))
            found[name] = {
                "row": dataclasses.asdict(row),
                "copy_gb_per_s": copy_rate / 1e9,
                "kernels": gpu_kernels.by_kernel(measured, copy_rate),
                "entries": measured,
            }
            report.keep("kernels", rows=found)
    crew.dismiss(OURS)


def train(report, crew, options):
    folder = report.path.with_suffix("")  # beside the JSON file
    arguments = ["--width", str(options.width), "--batch-size", str(options.batch_size)]
    if options.data_dir:
        arguments += ["--data-dir", options.data_dir, "--no-download"]
        what = "CIFAR-100"
    else:
        arguments += ["--dataset", "shapes", "--per-class", "500"]
        what = "the built-in shapes, for want of --data-dir: figures of speed, not of CIFAR-100"
    say(f"train: {what}")
    command = [sys.executable, "-m", "benchmarks.gpu_train", "--minutes", str(options.minutes)]
    command += ["--out", str(folder), "--", *arguments]
    variables = {"CUPY_TF32": "1", **os.environ}
    result = folder / "result.json"
    result.unlink(missing_ok=True)
    try:
        limit = 60 * options.minutes + LATE
        done = subprocess.run(command, cwd=ROOT, env=variables, timeout=limit, text=True)
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"the training took longer than {limit:.0f} s") from None
    if done.returncode:
        raise BenchmarkError(f"the training ended with status {done.returncode}, see above")
    found = json.loads(result.read_text(encoding="utf-8"))
    report.keep("train", data=what, tf32=variables["CUPY_TF32"] == "1", **found)


def parse_options(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0]
    )
    add = parser.add_argument
    # fmt: off
    add("--out", metavar="FILE.json",
        help="default benchmarks/results/gpu-DATE.json; parts join those that it has")
    add("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART",
        help=f"only these of {', '.join(PARTS)}")
    add("--quick", action="store_true", help="rough figures, checks in float32 only")
    add("--minutes", type=number(float, 0), default=2.0, help="of training; default 2")
    add("--data-dir", metavar="DIR",
        help="where CIFAR-100 is; without it the built-in shapes are learnt")
    add("--width", type=number(float, 0.001, 100), default=1.0, help="of the training; default 1")
    add("--batch-size", type=number(int, 2), default=512, help="of the training; default 512")
    # fmt: on
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse_options(arguments)
    parts = {"check": check, "step": step, "kernels": kernels, "train": train}
    try:
        facts = Device().facts()
        path = Path(options.out) if options.out else results.path_of_today(results.FOLDER, "gpu")
        path.parent.mkdir(parents=True, exist_ok=True)
        report = Report(path, results.load(path, facts, EMPTY))
        print(gpu_report.machine_text(facts), flush=True)
        with Crew() as crew:
            for name in PARTS:
                if name not in options.only:
                    continue
                say(f"part {name}")
                report.begin(name)
                try:
                    parts[name](report, crew, options)
                except Exception as error:  # whatever it is, the other parts go on
                    report.failed(name, "the whole part", error)
                    crew.dismiss(*crew.workers)
    except (BenchmarkError, OSError, RuntimeError) as error:
        sys.exit(f"benchmarks.gpu: {error}")
    except KeyboardInterrupt:
        sys.exit("benchmarks.gpu: stopped")
    print(gpu_report.text(report.found))
    print(f"\nwritten: {path}")
    if gpu_report.wrong(report.found):
        sys.exit(1)


if __name__ == "__main__":
    main()
