// im2col; ops/conv.py has the definition. x (C, H, W, N), columns (C*KH*KW, HO*WO*N).

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
