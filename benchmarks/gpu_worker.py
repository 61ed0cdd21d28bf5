"""Our side on a GPU: the network of a row and its steps, the checks, the kernels one by one."""

from benchmarks import gpu_checks, gpu_kernels, tinynet_worker, worker
from benchmarks.gpu_device import Device


class Network(worker.QueuedNetwork, tinynet_worker.Network):
    """One row's network and its batch, on the GPU."""

    def __init__(self, device):
        self.device = device
        self.wait = device.wait

    def start(self, row):
        self.release()
        facts = super().start(row)
        self.model.to("cuda")
        self.x, self.labels = self.x.to("cuda"), self.labels.to("cuda")
        return facts

    def release(self):
        self.model = self.optimizer = self.x = self.labels = None
        self.device.free()

    def memory(self, count=3):
        """The peaks of `count` steps in MB (10**6 bytes)."""
        reserved, used = self.device.peaks(lambda: self._many(count))
        return {"reserved_mb": reserved / 1e6, "used_mb": used / 1e6}


def tasks(device):
    """name -> what a parent can ask for."""
    network, kernels = Network(device), gpu_kernels.Recorded(device)

    def record(row):
        network.start(row)
        network.steps(2)  # what only the first step does is not of interest
        return kernels.record(network.step, row["batch"])

    def check(name, dtype):
        if not checking:
            device.poison()
            checking.append(True)
        return gpu_checks.run(name, dtype)

    checking = []
    return {
        **{name: getattr(network, name) for name in ("start", "release", "steps", "blocks")},
        **{name: getattr(network, name) for name in ("launches", "memory")},
        "check": check,
        "copy_rate": device.copy_rate,
        "record": record,
        "kernel": kernels.measure,
    }


if __name__ == "__main__":
    worker.serve(tasks(Device()))
