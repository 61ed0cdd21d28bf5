"""The results as text: tables of the rows, where their time goes, the findings on a GPU."""

from benchmarks import profile
from benchmarks.rows import Row
from benchmarks.turns import FORMATS, LOCAL, OURS, OURS_LOCAL, OURS_SYNC, SYNC
from tinynet.summary import align

LOOP_TARGET, IMPORT_TARGET = 0.05, 0.25  # of a bare step; seconds
COPY_TARGET = 0.7  # of a copy's rate: for a kernel that moves much
MANY_TARGET = 1.0  # PyTorch's step in several processes, as a multiple of our workers'
SHOWN = 5  # ops in the line under a row

HEADS = (
    *("row", "what", "ours ms", "default", "ch. last", "best / target (spread)"),
    *("default / target (spread)", "peak MB", "met"),
)
LEGEND = """\
ours, default, ch. last: median step of tinynet, and of PyTorch in its default memory format and
in channels_last. best, default: PyTorch's time / ours, above 1 where ours is faster, beside the
target and the quartiles of the rounds' own ratios; best is the faster of PyTorch's formats.
peak MB: of the three processes, in the order of the times. products: the share of our step that
its matrix products alone would take at this machine's rate. launch: on a GPU, what Python needs to
queue a step."""

SHARED_HEADS = (
    *("row", "ours ms", "local", "sync", "torch 1", "torch N", "one / target (spread)"),
    *("many / target (spread)", "exchange", "peak MB", "met"),
)
SHARED_LEGEND = """\
ours: median step of tinynet in one process; local, sync: of its workers, with BatchNorm over each
worker's share, as PyTorch's have it, and over the whole batch. torch 1: PyTorch in one
process, torch N: in as many as we have workers (apart: they exchange nothing), the fastest of each.
one, many: torch 1 / local and torch N / local, above 1 where ours is faster, beside the target and
the quartiles of the rounds' own ratios. exchange: how much longer a step takes than without any,
local/sync. peak MB: of all workers, local, and of torch N."""


def machine_text(facts):
    return ", ".join(f"{name} {value}" if value else f"no {name}" for name, value in facts.items())


# the rows


def missed(record):
    """What a row's record misses, of 'best', 'default' (with workers 'one', 'many') and 'memory'
    (where ours is above that of either of PyTorch's formats, or our workers' above that of its
    fastest processes); None without torch."""
    row, workers = record["row"], record.get("workers")
    if record["best"] is None:
        return None
    memory = {name: times["peak_mb"] for name, times in record["times"].items()}
    one_process = [memory[name] for name in FORMATS]
    known = row["memory_target"] and None not in memory.values()
    if workers:
        found = {name: workers[LOCAL][name]["ratio"] for name in ("one", "many")}
        names = ["one"] * (found["one"] < row["target_workers"])
        names += ["many"] * (found["many"] < MANY_TARGET)
        more = known and memory[OURS_LOCAL] > memory[workers["best"]]
        return names + ["memory"] * (more or known and memory[OURS] > min(one_process))
    ratios = {name: record[f"ratio_{name}"]["ratio"] for name in ("best", "default")}
    names = [name for name, ratio in ratios.items() if ratio < row[f"target_{name}"]]
    return names + ["memory"] * (known and memory[OURS] > min(one_process))


def _each(record, form, key):
    """A figure of ours and of PyTorch's two formats."""
    figures = [record["times"].get(who, {}).get(key) for who in (OURS, *FORMATS)]
    return ["-" if figure is None else form.format(figure) for figure in figures]


def _ratio(found, target):
    if not found:
        return f"- / {target:.1f}"
    return "{:.2f} / {:.1f} ({:.2f}-{:.2f})".format(found["ratio"], target, *found["quartiles"])


def _met(record):
    not_met = missed(record)
    return "-" if not_met is None else f"not {', '.join(not_met)}" if not_met else "yes"


