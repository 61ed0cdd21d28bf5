"""The results as text: tables of the rows, where their time goes, the findings on a GPU."""

from benchmarks import profile
from benchmarks.rows import Row
from benchmarks.turns import FORMATS, OURS
from tinynet.summary import align

LOOP_TARGET, IMPORT_TARGET = 0.05, 0.25  # of a bare step; seconds
COPY_TARGET = 0.7  # of a copy's rate: for a kernel that moves much
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


def machine_text(facts):
    return ", ".join(f"{name} {value}" if value else f"no {name}" for name, value in facts.items())


# the rows


def missed(record):
    """What a row's record misses, of 'best', 'default', 'memory' (where ours is above that of
    either of PyTorch's formats); None without torch."""
    row = record["row"]
    if record["best"] is None:
        return None
    ratios = {name: record[f"ratio_{name}"]["ratio"] for name in ("best", "default")}
    names = [name for name, ratio in ratios.items() if ratio < row[f"target_{name}"]]
    memory = {name: times["peak_mb"] for name, times in record["times"].items()}
    known = row["memory_target"] and None not in memory.values()
    return names + ["memory"] * (known and memory[OURS] > min(memory.values()))


def _each(record, form, key):
    """A figure of ours and of PyTorch's two formats."""
    figures = [record["times"].get(who, {}).get(key) for who in (OURS, *FORMATS)]
    return ["-" if figure is None else form.format(figure) for figure in figures]


def _line(name, record):
    def ratio(one):
        found, target = record[f"ratio_{one}"], f"{record['row'][f'target_{one}']:.1f}"
        if not found:
            return f"- / {target}"
        return "{:.2f} / {} ({:.2f}-{:.2f})".format(found["ratio"], target, *found["quartiles"])

    not_met = missed(record)
    met = "-" if not_met is None else f"not {', '.join(not_met)}" if not_met else "yes"
    times = _each(record, "{:.2f}", "median_ms")
    memory = "/".join(_each(record, "{:.0f}", "peak_mb"))
    return name, Row(**record["row"]).what, *times, ratio("best"), ratio("default"), memory, met


def details(record):
    """Where a row's time goes, in one line."""
    ours = record["times"][OURS]["median_ms"]
    if "products" not in record:  # on a GPU
        launch = "/".join(_each(record, "{:.2f}", "launch_ms"))
        return f"launch: {launch} ms; {1000 * record['row']['batch'] / ours:.0f} images/s"
    products = record["products"]
    *ops, rest = profile.by_op(record["profile"])
    dearest = [f"{name} {share:.0%}" for name, _, share in ops[:SHOWN]]
    others = sum(share for *_, share in ops[SHOWN:]) + rest[2]
    return (
        f"products: {products['share']:.0%}, {products['ms']:.1f} ms at "
        f"{products['gflops']:.0f} GFLOP/s; by op: {', '.join(dearest)}, all others {others:.0%}"
    )


def table(records):
    """name -> record as text."""
    lines = [_line(name, record) for name, record in records.items()]
    head, rule, *body = align([HEADS, *lines], rules=(1,), right_from=2).splitlines()
    text = [head, rule]
    for line, record in zip(body, records.values(), strict=True):
        text += [line, f"     {details(record)}"]
    return "\n".join(text)


def loop_text(loop):
    verdict = "met" if loop["slow_down"] <= LOOP_TARGET else "missed"
    return (
        f"training loop: a step takes {loop['step_ms']:.1f} ms, {loop['wait_ms']:.2f} of them "
        f"waiting for its batch; the first batch of an epoch of {loop['batches']} takes "
        f"{loop['start_ms']:.0f} ms. A bare step, with no loader at work, takes "
        f"{loop['bare_ms']:.1f} ms:\n{loop['slow_down']:+.1%}; target {LOOP_TARGET:.0%}: {verdict}"
    )


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
    return f"{table(part['rows'])}\n{LEGEND}"


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
