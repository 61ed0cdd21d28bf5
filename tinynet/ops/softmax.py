"""Softmax, log-softmax, and the cross-entropy fused with it.

All subtract the row's maximum first: exp then never overflows, and the result is the same.
"""

from tinynet.autograd.tape import Function
from tinynet.backend import array_module


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
    """loss_r = -sum_k q_rk log softmax(x_r)_k;  gx_r = (softmax(x_r) sum_k q_rk - q_r) gloss_r

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
        log_p = _log_softmax(x, 1)
        q = self._distribution(x)
        self.save(log_p, q)
        # a class of no weight may have probability 0, and 0 * -inf must count as 0
        return -(q * array_module(x).where(q == 0, 0, log_p)).sum(axis=1)

    def backward(self, gy):
        log_p, q = self.saved
        xp = array_module(gy)
        total = q.sum(axis=1)
        # a row that counts as nothing gets 0 even from the mean over no rows, where gy is infinite
        gy = xp.where(total == 0, 0, gy)
        return (xp.exp(log_p) * total[:, None] - q) * gy[:, None]
