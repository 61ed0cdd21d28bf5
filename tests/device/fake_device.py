"""A GPU to benchmark where there is none: what the two files of these tests share."""

import time

import pytest

from benchmarks.gpu_kernels import Device
from benchmarks.rows import Row
from device import strict

TINY = Row("H", "cifar-4x4", 0.05, 16, 4, 10, True, 1.0, 1.0, True)


class FakeDevice(Device):
    """The device behind CuPy's stand-in: no queue, no pool, no events."""

    def facts(self):
        return {"device": "stand-in", "CuPy": "14", "torch": None}

    def wait(self):
        pass

    def seconds(self, run):
        started = time.perf_counter()
        run()
        return time.perf_counter() - started

    def copy_rate(self):
        return 2e9

    def free(self):
        pass

    def poison(self):
        pass

    def peak(self, run, _):
        run()
        return 3_000_000


@pytest.fixture
def stand_in():
    with strict.in_place_of_cupy():
        yield
