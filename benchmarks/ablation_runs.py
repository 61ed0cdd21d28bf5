"""The trainings of `benchmarks.ablations`: each is `train_cifar100.py` in a process of its own."""

import argparse
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

import mobilenet
import train_cifar100
from benchmarks.ablation_studies import NETWORKS, STUDIES, networks_of
from benchmarks.results import ROOT
from tinynet.parallel.group import handling
from tinynet.summary import summary
from tinynet.training import options as script
from tinynet.training.checkpoint import CheckpointError
from tinynet.training.console import tell
from tinynet.training.folder import CHECKPOINT
from tinynet.training.program import read_checkpoint

SCRIPT = ROOT / "train_cifar100.py"
ONE_RUN = (
    "network",
    "width",
    "resolution",
    "depthwise_weight_decay",
    "seed",
)  # differ from run to run
SET_HERE = {
    *(f"--{name.replace('_', '-')}" for name in ONE_RUN),
    *("--epochs", "--data-dir", "--out", "--resume", "--overwrite"),
}


class Training(NamedTuple):
    """One run of the script. options: as the script sees its arguments."""

    name: str
    network: str  # which of NETWORKS
    seed: int
    arguments: list
    options: argparse.Namespace

    @property
    def folder(self):
        return Path(self.options.out)

    @property
    def begun(self):
        return (self.folder / CHECKPOINT).exists()


def trainings(options, out):
    """Those of the studies, in order: every network once before the second seed."""
    decay = script.parse(train_cifar100.PROGRAM, options.script).weight_decay
    found = []
    for seed in range(options.seeds):
        for which in networks_of(options.studies):
            users = [name for name, study in STUDIES.items() if which in study.networks]
            name = f"{users[0] if len(users) == 1 else 'shared'}-{which}-seed{seed}"
            one = NETWORKS[which]
            arguments = [
                *options.script,
                f"--data-dir={options.data_dir}",
                f"--network={one.network}",
                f"--width={one.width * options.width:g}",
                f"--resolution={one.resolution}",
                f"--depthwise-weight-decay={decay if one.depthwise_decay else 0}",
                f"--epochs={options.epochs}",
                f"--seed={seed}",
                f"--out={out / name}",
            ]
            parsed = script.parse(train_cifar100.PROGRAM, arguments)
            found.append(Training(name, which, seed, arguments, parsed))
    return found


def look(training):
    """What is known of a training, ready for JSON; None where there is no checkpoint that can be
    read. Raises ValueError, in the script's words, where it was trained with other options."""
    if not training.begun:
        return None
    try:
        saved = read_checkpoint(training.options)
    except CheckpointError:
        return None  # the script says what is wrong with it
    options, epochs, classes = saved["options"], saved["history"]["rows"], len(saved["classes"])
    model = mobilenet.build(options["network"], classes, options["width"])
    cost = summary(model, (3, options["resolution"], options["resolution"]))
    all_epochs = saved["epochs_done"] >= options["epochs"]
    return {
        "network": training.network,
        "seed": training.seed,
        "done": all_epochs and saved["test_accuracy"] is not None,
        "val_accuracy": epochs[-1]["val_accuracy"] if epochs else None,
        **{name: saved[name] for name in ("test_accuracy", "test_top5", "test_loss", "test_reads")},
        "mult_adds": cost.mult_adds,
        "parameters": cost.parameters,
        "classes": classes,
        "workers": saved["workers"],
        "threads": saved["threads"],
        "options": options,
        "history": epochs,
    }


def is_done(known):
    return known is not None and known["done"]


def seconds_left(them, known):
    """About how long those trainings may take that are not done, from the epochs seen so far;
    networks that were not seen count as the mean of the others. None where none was seen."""
    seen = {}
    for one in them:
        for epoch in known[one.name]["history"] if known[one.name] else ():
            seen.setdefault(one.network, []).append(epoch["seconds"])
    if not seen:
        return None
    means = {which: sum(seconds) / len(seconds) for which, seconds in seen.items()}
    other, total = sum(means.values()) / len(means), 0.0
    for one in them:
        if not is_done(known[one.name]):
            trained = len(known[one.name]["history"]) if known[one.name] else 0
            total += (one.options.epochs - trained) * means.get(one.network, other)
    return total


def in_words(seconds):
    if seconds is None:
        return "how long they take is not known before the first one has been seen"
    minutes = round(seconds / 60)
    time = f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
    return f"about {time} more, if they go on at the images/s seen so far"


class Interruption:
    """Ctrl-C, SIGTERM or the end of the terminal: noted, and passed on to the trainings at work,
    which save themselves and end."""

    def __init__(self):
        self.came, self.processes = False, set()

    def __call__(self, *_):
        self.came = True
        for process in list(self.processes) if os.name == "posix" else ():
            process.send_signal(signal.SIGTERM)  # elsewhere Ctrl-C reaches them by itself

    def listening(self):
        names = ("SIGINT", "SIGTERM", "SIGHUP")
        return handling({getattr(signal, n): self for n in names if hasattr(signal, n)})


def run_script(training, interruption, name=""):
    """Train, and show what the script says, after a `name` where several are at work. Returns None,
    or the sentence with which it failed."""
    process = subprocess.Popen(
        [sys.executable, SCRIPT, *training.arguments, *["--resume"] * training.begun],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # so that Ctrl-C reaches it once, by us
    )
    last = "it said nothing"
    interruption.processes.add(process)
    try:
        if interruption.came:
            process.send_signal(signal.SIGTERM)
        for line in process.stdout:
            tell(f"  {name}{line.rstrip()}")
            last = line.strip() or last
        status = process.wait()
    finally:
        interruption.processes.discard(process)
        process.kill()  # should it be there still
        process.wait()
        process.stdout.close()
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    return last if status else None


def train(them, known, keep, jobs=1):
    """Train what is not done, `jobs` of them at a time; known: name -> what `look` says.
    keep(training): called at the end of each. Returns name -> sentence of those that failed, and
    whether Ctrl-C came."""
    failed, interruption = {}, Interruption()

    def work(one):
        """Whether it was begun, and the sentence with which it failed."""
        if interruption.came:
            return False, None
        tell(f"{one.name}:")
        return True, run_script(one, interruption, f"{one.name}: " if jobs > 1 else "")

    with interruption.listening(), ThreadPoolExecutor(jobs) as pool:
        waiting = {pool.submit(work, one): one for one in them if not is_done(known[one.name])}
        for future in as_completed(waiting):
            one, (begun, sentence) = waiting[future], future.result()
            if not begun:
                continue
            if sentence is None:
                known[one.name] = look(one)
                keep(one)
            elif not interruption.came:
                failed[one.name] = sentence
            left = [one for one in them if not (is_done(known[one.name]) or one.name in failed)]
            tell(f"{len(them) - len(left) - len(failed)} of {len(them)} done")
            if left and not interruption.came:
                seen = [one for one in them if one.name not in failed]
                seconds = seconds_left(seen, known)
                tell(in_words(seconds and seconds / min(jobs, len(left))))
    return failed, interruption.came
