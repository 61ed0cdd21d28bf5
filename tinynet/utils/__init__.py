"""What scripts import from `torch.utils`: `tinynet.utils.data`."""

from tinynet.utils import data

__all__ = ["data"]
