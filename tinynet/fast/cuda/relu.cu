// ReLU and ReLU6; ops/activation.py has the formulas. All arrays as one row, in whatever order they
// lie in memory. A thread reads VALUES values before it works on the first.

// open: where the gradient passes; none if there will be no backward. A NaN stays, as in NumPy.
extern "C" __global__ void relu(
    const real *x, real *y, bool *open, int size, int clipped, double ceiling)
{
    const int first = blockIdx.x * THREADS * VALUES + threadIdx.x;
    const real top = ceiling;
    real value[VALUES];
    for (int k = 0; k < VALUES; k++) {
        const int i = first + k * THREADS;
        value[k] = i < size ? x[i] : 0;
    }
    for (int k = 0; k < VALUES; k++) {
        const int i = first + k * THREADS;
        if (i >= size) break;
        const bool above = clipped && value[k] >= top, rises = value[k] > 0 && !above;
        y[i] = above ? top : value[k] <= 0 ? 0 : value[k];
        if (open) open[i] = rises;
    }
}

// A choice and not a product: an infinite or undefined gy does not get through a closed gate.
extern "C" __global__ void relu_gradient(const real *gy, const bool *open, real *gx, int size)
{
    const int first = blockIdx.x * THREADS * VALUES + threadIdx.x;
    real g[VALUES];
    for (int k = 0; k < VALUES; k++) {
        const int i = first + k * THREADS;
        g[k] = i < size && open[i] ? gy[i] : 0;
    }
    for (int k = 0; k < VALUES; k++)
        if (first + k * THREADS < size) gx[first + k * THREADS] = g[k];
}
