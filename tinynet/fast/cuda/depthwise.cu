// Depthwise convolution: forward and both gradients; ops/depthwise.py has the definition.
//
// x (C, H, W, N), weight (C, KH, KW), y and gy (C, HO, WO, N). Neighbouring threads have neighbouring
// images n (then neighbouring columns), so that they read and write neighbouring memory. Each thread
// has ROWS outputs (or pixels) below one another, so that what it has read once serves several, and
// those of PACK images at once, so that working out where to read is done once for all of them. N
// counts packs. SH, SW, DH, DW, TOP and LEFT are numbers for MobileNet's layers, for the loops then
// unroll, and elsewhere stand for the arguments.

#include "block.cuh"
#include "pack.cuh"

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

// The definition scatters: every output adds to the pixels that it saw. Threads that scatter would
// write to one pixel at once. So this gathers: every pixel asks which outputs saw it.
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
            if (h < 0 || h >= HO || w < 0 || w >= WO || w * SW != q + LEFT - j * DW) continue;
            const Pack g = gy[(h * WO + w) * N + n];
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

// Each thread sums over places of its own, then each block over its threads, then add_parts over
// the blocks that have a channel in common.
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
                    // not 0 for an output below the last: 0 times infinity is NaN
                    if (i >= 0 && i < KH && i * DH == row - o * SH && h + o < HO)
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

extern "C" __global__ void add_parts(const real *parts, real *total, int split, int size)
{
    const int place = blockIdx.x * THREADS + threadIdx.x;
    if (place >= size) return;
    real sum = 0;
    for (int part = 0; part < split; part++) sum += parts[(size_t)part * size + place];
    total[place] = sum;
}
