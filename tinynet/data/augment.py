"""Augmentation and normalisation of whole batches, with no loop over pictures.

Pictures are uint8 arrays ``(N, C, H, W)``; ``rng`` is a ``numpy.random.Generator``.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def random_crop(images, padding, rng):
    """Shift each picture by its own offset of at most ``padding`` pixels each way.

    Each picture is surrounded by ``padding`` black (zero) pixels, and a window of its own size
    is cut from a place drawn uniformly: torchvision's ``RandomCrop(size, padding=padding)``.
    Returns a new array of the same shape.
    """
    N, C, H, W = images.shape
    padded = np.zeros((N, C, H + 2 * padding, W + 2 * padding), images.dtype)
    padded[:, :, padding : padding + H, padding : padding + W] = images
    windows = sliding_window_view(padded, (H, W), axis=(2, 3))  # (N, C, 2p+1, 2p+1, H, W), a view
    top, left = rng.integers(0, 2 * padding + 1, size=(2, N))
    return windows[np.arange(N), :, top, left]


def random_flip(images, rng):
    """Mirror each picture left to right with probability 1/2. Returns a new array."""
    flipped = rng.random(len(images)) < 0.5
    out = images.copy()
    out[flipped] = images[flipped, :, :, ::-1]
    return out


def normalize(images, mean, std, dtype=np.float32):
    """Return ``(images / 255 - mean) / std`` with a mean and a deviation for each channel.

    Args:
        images: uint8 array ``(N, C, H, W)``.
        mean, std: C numbers each, in units of ``pixel / 255``.
        dtype: the floating type of the result.

    The result has the shape ``(N, C, H, W)``, but its memory is ``(C, H, W, N)``, batch
    innermost: the layout in which the layers of tinynet work. It is computed as
    ``images * scale + shift``, in place after the bytes have been reordered: moving bytes is
    four times cheaper than moving floats.
    """
    mean, std = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    scale = (1 / (255 * std)).astype(dtype)[:, None, None, None]
    shift = (-mean / std).astype(dtype)[:, None, None, None]
    out = np.multiply(np.ascontiguousarray(images.transpose(1, 2, 3, 0)), scale, dtype=dtype)
    out += shift
    return out.transpose(3, 0, 1, 2)
