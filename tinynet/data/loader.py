"""Batches for training and evaluation, prepared one ahead in the background."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tinynet import parallel
from tinynet.data import augment
from tinynet.data.dataset import DataError, ImageSet

_PADDING = 4


class Loader:
    """Iterate over the batches ``(x, y)`` of an ``ImageSet``.

    ``x`` is a normalised float32 array ``(N, 3, H, W)`` with the batch innermost in memory (see
    ``augment.normalize``), ``y`` an int64 array ``(N,)``; both are NumPy arrays.

    The order and the augmentation of epoch e depend on ``seed`` and e alone. Each iteration is
    the next epoch, counted from 0; ``set_epoch`` moves the count, so that a resumed training
    sees the batches that it would have seen.

    Args:
        image_set: the images.
        batch_size: images per batch; the last batch may be smaller.
        mean, std: three numbers each in units of ``pixel / 255``, those of the training set.
        shuffle: draw a new order in each epoch.
        augment: crop with a padding of 4 pixels and mirror, at random.
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
    ):
        if not isinstance(image_set, ImageSet):
            raise DataError(
                f"Loader: image_set must be an ImageSet, not {type(image_set).__name__}"
            )
        for name, value, low in (("batch_size", batch_size, 1), ("seed", seed, 0)):
            if not isinstance(value, (int, np.integer)) or value < low:
                raise DataError(f"Loader: {name} must be a whole number from {low} on: {value!r}")
        self.image_set = image_set
        self.batch_size = batch_size
        self.mean, self.std = np.asarray(mean, np.float64), np.asarray(std, np.float64)
        self.shuffle, self.augment, self.seed = shuffle, augment, seed
        self.drop_last, self.prefetch, self.shared = drop_last, prefetch, shared
        self.images = images or self._images
        self.epoch = 0
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

    def set_epoch(self, epoch):
        """Make the next iteration epoch number ``epoch``."""
        self.epoch = epoch

    def __iter__(self):
        # A generator's body runs at the first next(); the epoch has to be taken now.
        batches = self._batches(self.epoch)
        self.epoch += 1
        return _one_ahead(batches) if self.prefetch else batches

    def _batches(self, epoch):
        rng = np.random.default_rng((self.seed, epoch))
        N = len(self.image_set)
        order = rng.permutation(N) if self.shuffle else np.arange(N)
        for i in range(len(self)):
            picked = order[i * self.batch_size : (i + 1) * self.batch_size]
            moves = None
            if self.augment:
                shifts = augment.draw_shifts(len(picked), _PADDING, rng)
                moves = *shifts, augment.draw_flips(len(picked), rng)
            if self.shared:
                share = parallel.share_of(len(picked))
                picked = picked[share]
                moves = moves and tuple(move[share] for move in moves)
            yield self.images(picked, moves), self.image_set.labels[picked]

    def _images(self, picked, moves):
        images = self.image_set.images[picked]
        if moves is not None:
            down, right, flipped = moves
            images = augment.flip(augment.shift(images, down, right), flipped)
        return augment.normalize(images, self.mean, self.std)


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
