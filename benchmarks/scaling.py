"""How training scales: measured with few workers, and modelled for many (scaling_model.py).

`python -m benchmarks.scaling` times rows A and C with one BLAS thread per worker, writes
results/scaling-DATE.json, and draws beside it what the model makes of the figures.
"""

import argparse
import contextlib
import dataclasses
import functools
import sys

from matplotlib.figure import Figure

from benchmarks import results, scaling_model
from benchmarks.results import BenchmarkError
from benchmarks.rows import ROWS, Row
from benchmarks.scaling_model import Cluster, Machine, Work
from benchmarks.turns import LOCAL, OURS, QUICK, SYNC, Effort, Worker, crew, take_turns
from tinynet import cores
from tinynet.files import atomic_write, expanded
from tinynet.summary import align
from tinynet.training.options import number

USUAL = ("A", "C")
FEW = "tinynet, a quarter of the batch"
COPIED = 1 << 27  # bytes of the arrays that are copied: more than a cache holds
SOCKET = 368.0  # GB/s: four fifths of the 460.8 of AMD's EPYC 9004, 12 channels of DDR5-4800
EMPTY = {"rows": {}}
# strong: the row's batch is shared; weak: each worker has as many images as that
KINDS = [(kind, batchnorm) for kind in ("strong", "weak") for batchnorm in (SYNC, LOCAL)]
COLOURS = {SYNC: "#0072B2", LOCAL: "#E69F00"}
STYLES = {"strong": (":", "x"), "weak": ("-", "o")}
NOTE = "a model, not a measurement"


