"""Loader: batches, order, reproducible epochs, the background thread."""

import contextlib
import threading

import numpy as np
import pytest
from device import strict

import tinynet as tn
from tinynet import backend, parallel
from tinynet.data import DataError, ImageSet, Loader, augment
from tinynet.data.images import Images

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.25]
real_normalize = augment.normalize


def make_set(N):
    rng = np.random.default_rng(N)
    images = rng.integers(0, 256, (N, 3, 6, 6), dtype=np.uint8)
    return ImageSet(images, np.arange(N, dtype=np.int64), tuple(map(str, range(N))))


def same(first, second):
    return len(first) == len(second) and all(
        np.array_equal(x1, x2) and np.array_equal(y1, y2)
        for (x1, y1), (x2, y2) in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("prefetch", [True, False])
@pytest.mark.parametrize(
    ("N", "batch_size", "drop_last", "sizes"),
    [
        (10, 4, False, [4, 4, 2]),
        (10, 4, True, [4, 4]),
        (8, 4, False, [4, 4]),
        (8, 4, True, [4, 4]),
        (3, 7, False, [3]),
    ],
)
def test_batch_sizes(N, batch_size, drop_last, sizes, prefetch):
    loader = Loader(make_set(N), batch_size, MEAN, STD, drop_last=drop_last, prefetch=prefetch)
    assert len(loader) == len(sizes)
    assert [len(y) for _, y in loader] == sizes


def test_batches_are_normalised_pictures_in_order():
    data = make_set(10)
    batches = list(Loader(data, 4, MEAN, STD))
    assert np.concatenate([y for _, y in batches]).tolist() == list(range(10))
    for x, y in batches:
        assert (x.dtype, y.dtype) == (np.float32, np.int64)
        assert x.transpose(1, 2, 3, 0).flags.c_contiguous
        assert np.array_equal(x, augment.normalize(data.images[y], MEAN, STD))


def test_shuffle_shows_each_picture_once_with_its_label():
    data = make_set(50)
    batches = list(Loader(data, 16, MEAN, STD, shuffle=True))
    order = np.concatenate([y for _, y in batches])
    assert sorted(order) == list(range(50))
    assert order.tolist() != list(range(50))
    for x, y in batches:
        assert np.array_equal(x, augment.normalize(data.images[y], MEAN, STD))


def test_augmentation_changes_pictures_and_not_labels():
    data = make_set(30)
    plain, changed = (list(Loader(data, 10, MEAN, STD, augment=a)) for a in (False, True))
    assert np.array_equal(plain[1][1], changed[1][1])
    moved = [
        (a != b).any(axis=(1, 2, 3)).mean() for (a, _), (b, _) in zip(plain, changed, strict=True)
    ]
    assert min(moved) > 0.8
    black = augment.normalize(np.zeros((1, 3, 1, 1), np.uint8), MEAN, STD)
    assert any((x == black).all(axis=1).any() for x, _ in changed)  # from the padding


@pytest.mark.parametrize("prefetch", [True, False])
def test_an_epoch_is_a_function_of_seed_and_number(prefetch):
    def loader(seed=7):
        return Loader(
            make_set(40), 8, MEAN, STD, shuffle=True, augment=True, seed=seed, prefetch=prefetch
        )

    running = loader()
    epochs = [list(running) for _ in range(4)]
    assert not same(epochs[0], epochs[1])
    resumed = loader()
    resumed.set_epoch(2)
    assert same(list(resumed), epochs[2])
    assert same(list(resumed), epochs[3])  # the count goes on
    assert not same(list(loader(seed=8)), epochs[0])


@pytest.mark.parametrize("prefetch", [True, False])
def test_epochs_that_run_side_by_side(prefetch):
    loader = Loader(make_set(40), 8, MEAN, STD, shuffle=True, prefetch=prefetch)
    first, second = iter(loader), iter(loader)
    again = Loader(make_set(40), 8, MEAN, STD, shuffle=True)
    assert same(list(second), [list(again), list(again)][1])
    again.set_epoch(0)
    assert same(list(first), list(again))


def test_prefetching_changes_no_batch():
    options = {"shuffle": True, "augment": True}
    ahead, plain = (
        list(Loader(make_set(20), 6, MEAN, STD, prefetch=prefetch, **options))
        for prefetch in (True, False)
    )
    assert same(ahead, plain)


def test_leaving_early_counts_as_an_epoch():
    loader = Loader(make_set(40), 8, MEAN, STD, shuffle=True)
    for _ in loader:
        break
    second = list(loader)
    loader.set_epoch(1)
    assert same(list(loader), second)


def test_one_batch_is_prepared_ahead_in_another_thread(monkeypatch):
    threads = []

    def normalize(*args):
        threads.append(threading.get_ident())
        return real_normalize(*args)

    monkeypatch.setattr(augment, "normalize", normalize)
    batches = iter(Loader(make_set(40), 4, MEAN, STD))
    for taken in range(1, 4):
        next(batches)
        assert len(threads) <= taken + 1
    batches.close()
    assert threading.get_ident() not in threads


def test_an_exception_in_the_thread_reaches_the_caller(monkeypatch):
    calls = []

    def normalize(*args):
        calls.append(args)
        if len(calls) == 3:
            raise MemoryError("no room for the third batch")
        return real_normalize(*args)

    monkeypatch.setattr(augment, "normalize", normalize)
    before = set(threading.enumerate())
    seen = []
    with pytest.raises(MemoryError, match="third batch"):
        for _, y in Loader(make_set(20), 4, MEAN, STD):
            seen.append(len(y))
    assert seen == [4, 4]
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize("how", ["break", "raise", "close", "all"])
def test_no_thread_is_left(how):
    before = set(threading.enumerate())
    batches = iter(Loader(make_set(40), 4, MEAN, STD))
    next(batches)
    during = set(threading.enumerate()) - before
    try:
        for _ in batches:
            if how == "break":
                break
            if how == "raise":
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    if how == "close":
        batches.close()
    del batches
    assert len(during) == 1
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_set": np.zeros(3)}, "image_set must be an ImageSet, not ndarray"),
        ({"batch_size": 0}, "batch_size must be a whole number from 1 on: 0"),
        ({"batch_size": 2.5}, "batch_size must be a whole number from 1 on: 2.5"),
        ({"seed": -1}, "seed must be a whole number from 0 on: -1"),
        ({"mean": [0.5]}, "mean and std must be three numbers each"),
        ({"std": [0.2, 0.2, 0]}, "std above 0"),
        ({"batch_size": 11, "drop_last": True}, "10 images make no batch of 11"),
        ({"image_set": make_set(0)}, "0 images make no batch"),
    ],
)
def test_bad_arguments_are_refused(changes, message):
    arguments = {"image_set": make_set(10), "batch_size": 4, "mean": MEAN, "std": STD}
    with pytest.raises(DataError, match=message):
        Loader(**{**arguments, **changes})


