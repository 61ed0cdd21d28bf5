"""ImageSet: validation, channel statistics, stratified split."""

import tracemalloc

import numpy as np
import pytest

from tinynet.data import DataError, ImageSet


def make_set(counts, size=4, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.int64)
    images = rng.integers(0, 256, (len(labels), 3, size, size), dtype=np.uint8)
    return ImageSet(images, labels, tuple(f"class {c}" for c in range(len(counts))))


def test_length_and_repr():
    data = make_set([3, 4])
    assert len(data) == 7
    assert repr(data) == "ImageSet(7 images 3x4x4, 2 classes)"
    with pytest.raises(AttributeError):
        data.labels = data.labels[:2]


IMAGES = np.zeros((2, 3, 4, 4), np.uint8)
LABELS = np.array([0, 1])


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (
            IMAGES.astype(np.float32),
            LABELS,
            r"images must be a uint8 array.*float32 \(2, 3, 4, 4\)",
        ),
        (IMAGES[:, :1], LABELS, r"images must be.*\(2, 1, 4, 4\)"),
        (IMAGES[0], LABELS, r"images must be.*\(3, 4, 4\)"),
        ([[0]], LABELS, "images must be.*not list"),
        (IMAGES, LABELS[:1], r"labels must be an int64 array \(2,\).*int64 \(1,\)"),
        (IMAGES, LABELS.astype(np.int32), "labels must be an int64 array.*int32"),
        (IMAGES, [0, 1], "labels must be an int64 array.*list"),
        (IMAGES, LABELS + 1, r"labels must lie in 0\.\.1.*span 1\.\.2"),
        (IMAGES, LABELS - 1, r"labels must lie in 0\.\.1.*span -1\.\.0"),
    ],
)
def test_bad_arrays_are_refused(images, labels, message):
    with pytest.raises(DataError, match=message) as caught:
        ImageSet(images, labels, ("a", "b"))
    assert "\n" not in str(caught.value)


def test_channel_stats():
    data = make_set([1500, 700], size=5)
    x = data.images / 255
    mean, std = data.channel_stats()
    assert mean.dtype == std.dtype == np.float64
    np.testing.assert_allclose(mean, x.mean(axis=(0, 2, 3)), rtol=1e-13)
    np.testing.assert_allclose(std, x.std(axis=(0, 2, 3)), rtol=1e-13)
    assert len(set(mean)) == 3


def test_channel_stats_of_an_almost_constant_channel():
    images = np.full((3000, 3, 16, 16), 250, np.uint8)
    images[17, 1, 3, 3] = 251
    _, std = ImageSet(images, np.zeros(3000, np.int64), ("a",)).channel_stats()
    n = 3000 * 16 * 16
    np.testing.assert_allclose(std * 255, [0, np.sqrt((1 - 1 / n) / n), 0], rtol=1e-8, atol=1e-12)


def test_channel_stats_needs_little_memory():
    data = make_set([6000], size=32)
    tracemalloc.start()
    data.channel_stats()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < data.images.nbytes  # a float copy would need four or eight times that


def test_channel_stats_of_nothing():
    with pytest.raises(DataError, match="no image"):
        make_set([0]).channel_stats()


def test_split_is_stratified_and_complete():
    data = make_set([9, 5, 12])
    rest, held_out = data.split(4, seed=1)
    assert np.bincount(held_out.labels).tolist() == [4, 4, 4]
    assert np.bincount(rest.labels).tolist() == [5, 1, 8]
    assert rest.class_names == held_out.class_names == data.class_names

    def pairs(part):
        return [
            (image.tobytes(), label) for image, label in zip(part.images, part.labels, strict=True)
        ]

    assert sorted(pairs(rest) + pairs(held_out)) == sorted(pairs(data))
    for part in (rest, held_out):  # the order is kept
        places = [pairs(data).index(pair) for pair in pairs(part)]
        assert places == sorted(places)


def test_split_depends_on_the_seed_alone():
    data = make_set([20, 20])
    first, again, other = (data.split(5, seed=seed)[1].images for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("per_class", [0, -1, 5, 6])
def test_split_refuses_to_empty_a_class(per_class):
    with pytest.raises(
        DataError, match=rf"per_class must lie in 1\.\.4 .* has 5 .* not {per_class}"
    ):
        make_set([9, 5]).split(per_class, seed=0)


GROUPS = np.array([1, 0, 1])


def test_superclasses_are_kept_by_a_split():
    data = make_set([4, 5, 6])
    data = ImageSet(data.images, data.labels, data.class_names, ("x", "y"), GROUPS)
    for part in data.split(2, seed=0):
        assert part.superclasses == ("x", "y")
        assert np.array_equal(part.superclass_of, GROUPS)
    assert all(
        part.superclasses is part.superclass_of is None for part in make_set([3]).split(1, 0)
    )


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (("x", "y"), None),
        (None, GROUPS),
        (("x",), GROUPS),
        (("x", "y"), GROUPS - 1),
        (("x", "y"), GROUPS[:2]),
        (("x", "y"), GROUPS.astype(np.int32)),
        (("x", "y"), [1, 0, 1]),
    ],
)
def test_bad_superclasses_are_refused(names, groups):
    data = make_set([1, 1, 1])
    with pytest.raises(DataError, match=r"superclass_of must be an int64 array \(3,\) of indices"):
        ImageSet(data.images, data.labels, data.class_names, names, groups)
