"""Where the time of our step goes, op by op.

Ops carry no hooks, so the stop-watch comes from outside: `forward` of every `Function` is
wrapped for as long as a profile is taken, and the backward walk, a generator of one step an op,
is timed between its steps.
"""

import contextlib
import functools
import statistics
import time

from tinynet.autograd import Function, backprop, no_grad
from tinynet.ops.conv import Conv2d
from tinynet.ops.linear import Linear
from tinynet.summary import align

FORWARD, BACKWARD, OPTIMIZER = "forward", "backward", "optimizer"


def profile(network, count):
    """Take apart `count` steps of a worker's network, which should be warm.

    Returns {"step_ms": median of the whole step, "steps": count, "entries": [...]}, in the order
    of a step; an entry has layer, op, direction, shape (of the op's result), the median ms, flops
    (matrix products only, otherwise None) and bytes (of the arrays that go in and come out, saved
    ones not counted).
    """
    take = _train if network.model.training else _infer
    taken = [take(network) for _ in range(count)]
    entries = []
    for same in zip(*(entries for _, entries in taken), strict=True):
        ms = statistics.median(1000 * entry["seconds"] for entry in same)
        one = {name: value for name, value in same[0].items() if name != "seconds"}
        entries.append({**one, "ms": ms})
    step_ms = statistics.median(1000 * seconds for seconds, _ in taken)
    return {"step_ms": step_ms, "steps": count, "entries": entries}


def _infer(network):
    with no_grad(), watched_forwards({"": network.model}) as (entries, _):
        started = time.perf_counter()
        network.model(network.x)
        return time.perf_counter() - started, entries


def _train(network):
    roots = {"": network.model, "loss": network.criterion}
    with watched_forwards(roots) as (entries, of_op):
        started = time.perf_counter()
        network.optimizer.zero_grad()
        loss = network.criterion(network.model(network.x), network.labels)
        _walk_back(loss, entries, of_op)
        before = time.perf_counter()
        network.optimizer.step()
        now = time.perf_counter()
    size = sum(p.array.nbytes for p in network.model.parameters())
    entries.append(_entry(network.optimizer, "", OPTIMIZER, (), now - before, None, size))
    return now - started, entries


def _walk_back(loss, entries, of_op):
    since = time.perf_counter()
    for op, gy, gxs in backprop(loss):
        now = time.perf_counter()
        forward = of_op[id(op)]
        flops = forward["flops"] and forward["flops"] * sum(op.needs[:2])
        size = sum(array.nbytes for array in (gy, *gxs) if array is not None)
        entries.append(_entry(op, forward["layer"], BACKWARD, gy.shape, now - since, flops, size))
        del op, gy, gxs  # the walk goes on faster when nobody holds on to its arrays
        since = time.perf_counter()


def _entry(op, layer, direction, shape, seconds, flops, size):
    return {
        "layer": layer,
        "op": type(op).__name__,
        "direction": direction,
        "shape": "x".join(map(str, shape)),
        "seconds": seconds,
        "flops": flops,
        "bytes": size,
    }


def _flops(op, inputs, y):
    """Of a forward matrix product; each of the two gradients costs as much again."""
    if not isinstance(op, Conv2d | Linear):
        return None
    return 2 * y.size * inputs[1][0].size  # a result is a product with one row of the weights


@contextlib.contextmanager
def watched_forwards(roots):
    """Yield (entries, id of an op -> its entry), filled while forwards run; then undo it all.

    roots: prefix -> module. An op belongs to the innermost module whose forward it ran in.
    """
    entries, of_op, nameless, running = [], {}, [], []

    def watched(forward):
        @functools.wraps(forward)
        def timed(op, *inputs):
            if running:  # an op that calls another one's forward: a part of its own time
                return forward(op, *inputs)
            running.append(op)
            try:
                started = time.perf_counter()
                y = forward(op, *inputs)
                seconds = time.perf_counter() - started
            finally:
                running.pop()
            size = sum(array.nbytes for array in (*inputs, y))
            entry = _entry(op, "", FORWARD, y.shape, seconds, _flops(op, inputs, y), size)
            entries.append(entry)
            nameless.append(entry)
            of_op[id(op)] = entry
            return y

        return timed

    def namer(name):
        def name_ops(module, args, output):
            for entry in nameless:
                entry["layer"] = name or type(module).__name__
            nameless.clear()

        return name_ops

    originals = {cls: cls.__dict__["forward"] for cls in _ops() if "forward" in cls.__dict__}
    handles = []
    try:
        for prefix, root in roots.items():
            for name, module in root.named_modules():
                full = ".".join(filter(None, (prefix, name)))
                handles.append(module.register_forward_hook(namer(full)))
        for cls, forward in originals.items():
            cls.forward = watched(forward)
        yield entries, of_op
    finally:
        for cls, forward in originals.items():
            cls.forward = forward
        for handle in handles:
            handle.remove()


def _ops(cls=Function):
    """Every class of op there is."""
    for one in cls.__subclasses__():
        yield one
        yield from _ops(one)


def by_op(taken):
    """[(op and direction, ms, share of the step)], the dearest first; the last is the rest: the
    tape, zero_grad, Python between the ops."""
    totals = {}
    for entry in taken["entries"]:
        name = entry["op"] if entry["direction"] == OPTIMIZER else _name(entry)
        totals[name] = totals.get(name, 0.0) + entry["ms"]
    dearest = sorted(totals.items(), key=lambda item: -item[1])
    rest = taken["step_ms"] - sum(totals.values())
    return [(name, ms, ms / taken["step_ms"]) for name, ms in (*dearest, ("the rest", rest))]


def _name(entry):
    return f"{entry['op']} {entry['direction']}"


def table(taken):
    """Every op of a step as text, and the sums by op."""
    lines = [("layer", "op", "direction", "shape", "ms", "GFLOP/s", "GB/s")]
    for entry in taken["entries"]:
        seconds = max(entry["ms"], 1e-6) / 1000
        flops, size = entry["flops"], entry["bytes"]
        lines.append(
            (
                *(entry["layer"], entry["op"], entry["direction"]),
                entry["shape"],
                f"{entry['ms']:.3f}",
                f"{flops / seconds / 1e9:.1f}" if flops else "",
                "" if flops else f"{size / seconds / 1e9:.1f}",
            )
        )
    sums = [("op", "ms", "share")]
    sums += [(name, f"{ms:.2f}", f"{share:.1%}") for name, ms, share in by_op(taken)]
    sums.append((f"step (median of {taken['steps']})", f"{taken['step_ms']:.2f}", "100.0%"))
    each = align(lines, rules=(1,), right_from=4)
    return f"{each}\n\n{align(sums, rules=(1, len(sums) - 1), right_from=1)}"
