// One step of Adam or AdamW for all parameters of a group; optim/adam.py has the formulas.

#include "table.cuh"

// Columns of the table: size, x, g, m, v, the largest v so far or 0.
// step_size = lr / (1 - beta1^t), root2 = sqrt(1 - beta2^t)
extern "C" __global__ void adam_step(
    const long long *table, const long long *parts, double lr, double beta1, double beta2,
    double eps, double weight_decay, double step_size, double root2, int decoupled, int maximize)
{
    const Part part = part_of(table, parts);
    real *x = (real *)part.row[1], *m = (real *)part.row[3], *v = (real *)part.row[4];
    const real *grad = (const real *)part.row[2];
    real *top = (real *)part.row[5];
    const real kept1 = 1 - beta1, kept2 = 1 - beta2, mu = beta2, root = root2, rate = step_size;
    const real shrunk = 1 - lr * weight_decay, decay = weight_decay, least = eps;
    for (long long k = part.first + threadIdx.x; k < part.end; k += THREADS) {
        real g = maximize ? -grad[k] : grad[k];
        if (decoupled)
            x[k] *= shrunk;
        else if (decay != 0)
            g += decay * x[k];
        m[k] += kept1 * (g - m[k]);
        v[k] = mu * v[k] + kept2 * g * g;
        real square = v[k];
        // as NumPy's maximum: a NaN on either side stays
        if (top) square = top[k] = top[k] > square || top[k] != top[k] ? top[k] : square;
        x[k] -= rate * m[k] / (sqrt(square) / root + least);
    }
}
