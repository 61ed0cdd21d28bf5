"""A built-in set of 100 classes of images, drawn by NumPy: no file, no download.

Each image (3x32x32 bytes, as in CIFAR-100) shows one of ten shapes with one of ten fillings;
a class is a pair such as "striped star". Place, size, tilt, colours, background and noise are
drawn at random and say nothing about the class. Seen in a mirror an image keeps its class.

The same arguments give the same bytes on every platform: the drawing needs only ``+ - * /``,
``sqrt``, ``floor``, ``min`` and ``max`` in float32, and IEEE 754 fixes their results to the last
bit (it does not fix those of ``sin`` or ``exp``).
"""

from math import sqrt

import numpy as np

from tinynet.data.dataset import DataError, ImageSet

SIZE = 32
PER_CLASS = {"train": 200, "test": 50}


# Shapes. u points right and v points up, and a shape fills the unit circle more or less. Each
# function returns the signed distance to the outline: negative inside, exact near the outline.
# An intersection of two regions is the larger distance, a union the smaller one.


def _line(u, v, nu, nv, offset):
    """The half-plane ``nu * u + nv * v <= offset``."""
    length = sqrt(nu * nu + nv * nv)
    return u * (nu / length) + v * (nv / length) - offset / length


def _circle(u, v, centre_u, centre_v, radius):
    u, v = u - centre_u, v - centre_v
    return np.sqrt(u * u + v * v) - radius


def _disc(u, v):
    return _circle(u, v, 0, 0, 0.9)


def _square(u, v):
    return np.maximum(abs(u), abs(v)) - 0.8


def _triangle(u, v):
    return np.maximum(_line(abs(u), v, 0.88, 0.5, 0.46), -v - 0.72)


def _diamond(u, v):
    return _line(abs(u), abs(v), 1, 0.6, 0.62)


def _cross(u, v):
    u, v = abs(u), abs(v)
    return np.maximum(np.maximum(u, v) - 0.95, np.minimum(u, v) - 0.34)


def _star(u, v):
    # Five lines bound a five-pointed star. A point of it lies inside at least four of them, so
    # the second largest of the five distances is the distance to the star. abs(u) is not used
    # here: it would fold two of the lines onto two others.
    largest = second = np.full_like(u, -np.inf)
    for nu, nv in ((0, -1), (0.951, -0.309), (-0.951, -0.309), (0.588, 0.809), (-0.588, 0.809)):
        d = _line(u, v, nu, nv, 0.36)
        second = np.maximum(second, np.minimum(largest, d))
        largest = np.maximum(largest, d)
    return second


def _crescent(u, v):
    return np.maximum(_circle(u, v, 0.2, 0, 0.98), -_circle(u, v, 0.68, 0, 0.78))


def _heart(u, v):
    # a square standing on its corner, and a half disc on each of its upper sides
    u = abs(u)
    return np.minimum(_line(u, abs(v), 1, 1, 0.78), _circle(u, v, 0.39, 0.39, 0.5515))


def _arrow(u, v):
    u = abs(u)
    head = np.maximum(_line(u, v, 1, 0.85, 0.85), -v)
    shaft = np.maximum(u - 0.34, abs(v + 0.4) - 0.5)
    return np.minimum(head, shaft)


def _hourglass(u, v):
    u, v = abs(u), abs(v)
    return np.maximum(_line(u, v, 1, -0.75, 0.12), v - 0.85)


SHAPES = {
    "disc": _disc,
    "square": _square,
    "triangle": _triangle,
    "diamond": _diamond,
    "cross": _cross,
    "star": _star,
    "crescent": _crescent,
    "heart": _heart,
    "arrow": _arrow,
    "hourglass": _hourglass,
}


# Fillings. x, y and d are u, v and the distance in pixels; phase (0..1) moves a pattern along.
# Each function returns the share (0..1) of the shape's second colour in every pixel.


def _step(x):
    """0 below and 1 above x = 0, with a ramp one pixel wide: the covered share of a pixel."""
    return np.clip(x + 0.5, 0, 1)


def _bands(x, period, phase):
    """Signed distance to the edge of the nearest band: positive in the bands, negative between."""
    x = x / period + phase
    return (0.25 - abs(x - np.floor(x) - 0.5)) * period


def _plain(x, y, d, phase):
    return np.zeros_like(d)


def _rimmed(x, y, d, phase):
    return _step(d + 2.3)


def _halved(x, y, d, phase):
    return _step(x)


def _shaded(x, y, d, phase):
    return np.clip(y / 18 + 0.5, 0, 1)


def _barred(x, y, d, phase):
    return _step(_bands(y, 6, phase))


def _striped(x, y, d, phase):
    return _step(_bands(x, 6, phase))


def _slanted(x, y, d, phase):
    return _step(_bands((x + y) * 0.7071, 6, phase))


