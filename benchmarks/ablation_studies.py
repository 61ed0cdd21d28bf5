"""The studies of `benchmarks.ablations`: which networks they train, what the paper found,
what their rows come to, and the times."""

import os
import statistics
from dataclasses import asdict
from typing import NamedTuple

from benchmarks import results, tinynet_worker
from benchmarks.rows import Row
from benchmarks.turns import take_turns
from tinynet import cores
from tinynet.training.console import tell, warn


class Network(NamedTuple):
    """What is trained; width: as a multiple of the base width."""

    network: str = "cifar-4x4"
    width: float = 1.0
    resolution: int = 32
    depthwise_decay: bool = False  # weight decay on depthwise filters as on the others

    @property
    def shape(self):
        """What decides how much there is to compute."""
        return self[:3]


class Study(NamedTuple):
    """source: in the paper. rows: (label, which of NETWORKS, the paper's figures: top-1 % and
    millions of multiply-adds on ImageNet, or None). series: the rows are steps of one quantity."""

    title: str
    source: str
    rows: tuple
    series: bool = False

    @property
    def networks(self):
        return [which for _, which, _ in self.rows]


NETWORKS = {
    "base": Network(),
    "full": Network(network="cifar-4x4-full-convolution"),
    "shallow": Network(network="cifar-4x4-shallow"),
    "width-0.75": Network(width=0.75),
    "0.5": Network(width=0.5),
    "0.25": Network(width=0.25),
    **{str(size): Network(resolution=size) for size in (28, 24, 20)},  # there 192, 160, 128 of 224
    "depthwise": Network(depthwise_decay=True),
}
WHOLE, THREE_QUARTERS = (70.6, 569), (68.4, 325)  # the paper's width 1 and 0.75 at 224x224
STUDIES = {
    "convolution": Study(
        "Full or separable convolutions",
        "Table 4",
        (("full", "full", (71.7, 4866)), ("separable", "base", WHOLE)),
    ),
    "shape": Study(
        "Narrow or shallow",
        "Table 5",
        (("narrow (0.75)", "width-0.75", THREE_QUARTERS), ("shallow", "shallow", (65.3, 307))),
    ),
    "width": Study(
        "Width: 1, 0.75, 0.5, 0.25 of the channels",
        "Table 6",
        (
            *(("1", "base", WHOLE), ("0.75", "width-0.75", THREE_QUARTERS)),
            *(("0.5", "0.5", (63.7, 149)), ("0.25", "0.25", (50.6, 41))),
        ),
        series=True,
    ),
    "resolution": Study(
        "Resolution: 32, 28, 24, 20 pixels",
        "Table 7",
        (
            *(("32", "base", WHOLE), ("28", "28", (69.1, 418))),
            *(("24", "24", (67.2, 290)), ("20", "20", (64.4, 186))),
        ),
        series=True,
    ),
    "decay": Study(
        "Weight decay on depthwise filters",
        "section 3.2, which has no figures",
        (("without", "base", None), ("with", "depthwise", None)),
    ),
}

BATCH = 128
KINDS = {  # what is timed: (images, whether it is a training step)
    "forward, batch 1": (1, False),
    f"forward, batch {BATCH}": (BATCH, False),
    f"training step, batch {BATCH}": (BATCH, True),
}


def networks_of(studies):
    """Which of NETWORKS the studies need, each once."""
    return [which for which in NETWORKS if any(which in STUDIES[s].networks for s in studies)]


def rows_of(study, found):
    """What the rows of a study come to, as dicts ready for JSON; found: what results.json holds.

    Accuracies are those of the last epoch, as [mean, standard deviation] over the seeds in percent:
    the deviation has n - 1 in it, and is None for one seed. What is not known is None.
    """
    rows = []
    for label, which, paper in study.rows:
        runs = [run for run in found["runs"].values() if run["network"] == which]
        times = found["times"] and found["times"]["networks"][which]
        rows.append(
            {
                "label": label,
                "network": which,
                "seeds": sorted(run["seed"] for run in runs),
                "val_accuracy": _over_seeds(run["val_accuracy"] for run in runs),
                "test_accuracy": _over_seeds(run["test_accuracy"] for run in runs),
                "mult_adds": runs[0]["mult_adds"] if runs else None,
                "parameters": runs[0]["parameters"] if runs else None,
                "ms": times and {kind: times[kind]["ms_per_image"] for kind in KINDS},
                "paper": paper and {"top1": paper[0], "mult_adds": 1e6 * paper[1]},
            }
        )
    return rows


def _over_seeds(shares):
    percents = [100 * share for share in shares]
    if not percents:
        return None
    spread = statistics.stdev(percents) if len(percents) > 1 else None
    return [statistics.mean(percents), spread]


class Timed(tinynet_worker.Network):
    """A network that `take_turns` times, in this process."""

    def ask(self, do, **arguments):
        return getattr(self, do)(**arguments)


def measure(width, classes, effort):
    """The milliseconds per image of each kind of step, the networks taking turns: a dict ready for
    JSON. Of networks that differ in their training only, one is timed."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    if load is not None and load > 0.5:
        warn(f"other programs are at work (load {load:.1f}); measure on a machine that is idle")
    timed = {network.shape: Timed() for network in NETWORKS.values()}
    found = {which: {} for which in NETWORKS}
    for kind, (batch, is_training) in KINDS.items():
        tell(f"measuring: {kind}")
        for shape, worker in timed.items():
            name, share, resolution = shape
            one = Row("", name, share * width, resolution, batch, classes, is_training, 0, 0)
            worker.start(asdict(one))
        seconds = take_turns(timed, effort)
        for which, network in NETWORKS.items():
            ms = results.describe(seconds[network.shape])["median_ms"] / batch
            found[which][kind] = {"ms_per_image": ms, "seconds": seconds[network.shape]}
    return {
        "measured": results.now(),
        "machine": results.machine(),
        "load": load,
        "threads": cores.blas_threads(),
        "effort": asdict(effort),
        "classes": classes,
        "networks": found,
    }
