"""Files that are either whole or not there, and text that any terminal can show."""

import contextlib
import errno
import hashlib
import os
import platform
import re
import secrets
import stat
import sys
import time
import zlib

try:
    import fcntl
except ImportError:  # Windows, which by itself keeps files that are open from being removed
    fcntl = None

HOST = f"{zlib.crc32(platform.node().encode(errors='replace')):08x}"  # in names of temporary files
DAY = 24 * 60 * 60  # seconds
TAKEN = errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK  # the last two: Windows
SPECIAL = {
    stat.S_ISDIR: "it is a folder",
    stat.S_ISFIFO: "it is a named pipe",
    stat.S_ISSOCK: "it is a socket",
    stat.S_ISCHR: "it is a device",
    stat.S_ISBLK: "it is a device",
}


@contextlib.contextmanager
def atomic_write(path, mode="wb"):
    """`with atomic_write(path) as file:` writes a file that appears under `path` in one moment.

    The data goes to a temporary file in the same folder, is forced onto the disk and only then
    takes the name, and the owner and permissions of an earlier file of that name. Until then, and
    whatever goes wrong, the earlier file stays as it was. Of several writers at a time the last
    one wins. What a killed writer left behind, the next call for the same path sweeps away.

    Args: mode: "wb", or "w" for UTF-8 text whose line ends are written as they are.
    Raises: OSError in one sentence that names the file; also for folders, pipes and devices, which
        are neither opened nor replaced.
    """
    path = os.fsdecode(path)
    temporary = hold = None
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    try:
        if "\0" in path:
            raise OSError(errno.EINVAL, "no name can hold a zero byte")
        path = os.path.realpath(path)  # through a link, to the file that it stands for
        before = ordinary(path)  # now, not when all has been worked out
        sweep(path)
        try:
            temporary, handle = _new_temporary(path, before)
            with open(handle, mode, **text) as file:
                hold = os.dup(handle) if fcntl else None  # the lock, until the name is taken
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            if temporary is not None:
                with contextlib.suppress(OSError):
                    os.remove(temporary)
            raise
        finally:
            if hold is not None:
                os.close(hold)
        _sync_folder(os.path.dirname(path))
    except OSError as error:
        raise OSError(printable(_sentence(error, path))) from error


def rehearse(path):
    """Raise now, before all the work, what `atomic_write(path)` would raise then, where that can be
    told; nothing changes, but what killed writers left behind is swept away."""

    class Rehearsed(Exception):
        pass

    with contextlib.suppress(Rehearsed), atomic_write(path):
        raise Rehearsed


def expanded(arguments=None):
    """The arguments of a command line (None: of this one), with ~ as the user's folder at the
    beginning of a path: a shell leaves that of `--out=~/run` as it stands."""
    home = os.path.expanduser("~")
    arguments = sys.argv[1:] if arguments is None else arguments
    return [re.sub(r"^(--[\w-]+=)?~(?=/|$)", lambda m: (m[1] or "") + home, a) for a in arguments]


def ordinary(path):
    """The `os.stat` of an ordinary file; None if nothing of that name is there.

    Raises: OSError, for anything else that has a name. It is not opened: to open a pipe is to wait
        for its other end.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        what = next((what for is_it, what in SPECIAL.items() if is_it(found.st_mode)), None)
        raise OSError(errno.EEXIST, what or "it is no ordinary file")
    return found


def sweep(path):
    """Remove the temporary files that killed writers of `path` left beside it."""
    folder, name = os.path.split(path)
    ours = re.compile(rf"\.{re.escape(_stem(name))}\.([0-9a-f]{{8}})?[0-9a-f]{{8}}\.tmp")
    with contextlib.suppress(OSError):
        for entry in os.listdir(folder or "."):
            if found := ours.fullmatch(entry):
                with contextlib.suppress(OSError):
                    _remove_if_dead(os.path.join(folder, entry), found[1] in (HOST, None))


def lock(handle):
    """Lock an open file, without waiting, until it is closed or its process is no more.

    Returns: True; False while another holds it; None where the file system knows no locks.
    """
    try:
        if fcntl:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    except OSError as error:
        return False if error.errno in TAKEN else None
    return True


def printable(text, most=None):
    """`text` (or a path, or an error) on one line that can be printed: control characters, lone
    surrogates and what the encoding of stdout lacks are escaped, as in "\\x1b". most: characters
    of the text that are shown."""
    text = os.fsdecode(text) if isinstance(text, bytes | os.PathLike) else str(text)
    if most is not None and len(text) > most:
        text = text[: most - 3] + "..."
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return one_line(text).encode(encoding, "backslashreplace").decode(encoding)


def one_line(text):
    """`text` with control characters and lone surrogates escaped, the same on every terminal."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def _stem(name):
    """`name`, or what stands for it in a temporary name, which must not get longer than names can
    be."""
    data = os.fsencode(name)
    return name if len(data) <= 100 else hashlib.sha256(data).hexdigest()[:32]


