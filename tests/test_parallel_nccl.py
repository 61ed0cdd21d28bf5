"""Sums on GPUs, with a stand-in for CuPy and its NCCL: what is passed, in which order, and that the
arrays hold the sums. The workers are threads, and meet in shared memory as processes would."""

import contextlib
import ctypes
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.shared_memory import SharedMemory

import numpy as np
import pytest
from device import strict

from tinynet import backend, parallel
from tinynet.parallel.nccl import NCCL, with_gpu
from tinynet.parallel.processes import Processes, shared

KINDS = {"INT32": "i", "INT64": "q", "FLOAT16": "e", "FLOAT32": "f", "FLOAT64": "d"}


class Machine:
    """GPUs whose streams do nothing until somebody waits for an event of theirs."""

    def __init__(self, workers):
        self.calls = {}
        self.barrier = threading.Barrier(workers, timeout=10)
        self.lent = [None] * workers  # the arrays that the workers' NCCLs look at now
        self.here = threading.local()

    def note(self, *what):
        self.calls.setdefault(threading.current_thread().name, []).append(what)

    def pieces(self):
        """Stand-ins for what `nccl.py` uses of cupy.cuda, and for cupy.cuda.nccl."""
        machine = self

        class Stream:
            def __init__(self, non_blocking=False):
                self.non_blocking, self.queue, self.ptr = non_blocking, [], id(self)

            def record(self):
                machine.note("record", self.ptr)
                return types.SimpleNamespace(stream=self)

            def wait_event(self, event):
                machine.note("wait", self.ptr, event.stream.ptr)
                while event.stream.queue:
                    event.stream.queue.pop(0)()

        class Device:
            def __init__(self, number):
                self.number = number

            def use(self):
                machine.note("use", self.number)

        class NcclCommunicator:
            def __init__(self, size, name, rank):
                assert name == b"x" * 128
                self.size, self.rank = size, rank
                machine.note("communicator", size, rank)

            def allReduce(self, sent, received, count, kind, op, stream):  # noqa: N802
                machine.note("allReduce", sent, received, count, kind, op, stream)
                kind = np.dtype(KINDS[kind])
                array = np.frombuffer(
                    (ctypes.c_char * (count * kind.itemsize)).from_address(sent), kind
                )

                def work():
                    machine.lent[self.rank] = array
                    machine.barrier.wait()
                    total = sum(machine.lent[1:], machine.lent[0].copy())
                    machine.barrier.wait()
                    array[...] = total

                streams[stream].queue.append(work)

            def abort(self):
                machine.note("abort")

        streams = {}

        def stream(**options):
            made = Stream(**options)
            streams[made.ptr] = made
            return made

        def current():
            if not hasattr(machine.here, "stream"):
                machine.here.stream = Stream()
            return machine.here.stream

        nccl = types.ModuleType("cupy.cuda.nccl")
        nccl.available, nccl.NCCL_SUM = True, "sum"
        nccl.get_unique_id = lambda: b"x" * 128
        nccl.NcclCommunicator = NcclCommunicator
        nccl.groupStart = lambda: machine.note("start")
        nccl.groupEnd = lambda: machine.note("end")
        for kind in KINDS:
            setattr(nccl, f"NCCL_{kind}", kind)
        return {"Stream": stream, "Device": Device, "get_current_stream": current}, nccl


@pytest.fixture
def run(monkeypatch):
    """A function that runs `work(group, cupy)` in so many workers; returns the results and all
    calls of the stand-in."""

    def start(work, workers):
        machine = Machine(workers)
        names, nccl = machine.pieces()
        cupy = sys.modules["cupy"]
        for name, value in names.items():
            monkeypatch.setattr(cupy.cuda, name, value, raising=False)
        monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", lambda: workers)
        monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", nccl)

        def worker(rank, memory):
            threading.current_thread().name = str(rank)
            ours = SharedMemory(name=memory.name)
            with contextlib.closing(Processes(ours, rank, workers, patience=5)) as host:
                return work(NCCL(host, rank), cupy)

        with shared(workers) as memory, ThreadPoolExecutor(workers) as pool:
            futures = [pool.submit(worker, rank, memory) for rank in range(workers)]
            return [future.result() for future in futures], machine.calls

    with strict.in_place_of_cupy():
        yield start


