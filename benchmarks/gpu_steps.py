"""A training step on the GPU beside PyTorch's: its time, what of it Python needs, its memory."""

import datetime
from dataclasses import asdict

from benchmarks import stats
from benchmarks.gpu_crew import OURS_TF32, PROFILER, PROFILER_TF32
from benchmarks.turns import CHANNELS_LAST, DEFAULT, OURS, BenchmarkError, Effort, rotated, warm_up

BLOCK = 0.1  # seconds between two moments at which the GPU is waited for
USUAL = Effort(rounds=5, turn_seconds=0.7, warm_up_steps=10, warm_up_seconds=4.0)
QUICK = Effort(
    rounds=3,
    turn_seconds=0.3,
    warm_up_steps=5,
    warm_up_seconds=2.0,
    profile_steps=2,
    rough=True,
)
LAUNCHES = 15
FORMATS = {DEFAULT: "default", CHANNELS_LAST: "channels_last"}


def measure(row, tf32, crew, effort=USUAL):
    """Time a row with TF32 on both sides, or on neither.

    Returns a dict ready for JSON: the row, "times" (name -> statistics of a step's seconds, one
    a block of steps, "launch_ms", "images_per_second", "reserved_mb", "used_mb"), "best" (the
    faster of PyTorch's two), "ratio" (its time / ours), "met" (the ratio and the memory),
    and "profile": the kernels of a step of ours and of PyTorch's best, None if it failed.
    Raises BenchmarkError when a worker dies.
    """
    seated = {OURS: crew.member(OURS_TF32 if tf32 else OURS)}
    seated.update({name: crew.member(name) for name in FORMATS})
    crew.call(*(member.name for member in seated.values()))
    started = {}
    for name, member in seated.items():
        options = {} if name == OURS else {"memory_format": FORMATS[name], "tf32": tf32}
        started[name] = member.ask("start", row=row.message(), **options)
    if len({facts["parameters"] for facts in started.values()}) > 1:
        raise BenchmarkError(f"row {row.name}: the networks are not the same size: {started}")

    seconds = take_turns(seated, effort)
    times = {}
    for name, member in seated.items():
        times[name] = {
            **stats.describe(seconds[name]),
            "launch_ms": 1000 * stats.quartiles(member.ask("launches", count=LAUNCHES))[1],
            **member.ask("memory"),
        }
        times[name]["images_per_second"] = row.batch / times[name]["median_ms"] * 1000
        member.ask("release")
    best = min(FORMATS, key=lambda name: times[name]["median_ms"])
    ratio = stats.ratio(seconds[best], seconds[OURS])
    return {
        "row": asdict(row),
        "tf32": tf32,
        "measured": datetime.datetime.now().isoformat(timespec="seconds"),
        "effort": asdict(effort),
        "cuda_of_torch": started[best]["cuda"],
        "cudnn": started[best]["cudnn"],
        "times": times,
        "best": best,
        "ratio": ratio,
        "met": met(times, best, ratio, row.target_best),
    }


def met(times, best, ratio, target):
    """Whether the targets are met: the ratio, and memory not above that of PyTorch's best."""
    return {
        "ratio": ratio["ratio"] >= target,
        "reserved": times[OURS]["reserved_mb"] <= times[best]["reserved_mb"],
        "used": times[OURS]["used_mb"] <= times[best]["used_mb"],
    }


def take_turns(members, effort):
    """name -> one list of seconds a round: of a step, one for each block of steps."""
    sizes, counts = {}, {}
    for name, member in members.items():
        step = warm_up(member, effort)
        sizes[name] = max(1, round(BLOCK / step))
        counts[name] = max(1, round(effort.turn_seconds / (sizes[name] * step)))
    seconds = {name: [] for name in members}
    for number in range(effort.rounds):
        for name in rotated(list(members), number):
            # the first block finds another process's data in the caches
            taken = members[name].ask("blocks", count=1 + counts[name], size=sizes[name])
            seconds[name].append(taken[1:])
    return seconds


def profile(row, tf32, best, crew, count):
    """The kernels of a step: of ours, and of PyTorch's in the memory format `best`."""
    member = crew.member(PROFILER_TF32 if tf32 else PROFILER)

    def ask(ours, **options):
        kernels = member.ask("profile", ours=ours, row=row.message(), count=count, **options)
        return {
            "gpu_ms": sum(one["us"] for one in kernels) / 1000,
            "launches": sum(one["calls"] for one in kernels),
            "kernels": kernels,
        }

    return {
        OURS: ask(True),
        best: ask(False, memory_format=FORMATS[best], tf32=tf32),
    }
