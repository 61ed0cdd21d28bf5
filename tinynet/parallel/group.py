"""What workers say to each other: the whole interface, and the group of one."""

import contextlib
import signal
import threading
import time

import numpy as np

# what asks a program to end: a user or a scheduler; SIGHUP: a terminal that is closed
ENDING = [getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n)]


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
    stop = None  # the `Stop` of the block that this worker is in

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

    @contextlib.contextmanager
    def stoppable(self):
        """Inside the block, Ctrl-C, SIGTERM and SIGHUP do not end the job: they ask it to stop,
        which the `Stop` that the block is given tells. Asked again, it ends at once."""
        self.stop, asked = Stop(self), Asked()

        def ask(*_):
            self.stop.wanted = True
            if asked.again():
                raise KeyboardInterrupt

        with handling(dict.fromkeys(ENDING, ask)):
            try:
                yield self.stop
            finally:
                self.stop = None


class Stop:
    """Whether a job has been asked to stop.

    wanted: this worker has heard of it. agreed: all workers have, since they last averaged
    gradients. asked: what a training loop looks at after each step; all workers see it become
    true after the same step.
    """

    def __init__(self, group):
        self.group, self.wanted, self.agreed = group, False, False

    @property
    def asked(self):
        return self.agreed if self.group.size > 1 else self.wanted

    def agree(self):
        """`asked`, by a message for it alone: where no gradients have been averaged for a while."""
        votes = np.array([float(self.wanted)])
        self.group.all_reduce(votes)
        self.agreed = votes[0] > 0
        return self.asked


class Asked:
    """Counts signals. Within a second they are one: `timeout` sends two."""

    def __init__(self):
        self.first = None

    def again(self):
        """Note a signal; returns whether there was one before."""
        self.first = self.first or time.monotonic()
        return time.monotonic() > self.first + 1


@contextlib.contextmanager
def ended_as_by_ctrl_c():
    """SIGTERM and SIGHUP raise KeyboardInterrupt inside the block, so that all is tidied up."""

    def interrupt(*_):
        raise KeyboardInterrupt

    with handling(dict.fromkeys(ENDING[1:], interrupt)):
        yield


def deafen():
    """Ignore from now on what would end the program, which is at its end."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def handling(handlers):
    """Have signals handled so inside the block, save those that the program ignores. Only the main
    thread can do that, and only there are they raised."""
    if threading.current_thread() is not threading.main_thread():
        handlers = {}
    ours = [n for n in handlers if signal.getsignal(n) not in (signal.SIG_IGN, None)]
    before = {number: signal.signal(number, handlers[number]) for number in ours}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
