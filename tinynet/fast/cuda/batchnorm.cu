// Batch normalisation, alone or with the ReLU or ReLU6 after it, in two launches forward and two
// backward; ops/batchnorm.py and ops/activation.py have the formulas.
//
// x, y, gy, gx (C, M), M = H*W*N. A block has a channel (blockIdx.y) and a share of its M values. A
// thread reads VALUES of them at a time, all before it works on the first: memory answers late, so
// much must be asked for at once. What the blocks of a channel have found is put together by every
// block of the next launch, in the same order, at its start.

#include "block.cuh"
#include "relu.cuh"

// How many values, their mean, and the sum of their squared distances from it: no digits are lost
// whatever the mean. Two sets taken together: Chan, Golub, LeVeque, "Algorithms for computing the
// sample variance", The American Statistician 37 (1983).
struct Moments { real count, mean, square; };

__device__ Moments together(Moments a, Moments b)
{
    const real count = a.count + b.count;
    if (count == 0) return a;
    const real apart = b.mean - a.mean, share = b.count / count;
    const Moments both = {count, a.mean + apart * share,
                          a.square + b.square + apart * apart * share * a.count};
    return both;
}

__device__ Moments of_block(Moments mine)
{
    __shared__ Moments all[THREADS];
    const int t = threadIdx.x;
    all[t] = mine;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (t < half) all[t] = together(all[t], all[t + half]);
    }
    __syncthreads();
    return all[0];
}

// A thread's next VALUES values, 0 beyond the end.
__device__ void read(const real *x, int first, int M, real *value)
{
    for (int k = 0; k < VALUES; k++) {
        const int m = first + k * THREADS;
        value[k] = m < M ? x[m] : 0;
    }
}

// What comes out but for the activation. Forward and backward must agree to the last bit about what
// it is, or they would disagree about where the activation lets a gradient through.
__device__ real scaled(real x, real mean, real scale, real shift)
{
    return fma(x - mean, scale, shift);
}

// gz of a thread's next VALUES values: gy, but for 0 where an activation lets nothing through.
// shift: there is an activation, and this is the channel's bias.
__device__ void through_activation(
    real *g, const real *x, real mean, real scale, const real *shift, int clipped, real ceiling)
{
    if (!shift) return;
    for (int k = 0; k < VALUES; k++)
        if (!rises(scaled(x[k], mean, scale, *shift), clipped, ceiling)) g[k] = 0;
}

// parts (C, blocks, 3): the moments of what each block has seen, counted from the channel's first
// value, for a mean of 10,000 would be rounded.
extern "C" __global__ void batchnorm_statistics(const real *x, real *parts, int M)
{
    x += (size_t)blockIdx.y * M;
    const real origin = x[0];
    Moments mine = {0, 0, 0};
    for (int first = blockIdx.x * THREADS * VALUES + threadIdx.x; first < M;
         first += gridDim.x * THREADS * VALUES) {
        real value[VALUES];
        read(x, first, M, value);
        Moments few = {0, 0, 0};
        for (int k = 0; k < VALUES; k++) {
            const bool there = first + k * THREADS < M;
            value[k] -= there ? origin : 0;
            few.count += there;
            few.mean += value[k];
        }
        few.mean /= few.count;
        for (int k = 0; k < VALUES; k++) {
            const real apart = first + k * THREADS < M ? value[k] - few.mean : 0;
            few.square += apart * apart;
        }
        mine = together(mine, few);
    }
    mine = of_block(mine);
    if (threadIdx.x == 0) {
        real *part = parts + ((size_t)blockIdx.y * gridDim.x + blockIdx.x) * 3;
        part[0] = mine.count, part[1] = mine.mean, part[2] = mine.square;
    }
}

