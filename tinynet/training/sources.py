"""Where the images of a training come from."""

import math

from tinynet import parallel
from tinynet.data import cifar100, folder, shapes, stl10


def load_set(options, split):
    """The images of 'train' or 'test', which worker 0 reads (or downloads, or draws).

    Raises ValueError or OSError in one sentence.
    """
    image_set = read_set(options, split) if parallel.rank == 0 else None
    parallel.barrier(math.inf)  # a download may take an hour
    return parallel.broadcast(image_set)


def read_set(options, split):
    if options.dataset == "shapes":
        return shapes.make(split, options.per_class)
    if options.dataset == "folder":
        everything = folder.load(options.data_dir, split, size=options.resolution)
    else:
        module = {"cifar100": cifar100, "stl10": stl10}[options.dataset]
        everything = module.load(
            options.data_dir, split, download=not options.no_download, mirror=options.mirror
        )
    if options.per_class and split == "train":
        return everything.split(options.per_class, seed=0)[1]
    return everything
