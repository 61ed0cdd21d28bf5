// One step of SGD for all parameters of a group; optim/sgd.py has the formulas.

#include "table.cuh"

// Columns of the table: size, x, g, v or 0, whether it is the first step.
extern "C" __global__ void sgd_step(
    const long long *table, const long long *parts, double lr, double momentum, double dampening,
    double weight_decay, int nesterov, int maximize)
{
    const Part part = part_of(table, parts);
    real *x = (real *)part.row[1], *v = (real *)part.row[3];
    const real *g = (const real *)part.row[2];
    const bool first = part.row[4];
    const real rate = lr, mu = momentum, kept = 1 - dampening, decay = weight_decay;
    for (long long k = part.first + threadIdx.x; k < part.end; k += THREADS) {
        real d = maximize ? -g[k] : g[k];
        if (decay != 0) d += decay * x[k];
        if (v) {
            v[k] = first ? d : mu * v[k] + kept * d;
            d = nesterov ? d + mu * v[k] : v[k];
        }
        x[k] -= rate * d;
    }
}
