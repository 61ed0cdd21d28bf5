"""Speed and memory of tinynet beside PyTorch's: `python -m benchmarks`, described in README.md."""
