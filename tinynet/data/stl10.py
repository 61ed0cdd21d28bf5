"""The labelled part of STL-10: local files first, else a download that keeps no more than that.

5,000 images for training and 8,000 for testing, 96x96, of ten classes (Coates, Lee and Ng, "An
Analysis of Single-Layer Networks in Unsupervised Feature Learning", AISTATS 2011;
https://cs.stanford.edu/~acoates/stl10/). An image is 3 x 96 x 96 bytes, each channel column by
column; a label is a byte from 1 to 10. The archive's 100,000 unlabelled images are passed over.
"""

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tinynet.data import archive
from tinynet.data.dataset import DataError, ImageSet, names_in
from tinynet.data.download import addresses, alone, silent, stream

URL = "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz"
MD5 = {
    "train_X.bin": "918c2871b30a85fa023e0c44e0bee87f",
    "test_X.bin": "7f263ba9f9e0b06b93213547f721ac82",
}
MIRROR_VARIABLE = "TINYNET_STL10_URL"

CLASS_NAMES = (
    *("airplane", "bird", "car", "cat", "deer"),
    *("dog", "horse", "monkey", "ship", "truck"),
)
PER_CLASS = {"train": 500, "test": 800}
SIZE = 96  # pixels

FOLDER = "stl10_binary"
ARCHIVES = tuple(FOLDER + suffix for suffix in (".tar.gz", ".tar.xz", ".tar.bz2", ".tar", ".zip"))
NAMES = "class_names.txt"
_LARGEST_ARCHIVE = 4 << 30  # bytes when unpacked; it has 3.1 GB
_LARGEST_TEXT = 1 << 16

_WAYS_OUT = (
    f"give --data-dir a local copy of {ARCHIVES[0]} or of its folder, or name a mirror in the "
    f"environment variable {MIRROR_VARIABLE}"
)


def load(data_dir, split="train", download=True, mirror=None, progress=True):
    """Return one split of STL-10 as an ``ImageSet``, its labels counted from 0.

    Local files are accepted by their structure: size, range of the labels, images per class. From
    an archive the labelled part (360 MB) is unpacked into ``stl10_binary/`` beside it, all or
    nothing. The download unpacks while it reads, checks md5 sums and stores nothing else. It takes
    up a connection that breaks, but a program that is started again begins anew: the middle of
    compressed data cannot be read alone.

    Args:
        data_dir: the folder that holds ``train_X.bin``, ``train_y.bin``, ``test_X.bin`` and
            ``test_y.bin``, or holds the folder ``stl10_binary``, or holds ``stl10_binary.tar.gz``;
            or the path of such an archive under any name.
        split: "train" or "test".
        download: fetch the data set into ``data_dir`` if nothing is there.
        mirror: where to fetch the archive from: an http, https or file address, or several with
            spaces or commas between them; if not given, the environment variable
            TINYNET_STL10_URL, else its home in Stanford.
        progress: show a progress bar on stderr, if that is a terminal, while downloading or
            reading an archive.

    Raises:
        DataError: if a file is missing, unreadable, short or damaged, or the download fails.
    """
    if split not in PER_CLASS:
        raise DataError(f"stl10.load: split must be 'train' or 'test', not {split!r}")
    path = Path(data_dir).expanduser()
    if path.name in _file_sizes():
        path = path.parent
    try:
        source = _find(path)
        if source is None:
            if not download:
                raise DataError(f"there is no STL-10 in {path} and download is off; {_WAYS_OUT}")
            source = path / FOLDER
            _download(mirror or os.environ.get(MIRROR_VARIABLE) or URL, source, progress)
        archive.sweep(source.parent / FOLDER)
        if source.is_dir():
            return _image_set(_read_folder(source, split), split, source)
        files = _read_archive(source, progress)
        data = _image_set(files, split, source)
        archive.unpack(files, source.parent / FOLDER)
        return data
    except OSError as error:
        raise DataError(
            f"cannot read {error.filename or path}: {error.strerror or error}"
        ) from error


def _find(path):
    """Return the folder of the files or the path of an archive; None if there is neither."""
    if path.is_file():
        unpacked = path.parent / FOLDER
        if path.name in ARCHIVES and _is_whole(unpacked):
            # unpacked by an earlier run: good unless the archive is newer
            return max(unpacked, path, key=lambda file: file.stat().st_mtime_ns)
        return path
    if path.name.endswith(archive.SUFFIXES) and not path.exists():
        raise DataError(f"there is no archive {path}; {_WAYS_OUT}")
    if path.exists() and not path.is_dir():
        raise DataError(f"{path} is neither a folder nor a file of STL-10; {_WAYS_OUT}")
    for folder in (path, path / FOLDER):
        if _is_whole(folder):
            return folder
    for name in ARCHIVES:
        if (path / name).is_file():
            return path / name
    for folder in (path, path / FOLDER):
        there = [name for name in _file_sizes() if (folder / name).is_file()]
        if there:
            lacking = " and ".join(name for name in _file_sizes() if name not in there)
            raise DataError(f"{folder} lacks {lacking}: copy it there, or give another --data-dir")
    return None


