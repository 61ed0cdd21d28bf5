"""Workers in shared memory: what they sum up and hand on, against NumPy, bit for bit."""

import time

import numpy as np
import parallel_tasks as tasks
import pytest

from tinynet import parallel
from tinynet.parallel import WorkerError, processes

SIZES = (2, 3, 4, 5)


@pytest.fixture
def small_rings():
    with tasks.small_rings():
        yield


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", range(6))
def test_random_programs_in_threads(small_rings, size, seed):
    def run():
        return tasks.perform(tasks.program(seed, parallel.rank, size))

    with np.errstate(over="ignore"):
        wanted = tasks.expected([tasks.program(seed, rank, size) for rank in range(size)])
    assert len(wanted) > 20
    for results in tasks.in_threads(size, run):
        for got, want in zip(results, wanted, strict=True):
            assert got.dtype == want.dtype and got.shape == want.shape
            assert np.ascontiguousarray(got).tobytes() == np.ascontiguousarray(want).tobytes()


@pytest.mark.parametrize("size", [2, 4])
def test_random_programs_in_processes(size):
    options = [(0, 5000, 40), (2, 1_200_000, 8)]  # seed, elements of an array, steps
    wanted = []
    with np.errstate(over="ignore"):
        for seed, *how in options:
            programs = [tasks.program(seed, rank, size, *how) for rank in range(size)]
            wanted += tasks.expected(programs)
    assert max(array.nbytes for array in wanted) > 3 * processes.PIECE
    found = parallel.run(tasks.digests_of_programs, options, workers=size)
    assert found == [tasks.digest(wanted)] * size


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_sums_of_every_size_around_a_piece_and_a_ring(small_rings, size, dtype):
    slot = processes._layout(size)[1] // np.dtype(dtype).itemsize
    counts = (0, 1, size - 1, slot - 1, slot, slot + 1, 8 * slot, 8 * slot + 1, 20 * slot + 7)

    def values(rank, count):
        return np.random.default_rng((rank, count)).normal(0, 1e3, count).astype(dtype)

    def run():
        arrays = [values(parallel.rank, count) for count in counts]
        finishing = [parallel.current().begin(array) for array in arrays]
        for finish in finishing[::-1]:
            finish()
        return arrays

    for arrays in tasks.in_threads(size, run):
        for count, array in zip(counts, arrays, strict=True):
            want = values(0, count)
            for rank in range(1, size):
                want += values(rank, count)
            assert array.tobytes() == want.tobytes()


@pytest.mark.parametrize("size", SIZES)
def test_views_are_written_through_and_their_surroundings_left_alone(small_rings, size):
    def run():
        base = np.arange(600.0).reshape(20, 30)
        views = [base[::2, 3:9], base[1::2].T, base[0, 20:], np.array(2.5), np.empty((0, 3))]
        parallel.all_reduce(*views)
        return base, views[3]

    base = np.arange(600.0).reshape(20, 30)
    want = base.copy()
    for part in (np.s_[::2, 3:9], np.s_[1::2], np.s_[0, 20:]):
        want[part] = base[part] * size
    for got, scalar in tasks.in_threads(size, run):
        np.testing.assert_array_equal(got, want)
        assert scalar == 2.5 * size and scalar.shape == ()


@pytest.mark.parametrize("size", SIZES)
def test_a_worker_that_lags_behind_finds_what_it_was_sent(small_rings, size):
    def run():
        group = parallel.current()
        if group.rank == 1:
            take = group._take_oldest
            group._take_oldest = lambda: (time.sleep(0.002), take())
        arrays = [np.full(100, float(i + group.rank)) for i in range(40)]
        for finish in [group.begin(array) for array in arrays]:
            finish()
        return arrays

    for arrays in tasks.in_threads(size, run):
        for i, array in enumerate(arrays):
            assert (array == size * i + sum(range(size))).all()


