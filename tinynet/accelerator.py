"""What scripts ask of `torch.accelerator`, about the GPU that tinynet works on."""

from tinynet.backend import CUDA
from tinynet.backend import cuda_available as is_available

__all__ = ["current_accelerator", "is_available"]


def current_accelerator(check_available=False):
    """The device 'cuda', or None where there is no GPU."""
    return CUDA if is_available() else None
