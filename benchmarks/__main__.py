"""Time tinynet beside PyTorch: `python -m benchmarks`, or `python -m benchmarks B F --quick`."""

import argparse
import dataclasses
import importlib.util
import sys

from benchmarks import import_time, machine, profile, report, results
from benchmarks.rows import ROWS
from benchmarks.turns import OURS, QUICK, BenchmarkError, Effort, contestants, measure, warm_up
from tinynet.training.options import number

LOOP, IMPORT = "loop", "import"
LOOP_ROW = "C"  # the network of the training script's defaults
LONG = ("D", LOOP)  # not measured in quick mode unless asked for: with them it takes five minutes


def parse_options(arguments, rows):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.splitlines()[0]
    )
    names = (*rows, LOOP, IMPORT)
    add = parser.add_argument

    def known(text):
        for name in names:
            if text.lower() == name.lower():
                return name
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(names)}, got {text!r}")

    # fmt: off
    add("rows", nargs="*", type=known, metavar="ROW",
        help=f"{', '.join(rows)}, {LOOP} (cost of the training loop), {IMPORT} (time of import); "
        f"default: all, with --quick all but {' and '.join(LONG)}")
    add("--quick", action="store_true", help="rough figures in under two minutes")
    add("--rounds", type=number(int, 1), metavar="N",
        help=f"turns of each process; default {Effort().rounds}, quick {QUICK.rounds}")
    add("--out", metavar="DIR",
        help="folder of the JSON file and the picture; default benchmarks/results, and nothing "
        "is written with --quick or --ours-only")
    add("--profile", type=known, metavar="ROW", help="only take one row of ours apart, op by op")
    add("--ours-only", action="store_true", help="time tinynet alone; torch need not be there")
    # fmt: on
    options = parser.parse_args(arguments)
    usual = [name for name in names if not (options.quick and name in LONG)]
    options.rows = options.rows or usual
    return options


def needs_torch(options, rows):
    if options.ours_only or options.profile or not any(name in rows for name in options.rows):
        return
    if importlib.util.find_spec("torch") is None:
        raise BenchmarkError(
            'torch is not installed; pip install "tinynet[test]", or time tinynet alone with '
            "--ours-only"
        )


def take_apart(row, effort):
    with contestants(row, machine.cores(), ours_only=True) as (workers, _):
        warm_up(workers[OURS], effort)
        print(f"{row.name}: {row.what}\n")
        print(profile.table(workers[OURS].ask("profile", count=effort.profile_steps)))


def measure_loop(row, effort, quick):
    row = dataclasses.replace(row, train=True)
    with contestants(row, machine.cores(), ours_only=True) as (workers, _):
        blocks, block = (2, 3) if quick else (effort.rounds, 5)
        return workers[OURS].ask("loop", blocks=blocks, block=block)


def run(options, rows):
    effort = QUICK if options.quick else Effort()
    if options.rounds:
        effort = dataclasses.replace(effort, rounds=options.rounds, row_seconds=86_400.0)
    if options.profile:
        if options.profile not in rows:
            raise BenchmarkError(f"--profile: expected one of {', '.join(rows)}")
        take_apart(rows[options.profile], effort)
        return
    facts = machine.facts()
    new = {"rows": {}, "loop": None, "import": None}
    path = None
    if options.out or not (options.quick or options.ours_only):
        path = results.path_of_today(options.out or results.FOLDER)
        results.load(path, facts)  # refuse now, not after an hour

    def keep():
        if path:
            results.save(path, results.merge(results.load(path, facts), new))

    print(report.machine_text(facts))
    for name in rows:
        if name in options.rows:
            print(f"measuring {name}: {rows[name].what}", flush=True)
            new["rows"][name] = measure(rows[name], effort, ours_only=options.ours_only)
            keep()
    if LOOP in options.rows:
        print("measuring the training loop", flush=True)
        new["loop"] = measure_loop(rows[LOOP_ROW], effort, options.quick)
    if IMPORT in options.rows:
        print("measuring the import", flush=True)
        new["import"] = import_time.measure(3 if options.quick else 11)
    keep()
    show(new, rows, effort, options.quick)
    if path:
        from benchmarks import picture  # loads matplotlib, which need not delay the measuring

        words = {name: row.what for name, row in rows.items()}
        picture.draw(results.load(path, facts), words, path.with_suffix(".png"))
        print(f"\nwritten: {path}, and the picture beside it")


def show(new, rows, effort, quick):
    print()
    if new["rows"]:
        print(report.table(new["rows"], {name: rows[name].what for name in new["rows"]}))
        print(report.LEGEND)
    if new["loop"]:
        print(report.loop_text(new["loop"]))
    if new["import"]:
        print(report.import_text(new["import"]))
    if quick:
        print(f"\nThese figures are rough (--quick: at most {effort.rounds} short rounds).")


def main(arguments=None, rows=ROWS):
    options = parse_options(arguments, rows)
    try:
        needs_torch(options, rows)
        run(options, rows)
    except (BenchmarkError, OSError, ValueError) as error:
        sys.exit(f"benchmarks: {error}")
    except KeyboardInterrupt:
        sys.exit("benchmarks: stopped")


if __name__ == "__main__":
    main()
