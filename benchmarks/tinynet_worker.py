"""Our side: the network of a row, its step, and the machine's rate of matrix products.

The step is what a plain loop does; nothing is asked for that makes it faster. For inference
BatchNorm is folded into the convolutions, as a program that only predicts would do; PyTorch's
network is left as it is. The images lie in memory as `tinynet.data.Loader` lays them, batch
innermost.
"""

import numpy as np

import mobilenet
import tinynet as tn
from benchmarks import worker
from tinynet import backend, nn, optim


class Network(worker.Network):
    """One row's network with a batch of random numbers."""

    no_grad = tn.no_grad

    def start(self, row, device="cpu", tf32=False):
        if tf32:
            backend.allow_tf32()
        tn.manual_seed(0)
        rng = np.random.default_rng(0)
        N, size = row["batch"], row["size"]
        self.model = mobilenet.build(row["network"], row["classes"], row["width"]).to(device)
        memory = rng.standard_normal((3, size, size, N), dtype=np.float32)
        self.x = tn.Tensor(memory.transpose(3, 0, 1, 2)).to(device)
        self.labels = tn.Tensor(np.arange(N) % row["classes"]).to(device)
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = optim.SGD(self.model.parameters(), **worker.SGD)
        parameters = self.ready(row)  # counted before any are folded away
        if not row["train"]:
            nn.fold_batchnorm(self.model)
        return parameters

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


if __name__ == "__main__":
    worker.serve(Network())
