"""Labelled images in memory, and the error that every data source raises."""

from dataclasses import dataclass, replace

import numpy as np

# Images counted at a time by channel_stats: np.bincount widens bytes to 8-byte integers.
_BLOCK = 1000


class DataError(ValueError):
    """Data that cannot be had or used. The message is one sentence, fit for a command line."""


def names_in(content, number, where):
    """Return the names of classes that the text ``content`` (bytes) has, one on each line.

    Raises:
        DataError: if they are not ``number`` names that can be printed.
    """
    names = tuple(bytes(content).decode("utf-8", "replace").rstrip().splitlines())
    if len(names) != number:
        raise DataError(f"{where} has {len(names)} names instead of {number}: mend or delete it")
    if not all(name.strip() and name.isprintable() for name in names):
        raise DataError(f"{where} has names that cannot be printed: mend or delete it")
    return names


@dataclass(frozen=True, eq=False, repr=False)
class ImageSet:
    """Labelled images, as bytes.

    Args:
        images: uint8 array ``(N, 3, H, W)``: red, green and blue plane, rows from the top.
        labels: int64 array ``(N,)``, each in ``0 .. len(class_names) - 1``.
        class_names: one name per class.
        superclasses: one name per superclass, where the data set has such: groups of classes.
        superclass_of: int64 array ``(classes,)``, the superclass of each class, so that
            ``superclass_of[labels]`` are the coarse labels. None where superclasses is None.

    Raises:
        DataError: if an array has another type or shape, or a label is out of range.
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    superclasses: tuple[str, ...] | None = None
    superclass_of: np.ndarray | None = None

    def __post_init__(self):
        images, labels, classes = self.images, self.labels, len(self.class_names)
        if not _is(images, np.uint8, 4) or images.shape[1] != 3:
            raise DataError(
                f"ImageSet: images must be a uint8 array (N, 3, H, W), not {_kind(images)}"
            )
        if not _is(labels, np.int64, 1) or len(labels) != len(images):
            raise DataError(
                f"ImageSet: labels must be an int64 array ({len(images)},), one label per image, "
                f"not {_kind(labels)}"
            )
        if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
            raise DataError(
                f"ImageSet: labels must lie in 0..{classes - 1} as there are {classes} class "
                f"names, but they span {labels.min()}..{labels.max()}"
            )
        if self.superclasses is None and self.superclass_of is None:
            return
        groups, group_of = len(self.superclasses or ()), self.superclass_of
        fits = _is(group_of, np.int64, 1) and len(group_of) == classes
        if not fits or not ((group_of >= 0) & (group_of < groups)).all():
            raise DataError(
                f"ImageSet: superclass_of must be an int64 array ({classes},) of indices into the "
                f"{groups} superclasses, not {_kind(group_of)}"
            )

    def __len__(self):
        return len(self.images)

    def __repr__(self):
        _, C, H, W = self.images.shape
        return f"ImageSet({len(self)} images {C}x{H}x{W}, {len(self.class_names)} classes)"

    def channel_stats(self):
        """Return the mean and the standard deviation of each channel.

        Both are float64 arrays ``(3,)`` in units of ``pixel / 255``; the deviation is that of
        the whole population (divided by the number of pixels).

        The pixels are counted by value first. The 256 counts are exact, so the mean and then
        the squared distances from it are summed over 256 terms instead of millions.

        Raises:
            DataError: if there is no image.
        """
        if not len(self):
            raise DataError("ImageSet.channel_stats: there is no image to take statistics of")
        counts = np.zeros((3, 256), np.int64)
        for start in range(0, len(self), _BLOCK):
            block = self.images[start : start + _BLOCK]
            for channel in range(3):
                counts[channel] += np.bincount(block[:, channel].ravel(), minlength=256)
        value = np.arange(256) / 255
        share = counts / counts.sum(axis=1, keepdims=True)
        mean = (share * value).sum(axis=1)
        variance = (share * (value - mean[:, None]) ** 2).sum(axis=1)
        return mean, np.sqrt(variance)

    def split(self, per_class, seed):
        """Hold out ``per_class`` images of every class; return ``(rest, held_out)``.

        The choice depends on ``seed`` and on the labels alone. Both parts keep the order of
        the images, and together they hold each image once.

        Raises:
            DataError: if ``per_class`` is below 1, or a class would keep no image.
        """
        smallest = np.bincount(self.labels, minlength=len(self.class_names)).min(initial=len(self))
        if not 1 <= per_class < smallest:
            raise DataError(
                f"ImageSet.split: per_class must lie in 1..{smallest - 1} as the smallest class "
                f"has {smallest} images, not {per_class}"
            )
        rng = np.random.default_rng(seed)
        held_out = np.zeros(len(self), bool)
        for label in range(len(self.class_names)):
            held_out[rng.permutation(np.flatnonzero(self.labels == label))[:per_class]] = True
        return self._where(~held_out), self._where(held_out)

    def _where(self, mask):
        return replace(self, images=self.images[mask], labels=self.labels[mask])


def _is(array, dtype, ndim):
    return isinstance(array, np.ndarray) and array.dtype == dtype and array.ndim == ndim


def _kind(value):
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    return type(value).__name__
