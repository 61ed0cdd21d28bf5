"""A worker's side of the conversation: a process that runs steps of one library when told to.

It reads one JSON object per line, {"do": name, ...arguments}, calls the network's method of that
name, and writes what it returns as one line of JSON. It ends when its input ends. A method that
fails ends it too: the reason is then the last line of its stderr.
"""

import json
import os
import signal
import statistics
import sys
import time

try:
    import resource
except ImportError:  # Windows
    resource = None

SGD = {"lr": 0.01, "momentum": 0.9}  # the options of both libraries' optimisers


def serve(network, requests=None):
    """Answer until the input ends. requests: lines of JSON; those of stdin if not given."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not mix with the answers
    for line in sys.stdin if requests is None else requests:
        request = json.loads(line)
        print(json.dumps(getattr(network, request.pop("do"))(**request)), file=answers, flush=True)


class Network:
    """What both libraries' networks do alike. `model`, `x`, `labels`, `criterion`, `optimizer`,
    the context manager `no_grad` and, on a GPU, `wait` are the library's."""

    def wait(self):
        """Return when everything that Python has queued is done: on a CPU, at once."""

    def ready(self, row):
        """Choose mode and step by the row; returns the number of parameters."""
        self.model.train(row["train"])
        self.step = self.train if row["train"] else self.infer
        return sum(p.numel() for p in self.model.parameters())

    def train(self):
        self.optimizer.zero_grad()
        self.backward(self.criterion(self.model(self.x), self.labels))
        self.optimizer.step()

    def backward(self, loss):
        loss.backward()

    def infer(self):
        with self.no_grad():
            self.model(self.x)

    def many(self, count):
        for _ in range(count):
            self.step()
        self.wait()

    def steps(self, count, size=1):
        """The seconds of a step in each of `count` blocks of `size` steps. A GPU is waited for at
        the end of each block only, as in a training loop."""
        self.wait()
        return [seconds / size for seconds in timed(lambda: self.many(size), count)]

    def launch_ms(self, count=15):
        """The median ms that a step takes to be queued while the queue is empty: the time that
        Python needs, and below which no step can come."""
        seconds = []
        for _ in range(count):
            self.wait()
            seconds += timed(self.step, 1)
        return 1000 * statistics.median(seconds)

    def facts(self):
        return {"peak_mb": peak_memory()}


def together(answers):
    """One answer for processes that worked at the same time: the times of the slowest, the sum of
    their memory, and otherwise that of the first."""
    first = answers[0]
    if isinstance(first, list):
        return max(answers, key=sum)
    if isinstance(first, dict):
        peaks = [answer["peak_mb"] for answer in answers]
        return {**first, "peak_mb": None if None in peaks else sum(peaks)}
    return first


def timed(step, count):
    """The seconds of each of `count` steps."""
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    return seconds


def peak_memory():
    """The peak of this process's resident memory in MB (10**6 bytes), None if unknown.

    Linux's own figure comes first: its ru_maxrss starts from what the parent had.
    """
    try:
        with open("/proc/self/status", encoding="utf-8") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["VmHWM"].split()[0]) * 1024 / 1e6
    except (OSError, KeyError):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource and resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
