"""Workers that `mpiexec` started: any number of machines. Needs mpi4py.

Sums are made of plain messages between pairs of workers, and not by MPI's Allreduce. All workers
must hold the same bits, in every run; the standard (MPI 4.1, 6.9.1 and 6.9.6) promises the same
result to all, but only recommends that it be the same in every run, and an order that suits the
network is not that of the ranks where their number is no power of two. So each worker adds up its
part of every array, in the order of the ranks, and sends the sum to all others. A worker so sends
2 (N - 1) / N times the bytes of the arrays, as in the best of Allreduce's ways; what is short, or
goes to one other worker alone, it sends whole, at once. The order is that of
`processes.Processes`, so that both give the same bits. And who is missing has a name.
"""

import atexit
import contextlib
import functools
import math
import os
import pickle
import re
import sys
import threading
import time
from collections import deque

import numpy as np

from tinynet import backend, cores
from tinynet.parallel.group import Group, WorkerError, ended_as_by_ctrl_c, use
from tinynet.parallel.nccl import with_gpu
from tinynet.parallel.pieces import contiguous, just_look, parts

# what the mpiexecs of MPICH, Intel and Microsoft, that of Open MPI, and Slurm's `srun --mpi=pmix`
# tell the processes that they start
SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")
RANKS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK")
INSTALL_HINT = """pip install -e ".[mpi]" in tinynet's folder"""
PIECE = 1 << 22  # bytes of a message at most, so that adding and sending overlap
WHOLE = 1 << 14  # bytes up to which a message goes to all others as it is
CHUNK = 1 << 26  # bytes of a broadcast at once
TAGS = 16381  # a prime; MPI promises tags up to 32767
GRACE = 5.0  # seconds for a program to end when it is asked to
TURN = 0.5  # seconds between ranks that would all say the same sentence; the first ends the others


def processes():
    """How many processes mpiexec has started; 1 in a program that was started without it."""
    pmix = ("SLURM_STEP_NUM_TASKS",) if "PMIX_RANK" in os.environ else ()
    return _number(SIZES + pmix, 1)


def rank():
    """This process's rank among them; 0 in a program started without mpiexec.

    From here on MPI knows of this process: if the program ends before `run` does, all end. Raises
    RuntimeError where mpi4py is missing, or belongs to another MPI than mpiexec.
    """
    return _world().rank if processes() > 1 else 0


def run(function, arguments, patience, device="cpu"):
    """Call `function(*arguments)` in this process, which is one of those that mpiexec started.

    Returns its result in rank 0, None in the others. An error is told in one sentence on stderr,
    by the worker that it happened to, and ends all workers with status 1 (in this one by
    SystemExit, so that callers can tidy up). KeyboardInterrupt, and SIGTERM, which raises it,
    reach the caller in rank 0; the others wait in silence until rank 0 has ended them.
    """
    from tinynet.parallel import launch

    world = _world()
    atexit.register(_abort)  # the second of two runs needs it again
    group = MPI(world, patience)
    machine = world.Split_type(_mpi4py().COMM_TYPE_SHARED)  # those processes that are on it
    _hide_shared_memory()
    if not any(name in os.environ for name in launch.THREAD_VARIABLES):
        cores.set_blas_threads(_threads(machine))
    try:
        with ended_as_by_ctrl_c(), use(with_gpu(group, device, machine.rank)):
            result = function(*arguments)
            group.barrier(math.inf)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            if group.rank == 0:
                _end_within(GRACE)
                raise
            time.sleep(GRACE)
            _abort()
        if isinstance(error, WorkerError):
            time.sleep(TURN * min(group.rank, 4))
            text = str(error)
        else:
            text = f"worker {group.rank}: {launch.sentence(error)}"
        print(text, file=sys.stderr, flush=True)
        _end_within(GRACE)
        raise SystemExit(1) from error
    atexit.unregister(_abort)
    return result if group.rank == 0 else None


class MPI(Group):
    """communicator: mpi4py's, all of whose processes make a group together."""

    def __init__(self, communicator, patience=None):
        MPI = _mpi4py()
        self.rank, self.size, self.patience = communicator.rank, communicator.size, patience
        # of two kinds, each of which comes in the order in which it was sent
        self.terms, self.sums = communicator.Dup(), communicator.Dup()
        self.any_tag, self.status, self.error = MPI.ANY_TAG, MPI.Status(), MPI.Exception
        self.waiting = deque()  # what is on its way, the oldest first

    def begin(self, *arrays):
        if self.size == 1:
            return lambda: None
        flat, write_back = contiguous(arrays)
        ours = [_Sum(self, part) for part in parts(flat, PIECE)]
        self.waiting.extend(ours)
        self._go_on()

        def finish():
            self._wait(lambda: self._go_on() or self._missing(ours))
            write_back()

        return finish

    def broadcast(self, value=None, root=0):
        text = pickle.dumps(value, protocol=5) if self.rank == root else b""
        length = np.array([len(text)])
        self.all_reduce(length)
        data = np.frombuffer(bytearray(text), np.uint8) if text else np.empty(length[0], np.uint8)
        for start in range(0, len(data), CHUNK):
            request = self.sums.Ibcast(data[start : start + CHUNK], root)
            self._wait(lambda request=request: [] if request.Test() else [root])
        return value if self.rank == root else pickle.loads(data)

    def _go_on(self):
        """Do what can be done without waiting."""
        for each in self.waiting:
            if not each.go_on():  # the sums must be sent in the order of the terms
                break
        while self.waiting and self.waiting[0].done:
            self.waiting.popleft()

    def _missing(self, sums):
        """The workers that these sums wait for."""
        if all(each.done for each in sums):
            return []
        return [rank for rank, _, _ in self.waiting[0].open]

    def _wait(self, look):
        """Until `look()` finds nobody missing."""
        began, before = time.monotonic(), None
        while missing := look():
            if (missing, len(self.waiting)) != before:
                began, before = time.monotonic(), (missing, len(self.waiting))
            waited = time.monotonic() - began
            if not just_look(waited) and self.patience is not None and waited > self.patience:
                raise WorkerError(
                    f"worker {missing[0]} is stuck: the others have waited for it for "
                    f"{self.patience:g} s"
                )