def _line(name, record):
    def ratio(one):
        return _ratio(record[f"ratio_{one}"], record["row"][f"target_{one}"])

    met = _met(record)
    times = _each(record, "{:.2f}", "median_ms")
    memory = "/".join(_each(record, "{:.0f}", "peak_mb"))
    return name, Row(**record["row"]).what, *times, ratio("best"), ratio("default"), memory, met


def details(record):
    """Where a row's time goes, in one line."""
    ours = record["times"][OURS]["median_ms"]
    if "products" not in record:  # on a GPU
        launch = "/".join(_each(record, "{:.2f}", "launch_ms"))
        text = f"launch: {launch} ms; {1000 * record['row']['batch'] / ours:.0f} images/s"
        alone = record["times"][OURS].get("op_by_op_ms")
        return f"{text}; without a CUDA graph {alone:.1f} ms" if alone else text
    products = record["products"]
    *ops, rest = profile.by_op(record["profile"])
    dearest = [f"{name} {share:.0%}" for name, _, share in ops[:SHOWN]]
    others = sum(share for *_, share in ops[SHOWN:]) + rest[2]
    return (
        f"products: {products['share']:.0%}, {products['ms']:.1f} ms at "
        f"{products['gflops']:.0f} GFLOP/s; by op: {', '.join(dearest)}, all others {others:.0%}"
    )


def _shared_line(name, record):
    workers, times = record["workers"], record["times"]
    names = (OURS, OURS_LOCAL, OURS_SYNC, record["best"], workers["best"])
    medians = [f"{times[who]['median_ms']:.1f}" if who else "-" for who in names]
    ratios = [
        _ratio(workers[LOCAL]["one"], record["row"]["target_workers"]),
        _ratio(workers[LOCAL]["many"], MANY_TARGET),
    ]
    exchange = "/".join(f"{workers[kind]['exchange']:.0%}" for kind in (LOCAL, SYNC))
    memory = [times[who]["peak_mb"] if who else None for who in (OURS_LOCAL, workers["best"])]
    peak = "/".join("-" if one is None else f"{one:.0f}" for one in memory)
    return name, *medians, *ratios, exchange, peak, _met(record)


def shared_details(record):
    """Which processes share a row's batch, and where the time goes: some lines."""
    workers, times = record["workers"], record["times"]
    spent = "/".join(f"{workers[kind]['exchange_ms']:.2f}" for kind in (LOCAL, SYNC))
    yield (
        f"{Row(**record['row']).what}, {workers['count']} workers; "
        f"in calls of exchange, waiting included: {spent} ms"
    )
    if record["best"]:
        ratios = "/".join(f"{workers[SYNC][name]['ratio']:.2f}" for name in ("one", "many"))
        each = "/".join(f"{times[name]['median_ms']:.1f}" for name in FORMATS)
        yield (
            f"fastest: {record['best']} (of {each} ms), {workers['best']}; with sync "
            f"one/many {ratios}"
        )
    yield details(record)


def _body(heads, lines, right_from, notes):
    """A table with notes, some lines each, under its lines."""
    head, rule, *body = align([heads, *lines], rules=(1,), right_from=right_from).splitlines()
    text = [head, rule]
    for line, below in zip(body, notes, strict=True):
        text += [line, *(f"     {note}" for note in below)]
    return "\n".join(text)


def table(records):
    """name -> record as text: those with workers, and those without."""
    shared = {name: record for name, record in records.items() if record.get("workers")}
    alone = {name: record for name, record in records.items() if name not in shared}
    text = []
    if shared:
        lines = [_shared_line(*item) for item in shared.items()]
        notes = map(shared_details, shared.values())
        text.append(f"{_body(SHARED_HEADS, lines, 1, notes)}\n{SHARED_LEGEND}")
    if alone:
        lines = [_line(*item) for item in alone.items()]
        notes = ([details(record)] for record in alone.values())
        text.append(f"{_body(HEADS, lines, 2, notes)}\n{LEGEND}")
    return "\n\n".join(text)


