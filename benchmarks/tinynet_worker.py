"""Our side: the network of a row, its step, and the machine's rate of matrix products.

`python -m benchmarks.tinynet_worker N` answers as one process does, and lets N workers of
`tinynet.parallel` share each batch.

The step is what a plain loop does; nothing is asked for that makes it faster. For inference
BatchNorm is folded into the convolutions, as a program that only predicts would do; PyTorch's
network is left as it is. The images lie in memory as `tinynet.data.Loader` lays them, batch
innermost.
"""

import contextlib
import os
import secrets
import signal
import statistics
import sys
import threading
import time
from multiprocessing import connection

import numpy as np

import mobilenet
import tinynet as tn
from benchmarks import worker
from tinynet import backend, nn, optim, parallel

SYNC, LOCAL = "sync", "local"  # BatchNorm's statistics: of the whole batch, of a worker's share


class Network(worker.Network):
    """One row's network with a batch of random numbers, or with a worker's share of it."""

    no_grad = tn.no_grad

    def start(self, row, device="cpu", tf32=False, exchange=SYNC):
        """exchange: what workers tell each other; None: nothing, each trains alone."""
        if tf32:
            backend.allow_tf32()
        tn.manual_seed(0)
        rng = np.random.default_rng(parallel.rank)
        labels = np.arange(row["batch"])[parallel.share_of(row["batch"])] % row["classes"]
        N, size = len(labels), row["size"]
        self.model = mobilenet.build(row["network"], row["classes"], row["width"]).to(device)
        if exchange == SYNC and parallel.size > 1:
            nn.SyncBatchNorm.convert_sync_batchnorm(self.model)
        self.group = parallel.current() if exchange else parallel.Group()
        self.even = row["batch"] % parallel.size == 0
        memory = rng.standard_normal((3, size, size, N), dtype=np.float32)
        self.x = tn.Tensor(memory.transpose(3, 0, 1, 2)).to(device)
        self.labels = tn.Tensor(labels).to(device)
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = optim.SGD(self.model.parameters(), **worker.SGD)
        parameters = self.ready(row)  # counted before any are folded away
        if not row["train"]:
            nn.fold_batchnorm(self.model)
        return parameters

    def train(self):
        with parallel.use(self.group):
            super().train()

    def backward(self, loss):
        weight = 1.0 if self.even else parallel.weight_of(len(self.labels))
        parallel.backward(loss, self.model, weight)

    # not at the top: what the next two import would count as memory of every row

    def profile(self, count):
        from benchmarks.profile import profile

        return profile(self, count)

    def loop(self, **arguments):
        from benchmarks.loop import measure

        return measure(self, **arguments)

    def products(self, size, count):
        """GFLOP/s of each of `count` products of square float32 matrices, after one that is not
        counted."""
        a = np.ones((size, size), np.float32)
        out = np.empty_like(a)
        seconds = worker.timed(lambda: np.matmul(a, a, out=out), count + 1)[1:]
        return [2 * size**3 / one / 1e9 for one in seconds]

    def copies(self, size, count):
        """The seconds of each of `count` copies of `size` bytes, after one that is not counted."""
        source, target = np.ones(size, np.uint8), np.empty(size, np.uint8)
        return worker.timed(lambda: np.copyto(target, source), count + 1)[1:]


class Share(Network):
    """One worker's side of a row. All make the same calls; worker 0 answers for all."""

    def steps(self, count, size=1):
        parallel.barrier()
        return together(super().steps(count, size))

    def copies(self, size, count):
        parallel.barrier()
        return together(super().copies(size, count))

    def facts(self):
        return together(super().facts())

    def exchanged(self, count):
        """What worker 0 sees of the exchange in `count` steps: "ms", the median that it spends in
        the calls of its group, waiting included; "messages", the bytes of a step's all-reduces."""
        group, spent = self.group, []
        self.steps(1)
        for _ in range(count):
            self.group = Stopwatch(group)
            self.step()
            spent.append(1000 * self.group.seconds)
            messages = self.group.messages
        self.group = group
        return {"ms": statistics.median(spent), "messages": messages}

    def sums(self, count):
        """The seconds of each of `count` all-reduces of one number."""
        number = np.zeros(1)
        parallel.barrier()
        return worker.timed(lambda: parallel.all_reduce(number), count)


class Stopwatch(parallel.Group):
    """A group that counts the seconds spent in the calls of another, and the bytes of each."""

    def __init__(self, group):
        self.group, self.rank, self.size, self.seconds = group, group.rank, group.size, 0.0
        self.messages = []

    def begin(self, *arrays):
        self.messages.append(sum(array.nbytes for array in arrays))
        finish = self.timed(self.group.begin, *arrays)
        return lambda: self.timed(finish)

    def timed(self, function, *arguments):
        began = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            self.seconds += time.perf_counter() - began


def together(answer):
    """One answer for all workers."""
    return worker.together([parallel.broadcast(answer, root) for root in range(parallel.size)])


def share(address, key):
    """What each worker runs: it hears its requests, and only worker 0 is heard."""
    # a line of its own: a worker that is out of turn must sleep, and not look at shared memory
    line = connection.Client(address, authkey=key)

    def requests():
        with contextlib.suppress(EOFError):
            while True:
                yield line.recv()

    if parallel.rank:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    worker.serve(Share(), requests())


def launch(workers):
    """Start workers and hand every request of stdin to all of them, until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    key = secrets.token_bytes(16)
    listener = connection.Listener(("localhost", 0), authkey=key)

    def forward():
        lines = [listener.accept() for _ in range(workers)]
        # unbuffered: Python cannot end while a thread waits inside the buffer of stdin
        for request in open(0, "rb", buffering=0, closefd=False):  # noqa: SIM115
            for line in lines:
                line.send(request.decode())
        for line in lines:
            line.close()

    threading.Thread(target=forward, daemon=True).start()
    try:
        parallel.run(share, listener.address, key, workers=workers)
    except parallel.WorkerError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    if sys.argv[1:]:
        launch(int(sys.argv[1]))
    else:
        worker.serve(Network())
