"""Files that are either whole or not there."""

import contextlib
import os
import re
import secrets


@contextlib.contextmanager
def atomic_write(path, mode="wb"):
    """`with atomic_write(path) as file:` writes a file that appears under `path` in one moment.

    The data goes to a temporary file in the same folder, is forced onto the disk and only then
    takes the name. Until then, and whatever goes wrong, an earlier file of that name stays as it
    was. What a killed process left behind, the next call for the same path sweeps away.

    Args: mode: "wb", or "w" for UTF-8 text whose line ends are written as they are.
    Raises: OSError in one sentence that names the file.
    """
    path = os.path.realpath(path)  # through a link, to the file that it stands for
    folder, name = os.path.split(path)
    # Each writer has its own temporary file: two that write the same path at a time cannot mix.
    temporary = os.path.join(folder, f".{name}.{secrets.token_hex(4)}.tmp")
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    try:
        if os.path.isdir(path):  # now, not when all has been worked out
            raise IsADirectoryError(0, "it is a folder")
        _sweep(folder, name)
        try:
            with open(temporary, mode.replace("w", "x"), **text) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.remove(temporary)
            raise
        _sync_folder(folder)
    except OSError as error:
        raise OSError(
            f"cannot write {path} ({error.strerror or error}); choose an existing, writable folder "
            f"with free space; an earlier file of that name is untouched"
        ) from error


def _sweep(folder, name):
    """Remove the temporary files that killed writers of `name` left in `folder`."""
    left_behind = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{8}}\.tmp")
    with contextlib.suppress(OSError):
        for entry in os.listdir(folder):
            if left_behind.fullmatch(entry):
                os.remove(os.path.join(folder, entry))


def _sync_folder(folder):
    """Force the new name itself onto the disk, where the system can (Windows cannot)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
