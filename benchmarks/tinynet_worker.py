"""Our side: the network of a row, its step, and the machine's rate of matrix products.

Like the training script it calls `nn.fuse_activations`, and `backend.reuse_freed_memory()`, a
setting of the C library that a program makes for itself and that the figures therefore include,
the peak memory among them. For inference BatchNorm is folded into the convolutions
(`nn.fold_batchnorm`), as a program that only predicts would do; PyTorch's network is left as it is.
The pictures lie in memory as `tinynet.data.Loader` lays them, batch innermost.
"""

import numpy as np

import mobilenet
import tinynet as tn
from benchmarks import worker
from tinynet import backend, nn, optim


class Network(worker.Network):
    """One row's network with a batch of random numbers."""

    no_grad = tn.no_grad

    def start(self, row):
        after_imports = worker.memory()["now_mb"]
        backend.reuse_freed_memory()
        tn.manual_seed(0)
        rng = np.random.default_rng(0)
        N, size = row["batch"], row["size"]
        self.model = mobilenet.build(row["network"], row["classes"], row["width"])
        memory = rng.standard_normal((3, size, size, N), dtype=np.float32)
        self.x = tn.Tensor(memory.transpose(3, 0, 1, 2))
        self.labels = tn.Tensor(np.arange(N) % row["classes"])
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = optim.SGD(self.model.parameters(), **self.sgd)
        facts = self.ready(row, after_imports)  # counts the parameters before any are folded away
        faster = nn.fuse_activations if row["train"] else nn.fold_batchnorm
        faster(self.model)
        return facts

    # not at the top: what the next two import would count as memory of every row

    def profile(self, count):
        from benchmarks.profile import profile

        return profile(self, count)

    def loop(self, **arguments):
        from benchmarks.overhead import measure

        return measure(self, **arguments)


def products(size, count):
    """GFLOP/s of each of `count` products of square float32 matrices, after one that is not
    counted."""
    a = np.ones((size, size), np.float32)
    out = np.empty_like(a)
    seconds = worker.timed(lambda: np.matmul(a, a, out=out), count + 1)[1:]
    return [2 * size**3 / one / 1e9 for one in seconds]


if __name__ == "__main__":
    network = Network()
    worker.serve(
        {
            "start": network.start,
            "steps": network.steps,
            "memory": worker.memory,
            "products": products,
            "profile": network.profile,
            "loop": network.loop,
        }
    )
