"""Data-parallel workers: each computes the gradient of its share of every batch, and all take the
same step by the mean of their gradients.

    from tinynet import parallel

    def train():
        ...                                            # the same model in all workers: same seed
        for x, y in loader:                            # this worker's share of each batch
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            parallel.average_gradients(model)
            optimizer.step()

    if __name__ == "__main__":
        parallel.run(train, workers=4)

`parallel.rank` and `parallel.size` tell a worker which one it is and how many there are: 0 and 1 in
a program without workers, where everything here works as well and does nothing. Started by
`mpiexec -n 4 python program.py`, the same program has MPI's processes for its workers.
"""

from tinynet.parallel.gradients import (
    average_buffers,
    average_gradients,
    backward,
    share_of,
    weight_of,
)
from tinynet.parallel.group import (
    Group,
    WorkerError,
    current,
    deafen,
    ended_as_by_ctrl_c,
    use,
)
from tinynet.parallel.run import is_first, run, started

__all__ = [
    "Group",
    "WorkerError",
    "all_reduce",
    "average_buffers",
    "average_gradients",
    "backward",
    "barrier",
    "broadcast",
    "current",
    "deafen",
    "ended_as_by_ctrl_c",
    "is_first",
    "run",
    "share_of",
    "started",
    "stoppable",
    "use",
    "weight_of",
]


def __getattr__(name):
    if name in ("rank", "size", "all_reduce", "broadcast", "barrier", "stoppable"):
        return getattr(current(), name)
    raise AttributeError(f"module 'tinynet.parallel' has no attribute {name!r}")
