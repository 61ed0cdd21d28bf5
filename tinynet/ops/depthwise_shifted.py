"""Depthwise convolution by its definition: a multiply-add of the whole picture for each tap.

Tap (i, j) of the filter sees the picture shifted by (i, j), so KH*KW shifted products make the
convolution. Forward, input gradient and weight gradient are the same loop read three ways.

x (C, H, W, N), weight (C, KH, KW), gy (C, HO, WO, N).

Under each stands its CUDA kernel, which a GPU runs instead: docs/gpu-kernels.md explains them.
In all three, neighbouring threads have neighbouring pictures n (then neighbouring columns), so
that they read and write neighbouring memory. Each thread has ROWS outputs (or pixels) below one
another, so that what it has read once serves several, and those of PACK pictures at once, so that
working out where to read is done once for all of them.
"""

import functools

from tinynet.backend import array_module
from tinynet.kernel import BLOCK_SUM, Kernel, blocks, pieces, suits

ROWS, PACK = 4, 4
PACKED, SINGLE = {"PACK": PACK, "ALIGNED": 16}, {"PACK": 1, "ALIGNED": "sizeof(real)"}
MOBILENET = (1, 1, 1, 1, 1, 1), (2, 2, 1, 1, 1, 1)  # the `moves` that kernels know beforehand

PACKS = r"""
// PACK pictures' values at one place: one instruction fetches them (16 bytes in float). Below,
// N counts packs.
struct __align__(ALIGNED) Pack { real value[PACK]; };

__device__ void add_product(Pack &sum, real weight, const Pack &x)
{
    for (int p = 0; p < PACK; p++) sum.value[p] += weight * x.value[p];
}
"""


def forward(x, weight, window, out):
    """Write y into `out` (C, HO, WO, N)."""
    if suits(x, weight, out):
        fill(out, FORWARD, x, weight, x, out, window)
        return
    padded = window.pad(x)
    out[...] = 0
    for i, j in window.taps():
        out += weight[:, i, j, None, None, None] * window.tap(padded, i, j, out.shape[1:3])


FORWARD = Kernel(
    "depthwise_forward",
    PACKS
    + r"""
extern "C" __global__ void depthwise_forward(
    const Pack *x, const real *weight, Pack *y,
    int H, int W, int HO, int WO, int N, int sh, int sw, int dh, int dw, int top, int left)
{
    const int place = blockIdx.x * THREADS + threadIdx.x;  // in a row of outputs
    if (place >= WO * N) return;
    const int w = place / N, n = place % N, h = blockIdx.y * ROWS, c = blockIdx.z;
    x += (size_t)c * H * W * N;
    y += (size_t)c * HO * WO * N;
    weight += c * KH * KW;

    Pack sum[ROWS] = {};
    #pragma unroll
    for (int row = 0; row <= (ROWS - 1) * SH + (KH - 1) * DH; row++) {  // rows that they see
        #pragma unroll
        for (int j = 0; j < KW; j++) {
            const int r = h * SH - TOP + row, q = w * SW - LEFT + j * DW;
            Pack pixel = {};
            if (0 <= r && r < H && 0 <= q && q < W) pixel = x[(r * W + q) * N + n];
            #pragma unroll
            for (int o = 0; o < ROWS; o++) {
                const int i = (row - o * SH) / DH;  // the tap with which output h + o sees it
                if (i >= 0 && i < KH && i * DH == row - o * SH)
                    add_product(sum[o], weight[i * KW + j], pixel);
            }
        }
    }
    for (int o = 0; o < ROWS; o++)
        if (h + o < HO) y[((h + o) * WO + w) * N + n] = sum[o];
}
""",
)


def input_gradient(gy, weight, window, out):
    """Write gx into `out` (C, H, W, N)."""
    if suits(gy, weight, out):
        fill(out, INPUT_GRADIENT, gy, weight, out, gy, window)
        return
    padded = array_module(gy).zeros(window.padded_shape(out.shape), dtype=gy.dtype)
    for i, j in window.taps():
        window.tap(padded, i, j, gy.shape[1:3])[...] += weight[:, i, j, None, None, None] * gy
    out[...] = window.unpad(padded)


# The loop above scatters: every output adds to the pixels that it saw. Threads that scatter would
# write to one pixel at once. So the kernel gathers: every pixel asks which outputs saw it.
INPUT_GRADIENT = Kernel(
    "depthwise_input_gradient",
    PACKS
    + r"""
extern "C" __global__ void depthwise_input_gradient(
    const Pack *gy, const real *weight, Pack *gx,
    int H, int W, int HO, int WO, int N, int sh, int sw, int dh, int dw, int top, int left)
{
    const int place = blockIdx.x * THREADS + threadIdx.x;  // in a row of pixels
    if (place >= W * N) return;
    const int q = place / N, n = place % N, r = blockIdx.y * ROWS, c = blockIdx.z;
    gy += (size_t)c * HO * WO * N;
    gx += (size_t)c * H * W * N;
    weight += c * KH * KW;

    Pack sum[ROWS] = {};
    #pragma unroll
    for (int k = -((KH - 1) * DH / SH); k <= (ROWS - 1 + SH - 1 + TOP) / SH; k++) {
        #pragma unroll
        for (int j = 0; j < KW; j++) {
            const int h = r / SH + k, w = (q + LEFT - j * DW) / SW;  // an output near pixel r, q
            Pack g = {};
            if (0 <= h && h < HO && 0 <= w && w < WO && w * SW == q + LEFT - j * DW)
                g = gy[(h * WO + w) * N + n];
            #pragma unroll
            for (int o = 0; o < ROWS; o++) {
                const int down = r % SH + o + TOP - k * SH;  // of pixel r + o in its window
                const int i = down / DH;
                if (i >= 0 && i < KH && i * DH == down)
                    add_product(sum[o], weight[i * KW + j], g);
            }
        }
    }
    for (int o = 0; o < ROWS; o++)
        if (r + o < H) gx[((r + o) * W + q) * N + n] = sum[o];
}
""",
)