ALL = {"shuffle": True, "augment": True, "cutout": 3, "mixup": 0.4}


def by_hand(data, epoch, size=None, batch_size=4, seed=3):
    """The batches of a loader with all options, image by image."""
    rng, labels = np.random.default_rng((seed, epoch)), np.eye(len(data.class_names))
    order, batches = rng.permutation(len(data)), []
    for start in range(0, len(data), batch_size):
        picked = order[start : start + batch_size]
        N = len(picked)
        (down, right), flipped = rng.integers(-4, 5, (2, N)), rng.random(N) < 0.5
        rows, columns = rng.integers(0, 6, N), rng.integers(0, 6, N)
        partners, portion = rng.permutation(N), rng.beta(0.4, 0.4)
        x = np.zeros((N, 3, 6, 6), np.uint8)
        for n, r, q in np.ndindex(N, 6, 6):
            r_old, q_old = r + down[n], (5 - q if flipped[n] else q) + right[n]
            if 0 <= r_old < 6 and 0 <= q_old < 6:
                x[n, :, r, q] = data.images[picked[n], :, r_old, q_old]
        x = augment.normalize(x, MEAN, STD)
        for n in range(N):
            top, left = rows[n] - 1, columns[n] - 1
            x[n, :, max(top, 0) : top + 3, max(left, 0) : left + 3] = 0
        x = portion * x + (1 - portion) * x[partners]
        y = portion * labels[picked] + (1 - portion) * labels[picked[partners]]
        batches.append((x if size is None else augment.resize(x, size), y.astype(np.float32)))
    return batches


