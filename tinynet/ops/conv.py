"""Convolution by im2col: lay the patches out as a matrix, then multiply.

Chellapilla, Puri, Simard, "High performance convolutional neural networks for document
processing" (2006), section 3.1. "Convolution" is cross-correlation here, as in torch.

Letters: N pictures, C input channels, O output channels, G groups, KH x KW kernel, HO x WO
output positions, P = HO*WO*N.
"""

from tinynet.autograd.tape import Function
from tinynet.backend import array_module
from tinynet.kernel import Kernel, blocks, suits
from tinynet.ops.layout import batch_first, channels_first, check_images


def im2col(x, window, out_size):
    """(C, H, W, N) -> (C*KH*KW, P): row (c, i, j) holds what tap (i, j) of channel c sees."""
    C, _, _, N = x.shape
    if window.kernel == (1, 1):
        return window.tap(window.pad(x), 0, 0, out_size).reshape(C, -1)  # no copy at stride 1
    if suits(x):
        return _im2col_by_kernel(x, window, out_size)
    padded = window.pad(x)
    columns = array_module(x).empty((C, *window.kernel, *out_size, N), dtype=x.dtype)
    for i, j in window.taps():
        columns[:, i, j] = window.tap(padded, i, j, out_size)
    return columns.reshape(C * len(window.taps()), -1)  # -1 not first: N may be 0


def _im2col_by_kernel(x, window, out_size):
    C, H, W, N = x.shape
    rows, places = C * len(window.taps()), out_size[0] * out_size[1] * N
    columns = array_module(x).empty((rows, places), x.dtype)
    (top, _), (left, _) = window.padding
    moves = *window.stride, *window.dilation, top, left
    sizes = H, W, *out_size, N, *window.kernel
    IM2COL((blocks(places), rows), (x, columns), *sizes, *moves)
    return columns


IM2COL = Kernel(
    "im2col",
    r"""
extern "C" __global__ void im2col(
    const real *x, real *columns, int H, int W, int HO, int WO, int N, int KH, int KW,
    int sh, int sw, int dh, int dw, int top, int left)
{
    const int place = blockIdx.x * THREADS + threadIdx.x, row = blockIdx.y;
    if (place >= HO * WO * N) return;
    const int n = place % N, w = place / N % WO, h = place / N / WO;
    const int c = row / (KH * KW), i = row / KW % KH, j = row % KW;
    const int r = h * sh + i * dh - top, q = w * sw + j * dw - left;
    const bool inside = 0 <= r && r < H && 0 <= q && q < W;
    x += (size_t)c * H * W * N;
    columns[(size_t)row * HO * WO * N + place] = inside ? x[(r * W + q) * N + n] : 0;
}
""",
)


def col2im(columns, x_shape, window, out_size):
    """The transpose of `im2col`: every pixel gets the sum of its copies' gradients."""
    C, _, _, N = x_shape
    if window.kernel == window.stride == (1, 1) and window.padding == ((0, 0), (0, 0)):
        return columns.reshape(x_shape)
    padded = array_module(columns).zeros(window.padded_shape(x_shape), dtype=columns.dtype)
    columns = columns.reshape(C, *window.kernel, *out_size, N)
    for i, j in window.taps():
        window.tap(padded, i, j, out_size)[...] += columns[:, i, j]
    return window.unpad(padded)


def grouped(rows, G):
    """(R, ...) -> (G, R/G, -1), the rows of each group; without groups (R, -1), one product."""
    R = len(rows)
    rest = rows.size // R if R else 0  # not -1: N may be 0
    return rows.reshape(R, rest) if G == 1 else rows.reshape(G, R // G, rest)


class Conv2d(Function):
    """y[n,o,h,w] = sum over c,i,j of weight[o,c,i,j] x[n,c, sh*h + dh*i, sw*w + dw*j] (+ bias[o])

    gx[n,c, sh*h + dh*i, sw*w + dw*j] += weight[o,c,i,j] gy[n,o,h,w], for all o;
    gweight[o,c,i,j] = sum over n,h,w of gy[n,o,h,w] x[n,c, sh*h + dh*i, sw*w + dw*j];
    gbias = gy summed over n,h,w.

    Args: x (N, C, H, W), padded by zeros, weight (O, C/G, KH, KW), optionally bias (O,); window:
    the geometry, stride (sh, sw), dilation (dh, dw); groups: G.

    It is computed by matrices, a group at a time: Y = W X with X = im2col(x), whose columns are
    the patches; gx = col2im(W^T gY), gW = gY X^T. The patches are not kept for backward but laid
    out again: they are KH*KW times the size of x.
    """

    def __init__(self, window, groups=1):
        self.window, self.groups = window, groups

    def forward(self, x, weight, bias=None):
        check_images("Conv2d", x)
        O, Cg, KH, KW = weight.shape
        G = self.groups
        if x.shape[1] != Cg * G:
            raise ValueError(
                f"Conv2d: the input has {x.shape[1]} channels, expected {Cg * G} "
                f"(weight of shape {weight.shape}, groups={G})"
            )
        x = channels_first(x)  # (C, H, W, N)
        self.out_size = self.window.output_size("Conv2d", *x.shape[1:3])
        self.save(x if self.needs[1] else None, weight if self.needs[0] else None)
        columns = im2col(x, self.window, self.out_size)
        y = grouped(weight, G) @ grouped(columns, G)  # (G, O/G, P)
        y = y.reshape(O, *self.out_size, -1)
        if bias is not None:
            y += bias[:, None, None, None]
        return batch_first(y)

    def backward(self, gy):
        x, weight = self.saved
        G = self.groups
        gy = channels_first(gy)  # (O, HO, WO, N)
        gx = gw = gb = None
        gY = grouped(gy, G)  # (G, O/G, P)
        if self.needs[1]:

            def weight_gradient():
                columns = grouped(im2col(x, self.window, self.out_size), G)
                return (gY @ columns.swapaxes(-1, -2)).reshape(self.input_shapes[1])

            gw = self.later(weight_gradient, x.size + gy.size)
        if self.needs[0]:
            N, C, H, W = self.input_shapes[0]
            gX = grouped(weight, G).swapaxes(-1, -2) @ gY  # (G, K, P)
            gx = batch_first(col2im(gX, (C, H, W, N), self.window, self.out_size))
        if len(self.needs) == 3 and self.needs[2]:
            gb = gy.reshape(gy.shape[0], -1).sum(axis=1)
        return (gx, gw, gb)[: len(self.needs)]
