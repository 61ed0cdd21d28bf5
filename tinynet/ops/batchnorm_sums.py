"""The sums of batch normalisation: each channel's mean and variance, and those of backward.

In the kernels a block has a channel (blockIdx.y) and a share of its M values. A thread reads VALUES
of them at a time, all before it works on the first: memory answers late, so much must be asked for
at once. What the blocks of a channel have found is put together by every block of the next
kernel, in the same order, at its start.
"""

import numpy as np

from tinynet.backend import array_module
from tinynet.kernel import BLOCK_SUM, Kernel

FAR = 4  # deviations; a mean farther than that from 0 is subtracted before anything is squared
VALUES = 8


def mean_and_variance(rows, c, spans, centre=None):
    """Mean and biased variance, each (R, 1), of the R rows `c` of `rows` (C, M), span by span.

    E[x^2] - E[x]^2 takes one pass and loses the digits by which E[x]^2 exceeds the variance:
    all of them in float32 once the mean is a thousand deviations. Where the mean turns out to
    be FAR from 0, a second pass does the same with x - mean, exactly (Chan, Golub, LeVeque,
    "Algorithms for computing the sample variance", The American Statistician 37, 1983).
    """
    M = rows.shape[1]
    total = square = 0
    for s in spans:
        d = less(rows[c, s], centre)
        total = total + row_sum(d)
        square = square + row_dot(d, d)
    off = total / M
    var = array_module(rows).maximum(square / M - off * off, 0)
    if centre is not None:
        return centre + off, var
    near = (off * off <= FAR**2 * var).all()
    return (off, var) if near else mean_and_variance(rows, c, spans, centre=off)


MOMENTS = r"""
// How many values, their mean, and the sum of their squared distances from it: no digits are lost
// whatever the mean. Two sets taken together: Chan, Golub, LeVeque, as above.
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
"""

STATISTICS = Kernel(
    "batchnorm_statistics",
    MOMENTS
    + r"""
extern "C" __global__ void batchnorm_statistics(const real *x, real *parts, int M)
{
    x += (size_t)blockIdx.y * M;
    const real origin = x[0];  // all means are counted from here: a mean of 10,000 would be rounded
    Moments mine = {0, 0, 0};
    for (int first = blockIdx.x * THREADS * VALUES + threadIdx.x; first < M;
         first += gridDim.x * THREADS * VALUES) {
        real value[VALUES];
        Moments few = {0, 0, 0};
        for (int k = 0; k < VALUES; k++) {
            const int m = first + k * THREADS;
            value[k] = m < M ? x[m] - origin : 0;
            few.count += m < M;
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
""",
)


def centre_and_rest(mean, inv_std):
    """`mean` in two parts: what to subtract from x first (None: nothing), and the remainder."""
    far = (abs(mean * inv_std) > FAR).any()
    return (mean, 0) if far else (None, mean)


def less(x, centre):
    return x if centre is None else x - centre


def row_sum(a):
    """(R, M) -> (R, 1)"""
    return array_module(a).einsum("rm->r", a)[:, None]


def row_dot(a, b):
    """(R, M), (R, M) -> (R, 1): the dot product of each pair of rows."""
    xp = array_module(a)
    return (np.vecdot(a, b) if xp is np else xp.einsum("rm,rm->r", a, b))[:, None]


# Forward and backward take z from here, to the same bit: where it was clipped, no gradient passes.
SCALED = r"""
struct Channel { real mean, scale, bias, ceiling; int clip; };

__device__ real scaled(real x, const Channel &channel)
{
    return fma(x - channel.mean, channel.scale, channel.bias);
}

// A thread's next VALUES values of x - mean and of gz: gy, but 0 where z was clipped.
__device__ void read(
    const Channel &channel, const real *x, const real *gy, int first, int M, real *away, real *gz)
{
    for (int k = 0; k < VALUES; k++) {
        const int m = first + k * THREADS;
        away[k] = m < M ? x[m] : 0;
        gz[k] = m < M ? gy[m] : 0;
    }
    for (int k = 0; k < VALUES; k++) {
        const real z = scaled(away[k], channel);
        if (channel.clip && !(0 < z && z < channel.ceiling)) gz[k] = 0;
        away[k] -= channel.mean;
    }
}
"""

SUMS = Kernel(
    "batchnorm_sums",
    BLOCK_SUM
    + SCALED
    + r"""
extern "C" __global__ void batchnorm_sums(
    const real *gy, const real *x, const real *mean, const real *inv_std, const real *weight,
    const real *bias, real *parts, int M, int clip, double clip_at)
{
    const int c = blockIdx.y;
    const Channel channel = {mean[c], weight[c] * inv_std[c], bias[c], (real)clip_at, clip};
    gy += (size_t)c * M;
    x += (size_t)c * M;
    real sums[2] = {0, 0};  // of gz and of gz (x - mean)
    for (int first = blockIdx.x * THREADS * VALUES + threadIdx.x; first < M;
         first += gridDim.x * THREADS * VALUES) {
        real away[VALUES], gz[VALUES];
        read(channel, x, gy, first, M, away, gz);
        for (int k = 0; k < VALUES; k++) {
            sums[0] += gz[k];
            sums[1] += gz[k] * away[k];
        }
    }
    block_sums<2>(sums);
    if (threadIdx.x == 0) {
        real *part = parts + ((size_t)c * gridDim.x + blockIdx.x) * 2;
        part[0] = sums[0], part[1] = sums[1];
    }
}
""",
)
