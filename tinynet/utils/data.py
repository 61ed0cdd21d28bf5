"""Batches of any examples, by torch's names. For images there is `tinynet.data.Loader`, which
augments and normalises whole batches and prepares them in the background."""

import itertools

import numpy as np

from tinynet import absent, check
from tinynet.autograd import Tensor, stack
from tinynet.backend import numbers_of

__getattr__ = absent.names_of(__name__)


class Dataset:
    """The base of a set of examples: a subclass writes `__getitem__`, by index, and `__len__`."""


class TensorDataset(Dataset):
    """Examples whose parts are rows of tensors of one length: dataset[i] is (a[i], b[i], ...)."""

    def __init__(self, *tensors):
        check.tensors("TensorDataset", **{f"tensors[{i}]": t for i, t in enumerate(tensors)})
        if len({len(tensor) for tensor in tensors}) != 1:
            raise ValueError(
                f"TensorDataset: tensors must have one length, got {[t.shape for t in tensors]}"
            )
        self.tensors = tensors

    def __getitem__(self, index):
        return tuple(tensor[index] for tensor in self.tensors)

    def __len__(self):
        return len(self.tensors[0])


class Subset(Dataset):
    """The examples of `dataset` at these indices."""

    def __init__(self, dataset, indices):
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, index):
        return self.dataset[self.indices[index]]

    def __len__(self):
        return len(self.indices)


def random_split(dataset, lengths, generator=None):
    """Subsets of these lengths, which add up to the whole (or shares that add up to 1), of examples
    drawn at random, each once."""
    total, lengths = len(dataset), list(lengths)
    if abs(sum(lengths) - 1) < 1e-9 and total != 1:
        shares, lengths = lengths, [int(total * share) for share in lengths]
        for i in range(total - sum(lengths)):  # what rounding left over, to the first ones
            lengths[i % len(shares)] += 1
    if sum(lengths) != total:
        raise ValueError(f"random_split: lengths {lengths} do not add up to {total} examples")
    order = numbers_of(generator).permutation(total).tolist()
    ends = itertools.accumulate(lengths)
    return [Subset(dataset, order[end - n : end]) for n, end in zip(lengths, ends, strict=True)]


def default_collate(examples):
    """Examples as one batch: tensors and arrays are stacked, numbers become a tensor, and of
    tuples, lists and dicts each part by itself."""
    first = examples[0]
    if isinstance(first, Tensor):
        return stack(examples)
    if isinstance(first, np.ndarray | np.generic):
        return Tensor(np.stack(examples))
    if isinstance(first, bool | int | float):  # torch's float64, for Python's numbers
        return Tensor(np.array(examples))
    if isinstance(first, str):
        return list(examples)
    if isinstance(first, dict):
        return {key: default_collate([each[key] for each in examples]) for key in first}
    if isinstance(first, tuple | list):
        return [default_collate(part) for part in zip(*examples, strict=True)]
    raise TypeError(
        f"DataLoader: cannot make a batch of {type(first).__name__}; let the data set return "
        "tensors, arrays or numbers, or give collate_fn"
    )


class DataLoader:
    """Iterate over batches of `dataset`, anything with `__getitem__` and `__len__`.

    Args: batch_size; shuffle: a new order for each epoch, by `generator` (a `tinynet.Generator`;
    None: the numbers that `manual_seed` seeds); sampler: an iterable of indices in place of both;
    drop_last: leave out a last batch that is smaller; collate_fn: makes a batch of a list of
    examples. num_workers, pin_memory, prefetch_factor and persistent_workers are accepted, and of
    no effect: batches are made in this process, when they are asked for.
    """

    def __init__(
        self,
        dataset,
        batch_size=1,
        shuffle=False,
        sampler=None,
        *,
        num_workers=0,
        collate_fn=None,
        pin_memory=False,
        drop_last=False,
        generator=None,
        prefetch_factor=None,
        persistent_workers=False,
    ):
        self.batch_size = check.integer("DataLoader", "batch_size", batch_size, least=1)
        check.integer("DataLoader", "num_workers", num_workers, least=0)
        if shuffle and sampler is not None:
            raise ValueError("DataLoader: shuffle and sampler exclude each other; give one")
        self.dataset, self.shuffle, self.sampler = dataset, bool(shuffle), sampler
        self.drop_last, self.generator = drop_last, generator
        self.collate_fn = default_collate if collate_fn is None else collate_fn

    def __len__(self):
        examples = len(self.dataset if self.sampler is None else self.sampler)
        return (examples if self.drop_last else examples + self.batch_size - 1) // self.batch_size

    def __iter__(self):
        order = range(len(self.dataset)) if self.sampler is None else self.sampler
        if self.shuffle:
            order = numbers_of(self.generator).permutation(len(self.dataset)).tolist()
        order = iter(order)
        while batch := list(itertools.islice(order, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                break
            if type(self.dataset) is TensorDataset and self.collate_fn is default_collate:
                yield list(self.dataset[batch])  # the same, at once
            else:
                yield self.collate_fn([self.dataset[i] for i in batch])
