"""Download of one file: resumed, checked, and put in its place only when complete."""

import contextlib
import hashlib
import io
import os
import re
import sys
import time
from pathlib import Path

from tqdm import tqdm

from tinynet import lock
from tinynet.data import transfer
from tinynet.data.dataset import DataError
from tinynet.data.transfer import Interrupted, pieces
from tinynet.files import printable


def fetch(url, path, size, md5, progress=True, timeout=30, attempts=3, wait=1):
    """Download ``url`` to ``path``, unless it is there already.

    The bytes collect in ``path`` + ".part". A ``.part`` file left by an earlier run is continued
    with a Range request where the server supports it. When ``size`` and ``md5`` are right it is
    renamed to ``path`` in one step, so ``path`` is either whole or absent. Of several programs
    that want the same ``path`` at a time one downloads it and the others wait for it.

    Args:
        url: an http, https or file address, or several with spaces or commas between them, which
            are tried in turn.
        path: the file to make; its folder is made if need be.
        size: the length in bytes that the file must have.
        md5: the md5 sum that it must have, as hexadecimal digits.
        progress: show a progress bar on stderr, if that is a terminal.
        timeout: seconds without an answer after which an attempt has failed.
        attempts: failures in a row, with less than 64 KiB in between, after which to give up.
        wait: seconds to wait before another attempt, times the failures in a row.

    Raises:
        DataError: if the file cannot be had or written, comes too slowly, or has the wrong size or
            md5. The ``.part`` file stays for the next run unless its md5 is wrong.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    bar = tqdm(desc=path.name, total=size, unit="B", unit_scale=True, disable=silent(progress))
    try:
        with bar, alone(path, bar) as mine:
            if _length(path) == size and md5_of(path) == md5:
                return  # by the program that was waited for
            reasons = []
            for address in addresses(url) or [url]:
                try:
                    _fill(part, address, size, timeout, attempts, wait, bar, mine.beat)
                except Interrupted as error:
                    have = _length(part)
                    kept = f" ({have:,} of {size:,} bytes are kept in {part})" if have else ""
                    reasons.append(f"cannot download {printable(address, 200)}: {error}{kept}")
                    continue
                found = md5_of(part)
                if found == md5:
                    os.replace(part, path)
                    return
                part.unlink()
                reasons.append(
                    f"{printable(address, 200)} has the md5 sum {found} where {md5} was expected: "
                    f"it is another file or was damaged on the way, and the download is thrown away"
                )
            raise DataError("; ".join(reasons))
    except OSError as error:
        raise DataError(f"cannot write {part}: {error.strerror or error}") from error


def _fill(part, url, size, timeout, attempts, wait, bar, beat):
    """Bring ``part`` to its full length, in as many attempts as are worthwhile."""
    have = _length(part)
    have = have if have <= size else 0
    try:
        with open(part, "ab") as file:
            file.truncate(have)
            for at, chunk in pieces(url, size, have, timeout, attempts, wait, bar, beat):
                if at != have:
                    file.truncate(at)  # 0 if the server does not resume and sends everything
                file.write(chunk)
                have = at + len(chunk)
            file.flush()
            os.fsync(file.fileno())
    finally:
        if not _length(part):
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def stream(url, bar, beat, timeout=30, attempts=3, wait=1):
    """``with stream(url, bar, beat) as file:`` reads one address from its beginning on, and stores
    nothing. A connection that breaks is taken up where it was, within this run.

    Args:
        bar, beat: as in ``transfer.pieces``; the others as in ``fetch``.

    Raises:
        DataError: inside the block, if the bytes stop coming before the end.
    """
    coming = pieces(url, None, 0, timeout, attempts, wait, bar, beat)
    try:
        yield io.BufferedReader(_Stream(coming), transfer.CHUNK)
    except Interrupted as error:
        raise DataError(f"cannot download {printable(url, 200)}: {error}") from error
    finally:
        coming.close()


class _Stream(io.RawIOBase):
    """What ``pieces`` yields, as a file to read from; bytes that come twice are dropped."""

    def __init__(self, coming):
        self.coming, self.at, self.left = coming, 0, b""

    def readable(self):
        return True

    def readinto(self, buffer):
        while not self.left:
            at, chunk = next(self.coming, (None, b""))
            if at is None:
                return 0
            self.left = chunk[self.at - at :]
        n = min(len(buffer), len(self.left))
        buffer[:n], self.left = self.left[:n], self.left[n:]
        self.at += n
        return n


@contextlib.contextmanager
def alone(path, bar):
    """Be the one program that makes ``path``, after any other that does so now. Yields a ``Lock``,
    whose ``beat`` is to be called as long as things move. A folder made for nothing is removed.

    Raises:
        DataError: if another program makes it and has not got on for ``transfer.WINDOW`` seconds.
        OSError: if the folder cannot be written.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    seen, since = None, time.monotonic()
    try:
        while True:
            path.parent.mkdir(parents=True, exist_ok=True)
            with lock.hold(path) as mine:
                if mine:
                    yield mine
                    return
            with contextlib.suppress(OSError):
                if seen != (seen := lock.file_of(path).stat().st_mtime_ns):
                    since = time.monotonic()
            if time.monotonic() - since > transfer.WINDOW:
                raise DataError(
                    f"another program is making {path} and has not got on for {transfer.WINDOW} s: "
                    f"end it, or choose another folder"
                )
            bar.set_postfix_str("another program downloads it, waiting")
            time.sleep(0.2)
    finally:
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def addresses(text):
    """The addresses in a text, with spaces or commas between them."""
    return re.findall(r"(?:[^\s,]|,(?!\s|$|[A-Za-z]+:))+", text)


def silent(progress):
    """What tqdm takes as ``disable``: no bar unless one is wanted and stderr is a terminal."""
    try:
        return not (progress and sys.stderr.isatty())
    except (AttributeError, ValueError):  # there is no stderr, or it was closed
        return True


def _length(path):
    return path.stat().st_size if path.exists() else 0


def md5_of(path):
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(transfer.CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
