"""PyTorch's side on a GPU, and the profile, kernel by kernel, of either side's step.

PyTorch's profiler sees every kernel of its process, whoever launched it: ours too.
"""

import collections

import torch

from benchmarks import torch_worker, worker


class Network(worker.QueuedNetwork, torch_worker.Network):
    """One row's network and its batch, on the GPU."""

    def start(self, row, memory_format, tf32):
        self.release()
        torch.backends.cuda.matmul.allow_tf32 = tf32
        torch.backends.cudnn.allow_tf32 = tf32
        torch.backends.cudnn.benchmark = True
        facts = super().start(row, torch.get_num_threads(), memory_format)
        self.model.to("cuda")
        self.x, self.labels = self.x.to("cuda"), self.labels.to("cuda")
        return {**facts, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}

    def release(self):
        self.model = self.optimizer = self.x = self.labels = None
        torch.cuda.empty_cache()

    def wait(self):
        torch.cuda.synchronize()

    def memory(self, count=3):
        """The peaks of `count` steps in MB (10**6 bytes), what the first steps tried left out."""
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        self._many(count)
        return {
            "reserved_mb": torch.cuda.max_memory_reserved() / 1e6,
            "used_mb": torch.cuda.max_memory_allocated() / 1e6,
        }


def profile(ours, row, count, **options):
    """The kernels of a step. ours: whether of our network; options: those of `Network.start`.

    Returns: a list of {"name", "calls", "us"} a step, the dearest first.
    """
    network = _ours() if ours else Network()
    network.start(row, **options)
    network.steps(3)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as taken:
        network.steps(count)
    network.release()
    on_gpu = [event for event in taken.events() if event.device_type.name == "CUDA"]
    return by_kernel([(event.name, event.time_range.elapsed_us()) for event in on_gpu], count)


def _ours():
    from benchmarks import gpu_device, gpu_worker  # CuPy, which PyTorch's own figures do without

    return gpu_worker.Network(gpu_device.Device())


def by_kernel(events, steps):
    """(name, microseconds) of every launch in `steps` steps -> as `profile` returns it."""
    calls, us = collections.Counter(), collections.Counter()
    for name, taken in events:
        calls[name] += 1
        us[name] += taken
    return [
        {"name": name, "calls": calls[name] / steps, "us": total / steps}
        for name, total in us.most_common()
    ]


if __name__ == "__main__":
    network = Network()
    asked = ("start", "release", "steps", "blocks", "launches", "memory")
    worker.serve({"profile": profile, **{name: getattr(network, name) for name in asked}})