def loop_text(loop):
    verdict = "met" if loop["slow_down"] <= LOOP_TARGET else "missed"
    return (
        f"training loop: a step takes {loop['step_ms']:.1f} ms, {loop['wait_ms']:.2f} of them "
        f"waiting for its batch; the first batch of an epoch of {loop['batches']} takes "
        f"{loop['start_ms']:.0f} ms. A bare step, with no loader at work, takes "
        f"{loop['bare_ms']:.1f} ms:\n{loop['slow_down']:+.1%}; target {LOOP_TARGET:.0%}: {verdict}"
    )


def train_rates_text(found):
    rates = {int(count): rate for count, rate in found["images_per_second"].items()}
    each = ", ".join(f"{rate:.0f} with {count}" for count, rate in rates.items())
    text = f"train_cifar100.py {' '.join(found['arguments'])}: images/s by workers: {each}"
    return f"{text} ({rates[max(rates)] / rates[1]:.2f} times)" if len(rates) > 1 else text


def import_text(found):
    verdict = "met" if found["import_s"] <= IMPORT_TARGET else "missed"
    return f"import tinynet: {found['import_s']:.3f} s; target {IMPORT_TARGET} s: {verdict}"


# the parts of the GPU's benchmark


def gpu_text(found):
    """Everything, a paragraph per part."""
    parts = {"check": check_text, "step": step_text, "kernels": kernels_text, "train": train_text}
    paragraphs = []
    for name, part in found["parts"].items():
        body = parts[name](part) if len(part) > 1 else "nothing was found"
        paragraphs.append(f"== {name} ==\n{body}")
    if found["errors"]:
        lines = [f"{one['part']}, {one['item']}: {one['error']}" for one in found["errors"]]
        paragraphs.append("\n".join(["== errors ==", *lines]))
    return "\n\n".join(["", *paragraphs])


def worst(checked):
    """The result that takes most of its tolerance, as text."""

    def badness(one):
        return float("inf") if one["error"] is None else one["error"] / (one["tolerance"] or 1e-9)

    one = max(checked, key=badness)
    error = "not a number" if one["error"] is None else f"{one['error']:.1e}"
    return f"{one['what']}: {error}, at most {one['tolerance']:g}"


def check_text(part):
    """What was not passed; each check's worst error was told when it was found."""
    failed = [one for one in part["results"] if not one["passed"]]
    text = [f"{len(part['results']) - len(failed)} of {len(part['results'])} results passed"]
    text += [f"NOT PASSED {one['check']}, {one['dtype']}: {worst([one])}" for one in failed]
    return "\n".join(text)


def step_text(part):
    return table(part["rows"])


def kernels_text(part):
    body = []
    for name, row in part["rows"].items():
        totals = [("kernel", "us per step", "of a copy", "")]
        for kernel, total in row["kernels"].items():
            share = "small" if total["share"] is None else f"{total['share']:.0%}"
            low = total["share"] is not None and total["share"] < COPY_TARGET
            target = f"under the target of {COPY_TARGET:.0%}" if low else ""
            totals.append((kernel, f"{total['us']:.0f}", share, target))
        body.append(f"row {name}, a copy moves {row['copy_gb_per_s']:.0f} GB/s")
        body.append(align(totals, rules=(1,), right_from=1))
    return "\n".join(body)


def train_text(part):
    last = part["epochs"][-1]
    return (
        f"train_cifar100.py {' '.join(part['arguments'])}\n{len(part['epochs'])} epochs in "
        f"{part['minutes_taken']:.1f} minutes, {last['images_per_second']:.0f} images/s in the last"
        f"\naccuracy: validation {last['val_accuracy']:.2%}, test {part['test_accuracy']:.2%}\n"
        f"weights: {part['checkpoint']}"
    )
