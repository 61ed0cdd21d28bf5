// One step of SGD for all parameters of a group; optim/sgd.py has the formulas. A thread reads all of
// its next VALUES values before it works on the first.

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
    for (long long start = part.first + threadIdx.x; start < part.end; start += THREADS * VALUES) {
        real old[VALUES], slope[VALUES], speed[VALUES];
        for (int n = 0; n < VALUES; n++) {
            const long long k = start + n * THREADS;
            const bool there = k < part.end;
            old[n] = there ? x[k] : 0;
            slope[n] = there ? g[k] : 0;
            speed[n] = there && v && !first ? v[k] : 0;
        }
        for (int n = 0; n < VALUES; n++) {
            const long long k = start + n * THREADS;
            if (k >= part.end) break;
            real d = maximize ? -slope[n] : slope[n];
            if (decay != 0) d += decay * old[n];
            if (v) {
                const real now = first ? d : mu * speed[n] + kept * d;
                v[k] = now;
                d = nesterov ? d + mu * now : now;
            }
            x[k] = old[n] - rate * d;
        }
    }
}
