"""A data set's images kept on a device as bytes, and batches made of them there.

Bytes are a quarter of floats, and CIFAR-100's 154 MB fit on any GPU: then a batch costs no more
than to send which images it has. The CPU draws what chance decides (`Loader`), so that a seed
means the same batches on every device.
"""

import numpy as np

from tinynet.autograd.tape import implementation
from tinynet.backend import array_module, to_device


class Images:
    """Called with `picked` and `moves`, it gives the batch x (N, C, H, W) in float32.

    Args: images: uint8 array (M, C, H, W). scale, offset: (C,), a byte times the one plus the
    other is normalised. device: 'cpu' or 'cuda'.
    """

    def __init__(self, images, scale, offset, device):
        kinds = np.uint8, np.float32, np.float32
        self.images, self.scale, self.offset = (
            to_device(np.ascontiguousarray(array, dtype), device)
            for array, dtype in zip((images, scale, offset), kinds, strict=True)
        )

    def __call__(self, picked, moves=None):
        """picked (N,): which images. moves: None, or (down, right, flipped), (N,) each: by how many
        pixels to move the window over each image, black outside, and whether to mirror what it
        then shows."""
        down, right, flipped = moves if moves is not None else np.zeros((3, len(picked)), int)
        orders = np.array([picked, down, right, flipped], np.int64)
        arrays = self.images, array_module(self.images).asarray(orders), self.scale, self.offset
        return implementation(cut, *arrays)(*arrays).transpose(3, 0, 1, 2)


def cut(images, orders, scale, offset):
    """images (M, C, H, W), orders (4, N) -> (C, H, W, N), the order that the engine computes in."""
    xp = array_module(images)
    _, C, H, W = images.shape
    picked, down, right, flipped = orders[:, None, None]  # (1, 1, N) each
    h, w = xp.arange(H)[:, None, None], xp.arange(W)[:, None]
    r = h + down  # (H, 1, N)
    q = np.where(flipped, W - 1 - w, w) + right  # (1, W, N)
    inside = (r >= 0) & (r < H) & (q >= 0) & (q < W)
    channel = xp.arange(C)[:, None, None, None]
    pixels = images[picked, channel, r.clip(0, H - 1), q.clip(0, W - 1)]  # (C, H, W, N)
    return pixels * inside * scale[:, None, None, None] + offset[:, None, None, None]
