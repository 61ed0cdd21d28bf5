"""What the GPU's benchmarks have found, as text."""

from benchmarks.turns import CHANNELS_LAST, DEFAULT, OURS
from tinynet.summary import align

SHARE = 0.7  # of a copy's rate: the target of a kernel that moves much
SHOWN = 8  # kernels of a profile
STEP_HEADS = (
    *("row", "ours ms", "default", "ch. last", "best / ours (spread)", "images/s"),
    *("launch ms", "GPU ms", "launches", "reserved MB", "used MB", "met"),
)
STEP_LEGEND = """\
ours, default, ch. last: median step of tinynet, and of PyTorch in its two memory formats.
best / ours: the faster of PyTorch's two against ours, above 1 where ours is faster.
launch: what Python needs to queue a step; GPU: what the kernels take one after the other; of both
the first figure is ours, the second that of PyTorch's best. Memory is compared with it, too."""


def machine_text(facts):
    return (
        f"{facts['device']}, compute capability {facts['compute_capability']}, "
        f"driver {facts['driver_version'] or facts['driver']}, NVRTC {facts['NVRTC']}, "
        f"CuPy {facts['CuPy']}, torch {facts['torch']}, NumPy {facts['numpy']}, "
        f"Python {facts['python']}"
    )


def in_short(record):
    times, ratio = record["times"], record["ratio"]["ratio"]
    return (
        f"{times[OURS]['median_ms']:.2f} ms, PyTorch {times[DEFAULT]['median_ms']:.2f} and "
        f"{times[CHANNELS_LAST]['median_ms']:.2f} (channels_last): {ratio:.2f}"
    )


def not_passed(found):
    return [one for one in found["parts"].get("check", {}).get("results", []) if not one["passed"]]


def wrong(found):
    """Whether a check was not passed or anything failed. Targets of speed do not count."""
    return bool(not_passed(found) or found["errors"])


def text(found):
    """Everything, a paragraph a part."""
    parts = {
        "check": check_text,
        "step": step_text,
        "kernels": kernels_text,
        "train": train_text,
    }
    paragraphs = []
    for name, part in found["parts"].items():
        body = parts[name](part) if len(part) > 2 else "nothing was found"
        paragraphs.append(f"== {name} ==\n{body}")
    if found["errors"]:
        lines = [f"{one['part']}, {one['item']}: {one['error']}" for one in found["errors"]]
        paragraphs.append("\n".join(["== errors ==", *lines]))
    return "\n\n".join(["", *paragraphs])


def error_text(error):
    return "not a number" if error is None else f"{error:.1e}"


def check_text(part):
    """The worst error of each check in each dtype, and what was not passed in full."""
    dtypes = list(dict.fromkeys(one["dtype"] for one in part["results"]))
    worst = {}
    for one in part["results"]:
        row = worst.setdefault(one["check"], {})
        if one["dtype"] not in row or badness(one) > badness(row[one["dtype"]]):
            row[one["dtype"]] = one
    lines = [("worst error of", *dtypes)]
    for name, row in worst.items():
        lines.append((name, *(error_text(row[d]["error"]) if d in row else "-" for d in dtypes)))
    passed = len(part["results"]) - len(failed := not_passed({"parts": {"check": part}}))
    return "\n".join(
        [
            align(lines, rules=(1,), right_from=1),
            f"{passed} of {len(part['results'])} results passed",
            *(
                f"NOT PASSED {one['check']}, {one['dtype']}: {one['what']}: "
                f"{error_text(one['error'])}, at most {one['tolerance']:g}"
                for one in failed
            ),
        ]
    )


def badness(one):
    """How much of its tolerance a result takes."""
    if one["error"] is None:
        return float("inf")
    return one["error"] / one["tolerance"] if one["tolerance"] else float(one["error"] > 0)


def step_text(part):
    profiles = part.get("profiles", {})
    lines = [STEP_HEADS, *(step_line(*item, profiles) for item in part["rows"].items())]
    body = [align(lines, rules=(1,), right_from=1), STEP_LEGEND]
    for name, both in profiles.items():
        body.append(f"\nkernels of our step, {name}: {both[OURS]['gpu_ms']:.2f} ms")
        body += [
            f"{one['us']:10.1f} us {one['calls']:6.1f} calls  {one['name'][:60]}"
            for one in both[OURS]["kernels"][:SHOWN]
        ]
    return "\n".join(body)


def step_line(name, record, profiles):
    times, best, ratio = record["times"], record["best"], record["ratio"]
    low, high = ratio["quartiles"]

    def both(form, key, of=times):
        return "/".join(form.format(of[who][key]) if of else "-" for who in (OURS, best))

    missed = [what for what, met in record["met"].items() if not met]
    profile = profiles.get(name)
    return (
        name,
        *(f"{times[who]['median_ms']:.2f}" for who in (OURS, DEFAULT, CHANNELS_LAST)),
        f"{ratio['ratio']:.2f} ({low:.2f}-{high:.2f})",
        f"{times[OURS]['images_per_second']:.0f}",
        both("{:.2f}", "launch_ms"),
        both("{:.2f}", "gpu_ms", profile),
        both("{:.0f}", "launches", profile),
        both("{:.0f}", "reserved_mb"),
        both("{:.0f}", "used_mb"),
        f"not {', '.join(missed)}" if missed else "yes",
    )


def kernels_text(part):
    body = []
    for name, row in part["rows"].items():
        totals = [("kernel", "us a step", "of a copy")]
        for kernel, total in row["kernels"].items():
            share = "small" if total["share"] is None else f"{total['share']:.0%}"
            totals.append((kernel, f"{total['us']:.0f}", share))
        body += [
            f"row {name}, a copy moves {row['copy_gb_per_s']:.0f} GB/s",
            align(totals, rules=(1,), right_from=1),
        ]
        low = [one for one in row["entries"] if not one["small"] and one["share"] < SHARE]
        if low:
            lines = [("under target", "on", "calls", "us", "MB", "GB/s", "of a copy")]
            for one in low:
                lines.append(
                    (
                        *(one["kernel"], one["on"], str(one["calls"]), f"{one['us']:.1f}"),
                        *(f"{one['bytes'] / 1e6:.1f}", f"{one['gb_per_s']:.0f}"),
                        f"{one['share']:.0%}",
                    )
                )
            body += ["", align(lines, rules=(1,), right_from=2)]
        body.append("")
    return "\n".join(body).rstrip()


def train_text(part):
    return (
        f"{part['data']}\n{len(part['epochs'])} epochs in {part['minutes_taken']:.1f} minutes, "
        f"TF32 {'on' if part['tf32'] else 'off'}, {part['images_per_second']:.0f} images/s in the "
        f"last epoch\naccuracy: validation {part['validation_accuracy']:.2%}, "
        f"test {part['test_accuracy']:.2%}\nweights: {part['checkpoint']}"
    )
