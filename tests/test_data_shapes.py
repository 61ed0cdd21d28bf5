"""The built-in set of drawn pictures."""

import zlib

import numpy as np
import pytest

from tinynet.data import DataError, ImageSet, shapes


@pytest.fixture(scope="module")
def train():
    return shapes.make("train", per_class=10)


@pytest.fixture(scope="module")
def test():
    return shapes.make("test", per_class=10)


def test_format(train):
    assert isinstance(train, ImageSet)
    assert train.images.shape == (1000, 3, 32, 32)
    assert train.labels.tolist() == list(range(100)) * 10
    assert len(set(train.class_names)) == 100
    assert "striped star" in train.class_names


def test_split_sizes_by_default():
    assert shapes.PER_CLASS == {"train": 200, "test": 50}
    assert len(shapes.make("test")) == 5000


def test_same_arguments_same_bytes_on_every_platform():
    drawn = {
        split: zlib.crc32(shapes.make(split, per_class=2, seed=5).images.tobytes())
        for split in ("train", "test")
    }
    assert drawn == {"train": 2438079884, "test": 2201802098}


def test_no_picture_is_drawn_twice(train, test):
    other = shapes.make("train", per_class=10, seed=1)
    pictures = [image.tobytes() for part in (train, test, other) for image in part.images]
    assert len(set(pictures)) == len(pictures)


def linear_accuracy(train, test, cell):
    """Test accuracy of a linear classifier that sees the mean of each cell x cell square.

    It is fitted to one-hot labels by least squares, with a little ridge.
    """

    def features(part):
        x = part.images.reshape(-1, 3, 32 // cell, cell, 32 // cell, cell).mean(axis=(3, 5))
        x = x.reshape(len(x), -1) / 255 - 0.5
        return np.hstack([x, np.ones((len(x), 1))])

    x = features(train)
    gram = x.T @ x + np.eye(x.shape[1])
    weights = np.linalg.solve(gram, x.T @ np.eye(100)[train.labels])
    return ((features(test) @ weights).argmax(axis=1) == test.labels).mean()


def test_the_average_colour_does_not_tell_the_class(train, test):
    assert linear_accuracy(train, test, cell=32) < 0.03


def test_a_linear_classifier_on_pixels_does_badly(train, test):
    assert linear_accuracy(train, test, cell=2) < 0.1


def test_shapes_and_fillings_stand_out_from_the_background(train):
    # The corner pixels are background; the picture's spread is far above that of its corner.
    x = train.images.astype(np.float64)
    corner = x[:, :, :4, :4].std(axis=(2, 3)).mean(axis=1)
    whole = x.std(axis=(2, 3)).mean(axis=1)
    assert (whole > 1.5 * corner).mean() > 0.97


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "val"}, "split must be 'train' or 'test', not 'val'"),
        ({"per_class": 0}, "per_class must be a whole number from 1 on: 0"),
        ({"per_class": 1.5}, "per_class must be a whole number from 1 on: 1.5"),
        ({"seed": -1}, "seed must be a whole number from 0 on: -1"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        shapes.make(**arguments)
