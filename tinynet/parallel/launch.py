"""Start workers as processes of this machine, watch over them, and end them together.

The process that calls `run` computes nothing: it waits for messages and deaths. Whatever happens to
one worker ends all; whatever happens to this process, the workers notice within a second.
"""

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from multiprocessing import connection

from tinynet import cores
from tinynet.parallel.group import ENDING, WorkerError, ended_as_by_ctrl_c, handling, use
from tinynet.parallel.nccl import with_gpu
from tinynet.parallel.processes import Processes, shared

BEAT = 1.0  # seconds between two signs of life
SILENT = 15  # of them without any: a process that was stopped, or hangs outside Python
SOON, GRACE = 1.0, 5.0  # seconds for a worker to leave when it is asked to, and asked again
TERMINAL = [n for n in ENDING if n != signal.SIGTERM]  # what it sends to all its processes
UNGUARDED = 97  # exit status of a worker that would start workers while it is being started
UNSENDABLE = (
    "the function or an argument cannot be sent to another process ({}); give a function that "
    "stands at the top level of a file"
)
THREAD_VARIABLES = (
    *("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"),
    *("BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
)


def start(function, arguments, workers, patience, device="cpu"):
    """Run `function(*arguments)` in so many new processes; returns what worker 0 returned.

    Raises WorkerError, in one sentence that names the worker, when one of them fails, dies or is
    stuck. All have ended and their memory is gone when this returns or raises.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        os._exit(UNGUARDED)  # the parent of this process says why
    task = _packed(function, arguments)
    with contextlib.ExitStack() as stack:
        stack.enter_context(ended_as_by_ctrl_c())
        try:
            with _interrupts_wait():
                memory = stack.enter_context(shared(workers))
        except OSError as error:
            raise WorkerError(
                f"cannot get shared memory for {workers} workers ({error.strerror or error}); "
                "make room in /dev/shm, or take fewer workers"
            ) from None
        crew = [_Worker(rank, task) for rank in range(workers)]
        stack.callback(_end, crew, memory)
        threads = max(1, cores.available() // workers)
        with _threads_per_worker(threads), _interrupts_wait():
            for worker in crew:
                worker.start(memory, workers, patience, device)
        group = Processes(memory, rank=0, size=workers)  # to look at the workers' signs of life
        stack.callback(group.close)
        stack.callback(group.close_door)
        ask = _stop_or_interrupt(group)
        with handling(dict.fromkeys(ENDING, ask)):
            return _watch(crew, group, memory)


def _packed(function, arguments):
    """What workers are sent. Raises WorkerError where they could not make anything of it."""
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)  # none in a notebook, and with python -c
    if file is None and getattr(function, "__module__", None) == "__main__":
        raise WorkerError(UNSENDABLE.format("it was not read from a file"))
    if file is not None and getattr(main, "__spec__", None) is None and not os.path.exists(file):
        raise WorkerError(f"workers cannot import the main program from {file}; put it in a file")
    try:
        return pickle.dumps((function, arguments))
    except Exception as error:  # PicklingError, TypeError, whatever an object's own method raises
        raise WorkerError(UNSENDABLE.format(_one_line(error))) from None


class _Worker:
    def __init__(self, rank, task):
        self.rank, self.task, self.process, self.connection = rank, task, None, None
        self.ready = self.done = False
        self.result = None

    def start(self, memory, size, patience, device):
        context = multiprocessing.get_context("spawn")  # fork would copy threads' locks as they are
        self.connection, theirs = context.Pipe()
        process = context.Process(
            target=_work,
            args=(theirs, self.rank, memory, size, patience, device),
            name=f"worker {self.rank}",
            daemon=True,
        )
        try:
            process.start()
        except OSError as error:
            raise WorkerError(
                f"cannot start worker {self.rank} ({error.strerror or error}); take fewer workers"
            ) from None
        finally:
            theirs.close()
        self.process = process

    def receive(self):
        """Take in one message. Raises WorkerError if it tells of a failure, or there is none as
        the process has died."""
        try:
            kind, content = self.connection.recv()
            if kind == "ready":
                self.ready = True
                self.connection.send_bytes(self.task)
        except (EOFError, OSError):
            raise self.death() from None
        if kind == "failed":
            sentence, trace = content
            error = WorkerError(sentence)
            error.__cause__ = _Remote(trace)
            raise error
        if kind == "done":
            self.done, self.result = True, content

    def death(self):
        self.process.join(GRACE)
        status = self.process.exitcode
        if status is not None and status < 0:
            with contextlib.suppress(ValueError):
                status = signal.Signals(-status).name
            reason = "; the system does so where memory runs out" if status == "SIGKILL" else ""
            return WorkerError(f"worker {self.rank} was killed by {status}{reason}")
        if status == UNGUARDED:
            return WorkerError(
                "parallel.run was called while a worker was starting, for every worker imports "
                'the main program; put the call under `if __name__ == "__main__":`'
            )
        return WorkerError(f"worker {self.rank} ended with exit status {status} and said nothing")


class _Remote(Exception):
    """The traceback of an error in another process, as text."""

    def __str__(self):
        return f"\n{self.args[0]}"


def _watch(crew, group, memory):
    """Until all are done; returns what worker 0 returned."""
    named = True
    beats, silence, looked = group.beats(), [0] * len(crew), time.monotonic()
    while waiting := [worker for worker in crew if not worker.done]:
        messages = {worker.connection: worker for worker in waiting}
        for found in connection.wait(messages, timeout=BEAT):
            messages[found].receive()
        if named and all(worker.ready for worker in crew):
            _unlink(memory)  # from here on nothing is left behind, whoever is killed
            named = False
        if time.monotonic() - looked >= BEAT:
            looked, before, beats = time.monotonic(), beats, group.beats()
            for worker in waiting:
                moved = beats[worker.rank] != before[worker.rank] or not worker.ready
                silence[worker.rank] = 0 if moved else silence[worker.rank] + 1
                if silence[worker.rank] > SILENT:
                    raise WorkerError(
                        f"worker {worker.rank} is stuck: it has not run for {SILENT} s"
                    )
    return crew[0].result


def _stop_or_interrupt(group):
    """What a signal does: ask workers to stop that are in a `stoppable` block, once."""

    def ask(*_):
        if not group.ask_to_stop():
            raise KeyboardInterrupt

    return ask


def _unlink(memory):
    with _interrupts_wait(), contextlib.suppress(FileNotFoundError, PermissionError):
        memory.unlink()


def _end(crew, memory):
    """Ask all that still run to leave, and see to it that they do."""
    processes = [worker.process for worker in crew if worker.process is not None]
    with _interrupts_wait():
        for patience in (SOON, GRACE):  # asked twice: see Processes.ask_to_leave
            for process in processes:
                process.terminate()
            until = time.monotonic() + patience
            for process in processes:
                process.join(max(0, until - time.monotonic()))
        for process in processes:
            process.kill()
            process.join()
        _unlink(memory)
    for worker in crew:
        if worker.connection is not None:
            worker.connection.close()


@contextlib.contextmanager
def _interrupts_wait():
    """Ctrl-C, SIGTERM and SIGHUP take effect at the end of the block, so that no process is left
    between started and known. Processes that are started inside it do not get what a terminal
    sends to all: it ends the parent, which ends them."""
    came = []

    def note(*_):
        came.append(True)

    with handling(dict.fromkeys(ENDING, note)):
        try:
            before = signal.pthread_sigmask(signal.SIG_BLOCK, TERMINAL)  # is inherited
        except AttributeError:  # Windows
            before = None
        try:
            yield
        finally:
            if before is not None:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if came:
        raise KeyboardInterrupt


@contextlib.contextmanager
def _threads_per_worker(count):
    """The environment that keeps a BLAS to so many threads, or to fewer if it says so already."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    for name, value in before.items():
        fewer = value and value.isdigit() and 0 < int(value) < count
        os.environ[name] = value if fewer else str(count)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


# in a worker


def _work(parent, rank, memory, size, patience, device):
    for number in TERMINAL:
        signal.signal(number, signal.SIG_IGN)  # it reaches the parent too, which ends us
    group = Processes(memory, rank, size, patience)
    # it may have been sent to all processes of the job, or by the parent, to end this one
    signal.signal(signal.SIGTERM, lambda *_: group.ask_to_stop() or group.ask_to_leave())
    threading.Thread(target=_show_life, args=(group,), daemon=True).start()
    try:
        parent.send(("ready", None))
        function, arguments = _unpacked(parent.recv_bytes())
        with use(with_gpu(group, device, rank)):
            result = function(*arguments)
        signal.signal(signal.SIGTERM, _nothing)  # it ends by itself now, without haste
        group.leave()
        parent.send(("done", result if rank == 0 else None))
    except BaseException as error:
        signal.signal(signal.SIGTERM, _nothing)
        with contextlib.suppress(OSError):  # nobody listens to a worker that was asked to leave
            text = sentence(error)
            if not isinstance(error, WorkerError):
                text = f"worker {rank}: {text}"
            parent.send(("failed", (text, traceback.format_exc())))
    finally:
        group.close()


def _nothing(*_):
    """A handler, as Python tells of a signal that arrives in the moment it begins to be ignored."""


def _unpacked(task):
    try:
        return pickle.loads(task)
    except (AttributeError, ImportError) as error:
        raise WorkerError(UNSENDABLE.format(_one_line(error))) from error


def _show_life(group):
    """Beat until the parent is gone; then nobody needs this process any more."""
    parent = multiprocessing.parent_process().sentinel
    while not connection.wait([parent], timeout=BEAT):
        group.beat()
    os._exit(1)


def sentence(error):
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, str) else f"ended by exit({error.code})"
    text = _one_line(error)
    if isinstance(error, MemoryError):
        return f"out of memory ({text or 'no more was said'}); lower the batch size"
    if isinstance(error, (WorkerError, ValueError, OSError, RuntimeError)) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _one_line(error):
    return " ".join(str(error).split())
