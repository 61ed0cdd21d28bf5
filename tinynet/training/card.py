"""The model card: one Markdown page that says what a trained network is, from given facts alone.

After Mitchell et al., "Model Cards for Model Reporting" (arXiv 1810.03993), as far as a training
program knows the answers.
"""

import os
import platform
import re
import shlex
from urllib.parse import quote

import numpy as np

from tinynet import cores
from tinynet.files import atomic_write

PICTURES = {
    "curves.png": "Loss, accuracy and learning rate by epoch",
    "confusion.png": "Which classes are taken for which",
    "predictions.png": "Images picked at random, and what the network says",
    "worst.png": "The most certain mistakes",
    "filters.png": "Filters of the first layers",
    "film.html": "The film of the training: a page to look back, epoch by epoch",
}


def machine():
    """The facts of this machine and its software, for the key `machine` of `model_card`."""
    return {
        "CPU": _cpu_name(),
        "cores": cores.available(),
        "Python": platform.python_version(),
        "NumPy": np.__version__,
    }


def _cpu_name():
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            names = re.findall(r"^model name\s*:\s*(.+)$", file.read(), re.MULTILINE)
    except OSError:  # not Linux
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def model_card(path, facts):
    """Write the page; replaces the file in one moment. A fact that is not given is not mentioned.

    Args: facts: a dict with the keys
        title: the heading.
        origin: sentences, of the weights that the training began with, and of frozen ones.
        network, width: as for mobilenet.build. size: edge of its images, in pixels.
        classes: their names.
        accuracy: {"test": (top-1, top-5), "validation": ...}, shares from 0 to 1; None: unknown.
        test_reads: how many times the test set was read.
        data: the name of the data set. images: {"train": 45000, ...}. held_out: what validation is.
        options: {name: value}, the recipe.
        parameters, mult_adds (per image), file_size (bytes), seconds (of training),
        images_per_second.
        machine: {name: text}, as from `machine`.
        files: names of files beside the page; those that exist are linked.
        weights: the path with which mobilenet.load_network reads the network.
        command: list of the arguments that train it again, the program first.
    Raises: KeyError without a title, OSError in one sentence.
    """
    folder = os.path.dirname(os.path.abspath(path))
    parts = [f"# {_text(facts['title'])}", _what(facts), _text(facts.get("origin", ""))]
    for heading, body in (
        ("Accuracy", _accuracy(facts)),
        ("Data", _data(facts)),
        ("Pictures", _pictures(facts.get("files", ()), folder)),
        ("Recipe", _table(("option", "value"), facts.get("options", {}).items())),
        ("Cost", _table(("", ""), _cost(facts))),
        ("Intended use and limits", _limits(facts)),
        ("How to load it", _loading(facts)),
        ("How to train it again", _again(facts)),
        ("Classes", ", ".join(map(_text, facts.get("classes", ())))),
    ):
        if body:
            parts += [f"## {heading}", body]
    with atomic_write(path, "w") as file:
        file.write("\n\n".join(filter(None, parts)) + "\n")


def _what(facts):
    text = "An image classifier: MobileNetV1"
    named = [_text(facts["network"])] if "network" in facts else []
    named += [f"width {_text(facts['width'])}"] if "width" in facts else []
    text += f" ({', '.join(named)})" if named else ""
    text += f" with {len(facts['classes'])} classes" if "classes" in facts else ""
    text += ", for images of {0}x{0} pixels".format(facts["size"]) if "size" in facts else ""
    return text + ", trained with tinynet."


def _accuracy(facts):
    shares = facts.get("accuracy", {})
    rows = [
        (name, *("" if x is None else f"{100 * x:.2f} %" for x in shares[name])) for name in shares
    ]
    text = _table(("", "top-1", "top-5"), rows)
    if "test_reads" in facts:
        times = "once" if facts["test_reads"] == 1 else f"{facts['test_reads']} times"
        text += f"\n\nThe test set was read {times}."
    return text.strip()