def test_not_a_number_and_infinity_arrive():
    def run():
        a = np.array([np.nan, np.inf, -np.inf, 1.0, -0.0])
        with np.errstate(invalid="ignore"):
            a[1] *= 1 if parallel.rank else -1
            parallel.all_reduce(a)
        return a

    for a in tasks.in_threads(3, run):
        np.testing.assert_array_equal(a, [np.nan, np.nan, -np.inf, 3, 0])
        assert np.signbit(a[4])  # -0 + -0


def test_what_is_broadcast_arrives_as_it_was(small_rings):
    values = [None, {"a": [1, (2.5, "ä")]}, b"", "x" * 50_000, np.arange(9).reshape(3, 3).T]

    def run():
        return [parallel.broadcast(v if parallel.rank == 2 else 0, root=2) for v in values]

    for got in tasks.in_threads(3, run):
        assert got[:4] == values[:4]
        np.testing.assert_array_equal(got[4], values[4])


def test_a_barrier_lets_none_through_before_the_last():
    came = []

    def run():
        time.sleep(0.05 * parallel.rank)
        came.append(parallel.rank)
        parallel.barrier()
        return len(came)

    assert tasks.in_threads(4, run) == [4] * 4


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda r: parallel.all_reduce(np.zeros(r + 1)), r"brought (8|16) bytes where worker"),
        (lambda r: parallel.broadcast(r, root=r), "to a broadcast by worker"),
        (
            lambda r: parallel.broadcast(r) if r else parallel.barrier(),
            "to a broadcast by worker 0",
        ),
        (lambda r: parallel.barrier() if r else None, "worker 1 waits for it"),
        (lambda r: parallel.all_reduce(3.0), "NumPy arrays, got float"),
        (lambda r: parallel.all_reduce(np.zeros(2), [1]), "NumPy arrays, got list"),
    ],
)
def test_calls_that_differ_or_make_no_sense_are_named(call, words):
    def run():
        call(parallel.rank)
        parallel.current().leave()

    with pytest.raises((WorkerError, TypeError), match=words):
        tasks.in_threads(2, run)


def test_the_one_that_does_not_come_is_named():
    def run():
        if parallel.rank == 1:
            time.sleep(1)
        else:
            parallel.barrier(patience=0.2)

    with pytest.raises(WorkerError, match="worker 1 is stuck: the others have waited .* 0.2 s"):
        tasks.in_threads(3, run)


def test_who_was_stopped_with_all_others_has_not_waited(monkeypatch):
    """Ctrl-Z and fg: the clock has gone on for an hour between two looks at it."""
    clock = time.monotonic
    jump = [0.0]
    monkeypatch.setattr(processes.time, "monotonic", lambda: clock() + jump[0])

    def run():
        if parallel.rank == 1:
            time.sleep(0.2)
            jump[0] = 3600
            time.sleep(0.2)
        parallel.barrier(patience=10)
        return "on"

    assert tasks.in_threads(2, run) == ["on", "on"]


def test_alone_everything_works_and_does_nothing():
    a = np.arange(3.0)
    parallel.all_reduce(a)
    parallel.barrier()
    assert a.tolist() == [0, 1, 2] and parallel.broadcast(a) is a
    assert (parallel.rank, parallel.size) == (0, 1)
    assert parallel.run(divmod, 7, 2, workers=1) == (3, 1)


@pytest.mark.parametrize(
    ("workers", "error", "words"),
    [
        (0, ValueError, "1 or more, got 0"),
        (-1, ValueError, "1 or more, got -1"),
        (True, TypeError, "an integer, got True"),
        ("2", TypeError, "an integer, got '2'"),
        (2.0, TypeError, "an integer, got 2.0"),
    ],
)
def test_a_number_of_workers_that_is_none(workers, error, words):
    with pytest.raises(error, match=words):
        parallel.run(print, workers=workers)


@pytest.mark.parametrize("patience", [0, -1, "60"])
def test_a_patience_that_is_none(patience):
    with pytest.raises(ValueError, match="patience must be seconds above 0 or None"):
        parallel.run(print, workers=2, patience=patience)


def test_what_is_no_function_is_refused():
    with pytest.raises(TypeError, match="expected a function, got int"):
        parallel.run(3, workers=2)
