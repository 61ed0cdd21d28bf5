"""CIFAR-100 from its binary archive: local files first, else a download.

A record is one byte for the coarse label, one for the fine label and 3072 for the image: the
red, the green and the blue plane of 32 rows. ``train.bin`` has 50,000 records, ``test.bin``
10,000 (Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009;
https://www.cs.toronto.edu/~kriz/cifar.html).
"""

import bz2
import gzip
import lzma
import os
import secrets
import shutil
import tarfile
import zlib
from contextlib import nullcontext
from pathlib import Path, PurePosixPath

import numpy as np
from tqdm import tqdm

from tinynet.data.dataset import DataError, ImageSet
from tinynet.data.download import fetch

URL = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"
MD5 = "03b5dce01913d631647c71ecec9e9cb8"
SIZE = 168_513_733
MIRROR_VARIABLE = "TINYNET_CIFAR100_URL"

CLASSES, COARSE_CLASSES = 100, 20
PER_CLASS = {"train": 500, "test": 100}
RECORD = 2 + 3 * 32 * 32

FOLDER = "cifar-100-binary"
ARCHIVES = tuple(FOLDER + suffix for suffix in (".tar.gz", ".tar.xz", ".tar.bz2", ".tar"))
NAMES = "fine_label_names.txt"
_PYTHON = "cifar-100-python"

_WAYS_OUT = (
    f"give --data-dir a local copy of {ARCHIVES[0]} or of its folder, name a mirror in the "
    f"environment variable {MIRROR_VARIABLE}, or use --dataset shapes, which needs no file"
)


def load(data_dir, split="train", download=True, mirror=None, progress=True):
    """Return one split of CIFAR-100 with its fine labels, as an ``ImageSet``.

    Local files are accepted by their structure: size, range of the labels, images per class.
    An archive is unpacked into ``cifar-100-binary/`` beside it, all or nothing; where that is
    impossible it is read in memory.

    Args:
        data_dir: the folder that holds ``train.bin`` and ``test.bin``, or holds the folder
            ``cifar-100-binary``, or holds ``cifar-100-binary.tar.gz`` (``.tar.xz``,
            ``.tar.bz2``, ``.tar``); or the path of such an archive under any name.
        split: "train" or "test".
        download: fetch the official archive into ``data_dir`` if nothing is there.
        mirror: where to fetch that archive from (http, https or file address); if not given, the
            environment variable TINYNET_CIFAR100_URL, else its home in Toronto.
        progress: show a progress bar on stderr while downloading or reading an archive.

    Raises:
        DataError: if a file is missing, unreadable, short or damaged, or the download fails.
    """
    if split not in PER_CLASS:
        raise DataError(f"cifar100.load: split must be 'train' or 'test', not {split!r}")
    path = Path(data_dir).expanduser()
    if path.name in _file_sizes():
        path = path.parent
    try:
        source = _find(path, split)
        if source is None:
            if not download:
                raise DataError(f"there is no CIFAR-100 in {path} and download is off; {_WAYS_OUT}")
            source = path / ARCHIVES[0]
            _download(mirror or os.environ.get(MIRROR_VARIABLE) or URL, source, progress)
        if source.name == f"{split}.bin":
            files = _read_folder(source)
        else:
            files = _read_archive(source, progress)
            _unpack(files, source.parent / FOLDER)
    except OSError as error:
        raise DataError(
            f"cannot read {error.filename or path}: {error.strerror or error}"
        ) from error
    return _image_set(files, split, source)


def _find(path, split):
    """Return the path of the split's ``.bin`` file or of an archive; None if there is neither."""
    name = f"{split}.bin"
    if path.is_file():
        unpacked = path.parent / FOLDER / name
        if path.name in ARCHIVES and unpacked.is_file():
            # unpacked by an earlier run: good unless the archive is newer
            return max(unpacked, path, key=lambda file: file.stat().st_mtime_ns)
        return path
    if path.name.endswith((".tar", ".gz", ".xz", ".bz2", ".tgz")) and not path.exists():
        raise DataError(f"there is no archive {path}; {_WAYS_OUT}")
    folders = (path, path / FOLDER)
    for file in [*(folder / name for folder in folders), *(path / name for name in ARCHIVES)]:
        if file.is_file():
            return file
    inside = (path / _PYTHON, path / f"{_PYTHON}.tar.gz")
    if path.name == _PYTHON or any(file.exists() for file in inside):
        raise _python_version(path)
    for folder in folders:
        if any((folder / other).is_file() for other in _file_sizes()):
            raise DataError(f"{folder} lacks {name}: copy it there, or give another --data-dir")
    return None


