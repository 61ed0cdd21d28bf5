// ReLU and ReLU6; ops/activation.py has the formulas. All arrays as one row, in whatever order they
// lie in memory. A thread reads VALUES values before it works on the first.

#include "relu.cuh"

// open: where the gradient passes; none if there will be no backward.
extern "C" __global__ void relu(
    const real *x, real *y, bool *open, int size, int clipped, double ceiling)
{
    const int first = blockIdx.x * THREADS * VALUES + threadIdx.x;
    real value[VALUES];
    for (int k = 0; k < VALUES; k++) {
        const int i = first + k * THREADS;
        value[k] = i < size ? x[i] : 0;
    }
    for (int k = 0; k < VALUES; k++) {
        const int i = first + k * THREADS;
        if (i >= size) break;
        y[i] = activated(value[k], clipped, ceiling);
        if (open) open[i] = rises(value[k], clipped, ceiling);
    }
}

// A choice and not a product: an infinite or undefined gy does not get through a closed gate. It is
// read whether or not it does, so as not to wait for the one before the other is asked for.
extern "C" __global__ void relu_gradient(const real *gy, const bool *open, real *gx, int size)
{
    const int first = blockIdx.x * THREADS * VALUES + threadIdx.x;
    real g[VALUES];
    bool passes[VALUES];
    for (int k = 0; k < VALUES; k++) {
        const int i = first + k * THREADS;
        g[k] = i < size ? gy[i] : 0;
        passes[k] = i < size ? open[i] : false;
    }
    for (int k = 0; k < VALUES; k++)
        if (first + k * THREADS < size) gx[first + k * THREADS] = passes[k] ? g[k] : 0;
}
