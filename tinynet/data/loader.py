"""Batches for training and evaluation, prepared one ahead in the background."""

import math
from concurrent.futures import ThreadPoolExecutor
from numbers import Real

import numpy as np

from tinynet import parallel
from tinynet.data import augment
from tinynet.data.dataset import DataError, ImageSet

_PADDING = 4  # pixels, at least; of larger images an eighth


class Loader:
    """Iterate over the batches ``(x, y)`` of an ``ImageSet``.

    ``x`` is a normalised float32 array ``(N, 3, H, W)`` with the batch innermost in memory (see
    ``augment.normalize``), ``y`` an int64 array ``(N,)``; both are NumPy arrays.

    The order and the augmentation of epoch e depend on ``seed`` and e alone. Each iteration is
    the next epoch, counted from 0; ``set_epoch`` moves the count, so that a resumed training
    sees the batches that it would have seen.

    A batch is cropped and mirrored (``augment``), normalised, enlarged (``zoom``), cut out, mixed,
    and resized, in this order and as far as it is asked for.

    Args:
        image_set: the images.
        batch_size: images per batch; the last batch may be smaller.
        mean, std: three numbers each in units of ``pixel / 255``, those of the training set.
        shuffle: draw a new order in each epoch.
        augment: crop with a padding of 4 pixels (of an eighth of the image, if that is more) and
            mirror, at random.
        zoom: with ``augment``, in place of that crop: enlarge a part of each image to the whole, of
            at least this share of its area, see ``augment.draw_crops``. 1: no.
        seed: a whole number from 0 on.
        drop_last: leave out a last batch that is smaller.
        prefetch: prepare the next batch in a thread while the caller works on this one.
        images: what makes the ``x`` of a batch, if not NumPy from ``image_set``: a function of
            ``picked``, the indices of the images, and ``moves``: None, or the arrays (down,
            right, flipped) of ``augment.shift`` and ``augment.flip``. A GPU that keeps the bytes
            itself is told these few numbers per batch, and the same seed gives the same batches.
        shared: give each worker of ``tinynet.parallel`` its share of every batch, and prepare no
            more than that. The batches are the same for any number of workers; where one has
            fewer images than there are workers, some shares are empty.
        size: give images of ``size x size`` pixels, see ``augment.resize``. It may be set to
            another value between epochs (progressive resizing). None: as they are.
        cutout: the side of the square that ``augment.cutout`` blanks out of each image, in pixels
            of the image set's own images, whatever ``size`` is; 0 for none.
        mixup: alpha of ``augment.draw_mixup``; 0 for none. Otherwise each image is mixed with
            another one of its batch, and ``y`` holds float32 probabilities ``(N, classes)``.

    Raises:
        DataError: if an argument is out of its range, or there would be no batch at all.
    """

    def __init__(
        self,
        image_set,
        batch_size,
        mean,
        std,
        shuffle=False,
        augment=False,
        seed=0,
        drop_last=False,
        prefetch=True,
        images=None,
        shared=False,
        size=None,
        cutout=0,
        mixup=0.0,
        zoom=1.0,
    ):
        if not isinstance(image_set, ImageSet):
            raise DataError(
                f"Loader: image_set must be an ImageSet, not {type(image_set).__name__}"
            )
        _whole("batch_size", batch_size, 1)
        _whole("seed", seed, 0)
        _whole("cutout", cutout, 0, min(image_set.images.shape[2:]))
        if isinstance(mixup, bool) or not isinstance(mixup, Real) or not 0 <= mixup < math.inf:
            raise DataError(f"Loader: mixup must be a number from 0 on: {mixup!r}")
        if isinstance(zoom, bool) or not isinstance(zoom, Real) or not 0 < zoom <= 1:
            raise DataError(f"Loader: zoom must be a number above 0, up to 1: {zoom!r}")
        self.image_set = image_set
        self.batch_size = batch_size
        self.mean, self.std = np.asarray(mean, np.float64), np.asarray(std, np.float64)
        self.shuffle, self.augment, self.seed = shuffle, augment, seed
        self.drop_last, self.prefetch, self.shared = drop_last, prefetch, shared
        self.images = images or self._images
        self.size, self.cutout, self.mixup, self.zoom = size, cutout, mixup, zoom
        self.epoch = self.start = 0
        if self.mean.shape != (3,) or self.std.shape != (3,) or not (self.std > 0).all():
            raise DataError(
                f"Loader: mean and std must be three numbers each, std above 0: {mean}, {std}"
            )
        if not len(self):
            raise DataError(
                f"Loader: {len(image_set)} images make no batch of {batch_size}; lower batch_size"
            )

    def __len__(self):
        """The number of batches in an epoch."""
        images = len(self.image_set)
        if not self.drop_last:
            images += self.batch_size - 1
        return images // self.batch_size

    @property
    def size(self):
        return self._size

    @size.setter
    def size(self, size):
        if size is not None:
            _whole("size", size, 1)
        self._size = size

    def set_epoch(self, epoch, start=0):
        """Make the next iteration epoch number ``epoch``, from its batch number ``start`` on: those
        before are not prepared. ``len`` stays that of a whole epoch. Raises DataError."""
        self.epoch, self.start = epoch, _whole("start", start, 0, len(self))

    def __iter__(self):
        # A generator's body runs at the first next(); what may be changed has to be taken now.
        batches = self._batches(self.epoch, self.start, self.size)
        self.epoch, self.start = self.epoch + 1, 0
        return _one_ahead(batches) if self.prefetch else batches

    def _batches(self, epoch, start, size):
        rng = np.random.default_rng((self.seed, epoch))
        N = len(self.image_set)
        order = rng.permutation(N) if self.shuffle else np.arange(N)
        for i in range(len(self)):
            picked = order[i * self.batch_size : (i + 1) * self.batch_size]
            drawn = self._draw(len(picked), rng)
            if i >= start:
                yield self._batch(picked, *drawn, size)

    def _draw(self, N, rng):
        """What chance decides for a batch: moves, parts to enlarge, centres of cutout, partners and
        portion of mixup; None for what is not asked for."""
        H, W = self.image_set.images.shape[2:]
        moves = crops = centres = pairs = None
        if self.augment:
            border = max(_PADDING, min(H, W) // 8) if self.zoom == 1 else 0
            moves = *augment.draw_shifts(N, border, rng), augment.draw_flips(N, rng)
            if self.zoom < 1:
                crops = augment.draw_crops(N, H, W, self.zoom, rng)
        if self.cutout:
            centres = augment.draw_centres(N, H, W, rng)
        if self.mixup:
            pairs = augment.draw_mixup(N, self.mixup, rng)
        return moves, crops, centres, pairs

    def _batch(self, picked, moves, crops, centres, pairs, size):
        ours = np.arange(len(picked))  # positions in the batch
        if self.shared:
            ours = ours[parallel.share_of(len(picked))]
        needed = ours if pairs is None else np.union1d(ours, pairs[0][ours])
        x = self.images(picked[needed], moves and tuple(move[needed] for move in moves))
        y = self.image_set.labels[picked[needed]]
        if crops is not None:
            x = augment.enlarge(x, *(crop[needed] for crop in crops))
        if centres is not None:
            x = augment.cutout(x, *(centre[needed] for centre in centres), self.cutout)
        if pairs is not None:
            partners, portion = pairs
            both = np.searchsorted(needed, ours), np.searchsorted(needed, partners[ours])
            x, y = augment.mixup(x, y, *both, portion, len(self.image_set.class_names))
        return x if size is None else augment.resize(x, size), y

    def _images(self, picked, moves):
        images = self.image_set.images[picked]
        if moves is not None:
            down, right, flipped = moves
            images = augment.flip(augment.shift(images, down, right), flipped)
        return augment.normalize(images, self.mean, self.std)


def _whole(name, value, low, high=math.inf):
    if (
        isinstance(value, bool)
        or not isinstance(value, int | np.integer)
        or not low <= value <= high
    ):
        span = f"from {low} on" if high == math.inf else f"from {low} to {high}"
        raise DataError(f"Loader: {name} must be a whole number {span}: {value!r}")
    return value


def _one_ahead(batches):
    """Yield what ``batches`` yields, while a thread prepares the next item.

    One item at most waits. An exception in the thread is raised here, and leaving the loop
    early ends the thread: closing this generator leaves the ``with`` block.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="tinynet-loader") as pool:
        coming = pool.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield batch
