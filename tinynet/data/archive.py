"""Tar and zip archives: their members one after the other, in bounded memory, and unpacking.

No member is extracted by its path. Those outside of the archive's own folder, links and devices are
passed over.
"""

import bz2
import contextlib
import gzip
import lzma
import os
import re
import secrets
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from functools import partial
from pathlib import PurePosixPath

from tqdm import tqdm

from tinynet import lock
from tinynet.data.dataset import DataError
from tinynet.data.download import silent
from tinynet.files import printable

_TARS = (".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2")
SUFFIXES = (*_TARS, ".gz", ".xz", ".bz2", ".zip")
_LONGEST_HEADER = 1 << 16  # bytes of the extended headers that hold long names
_LARGEST_INDEX = 16 << 20  # bytes of a zip's index: some 200,000 members
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_WITHOUT_DATA = (
    *(tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE),
    *(tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE),
)
_NAME_HEADERS = (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME)  # these hold the next member's name
_OTHER_HEADERS = (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK, tarfile.SOLARIS_XHDTYPE)
_ERRORS = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OSError, NotImplementedError, RuntimeError, OverflowError, ValueError, MemoryError),
)


@contextlib.contextmanager
def reading(path, limit, progress=True):
    """``with reading(path, limit) as members:`` opens an archive, of tar or zip by its content.

    ``members`` yields ``(path, size, read)``: a relative ``PurePosixPath``, the size in bytes, and
    a function that returns the content (a bytearray), if it is called before the next member is
    asked for. Let the size be checked before. Tar archives inside a zip are gone through too. At
    the end of a compressed tar its checksum is verified.

    Args:
        limit: bytes that the archive may unpack to; more is refused.

    Raises:
        DataError: inside the block too, if the archive is damaged, cut short or none.
    """
    bar = {"desc": f"reading {path.name}", "disable": silent(progress)}
    with open(path, "rb") as file, refusing(path):
        start = file.peek(4)[:4]
        with tqdm.wrapattr(file, "read", path.stat().st_size, **bar) as raw:
            if start in (b"PK\3\4", b"PK\5\6"):
                yield _zip_members(raw, path, limit)
            else:
                yield tar_members(raw, path, limit)


@contextlib.contextmanager
def refusing(archive):
    """Turn what a damaged archive leads to into a DataError that names it."""
    try:
        yield
    except DataError:
        raise
    except _ERRORS as error:
        reason = printable(error, 200) or type(error).__name__
        raise DataError(
            f"{archive} is cut short, damaged or not a tar or zip archive ({reason}): "
            f"delete it and copy or download it again"
        ) from error


def tar_members(raw, archive, limit):
    """Yield the members of a tar stream, compressed or not, as ``reading`` does.

    raw: a file with ``read`` and ``peek``. To be used within ``refusing``.
    """
    start = raw.peek(512)[:512]
    if not start:
        raise DataError(f"{archive} is an empty file: delete it and copy or download it again")
    if re.match(rb"\s*(<!doctype|<html|<head|<\?xml)", start, re.IGNORECASE):
        raise DataError(
            f"{archive} is a web page, not a tar archive: delete it and copy or download the "
            f"archive itself"
        )
    with _opener(start)(raw) as plain:
        stream, path = _Bounded(plain, archive, limit), None
        while any(block := stream.read(512, or_end=True)):  # a block of zeros is the end as well
            member = tarfile.TarInfo.frombuf(block, "utf-8", "replace")
            size = 0 if member.type in _WITHOUT_DATA else member.size
            if size < 0:
                raise tarfile.ReadError("a member has a negative size")
            end = stream.position + size + -size % 512
            if member.type in _NAME_HEADERS and size > _LONGEST_HEADER:
                raise DataError(
                    f"{archive} has a header of {size:,} bytes where a file's name belongs: it is "
                    f"damaged or made to do harm"
                )
            if member.type in _NAME_HEADERS:
                path = _long_name(member.type, stream.read(size)) or path
            elif member.type not in _OTHER_HEADERS:
                name = _inside(path or member.name)
                if name and member.type in _REGULAR:
                    yield name, size, partial(stream.read, size)
                path = None
            stream.skip(end - stream.position)
        stream.skip(None)  # to the end, where the checksum of the compressed data stands


def _opener(start):
    """Return the function that opens a stream beginning with the bytes ``start`` for reading."""
    for magic, module in ((b"\x1f\x8b", gzip), (b"BZh", bz2), (b"\xfd7zXZ\0", lzma)):
        if start.startswith(magic):
            return module.open
    return contextlib.nullcontext


