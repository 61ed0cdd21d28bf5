"""Images of one's own: a folder with one folder per class, decoded by Pillow.

path/train/CLASS/anything.jpg        as torchvision's ImageFolder has them
path/test/CLASS/anything.jpg         or val/
"""

import contextlib
import math
import os
import warnings
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tinynet.data.dataset import DataError, ImageSet
from tinynet.data.download import silent
from tinynet.files import one_line, printable

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
SPLITS = {"train": ("train", "training"), "test": ("test", "val", "valid", "validation")}
_LARGEST = 4096  # pixels, the side of what a network is fed


def load(path, split="train", size=None, progress=True):
    """Return the images of one split of a folder as an ``ImageSet``, classes sorted by name.

    The folder has ``train/`` and ``test/`` (or ``val/``, where ``test/`` has no classes), each
    with one folder per class, the same classes in both. Images are decoded as by ``image``.

    Files that are no images by their names, and hidden ones, are passed over. Links to files and
    to the folders of classes are followed, those to folders further down are not.

    Args:
        split: "train" or "test".
        size: pixels, as for ``image``. If it is not given, all images of both splits must have
            the same size, and keep it.
        progress: show a progress bar on stderr, if that is a terminal.

    Raises:
        DataError: if a split, a class or Pillow is missing, a file cannot be decoded, sizes
            differ, or the images would not fit into the memory.
    """
    if split not in SPLITS:
        raise DataError(f"folder.load: split must be 'train' or 'test', not {split!r}")
    path = Path(path).expanduser()
    try:
        classes = {name: _classes_of(_folder_of(path, name)) for name in SPLITS}
    except OSError as error:
        raise DataError(
            f"cannot read {error.filename or path}: {error.strerror or error}"
        ) from error
    _check_classes(path, classes)
    files = [file for files in classes[split].values() for file in files]
    counts = [len(files) for files in classes[split].values()]

    firsts = [next(iter(classes[name].values()))[0] for name in SPLITS]
    shapes = [image(file, size).shape for file in firsts]
    shape, first = shapes[0], firsts[0]
    if shapes[1] != shape:
        raise _other_size(firsts[1], shapes[1], first, shape)
    try:
        _check_memory(len(files), shape)
        images = np.empty((len(files), *shape), np.uint8)
    except MemoryError as error:
        raise DataError(f"{path} has {len(files):,} images, too many for the memory") from error
    for i, file in enumerate(tqdm(files, f"reading {path.name}/{split}", disable=silent(progress))):
        pixels = image(file, size)
        if pixels.shape != shape:
            raise _other_size(file, pixels.shape, first, shape)
        images[i] = pixels
    labels = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    return ImageSet(images, labels, tuple(map(one_line, classes[split])))


def image(path, size=None, crop=None, resample="bilinear"):
    """Return one image file as a uint8 array ``(3, H, W)``, or ``(3, size, size)``.

    The image is turned upright as its EXIF data says, laid on white where it is transparent, and
    brought to RGB with 8 bits per channel. With ``size``, the largest square in its middle is
    resized to so many pixels (bilinear, over all the pixels that make one), which is to resize
    the shorter side and to cut out the middle. Of several frames the first one counts.

    Args:
        crop: None, or to cut more off, as torchvision's ``Resize`` and ``CenterCrop`` do: with
            ``size`` 224 and ``crop`` 0.875 the shorter side becomes 256 pixels.
        resample: "bilinear" or "bicubic".

    Raises:
        DataError: if the file cannot be decoded, is unreasonably large (more than Pillow's
            ``MAX_IMAGE_PIXELS``), or Pillow is missing.
    """
    if size is not None and (not isinstance(size, (int, np.integer)) or not 1 <= size <= _LARGEST):
        raise DataError(f"size must be a whole number of pixels from 1 to {_LARGEST}, not {size!r}")
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise DataError(
            'image files are decoded by Pillow, which is not installed: pip install -e ".[images]"'
        ) from error
    path = Path(path).expanduser()
    if not path.is_file():  # a named pipe would be waited for
        raise DataError(f"{path} is no file, or a link to none: give an image file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as file:
                if size and crop is None:
                    file.draft(None, (2 * size, 2 * size))  # JPEG: decode no more than that needs
                picture = _rgb(ImageOps.exif_transpose(file))
            return _planes(picture, size, crop, resample)
    except Exception as error:  # Pillow's decoders raise whatever the damage leads to
        raise DataError(
            f"{path} cannot be read as an image ({printable(error, 200) or type(error).__name__}): "
            f"replace or remove it"
        ) from error


def square(pixels, size, crop=None, resample="bilinear"):
    """Return the middle of a uint8 array ``(H, W, 3)`` as ``image`` does, ``(3, size, size)``."""
    from PIL import Image

    return _planes(Image.fromarray(pixels), size, crop, resample)


def _planes(picture, size, crop=None, resample="bilinear"):
    from PIL import Image, ImageOps

    if size:
        how = Image.Resampling[resample.upper()]
        if crop is None:
            picture = ImageOps.fit(picture, (size, size), how)
        else:
            edge, short = int(size / crop), min(picture.size)
            # a strip of one pixel by millions would be resized to gigabytes
            picture = _middle(picture, *(min(side, 8 * short) for side in picture.size))
            picture = picture.resize([int(edge * side / short) for side in picture.size], how)
            picture = _middle(picture, size, size)
    return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))


