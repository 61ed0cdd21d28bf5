"""Tensors to step through, and what the stepper's terminal writes of them."""

import io

import numpy as np

import tinynet as tn
from tinynet.stepper.terminal import walk


def leaf(values, dtype=np.float64):
    """A tensor of these values, of any shape, that requires a gradient."""
    return tn.Tensor(np.array(values, dtype), requires_grad=True)


def shown(loss, *keys, **options):
    """What a walk with these keys writes; without keys, what it lists."""
    out = io.StringIO()
    walk(loss, out, keys or None, **options)
    return out.getvalue()


def answer(loss, *keys):
    """What is written after the last of the keys."""
    return shown(loss, *keys).rsplit("\n> ", 1)[1].partition("\n")[2]
