"""What workers say to each other: the whole interface, and the group of one."""

import contextlib

import numpy as np


class WorkerError(RuntimeError):
    """Workers cannot go on together. The message is one sentence, fit for a command line."""


class Group:
    """The workers that train together, as one of them sees it; in this one it is alone.

    All workers of a group make the same calls in the same order, with arrays of the same shapes
    and dtypes. Other groups: `processes.Processes` (one machine, shared memory), `mpi.MPI` (any
    number of machines), `nccl.NCCL` (GPUs).

    rank: this worker's number, from 0. size: how many there are. patience: seconds; a worker for
    which the others wait longer is given up. None: never.
    """

    rank, size, patience = 0, 1, None

    def begin(self, *arrays):
        """Send `arrays` on their way to `all_reduce`. Returns a function that waits for the sums;
        until then the arrays must not be touched."""
        return lambda: None

    def all_reduce(self, *arrays):
        """Replace each array, in place, by the sum of all workers' arrays.

        The terms are added in the same order by all workers and in every run, so that all hold
        the same bits. Raises WorkerError where a worker brings another size, or does not come.
        """
        self.begin(*arrays)()

    def broadcast(self, value=None, root=0):
        """The `value` of the worker `root`, in all workers: anything that can be pickled."""
        return value

    def barrier(self, patience=None):
        """Go on when all workers have come here. patience: for this once, where one of them may
        take longer."""
        usual = self.patience
        self.patience = patience or usual
        self.all_reduce(np.zeros(1))
        self.patience = usual


_groups = [Group()]  # the last one is in use


def current():
    """The group that this process works in."""
    return _groups[-1]


@contextlib.contextmanager
def use(group):
    """Work in `group` inside the block."""
    _groups.append(group)
    try:
        yield group
    finally:
        _groups.remove(group)
