"""CIFAR-100 from its binary or its Python version: local files first, else a download.

A record is one byte for the coarse label, one for the fine label and 3072 for the image: the
red, the green and the blue plane of 32 rows. ``train.bin`` has 50,000 records, ``test.bin``
10,000 (Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009;
https://www.cs.toronto.edu/~kriz/cifar.html). The Python version has the same bytes in pickles.
"""

import os
from pathlib import Path

import numpy as np

from tinynet.data import archive, pickles
from tinynet.data.dataset import DataError, ImageSet, names_in
from tinynet.data.download import fetch
from tinynet.files import printable

URL = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"
MD5 = "03b5dce01913d631647c71ecec9e9cb8"
SIZE = 168_513_733
MIRROR_VARIABLE = "TINYNET_CIFAR100_URL"

CLASSES, COARSE_CLASSES = 100, 20
PER_CLASS = {"train": 500, "test": 100}
RECORD = 2 + 3 * 32 * 32
_FINE = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
    camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile
    cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp
    lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom
    oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
    possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake
    spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor
    train trout tulip turtle wardrobe whale willow_tree wolf woman worm"""
_COARSE = """
    aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices
    household_furniture insects large_carnivores large_man-made_outdoor_things
    large_natural_outdoor_scenes large_omnivores_and_herbivores medium_mammals
    non-insect_invertebrates people reptiles small_mammals trees vehicles_1 vehicles_2"""
CLASS_NAMES, SUPERCLASSES = tuple(_FINE.split()), tuple(_COARSE.split())

FOLDER, PYTHON_FOLDER = "cifar-100-binary", "cifar-100-python"
ARCHIVES = tuple(
    folder + suffix
    for folder in (FOLDER, PYTHON_FOLDER)
    for suffix in (".tar.gz", ".tar.xz", ".tar.bz2", ".tar", ".zip")
)
NAMES = {"fine_label_names.txt": CLASS_NAMES, "coarse_label_names.txt": SUPERCLASSES}
_PICKLES = {"train": "train.bin", "test": "test.bin", "meta": None}
_CIFAR10 = ("data_batch_1", "data_batch_1.bin", "test_batch", "test_batch.bin", "batches.meta")
_LARGEST_ARCHIVE = 1 << 29  # bytes when unpacked; the largest version has 190 MB
_LARGEST_TEXT = 1 << 16

_WAYS_OUT = (
    f"give --data-dir a local copy of {ARCHIVES[0]} or of its folder, name a mirror in the "
    f"environment variable {MIRROR_VARIABLE}, or use --dataset shapes, which needs no file"
)


def load(data_dir, split="train", download=True, mirror=None, progress=True):
    """Return one split of CIFAR-100 as an ``ImageSet``: its fine labels, and their superclasses.

    Local files are accepted by their structure: size, range of the labels, images per class, one
    superclass per class. An archive is unpacked into ``cifar-100-binary/`` beside it, all or
    nothing; where that is impossible it is read in memory. With the training images goes a look at
    whether the test images are there too, so that nothing is missing when a training ends.

    Args:
        data_dir: a folder that holds the files of the binary version (``train.bin``, ``test.bin``)
            or of the Python version (``train``, ``test``, ``meta``), the folder of either, or an
            archive of either: ``cifar-100-binary.tar.gz``, ``cifar-100-python.tar.gz``, a zip (of
            the files or of such an archive); or the path of an archive under any name.
        split: "train" or "test".
        download: fetch the official archive into ``data_dir`` if nothing is there.
        mirror: where to fetch that archive from: an http, https or file address, or several with
            spaces or commas between them; if not given, the environment variable
            TINYNET_CIFAR100_URL, else its home in Toronto.
        progress: show a progress bar on stderr, if that is a terminal, while downloading or
            reading an archive.

    Raises:
        DataError: if a file is missing, unreadable, short or damaged, or the download fails.
    """
    if split not in PER_CLASS:
        raise DataError(f"cifar100.load: split must be 'train' or 'test', not {split!r}")
    path = Path(data_dir).expanduser()
    if path.name in _file_sizes() or path.name in _PICKLES and path.with_name("meta").is_file():
        path = path.parent
    try:
        source = _find(path, split)
        if source is None:
            if not download:
                raise DataError(_nothing_in(path))
            source = path / ARCHIVES[0]
            _download(mirror or os.environ.get(MIRROR_VARIABLE) or URL, source, progress)
        inside = source.parent.name in (FOLDER, PYTHON_FOLDER)
        archive.sweep((source.parent.parent if inside else source.parent) / FOLDER)
        if source.name in (split, f"{split}.bin"):
            data = _image_set(_read_folder(source, split), split, source)
            if split == "train":
                _look_at_the_test_set(path)
            return data
        files = _read_archive(source, progress)
        data = _image_set(files, split, source)
        archive.unpack(files, source.parent / FOLDER)
        return data
    except OSError as error:
        raise DataError(
            f"cannot read {error.filename or path}: {error.strerror or error}"
        ) from error


def _find(path, split):
    """Return the path of the split's file, ``train.bin`` or ``train``, or of an archive; None if
    there is neither."""
    name = f"{split}.bin"
    if path.is_file():
        unpacked = path.parent / FOLDER / name
        if path.name in ARCHIVES and unpacked.is_file():
            # unpacked by an earlier run: good unless the archive is newer
            return max(unpacked, path, key=lambda file: file.stat().st_mtime_ns)
        return path
    if path.name.endswith(archive.SUFFIXES) and not path.exists():
        raise DataError(f"there is no archive {path}; {_WAYS_OUT}")
    if path.exists() and not path.is_dir():
        raise DataError(f"{path} is neither a folder nor a file of CIFAR-100; {_WAYS_OUT}")
    pythons = [folder / split for folder in (path, path / PYTHON_FOLDER)]
    for file in (
        *(folder / name for folder in (path, path / FOLDER)),
        *(file for file in pythons if file.with_name("meta").is_file()),
        *(path / name for name in ARCHIVES),
    ):
        if file.is_file():
            return file
    for file in _zips(path):
        if _holds_ours(file):
            return file
    for folder, names, enough in ((FOLDER, _file_sizes(), 1), (PYTHON_FOLDER, _PICKLES, 2)):
        for place in (path, path / folder):
            there = [name for name in names if (place / name).is_file()]
            if len(there) >= enough:
                lacking = " and ".join(name for name in names if name not in there)
                raise DataError(
                    f"{place} lacks {lacking}: copy it there, or give another --data-dir"
                )
    if any((path / name).is_file() for name in _CIFAR10):
        raise DataError(f"{path} holds CIFAR-10, not CIFAR-100; {_WAYS_OUT}")
    return None


def _zips(path):
    return sorted(path.glob("*.zip"))


def _holds_ours(packed):
    try:
        with archive.reading(packed, _LARGEST_ARCHIVE, progress=False) as members:
            names = {member.name for member, _, _ in members}
    except DataError:
        return False
    return "train.bin" in names or {"train", "meta"} <= names


def _nothing_in(path):
    others = [*_zips(path), *sorted(path.glob("cifar-10-*"))]
    names = ", ".join(other.name for other in others[:3])
    found = f" ({names}: something else, or damaged)" if others else ""
    return f"there is no CIFAR-100 in {path}{found} and download is off; {_WAYS_OUT}"


def _download(urls, target, progress):
    try:
        fetch(urls, target, SIZE, MD5, progress)
    except DataError as error:
        raise DataError(f"{error}; {_WAYS_OUT}") from error


def _file_sizes():
    return {f"{split}.bin": CLASSES * n * RECORD for split, n in PER_CLASS.items()}


def _check_size(where, name, size):
    """Raise DataError unless a file called ``name`` may have this size."""
    low = high = _file_sizes().get(name)
    if name in NAMES or name == "meta":
        low, high = 0, _LARGEST_TEXT
    elif name in _PICKLES:
        low = _file_sizes()[_PICKLES[name]]
        high = 2 * low + (16 << 20)  # Python 3 may use 2 bytes for one; names of files
    if not low <= size <= high:
        expected = f"{low:,}" if low == high else f"between {low:,} and {high:,}"
        raise DataError(
            f"{where} has {size:,} bytes, but {name} of CIFAR-100 has {expected}: it is cut "
            f"short or another file, so delete it and copy or download it again"
        )


def _read_folder(source, split):
    """Return the contents of the split's file and of the class names beside it, by file name."""
    files = {}
    for name in (*NAMES, "meta", source.name) if source.name == split else (*NAMES, source.name):
        file = source.with_name(name)
        if file.is_file():
            _check_size(file, name, file.stat().st_size)
            _add(files, name, file.read_bytes(), source.parent)
    return files


