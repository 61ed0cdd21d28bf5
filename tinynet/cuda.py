"""What scripts ask of `torch.cuda`, about the GPU that tinynet works on."""

from tinynet import absent, backend
from tinynet.backend import cuda_available as is_available
from tinynet.backend import manual_seed

__getattr__ = absent.names_of(__name__)
__all__ = [
    "device_count",
    "empty_cache",
    "get_device_name",
    "is_available",
    "manual_seed",
    "manual_seed_all",
    "synchronize",
]
manual_seed_all = manual_seed  # one generator, whatever the device


def device_count():
    """How many GPUs there are; 0 where none can be used."""
    return backend.device_count() if is_available() else 0


def get_device_name(device=None):
    """What the driver calls the GPU. Raises RuntimeError where there is none."""
    properties = backend.cupy().cuda.runtime.getDeviceProperties(0)
    return properties["name"].decode()


def synchronize(device=None):
    """Wait until the GPU has done all that it was asked for. Raises RuntimeError without one."""
    backend.cupy().cuda.Device().synchronize()


def empty_cache():
    """Give memory that no array needs back to the GPU; without a GPU there is nothing to give."""
    if is_available():
        backend.cupy().get_default_memory_pool().free_all_blocks()