def _new_temporary(path, before):
    """A new, locked file beside `path`, of the owner and permissions of `before` (an `os.stat`) if
    there is one: its path and its handle. Every writer has its own, so that two cannot mix."""
    folder, name = os.path.split(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        token = HOST + secrets.token_hex(4)
        temporary = os.path.join(folder, f".{_stem(name)}.{token}.tmp")
        handle = os.open(temporary, flags, 0o600 if before else 0o666)
        # Another writer may have swept it away before it was locked.
        if not fcntl or (lock(handle) is not False and os.path.lexists(temporary)):
            break
        os.close(handle)
    if before and hasattr(os, "fchown"):
        _take_permissions(handle, path, before)
    return temporary, handle


def _take_permissions(handle, path, before):
    """Give an open file the owner and the permissions of `path`, as far as this process may."""
    mode = stat.S_IMODE(before.st_mode)
    for owner in (before.st_uid, -1):
        with contextlib.suppress(OSError):
            os.fchown(handle, owner, before.st_gid)
            break
    now = os.fstat(handle)
    if now.st_gid != before.st_gid:  # another group may do no more than everybody
        mode &= ~0o070 | (mode & 0o007) << 3
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        mode &= 0o777
    with contextlib.suppress(OSError):
        os.fchmod(handle, mode)
        if hasattr(os, "getxattr"):
            acl = "system.posix_acl_access"
            os.setxattr(handle, acl, os.getxattr(path, acl))


def _remove_if_dead(temporary, here):
    """Remove a temporary file unless its writer lives. `here`: it was made on this machine; of
    others the locks tell nothing, as many network folders keep them to themselves."""
    if not fcntl:
        os.remove(temporary)  # which fails while it is open
    elif stat.S_ISREG(os.lstat(temporary).st_mode):
        handle = os.open(temporary, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            locked = lock(handle)
            old = time.time() - os.fstat(handle).st_mtime > DAY
            if (locked and here) or (locked is not False and old):
                os.remove(temporary)
        finally:
            os.close(handle)


def _sync_folder(folder):
    """Force the new name itself onto the disk, where the system can (Windows cannot)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _sentence(error, path):
    """What went wrong with `path`, and what to do about it."""
    folder, other = os.path.dirname(path), error.filename
    reason, advice = error.strerror or str(error), "choose another place"
    if isinstance(other, str) and os.path.dirname(other) != folder:  # of the block, not of ours
        reason, advice = f"{reason}: {other}", ""
    elif error.errno == errno.EEXIST:
        advice = "choose another name"
    elif error.errno == errno.ENAMETOOLONG:
        advice = "choose a shorter name"
    elif error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
        advice = "make room, or choose another disk"
    elif not os.path.isdir(folder) or not os.access(folder, os.W_OK | os.X_OK):
        advice = "choose an existing, writable folder"
    elif error.errno == errno.ENOENT:
        advice = "another program removed the unfinished file; try again"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EBUSY):
        advice = "the file there is protected or in use by another program; choose another name"
    kept = "the file there stays as it was" if os.path.isfile(path) else ""
    return "; ".join(filter(None, [f"cannot write {path} ({reason})", advice, kept]))
