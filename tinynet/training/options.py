"""What the command lines of the training scripts share."""

import argparse
import math
import os
from pathlib import Path


def number(kind, low, high=math.inf):
    """An argparse type: an int or float within [low, high], refused in a sentence otherwise."""

    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high or not math.isfinite(value):
            what = "a whole number" if kind is int else "a number"
            span = f"from {low} to {high}" if high < math.inf else f"from {low} up"
            raise argparse.ArgumentTypeError(f"expected {what} {span}, got {text!r}")
        return value

    return parse


def folder_for(options):
    """The folder --out, ready to be written, by the options out, resume and overwrite. Raises
    ValueError where that is not possible."""
    out = Path(options.out)
    there = (out / "checkpoint.npz").exists()
    if options.resume and options.overwrite:
        raise ValueError("--resume and --overwrite exclude each other; give one of them")
    if there and not (options.resume or options.overwrite):
        raise ValueError(
            f"{out} holds a training already; go on with --resume, start anew with "
            "--overwrite, or give another --out"
        )
    if options.resume and not there:
        raise ValueError(f"--resume: there is no checkpoint.npz in {out}; leave --resume out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"--out: cannot make the folder {out} ({error.strerror}); choose a writable place"
        ) from None
    if not os.access(out, os.W_OK):
        raise ValueError(f"--out: the folder {out} cannot be written; choose a writable place")
    return out