def nearly_same(first, second):
    for (x1, y1), (x2, y2) in zip(first, second, strict=True):
        np.testing.assert_allclose(x1, x2, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(y1, y2, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("prefetch", [True, False])
def test_all_options_at_once(prefetch):
    data = make_set(10)
    loader = Loader(data, 4, MEAN, STD, seed=3, prefetch=prefetch, size=5, **ALL)
    nearly_same(list(loader), by_hand(data, 0, size=5))
    for x, y in loader:
        assert x.shape[1:] == (3, 5, 5) and x.transpose(1, 2, 3, 0).flags.c_contiguous
        assert (x.dtype, y.dtype, y.shape) == (np.float32, np.float32, (len(x), 10))
        np.testing.assert_allclose(y.sum(1), 1, rtol=1e-6)


@pytest.mark.parametrize("prefetch", [True, False])
def test_the_size_may_change_between_epochs_and_not_within(prefetch):
    data = make_set(10)
    loader = Loader(data, 4, MEAN, STD, seed=3, prefetch=prefetch, **ALL)
    nearly_same(list(loader), by_hand(data, 0))
    loader.size = 3
    batches = iter(loader)
    loader.size = 8
    nearly_same(list(batches), by_hand(data, 1, size=3))
    nearly_same(list(loader), by_hand(data, 2, size=8))
    with pytest.raises(DataError, match="size must be a whole number from 1 on: 0"):
        loader.size = 0
    assert loader.size == 8


def test_zoom_takes_the_place_of_the_crop():
    data, seed = make_set(10), 5
    loader = Loader(data, 4, MEAN, STD, shuffle=True, augment=True, zoom=0.4, seed=seed)
    rng = np.random.default_rng((seed, 0))
    order, expected = rng.permutation(10), []
    for start in range(0, 10, 4):
        picked = order[start : start + 4]
        assert not rng.integers(0, 1, (2, len(picked))).any()  # no shift
        flipped = rng.random(len(picked)) < 0.5
        crops = augment.draw_crops(len(picked), 6, 6, 0.4, rng)
        x = augment.flip(data.images[picked], flipped)
        x = augment.enlarge(augment.normalize(x, MEAN, STD), *crops)
        expected.append((x, data.labels[picked]))
    found = list(loader)
    nearly_same(found, expected)
    whole = [x for x, _ in Loader(data, 4, MEAN, STD)]
    assert not any(np.allclose(x, y) for (x, _), y in zip(found, whole, strict=True))
    assert all(
        np.array_equal(x, y)
        for x, y in zip(whole, [x for x, _ in Loader(data, 4, MEAN, STD, zoom=0.4)], strict=True)
    ), "without augment, as in validation, zoom does nothing"


def test_without_them_the_draws_are_those_of_crop_and_mirror():
    data = make_set(10)
    loader = Loader(data, 4, MEAN, STD, shuffle=True, augment=True, seed=3)
    for epoch in range(2):
        batches = list(loader)
        rng = np.random.default_rng((3, epoch))
        order = rng.permutation(10)
        for i, (x, y) in enumerate(batches):
            assert y.tolist() == order[4 * i : 4 * i + 4].tolist()
            down, right = rng.integers(-4, 5, (2, len(y)))
            images = augment.shift(data.images[y], down, right)
            images = augment.flip(images, rng.random(len(y)) < 0.5)
            assert np.array_equal(x, augment.normalize(images, MEAN, STD))


@pytest.mark.parametrize(("size", "padding"), [(16, 4), (32, 4), (39, 4), (64, 8), (96, 12)])
def test_larger_images_are_moved_farther(size, padding):
    moves = []
    data = ImageSet(np.zeros((300, 3, size, size), np.uint8), np.zeros(300, int), ("one",))
    list(Loader(data, 300, MEAN, STD, augment=True, images=lambda picked, m: moves.append(m)))
    (down, right, _) = moves[0]
    assert (down.min(), down.max(), right.min(), right.max()) == (-padding, padding) * 2


@pytest.mark.parametrize("prefetch", [True, False])
@pytest.mark.parametrize("workers", [1, 3])
def test_an_epoch_may_begin_at_any_batch(monkeypatch, prefetch, workers):
    def loader():
        options = {"seed": 3, "prefetch": prefetch, "shared": True, **ALL}
        return Loader(make_set(23), 4, MEAN, STD, **options)

    group = parallel.Group()
    group.rank, group.size = workers - 1, workers
    with parallel.use(group):
        whole = loader()
        whole.set_epoch(1)
        first, second = list(whole), list(whole)
        for start in range(7):
            rest = loader()
            prepared = []
            monkeypatch.setattr(rest, "images", lambda *a, p=prepared, r=rest: count(p, r, a))
            rest.set_epoch(1, start=start)
            assert len(rest) == 6
            assert same(list(rest), first[start:])
            assert len(prepared) == 6 - start
            assert same(list(rest), second)  # the next epoch is whole again


def count(prepared, loader, arguments):
    prepared.append(len(arguments[0]))
    return loader._images(*arguments)


def test_where_an_epoch_begins_is_checked():
    loader = Loader(make_set(10), 4, MEAN, STD)
    for start in (-1, 4, 1.0, None):
        with pytest.raises(DataError, match="start must be a whole number from 0 to 3"):
            loader.set_epoch(0, start=start)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize(
    "options",
    [{"mixup": 0.4}, {"cutout": 2}, {"size": 4}, {**ALL, "size": 9}, {**ALL, "zoom": 0.3}],
    ids=["mixup", "cutout", "size", "all", "zoom"],
)
def test_all_workers_batches_together_are_those_of_one(size, options):
    options = {"seed": 3, "shuffle": True, **options}
    whole = list(Loader(make_set(23), 4, MEAN, STD, **options))
    parts, needed = [], []
    for rank in range(size):
        group = parallel.Group()
        group.rank, group.size = rank, size
        with parallel.use(group):
            loader = Loader(make_set(23), 4, MEAN, STD, shared=True, **options)
            loader.images = lambda *a, p=needed, r=loader: count(p, r, a)
            parts.append(list(loader))
    for i, batch in enumerate(whole):
        shares = [part[i] for part in parts]
        together = [np.concatenate(arrays) for arrays in zip(*shares, strict=True)]
        nearly_same([together], [batch])
        if "size" not in options:  # a product may add up in another order
            assert same([together], [batch])
    assert max(needed) <= 2 * -(-4 // size)  # a share and its partners, each image once
    assert size > 1 or sum(needed) == 23


@pytest.mark.parametrize("options", [ALL, {**ALL, "size": 4}], ids=["all", "resized"])
def test_a_gpus_images_give_the_same_batches(options):
    data = make_set(23)
    expected = list(Loader(data, 4, MEAN, STD, seed=3, **options))
    with contextlib.nullcontext() if tn.cuda_available() else strict.in_place_of_cupy():
        images = Images(data.images, *augment.scale_and_offset(MEAN, STD), "cuda")
        loader = Loader(data, 4, MEAN, STD, seed=3, images=images, prefetch=False, **options)
        batches = list(loader)
        assert {backend.device_of(x) for x, _ in batches} == {"cuda"}
        batches = [(backend.to_device(x, "cpu"), y) for x, y in batches]
    nearly_same(batches, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size must be a whole number from 1 on: 0"),
        ({"size": 2.0}, "size must be a whole number from 1 on: 2.0"),
        ({"cutout": -1}, "cutout must be a whole number from 0 to 6: -1"),
        ({"cutout": 7}, "cutout must be a whole number from 0 to 6: 7"),
        ({"zoom": 0}, "zoom must be a number above 0, up to 1: 0"),
        ({"zoom": 1.01}, "zoom must be a number above 0, up to 1: 1.01"),
        ({"zoom": float("nan")}, "zoom must be a number above 0, up to 1: nan"),
        ({"mixup": -0.1}, "mixup must be a number from 0 on: -0.1"),
        ({"mixup": float("nan")}, "mixup must be a number from 0 on: nan"),
        ({"mixup": "0.2"}, "mixup must be a number from 0 on: '0.2'"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(DataError, match=message):
        Loader(make_set(10), 4, MEAN, STD, **options)
