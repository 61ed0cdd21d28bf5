"""PyTorch's side: the same network, the same step."""

import torch

from benchmarks import worker


def twin(layers):
    """MobileNetV1 in torch, from `Row.layers()`. ReLU6 works in place, as is usual in torch."""

    def unit(in_channels, channels, kernel, stride=1, groups=1):
        padding = kernel // 2
        return (
            torch.nn.Conv2d(
                in_channels, channels, kernel, stride, padding, groups=groups, bias=False
            ),
            torch.nn.BatchNorm2d(channels),
            torch.nn.ReLU6(inplace=True),
        )

    stride, channels = layers["stem"]
    parts = [*unit(3, channels, 3, stride)]
    for stride, out_channels in layers["blocks"]:
        parts += unit(channels, channels, 3, stride, groups=channels)
        parts += unit(channels, out_channels, 1)
        channels = out_channels
    return torch.nn.Sequential(
        *parts,
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(channels, layers["classes"]),
    )


class Network(worker.Network):
    """One row's network with a batch of random numbers in the memory format under test."""

    no_grad = torch.no_grad

    def start(self, row, threads, memory_format):
        after_imports = worker.memory()["now_mb"]
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        layout = {"default": torch.contiguous_format, "channels_last": torch.channels_last}
        layout = layout[memory_format]
        self.model = twin(row["layers"]).to(memory_format=layout)
        x = torch.randn(row["batch"], 3, row["size"], row["size"])
        self.x = x.contiguous(memory_format=layout)
        self.labels = torch.arange(row["batch"]) % row["classes"]
        self.criterion = torch.nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.model.parameters(), **self.sgd)
        return self.ready(row, after_imports)


if __name__ == "__main__":
    network = Network()
    worker.serve({"start": network.start, "steps": network.steps, "memory": worker.memory})