def _middle(picture, width, height):
    left, top = round((picture.width - width) / 2), round((picture.height - height) / 2)
    return picture.crop((left, top, left + width, top + height))


def _rgb(picture):
    from PIL import Image

    if picture.mode.startswith("I"):  # more than 8 bits, which convert() would clip
        grey = np.asarray(picture)
        if grey.min() < 0 or grey.max() > 65535:
            raise ValueError("its pixels have more than 16 bits")
        picture = Image.fromarray((grey >> 8).astype(np.uint8))
    if picture.mode == "F":
        raise ValueError("its pixels are floating-point numbers, whose range is unknown")
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return picture.convert("RGB")


def _folder_of(path, split):
    """Return the folder of a split, by whichever of its names it has."""
    if not path.is_dir():
        raise DataError(f"there is no folder {path}; give one that holds train/ and test/ or val/")
    folders = {entry.name.lower(): entry for entry in sorted(path.iterdir()) if entry.is_dir()}
    found = [folders[name] for name in SPLITS[split] if name in folders]
    if not found:
        lacking = "no train/" if split == "train" else "neither test/ nor val/"
        raise DataError(
            f"{path} has {lacking}: it must hold train/CLASS/ and, with other images of the same "
            f"classes, test/CLASS/ or val/CLASS/"
        )
    return next((folder for folder in found if _subfolders(folder)), found[0])


def _subfolders(folder):
    return [
        entry
        for entry in sorted(folder.iterdir())
        if entry.is_dir() and not entry.name.startswith((".", "__MACOSX"))
    ]


def _classes_of(folder):
    """Return the image files of every class, by its name."""

    def fail(error):
        raise error

    classes = {}
    for place in _subfolders(folder):
        files = []
        for here, folders, names in os.walk(place, onerror=fail):
            folders[:] = [name for name in folders if not name.startswith(".")]
            files += [
                Path(here, name)
                for name in names
                if name.lower().endswith(SUFFIXES) and not name.startswith(".")
            ]
        if not files:
            raise DataError(
                f"the class {place} has no image ({', '.join(SUFFIXES)}): add some, or remove it"
            )
        classes[place.name] = sorted(files)
    if not classes:
        raise DataError(f"{folder} has no folders: it must hold one for each class")
    return classes


def _check_classes(path, classes):
    train, test = (set(of) for of in classes.values())
    for one, those, other in (("train", train - test, "test"), ("test", test - train, "train")):
        if those:
            names = ", ".join(map(printable, sorted(those)[:3]))
            more = f" and {len(those) - 3} more" if len(those) > 3 else ""
            raise DataError(
                f"{path}: the classes of train and test must be the same, but {names}{more} of "
                f"the {one} split {'has' if len(those) == 1 else 'have'} no folder in the {other} "
                f"split"
            )


def _other_size(file, shape, first, usual):
    return DataError(
        f"{file} has {shape[2]}x{shape[1]} pixels and {first} has {usual[2]}x{usual[1]}: give the "
        f"size that all are to have, --resolution"
    )


def _check_memory(N, shape):
    needed, there = N * math.prod(shape), _memory()
    if 2 * needed > there:  # for an ImageSet is copied when images are held out
        raise DataError(
            f"{N:,} images of {shape[2]}x{shape[1]} pixels need {needed:,} bytes of memory, and as "
            f"much again when some are held out, but {there:,} can be had: take a lower "
            f"--resolution, or fewer images"
        )


def _memory():
    """The bytes of memory that can be had, as far as the system tells."""
    sizes = [math.inf]
    with contextlib.suppress(OSError, ValueError, AttributeError):  # no Windows
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with contextlib.suppress(OSError, ValueError):  # of a container
        sizes.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    with contextlib.suppress(OSError, ValueError, IndexError):
        text = Path("/proc/meminfo").read_text()
        sizes.append(int(text.split("MemAvailable:")[1].split()[0]) * 1024)
    return min(sizes)
