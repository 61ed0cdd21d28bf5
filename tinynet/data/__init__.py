"""Images and labels: CIFAR-100, a built-in set of drawn shapes, augmentation, batches."""

from tinynet.data import augment, cifar100, shapes
from tinynet.data.dataset import DataError, ImageSet
from tinynet.data.loader import Loader

__all__ = ["DataError", "ImageSet", "Loader", "augment", "cifar100", "shapes"]