def measure(row, effort):
    """Time a row with 1, 2, 4, ... workers, as many as there are cores, but 2 in any case, of one
    BLAS thread each. Returns a dict ready for JSON: what the model needs."""
    sizes = [2**power for power in range(1, max(2, cores.available()).bit_length())]
    with contextlib.ExitStack() as stack:
        ready = {}

        def add(name, worker, batch, exchange=None):
            ready[name] = stack.enter_context(worker)
            message = dataclasses.replace(row, batch=batch).message()
            worker.send("start", row=message, exchange=exchange)

        add(OURS, Worker("benchmarks.tinynet_worker", 1), row.batch)
        add(FEW, Worker("benchmarks.tinynet_worker", 1), row.batch // 4)
        for n in sizes:
            for kind, batchnorm in KINDS:
                batch = row.batch * (n if kind == "weak" else 1)
                add(f"{n} {kind} {batchnorm}", crew(n, 1), batch, batchnorm)
        for worker in ready.values():
            worker.answer()
        seconds = take_turns(ready, effort)
        sync, local = (ready[f"{sizes[-1]} strong {batchnorm}"] for batchnorm in (SYNC, LOCAL))
        copies = [
            2 * COPIED / results.quartiles(one.ask("copies", size=COPIED, count=5))[1]
            for one in (ready[OURS], sync)
        ]  # each byte is read and written
        entries = ready[OURS].ask("profile", count=1)["entries"]
        return {
            "row": dataclasses.asdict(row),
            "measured": results.now(),
            "effort": dataclasses.asdict(effort),
            "times": {name: results.describe(rounds) for name, rounds in seconds.items()},
            "sizes": sizes,
            "traffic": sum(entry["bytes"] for entry in entries) / row.batch,
            "flops": 2 * sum(row.mult_adds()) / row.batch,
            "messages": {
                batchnorm: one.ask("exchanged", count=1)["messages"]
                for batchnorm, one in ((SYNC, sync), (LOCAL, local))
            },
            "one_core": copies[0],
            "each_core": copies[1],
            "sum_seconds": results.quartiles(sync.ask("sums", count=500))[1],
        }


def work_of(record, batchnorm):
    """What the model has to know of a row; a step's time is a line through those of two batches."""
    batch = record["row"]["batch"]
    seconds, few = (record["times"][name]["median_ms"] / 1000 for name in (OURS, FEW))
    image = (seconds - few) / (batch - batch // 4)
    image = min(max(image, 0.1 * seconds / batch), seconds / batch)  # chance may tilt the line
    messages = tuple(record["messages"][batchnorm])
    return Work(seconds - batch * image, image, record["traffic"], record["flops"], messages)


def measured(record):
    """[(n, kind, BatchNorm, images, ms, speed-up in images/s)]"""
    batch, times = record["row"]["batch"], record["times"]
    found = []
    for n in record["sizes"]:
        for kind, batchnorm in KINDS:
            ms, more = times[f"{n} {kind} {batchnorm}"]["median_ms"], n if kind == "weak" else 1
            speed_up = more * times[OURS]["median_ms"] / ms
            found.append((n, kind, batchnorm, more * batch, ms, speed_up))
    return found


def curves(record, socket, cluster):
    """The model's points: place ("cores", "GPUs") -> (kind, BatchNorm) -> n -> what
    `scaling_model.curve` says; of GPUs weak scaling only."""
    batch, sizes = record["row"]["batch"], record["sizes"]
    rates = (record["one_core"], record["each_core"], socket, record["sum_seconds"], sizes[-1])
    found = {"cores": {}, "GPUs": {}}
    for kind, batchnorm in KINDS:
        work = work_of(record, batchnorm)
        images = {"strong": lambda n: batch / n, "weak": lambda n: batch}[kind]
        curve = functools.partial(scaling_model.curve, work, images)
        many = [n for n in sorted({*scaling_model.CORES, *sizes}) if kind == "weak" or n <= batch]
        found["cores"][kind, batchnorm] = curve(scaling_model.cores_step, Machine(*rates), many)
        if kind == "weak":
            found["GPUs"][kind, batchnorm] = curve(
                scaling_model.gpus_step, cluster, scaling_model.GPUS
            )
    return found


def text(name, record, socket, cluster):
    modelled = curves(record, socket, cluster)
    row, most, alone = Row(**record["row"]), record["sizes"][-1], record["times"][OURS]["median_ms"]
    rough = " (rough)" if record["effort"]["rough"] else ""
    lines = [("workers", "images", "BatchNorm", "ms", "images/s", "efficiency", "the model's")]
    lines.append(
        ("1", f"{row.batch}", "", f"{alone:.1f}", f"{1e3 * row.batch / alone:.0f}", "", "")
    )
    for n, kind, batchnorm, images, ms, speed_up in measured(record):
        expected = modelled["cores"][kind, batchnorm][n]["efficiency"]
        rates = f"{ms:.1f}", f"{1e3 * images / ms:.0f}", f"{speed_up / n:.0%}", f"{expected:.0%}"
        lines.append((f"{n} {kind}", f"{images}", batchnorm, *rates))
    parts = [f"row {name}: {row.what}; measured{rough}", align(lines, rules=(1,), right_from=1)]
    parts.append(
        f"{NOTE}: ms per step, how much of it is exchange, efficiency\n"
        f"(strong: the batch is shared; weak: {row.batch} images for each)"
    )
    for where, kinds in modelled.items():
        lines = [(where, *(f"{kind}, {batchnorm}" for kind, batchnorm in kinds))]
        for n in next(reversed(kinds.values())):
            points = (points.get(n) for points in kinds.values())
            form = "{ms:.2f}  {exchange:3.0%}  {efficiency:4.0%}"
            lines.append((f"{n}", *(form.format(**point) if point else "-" for point in points)))
        parts.append(align(lines, rules=(1,), right_from=0))
    work = work_of(record, SYNC)
    sent = "; ".join(
        f"{len(sizes)} all-reduces of {sum(sizes) / 1e6:.2f} MB with {batchnorm} BatchNorm"
        for batchnorm, sizes in record["messages"].items()
    )
    parts.append(f"""\
measured: {1e3 * work.overhead:.2f} ms per step and {1e3 * work.image:.3f} ms per image, one \
thread; a core copies {record["one_core"] / 1e9:.1f} GB/s,
each of {most} at once {record["each_core"] / 1e9:.1f} (read and written); an all-reduce of one \
number by {most} workers: {1e6 * record["sum_seconds"]:.0f} us
counted: {work.traffic / 1e6:.2f} MB in and out of ops and {work.flops / 1e9:.3f} GFLOP per image;
per step {sent}
assumed: a socket's memory {socket / 1e9:g} GB/s; a GPU's {cluster.memory / 1e12:g} TB/s and \
{cluster.flops / 1e12:g} TFLOP/s, fully used; NVLink
{cluster.inside / 1e9:g} GB/s, {1e6 * cluster.inside_latency:g} us within \
{cluster.per_machine} GPUs; InfiniBand {cluster.between / 1e9:g} GB/s, \
{1e6 * cluster.between_latency:g} us (a tree {1e6 * cluster.tree_latency:g}) between machines;
no overlap of computing and exchange, no loader, all workers equally fast""")
    return "\n\n".join(parts)


def draw(rows, path, socket, cluster):
    """Speed-up against workers into the PNG file `path`: two panels per row."""
    figure = Figure(figsize=(10, 1.2 + 3.4 * len(rows)), dpi=150, layout="constrained")
    panels = figure.subplots(len(rows), 2, squeeze=False)
    for line, (name, record) in zip(panels, rows.items(), strict=True):
        modelled = curves(record, socket, cluster)
        for ax, (where, kinds) in zip(line, modelled.items(), strict=True):
            for (kind, batchnorm), points in kinds.items():
                label = f"model: {kind}, {batchnorm} BatchNorm"
                speed_ups = [point["speed_up"] for point in points.values()]
                style = {"color": COLOURS[batchnorm], "linestyle": STYLES[kind][0]}
                ax.plot(list(points), speed_ups, label=label, **style)
            numbers = list(points)
            ax.plot(numbers, numbers, "--", color="0.6", label="ideal", zorder=1)
            for n, kind, batchnorm, *_, speed_up in measured(record) if where == "cores" else ():
                ax.plot(n, speed_up, STYLES[kind][1], color=COLOURS[batchnorm])
            ax.set_xscale("log", base=2)
            ax.set_yscale("log", base=2)
            ax.set_xticks(numbers, numbers)
            ax.yaxis.set_major_formatter("{x:g}")
            ax.set_xlabel(f"{where}, with one worker each")
            ax.set_ylabel("speed-up in images/s")
            ax.set_title(f"row {name}: {Row(**record['row']).what}", fontsize=9)
            ax.grid(alpha=0.3)
    for kind, (_, mark) in STYLES.items():
        panels[0][0].plot([], [], f"k{mark}", label=f"measured: {kind}")
    figure.legend(
        *panels[0][0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=9,
    )
    figure.suptitle(f"tinynet on more cores and GPUs: {NOTE}")
    with atomic_write(path) as file:
        figure.savefig(file, format="png")


def parse_options(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling",
        description="How training scales: measured with few workers, modelled for many.",
    )
    trained = [name for name, row in ROWS.items() if row.train]
    usual, add = Cluster(), parser.add_argument
    # fmt: off
    add("rows", nargs="*", type=str.upper, metavar="ROW",
        help=f"of {', '.join(trained)}; default {' '.join(USUAL)}, or all in the file")
    add("--quick", action="store_true", help="rough figures")
    add("--out", metavar="DIR", default=results.FOLDER, help="folder of JSON file and chart")
    add("--from", dest="source", metavar="FILE", help="model from this file; measure nothing")
    for name, default, what in (
        ("--socket-gb-per-s", SOCKET, "bandwidth of a socket's memory"),
        ("--gpu-gb-per-s", usual.memory / 1e9, "bandwidth of a GPU's memory"),
        ("--gpu-tflops", usual.flops / 1e12, "arithmetic of a GPU"),
    ):
        add(name, type=number(float, 0.001), default=default, metavar="X",
            help=f"{what}, for the model; default {default:g}")
    # fmt: on
    options = parser.parse_args(expanded(arguments))
    for name in options.rows:
        if name not in trained:
            parser.error(f"argument ROW: expected one of {', '.join(trained)}, got {name!r}")
    return options


def run(options, rows):
    path = options.source or results.path_of_today(options.out, "scaling")
    found = results.load(path, {} if options.source else results.machine(), EMPTY)
    if not options.source:
        for name in options.rows or USUAL:
            print(f"measuring {name}: {rows[name].what}", flush=True)
            new = {name: measure(rows[name], QUICK if options.quick else Effort())}
            found["rows"] = dict(sorted({**found["rows"], **new}.items()))
            results.save(path, found)
    names = options.rows or list(found["rows"])
    shown = {name: found["rows"][name] for name in names if name in found["rows"]}
    if not shown or not all("sum_seconds" in record for record in shown.values()):
        raise BenchmarkError(
            f"{path} holds no such measurements of scaling; measure without --from"
        )
    cluster = Cluster(flops=1e12 * options.gpu_tflops, memory=1e9 * options.gpu_gb_per_s)
    model = (1e9 * options.socket_gb_per_s, cluster)
    for name, record in shown.items():
        print(f"\n{text(name, record, *model)}")
    chart = results.Path(path).with_suffix(".png")
    draw(shown, chart, *model)
    print(f"\ndrawn: {chart}")


def main(arguments=None, rows=ROWS):
    try:
        run(parse_options(arguments), rows)
    except (BenchmarkError, OSError, ValueError) as error:
        sys.exit(f"benchmarks.scaling: {error}")
    except KeyboardInterrupt:
        sys.exit("benchmarks.scaling: stopped")


if __name__ == "__main__":
    main()