def _python_version(path):
    return DataError(
        f"{path} holds the Python version of CIFAR-100, whose pickles are code and are not "
        f"read: take the binary version, {URL}"
    )


def _download(url, archive, progress):
    try:
        fetch(url, archive, SIZE, MD5, progress)
    except DataError as error:
        raise DataError(f"{error}; {_WAYS_OUT}") from error


def _file_sizes():
    return {f"{split}.bin": CLASSES * n * RECORD for split, n in PER_CLASS.items()}


def _check_size(where, name, size):
    expected = _file_sizes()[name]
    if size != expected:
        raise DataError(
            f"{where} has {size:,} bytes, but {name} of CIFAR-100 has {expected:,}: it is cut "
            f"short or another file, so delete it and copy or download it again"
        )


def _read_folder(source):
    """Return the contents of a ``.bin`` file and of the class names beside it, by file name."""
    _check_size(source, source.name, source.stat().st_size)
    files = {source.name: source.read_bytes()}
    names = source.with_name(NAMES)
    if names.is_file():
        files[NAMES] = names.read_bytes()
    return files


def _read_archive(archive, progress):
    """Return the contents of both ``.bin`` files and of the class names, by file name."""
    size = archive.stat().st_size
    with open(archive, "rb") as file:
        opener = _opener(file.peek(6))
        bar = tqdm.wrapattr(
            file, "read", size, desc=f"reading {archive.name}", disable=not progress
        )
        try:
            with bar as raw, opener(raw) as stream:
                files = _read_members(stream, archive)
                while stream.read(1 << 20):
                    pass  # to the end, where the checksum of the compressed data stands
        except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
            raise DataError(
                f"{archive} is cut short, damaged or not a tar archive ({error}): delete it and "
                f"copy or download it again"
            ) from error
    for name in _file_sizes():
        if name not in files:
            raise DataError(f"{archive} holds no {name}: it is not the binary CIFAR-100, {URL}")
        _records(files[name], name, archive)
    return files


def _opener(start):
    """Return the function that opens a stream beginning with the bytes ``start`` for reading."""
    for magic, module in ((b"\x1f\x8b", gzip), (b"BZh", bz2), (b"\xfd7zXZ\0", lzma)):
        if start.startswith(magic):
            return module.open
    return nullcontext


def _read_members(stream, archive):
    """Read the members of a tar stream as they come.

    None is extracted by its path, so that a path such as ``../train.bin`` can do no harm.
    """
    files = {}
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            if _PYTHON in path.parts:
                raise _python_version(archive)
            if not member.isreg():
                continue
            if path.name in _file_sizes():
                _check_size(f"{path.name} in {archive}", path.name, member.size)
            elif path.name != NAMES:
                continue
            files[path.name] = tar.extractfile(member).read()
    return files


def _unpack(files, folder):
    """Write the files into a new folder, all of them or none.

    Not being able to is no error, for the images are in memory already: the place may be
    read-only or full. The mode bits are asked too, as an administrator may write anywhere.
    """
    parent = folder.parent
    writable = os.access(parent, os.W_OK) and parent.stat().st_mode & 0o222
    if folder.exists() or not writable:
        return
    temporary = parent / f".{folder.name}-{secrets.token_hex(4)}"
    try:
        temporary.mkdir()
        for name, content in files.items():
            with open(temporary / name, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, folder)
    except OSError:
        pass
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _records(content, name, where):
    """Return the records as an array ``(N, RECORD)``, a view, after checking their labels."""
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    per_class = len(records) // CLASSES
    coarse, fine = records[:, 0], records[:, 1]
    counts = np.bincount(fine, minlength=CLASSES)
    if coarse.max() >= COARSE_CLASSES or (counts != per_class).any():
        raise DataError(
            f"{name} in {where} has the right size but wrong labels (expected coarse ones "
            f"0..{COARSE_CLASSES - 1} and {per_class} images of each fine class "
            f"0..{CLASSES - 1}): it is damaged or another file, so delete it and copy or "
            f"download it again"
        )
    return records


def _image_set(files, split, source):
    records = _records(files[f"{split}.bin"], f"{split}.bin", source)
    images = np.ascontiguousarray(records[:, 2:]).reshape(-1, 3, 32, 32)
    return ImageSet(images, records[:, 1].astype(np.int64), _class_names(files, source))


def _class_names(files, source):
    if NAMES not in files:
        return tuple(f"class {label}" for label in range(CLASSES))
    names = tuple(files[NAMES].decode("utf-8", "replace").splitlines())
    if len(names) != CLASSES:
        raise DataError(
            f"{NAMES} of {source} has {len(names)} names instead of {CLASSES}: mend or delete it"
        )
    return names
