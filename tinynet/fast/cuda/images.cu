// A batch cut from a data set's images; data/images.py has the definition. images (M, C, H, W),
// orders (4, N), scale and offset (C,), x (C, H, W, N).

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
