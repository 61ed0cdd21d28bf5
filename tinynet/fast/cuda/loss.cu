// Softmax cross-entropy; ops/loss.py has the formulas. A block has a row of logits, a thread every
// THREADS-th class of it. A label out of range makes its loss NaN: to refuse it, the CPU would have
// to wait for the GPU each time.

#include "block.cuh"

// q[r,k]: how much of the row's target stands at class k
__device__ real q_of(int k, int K, long long label, const real *weight, long long ignored, real s)
{
    if (label == ignored) return 0;
    if (label < 0 || label >= K) return sqrt((real)-1);  // not a number
    const real q = (k == label ? 1 - s : 0) + s / K;
    return weight ? q * weight[k] : q;
}

// For backward, of each row: its largest logit, log sum exp(x - largest), and the sum of q.
extern "C" __global__ void cross_entropy(
    const real *x, real *largest, real *log_sum, real *total, real *loss, const real *weight,
    const long long *labels, int K, int ignored, double smoothing)
{
    const int r = blockIdx.x;
    const long long label = labels[r];
    x += (size_t)r * K;
    real top = x[0];
    for (int k = threadIdx.x; k < K; k += THREADS) top = x[k] > top ? x[k] : top;
    top = block_max(top);
    real sum = 0;
    for (int k = threadIdx.x; k < K; k += THREADS) sum += exp(x[k] - top);
    const real log_of_sum = log(block_sum(sum));
    real mine = 0, share = 0;
    for (int k = threadIdx.x; k < K; k += THREADS) {
        const real q = q_of(k, K, label, weight, ignored, smoothing);
        if (q != 0) mine -= q * (x[k] - top - log_of_sum);  // 0 * -inf counts as 0
        share += q;
    }
    mine = block_sum(mine);
    share = block_sum(share);
    if (threadIdx.x == 0)
        largest[r] = top, log_sum[r] = log_of_sum, total[r] = share, loss[r] = mine;
}

extern "C" __global__ void cross_entropy_gradient(
    const real *x, const real *largest, const real *log_sum, const real *total, const real *gy,
    real *gx, const real *weight, const long long *labels, int K, int ignored, double smoothing)
{
    const int r = blockIdx.x;
    const long long label = labels[r];
    const real g = total[r] == 0 ? 0 : gy[r];
    x += (size_t)r * K;
    gx += (size_t)r * K;
    for (int k = threadIdx.x; k < K; k += THREADS) {
        const real q = q_of(k, K, label, weight, ignored, smoothing);
        gx[k] = (exp(x[k] - largest[r] - log_sum[r]) * total[r] - q) * g;
    }
}
