// im2col; ops/conv.py has the definition. x (C, H, W, N), columns (C*KH*KW, HO*WO*N). A thread has the
// pixels of PACK images that one row of the filter's taps sees from one place; N counts packs.

#include "pack.cuh"

extern "C" __global__ void im2col(
    const Pack *x, Pack *columns, int H, int W, int HO, int WO, int N, int KH,
    int sh, int sw, int dh, int dw, int top, int left)
{
    const int place = blockIdx.x * THREADS + threadIdx.x, c = blockIdx.y / KH, i = blockIdx.y % KH;
    if (place >= HO * WO * N) return;
    const int n = place % N, w = place / N % WO, h = place / N / WO;
    const int r = h * sh + i * dh - top;
    x += (size_t)c * H * W * N;
    columns += (size_t)blockIdx.y * KW * HO * WO * N + place;
    Pack pixel[KW] = {};
    for (int j = 0; j < KW; j++) {
        const int q = w * sw + j * dw - left;
        if (0 <= r && r < H && 0 <= q && q < W) pixel[j] = x[(r * W + q) * N + n];
    }
    for (int j = 0; j < KW; j++) columns[(size_t)j * HO * WO * N] = pixel[j];
}
