"""A model, not a measurement: the time of a training step on more cores and GPUs than are at hand.

A step is computing and then exchanging, without the overlap that `parallel.backward` has.

- Cores of one machine compute side by side; each needs as long as one core did when it was measured
  alone, until together they ask for more bytes per second than the memory gives.
- Their all-reduce moves bytes through that memory as `tinynet/parallel/processes.py` does, and each
  piece costs what an all-reduce of one number was measured to cost, times n over the measured
  number of workers: every worker looks at the counters of all.
- A GPU computes as fast as the nearer of its two limits, arithmetic and memory (the roofline of
  Williams, Waterman, Patterson, CACM 52, 2009). A real one is slower: there exchange weighs less.
- GPUs reduce in rings (Patarasuk, Yuan, J. Parallel Distrib. Comput. 69, 2009): one inside each
  machine, then between machines one for each GPU's part, or there, where it is sooner, in two trees
  (Sanders, Speck, Traff, Parallel Computing 35, 2009), as NCCL does with little data.
"""

import math
from dataclasses import dataclass

from tinynet.parallel.processes import DIVIDED, LARGEST, PIECE, SLOTS

CORES = (1, 2, 4, 8, 16, 32, 64)
GPUS = (1, 8, 16, 32, 64, 128, 256, 512)


@dataclass(frozen=True)
class Work:
    """What a row's step costs. overhead: seconds of a step whatever the batch; image: seconds per
    image on one core; traffic, flops: bytes moved and floating operations per image; messages:
    bytes of each all-reduce of a step."""

    overhead: float
    image: float
    traffic: float
    flops: float
    messages: tuple


@dataclass(frozen=True)
class Machine:
    """Bytes per second that one core copies, and each of several at once; of a whole socket; the
    seconds of an all-reduce of one number, and by how many workers that was measured."""

    one_core: float
    each_core: float
    socket: float
    sum_seconds: float
    sum_workers: int = 2

    def rate(self, n):
        return min(self.one_core if n == 1 else n * self.each_core, self.socket)


@dataclass(frozen=True)
class Cluster:
    """Machines of 8 GPUs. Defaults: NVIDIA's data sheet of the H100 SXM (67 TFLOP/s in float32,
    3.35 TB/s; NVLink 4 900 GB/s, half of it in each direction) and of the DGX H100 (one InfiniBand
    NDR adapter of 400 Gb/s per GPU); seconds per step of a ring and of a tree from NCCL's table
    `hwLat` in src/graph/tuning.cc (LL128)."""

    flops: float = 67e12
    memory: float = 3.35e12
    per_machine: int = 8
    inside: float = 450e9
    inside_latency: float = 1.9e-6
    between: float = 50e9
    between_latency: float = 4.0e-6
    tree_latency: float = 8.5e-6


def ring(n, size, rate, latency):
    """Seconds for n members to reduce `size` bytes over links of `rate` bytes per second."""
    return 2 * (n - 1) / n * size / rate + 2 * (n - 1) * latency


def tree(n, size, rate, latency):
    """Seconds for the same by two trees, each of which takes half of the bytes up and down."""
    return 2 * size / rate + 2 * math.ceil(math.log2(n)) * latency if n > 1 else 0.0


def gpus_all_reduce(n, size, cluster):
    """Seconds: a ring inside each machine; then each GPU's part goes between machines."""
    inside = min(n, cluster.per_machine)
    first = ring(inside, size, cluster.inside, cluster.inside_latency)
    machines, part = math.ceil(n / inside), size / inside
    return first + min(
        ring(machines, part, cluster.between, cluster.between_latency),
        tree(machines, part, cluster.between, cluster.tree_latency),
    )


def cores_all_reduce(n, size, machine):
    """Seconds for n workers of one machine: bytes through memory, and a wait for each piece."""
    if n == 1:
        return 0.0
    slot = min(PIECE, LARGEST // (n * SLOTS))
    # each worker reads its array and writes its slot; then it reads all slots and writes the sum,
    # or reads its part of all and writes that into a slot, and copies the whole out of there
    divided = n > 3 and size >= DIVIDED
    moved = 2 * size + (size + size / n + 2 * size if divided else (n + 1) * size)
    wait = machine.sum_seconds * n / machine.sum_workers
    return n * moved / machine.rate(n) + math.ceil(size / slot) * wait


def cores_step(work, images, n, machine):
    """(seconds of computing, seconds of exchange) of n workers with so many images each."""
    wanted = min(work.traffic / work.image, machine.one_core)  # bytes per second of one core
    slower = max(1.0, n * wanted / machine.rate(n))
    exchange = sum(cores_all_reduce(n, size, machine) for size in work.messages)
    return work.overhead + images * work.image * slower, exchange


def gpus_step(work, images, n, cluster):
    """The same for GPUs. Python is taken to queue a step sooner than the GPU needs it."""
    image = max(work.flops / cluster.flops, work.traffic / cluster.memory)
    return images * image, sum(gpus_all_reduce(n, size, cluster) for size in work.messages)


def curve(work, images, step, place, numbers):
    """n -> {"ms", "exchange" (share of the step), "speed_up", "efficiency"} for n of `numbers`.

    images: n -> images of each worker. step: `cores_step` with a Machine for its place, or
    `gpus_step` with a Cluster. Speed-up is in images per second over those of one.
    """
    alone, found = images(1) / sum(step(work, images(1), 1, place)), {}
    for n in numbers:
        computing, exchange = step(work, images(n), n, place)
        seconds = computing + exchange
        speed_up = n * images(n) / seconds / alone
        found[n] = {"ms": 1000 * seconds, "exchange": exchange / seconds}
        found[n] |= {"speed_up": speed_up, "efficiency": speed_up / n}
    return found
