"""Download of one file: resumed, checked, and put in its place only when complete."""

import hashlib
import os
import re
import time
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from tqdm import tqdm

from tinynet.data.dataset import DataError

_CHUNK = 1 << 16
# Answers of a server that may be better the next time; other 4xx answers stay.
_PASSING = {408, 425, 429}


class _Interrupted(Exception):
    """The transfer stopped. ``final`` means that another attempt is useless."""

    def __init__(self, reason, final=False):
        super().__init__(reason)
        self.final = final


def fetch(url, path, size, md5, progress=True, timeout=30, attempts=3, wait=1):
    """Download ``url`` to ``path``.

    The bytes collect in ``path`` + ".part". A ``.part`` file left by an earlier run is continued
    with a Range request where the server supports it. When ``size`` and ``md5`` are right it is
    renamed to ``path`` in one step, so ``path`` is either whole or absent.

    Args:
        url: an http, https or file address.
        path: the file to make; its folder is made if need be.
        size: the length in bytes that the file must have.
        md5: the md5 sum that it must have, as hexadecimal digits.
        progress: show a progress bar on stderr.
        timeout: seconds without an answer after which an attempt has failed.
        attempts: failures in a row, with no new byte in between, after which to give up.
        wait: seconds to wait before another attempt, times the failures in a row.

    Raises:
        DataError: if the file cannot be had or written, or has the wrong size or md5. The
            ``.part`` file stays for the next run unless its md5 is wrong.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        _fill(part, url, size, progress, timeout, attempts, wait)
        found = _md5(part)
        if found != md5:
            part.unlink()
            raise DataError(
                f"{url} has the md5 sum {found} where {md5} was expected: it is another file or "
                f"was damaged on the way, and the download has been thrown away"
            )
        os.replace(part, path)
    except OSError as error:
        raise DataError(f"cannot write {part}: {error.strerror or error}") from error


def _fill(part, url, size, progress, timeout, attempts, wait):
    """Bring ``part`` to its full length, in as many attempts as are worthwhile."""
    most, failures = _length(part), 0
    with tqdm(
        desc=part.stem, initial=most, total=size, unit="B", unit_scale=True, disable=not progress
    ) as bar:
        while _length(part) != size:
            try:
                _receive(part, url, size, timeout, bar)
            except _Interrupted as error:
                have = _length(part)
                failures = 0 if have > most else failures + 1
                most = max(most, have)
                if error.final or failures == attempts:
                    kept = f" ({have:,} of {size:,} bytes are kept in {part})" if have else ""
                    raise DataError(f"cannot download {url}: {error}{kept}") from error
                bar.set_postfix_str(f"{error}, trying again")
                time.sleep(wait * max(failures, 1))


def _receive(part, url, size, timeout, bar):
    """Make one request and append what comes to ``part``."""
    have = _length(part)
    with _open(url, have if have < size else 0, timeout) as response:
        start, total = _extent(response)
        if total not in (size, None):
            raise _Interrupted(f"the file there has {total:,} bytes, not {size:,}", final=True)
        if start > have:
            raise _Interrupted(f"the server sent byte {start} on, not byte {have}", final=True)
        part.parent.mkdir(parents=True, exist_ok=True)
        bar.initial = bar.n = start
        with open(part, "ab") as file:
            file.truncate(start)  # 0 if the server does not resume and sends everything
            while start < size:
                with _network():
                    chunk = response.read(min(_CHUNK, size - start))
                if not chunk:
                    raise _Interrupted("the connection was closed too early")
                file.write(chunk)
                start += len(chunk)
                bar.update(len(chunk))
            file.flush()
            os.fsync(file.fileno())


def _open(url, start, timeout):
    """Send the request for the bytes from ``start`` on and return the response."""
    headers = {"User-Agent": "tinynet", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    with _network():
        if urlsplit(url).scheme not in ("http", "https", "file"):
            raise _Interrupted("the address must begin with http://, https:// or file://", True)
        try:
            return urlopen(Request(url, headers=headers), timeout=timeout)
        except HTTPError as error:
            error.close()
            if error.code == 416 and start:  # the server does not accept this range: ask for all
                return _open(url, 0, timeout)
            raise


def _extent(response):
    """Return the position of the first byte that the response sends, and the file's length."""
    if response.status == 206:
        field = response.headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", field.strip())
        if not match:
            raise _Interrupted(f"the server sent an unreadable Content-Range {field!r}", final=True)
        return int(match[1]), None if match[2] == "*" else int(match[2])
    length = response.headers.get("Content-Length")
    return 0, None if length is None else int(length)


@contextmanager
def _network():
    """Tell errors of the transfer from errors of the disk: both are OSError."""
    try:
        yield
    except HTTPError as error:
        final = 400 <= error.code < 500 and error.code not in _PASSING
        raise _Interrupted(f"the server answered {error.code} {error.reason}", final) from error
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        final = isinstance(reason, FileNotFoundError)  # a file:// address
        reason = getattr(reason, "strerror", None) or str(reason) or type(error).__name__
        raise _Interrupted(reason, final) from error
    except ValueError as error:  # an address that urllib cannot read
        raise _Interrupted(str(error), final=True) from error


def _length(path):
    return path.stat().st_size if path.exists() else 0


def _md5(path):
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