def _look_at_the_test_set(path):
    test = _find(path, "test")
    if test.name in ("test", "test.bin"):
        _check_size(test, test.name, test.stat().st_size)


def _read_archive(source, progress):
    """Return the contents of both ``.bin`` files and of the class names, by file name."""
    files, cifar10, images = {}, False, 0
    with archive.reading(source, _LARGEST_ARCHIVE, progress) as members:
        for member, size, read in members:
            name = member.name
            if name in _file_sizes() or name in NAMES or name in _PICKLES:
                _check_size(f"{name} in {source}", name, size)
                _add(files, name, read(), source)
            cifar10 |= name in _CIFAR10
            images += member.suffix.lower() in (".png", ".jpg", ".jpeg")
    for name in _file_sizes():
        if name not in files:
            what = f"holds no {name}: it is not CIFAR-100, {URL}"
            if cifar10:
                what = f"holds CIFAR-10, not CIFAR-100; {_WAYS_OUT}"
            elif images:
                what = (
                    f"holds {images:,} image files and no {name}: unpack it and load it as a "
                    f"folder of images, or take {URL}"
                )
            raise DataError(f"{source} {what}")
        _records(files[name], f"{name} in {source}")
    return files


def _add(files, name, content, where):
    """Put a file's content into ``files``; that of a pickle as the binary version has it."""
    if name not in _PICKLES:
        files[name] = content
        return
    where = f"{name} in {where}"
    values = pickles.read(content, where)
    try:
        if name == "meta":
            for file, usual in NAMES.items():
                names = values[file.removesuffix(".txt")]
                if not isinstance(names, list) or len(names) != len(usual):
                    raise ValueError(f"no {len(usual)} names")
                files.setdefault(file, b"\n".join(map(_as_bytes, names)))
        else:
            files.setdefault(_PICKLES[name], _as_records(values, name))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"{where} is not that of CIFAR-100's Python version ({printable(repr(error), 200)}): "
            f"copy or download it again"
        ) from error


