"""`run`: the one door to workers, whichever kind they are of."""

from tinynet import backend, cores
from tinynet.parallel import mpi
from tinynet.parallel.group import current

PATIENCE = 60.0


def started():
    """How many workers there are already: the processes that `mpiexec` started, else 1."""
    return mpi.processes()


def is_first():
    """Whether this process is to do what must be done once before `run`: it is the only one, or
    the first of those that `mpiexec` started. All of these must then come to `run`."""
    return mpi.rank() == 0


def run(function, *arguments, workers=None, patience=PATIENCE, device="cpu"):
    """Call `function(*arguments)` in `workers` processes at once, each of which sees its own
    `parallel.rank`. Returns what the call in worker 0 returned.

    In a program that `mpiexec` started, its processes are the workers: each calls the function.

    Args:
        function: one that stands at the top level of a file, for the workers import it.
        workers: how many; None for one per core, or per GPU, or for as many as mpiexec has
            started. With 1 the function is called here, without any other process.
        patience: seconds; a worker for which the others wait longer ends the job. None: never.
        device: 'cuda' gives each worker of a machine a GPU of its own; sums of arrays that lie
            on them go from GPU to GPU (`nccl.NCCL`).

    The BLAS of each worker uses cores / workers threads. Raises WorkerError, in one sentence, where
    a worker fails, is killed or is stuck: then all have ended.
    """
    if not callable(function):
        raise TypeError(f"parallel.run: expected a function, got {type(function).__name__}")
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int)):
        raise TypeError(f"parallel.run: workers must be an integer, got {workers!r}")
    if workers is not None and workers < 1:
        raise ValueError(f"parallel.run: workers must be 1 or more, got {workers}")
    if patience is not None and not (isinstance(patience, (int, float)) and patience > 0):
        raise ValueError(
            f"parallel.run: patience must be seconds above 0 or None, got {patience!r}"
        )
    device = backend.check_device(device)
    if current().size > 1:
        raise RuntimeError(
            f"parallel.run was called in worker {current().rank} of {current().size}; call it "
            "once, in the main program"
        )
    if started() > 1:
        if workers not in (None, started()):
            raise ValueError(
                f"parallel.run: mpiexec has started {started()} processes, which are the workers; "
                f"leave workers out (it is {workers})"
            )
        return mpi.run(function, arguments, patience, device)
    if workers is None:
        workers = cores.available() if device == "cpu" else backend.device_count()
    if workers == 1:
        return function(*arguments)
    from tinynet.parallel import launch  # loads multiprocessing, which need not delay an import

    return launch.start(function, arguments, workers, patience, device)