// y, and for backward mean_out, inv_std_out and shift_out (C,), the last where an activation
// follows. split: blocks that have left parts, for the statistics of the batch; 0: the running ones
// are taken, and stand still.
extern "C" __global__ void batchnorm_normalize(
    const real *x, const real *weight, const real *bias, const real *parts,
    real *running_mean, real *running_var, long long *batches, real *y, real *mean_out,
    real *inv_std_out, real *shift_out, int M, int split, double eps, double momentum,
    int clipped, double ceiling)
{
    const int c = blockIdx.y;
    x += (size_t)c * M;
    y += (size_t)c * M;
    real mean, var;
    if (split > 0) {
        Moments all = {0, 0, 0};
        if (threadIdx.x < split) {
            const real *part = parts + ((size_t)c * split + threadIdx.x) * 3;
            all.count = part[0], all.mean = part[1], all.square = part[2];
        }
        all = of_block(all);
        mean = x[0] + all.mean, var = all.square / M;
        if (running_mean && blockIdx.x == 0 && threadIdx.x == 0) {
            running_mean[c] += (real)momentum * (mean - running_mean[c]);
            running_var[c] += (real)momentum * (all.square / (M - 1) - running_var[c]);
        }
        if (batches && c == 0 && blockIdx.x == 0 && threadIdx.x == 0) ++*batches;
    } else {
        mean = running_mean[c], var = running_var[c];
    }
    const real inv_std = 1 / sqrt(var + (real)eps);
    const real scale = weight[c] * inv_std, shift = bias[c];
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        mean_out[c] = mean, inv_std_out[c] = inv_std;
        if (shift_out) shift_out[c] = shift;
    }
    for (int first = blockIdx.x * THREADS * VALUES + threadIdx.x; first < M;
         first += gridDim.x * THREADS * VALUES) {
        real value[VALUES];
        read(x, first, M, value);
        for (int k = 0; k < VALUES; k++) {
            const int m = first + k * THREADS;
            const real z = scaled(value[k], mean, scale, shift);
            if (m < M) y[m] = shift_out ? activated(z, clipped, ceiling) : z;
        }
    }
}

// parts (C, blocks, 2): each block's sums of gz and of gz (x - mean).
extern "C" __global__ void batchnorm_sums(
    const real *gy, const real *x, const real *mean, const real *inv_std, const real *shift,
    const real *weight, real *parts, int M, int clipped, double ceiling)
{
    const int c = blockIdx.y;
    gy += (size_t)c * M;
    x += (size_t)c * M;
    const real centre = mean[c], scale = weight[c] * inv_std[c];
    real sums[2] = {0, 0};
    for (int first = blockIdx.x * THREADS * VALUES + threadIdx.x; first < M;
         first += gridDim.x * THREADS * VALUES) {
        real value[VALUES], g[VALUES];
        read(x, first, M, value);
        read(gy, first, M, g);
        through_activation(g, value, centre, scale, shift ? shift + c : 0, clipped, ceiling);
        for (int k = 0; k < VALUES; k++) {
            if (first + k * THREADS >= M) break;
            sums[0] += g[k];
            sums[1] += g[k] * (value[k] - centre);
        }
    }
    block_sums<2>(sums);
    if (threadIdx.x == 0) {
        real *part = parts + ((size_t)c * gridDim.x + blockIdx.x) * 2;
        part[0] = sums[0], part[1] = sums[1];
    }
}

// gweight, gbias (C,), and gx unless there is none to find. split: blocks that have left parts.
extern "C" __global__ void batchnorm_gradient(
    const real *gy, const real *x, const real *mean, const real *inv_std, const real *shift,
    const real *weight, const real *parts, real *gx, real *gweight, real *gbias, int M, int split,
    int training, int clipped, double ceiling)
{
    const int c = blockIdx.y;
    real sums[2] = {0, 0};
    if (threadIdx.x < split) {
        const real *part = parts + ((size_t)c * split + threadIdx.x) * 2;
        sums[0] = part[0], sums[1] = part[1];
    }
    block_sums<2>(sums);
    const real sum = sums[0], dot = sums[1];
    if (blockIdx.x == 0 && threadIdx.x == 0) gweight[c] = dot * inv_std[c], gbias[c] = sum;
    if (!gx) return;

    const real centre = mean[c], scale = weight[c] * inv_std[c];
    const real level = training ? sum / M : 0;
    const real slope = training ? dot * inv_std[c] * inv_std[c] / M : 0;
    gy += (size_t)c * M;
    x += (size_t)c * M;
    gx += (size_t)c * M;
    for (int first = blockIdx.x * THREADS * VALUES + threadIdx.x; first < M;
         first += gridDim.x * THREADS * VALUES) {
        real value[VALUES], g[VALUES];
        read(x, first, M, value);
        read(gy, first, M, g);
        through_activation(g, value, centre, scale, shift ? shift + c : 0, clipped, ceiling);
        for (int k = 0; k < VALUES; k++) {
            const int m = first + k * THREADS;
            if (m < M) gx[m] = scale * (g[k] - level - slope * (value[k] - centre));
        }
    }
}
