"""Loader: batches, order, reproducible epochs, the background thread."""

import threading

import numpy as np
import pytest

from tinynet.data import DataError, ImageSet, Loader, augment

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
