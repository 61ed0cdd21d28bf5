"""Pieces of big arrays: each value once, whatever the sizes."""

import numpy as np
import pytest

from tinynet.fast.cpu import tiles


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