def some_arrays(rank, cupy):
    rng = np.random.default_rng(rank)
    host = [
        rng.integers(-9, 9, (3, 4)).astype("f"),
        rng.integers(-9, 9, (5, 6)).astype("d"),
        np.empty((0, 3), "f"),
        rng.integers(-9, 9, 7),
    ]
    device = [cupy.asarray(array) for array in host]
    device[1] = device[1].T  # not contiguous
    return device, host


@pytest.mark.parametrize("workers", [2, 3])
def test_the_sums(run, workers):
    def work(group, cupy):
        device, host = some_arrays(group.rank, cupy)
        group.all_reduce(device[0], host[3], *device[1:])
        return [cupy.asnumpy(array) for array in device], host[3]

    results, _ = run(work, workers)
    alone = [some_arrays(rank, sys.modules["cupy"])[1] for rank in range(workers)]
    for device, host in results:
        for place, array in enumerate(device):
            expected = sum(arrays[place] for arrays in alone)
            assert np.array_equal(array, expected.T if place == 1 else expected)
        assert np.array_equal(host, sum(arrays[3] for arrays in alone))


def test_what_is_passed_and_when(run):
    def work(group, cupy):
        a, b = cupy.asarray(np.ones((3, 4), "f")), cupy.asarray(np.ones(5))
        finish = group.begin(a, b)
        before = a.tolist(), b.tolist()
        finish()
        return a, b, before, group.stream, cupy.cuda.get_current_stream().ptr

    results, calls = run(work, 2)
    for rank, (a, b, before, own, current) in enumerate(results):
        assert before == (np.ones((3, 4)).tolist(), [1.0] * 5)  # on their way while we go on
        assert a.tolist() == np.full((3, 4), 2).tolist() and b.tolist() == [2.0] * 5
        assert own.non_blocking and own.ptr != current
        assert calls[str(rank)] == [
            ("use", rank),
            ("communicator", 2, rank),
            ("record", current),
            ("wait", own.ptr, current),  # for the gradients
            ("start",),
            ("allReduce", a.data.ptr, a.data.ptr, 12, "FLOAT32", "sum", own.ptr),
            ("allReduce", b.data.ptr, b.data.ptr, 5, "FLOAT64", "sum", own.ptr),
            ("end",),
            ("record", own.ptr),
            ("wait", current, own.ptr),  # for the sums
        ]


def test_other_sizes_are_refused_and_nobody_waits_for_them(run):
    def work(group, cupy):
        with pytest.raises(parallel.WorkerError, match="brought 8, 12 bytes; all workers must"):
            group.all_reduce(cupy.asarray(np.ones(2 + group.rank, "f")))

    _, calls = run(work, 2)
    assert all(made[-1] == ("abort",) for made in calls.values())


def test_a_worker_that_does_not_come(run):
    def work(group, cupy):
        group.host.patience = 0.2
        if group.rank:
            return
        with pytest.raises(parallel.WorkerError, match="worker 1 is stuck"):
            group.all_reduce(cupy.asarray(np.ones(2)))

    _, calls = run(work, 2)
    assert calls["0"][-1] == ("abort",)


def test_a_dtype_that_nccl_lacks(run):
    def work(group, cupy):
        with pytest.raises(TypeError, match="NCCL cannot sum up arrays of complex64"):
            group.all_reduce(cupy.asarray(np.ones(2, "F")))

    _, calls = run(work, 2)
    assert calls["0"][-1] == ("end",)


def test_the_rest_goes_by_the_host(run):
    def work(group, cupy):
        group.barrier()
        return group.broadcast({"rank": group.rank}, root=1), group.rank, group.size

    results, calls = run(work, 2)
    assert results == [({"rank": 1}, 0, 2), ({"rank": 1}, 1, 2)]
    assert not any(call[0] == "allReduce" for made in calls.values() for call in made)


def test_fewer_gpus_than_workers(monkeypatch):
    nccl = types.ModuleType("cupy.cuda.nccl")
    nccl.available = True
    with strict.in_place_of_cupy():
        monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", nccl)
        message = "worker 0 has no GPU: .* this machine has 1; take fewer workers"
        with pytest.raises(parallel.WorkerError, match=message):
            NCCL(parallel.Group(), 1)


def test_without_nccl(monkeypatch):
    missing = types.ModuleType("cupy.cuda.nccl")
    missing.available = False
    with strict.in_place_of_cupy():
        monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", missing)
        with pytest.raises(RuntimeError, match=r'need NCCL.*pip install -e "\.\[nccl12\]"'):
            backend.nccl()


def test_the_cpu_needs_none_of_it():
    group = parallel.Group()
    assert with_gpu(group, "cpu", 0) is group
