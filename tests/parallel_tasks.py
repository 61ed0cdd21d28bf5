"""What the tests of `tinynet.parallel` run in workers. Processes import these functions from here;
`in_threads` gives the same engine threads for workers, which start in no time."""

import contextlib
import functools
import hashlib
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import numpy as np

import tinynet as tn
from tinynet import nn, parallel
from tinynet.parallel import processes

SMALL = {"PIECE": 1 << 10, "LARGEST": 1 << 15, "DIVIDED": 1 << 6}  # a ring is 8 KB or less


class _GroupOfThread(threading.local):
    """In place of the list of groups: each thread has its own."""

    group = parallel.Group()

    def __getitem__(self, _):
        return self.group


def in_threads(size, function, *arguments, patience=60):
    """What `function(*arguments)` returned in each of `size` threads; in each of them
    `parallel.current()` is a group of its own. The first error of a thread is raised here."""
    memory = types.SimpleNamespace(
        buf=memoryview(bytearray(processes.size_of_memory(size))), close=lambda: None
    )
    groups = _GroupOfThread()

    def work(rank):
        if size > 1:
            groups.group = processes.Processes(memory, rank, size, patience)
        with np.errstate(all="raise", under="ignore"):
            return function(*arguments)

    with mock.patch("tinynet.parallel.group._groups", groups), ThreadPoolExecutor(size) as pool:
        futures = [pool.submit(work, rank) for rank in range(size)]
        done = [(future.exception(), future) for future in futures]
    for error, _ in done:
        if error is not None:
            raise error
    return [future.result() for _, future in done]


def small_rings():
    stack = contextlib.ExitStack()
    for name, value in SMALL.items():
        stack.enter_context(mock.patch.object(processes, name, value))
    return stack


# programs of calls, drawn at random: the steps from `seed`, the values from `seed` and the rank

LAYOUTS = (
    lambda a: a,
    lambda a: a.T,
    lambda a: a[::2],
    lambda a: a[..., ::-1],
    lambda a: np.asfortranarray(a),
)


def program(seed, rank, size, largest=3000, length=40):
    """A list of steps: ("reduce" or "begin", arrays), ("finish", which), ("broadcast", root, value)
    and ("barrier",)."""
    rng, own = np.random.default_rng(seed), np.random.default_rng((seed, rank))
    steps, pending = [], 0
    for _ in range(length):
        kind = rng.choice(["reduce", "begin", "begin", "finish", "broadcast", "barrier"])
        if kind in ("reduce", "begin"):
            arrays = [one_array(rng, own, largest) for _ in range(rng.integers(0, 12))]
            pending += kind == "begin"
            steps.append((kind, arrays))
        elif kind == "finish" and pending:
            steps.append((kind, int(rng.integers(pending))))
            pending -= 1
        elif kind == "broadcast":
            value = {"rank": rank, "data": one_array(rng, own, largest), "none": None}
            steps.append((kind, int(rng.integers(size)), value))
        elif kind == "barrier":
            steps.append((kind,))
    return steps + [("finish", 0)] * pending


def one_array(rng, own, largest):
    dtype = rng.choice(["float32", "float64", "int64"])
    shape = tuple(rng.integers(0, 6, rng.integers(0, 4)))
    if rng.random() < 0.2:
        shape = (int(rng.integers(1, largest)),)
    layout = LAYOUTS[rng.integers(len(LAYOUTS))] if shape else LAYOUTS[0]
    if dtype == "int64":
        values = own.integers(-(2**62), 2**62, shape)
    else:  # of many magnitudes, so that the order of the terms tells in the last bits
        values = own.standard_normal(shape) * 10.0 ** own.integers(-6, 7, shape)
    return layout(np.asarray(values, dtype))


def perform(steps):
    """Run a program in this worker; returns all arrays and broadcast values."""
    results, pending = [], []
    for kind, *details in steps:
        if kind == "reduce":
            parallel.all_reduce(*details[0])
            results += details[0]
        elif kind == "begin":
            pending.append(parallel.current().begin(*details[0]))
            results += details[0]
        elif kind == "finish":
            pending.pop(details[0])()
        elif kind == "broadcast":
            root, value = details
            got = parallel.broadcast(value, root)
            assert got["none"] is None
            results += [np.array(got["rank"]), got["data"]]
        else:
            parallel.barrier()
    return results


def expected(programs):
    """The same by NumPy alone, from the programs of all ranks."""
    results = []
    for steps in zip(*programs, strict=True):
        kind = steps[0][0]
        if kind in ("reduce", "begin"):
            for terms in zip(*(step[1] for step in steps), strict=True):
                results.append(functools.reduce(np.add, [np.array(term) for term in terms]))
        elif kind == "broadcast":
            value = steps[steps[0][1]][2]
            results += [np.array(value["rank"]), value["data"]]
    return results


def digest(arrays):
    """Of dtypes, shapes and bits."""
    text = hashlib.sha256()
    for a in arrays:
        text.update(f"{a.dtype}{a.shape}".encode() + np.ascontiguousarray(a).tobytes())
    return text.hexdigest()


def digests_of_programs(options):
    """Run in processes: for each worker, the digest of its results."""
    rank, size = parallel.rank, parallel.size
    with np.errstate(over="ignore"):
        steps = [program(seed, rank, size, *how) for seed, *how in options]
        own = digest([a for part in steps for a in perform(part)])
    return [parallel.broadcast(own, root) for root in range(size)]


# a small network and its training


def small_model(norm=nn.SyncBatchNorm, seed=1, dtype=np.float64):
    """(N, 3, 8, 8) -> (N, 4): a convolution, a separable one, and one layer more."""
    tn.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False),
        norm(6),
        nn.ReLU6(),
        nn.Conv2d(6, 6, 3, stride=2, padding=1, groups=6, bias=False),
        norm(6, momentum=None),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(6 * 16, 4),
    ).to(dtype)


def batches(count, size, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        labels = rng.integers(0, 4, size)
        images = rng.normal(0, 1, (size, 3, 8, 8)) + labels[:, None, None, None] * 0.3
        yield images.astype(dtype), labels


def train_small(model, data, lr=0.05, overlapping=True, steps=None):
    """Steps of SGD with this worker's shares of the batches; returns its losses and the state."""
    optimizer = tn.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    model.train()
    losses = []
    for x, y in data:
        share = parallel.share_of(len(y))
        weight = parallel.weight_of(len(y[share]))
        optimizer.zero_grad()
        loss = criterion(model(tn.Tensor(x[share])), tn.Tensor(y[share]))
        if overlapping:
            parallel.backward(loss, model, weight)
        else:
            (loss * weight).backward()
            parallel.average_gradients(model)
        optimizer.step()
        losses.append(loss.item() * weight / parallel.size if len(y[share]) else 0.0)
    total = np.array(losses)
    parallel.all_reduce(total)
    return total, {name: np.array(t.array) for name, t in model.state_dict().items()}


def train_in_processes(count, size):
    """Run in processes: losses, state of worker 0, and the digests of all workers' states."""
    losses, state = train_small(small_model(), batches(count, size))
    own = digest(state.values())
    return losses, state, [parallel.broadcast(own, root) for root in range(parallel.size)]