def weight_gradient(gy, x, window):
    """gw (C, KH, KW)"""
    xp = array_module(gy)
    gw = xp.empty((gy.shape[0], *window.kernel), dtype=gy.dtype)
    if suits(gy, x):
        known = constants(window, gy, x)
        C, _, WO, N = gy.shape
        split = pieces(C, strips(gy) * WO * N // known["PACK"], values=2)
        parts = gw if split == 1 else xp.empty((split, *gw.shape), gw.dtype)
        numbers = *sizes(x, gy, known), *moves(window)
        WEIGHT_GRADIENT((split, C), (gy, x, parts), *numbers, **known)
        if split > 1:
            ADD_PARTS((blocks(gw.size),), (parts, gw), split, gw.size)
        return gw
    padded = window.pad(x)
    for i, j in window.taps():
        seen = window.tap(padded, i, j, gy.shape[1:3])
        gw[:, i, j] = (gy * seen).sum(axis=(1, 2, 3))
    return gw


# Each thread sums over places of its own, then each block over its threads, then ADD_PARTS over
# the blocks that had a channel in common.
WEIGHT_GRADIENT = Kernel(
    "depthwise_weight_gradient",
    BLOCK_SUM
    + PACKS
    + r"""
extern "C" __global__ void depthwise_weight_gradient(
    const Pack *gy, const Pack *x, real *gw,
    int H, int W, int HO, int WO, int N, int sh, int sw, int dh, int dw, int top, int left)
{
    const int c = blockIdx.y, C = gridDim.y;
    gy += (size_t)c * HO * WO * N;
    x += (size_t)c * H * W * N;
    gw += (size_t)(blockIdx.x * C + c) * KH * KW;

    real sum[KH * KW] = {0};
    const int places = (HO + ROWS - 1) / ROWS * WO * N;
    for (int place = blockIdx.x * THREADS + threadIdx.x; place < places;
         place += gridDim.x * THREADS) {
        const int n = place % N, w = place / N % WO, h = place / N / WO * ROWS;
        Pack g[ROWS] = {};
        #pragma unroll
        for (int o = 0; o < ROWS; o++)
            if (h + o < HO) g[o] = gy[((h + o) * WO + w) * N + n];
        #pragma unroll
        for (int row = 0; row <= (ROWS - 1) * SH + (KH - 1) * DH; row++) {
            #pragma unroll
            for (int j = 0; j < KW; j++) {
                const int r = h * SH - TOP + row, q = w * SW - LEFT + j * DW;
                Pack pixel = {};
                if (0 <= r && r < H && 0 <= q && q < W) pixel = x[(r * W + q) * N + n];
                #pragma unroll
                for (int o = 0; o < ROWS; o++) {
                    const int i = (row - o * SH) / DH;
                    if (i >= 0 && i < KH && i * DH == row - o * SH)
                        for (int p = 0; p < PACK; p++)
                            sum[i * KW + j] += g[o].value[p] * pixel.value[p];
                }
            }
        }
    }
    for (int i = 0; i < KH; i++) {
        block_sums<KW>(sum + i * KW);
        if (threadIdx.x == 0)
            for (int j = 0; j < KW; j++) gw[i * KW + j] = sum[i * KW + j];
    }
}
""",
)

ADD_PARTS = Kernel(
    "add_parts",
    r"""
extern "C" __global__ void add_parts(const real *parts, real *total, int split, int size)
{
    const int place = blockIdx.x * THREADS + threadIdx.x;
    if (place >= size) return;
    real sum = 0;
    for (int part = 0; part < split; part++) sum += parts[(size_t)part * size + place];
    total[place] = sum;
}
""",
)


def fill(out, kernel, source, weight, x, y, window):
    """Launch a kernel that has a thread for each strip of ROWS values, a pack each, of `out`. x
    and y: the pixels and the outputs of the convolution, for their sizes."""
    known = constants(window, source, out)
    grid = blocks(out.shape[2] * out.shape[3] // known["PACK"]), strips(out), out.shape[0]
    kernel(grid, (source, weight, out), *sizes(x, y, known), *moves(window), **known)


def strips(y):
    """How many strips of ROWS rows there are in (C, H, W, N)."""
    return -(-y.shape[1] // ROWS)


def sizes(x, y, known):
    """H, W, HO, WO, and N in packs."""
    (_, H, W, N), (_, HO, WO, _) = x.shape, y.shape
    return H, W, HO, WO, N // known["PACK"]


def moves(window):
    """sh, sw, dh, dw, top, left"""
    (top, _), (left, _) = window.padding
    return *window.stride, *window.dilation, top, left


def constants(window, *arrays):
    """What the three kernels know when they are compiled: the filter's size; how many pictures
    make a pack; and stride, dilation and padding where they are MobileNet's, for the loops then
    unroll (elsewhere their capital names stand for the arguments)."""
    packed = all(a.shape[-1] % PACK == 0 and a.data.ptr % 16 == 0 for a in arrays)
    return _constants(window, packed)


@functools.lru_cache(maxsize=256)
def _constants(window, packed):
    KH, KW = window.kernel
    names = "SH", "SW", "DH", "DW", "TOP", "LEFT"
    known = dict(zip(names, moves(window), strict=True))
    if window.kernel != (3, 3) or tuple(known.values()) not in MOBILENET:
        known = {name: name.lower() for name in names}
    return {"ROWS": ROWS, "KH": KH, "KW": KW, **(PACKED if packed else SINGLE), **known}
