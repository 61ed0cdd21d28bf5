"""What a training script does around its loop: options, refusals, the folder, workers, the end."""

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinynet import backend, parallel
from tinynet.files import printable
from tinynet.training import checkpoint, finetune, loop
from tinynet.training.console import short, tell
from tinynet.training.finish import finish
from tinynet.training.folder import CHECKPOINT, run_folder
from tinynet.training.options import SINCE, in_words, parse, recorded, same_options, workers_for
from tinynet.training.run import FORMAT, JUDGED, Run


class Program(NamedTuple):
    """A training script: its name, its recipes, and its networks. All functions must stand at the
    top level of a file, as workers import them."""

    name: str
    description: str
    presets: dict[str, dict[str, Any]]
    defaults: dict[str, Any]
    networks: tuple[str, ...]
    build: Callable  # (network, classes, width, dropout=) -> Module
    decay_groups: Callable  # (model, weight_decay, depthwise) -> parameter groups
    save_network: Callable
    load_network: Callable
    load_weights: Callable  # of other programs too: (path, top=) -> (Module, facts)


def main(program, arguments=None):
    """Run a script. Ends by SystemExit with one sentence where something is wrong."""
    options = parse(program, arguments)
    earlier = stamp(options)
    try:
        try:
            with parallel.ended_as_by_ctrl_c():
                done = run(program, options)
        finally:
            if arguments is None:  # the program ends: there is nothing left to stop
                parallel.deafen()
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"{program.name}: {printable(error)}")
    except MemoryError as error:
        why = printable(error) or "no more was said"
        advised = "lower --batch-size, --resolution, --width or --per-class"
        sys.exit(f"{program.name}: out of memory ({why}); {advised}")
    except KeyboardInterrupt:
        sys.exit(f"{program.name}: stopped; {advice(options, earlier)}")
    if done is False:
        sys.exit(f"{program.name}: stopped and saved; {advice(options, earlier)}")


def run(program, options):
    """Whether the training came to its end (in the first process)."""
    if options.tf32:
        backend.allow_tf32()
    backend.check_device(options.device)
    arguments = {"workers": workers_for(options), "device": options.device}
    if not parallel.is_first():  # of several that mpiexec has started
        return parallel.run(work, options, program, **arguments)
    with run_folder(options.out, options.resume, options.overwrite) as folder:
        options.out = str(folder)
        return parallel.run(work, options, program, **arguments)


def stamp(options):
    """What tells one checkpoint in --out from the next one; None where there is none."""
    try:
        found = os.stat(os.path.join(os.path.expanduser(options.out), CHECKPOINT))
    except (OSError, ValueError):  # ValueError: a zero byte
        return None
    return found.st_ino, found.st_mtime_ns


def advice(options, earlier):
    """How to go on after a stop: true whether or not there is something to go on from."""
    now = stamp(options)
    if now is None:
        return "there is no checkpoint yet, so start again"
    if now == earlier and not options.resume:
        return "the training that was there is as it was; start again"
    return f"go on with --resume{' in place of --overwrite' if options.overwrite else ''}"


def work(options, program):
    """What every worker does. Returns, in worker 0, whether the training came to its end."""
    same_options(options)
    try:
        saved = read_checkpoint(options) if options.resume and parallel.rank == 0 else None
        saved = parallel.broadcast(saved)
        if options.preset:
            chosen = program.presets[options.preset]
            if options.init is not None:
                chosen = [name for name in chosen if name not in finetune.FROM_WEIGHTS]
            words = in_words(options, chosen)
            tell(f"preset {options.preset}: {shlex.join(words)}")
        training = Run(options, program, saved)
    except (ValueError, OSError) as error:  # about options and files, whichever worker finds it
        raise parallel.WorkerError(str(error)) from error
    with np.errstate(all="ignore"):  # the loop itself looks for what is not finite
        if not loop.train(training):
            return False
        finish(training)
    return True


TREE = {
    "options": dict,
    "workers": int,
    "threads": (int, None),
    "epochs_done": int,
    "batches_done": int,
    "seconds": float,
    "per_worker": ([{"buffers": dict, "losses": tuple, "hits": tuple}], None),
    "model": dict,
    "average": (dict, None),
    "optimizer": dict,
    "scheduler": dict,
    "history": dict,
    "classes": [str],
    "mean": np.ndarray,
    "std": np.ndarray,
    "best": ({"epoch": int, "val_accuracy": float}, None),
    **{f"test_{name}": (float, None) for name in JUDGED},
    "test_reads": int,
}


def read_checkpoint(options):
    """The tree to go on from, compared with the options: before any download. Raises ValueError."""
    path = short(Path(options.out) / CHECKPOINT)
    saved = checkpoint.load(path)
    try:
        checkpoint.expect(saved, {"format": str})
        if saved["format"] != FORMAT:
            raise checkpoint.CheckpointError(f"its format is {saved['format']!r:.40}")
        checkpoint.expect(saved, TREE)
        for name, least in {"seconds": 0, "workers": 1}.items():
            if saved[name] < least:
                raise checkpoint.CheckpointError(f"its {name} are {saved[name]}")
        were = {**SINCE, **saved["options"]}
        if were["init"] is not None:
            checkpoint.expect(saved, {"init": finetune.KEPT})
        if missing := [name for name in recorded(options) if name not in were]:
            raise checkpoint.CheckpointError(f"its options lack {missing[0]!r}")
    except checkpoint.CheckpointError as error:
        raise ValueError(
            f"{path} is not a checkpoint of this script ({error}); give another --out"
        ) from None
    if options.init is not None and options.init == were["init"]:
        finetune.settle(options, saved["init"])
    for name, now in {"init": options.init, **recorded(options)}.items():
        before = were[name]
        if type(before) is type(now) and before == now:
            continue
        if name == "teacher":
            had, do = ("no", "leave it out") if now else ("a", "give that network again")
            raise ValueError(f"{path} had {had} --teacher; {do}")
        if name == "epochs" and isinstance(before, int) and before < now:
            if options.schedule == "constant":
                continue
            raise ValueError(
                f"{path} was trained with epochs {before}, not {now}, and its learning rate "
                f"({options.schedule}) is laid out for {before}; only --schedule constant can be "
                "extended, so start anew in another --out"
            )
        raise ValueError(
            f"{path} was trained with {name} {before}, not {now}; give the same options, or "
            "another --out"
        )
    return saved
