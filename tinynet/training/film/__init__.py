"""The film of a training: a snapshot of the network after every epoch, and a page to look back.

The snapshots are film.npz in the folder of the run; film.html shows them, offline. Each is made
of the network as the epoch left it and of the same few validation images, so that it can be taken
whenever that network is there, also after a resume, and changes nothing of what is learnt.
"""

import base64
import dataclasses
import html
import math
from pathlib import Path

import numpy as np

import tinynet as tn
from tinynet import nn, parallel
from tinynet.files import atomic_write
from tinynet.nn import functional as F
from tinynet.pages import DOM, as_json, filled
from tinynet.training import checkpoint, finetune
from tinynet.training.console import warn

FORMAT = "tinynet film"
PARTS = Path(__file__).parent
SCRIPTS = "charts.js", "pictures.js", "film.js"
SEEN, SHOWN = 64, 9  # validation images: for the gradients, and on the page with what is said
BEST = 3  # classes that are said of an image
FILTERS = 64  # of a layer, at most
EDGE = 64  # pixels of a shown image
LIMIT = 4_800_000  # bytes of the page
CURVES = "epoch", "lr", "train_loss", "val_loss", "train_accuracy", "val_accuracy"
QUANTILES = 0, 0.25, 0.5, 0.75, 1


class Film:
    """The snapshots of one run, in worker 0. `frames`: {name: list of arrays, one per snapshot}."""

    def __init__(self, run):
        chosen = np.random.default_rng(0).permutation(len(run.val_set))[:SEEN]
        images, labels = run.val_set.images[chosen], run.val_set.labels[chosen]
        self.set = dataclasses.replace(run.val_set, images=images, labels=labels)
        modules = list(run.model.named_modules())
        self.layers = [n for n, m in modules if isinstance(m, nn.Conv2d | nn.Linear)]
        self.norms = [n for n, m in modules if isinstance(m, nn.BatchNorm2d)]
        self.frames = {}

    def start(self, path, run):
        """Take up the snapshots that a resumed run has at `path`, as far as it goes on from them,
        and have one of the network as it is now."""
        if run.options.resume and path.exists():
            try:
                self.frames = self._read(path, run.epochs_done)
            except (ValueError, KeyError, TypeError) as error:
                warn(f"{path.name} cannot be used ({error}); the film starts anew here")
        self.take(run)

    def _read(self, path, epochs_done):
        tree = checkpoint.load(path)
        if not isinstance(tree, dict) or tree.get("format") != FORMAT:
            raise ValueError("it is something else")
        if (tree["layers"], tree["norms"]) != (self.layers, self.norms):
            raise ValueError("it shows another network")
        epochs = tree["frames"]["epoch"]
        return {
            name: [part for part, epoch in zip(array, epochs, strict=True) if epoch <= epochs_done]
            for name, array in tree["frames"].items()
        }

    def take(self, run):
        """A snapshot of the network, unless there is one or the run is within an epoch."""
        if run.progress.batches or run.epochs_done in self.frames.get("epoch", ()):
            return
        with parallel.use(parallel.Group()):  # the other workers are not asked
            frame = self._snapshot(run)
        for name, value in {"epoch": run.epochs_done, **frame}.items():
            self.frames.setdefault(name, []).append(np.asarray(value))

    def _snapshot(self, run):
        modules = dict(run.model.named_modules())
        weights = {name: modules[name].weight for name in self.layers}
        ((x, labels),) = run.loader(self.set, SEEN, prefetch=False)
        x, y = tn.Tensor(x).to(run.options.device), tn.Tensor(labels).to(run.options.device)
        run.result.eval()
        with tn.no_grad():
            shares = F.softmax(run.result(x), dim=1).numpy()[:SHOWN]
        best = np.argsort(-shares, axis=1, kind="stable")[:, :BEST]
        gradients = _gradients(run, x, y, weights)
        bank = [weights[name].numpy() for name in self.layers[:2] if weights[name].ndim == 4]
        bank = [w[:FILTERS] for i, w in enumerate(bank) if w.shape[1] == (3, 1)[i]]
        peaks = [abs(w).max(axis=(1, 2, 3)) for w in bank]
        return {
            **{f"filters{i}": _as_bytes(w, peaks[i]) for i, w in enumerate(bank)},
            **{f"peaks{i}": peak.astype(np.float32) for i, peak in enumerate(peaks)},
            "gradients": np.float32(gradients),
            "weights": np.float32([_rms(w.numpy()) for w in weights.values()]),
            "norms": np.float32([_statistics(modules[name]) for name in self.norms]),
            "best": best.astype(np.int32),
            "shares": np.take_along_axis(shares, best, axis=1).astype(np.float32),
        }

    def save(self, path, run):
        """Write film.npz, with a snapshot of this epoch."""
        self.take(run)
        frames = {name: np.stack(parts) for name, parts in self.frames.items()}
        tree = {"format": FORMAT, "layers": self.layers, "norms": self.norms, "frames": frames}
        checkpoint.save(path, tree)

    def write_page(self, path, run):
        """Write film.html; of a long training it has every second epoch, or fewer."""
        for step in range(1, 1 + len(self.frames["epoch"])):
            text = _page(self, run, step)
            if len(text) < LIMIT:
                break
        with atomic_write(path, "w") as file:
            file.write(text)