class _Bounded:
    """A stream that counts what it gives, and refuses to give more than ``limit`` bytes."""

    def __init__(self, stream, archive, limit):
        self.stream, self.archive, self.limit, self.position = stream, archive, limit, 0

    def read(self, n, or_end=False):
        """Return the next n bytes; none at the end, if that is allowed."""
        content = bytearray(n)
        for begin, chunk in self._pieces(n):
            content[begin : begin + len(chunk)] = chunk
            n -= len(chunk)
        if n == len(content) and or_end:
            return b""
        if n:
            raise EOFError("it ends in the middle of a member")
        return content

    def skip(self, n):
        """Pass over n bytes, or over all that is left."""
        done = sum(len(chunk) for _, chunk in self._pieces(n))
        if n is not None and done < n:
            raise EOFError("it ends in the middle of a member")

    def _pieces(self, n):
        done = 0
        while n is None or done < n:
            chunk = self.stream.read(1 << 20 if n is None else min(1 << 20, n - done))
            if not chunk:
                return
            self.position += len(chunk)
            if self.position > self.limit:
                raise DataError(
                    f"{self.archive} unpacks to more than {self.limit:,} bytes: it is another "
                    f"archive, or made to do harm"
                )
            yield done, chunk
            done += len(chunk)


def _long_name(kind, content):
    """Return the path that an extended header gives to the member after it, if it does."""
    if kind == tarfile.GNUTYPE_LONGNAME:
        return content.rstrip(b"\0").decode("utf-8", "replace")
    found = re.findall(rb"[0-9]+ path=([^\n]*)\n", content)
    return found[-1].decode("utf-8", "replace") if found else None


def _inside(name):
    """Return a member's path; None if it leads out of the archive's folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    return None if path.is_absolute() or ".." in path.parts else path


def _zip_members(file, archive, limit):
    _check_index(file, archive)
    with zipfile.ZipFile(file) as packed:
        for info in packed.infolist():
            name = _inside(info.filename)
            if info.is_dir() or not name or stat.S_ISLNK(info.external_attr >> 16):
                continue
            if name.name.endswith(_TARS):
                with packed.open(info) as inner:
                    yield from tar_members(inner, f"{name} in {archive}", limit)
            else:
                yield name, info.file_size, partial(_unzip, packed, info)


def _check_index(file, archive):
    """Refuse a zip whose index would fill the memory: zipfile reads it in one go."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - (1 << 16) - 22 - 20))
    tail = file.read()
    at = tail.rfind(b"PK\5\6")
    index = int.from_bytes(tail[at + 12 : at + 16], "little")
    if at >= 0 and (index > _LARGEST_INDEX or b"PK\6\7" in tail[at - 20 : at]):
        raise DataError(
            f"{archive} is a zip of too many members for a data set of a few files: unpack it, or "
            f"give another archive"
        )
    file.seek(0)


def _unzip(packed, info):
    with packed.open(info) as member:
        return _Bounded(member, packed.filename, info.file_size).read(info.file_size)


def unpack(files, folder):
    """Write the files, a dict of names and contents, into a new folder, all of them or none.

    Nothing is done where the folder exists or another program writes it now. Not being able to is
    no error, for the files are in memory already: the place may be read-only or full. The mode
    bits are asked too, as an administrator may write anywhere.
    """
    parent = folder.parent
    writable = os.access(parent, os.W_OK) and parent.stat().st_mode & 0o222
    if writable and not folder.exists():
        with contextlib.suppress(OSError), lock.hold(folder) as mine:
            if mine and not folder.exists():
                write(files, folder)


def write(files, folder):
    """As ``unpack``, by the holder of the lock. What killed writers have left is swept away.

    Raises:
        OSError: if it is impossible.
    """
    _sweep(folder)
    temporary = folder.parent / f".{folder.name}-{secrets.token_hex(4)}"
    try:
        temporary.mkdir()
        for name, content in files.items():
            with open(temporary / name, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sweep(folder):
    """Remove what killed writers of ``folder`` left beside it, unless another one writes now."""
    if _left_behind(folder) and os.access(folder.parent, os.W_OK):
        with contextlib.suppress(OSError), lock.hold(folder) as mine:
            if mine:
                _sweep(folder)


def _sweep(folder):
    for entry in _left_behind(folder):
        shutil.rmtree(entry, ignore_errors=True)


def _left_behind(folder):
    pattern = re.compile(rf"\.{re.escape(folder.name)}-[0-9a-f]{{8}}")
    entries = folder.parent.iterdir() if folder.parent.is_dir() else ()
    return [entry for entry in entries if pattern.fullmatch(entry.name)]
