"""Workers on GPUs: sums go from GPU to GPU through NCCL, as CuPy offers it.

No machine with several GPUs has run this yet: the tests replace CuPy and its NCCL.
"""

import numpy as np

from tinynet import backend
from tinynet.parallel.group import Group, WorkerError


def with_gpu(group, device, number):
    """`group` itself for the CPU; for 'cuda' one that can sum up arrays on GPUs. number: of the
    GPU that this worker takes."""
    return group if device == "cpu" else NCCL(group, number)


class NCCL(Group):
    """Sums of CuPy's arrays by NCCL, on a stream of its own; all else by the group `host`.

    A sum is enqueued behind what the current stream has got to do when it begins. The current
    stream waits for it where it is finished; the processor does not, but for a word from all
    workers by way of `host`: how many bytes each has brought. So a worker that is stuck, or brings
    another size, is found out as on the CPU, though a GPU that hangs is not.

    The order of the terms is NCCL's: the same for all workers, but not that of the ranks.

    host: a Group. number: of the GPU for this worker, which the calling thread then uses. Raises
    WorkerError where there are fewer GPUs, and RuntimeError without NCCL.
    """

    def __init__(self, host, number):
        self.host, self.rank, self.size, self.patience = host, host.rank, host.size, host.patience
        self.broadcast, self.barrier, self.stoppable = host.broadcast, host.barrier, host.stoppable
        self.nccl, self.cuda = backend.nccl(), backend.cupy().cuda
        if number >= backend.device_count():
            raise WorkerError(
                f"worker {self.rank} has no GPU: there is one per worker, and this machine has "
                f"{backend.device_count()}; take fewer workers"
            )
        self.cuda.Device(number).use()
        self.stream = self.cuda.Stream(non_blocking=True)
        name = host.broadcast(self.nccl.get_unique_id() if self.rank == 0 else None)
        self.communicator = self.nccl.NcclCommunicator(self.size, name, self.rank)

    @property
    def stop(self):
        return self.host.stop

    def begin(self, *arrays):
        ours = [a for a in arrays if backend.device_of(a) == "cuda" and a.size]
        finish_others = self.host.begin(*(a for a in arrays if backend.device_of(a) == "cpu"))
        if not ours:
            return finish_others
        sizes = np.zeros(self.size, np.int64)  # bytes, by worker
        sizes[self.rank] = sum(array.nbytes for array in ours)
        finish_sizes = self.host.begin(sizes)
        sent = [a if a.flags.c_contiguous else a.copy(order="C") for a in ours]
        finished = self._enqueue(sent)

        def finish():
            try:
                finish_others()
                finish_sizes()
                if (sizes != sizes[0]).any():
                    raise WorkerError(
                        f"the workers brought {', '.join(map(str, sizes))} bytes; all workers must "
                        "make the same calls in the same order"
                    )
            except WorkerError:
                self.communicator.abort()  # or the GPU would wait for those that never come
                raise
            self.cuda.get_current_stream().wait_event(finished)
            for array, copy in zip(ours, sent, strict=True):
                if copy is not array:
                    array[...] = copy

        return finish

    def _enqueue(self, arrays):
        """Have the arrays summed up, in place; returns the event that tells when they are.

        One call per array in a group of calls, which NCCL makes one launch of: a flat buffer would
        cost two copies of everything, and its own memory.
        """
        self.stream.wait_event(self.cuda.get_current_stream().record())
        self.nccl.groupStart()
        try:
            for array in arrays:
                place, kind = array.data.ptr, self._kind(array.dtype)
                self.communicator.allReduce(
                    place, place, array.size, kind, self.nccl.NCCL_SUM, self.stream.ptr
                )
        finally:
            self.nccl.groupEnd()
        return self.stream.record()

    def _kind(self, dtype):
        """NCCL's number for a dtype."""
        try:
            return getattr(self.nccl, f"NCCL_{dtype.name.upper()}")
        except AttributeError:
            raise TypeError(f"NCCL cannot sum up arrays of {dtype}") from None
