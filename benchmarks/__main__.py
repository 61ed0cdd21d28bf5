"""Time tinynet beside PyTorch: `python -m benchmarks`, or `python -m benchmarks B F --quick`."""

import argparse
import dataclasses
import importlib.util
import sys
from types import SimpleNamespace

from benchmarks import loop, profile, report, results
from benchmarks.results import BenchmarkError
from benchmarks.rows import ROWS
from benchmarks.turns import OURS, QUICK, Effort, cpu_workers, measure, warm_up
from tinynet.files import expanded
from tinynet.training import options as script
from tinynet.training.options import number

LOOP, TRAIN, IMPORT = "loop", "train", "import"
LOOP_ROW = "C"  # the network of the training script's defaults
LONG = ("D", LOOP, TRAIN)  # not measured in quick mode unless asked for


def parse_options(arguments, rows):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Time tinynet beside PyTorch."
    )
    names, add = (*rows, LOOP, TRAIN, IMPORT), parser.add_argument
    lower = {name.lower(): name for name in names}

    def known(text):
        if text.lower() in lower:
            return lower[text.lower()]
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(names)}, got {text!r}")

    # fmt: off
    add("rows", nargs="*", type=known, metavar="ROW",
        help=f"{', '.join(rows)}, {LOOP} (cost of the training loop), {TRAIN} (images/s of the "
        f"training script), {IMPORT} (time of import); "
        f"default: all, with --quick all but {' and '.join(LONG)}")
    add("--workers", type=script.number_of_workers, default="auto", metavar="N",
        help="of training rows: processes that share every batch; default auto, as many as the "
        "training script takes; 1: none")
    add("--data-dir", metavar="PATH", help=f"of CIFAR-100, for {TRAIN}; default: built-in shapes")
    add("--quick", action="store_true", help="rough figures in a few minutes")
    add("--rounds", type=number(int, 1), metavar="N",
        help=f"turns of each process; default {Effort().rounds}, quick {QUICK.rounds}")
    add("--out", metavar="DIR",
        help="folder of the JSON file and the chart; default benchmarks/results, and nothing "
        "is written with --quick or --ours-only")
    add("--profile", type=known, metavar="ROW", help="only take one row of ours apart, op by op")
    add("--ours-only", action="store_true", help="time tinynet alone; torch need not be there")
    # fmt: on
    options = parser.parse_args(expanded(arguments))
    usual = [name for name in names if not (options.quick and name in LONG)]
    options.rows = [name for name in names if name in options.rows] or usual
    if options.profile in (LOOP, TRAIN, IMPORT):
        parser.error(f"argument --profile: expected one of {', '.join(rows)}")
    return options


def workers_for(options, row):
    """How many workers share a row's batches: as many as the training script would start."""
    asked = {"workers": options.workers, "batch_size": row.batch, "accumulate": 1, "device": "cpu"}
    return (script.workers_for(SimpleNamespace(**asked)) or 1) if row.train else 1


def ask_ours(row, effort, task, **arguments):
    """The answer of our warm network of a row."""
    with cpu_workers(row, ours_only=True) as workers:
        warm_up(workers[OURS], effort)
        return workers[OURS].ask(task, **arguments)


def run(options, rows):
    effort = QUICK if options.quick else Effort()
    if options.rounds:
        effort = dataclasses.replace(effort, rounds=options.rounds, row_seconds=86_400.0)
    if options.profile:
        row = rows[options.profile]
        taken = ask_ours(row, effort, "profile", count=effort.profile_steps)
        print(f"{row.name}: {row.what}\n\n{profile.table(taken)}")
        return
    with_torch = not options.ours_only and any(name in rows for name in options.rows)
    if with_torch and importlib.util.find_spec("torch") is None:
        raise BenchmarkError(
            'torch is not installed; pip install -e ".[test]", or time tinynet alone with '
            "--ours-only"
        )
    for name in options.rows:
        if name in rows:
            workers_for(options, rows[name])  # refuse now, not after an hour
    facts, path, found = results.machine(), None, {"rows": {}}
    if options.out or not (options.quick or options.ours_only):
        path = results.path_of_today(options.out or results.FOLDER)
        found = results.load(path, facts)  # as well
    print(report.machine_text(facts))
    for name in options.rows:
        print(f"measuring {name}" + (f": {rows[name].what}" if name in rows else ""), flush=True)
        if name == LOOP:
            blocks, block = (2, 3) if effort.rough else (effort.rounds, 5)
            found[LOOP] = ask_ours(rows[LOOP_ROW], effort, "loop", blocks=blocks, block=block)
        elif name == TRAIN:
            counts = sorted({1, workers_for(options, rows[LOOP_ROW])})
            repeat = 1 if effort.rough else 3
            found[TRAIN] = loop.train_rates(
                counts, repeat, loop.training(options.data_dir, effort.rough)
            )
        elif name == IMPORT:
            found[IMPORT] = loop.import_time(3 if options.quick else 11)
        else:
            row, ours_only = rows[name], options.ours_only
            shared = workers_for(options, row)
            new = {name: measure(row, effort, ours_only=ours_only, workers=shared)}
            found["rows"] = dict(sorted({**found["rows"], **new}.items()))
        if path:
            results.save(path, found)
    show(found, options.rows)
    if effort.rough:
        print(f"\nThese figures are rough (--quick: at most {effort.rounds} short rounds).")
    if path:
        from benchmarks import chart  # loads matplotlib, which need not delay the measuring

        chart.draw(found, path.with_suffix(".png"))
        print(f"\nwritten: {path}, and the chart beside it")


def show(found, names):
    """Print what was measured now; `found` may hold more."""
    print()
    new = {name: record for name, record in found["rows"].items() if name in names}
    if new:
        print(report.table(new))
    if LOOP in names:
        print(report.loop_text(found[LOOP]))
    if TRAIN in names:
        print(report.train_rates_text(found[TRAIN]))
    if IMPORT in names:
        print(report.import_text(found[IMPORT]))


def main(arguments=None, rows=ROWS):
    options = parse_options(arguments, rows)
    try:
        run(options, rows)
    except (BenchmarkError, OSError, ValueError) as error:
        sys.exit(f"benchmarks: {error}")
    except KeyboardInterrupt:
        sys.exit("benchmarks: stopped")


if __name__ == "__main__":
    main()