def _data(facts):
    sentences = [f"{_text(facts['data'])}."] if "data" in facts else []
    counts = [f"{count:,} ({_text(use)})" for use, count in facts.get("images", {}).items()]
    if counts:
        sentences.append(f"Images: {', '.join(counts)}.")
    if "held_out" in facts:
        sentences.append(f"Held out of the training for validation: {_text(facts['held_out'])}.")
    return " ".join(sentences)


def _pictures(files, folder):
    parts = []
    for name in files:
        if os.path.isfile(os.path.join(folder, name)):
            picture = name.endswith(".png")
            title = _text(PICTURES.get(name, name))
            parts.append(f"{'!' if picture else ''}[{title}]({quote(os.fsencode(name))})")
    return "\n\n".join(parts)


def _cost(facts):
    for name, key, form in (
        ("parameters", "parameters", "{:,}".format),
        ("multiply-adds per image", "mult_adds", "{:,}".format),
        ("size of the file", "file_size", lambda count: f"{count / 1e6:.2f} MB"),
        ("time of training", "seconds", _duration),
        ("images per second", "images_per_second", "{:.0f}".format),
    ):
        if key in facts:
            yield name, form(facts[key])
    yield from facts.get("machine", {}).items()


def _duration(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _limits(facts):
    """Two sentences, of what is known."""
    if "classes" not in facts:
        return ""
    like = f" like those of {_text(facts['data'])}" if "data" in facts else ""
    text = (
        f"It is meant for teaching and experiments, with images{like} that show one of its "
        f"{len(facts['classes'])} classes. It names one of these for every image, whatever is on it"
    )
    wrong = facts.get("accuracy", {}).get("test", (None,))[0]
    if wrong is not None:
        text += f", and was wrong about {100 * (1 - wrong):.1f} % of the test images"
    return text + ": nothing that matters should depend on its answer."


def _loading(facts):
    if not {"weights", "size"} <= facts.keys():
        return ""
    weights, size = os.fspath(facts["weights"]), facts["size"]
    python = f"""import mobilenet
import numpy as np
import tinynet as tn
from tinynet.data import augment

model, info = mobilenet.load_network({ascii(weights)})
images = np.zeros((1, 3, {size}, {size}), np.uint8)  # red, green, blue; here a black image
x = tn.Tensor(augment.normalize(images, info["mean"], info["std"]))
with tn.no_grad():
    probabilities = tn.softmax(model(x), 1)
print(info["classes"][probabilities.argmax(1).item()])"""
    shell = f"python mobilenet.py predict photo.jpg --weights {_shell(weights)}"
    return (
        f"In the folder of tinynet's checkout:\n\n{_block(shell, '')}\n\n{_block(python, 'python')}"
    )


def _again(facts):
    return _block(" ".join(map(_shell, facts["command"])), "") if "command" in facts else ""


def _table(head, rows):
    rows = [[_text(cell) for cell in row] for row in rows]
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _text(value):
    """Text of one line that Markdown shows as it is, in a table too; what cannot be printed becomes
    its escape, such as \\n."""
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(value)).strip()
    text = re.sub(r"([\\`*{}\[\]<>#|~$&!])", r"\\\1", text)
    text = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)  # inside a word it is a letter
    return re.sub(r"^(\d*)([-+=.)]+)(?=\s|$)", r"\1\\\2", text)  # no list and no rule


def _block(text, language):
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def _shell(argument):
    """An argument as a shell reads it, in one line: with $'...' where it cannot be printed."""
    argument = str(argument)
    if argument.isprintable():
        return shlex.quote(argument)
    shown = "".join(
        chr(byte) if 32 <= byte < 127 and chr(byte) not in "'\\" else f"\\x{byte:02x}"
        for byte in os.fsencode(argument)
    )
    return f"$'{shown}'"
