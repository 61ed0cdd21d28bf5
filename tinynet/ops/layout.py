"""The memory layout of pictures: logical (N, C, H, W), in memory (C, H, W, N).

A user sees torch's axes everywhere. In memory the channels come first and the batch is
innermost, so that a pointwise convolution is ONE matrix product (O, C) @ (C, H*W*N), the
statistics of BatchNorm are sums over contiguous rows, and every elementwise loop is long and
contiguous whatever the picture's size. Both functions are free when the layout is right
already; an op that gets another layout (a user's plain NCHW array) copies once.
"""

from tinynet.backend import array_module


def channels_first(x):
    """(N, C, H, W) in any layout -> (C, H, W, N), contiguous."""
    x = x.transpose(1, 2, 3, 0)
    return x if x.flags.c_contiguous else array_module(x).ascontiguousarray(x)


def batch_first(y):
    """(C, H, W, N) -> (N, C, H, W), a view: what the user sees."""
    return y.transpose(3, 0, 1, 2)


def check_images(name, x):
    """Raise ValueError unless `x` has the four axes (N, C, H, W)."""
    if x.ndim != 4:
        raise ValueError(
            f"{name}: expected an input of shape (N, C, H, W), got shape {x.shape}"
            + ("; add the batch axis with x.unsqueeze(0)" if x.ndim == 3 else "")
        )
