"""A data set's pictures kept on a device as bytes, and batches made of them there.

Bytes are a quarter of floats, and CIFAR-100's 154 MB fit on any GPU: then a batch costs no more
than to send its pictures' numbers. The CPU draws what chance decides (`tinynet.data.Loader`), so
that a seed means the same batches on every device.
"""

import numpy as np

from tinynet.backend import array_module, to_device
from tinynet.kernel import Kernel, blocks, suits
from tinynet.ops.layout import batch_first


class Pictures:
    """Called with `picked` and `moves`, it gives the batch x (N, C, H, W) in float32.

    Args: images: uint8 array (M, C, H, W). scale, offset: (C,), a byte times the one plus the
    other is normalised. device: 'cpu' or 'cuda'.
    """

    def __init__(self, images, scale, offset, device):
        self.images, self.scale, self.offset = (
            to_device(np.ascontiguousarray(array), device) for array in (images, scale, offset)
        )

    def __call__(self, picked, moves=None):
        """picked (N,): numbers of pictures. moves: None, or (down, right, flipped), (N,) each: by
        how many pixels to move the window over each picture, black outside, and whether to mirror
        what it then shows."""
        down, right, flipped = moves if moves is not None else np.zeros((3, len(picked)), int)
        orders = np.array([picked, down, right, flipped], np.int64)
        orders = array_module(self.images).asarray(orders)
        return batch_first(cut(self.images, orders, self.scale, self.offset))


def cut(images, orders, scale, offset):
    """images (M, C, H, W), orders (4, N) -> (C, H, W, N)"""
    xp = array_module(images)
    _, C, H, W = images.shape
    N = orders.shape[1]
    if suits(scale, offset):
        x = xp.empty((C, H, W, N), scale.dtype)
        grid = blocks(H * W * N), C
        CUT(grid, (images, orders, scale, offset, x), H, W, N, dtype=x.dtype)
        return x
    picked, down, right, flipped = orders[:, None, None]  # (1, 1, N) each
    h, w = xp.arange(H)[:, None, None], xp.arange(W)[:, None]
    r = h + down  # (H, 1, N)
    q = xp.where(flipped, W - 1 - w, w) + right  # (1, W, N)
    inside = (r >= 0) & (r < H) & (q >= 0) & (q < W)
    channel = xp.arange(C)[:, None, None, None]
    pixels = images[picked, channel, r.clip(0, H - 1), q.clip(0, W - 1)]  # (C, H, W, N)
    return pixels * inside * scale[:, None, None, None] + offset[:, None, None, None]


CUT = Kernel(
    "cut",
    r"""
extern "C" __global__ void cut(
    const unsigned char *images, const long long *orders, const real *scale, const real *offset,
    real *x, int H, int W, int N)
{
    const int place = blockIdx.x * THREADS + threadIdx.x, c = blockIdx.y, C = gridDim.y;
    if (place >= H * W * N) return;
    const int n = place % N, w = place / N % W, h = place / N / W;
    const long long picked = orders[n], down = orders[N + n], right = orders[2 * N + n];
    const bool flipped = orders[3 * N + n];
    const long long r = h + down, q = (flipped ? W - 1 - w : w) + right;
    const bool inside = 0 <= r && r < H && 0 <= q && q < W;
    const real pixel = inside ? images[((picked * C + c) * H + r) * W + q] : 0;
    x[((size_t)c * H * W) * N + place] = pixel * scale[c] + offset[c];
}
""",
)
