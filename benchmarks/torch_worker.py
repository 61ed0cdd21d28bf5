"""PyTorch's side: the same network, the same step, on a CPU or a GPU.

`python -m benchmarks.torch_worker RANK SIZE [FILE]` is one of SIZE processes that share a batch.
With a FILE, of which none has heard before, they meet there and exchange gradients by
DistributedDataParallel over gloo; without, each trains alone.
"""

import datetime
import sys

import torch
from torch import distributed

from benchmarks import worker


def twin(layers):
    """MobileNetV1 in torch, from `Row.layers()`. ReLU6 works in place, as is usual in torch."""

    def unit(in_channels, channels, kernel, stride=1, groups=1):
        geometry = {"stride": stride, "padding": kernel // 2, "groups": groups, "bias": False}
        return (
            torch.nn.Conv2d(in_channels, channels, kernel, **geometry),
            torch.nn.BatchNorm2d(channels),
            torch.nn.ReLU6(inplace=True),
        )

    stride, channels = layers["stem"]
    parts = [*unit(3, channels, 3, stride)]
    for stride, out_channels in layers["blocks"]:
        parts += unit(channels, channels, 3, stride, groups=channels)
        parts += unit(channels, out_channels, 1)
        channels = out_channels
    last = torch.nn.Linear(channels, layers["classes"])
    return torch.nn.Sequential(*parts, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), last)


class Network(worker.Network):
    """One row's network with a batch of random numbers in the memory format under test."""

    no_grad = torch.no_grad

    def __init__(self, rank="0", size="1", file=None):
        self.rank, self.of, self.together = int(rank), int(size), file is not None
        if self.together:
            distributed.init_process_group(
                "gloo",
                init_method=f"file://{file}",
                rank=self.rank,
                world_size=self.of,
                timeout=datetime.timedelta(seconds=120),
            )

    def start(self, row, memory_format, device="cpu", tf32=False):
        if device == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
            torch.backends.cudnn.benchmark = True
            self.wait = torch.cuda.synchronize
        torch.manual_seed(0)
        layout = getattr(torch, memory_format)
        self.model = twin(row["layers"]).to(device, memory_format=layout)
        labels = torch.arange(row["batch"]).tensor_split(self.of)[self.rank] % row["classes"]
        x = torch.randn(len(labels), 3, row["size"], row["size"])
        self.x = x.contiguous(memory_format=layout).to(device)
        self.labels = labels.to(device)
        if self.together:
            self.model = torch.nn.parallel.DistributedDataParallel(self.model)
        self.criterion = torch.nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.model.parameters(), **worker.SGD)
        return self.ready(row)

    def steps(self, count, size=1):
        if self.together:
            distributed.barrier()
        return super().steps(count, size)

    def facts(self, count=3):
        """On a GPU: the peak in MB of `count` steps, what the first steps tried left out."""
        if self.x.device.type == "cpu":
            return super().facts()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        self.many(count)
        reserved = torch.cuda.max_memory_reserved()
        return {"peak_mb": reserved / 1e6, "launch_ms": self.launch_ms()}


if __name__ == "__main__":
    worker.serve(Network(*sys.argv[1:]))
