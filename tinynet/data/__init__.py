"""Images and labels: CIFAR-100, STL-10, folders of images, a built-in set of drawn shapes;
augmentation, batches."""

from tinynet.data import augment, cifar100, folder, shapes, stl10
from tinynet.data.dataset import DataError, ImageSet
from tinynet.data.loader import Loader

__all__ = ["DataError", "ImageSet", "Loader", "augment", "cifar100", "folder", "shapes", "stl10"]
