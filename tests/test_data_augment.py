"""Augmentation and normalisation of batches."""

import numpy as np
import pytest

from tinynet.data import augment


def pictures(N, H=5, W=7, seed=0):
    return np.random.default_rng(seed).integers(1, 256, (N, 3, H, W), dtype=np.uint8)


def random_shift(images, padding, rng):
    return augment.shift(images, *augment.draw_shifts(len(images), padding, rng))


def random_flip(images, rng):
    return augment.flip(images, augment.draw_flips(len(images), rng))


def offsets(images, cropped, padding):
    """Return the (top, left) offset at which each cropped picture was cut from its original."""
    H, W = images.shape[2:]
    padded = np.pad(images, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    found = []
    for picture, out in zip(padded, cropped, strict=True):
        places = [
            (top, left)
            for top in range(2 * padding + 1)
            for left in range(2 * padding + 1)
            if np.array_equal(picture[:, top : top + H, left : left + W], out)
        ]
        assert len(places) == 1
        found += places
    return found


@pytest.mark.parametrize(("padding", "least"), [(0, 1), (1, 7), (3, 20)])
def test_random_shifts_cuts_windows_from_the_padded_picture(padding, least):
    images = pictures(40)
    before = images.copy()
    out = random_shift(images, padding, np.random.default_rng(1))
    assert (out.shape, out.dtype) == (images.shape, np.uint8)
    assert np.array_equal(images, before)
    assert len(set(offsets(images, out, padding))) >= least


def test_random_shifts_draws_every_offset_equally_often():
    images = pictures(1800)
    out = random_shift(images, 1, np.random.default_rng(2))
    places, counts = np.unique(offsets(images, out, 1), axis=0, return_counts=True)
    assert len(places) == 9
    assert counts.min() > 140  # 200 expected, with a deviation of 13
    assert counts.max() < 260


def test_random_flip_mirrors_about_half():
    images = pictures(600)
    before = images.copy()
    out = random_flip(images, np.random.default_rng(3))
    assert np.array_equal(images, before)
    same = (out == images).all(axis=(1, 2, 3))
    mirrored = (out == images[:, :, :, ::-1]).all(axis=(1, 2, 3))
    assert (same ^ mirrored).all()
    assert 240 < mirrored.sum() < 360


@pytest.mark.parametrize("change", [lambda x, r: random_shift(x, 2, r), random_flip])
def test_the_same_generator_state_gives_the_same_batch(change):
    images = pictures(50)
    first, again, other = (change(images, np.random.default_rng(s)) for s in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-14)])
def test_normalize(dtype, tolerance):
    images, mean, std = pictures(9), [0.4, 0.5, 0.1], (0.2, 0.25, 0.3)
    out = augment.normalize(images, mean, std, dtype=dtype)
    reference = (images / 255 - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    assert (out.shape, out.dtype) == (images.shape, dtype)
    np.testing.assert_allclose(out, reference, rtol=0, atol=tolerance * 5)


def test_normalize_gives_float32_with_the_batch_innermost_in_memory():
    out = augment.normalize(pictures(9), [0.5] * 3, [0.2] * 3)
    assert out.dtype == np.float32
    assert out.transpose(1, 2, 3, 0).flags.c_contiguous
