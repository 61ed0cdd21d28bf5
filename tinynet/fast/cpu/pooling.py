"""The average of all pixels, with which MobileNet ends; for a GPU, too."""

import numpy as np

from tinynet.fast.layout import batch_first, channels_first, empty_like, is_float
from tinynet.ops.pooling import AdaptiveAveragePool2d


class GlobalAverage(AdaptiveAveragePool2d):
    @staticmethod
    def suits(x, *, output_size):
        return output_size == (1, 1) and is_float(x)

    def forward(self, x):
        N, C, H, W = x.shape
        pixels = channels_first(x).reshape(C, H * W, N)
        y = np.einsum("cin->cn", pixels)  # NumPy's own sum takes up to three times as long
        return batch_first((y / (H * W)).reshape(C, 1, 1, N))

    def backward(self, gy):
        N, C, H, W = self.input_shapes[0]
        gx = empty_like(gy, (C, H, W, N))
        gx[...] = channels_first(gy) / (H * W)
        return batch_first(gx)
