"""The arguments of the MobileNet paper, trained again at CIFAR's size: `python -m
benchmarks.ablations`.

Howard et al., "MobileNets", arXiv 1704.04861, sections 3.2 and 4: each study trains a few networks
that differ in one thing (ablation_studies.py), with several seeds. Every training is
`train_cifar100.py`, in a process and a folder of its own (ablation_runs.py); one that several
studies need is done once. What is found goes into results.json, into tables and into pictures
(ablation_figures.py). The same command goes on where it was stopped.
"""

import argparse
import copy
import functools
import sys
from pathlib import Path

import train_cifar100
from benchmarks import results
from benchmarks.ablation_runs import (
    ONE_RUN,
    SET_HERE,
    in_words,
    is_done,
    look,
    seconds_left,
    train,
    trainings,
)
from benchmarks.ablation_studies import (
    KINDS,
    NETWORKS,
    STUDIES,
    measure,
    networks_of,
    rows_of,
)
from benchmarks.results import BenchmarkError
from benchmarks.turns import Effort
from tinynet import doctor
from tinynet.files import expanded
from tinynet.training import checkpoint
from tinynet.training import options as script
from tinynet.training.console import short, tell
from tinynet.training.folder import run_folder
from tinynet.training.options import SINCE, number

# ten networks, thirty trainings: small enough for a night on two cores
EPOCHS, SEEDS, WIDTH, OUT = 12, 3, 0.25, "runs/ablations"
EFFORT = Effort()  # of --measure
EMPTY = {"options": {}, "runs": {}, "times": None}
# what is read of results.json again
OPTIONS = {"base_width": float, "dataset": str, "epochs": int}
RUN = {
    "network": str,
    "seed": int,
    "classes": int,
    "mult_adds": int,
    "parameters": int,
    "val_accuracy": float,
    "test_accuracy": float,
}
KIND_TIMES = {kind: {"ms_per_image": float} for kind in KINDS}
TIMES = {
    "machine": dict,
    "threads": (int, None),
    "networks": dict.fromkeys(NETWORKS, KIND_TIMES),
}


def load(path):
    """results.json, or an empty one. Raises BenchmarkError where it is something else."""
    found = results.load(path, {}, copy.deepcopy(EMPTY))
    try:
        checkpoint.expect(found, {"options": dict, "runs": dict, "times": (dict, None)}, "it")
        for name, one in found["runs"].items():
            checkpoint.expect(one, RUN, name)
        if found["runs"]:
            checkpoint.expect(found["options"], OPTIONS, "options")
        if found["times"] is not None:
            checkpoint.expect(found["times"], TIMES, "times")
    except checkpoint.CheckpointError as error:
        raise BenchmarkError(
            f"{short(path)} is not a file of this program ({error}); give another --out"
        ) from None
    return {name: found[name] for name in ("format", *EMPTY)}


def save(path, found):
    """Write results.json, with what the rows of every study come to."""
    studies = {name: rows_of(study, found) for name, study in STUDIES.items()}
    results.save(path, {**found, "studies": studies})


def report(path, found, studies):
    """Write table and picture of each study beside results.json, and tell the tables."""
    from benchmarks import ablation_figures  # loads matplotlib, which need not delay the start

    for name in studies:
        if table := ablation_figures.write(name, STUDIES[name], found, path.parent):
            for line in ("", f"{name}.md and {name}.png:", *table.splitlines()):
                tell(line)
        else:
            tell(f"{name}: none of its trainings is done yet")


def same_options(found, now, path):
    """Raises BenchmarkError where results.json holds trainings with other options."""
    were = {**SINCE, **found["options"]}
    for name in {**were, **now} if found["options"] else ():
        before = were.get(name)
        if before != now.get(name):
            raise BenchmarkError(
                f"{short(path)} holds trainings with {name} {before}, not {now.get(name)}; give "
                "the same options, or another --out"
            )


def machine_of(options):
    """What the trainings run on; options: the script's."""
    return results.machine() | (dict(doctor.facts()) if options.device == "cuda" else {})