def _is_whole(folder):
    return all((folder / name).is_file() for name in _file_sizes())


def _download(urls, folder, progress):
    """Make the folder out of the archive at one of the addresses."""
    reasons = []
    bar = tqdm(desc=folder.name, unit="B", unit_scale=True, disable=silent(progress))
    try:
        with bar, alone(folder, bar) as mine:
            if _is_whole(folder):
                return  # made by the program that was waited for
            if folder.exists() and (folder.is_file() or any(folder.iterdir())):
                raise DataError(f"{folder} holds something else than STL-10: move it away")
            needed, free = sum(_file_sizes().values()), shutil.disk_usage(folder.parent).free
            if free < needed:
                raise DataError(
                    f"STL-10 needs {needed:,} bytes in {folder.parent}, where {free:,} are free"
                )
            for url in addresses(urls) or [urls]:
                try:
                    with stream(url, bar, mine.beat) as file, archive.refusing(url):
                        files = _labelled(archive.tar_members(file, url, _LARGEST_ARCHIVE), url)
                    for name, md5 in MD5.items():
                        found = hashlib.md5(files[name], usedforsecurity=False).hexdigest()
                        if found != md5:
                            raise DataError(
                                f"{name} in {url} has the md5 sum {found} where {md5} was "
                                f"expected: it is another file or was damaged on the way"
                            )
                except DataError as error:
                    reasons.append(str(error))
                else:
                    archive.write(files, folder)
                    return
    except OSError as error:
        raise DataError(f"cannot write {folder}: {error.strerror or error}") from error
    raise DataError(f"{'; '.join(reasons)}; {_WAYS_OUT}")


def _file_sizes():
    sizes = {}
    for split, n in PER_CLASS.items():
        N = n * len(CLASS_NAMES)
        sizes |= {f"{split}_X.bin": N * 3 * SIZE * SIZE, f"{split}_y.bin": N}
    return sizes


def _check_size(where, name, size):
    expected = _file_sizes().get(name)
    if size != expected if expected else size > _LARGEST_TEXT:
        wanted = f"{expected:,}" if expected else f"no more than {_LARGEST_TEXT:,}"
        raise DataError(
            f"{where} has {size:,} bytes, but {name} of STL-10 has {wanted}: it is cut short or "
            f"another file, so delete it and copy or download it again"
        )


def _read_folder(folder, split):
    """Return the contents of the split's files and of the class names, by file name. The sizes of
    the other split's are looked at too, lest a training find them wanting at its end."""
    files = {}
    for name in (*_file_sizes(), NAMES):
        file = folder / name
        if name != NAMES or file.is_file():
            _check_size(file, name, file.stat().st_size)
            if name == NAMES or name.startswith(split):
                files[name] = file.read_bytes()
    return files


def _read_archive(source, progress):
    with archive.reading(source, _LARGEST_ARCHIVE, progress) as members:
        files = _labelled(members, source)
        if any(
            hashlib.md5(files[name], usedforsecurity=False).hexdigest() != md5
            for name, md5 in MD5.items()
        ):
            for _ in members:
                pass  # to the end, where the checksum of the compressed data stands
    return files


def _labelled(members, where):
    """Return the contents of the labelled part's files, by file name, and read no further."""
    files = {}
    for member, size, read in members:
        name = member.name
        if name in _file_sizes() or name == NAMES:
            _check_size(f"{name} in {where}", name, size)
            files[name] = read()
        if all(name in files for name in _file_sizes()):
            for split in PER_CLASS:
                _labels(files, split, where)
            return files
    raise DataError(
        f"{where} holds no {' and no '.join(n for n in _file_sizes() if n not in files)}: it is "
        f"not STL-10, {URL}"
    )


def _labels(files, split, where):
    labels = np.frombuffer(files[f"{split}_y.bin"], np.uint8).astype(np.int64) - 1
    classes, n = len(CLASS_NAMES), PER_CLASS[split]
    if labels.min() < 0 or (np.bincount(labels, minlength=classes) != n).any():
        raise DataError(
            f"{split}_y.bin of {where} has the right size but wrong labels (expected {n} of each "
            f"number 1..{classes}): it is damaged or another file, so delete it and copy or "
            f"download it again"
        )
    return labels


def _image_set(files, split, where):
    images = np.frombuffer(files[f"{split}_X.bin"], np.uint8).reshape(-1, 3, SIZE, SIZE)
    names = CLASS_NAMES
    if NAMES in files:
        names = names_in(files[NAMES], len(names), f"{NAMES} of {where}")
    images = np.ascontiguousarray(images.swapaxes(2, 3))
    return ImageSet(images, _labels(files, split, where), names)
