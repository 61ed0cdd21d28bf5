"""Augmentation and normalisation of batches."""

import contextlib

import numpy as np
import pytest
import torch
from device import strict

import tinynet as tn
from tinynet import backend
from tinynet.data import DataError, augment


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


def floats(N, H=5, W=7, dtype=np.float32):
    x = np.random.default_rng(4).standard_normal((3, H, W, N)).astype(dtype)
    return x.transpose(3, 0, 1, 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("H", "W", "size"),
    [(32, 32, 24), (32, 32, 16), (32, 32, 7), (7, 5, 6), (32, 32, 48), (96, 96, 64), (8, 6, 1),
     (3, 50, 9), (1, 1, 4), (5, 5, 5), (5, 7, 5)],
)  # fmt: skip
def test_resize_is_torchs_antialiased_interpolate(H, W, size, dtype):
    x = floats(4, H, W, dtype)
    out = augment.resize(x, size)
    expected = torch.nn.functional.interpolate(
        torch.tensor(x), (size, size), mode="bilinear", align_corners=False, antialias=True
    )
    assert (out.shape, out.dtype) == ((4, 3, size, size), dtype)
    assert out.transpose(1, 2, 3, 0).flags.c_contiguous
    np.testing.assert_allclose(out, expected.numpy(), rtol=0, atol=1e-5)
    other = augment.resize(np.ascontiguousarray(x), size)  # another order in memory
    np.testing.assert_allclose(other, out, rtol=0, atol=1e-6)


def test_resize_of_no_image():
    assert augment.resize(floats(0), 3).shape == (0, 3, 3, 3)


@pytest.mark.parametrize("size", [0, -1, 2.0, True, "8", (3, 3)])
def test_sizes_that_are_refused(size):
    with pytest.raises(DataError, match="size must be a whole number from 1 on"):
        augment.resize(floats(2), size)
    with pytest.raises(DataError, match="must be floats, as normalize makes them, not uint8"):
        augment.resize(pictures(2), 3)


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5])
def test_cutout_blanks_a_square_around_each_centre(side):
    x = floats(35)
    before = x.copy()
    rows, columns = (axis.ravel() for axis in np.mgrid[:5, :7])  # every pixel once
    out = augment.cutout(x, rows, columns, side)
    assert np.array_equal(x, before)
    assert out.dtype == np.float32 and out.transpose(1, 2, 3, 0).flags.c_contiguous
    for n in range(35):
        top, left = rows[n] - side // 2, columns[n] - side // 2
        x[n, :, max(top, 0) : top + side, max(left, 0) : left + side] = 0
    assert np.array_equal(out, x)


@pytest.mark.parametrize("H, W", [(5, 7), (8, 8), (1, 4)])
def test_enlarge_is_bilinear_as_torch_has_it(H, W):
    """`grid_sample` takes, as we do, a centre's two neighbours along each axis."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal((9, 2, H, W)).astype(np.float32)
    tops, lefts, heights, widths = augment.draw_crops(9, H, W, 0.1, rng)
    out = augment.enlarge(x, tops, lefts, heights, widths)
    assert out.dtype == np.float32 and out.transpose(1, 2, 3, 0).flags.c_contiguous
    r = (tops[:, None] + (np.arange(H) + 0.5) * heights[:, None] / H) * 2 / H - 1
    q = (lefts[:, None] + (np.arange(W) + 0.5) * widths[:, None] / W) * 2 / W - 1
    grid = np.stack(np.broadcast_arrays(q[:, None, :], r[:, :, None]), -1).astype(np.float32)
    theirs = torch.nn.functional.grid_sample(
        torch.tensor(x), torch.tensor(grid), padding_mode="border", align_corners=False
    )
    np.testing.assert_allclose(out, theirs, rtol=1e-4, atol=1e-5)


def test_enlarging_the_whole_changes_nothing():
    x, none, sides = floats(3), np.zeros(3), np.ones(3)
    out = augment.enlarge(x, none, none, 5 * sides, 7 * sides)
    np.testing.assert_allclose(out, x, rtol=1e-6)


def test_crops_have_the_areas_and_shapes_of_torchvision():
    tops, lefts, heights, widths = augment.draw_crops(20000, 60, 80, 0.2, np.random.default_rng(6))
    assert tops.min() >= 0 and (tops + heights).max() <= 60 + 1e-9
    assert lefts.min() >= 0 and (lefts + widths).max() <= 80 + 1e-9
    share, ratio = heights * widths / 4800, widths / heights
    assert share.min() > 0.19 and share.max() <= 1
    fits = (heights < 60) & (widths < 80)  # the others were cut to the image
    assert ratio[fits].min() >= 0.75 - 1e-9 and ratio[fits].max() <= 4 / 3 + 1e-9
    small = share < 0.4  # where all fit: areas uniform, ratios as many above 1 as below
    assert abs(share[small].mean() - 0.3) < 0.01 and abs((ratio[small] > 1).mean() - 0.5) < 0.02
    place = tops[small] / (60 - heights[small])
    assert abs(place.mean() - 0.5) < 0.02 and abs(place.std() - 12**-0.5) < 0.01


def test_centres_are_uniform_over_the_image():
    rows, columns = augment.draw_centres(3500, 5, 7, np.random.default_rng(5))
    places, counts = np.unique(np.stack([rows, columns], 1), axis=0, return_counts=True)
    assert len(places) == 35 and places.min() == 0
    assert counts.min() > 60 and counts.max() < 140  # 100 expected, with a deviation of 10


def test_mixup():
    x, labels = floats(6), np.array([0, 3, 1, 3, 2, 0])
    first, second = np.array([0, 1, 4]), np.array([4, 3, 4])
    mixed, shares = augment.mixup(x, labels, first, second, 0.75, 5)
    assert mixed.transpose(1, 2, 3, 0).flags.c_contiguous
    np.testing.assert_allclose(mixed, 0.75 * x[first] + 0.25 * x[second], rtol=1e-6)
    assert mixed.dtype == shares.dtype == np.float32
    assert shares.tolist() == [[0.75, 0, 0.25, 0, 0], [0, 0, 0, 1, 0], [0, 0, 1, 0, 0]]


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_portions_are_of_the_beta_distribution(alpha):
    rng = np.random.default_rng(6)
    partners, portions = zip(*(augment.draw_mixup(8, alpha, rng) for _ in range(2000)), strict=True)
    assert all(sorted(order) == list(range(8)) for order in partners)
    assert len({tuple(order) for order in partners}) > 1900
    assert abs(np.mean(portions) - 0.5) < 0.04
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(np.var(portions) / variance - 1) < 0.1


def test_what_follows_normalize_is_the_same_on_a_gpu():
    x, labels, rows = floats(6), np.arange(6) % 4, np.array([0, 1, 2, 3, 4, 0])
    order = np.array([3, 1, 0, 2, 5, 4])
    crops = augment.draw_crops(6, *x.shape[2:], 0.3, np.random.default_rng(3))

    def change(x):
        x = augment.enlarge(x, *crops)
        x = augment.cutout(x, rows, rows + 1, 3)
        x, shares = augment.mixup(x, labels, np.arange(6), order, 0.3, 4)
        return augment.resize(x, 4), augment.resize(x, 9), shares

    expected = change(x)
    with contextlib.nullcontext() if tn.cuda_available() else strict.in_place_of_cupy():
        found = change(backend.to_device(x, "cuda"))
        assert all(image.transpose(1, 2, 3, 0).flags.c_contiguous for image in found[:2])
        found = [*(backend.to_device(image, "cpu") for image in found[:2]), found[2]]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