def _as_bytes(name):
    if not isinstance(name, (str, bytes)):  # bytes(10**9) would be as many zeros
        raise TypeError("a name that is no text")
    return name if isinstance(name, bytes) else name.encode()


def _as_records(values, split):
    N = CLASSES * PER_CLASS[split]
    records = np.empty((N, RECORD), np.uint8)
    for column, key in enumerate(("coarse_labels", "fine_labels")):
        labels = values[key]
        if not isinstance(labels, list) or not all(type(label) is int for label in labels):
            raise ValueError(f"{key} is no list of numbers")
        records[:, column] = np.array(labels, np.uint8)  # refuses what is no byte
    pixels = values["data"]
    if not isinstance(pixels, np.ndarray) or pixels.shape != (N, RECORD - 2):
        raise ValueError(f"data is no array ({N}, {RECORD - 2}) of bytes")
    records[:, 2:] = pixels
    return memoryview(records).cast("B")


def _records(content, where):
    """Return the records as an array ``(N, RECORD)``, a view, after checking their labels, and the
    coarse label of each fine one."""
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    per_class = len(records) // CLASSES
    coarse, fine = records[:, 0], records[:, 1]
    counts = np.bincount(fine, minlength=CLASSES)
    superclass_of = np.zeros(256, np.int64)
    superclass_of[fine] = coarse
    if (
        coarse.max() >= COARSE_CLASSES
        or (counts != per_class).any()
        or (superclass_of[fine] != coarse).any()
    ):
        raise DataError(
            f"{where} has the right size but wrong labels (expected coarse ones "
            f"0..{COARSE_CLASSES - 1}, one for each fine class, and {per_class} images of each "
            f"fine class 0..{CLASSES - 1}): it is damaged or another file, so delete it and copy "
            f"or download it again"
        )
    return records, superclass_of[:CLASSES]


def _image_set(files, split, source):
    def place(name):
        if source.name == split:
            return source.with_name("meta" if name in NAMES else split)
        return source.with_name(name) if source.name == f"{split}.bin" else f"{name} in {source}"

    name = f"{split}.bin"
    records, superclass_of = _records(files[name], place(name))
    images = np.ascontiguousarray(records[:, 2:]).reshape(-1, 3, 32, 32)
    labels = records[:, 1].astype(np.int64)
    fine_names, coarse_names = (
        names_in(files[name], len(usual), place(name)) if name in files else usual
        for name, usual in NAMES.items()
    )
    return ImageSet(images, labels, fine_names, coarse_names, superclass_of)
