"""What a network says about images of one's own, as text for a terminal."""

import locale
import os
import shutil
import sys
import unicodedata

import numpy as np

from tinynet.autograd import Tensor, no_grad
from tinynet.data import augment, folder
from tinynet.data.dataset import DataError
from tinynet.files import printable
from tinynet.nn import functional as F

TOP = 5
LONGEST_BAR = 40  # columns
EIGHTHS = " ▏▎▍▌▋▊▉█"


def show(model, info, paths, device="cpu"):
    """Print the five most probable classes of each image file; returns whether all could be read.

    What cannot be read is named on stderr, and the others are shown.

    Args: model, info: as mobilenet.load_network returns them. paths: image files, or .npy files of
    arrays (H, W, 3) in uint8.
    """
    model.to(device)
    accuracy, shown = info["card"].get("test_accuracy"), 0
    if isinstance(accuracy, float) and 0 <= accuracy <= 1:
        _write(
            f"{len(info['classes'])} classes; {100 * accuracy:.1f} % of the test images were right"
        )
    for path in paths:
        try:
            pixels = read(path, info["size"], **info.get("images", {}))
            shares = probabilities(model, info, pixels[None], device)[0]
            if not np.isfinite(shares).all():
                raise DataError(f"{path}: the network's numbers overflow; its file is damaged")
        except DataError as error:
            print(end="", flush=True)  # what was said before, if there is a stdout
            print(printable(error, 1000), file=sys.stderr, flush=True)
            continue
        best = np.argsort(-shares, kind="stable")[:TOP]
        width = shutil.get_terminal_size().columns
        rows = [(_line(info["classes"][i]), float(shares[i])) for i in best]
        _write("\n".join(["", _line(path), *bars(rows, width, has_blocks(sys.stdout))]))
        shown += 1
    return shown == len(paths)


def probabilities(model, info, images, device="cpu"):
    """images: uint8 (N, 3, H, W) -> NumPy array (N, C), rows that sum to 1."""
    with no_grad(), np.errstate(all="ignore"):
        x = Tensor(augment.normalize(images, info["mean"], info["std"])).to(device)
        return F.softmax(model(x), 1).to("cpu").numpy()


def read(path, size, **how):
    """The middle of an image as uint8 (3, size, size), cut out as by `data.folder.image`, which
    says what else there is in `how`. In a .npy file the image is an array (H, W, 3) in uint8.

    Raises: DataError in one sentence.
    """
    if not os.fspath(path).endswith(".npy"):
        return folder.image(path, size, **how)
    try:
        if not os.path.isfile(path):  # a named pipe would keep us waiting
            raise ValueError("it is no file")
        array = np.load(path, allow_pickle=False)
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
            raise ValueError(f"expected a uint8 array (H, W, 3), got {array.dtype} {array.shape}")
    except Exception as error:  # NumPy has several for a broken file
        reason = printable(error, 200) or type(error).__name__
        raise DataError(f"{path} cannot be read as an image ({reason})") from error
    return folder.square(array, size, **how)


def bars(rows, width, blocks=True):
    """Lines of name, percent and bar, no longer than `width` columns, or than 24.

    Args: rows: [(name, share from 0 to 1), ...]. blocks: bars of Unicode's blocks, not of '#'.
    """
    longest = max(8, width - 24)  # columns for the names, which leave 10 to the bars
    names = [_cut(name, longest) for name, _ in rows]
    widest = max(map(_columns, names))
    room = max(1, min(LONGEST_BAR, width - widest - 14))
    lines = []
    for name, (_, share) in zip(names, rows, strict=True):
        pad = " " * (widest - _columns(name))
        if blocks:
            whole, part = divmod(round(8 * room * share), 8)
            bar = "█" * whole + (EIGHTHS[part] if part else "")
        else:
            bar = "#" * round(room * share)
        lines.append(f"  {pad}{name}  {100 * share:5.1f} %  {bar}".rstrip())
    return lines


def has_blocks(out):
    """Whether block characters can be written to `out` and, as far as one can tell, be seen."""
    try:
        EIGHTHS.encode(getattr(out, "encoding", None) or "ascii")
    except (UnicodeError, LookupError):
        return False
    # In the C locale Python writes UTF-8 (PEP 540), which need not be what the terminal reads.
    if hasattr(locale, "nl_langinfo"):
        return "utf" in locale.nl_langinfo(locale.CODESET).lower()
    return True


def _cut(text, columns):
    if _columns(text) <= columns:
        return text
    while _columns(text) > columns - 3:
        text = text[:-1]
    return text + "..."


def _columns(text):
    """How many columns of a terminal `text` takes: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _line(value):
    """Text that moves no cursor: what cannot be printed is replaced."""
    return "".join(c if c.isprintable() else "\ufffd" for c in str(value))


def _write(text):
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), flush=True)
