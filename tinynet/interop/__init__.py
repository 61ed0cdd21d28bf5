"""Weights from other programs, and for them: docs/weights.md says which files."""

from tinynet.interop.onnx.graph import load_onnx
from tinynet.interop.onnx.write import save_onnx
from tinynet.interop.safetensors import load_safetensors, save_safetensors
from tinynet.interop.source import WeightsError
from tinynet.interop.torch import from_torch, to_torch

__all__ = [
    "WeightsError",
    "from_torch",
    "load_onnx",
    "load_safetensors",
    "save_onnx",
    "save_safetensors",
    "to_torch",
]
