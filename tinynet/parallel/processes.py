"""Workers that are processes of one machine and meet in shared memory.

Every worker has a ring of slots that all can read. A worker puts a piece of its data into the next
slot of its ring and counts it as posted. Once all have posted theirs, each adds the pieces up, in
the order of the ranks, and counts them as taken. Once all have taken it, the slot is free again.
There are no locks: each counter is written by one worker.
"""

import contextlib
import itertools
import os
import pickle
import threading
import time
from collections import deque
from multiprocessing import resource_tracker, shared_memory
from typing import Any, NamedTuple

import numpy as np

from tinynet.parallel.group import Asked, Group, Stop, WorkerError
from tinynet.parallel.pieces import contiguous, just_look, parts

SLOTS = 8  # of a ring: so many pieces can be on their way
PIECE = 1 << 20  # bytes of a slot, as many as fit into a core's cache,
LARGEST = 1 << 25  # less where all rings together would have more: containers often allow 64 MB
DIVIDED = 1 << 16  # bytes from which on more than three workers divide the adding among them
LINE = 8  # int64s of a cache line: what two workers write must not lie in one
POSTED, TAKEN, ADDED, BEATS = range(4)  # counters of each worker
CLOSED, OPEN, ASKED, STOPPED = range(4)  # whether all may be asked to stop, and have been

ALIKE = "all workers must make the same calls in the same order"


class Piece(NamedTuple):
    number: int
    arrays: list  # flat and contiguous, of one dtype
    offsets: list  # of each array in the slot, in bytes
    length: int  # bytes in all
    root: Any  # the worker whose values all shall have; None for the sum

    @property
    def kind(self):
        """A number by which workers see whether they have made the same call."""
        return self.length << 16 | (0 if self.root is None else 1 + self.root)


