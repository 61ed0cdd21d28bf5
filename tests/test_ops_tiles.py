"""Pieces of big arrays: each value once, whatever the sizes; and the threads that share them."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from tinynet.ops import tiles


@pytest.mark.parametrize("C", [0, 1, 3, 7, 64])
@pytest.mark.parametrize("M", [0, 1, 5, 99, 100, 101, 250, 1000, 1001])
def test_every_value_is_in_one_piece(C, M):
    x = np.zeros((C, M))
    for rows, spans in tiles.row_tiles(x, span=100):
        for span in spans:
            x[rows, span] += 1
            assert x[rows, span].size <= 150
    assert (x == 1).all()


def test_channel_tiles():
    x = np.zeros((7, 4, 5, 3))
    pieces = tiles.channel_tiles(x, span=130)
    assert [x[piece].shape[0] for piece in pieces] == [2, 2, 2, 1]
    assert len(tiles.channel_tiles(np.zeros((3, 0, 5, 2)))) == 1


def test_share_does_each_piece_once():
    done = []
    tiles.share(done.append, range(1000))
    assert sorted(done) == list(range(1000))
    tiles.share(done.append, [])
    assert len(done) == 1000


@pytest.fixture
def three_threads(monkeypatch):
    monkeypatch.setenv("TINYNET_NUM_THREADS", "3")
    tiles._pool.cache_clear()
    yield
    tiles._pool.cache_clear()


def test_share_uses_the_threads(three_threads):
    """Three pieces that wait for one another end only if three threads take one each."""
    barrier = threading.Barrier(3)
    tiles.share(lambda piece: barrier.wait(timeout=30), range(3))


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_an_error_in_any_thread_is_raised(three_threads, bad):
    barrier = threading.Barrier(3)

    def work(piece):
        barrier.wait(timeout=30)
        if piece == bad:
            raise ZeroDivisionError("in a piece")

    with pytest.raises(ZeroDivisionError, match="in a piece"):
        tiles.share(work, range(3))


def test_numpy_error_settings_reach_the_threads(three_threads):
    barrier = threading.Barrier(3)
    seen = []

    def work(piece):
        barrier.wait(timeout=30)
        seen.append(np.geterr()["divide"])

    with np.errstate(divide="raise"):
        tiles.share(work, range(3))
    assert seen == ["raise"] * 3


@pytest.mark.parametrize(("value", "expected"), [("5", 5), ("1", 1)])
def test_the_number_of_cores_can_be_set(monkeypatch, value, expected):
    monkeypatch.setenv("TINYNET_NUM_THREADS", value)
    assert tiles.cores() == expected


@pytest.mark.parametrize("value", ["", "0", "-2", "many", "2,2"])
def test_a_number_that_is_none_is_ignored(monkeypatch, value):
    monkeypatch.setenv("TINYNET_NUM_THREADS", value)
    assert tiles.cores() == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_has_threads_of_its_own():
    """The parent's threads do not exist in the child: waiting for them would last forever."""
    code = """
import os, threading
from tinynet.ops import tiles
tiles.share(lambda piece: None, range(8))
child = os.fork()
if child == 0:
    barrier = threading.Barrier(2)
    tiles.share(lambda piece: barrier.wait(timeout=20), range(2))
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "TINYNET_NUM_THREADS": "2"},
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == "7", done.stderr
