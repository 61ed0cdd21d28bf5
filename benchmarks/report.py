"""The results as text: a table of the rows, and under each where its time goes."""

from benchmarks import import_time, profile
from benchmarks.turns import CHANNELS_LAST, DEFAULT, OURS
from tinynet.summary import align

LOOP_TARGET = 0.05  # of an epoch
HEADS = (
    *("row", "what", "ours ms", "default", "ch. last", "best / target (spread)"),
    *("default / target (spread)", "peak MB", "products", "met"),
)
SHOWN = 5  # ops in the line under a row
LEGEND = """\
ours, default, ch. last: median step of tinynet, and of PyTorch in its default memory format and
in channels_last. best, default: PyTorch's time / ours, above 1 where ours is faster, beside the
target and the quartiles of the rounds' own ratios; best is the faster of PyTorch's formats.
peak MB: of the three processes, in the order of the times. products: the share of our step that
its matrix products alone would take at this machine's rate."""


def missed(record):
    """The targets that a row's record misses: 'best', 'default', 'memory'; None without torch."""
    row, times = record["row"], record["times"]
    if record["best"] is None:
        return None
    names = [
        name
        for name in ("best", "default")
        if record[f"ratio_{name}"]["ratio"] < row[f"target_{name}"]
    ]
    peak = {name: one["peak_mb"] for name, one in times.items()}
    known = row["memory_target"] and None not in peak.values()
    if known and peak[OURS] > min(peak[DEFAULT], peak[CHANNELS_LAST]):
        names.append("memory")
    return names


def _ratio(found, target):
    if found is None:
        return f"- / {target:.1f}"
    low, high = found["quartiles"]
    return f"{found['ratio']:.2f} / {target:.1f} ({low:.2f}-{high:.2f})"


def _line(name, record, what):
    row, times = record["row"], record["times"]
    not_met = missed(record)

    def each(form, key):
        return [
            form.format(times[one][key]) if one in times and times[one][key] is not None else "-"
            for one in (OURS, DEFAULT, CHANNELS_LAST)
        ]

    return (
        *(name, what, *each("{:.1f}", "median_ms")),
        *(_ratio(record[f"ratio_{one}"], row[f"target_{one}"]) for one in ("best", "default")),
        "/".join(each("{:.0f}", "peak_mb")),
        f"{record['products']['share']:.0%}",
        "-" if not_met is None else f"not {', '.join(not_met)}" if not_met else "yes",
    )


def details(record):
    """Where a row's time goes, in one line; the memory before the first step in another."""
    products = record["products"]
    *ops, rest = profile.by_op(record["profile"])
    dearest = [f"{name} {share:.0%}" for name, _, share in ops[:SHOWN]]
    others = sum(share for *_, share in ops[SHOWN:]) + rest[2]
    imports = ", ".join(
        f"{name} {one['after_imports_mb']:.0f} MB"
        for name, one in record["times"].items()
        if one["after_imports_mb"] is not None
    )
    return [
        f"products alone: {products['ms']:.1f} ms at {products['gflops']:.0f} GFLOP/s; "
        f"by op: {', '.join(dearest)}, all others {others:.0%}",
        *([f"of the peak, there after the imports: {imports}"] if imports else []),
    ]


def table(records, names):
    """name -> record as text. names: name -> what the row is, in words."""
    lines = [_line(name, record, names[name]) for name, record in records.items()]
    head, rule, *body = align([HEADS, *lines], rules=(1,), right_from=2).splitlines()
    text = [head, rule]
    for line, record in zip(body, records.values(), strict=True):
        text += [line, *(f"     {detail}" for detail in details(record))]
    return "\n".join(text)


def _verdict(met):
    return "met" if met else "missed"


def loop_text(loop):
    target = _verdict(max(loop["share"], loop["slow_down"]) <= LOOP_TARGET)
    return (
        f"training loop: {loop['share']:.1%} of an epoch of {loop['batches']} steps is not the "
        f"step itself (of each: waiting {loop['wait_ms']:.2f} ms, "
        f"tensors {loop['tensors_ms']:.2f}, metrics {loop['metrics_ms']:.2f}, "
        f"step {loop['step_ms']:.1f});\n"
        f"beside a bare step of {loop['bare_ms']:.1f} ms, with no loader at work, one of the loop "
        f"takes {loop['slow_down']:+.1%}; target for both {LOOP_TARGET:.0%}: {target}"
    )


def import_text(found):
    return (
        f"import tinynet: {found['import_s']:.3f} s ({found['raw_s']:.3f} s with the interpreter's "
        f"own {found['bare_s']:.3f} s); target {import_time.TARGET} s: "
        f"{_verdict(found['import_s'] <= import_time.TARGET)}"
    )


def machine_text(facts):
    torch = f"torch {facts['torch']}" if facts["torch"] else "no torch"
    return (
        f"{facts['processor']}, {facts['cores']} cores, {facts['system']}, "
        f"Python {facts['python']}, NumPy {facts['numpy']} ({facts['blas']}), {torch}, float32"
    )
