"""Augmentation and normalisation of whole batches, with no loop over images.

Images are uint8 arrays ``(N, C, H, W)`` up to ``normalize``; what comes after takes its result, or
that of ``data.images.Images`` on a GPU: floats, whose memory is ``(C, H, W, N)``. ``rng`` is a
``numpy.random.Generator``. What chance decides is drawn apart from what is then done, so that a GPU
can do the same to its own images, and a worker to its share of a batch.
"""

import functools

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tinynet.backend import array_module
from tinynet.data.dataset import DataError


def draw_shifts(N, padding, rng):
    """Return ``down`` and ``right``: N whole numbers each, uniform in ``-padding .. padding``."""
    return rng.integers(-padding, padding + 1, size=(2, N))


def draw_flips(N, rng):
    """Return N booleans, each True with probability 1/2."""
    return rng.random(N) < 0.5


def draw_centres(N, H, W, rng):
    """Return ``rows`` and ``columns``: N pixels, uniform over an image of that size."""
    return rng.integers(0, H, N), rng.integers(0, W, N)


def draw_crops(N, H, W, least, rng):
    """Return ``tops, lefts, heights, widths``: N parts of an image of that size, floats.

    A part's area is uniform from ``least`` of the image's to all of it, its width over its height
    log-uniform from 3/4 to 4/3, its place uniform. That is torchvision's ``RandomResizedCrop``,
    which draws again where a part is wider or higher than the image; here it is cut to that.
    """
    area, ratio = H * W * rng.uniform(least, 1, N), np.exp(rng.uniform(-1, 1, N) * np.log(4 / 3))
    heights, widths = np.minimum(np.sqrt(area / ratio), H), np.minimum(np.sqrt(area * ratio), W)
    return (H - heights) * rng.random(N), (W - widths) * rng.random(N), heights, widths


def draw_mixup(N, alpha, rng):
    """Return ``partners``, the N images in another order, and ``portion`` in 0 .. 1, drawn from the
    distribution Beta(alpha, alpha): what each image keeps of itself, one number for the batch."""
    return rng.permutation(N), rng.beta(alpha, alpha)


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


def enlarge(x, tops, lefts, heights, widths):
    """Enlarge a part of each image to the whole, bilinear.

    Args:
        x: floats ``(N, C, H, W)``. tops, lefts, heights, widths: ``(N,)`` each, in pixels: the
            parts, inside of their images, as ``draw_crops`` gives them.

    Returns a new array of the same shape. Such crops are those of Szegedy et al., "Going deeper
    with convolutions", arXiv 1409.4842, section 6.
    """
    H, W = x.shape[2:]
    # each image by itself: it has its own two matrices, (N, 1, H, H) and (N, 1, W, W)
    parts = array_module(x).asarray(np.array([tops, heights, lefts, widths], x.dtype))
    to_rows, to_columns = _weights(H, H, *parts[:2])[:, None], _weights(W, W, *parts[2:])[:, None]
    x = to_rows @ x.copy(order="C") @ to_columns.transpose(0, 1, 3, 2)
    return x.transpose(1, 2, 3, 0).copy(order="C").transpose(3, 0, 1, 2)


def cutout(x, rows, columns, side):
    """Set a square of ``side`` pixels around each centre to 0, the mean after ``normalize``.

    Args:
        x: floats ``(N, C, H, W)``. rows, columns: the centres, as ``draw_centres`` gives them; what
            of a square lies outside of its image is lost.

    Returns a new array. DeVries and Taylor, "Improved regularization of convolutional neural
    networks with cutout", arXiv 1708.04552, section 3.2.
    """
    xp, (_, _, H, W) = array_module(x), x.shape
    tops, lefts = (xp.asarray(centres) - side // 2 for centres in (rows, columns))
    h, w = xp.arange(H)[:, None, None], xp.arange(W)[:, None]
    hole = (tops <= h) & (h < tops + side) & (lefts <= w) & (w < lefts + side)  # (H, W, N)
    return np.where(hole, 0, x.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)


def mixup(x, labels, first, second, portion, classes):
    """Mix pairs of images, and their labels alike.

    Args:
        x: floats ``(N, C, H, W)``. labels: integers ``(N,)``. classes: how many there are.
        first, second: ``(M,)`` each, the images of each pair. portion: of the first one.

    Returns new arrays: images ``(M, C, H, W)``, and float32 probabilities ``(M, classes)``. Zhang
    et al., "mixup: beyond empirical risk minimization", arXiv 1710.09412, equation 1.
    """
    ours, theirs = (
        np.take(x.transpose(1, 2, 3, 0), array_module(x).asarray(picked), axis=3)
        for picked in (first, second)
    )
    mixed = portion * ours + (1 - portion) * theirs
    every = np.arange(classes)
    one_hot = [(labels[picked][:, None] == every).astype(np.float32) for picked in (first, second)]
    return mixed.transpose(3, 0, 1, 2), portion * one_hot[0] + (1 - portion) * one_hot[1]


def resize(x, size):
    """Return the images ``(N, C, H, W)``, floats, as ``(N, C, size, size)``.

    Bilinear; where an image shrinks, each new pixel takes in all old ones that it covers
    (antialiasing), as torch's ``interpolate(mode="bilinear", align_corners=False, antialias=True)``
    does. Along an axis that is a product with one small matrix.

    Raises:
        DataError: if the size is no whole number from 1 on, or the images are not floats.
    """
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise DataError(f"resize: size must be a whole number from 1 on: {size!r}")
    if x.dtype.kind != "f":
        raise DataError(f"resize: images must be floats, as normalize makes them, not {x.dtype}")
    N, C, H, W = x.shape
    if H == W == size:
        return x
    to_rows, to_columns = (_whole_resized(array_module(x), n, size, x.dtype) for n in (H, W))
    x = to_rows @ x.transpose(1, 2, 3, 0).reshape(C, H, W * N)
    x = to_columns @ x.reshape(C * size, W, N)
    return x.reshape(C, size, size, N).transpose(3, 0, 1, 2)


@functools.lru_cache(maxsize=32)
def _whole_resized(xp, n, size, dtype):
    """The matrix (size, n) that resizes n pixels. It is sent to a GPU once."""
    return xp.asarray(_weights(n, size, np.float64(0), np.float64(n)).astype(dtype))


def _weights(n, size, start, length):
    """Matrices (..., size, n) that resize each a part of n pixels, from `start` on: each new pixel
    weighs the old ones by a triangle around its centre, as wide on either side as an old or a new
    pixel, whichever is larger."""
    xp, start, step = array_module(start), start[..., None, None], length[..., None, None] / size
    new, old = (xp.arange(0.5, many, dtype=start.dtype) for many in (size, n))  # their centres
    weights = (1 - abs(old - (start + step * new[:, None])) / np.maximum(step, 1)).clip(0)
    return weights / weights.sum(-1, keepdims=True)