def _gradients(run, x, y, weights):
    """RMS of the loss's gradient with respect to each weight, in training mode; the statistics
    that this moves are put back."""
    model = finetune.train(run.model)
    before = [(buffer, buffer.clone()) for buffer in model.buffers()]
    run.optimizer.zero_grad()
    try:
        run.criterion(model(x), y).backward()
        return [0.0 if w.grad is None else _rms(w.grad.numpy()) for w in weights.values()]
    finally:
        run.optimizer.zero_grad()
        for buffer, value in before:
            buffer.copy_(value)
        model.eval()


def _rms(array):
    return math.sqrt(np.mean(np.square(array, dtype=np.float64)))


def _as_bytes(weight, peaks):
    """Filters as bytes, each scaled to its own largest weight: 128 is 0."""
    peaks = np.where(peaks > 0, peaks, 1).reshape(-1, 1, 1, 1)
    return np.round(128 + 127 * weight / peaks).astype(np.uint8)


def _statistics(norm):
    """Quantiles over the channels of the running mean, the running deviation, and the weight."""
    mean, var = norm.running_mean.numpy(), norm.running_var.numpy()
    weight = np.ones_like(mean) if norm.weight is None else norm.weight.numpy()
    return [np.quantile(values, QUANTILES) for values in (mean, np.sqrt(var), weight)]


def _page(film, run, step):
    options = run.options
    title = f"The training of {options.network}, width {options.width:g}, epoch by epoch"
    names, last = film.set.class_names, len(film.frames["epoch"]) - 1
    chosen = [i for i in range(last + 1) if i % step == 0 or i == last]
    images = _reduced(film.set.images[:SHOWN])
    data = {
        "title": title,
        "epochs": options.epochs,
        "step": step,
        "curves": [[_number(row.get(name)) for name in CURVES] for row in run.history.rows],
        "layers": film.layers,
        "norms": film.norms,
        "filters": [
            {"layer": film.layers[i], "shape": film.frames[f"filters{i}"][0].shape}
            for i in (0, 1)
            if f"filters{i}" in film.frames
        ],
        "images": {"size": images.shape[1:3], "pixels": [_base64(image) for image in images]},
        "labels": [names[label] for label in film.set.labels[:SHOWN]],
        "frames": [_frame({n: parts[i] for n, parts in film.frames.items()}) for i in chosen],
    }
    said = {label for i in chosen for label in film.frames["best"][i].flat}
    data["names"] = {int(label): names[label] for label in said}
    return filled(
        (PARTS / "film.html").read_text("utf-8"),
        title=html.escape(title),
        style=(PARTS / "film.css").read_text("utf-8"),
        script=DOM + "".join((PARTS / name).read_text("utf-8") for name in SCRIPTS),
        data=as_json(data),
    )


def _frame(arrays):
    """One snapshot as JSON has it: bytes in base64, other numbers in four digits."""
    return {
        name: _base64(array) if array.dtype == np.uint8 else _number(array.tolist())
        for name, array in arrays.items()
    }


def _number(value):
    if isinstance(value, list):
        return [_number(part) for part in value]
    if not isinstance(value, float):
        return value
    return float(f"{value:.4g}") if math.isfinite(value) else None


def _base64(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def _reduced(images):
    """Bytes (N, H, W, 3), of large images every second pixel or fewer."""
    step = -(-max(images.shape[2:]) // EDGE)
    return np.moveaxis(images[:, :, ::step, ::step], 1, -1)