class Processes(Group):
    """memory: a `SharedMemory` of `size_of_memory(size)` bytes, zeros at first."""

    def __init__(self, memory, rank, size, patience=None):
        self.memory, self.rank, self.size, self.patience = memory, rank, size, patience
        head, self.slot = _layout(size)
        numbers = memory.buf[:head].cast("q")
        self.counters = [numbers[kind * size * LINE :] for kind in range(4)]
        self.kinds = numbers[4 * size * LINE :]
        self.door = numbers[-1:]  # to ask all workers to stop
        self.views = [*self.counters, self.kinds, self.door, numbers]
        slots = np.frombuffer(memory.buf, np.uint8, size * SLOTS * self.slot, offset=head)
        self.slots = slots.reshape(size, SLOTS, self.slot)
        self.waiting = deque()  # the pieces on their way, the oldest first
        self.posted, self.asked, self.signals = 0, False, Asked()
        self.fence = threading.Lock()

    def close(self):
        """Let go of the memory."""
        with self.fence:
            self.slots = None
            for view in self.views:
                view.release()
            self.views = self.counters = ()
            with contextlib.suppress(BufferError):  # an error that somebody keeps sees a slot still
                self.memory.close()

    def begin(self, *arrays):
        return self._begin(arrays, None)

    def broadcast(self, value=None, root=0):
        text = pickle.dumps(value, protocol=5) if self.rank == root else b""
        length = np.array([len(text)])
        self._begin([length], root)()
        data = np.frombuffer(text, np.uint8).copy() if text else np.empty(length[0], np.uint8)
        self._begin([data], root)()
        return value if self.rank == root else pickle.loads(data)

    @contextlib.contextmanager
    def stoppable(self):
        """Signals reach the process that has started the workers, which asks them."""
        self.stop = _Stop(self)
        if self.rank == 0:
            self.door[0] = OPEN
        try:
            yield self.stop
        finally:
            self.stop = None
            if self.rank == 0:
                self.close_door()

    def ask_to_stop(self):
        """For a signal, in any of the processes. Returns whether that made sense: all can be asked
        now, and it is the first signal here."""
        door = self.door[0]
        if (door == CLOSED and self.signals.first is None) or self.signals.again():
            return False
        if door == OPEN:
            self.door[0] = ASKED
        return True

    def close_door(self):
        """Nobody can be asked any more: the job ends. If it was asked to, a signal that another
        process was sent at the same time, and hears of only now, is the same wish."""
        self.door[0] = STOPPED if self.door[0] in (ASKED, STOPPED) else CLOSED

    def beat(self):
        """Show that this process runs."""
        with self.fence:
            if self.counters and self.counters[BEATS][self.rank * LINE] >= 0:
                self.counters[BEATS][self.rank * LINE] += 1

    def ask_to_leave(self):
        """End this worker when it next calls the others: an exception out of nowhere might come
        while a file is half written, or in a destructor, which would swallow it. Asked again, at
        once."""
        self._end_if_asked()
        self.asked = True

    def _end_if_asked(self):
        if self.asked:
            raise SystemExit("ended by SIGTERM")

    def leave(self):
        """Let those know that still wait for this worker, or ever will."""
        with self.fence:
            self.counters[BEATS][self.rank * LINE] = -1

    def beats(self):
        """How often each worker has shown that it runs; -1 for one that has left."""
        return [self.counters[BEATS][rank * LINE] for rank in range(self.size)]

    def _begin(self, arrays, root):
        for array in arrays:
            if not isinstance(array, np.ndarray):
                raise TypeError(f"workers share NumPy arrays, got {type(array).__name__}")
        flat, write_back = contiguous(arrays)
        for part in parts(flat, self.slot):
            self._post(part, root)
        last = self.posted
        while self.waiting and self._all(POSTED, self.waiting[0].number + 1):
            self._take_oldest()  # what can be done without waiting

        def finish():
            while self.waiting and self.waiting[0].number < last:
                self._take_oldest()
            write_back()

        return finish

    def _post(self, arrays, root):
        self._end_if_asked()
        number = self.posted
        *offsets, length = itertools.accumulate((array.nbytes for array in arrays), initial=0)
        piece = Piece(number, arrays, offsets, length, root)
        if len(self.waiting) == SLOTS:
            self._take_oldest()
        self._wait(TAKEN, number - SLOTS + 1)
        if root in (None, self.rank):
            for array, slot in zip(arrays, self._places(piece, self.rank), strict=True):
                slot[...] = array
        self.kinds[self.rank * SLOTS + number % SLOTS] = piece.kind
        self.waiting.append(piece)
        self.posted += 1
        self._count(POSTED, self.posted)

    def _take_oldest(self):
        piece = self.waiting.popleft()
        self._wait(POSTED, piece.number + 1)
        self._compare_kinds(piece)
        if piece.root is not None:
            self._copy(piece, piece.root)
        elif self.size > 3 and piece.length >= DIVIDED:
            self._add_up_together(piece)
        else:
            terms = (self._places(piece, rank) for rank in range(self.size))
            for array, first, second, *others in zip(piece.arrays, *terms, strict=True):
                np.add(first, second, out=array)
                for other in others:
                    array += other
        self._count(TAKEN, piece.number + 1)

    def _add_up_together(self, piece):
        """Each worker adds up its part of the piece, in the slot of worker 0."""
        kind = piece.arrays[0].dtype
        length = piece.length // kind.itemsize
        part = slice(self.rank * length // self.size, (self.rank + 1) * length // self.size)
        place = piece.number % SLOTS
        first, *others = (
            self.slots[rank, place, : piece.length].view(kind)[part] for rank in range(self.size)
        )
        for other in others:
            first += other
        self._count(ADDED, piece.number + 1)
        self._wait(ADDED, piece.number + 1)
        self._copy(piece, 0)

    def _copy(self, piece, rank):
        for array, slot in zip(piece.arrays, self._places(piece, rank), strict=True):
            array[...] = slot

    def _places(self, piece, rank):
        """Where a worker's part of the piece lies: an array for each of the piece's."""
        slot = self.slots[rank, piece.number % SLOTS]
        for array, offset in zip(piece.arrays, piece.offsets, strict=True):
            yield slot[offset : offset + array.nbytes].view(array.dtype)

    def _compare_kinds(self, piece):
        for rank in range(self.size):
            kind = self.kinds[rank * SLOTS + piece.number % SLOTS]
            if kind != piece.kind:
                raise WorkerError(
                    f"worker {rank} brought {_in_words(kind)} where worker {self.rank} brought "
                    f"{_in_words(piece.kind)}; {ALIKE}"
                )

    # counters

    def _count(self, kind, number):
        self._order_memory()
        self.counters[kind][self.rank * LINE] = number

    def _all(self, kind, number):
        counter = self.counters[kind]
        for place in range(0, self.size * LINE, LINE):  # noqa: SIM110 (all() is slower)
            if counter[place] < number:
                return False
        return True

    def _wait(self, kind, number):
        """Until every worker has counted so far."""
        if not self._all(kind, number):
            waited, looked = 0.0, time.monotonic()
            while not self._all(kind, number):
                self._end_if_asked()
                now = time.monotonic()
                waited += min(now - looked, 1)  # a job that was stopped (Ctrl-Z) has not waited
                looked = now
                if not just_look(waited):
                    self._look_for_the_missing(kind, number, waited)
        self._order_memory()

    def _look_for_the_missing(self, kind, number, waited):
        beats = self.beats()  # before the counters: who leaves has counted first
        self._order_memory()
        counter = self.counters[kind]
        for rank in (r for r in range(self.size) if counter[r * LINE] < number):
            if beats[rank] < 0:
                raise WorkerError(
                    f"worker {rank} has finished while worker {self.rank} waits for it; {ALIKE}"
                )
            if self.patience is not None and waited > self.patience:
                raise WorkerError(
                    f"worker {rank} is stuck: the others have waited for it for {self.patience:g} s"
                )

    def _order_memory(self):
        """Let no write before this be seen after one that comes after it, nor a read done before:
        some processors would. A lock does that, taken twice for both directions."""
        with self.fence:
            pass
        with self.fence:
            pass


class _Stop(Stop):
    """As `Stop`, but workers hear of it through the memory that they share."""

    def __init__(self, group):
        self.group, self.agreed = group, False

    @property
    def wanted(self):
        return self.group.door[0] == ASKED


def _in_words(kind):
    length, root = kind >> 16, (kind & 0xFFFF) - 1
    return f"{length} bytes" + (f" to a broadcast by worker {root}" if root >= 0 else "")


def _layout(size):
    """Bytes of the counters (in whole pages), and of a slot."""
    slot = min(PIECE, LARGEST // (size * SLOTS)) // 64 * 64
    head = 8 * (size * (4 * LINE + SLOTS) + LINE)
    return -(-head // 4096) * 4096, slot


def size_of_memory(size):
    head, slot = _layout(size)
    return head + size * SLOTS * slot


@contextlib.contextmanager
def shared(size):
    """Zeros for `size` workers: a SharedMemory, which is gone at the end in any case.

    Raises OSError where the system has no room for it.
    """
    if os.name == "posix":  # what SharedMemory needs: if it cannot start, no memory is left behind
        resource_tracker.ensure_running()
    memory = shared_memory.SharedMemory(create=True, size=size_of_memory(size))
    try:
        with contextlib.suppress(AttributeError):  # Windows; and it is not promised to be there
            os.posix_fallocate(memory._fd, 0, memory.size)  # now, not by SIGBUS later
        yield memory
    finally:
        memory.close()
        with contextlib.suppress(FileNotFoundError):
            memory.unlink()
