"""The processes of the GPU's benchmarks: who is who, and how to ask them.

An error of CUDA's makes the whole process useless, and a kernel may never end. So every library
works in processes of its own, and one that dies or falls silent is replaced.
"""

import threading

from benchmarks.turns import CHANNELS_LAST, DEFAULT, OURS, BenchmarkError, Worker

OURS_TF32 = f"{OURS}, TF32"
PROFILER, PROFILER_TF32 = "profiler", "profiler, TF32"
LIMIT = 150.0  # seconds for an answer: importing, compiling and choosing algorithms included

# name -> module, and the setting of TF32 that CuPy reads when it is imported
MEMBERS = {
    OURS: ("benchmarks.gpu_worker", "0"),
    OURS_TF32: ("benchmarks.gpu_worker", "1"),
    DEFAULT: ("benchmarks.gpu_torch", "0"),
    CHANNELS_LAST: ("benchmarks.gpu_torch", "0"),
    PROFILER: ("benchmarks.gpu_torch", "0"),
    PROFILER_TF32: ("benchmarks.gpu_torch", "1"),
}


class Crew:
    """Workers by name, each started when it is first needed; `with` ends them all."""

    def __init__(self, limit=LIMIT):
        self.limit, self.workers = limit, {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.dismiss(*self.workers)

    def call(self, *names):
        """Start those who are not there yet, all at the same time."""
        for name in names:
            if name not in self.workers:
                module, tf32 = MEMBERS[name]
                self.workers[name] = Worker(module, variables={"CUPY_TF32": tf32})

    def dismiss(self, *names):
        for name in names:
            if name in self.workers:
                self.workers.pop(name).__exit__()

    def ask(self, name, do, /, **arguments):
        """The answer of one of them. Raises BenchmarkError where none comes; whoever failed is
        dismissed, and the next request starts another, who knows nothing of what was before."""
        self.call(name)
        worker = self.workers[name]
        timer = threading.Timer(self.limit, worker.process.kill)
        timer.start()
        try:
            return worker.ask(do, **arguments)
        except BenchmarkError as error:
            self.dismiss(name)
            if timer.finished.is_set():
                error.args = (f"{name}: no answer within {self.limit:.0f} s",)
            raise
        finally:
            timer.cancel()

    def member(self, name):
        """One of them as something that can be asked."""
        return Member(self, name)


class Member:
    def __init__(self, crew, name):
        self.crew, self.name = crew, name

    def ask(self, do, **arguments):
        return self.crew.ask(self.name, do, **arguments)
