"""Softmax, log-softmax, and the cross-entropy fused with it.

All subtract the row's maximum first: exp then never overflows, and the result is the same.
"""

from tinynet.autograd.tape import Function
from tinynet.backend import array_module
from tinynet.kernel import BLOCK_SUM, Kernel, suits


def _log_softmax(x, axis):
    xp = array_module(x)
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(axis=axis, keepdims=True))


class Softmax(Function):
    """y_i = exp(x_i) / sum_j exp(x_j) along dim;  gx = y (gy - sum_j gy_j y_j)"""

    def __init__(self, dim):
        self.dim = dim

    def forward(self, x):
        y = array_module(x).exp(x - x.max(axis=self.dim, keepdims=True))
        y /= y.sum(axis=self.dim, keepdims=True)
        self.save(y)
        return y

    def backward(self, gy):
        (y,) = self.saved
        return y * (gy - (gy * y).sum(axis=self.dim, keepdims=True))


class LogSoftmax(Function):
    """y_i = x_i - log sum_j exp(x_j) along dim;  gx = gy - softmax(x) sum_j gy_j"""

    def __init__(self, dim):
        self.dim = dim

    def forward(self, x):
        y = _log_softmax(x, self.dim)
        self.save(y)
        return y

    def backward(self, gy):
        (y,) = self.saved
        return gy - array_module(gy).exp(y) * gy.sum(axis=self.dim, keepdims=True)


class SoftmaxCrossEntropy(Function):
    """y_r = -sum_k q_rk log softmax(x_r)_k;  gx_r = (softmax(x_r) sum_k q_rk - q_r) gy_r

    Args: x (R, K) logits. target: (R,) class numbers, q then being 1 at the class, or (R, K)
    the distribution q itself. label_smoothing s: q becomes (1 - s) q + s/K (Szegedy et al.,
    arXiv 1512.00567, section 7). Rows whose class number is ignore_index give loss 0.
    weight (K,) or None multiplies q class by class. Output: (R,), one loss a row.
    """

    def __init__(self, target, label_smoothing=0.0, ignore_index=-100, weight=None):
        self.target, self.smoothing, self.ignored = target, label_smoothing, ignore_index
        self.weight = weight

    def _distribution(self, x):
        xp = array_module(x)
        R, K = x.shape
        if self.target.ndim == 2:
            q = self.target.astype(x.dtype)
            counted = None
        else:
            counted = self.target != self.ignored
            labels = xp.where(counted, self.target, 0)
            q = xp.zeros((R, K), x.dtype)
            q[xp.arange(R), labels] = 1
        q *= 1 - self.smoothing
        q += self.smoothing / K
        if counted is not None:
            q *= counted[:, None]
        if self.weight is not None:
            q *= self.weight
        return q

    def forward(self, x):
        if self.target.ndim == 1 and suits(x, self.weight):
            return self._forward_by_kernel(x)
        log_p = _log_softmax(x, 1)
        q = self._distribution(x)
        self.save(log_p, q, None, None)
        # a class of no weight may have probability 0, and 0 * -inf must count as 0
        return -(q * array_module(x).where(q == 0, 0, log_p)).sum(axis=1)

    def backward(self, gy):
        log_p, q, x, row = self.saved
        xp = array_module(gy)
        if x is not None:
            gx, gy = xp.empty_like(x), xp.ascontiguousarray(gy)
            arrays, numbers = self._target_of_kernels(x)
            CROSS_ENTROPY_GRADIENT(x.shape[:1], (x, *row, gy, gx, *arrays), *numbers)
            return gx
        total = q.sum(axis=1)
        # a row that counts as nothing gets 0 even from the mean over no rows, where gy is infinite
        gy = xp.where(total == 0, 0, gy)
        return (xp.exp(log_p) * total[:, None] - q) * gy[:, None]

    def _forward_by_kernel(self, x):
        xp = array_module(x)
        x = xp.ascontiguousarray(x)
        losses = xp.empty(len(x), x.dtype)
        row = xp.empty((3, len(x)), x.dtype)  # its maximum, log sum exp(x - maximum), sum of q
        arrays, numbers = self._target_of_kernels(x)
        CROSS_ENTROPY(x.shape[:1], (x, *row, losses, *arrays), *numbers)
        self.save(None, None, x, row)
        return losses

    def _target_of_kernels(self, x):
        labels = array_module(x).ascontiguousarray(self.target.astype("int64", copy=False))
        return (self.weight, labels), (x.shape[1], self.ignored, float(self.smoothing))


# The kernels: a block has a row of logits, a thread every THREADS-th class of it. A class number
# out of range makes its loss NaN: to refuse it, the CPU would have to wait for the GPU each time.
Q = r"""
// q_rk as above: how much of the row's target stands at class k
__device__ real q_of(int k, int K, long long label, const real *weight, long long ignored, real s)
{
    if (label == ignored) return 0;
    if (label < 0 || label >= K) return sqrt((real)-1);  // not a number
    const real q = (k == label ? 1 - s : 0) + s / K;
    return weight ? q * weight[k] : q;
}
"""

BLOCK_MAX = r"""
__device__ real block_max(real value)
{
    __shared__ real largest[THREADS];
    const int t = threadIdx.x;
    largest[t] = value;
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (t < half && largest[t + half] > largest[t]) largest[t] = largest[t + half];
    }
    __syncthreads();
    return largest[0];
}
"""

CROSS_ENTROPY = Kernel(
    "cross_entropy",
    BLOCK_SUM
    + BLOCK_MAX
    + Q
    + r"""
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
""",
)

CROSS_ENTROPY_GRADIENT = Kernel(
    "cross_entropy_gradient",
    Q
    + r"""
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
""",
)