class _Sum:
    """The sum of one piece: flat arrays of one dtype, and the messages that it takes."""

    def __init__(self, group, arrays):
        self.group, self.arrays, self.done, self.added = group, arrays, False, False
        kind, count = arrays[0].dtype, sum(array.size for array in arrays)
        self.flat = backend.empty((count,), kind)
        np.concatenate(arrays, out=self.flat)
        self.whole = group.size == 2 or self.flat.nbytes <= WHOLE
        bounds = [rank * count // group.size for rank in range(group.size + 1)]
        shares = list(map(slice, bounds, bounds[1:]))
        self.parts = [self.flat[slice(None) if self.whole else share] for share in shares]
        mine = self.parts[group.rank]
        # a message's tag tells of all that its sender adds up: a part alone would not
        self.tag = (self.flat.nbytes * 32 + kind.num) % TAGS
        self.open = []  # (a worker, a request, what is to come by it)
        self.theirs = [
            mine if rank == group.rank else backend.empty(mine.shape, kind)
            for rank in range(group.size)
        ]
        self._exchange(group.terms, self.parts, self.theirs)

    def go_on(self):
        """Whether this worker has added up its part."""
        if not self._all_there():
            return self.added
        if not self.added:
            self.added = True
            total, *others = self.theirs
            for other in others:
                total += other
            if not self.whole:
                mine = self.parts[self.group.rank]
                mine[...] = total
                self._exchange(self.group.sums, [total] * self.group.size, self.parts)
                if not self._all_there():
                    return True
        if not self.done:
            self.done = True
            result, start = self.theirs[0] if self.whole else self.flat, 0
            for array in self.arrays:
                array[...] = result[start : start + array.size]
                start += array.size
        return True

    def _exchange(self, communicator, to, into):
        for step in range(1, self.group.size):  # not all to the same worker first
            rank = (self.group.rank + step) % self.group.size
            tag = self.group.any_tag
            request = communicator.Irecv(into[rank].view(np.uint8), rank, tag)
            self.open.append((rank, request, into[rank]))
        for rank, _, _ in list(self.open):
            request = communicator.Isend(to[rank].view(np.uint8), rank, self.tag)
            self.open.append((rank, request, None))

    def _all_there(self):
        status, still = self.group.status, []
        for rank, request, expected in self.open:
            try:
                if not request.Test(status):
                    still.append((rank, request, expected))
                    continue
                same = expected is None or (
                    status.tag == self.tag and status.count == expected.nbytes
                )
            except self.group.error:  # it is longer than its place
                same = False
            if not same:
                raise WorkerError(
                    f"worker {rank} brought other arrays than worker {self.group.rank}, which has "
                    f"{self.flat.size} numbers of {self.flat.dtype}; all workers must make the "
                    "same calls in the same order"
                )
        self.open = still
        return not still


def _mpi4py():
    from mpi4py import MPI  # which starts MPI

    return MPI


@functools.cache
def _world():
    """All processes that mpiexec started. Whoever leaves before `run` is done ends them all, for
    the others might wait for it forever."""
    try:
        world = _mpi4py().COMM_WORLD
    except (ImportError, RuntimeError) as error:
        if _number(RANKS, 0):
            raise SystemExit(1) from None  # rank 0 says why
        reason = " ".join(str(error).split())
        raise RuntimeError(
            f"mpiexec has started this program, which needs mpi4py for it ({reason}); install it "
            f"with {INSTALL_HINT}"
        ) from None
    if world.size != processes():
        raise RuntimeError(
            f"mpiexec has started {processes()} processes, but mpi4py finds {world.size}: they "
            f"belong to different MPIs; take the mpiexec that comes with {INSTALL_HINT}"
        )
    atexit.register(_abort)
    return world


def _abort():
    """End all workers, this one included, without a word of MPI's."""
    _hide_shared_memory()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    time.sleep(TURN / 5)  # for mpiexec to pass on what was said, which it drops at such an end
    _mpi4py().COMM_WORLD.Abort(1)


def _end_within(seconds):
    """End all workers then, or when this program ends, whichever is first."""
    timer = threading.Timer(seconds, _abort)
    timer.daemon = True
    timer.start()


def _threads(machine):
    """Threads for each of the processes of this machine. Some launchers bind each to cores of its
    own, others let all share all."""
    mine = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    together = set().union(*machine.allgather(set(mine)))
    return max(1, cores.available() * len(together) // len(mine) // machine.size)


def _hide_shared_memory():
    """Take away the name of the memory that MPICH shares among the processes of a machine, as all
    have opened it by now: nothing is left in /dev/shm, even if all are killed."""
    with contextlib.suppress(OSError), open("/proc/self/maps", encoding="utf-8") as file:
        for name in set(re.findall(r"/dev/shm/mpich_shm_\w+", file.read())):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)


def _number(names, default):
    """The first of these environment variables that holds a number."""
    return next((int(v) for n in names if (v := os.environ.get(n, "")).isdigit()), default)