def _chequered(x, y, d, phase):
    across, up = _bands(x, 9, phase), _bands(y, 9, phase + 0.25)
    return _step(np.maximum(np.minimum(across, -up), np.minimum(-across, up)))  # in one, not both


def _dotted(x, y, d, phase):
    x, y = x / 6 + phase, y / 6 + phase
    x, y = x - np.floor(x) - 0.5, y - np.floor(y) - 0.5
    return _step(1.8 - 6 * np.sqrt(x * x + y * y))


FILLINGS = {
    "plain": _plain,
    "hollow": _plain,  # _draw opens its inside to the background
    "rimmed": _rimmed,
    "halved": _halved,
    "shaded": _shaded,
    "barred": _barred,
    "striped": _striped,
    "slanted": _slanted,
    "chequered": _chequered,
    "dotted": _dotted,
}

CLASS_NAMES = tuple(f"{filling} {shape}" for shape in SHAPES for filling in FILLINGS)


def make(split="train", per_class=None, seed=0):
    """Draw the images of one split and return them as an ``ImageSet`` of 100 classes.

    Args:
        split: "train" or "test". The two are drawn from different random streams.
        per_class: images of each class; 200 for train and 50 for test if not given.
        seed: a whole number from 0 on.

    The classes take turns: image ``i`` is of class ``i % 100``.

    Raises:
        DataError: if an argument is out of its range.
    """
    if split not in PER_CLASS:
        raise DataError(f"shapes.make: split must be 'train' or 'test', not {split!r}")
    if per_class is None:
        per_class = PER_CLASS[split]
    for name, value, low in (("per_class", per_class, 1), ("seed", seed, 0)):
        if not isinstance(value, (int, np.integer)) or value < low:
            raise DataError(f"shapes.make: {name} must be a whole number from {low} on: {value!r}")
    stream = list(PER_CLASS).index(split)
    images = np.empty((per_class, len(CLASS_NAMES), 3, SIZE, SIZE), np.uint8)
    for label, name in enumerate(CLASS_NAMES):
        images[:, label] = _draw(
            *name.split(), per_class, np.random.default_rng((seed, stream, label))
        )
    labels = np.tile(np.arange(len(CLASS_NAMES), dtype=np.int64), per_class)
    return ImageSet(images.reshape(-1, 3, SIZE, SIZE), labels, CLASS_NAMES)


def _draw(filling, shape, n, rng):
    """Return n images of one class, uint8 (n, 3, SIZE, SIZE)."""

    def uniform(low, high, *size):
        return low + (high - low) * rng.random((n, *size), np.float32)

    centre = (SIZE - 1) / 2
    column = np.arange(SIZE, dtype=np.float32) - centre
    row = -column[:, None]

    # The shape's own axes x and y, in pixels: shifted, tilted by up to 15 degrees, mirrored.
    radius = uniform(10, 13.5, 1, 1)
    room = centre - 0.95 * radius
    x, y = column - room * uniform(-1, 1, 1, 1), row - room * uniform(-1, 1, 1, 1)
    t = uniform(-0.1317, 0.1317, 1, 1)  # the tangent of half the tilt gives its sine and cosine
    cos, sin = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
    mirror = np.where(uniform(0, 1, 1, 1) < 0.5, np.float32(-1), np.float32(1))
    x, y = mirror * (cos * x - sin * y), sin * x + cos * y

    d = SHAPES[shape](x / radius, y / radius) * radius
    second = FILLINGS[filling](x, y, d, uniform(0, 1, 1, 1))[:, None]
    if filling == "hollow":
        d = abs(d + 1.3) - 1.3  # keep a line 2.6 pixels wide
    cover = _step(-d)[:, None]

    # A dark, a middle and a light colour, shared out between the background and the shape, so
    # that neither the brightness nor the hue tells the class.
    level = np.stack([uniform(15, 60), uniform(105, 150), uniform(195, 240)], axis=1)
    tint = uniform(-60, 60, 3, 3)
    tint -= (tint[..., :1] + tint[..., 1:2] + tint[..., 2:]) / 3  # a tint has no brightness
    colours = rng.permuted(level, axis=1)[..., None] + tint  # (n, 3 colours, 3 channels)
    ground, fore, back = np.moveaxis(colours, 1, 0)[..., None, None]

    slope = uniform(-20, 20, 2, 3, 1, 1) / centre
    picture = ground + slope[:, 0] * column + slope[:, 1] * row
    picture += cover * (fore + second * (back - fore) - picture)
    grain = rng.integers(0, 256, (2, n, 3, SIZE, SIZE), np.uint8)
    grain = np.add(grain[0], grain[1], dtype=np.float32) - 255  # triangular, -255..255
    picture += grain * uniform(0.02, 0.08, 1, 1, 1)
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)
