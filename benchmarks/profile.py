"""Where the time of our step goes, op by op.

An op's time begins when the op before it is over: the Python that leads to an op counts as its own.
Forward, `observe` tells of each op; backward, the walk is a generator of one step per op.
"""

import contextlib
import functools
import statistics
import time

from tinynet.autograd import backprop, no_grad
from tinynet.autograd.tape import observe
from tinynet.summary import align

FORWARD, BACKWARD, OPTIMIZER = "forward", "backward", "optimizer"
PRODUCTS = ("Conv2d", "Linear")  # ops that are matrix products


def profile(network, count):
    """Take apart `count` steps of a worker's network, which should be warm.

    Returns {"step_ms": median of the whole step, "entries": [...]}, in the order of a step; an
    entry has layer, op, direction, shape (of the op's result), the median ms, flops (None but for
    matrix products) and bytes (of the arrays that go in and come out, saved ones not counted).
    """
    taken = [_step(network) for _ in range(count)]
    entries = [
        {**same[0], "ms": statistics.median(entry["ms"] for entry in same)}
        for same in zip(*(entries for _, entries in taken), strict=True)
    ]
    step_ms = statistics.median(1000 * seconds for seconds, _ in taken)
    return {"step_ms": step_ms, "entries": entries}


class Stopwatch:
    """Entries of a step's ops, each with the seconds since the one before."""

    def __init__(self):
        self.entries, self.of_op, self.nameless = [], {}, []
        self.begun = self.since = time.perf_counter()

    def add(self, op, layer, direction, shape, flops, size):
        now = time.perf_counter()
        shape = "x".join(map(str, shape))
        entry = {"layer": layer, "op": op, "direction": direction, "shape": shape}
        entry |= {"ms": 1000 * (now - self.since), "flops": flops, "bytes": size}
        self.entries.append(entry)
        self.since = time.perf_counter()
        return entry

    def forward(self, op, inputs, options, output):
        """What `observe` calls."""
        y, flops = output.array, None
        if op.name in PRODUCTS:  # each number of y is a product with one row of the weights
            flops = 2 * y.size * inputs[1].array[0].size
        size = y.nbytes + sum(x.array.nbytes for x in inputs)
        entry = self.add(op.name, "", FORWARD, y.shape, flops, size)
        self.nameless.append(entry)
        self.of_op[id(op)] = entry

    def backward(self, op, gy, gxs):
        forward = self.of_op[id(op)]
        # each of the two gradients costs as much as the product itself
        flops = forward["flops"] and forward["flops"] * sum(op.needs[:2])
        size = sum(array.nbytes for array in (gy, *gxs) if array is not None)
        self.add(op.name, forward["layer"], BACKWARD, gy.shape, flops, size)

    @contextlib.contextmanager
    def watching(self, roots):
        """Time ops inside the block. roots: prefix -> module; an op belongs to the innermost
        module whose forward it ran in."""
        with contextlib.ExitStack() as stack:
            for prefix, root in roots.items():
                for name, module in root.named_modules():
                    full = ".".join(filter(None, (prefix, name))) or type(root).__name__
                    hook = functools.partial(self.name_ops, full)
                    stack.callback(module.register_forward_hook(hook).remove)
            stack.enter_context(observe(self.forward))
            self.begun = self.since = time.perf_counter()
            yield

    def name_ops(self, name, module, args, output):
        for entry in self.nameless:
            entry["layer"] = name
        self.nameless.clear()


def _step(network):
    """(seconds of a step, its entries)"""
    watch = Stopwatch()
    if not network.model.training:
        with no_grad(), watch.watching({"": network.model}):
            network.model(network.x)
            return time.perf_counter() - watch.begun, watch.entries
    with watch.watching({"": network.model, "loss": network.criterion}):
        network.optimizer.zero_grad()
        watch.since = time.perf_counter()
        loss = network.criterion(network.model(network.x), network.labels)
        for op, gy, gxs in backprop(loss):
            watch.backward(op, gy, gxs)
            del op, gy, gxs  # arrays that the walk would otherwise have to keep
        network.optimizer.step()
        size = sum(p.array.nbytes for p in network.model.parameters())
        watch.add(type(network.optimizer).__name__, "", OPTIMIZER, (), None, size)
        return watch.since - watch.begun, watch.entries


def by_op(taken):
    """[(op and direction, ms, share of the step)], the most expensive first; the last is the rest:
    `zero_grad`, and what Python does after the last op."""
    totals = {}
    for entry in taken["entries"]:
        name = f"{entry['op']} {entry['direction']}".replace(f" {OPTIMIZER}", "")
        totals[name] = totals.get(name, 0.0) + entry["ms"]
    dearest = sorted(totals.items(), key=lambda item: -item[1])
    rest = taken["step_ms"] - sum(totals.values())
    return [(name, ms, ms / taken["step_ms"]) for name, ms in (*dearest, ("the rest", rest))]


def table(taken):
    """Every op of a step as text, and the sums by op."""
    lines = [("layer", "op", "direction", "shape", "ms", "GFLOP/s", "GB/s")]
    for entry in taken["entries"]:
        per_second = 1e3 / max(entry["ms"], 1e-6)
        rate = f"{(entry['flops'] or entry['bytes']) * per_second / 1e9:.1f}"
        rates = (rate, "") if entry["flops"] else ("", rate)
        texts = (entry[name] for name in ("layer", "op", "direction", "shape"))
        lines.append((*texts, f"{entry['ms']:.3f}", *rates))
    sums = [("op", "ms", "share")]
    sums += [(name, f"{ms:.2f}", f"{share:.1%}") for name, ms, share in by_op(taken)]
    sums.append(("step", f"{taken['step_ms']:.2f}", "100.0%"))
    each = align(lines, rules=(1,), right_from=4)
    return f"{each}\n\n{align(sums, rules=(1, len(sums) - 1), right_from=1)}"
