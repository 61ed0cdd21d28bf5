"""What scripts set in `torch.backends`. None of it changes anything here."""

from types import SimpleNamespace

from tinynet.backends import cudnn

__all__ = ["cudnn", "mps"]
mps = SimpleNamespace(is_available=lambda: False, is_built=lambda: False)  # a Mac's GPU
