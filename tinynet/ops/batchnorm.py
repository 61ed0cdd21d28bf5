"""Batch normalisation (Ioffe and Szegedy, arXiv 1502.03167, algorithm 1), alone or with a ReLU."""

from tinynet.autograd.tape import Function
from tinynet.backend import array_module
from tinynet.kernel import BLOCK_SUM, Kernel, pieces, suits
from tinynet.ops.activation import CEILINGS, clamp, rises
from tinynet.ops.batchnorm_sums import (
    MOMENTS,
    SCALED,
    STATISTICS,
    SUMS,
    VALUES,
    centre_and_rest,
    less,
    mean_and_variance,
    row_dot,
    row_sum,
)
from tinynet.ops.layout import batch_first, channels_first, check_images
from tinynet.ops.tiles import SPAN, row_tiles


class BatchNorm(Function):
    """y = weight xhat + bias, xhat = (x - mean) / sqrt(var + eps), a channel at a time

    gx = weight/std (gy - mean(gy) - xhat mean(gy xhat)), std = sqrt(var + eps);
    gweight = sum(gy xhat), gbias = sum(gy); sums and means over N, H, W.
    The three terms of gx are the three paths by which x reaches y: directly, through the mean
    and through the (biased) variance of the batch. With fixed statistics (evaluation) only the
    first is left: gx = weight/std gy.
    With an activation y = min(max(weight xhat + bias, 0), ceiling), and gy is first set to 0
    where y stands at 0 or at the ceiling.

    Args: x (N, C, H, W); weight, bias (C,). training: use the batch's statistics.
    running_mean, running_var: arrays (C,) or None; used in evaluation, and in training updated
    in place: new = (1 - momentum) old + momentum batch, with the unbiased variance. momentum
    None is not known here: the layer turns it into a number. num_batches_tracked: an array of one
    int64 or None; training adds 1. activation: None, or "relu" or
    "relu6". It spares a pass that reads and writes everything once more: forward took 9 ms where
    the two ops took 15, backward much the same as before (64 channels of 16x16, batch 128, one
    core), and no mask is kept.

    In memory the sums and the scaling are `x scale + shift` of whole rows, one a channel. All
    passes over one piece (`row_tiles`) come before the next piece. On a GPU four kernels do the
    same, two here and two in `batchnorm_sums.py`.
    """

    def __init__(
        self,
        training,
        running_mean=None,
        running_var=None,
        momentum=0.1,
        eps=1e-5,
        activation=None,
        num_batches_tracked=None,
    ):
        self.training, self.momentum, self.eps = training, momentum, eps
        self.running_mean, self.running_var = running_mean, running_var
        self.num_batches_tracked = num_batches_tracked
        self.ceiling = None if activation is None else CEILINGS[activation]

    def forward(self, x, weight, bias):
        check_images("BatchNorm", x)
        x = channels_first(x)
        C = x.shape[0]
        M = x.size // C if C else 0
        if self.training and M < 2:
            raise ValueError(
                f"BatchNorm: training needs more than one value a channel, got an input of "
                f"shape {batch_first(x).shape}; use a larger batch or call eval()"
            )
        if suits(x, weight, bias, self.running_mean, self.running_var):
            return self._forward_by_kernels(x, weight, bias)
        xp = array_module(x)
        y = xp.empty_like(x)
        x_rows, y_rows = x.reshape(C, M), y.reshape(C, M)
        mean, var, inv_std = (xp.empty((C, 1), x.dtype) for _ in range(3))
        if not self.training:
            mean[:, 0], var[:, 0] = self.running_mean, self.running_var

        for c, spans in row_tiles(x_rows):
            if self.training:
                mean[c], var[c] = mean_and_variance(x_rows, c, spans)
            inv_std[c] = 1 / xp.sqrt(var[c] + self.eps)
            scale = weight[c, None] * inv_std[c]
            centre, rest = centre_and_rest(mean[c], inv_std[c])
            shift = bias[c, None] - rest * scale
            for s in spans:
                z = xp.multiply(less(x_rows[c, s], centre), scale, out=y_rows[c, s])
                z += shift
                if self.ceiling is not None:
                    clamp(z, self.ceiling, out=z)
        if self.training and self.running_mean is not None:
            self.running_mean += self.momentum * (mean[:, 0] - self.running_mean)
            self.running_var += self.momentum * (var[:, 0] * (M / (M - 1)) - self.running_var)
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked += 1
        self.save(
            x if self.needs[1] or (self.needs[0] and self.training) else None,
            y if self.ceiling is not None else None,
            *(mean, inv_std, weight, None),
        )
        return batch_first(y)

    def backward(self, gy):
        gy = channels_first(gy)
        x, y, mean, inv_std, weight, bias = self.saved
        if bias is not None:
            return self._backward_by_kernels(gy, x, mean, inv_std, weight, bias)
        xp = array_module(gy)
        C = gy.shape[0]
        M = gy.size // C
        gx = gy if self.owns_gy else xp.empty_like(gy)
        gy_rows, gx_rows = gy.reshape(C, M), gx.reshape(C, M)
        x_rows = None if x is None else x.reshape(C, M)
        y_rows = None if y is None else y.reshape(C, M)
        gbias, gweight = (xp.zeros((C, 1), gy.dtype) for _ in range(2))

        # smaller pieces than forward, for there are more arrays of each to keep in the cache
        for c, spans in row_tiles(gy_rows, SPAN // 2):
            centre, rest = centre_and_rest(mean[c], inv_std[c])
            gz_rows = gy_rows if y is None else gx_rows
            for s in spans:
                if y is not None:
                    # as a float, for NumPy turns a mask in a product into floats by small portions
                    risen = rises(y_rows[c, s], self.ceiling).astype(gy.dtype)
                    xp.multiply(gy_rows[c, s], risen, out=gx_rows[c, s])
                gz = gz_rows[c, s]
                gbias[c] += row_sum(gz)
                if x is not None:
                    gweight[c] += row_dot(gz, less(x_rows[c, s], centre))
            gweight[c] = (gweight[c] - rest * gbias[c]) * inv_std[c]
            if not self.needs[0]:
                continue
            scale = weight[c, None] * inv_std[c]
            # gx = scale gz + slope (x - mean) - scale mean(gz)
            slope = -scale * inv_std[c] * gweight[c] / M
            level = -scale * gbias[c] / M - slope * rest
            for s in spans:
                through_y = xp.multiply(gz_rows[c, s], scale, out=gx_rows[c, s])
                if self.training:
                    through_statistics = less(x_rows[c, s], centre) * slope
                    through_statistics += level
                    through_y += through_statistics
        return (
            batch_first(gx) if self.needs[0] else None,
            gweight[:, 0] if self.needs[1] else None,
            gbias[:, 0],
        )

    def _forward_by_kernels(self, x, weight, bias):
        xp, C = array_module(x), x.shape[0]
        M = x.size // C
        y, (mean, inv_std) = xp.empty(x.shape, x.dtype), xp.empty((2, C), x.dtype)
        split, parts = 0, None  # none: the running statistics are taken
        if self.training:
            split = pieces(C, M, VALUES)
            parts = xp.empty((C, split, 3), x.dtype)
            STATISTICS((split, C), (x, parts), M, VALUES=VALUES)
        running = self.running_mean, self.running_var, self.num_batches_tracked
        arrays = x, weight, bias, parts, *running, y, mean, inv_std
        options = float(self.eps), float(self.momentum), *self._clip
        NORMALIZE((pieces(C, M, VALUES), C), arrays, M, split, *options, VALUES=VALUES)
        self.save(x, None, mean, inv_std, weight, bias)
        return batch_first(y)

    def _backward_by_kernels(self, gy, x, mean, inv_std, weight, bias):
        xp, C = array_module(gy), gy.shape[0]
        M = gy.size // C
        gx = (gy if self.owns_gy else xp.empty(gy.shape, gy.dtype)) if self.needs[0] else None
        # each with memory of its own, else the leaves that get them would have to copy them
        gweight, gbias = xp.empty(C, gy.dtype), xp.empty(C, gy.dtype)
        split = pieces(C, M, VALUES)
        parts = xp.empty((C, split, 2), gy.dtype)
        known = gy, x, mean, inv_std, weight, bias, parts
        SUMS((split, C), known, M, *self._clip, VALUES=VALUES)
        grid = (split if self.needs[0] else 1), C
        options = M, split, self.training, *self._clip
        GRADIENT(grid, (*known, gx, gweight, gbias), *options, VALUES=VALUES)
        return (
            None if gx is None else batch_first(gx),
            gweight if self.needs[1] else None,
            gbias,
        )

    @property
    def _clip(self):
        """For the kernels: whether to clip, and at what ceiling."""
        return self.ceiling is not None, float(self.ceiling or 0)


NORMALIZE = Kernel(
    "batchnorm_normalize",
    MOMENTS
    + SCALED
    + r"""
extern "C" __global__ void batchnorm_normalize(
    const real *x, const real *weight, const real *bias, const real *parts,
    real *running_mean, real *running_var, long long *batches, real *y, real *mean_out,
    real *inv_std_out, int M, int split, double eps, double momentum, int clip, double clip_at)
{
    const int c = blockIdx.y;
    real mean, var;
    if (split > 0) {
        Moments all = {0, 0, 0};
        if (threadIdx.x < split) {
            const real *part = parts + ((size_t)c * split + threadIdx.x) * 3;
            all.count = part[0], all.mean = part[1], all.square = part[2];
        }
        all = of_block(all);
        mean = x[(size_t)c * M] + all.mean, var = all.square / M;
        if (running_mean && blockIdx.x == 0 && threadIdx.x == 0) {
            running_mean[c] += (real)momentum * (mean - running_mean[c]);
            running_var[c] += (real)momentum * (all.square / (M - 1) - running_var[c]);
        }
        if (batches && c == 0 && blockIdx.x == 0 && threadIdx.x == 0) ++*batches;
    } else {
        mean = running_mean[c], var = running_var[c];
    }
    const real inv_std = 1 / sqrt(var + (real)eps);
    if (blockIdx.x == 0 && threadIdx.x == 0) mean_out[c] = mean, inv_std_out[c] = inv_std;

    const Channel channel = {mean, weight[c] * inv_std, bias[c], (real)clip_at, clip};
    x += (size_t)c * M;
    y += (size_t)c * M;
    for (int first = blockIdx.x * THREADS * VALUES + threadIdx.x; first < M;
         first += gridDim.x * THREADS * VALUES) {
        real value[VALUES];
        for (int k = 0; k < VALUES; k++) {
            const int m = first + k * THREADS;
            value[k] = m < M ? x[m] : 0;
        }
        for (int k = 0; k < VALUES; k++) {
            const int m = first + k * THREADS;
            real z = scaled(value[k], channel);
            if (clip) z = z < 0 ? 0 : z > channel.ceiling ? channel.ceiling : z;  // a NaN stays
            if (m < M) y[m] = z;
        }
    }
}
""",
)

GRADIENT = Kernel(
    "batchnorm_gradient",
    BLOCK_SUM
    + SCALED
    + r"""
extern "C" __global__ void batchnorm_gradient(
    const real *gy, const real *x, const real *mean, const real *inv_std, const real *weight,
    const real *bias, const real *parts, real *gx, real *gweight, real *gbias,
    int M, int split, int training, int clip, double clip_at)
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

    const Channel channel = {mean[c], weight[c] * inv_std[c], bias[c], (real)clip_at, clip};
    const real level = training ? sum / M : 0;
    const real slope = training ? dot * inv_std[c] * inv_std[c] / M : 0;
    gy += (size_t)c * M;
    x += (size_t)c * M;
    gx += (size_t)c * M;
    for (int first = blockIdx.x * THREADS * VALUES + threadIdx.x; first < M;
         first += gridDim.x * THREADS * VALUES) {
        real away[VALUES], gz[VALUES];
        read(channel, x, gy, first, M, away, gz);
        for (int k = 0; k < VALUES; k++) {
            const int m = first + k * THREADS;
            if (m < M) gx[m] = channel.scale * (gz[k] - level - slope * away[k]);
        }
    }
}
""",
)
