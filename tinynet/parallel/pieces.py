"""What the engines share that move bytes themselves: arrays in pieces, and how to wait."""

import os
import time

import numpy as np

AWAKE, NAP = 0.02, 0.0002  # seconds: how long a worker that waits just looks; then between looks

let_others_run = getattr(os, "sched_yield", lambda: time.sleep(0))


def contiguous(arrays):
    """The arrays, in place of those that are not contiguous a copy; and a function that writes the
    copies back."""
    copies = [(a, np.ascontiguousarray(a)) for a in arrays if not a.flags.c_contiguous]
    replaced = {id(array): copy for array, copy in copies}

    def write_back():
        for array, copy in copies:
            array[...] = copy

    return [replaced.get(id(a), a) for a in arrays], write_back


def parts(arrays, room):
    """Lists of flat arrays that have one dtype and come to `room` bytes at most."""
    part, free = [], room
    for array in arrays:
        flat = array.reshape(-1)
        while flat.size:
            if part and part[0].dtype != flat.dtype or free < flat.itemsize:
                yield part
                part, free = [], room
            fitting = free // flat.itemsize
            part.append(flat[:fitting])
            free -= part[-1].nbytes
            flat = flat[fitting:]
    if part:
        yield part


def just_look(waited):
    """Let a moment pass, for a worker that has waited so many seconds. False once it has begun to
    sleep between its looks, and has time to ask what is wrong."""
    if waited < AWAKE:
        let_others_run()
        return True
    time.sleep(NAP)
    return False