def work(options, out):
    them, path = trainings(options, out), out / "results.json"
    known, found = {one.name: look(one) for one in them}, load(path)
    every = script.recorded(them[0].options).items()
    now = {"base_width": options.width, **{n: v for n, v in every if n not in ONE_RUN}}
    same_options(found, now, path)
    found["options"] = now

    def keep(one, machine):
        found["runs"][one.name] = {**known[one.name], "machine": machine}
        save(path, found)

    for one in them:
        if is_done(known[one.name]):
            keep(one, found["runs"].get(one.name, {}).get("machine"))
    if options.measure:
        classes = next((run["classes"] for run in found["runs"].values()), 100)
        found["times"] = measure(options.width, classes, EFFORT)
        save(path, found)
        report(path, found, options.studies)
        return
    for name in options.studies:
        tell(f"{name}: {', '.join(label for label, *_ in STUDIES[name].rows)}")
    done = sum(map(is_done, known.values()))
    tell(
        f"{len(them)} trainings of {options.epochs} epochs: {len(networks_of(options.studies))} "
        f"networks, {options.seeds} seed{'s' * (options.seeds > 1)}; {done} done"
    )
    if done < len(them):
        tell(in_words(seconds_left(them, known)))
    machine = functools.cache(lambda: machine_of(them[0].options))
    failed, stopped = train(them, known, lambda one: keep(one, machine()), options.jobs)
    report(path, found, options.studies)
    for sentence in dict.fromkeys(failed.values()):
        names = [name for name in failed if failed[name] == sentence]
        tell(f"failed: {', '.join(names)}: {sentence}")
    if stopped:
        raise KeyboardInterrupt
    if failed:
        raise BenchmarkError(f"{len(failed)} of {len(them)} trainings failed, see above")


def parse_options(arguments=None):
    arguments = expanded(arguments)
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ablations",
        description="The arguments of the MobileNet paper, trained again at CIFAR's size. What "
        "follows `--` goes to train_cifar100.py: `-- --workers 2 --weight-decay 5e-4`.",
        allow_abbrev=False,
    )
    add = parser.add_argument

    def study(text):
        if text in STUDIES:
            return text
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(STUDIES)}, got {text!r}")

    # fmt: off
    add("studies", nargs="*", type=study, metavar="STUDY",
        help=f"{', '.join(STUDIES)}; default: all")
    add("--data-dir", default="data", metavar="PATH",
        help="of CIFAR-100, as train_cifar100.py takes it; default data")
    add("--epochs", type=number(int, 1, 10**6), default=EPOCHS, metavar="N",
        help=f"of each training; default {EPOCHS}")
    add("--seeds", type=number(int, 1, 1000), default=SEEDS, metavar="N",
        help=f"how many times each network is trained; default {SEEDS}")
    add("--width", type=number(float, 0.04, 8), default=WIDTH, metavar="X",
        help=f"width multiplier that the studies start from; default {WIDTH}")
    add("--out", default=OUT, metavar="DIR", help=f"folder for all that is found; default {OUT}")
    add("--jobs", type=number(int, 1, 64), default=1, metavar="N",
        help="trainings at a time, which pays on a large GPU; default 1")
    add("--measure", action="store_true",
        help="train nothing; time all networks in turns, on a machine that does nothing else")
    add("--report", action="store_true",
        help="train nothing; write tables and pictures anew from the results.json in --out")
    # fmt: on
    options = parser.parse_intermixed_args(arguments[:cut])
    options.script = arguments[cut + 1 :]
    options.studies = [name for name in STUDIES if name in (options.studies or STUDIES)]
    if options.measure and options.report:
        parser.error("--measure and --report exclude each other; give one of them")
    if own := [word for word in options.script if word.split("=")[0] in SET_HERE]:
        parser.error(f"{own[0]}, after `--`, is set by this program; leave it out there")
    decay = script.parse(train_cifar100.PROGRAM, options.script).weight_decay
    if not decay and "decay" in options.studies:
        parser.error("decay: with --weight-decay 0 there is nothing to compare; name other studies")
    return options


def main(arguments=None):
    options = parse_options(arguments)
    try:
        if options.report:
            path = Path(options.out).expanduser() / "results.json"
            if not path.exists():
                raise BenchmarkError(f"there is no {short(path)}; train first")
            report(path, load(path), options.studies)
            return
        with run_folder(options.out) as out:
            work(options, out)
    except (BenchmarkError, OSError, ValueError, RuntimeError) as error:
        sys.exit(f"benchmarks.ablations: {error}")
    except KeyboardInterrupt:
        sys.exit("benchmarks.ablations: stopped; the same command goes on")


if __name__ == "__main__":
    main()
