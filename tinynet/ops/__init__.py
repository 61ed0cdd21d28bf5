"""The ops of neural networks: one file a family, forward and backward side by side."""
