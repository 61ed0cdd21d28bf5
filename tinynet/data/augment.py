"""Augmentation and normalisation of whole batches, with no loop over images.

Images are uint8 arrays ``(N, C, H, W)``; ``rng`` is a ``numpy.random.Generator``. What chance
decides is drawn apart from what is then done, so that a GPU can do the same to its own images.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def draw_shifts(N, padding, rng):
    """Return ``down`` and ``right``: N whole numbers each, uniform in ``-padding .. padding``."""
    return rng.integers(-padding, padding + 1, size=(2, N))


def draw_flips(N, rng):
    """Return N booleans, each True with probability 1/2."""
    return rng.random(N) < 0.5


def shift(images, down, right):
    """Move a window of each image's own size ``down`` and ``right`` by so many pixels.

    What lies outside of the image is black (zero). With shifts drawn by ``draw_shifts`` this is
    torchvision's ``RandomCrop(size, padding=padding)``. Returns a new array of the same shape.
    """
    N, C, H, W = images.shape
    border = max(np.abs(down).max(initial=0), np.abs(right).max(initial=0))
    padded = np.zeros((N, C, H + 2 * border, W + 2 * border), images.dtype)
    padded[:, :, border : border + H, border : border + W] = images
    windows = sliding_window_view(padded, (H, W), axis=(2, 3))  # (N, C, 2p+1, 2p+1, H, W), a view
    return windows[np.arange(N), :, border + down, border + right]


def flip(images, flipped):
    """Mirror the images left to right where ``flipped``. Returns a new array."""
    out = images.copy()
    out[flipped] = images[flipped, :, :, ::-1]
    return out


def scale_and_offset(mean, std, dtype=np.float32):
    """Return two arrays ``(C,)``: a byte times the first plus the second is normalised.

    Args:
        mean, std: C numbers each, in units of ``pixel / 255``.
    """
    mean, std = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    return (1 / (255 * std)).astype(dtype), (-mean / std).astype(dtype)


def normalize(images, mean, std, dtype=np.float32):
    """Return ``(images / 255 - mean) / std`` with a mean and a deviation for each channel.

    Args:
        images: uint8 array ``(N, C, H, W)``.
        mean, std: C numbers each, in units of ``pixel / 255``.
        dtype: the floating type of the result.

    The result has the shape ``(N, C, H, W)``, but its memory is ``(C, H, W, N)``, batch
    innermost: the layout in which the layers of tinynet work. It is computed as
    ``images * scale + offset``, in place after the bytes have been reordered, for bytes are smaller
    than floats.
    """
    scale, offset = scale_and_offset(mean, std, dtype)
    bytes_ = np.ascontiguousarray(images.transpose(1, 2, 3, 0))
    out = np.multiply(bytes_, scale[:, None, None, None], dtype=dtype)
    out += offset[:, None, None, None]
    return out.transpose(3, 0, 1, 2)
