"""A worker's side of the conversation: a process that runs steps of one library when told to.

It reads one JSON object a line, {"do": name, ...arguments}, runs the task of that name, and
writes what the task returns as one line of JSON. It ends when its input ends. A task that fails
ends it too: the reason is then the last line of its stderr.
"""

import json
import os
import signal
import sys
import time

try:
    import resource
except ImportError:  # Windows
    resource = None


def serve(tasks):
    """Answer until the input ends. tasks: name -> function of the request's other entries."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not mix with the answers
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(tasks[request.pop("do")](**request)), file=answers, flush=True)


class Network:
    """What both libraries' networks do alike; `no_grad`, `model`, `x`, `labels`, `criterion` and
    `optimizer` are the library's. sgd: the options of both optimisers."""

    sgd = {"lr": 0.01, "momentum": 0.9}

    def ready(self, row, after_imports_mb):
        """Choose mode and step by the row; returns what the parent wants to know at the start."""
        self.model.train(row["train"])
        self.step = self.train if row["train"] else self.infer
        return {
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "after_imports_mb": after_imports_mb,
        }

    def train(self):
        self.optimizer.zero_grad()
        loss = self.criterion(self.model(self.x), self.labels)
        loss.backward()
        self.optimizer.step()

    def infer(self):
        with self.no_grad():
            self.model(self.x)

    def steps(self, count):
        return timed(self.step, count)


class QueuedNetwork(Network):
    """A network on a GPU: what Python asks for joins a queue. `wait` returns when all is done."""

    sgd = {**Network.sgd, "nesterov": True}

    def steps(self, count):
        """The seconds of each of `count` steps, every one of them waited for."""
        return timed(lambda: self._many(1), count)

    def blocks(self, count, size):
        """The seconds of a step in each of `count` blocks of `size` steps. Only at the end of a
        block is the GPU waited for, as in a training loop."""
        self.wait()
        return [seconds / size for seconds in timed(lambda: self._many(size), count)]

    def launches(self, count):
        """The seconds that each of `count` steps takes to be queued while the queue is empty: the
        time that Python needs, and below which no step can come."""
        seconds = []
        for _ in range(count):
            self.wait()
            seconds += timed(self.step, 1)
        self.wait()
        return seconds

    def _many(self, count):
        for _ in range(count):
            self.step()
        self.wait()


def timed(step, count):
    """The seconds of each of `count` steps."""
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    return seconds


def memory():
    """Resident memory of this process in MB (10**6 bytes): now and at its peak, None if unknown.

    Linux's own figures come first: its ru_maxrss starts from what the parent had.
    """
    try:
        with open("/proc/self/status", encoding="utf-8") as file:
            fields = dict(line.split(":", 1) for line in file)
        now, peak = (int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    except (OSError, KeyError):
        if resource is None:
            return {"now_mb": None, "peak_mb": None}
        unit = 1 if sys.platform == "darwin" else 1024
        now, peak = None, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {"now_mb": now and now / 1e6, "peak_mb": peak / 1e6}
