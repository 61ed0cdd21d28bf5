"""The bytes of one file over the network: connections that break are taken up again, and a server
is given neither endless time nor a way onto the terminal."""

import contextlib
import re
import string
import threading
import time
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import quote, urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from tinynet.files import printable

CHUNK = 1 << 16
# Answers of a server that may be better the next time; other 3xx and 4xx answers stay.
_PASSING = {408, 425, 429}
# What comes more slowly than this, in bytes per second over so many seconds, comes never. The host
# of CIFAR-100 sends 55,000 bytes per second at times.
SLOWEST, WINDOW = 4_000, 300


class Interrupted(Exception):
    """The transfer stopped. ``final`` means that another attempt is useless."""

    def __init__(self, reason, final=False):
        super().__init__(printable(reason, 200))
        self.final = final


def pieces(url, size, have, timeout, attempts, wait, bar, beat):
    """Yield the file's bytes from ``have`` on, as pairs of a position and some bytes.

    The position goes back to 0 where a server does not resume.

    Args:
        size: the length that the file must have, or None to take the server's word.
        timeout, attempts, wait: as in ``download.fetch``.
        bar: a tqdm bar that follows. beat: called whenever bytes have come.

    Raises:
        Interrupted: when it is not worth while to go on.
    """
    most, failures, received = have, 0, 0
    window = time.monotonic(), 0
    while have != size:
        before = most
        try:
            with _open(url, have, timeout) as response:
                start, total = _extent(response)
                if size is not None and total not in (size, None):
                    raise Interrupted(f"the file there has {total:,} bytes, not {size:,}", True)
                if start > have:
                    raise Interrupted(f"the server sent byte {start} on, not byte {have}", True)
                size = total if size is None else size
                bar.total, bar.initial, bar.n, have = size, start, start, start
                while have != size:
                    with _network():
                        chunk = response.read1(CHUNK if size is None else min(CHUNK, size - have))
                    if not chunk and size is None:
                        return
                    if not chunk:
                        raise Interrupted("the connection was closed too early")
                    yield have, chunk
                    have, received = have + len(chunk), received + len(chunk)
                    most = max(most, have)
                    bar.update(len(chunk))
                    beat()
                    window = _fast_enough(window, received)
                    if size and received > 4 * size:  # anew each time, and cut each time
                        raise Interrupted("the server sends and never comes to the end", True)
        except Interrupted as error:
            failures = 0 if most - before >= CHUNK else failures + 1
            if error.final or failures == attempts:
                raise
            bar.set_postfix_str(f"{error}, trying again")
            time.sleep(wait * max(failures, 1))
            beat()
            window = _fast_enough(window, received)


def _fast_enough(window, received):
    """Return the window of time to go on with: when it began, and what had come before it."""
    now, (began, before) = time.monotonic(), window
    if now - began < WINDOW:
        return window
    if received - before < SLOWEST * (now - began):
        raise Interrupted(
            f"only {received - before:,} bytes came in the last {now - began:.0f} s", final=True
        )
    return now, received


class _NoRedirects(HTTPRedirectHandler):
    """urllib follows https to http, and reads the whole body of a redirect: ``_open`` does it."""

    def redirect_request(self, *args):
        return None


def _open(url, start, timeout):
    """Send the request for the bytes from ``start`` on and return the response."""
    headers = {"User-Agent": "tinynet", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    if _scheme(url) not in ("http", "https", "file"):
        raise Interrupted("the address must begin with http://, https:// or file://", final=True)
    for _ in range(10):
        with _network():
            try:
                request = Request(url, headers=headers)
                return _within(4 * timeout, build_opener(_NoRedirects).open, request, None, timeout)
            except HTTPError as error:
                error.close()
                if error.code == 416 and start:  # it does not accept this range: ask for all
                    return _open(url, 0, timeout)
                onward = error.headers.get("Location")
                if error.code not in (301, 302, 303, 307, 308) or not onward:
                    raise
        with _network():
            after = urljoin(url, quote(onward, safe=string.punctuation, encoding="latin-1"))
        ways = _scheme(url), _scheme(after)
        if ways not in (("http", "http"), ("http", "https"), ("https", "https")):
            raise Interrupted(f"the server sends on to {after}, which is not followed", final=True)
        url = after
    raise Interrupted("the server sends on and on to other addresses", final=True)


def _scheme(url):
    with _network():
        return urlsplit(url).scheme


def _within(seconds, function, *args):
    """Call a function that may take for ever: a name is looked up, header after header comes."""
    result = []

    def call():
        try:
            result.append(function(*args))
        except Exception as error:
            result.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    if not result:
        raise TimeoutError(f"no answer in {seconds} s")
    if isinstance(result[0], Exception):
        raise result[0]
    return result[0]


def _extent(response):
    """Return the position of the first byte that the response sends, and the file's length."""
    headers = response.headers
    if response.status == 206:
        field = headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)", field.strip())
        if match:
            return int(match[1]), None if match[2] == "*" else int(match[2])
        name = "Content-Range"
    else:
        name, field = "Content-Length", headers.get("Content-Length")
        if field is None:
            return 0, None
        if re.fullmatch(r"[0-9]{1,18}", field.strip()):
            return 0, int(field)
    raise Interrupted(f"the server sent an unreadable {name} {field!r}", final=True)


@contextlib.contextmanager
def _network():
    """Tell errors of the transfer from errors of the disk: both are OSError."""
    try:
        yield
    except HTTPError as error:
        final = 300 <= error.code < 500 and error.code not in _PASSING
        raise Interrupted(f"the server answered {error.code} {error.reason}", final) from error
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        final = isinstance(reason, FileNotFoundError)  # a file:// address
        reason = getattr(reason, "strerror", None) or str(reason) or type(error).__name__
        raise Interrupted(reason, final) from error
    except ValueError as error:  # an address that urllib cannot read
        raise Interrupted(error, final=True) from error
