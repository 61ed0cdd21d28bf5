// ReLU (clipped = 0) and ReLU6 (clipped at 6); ops/activation.py has the formulas.

__device__ bool rises(real z, int clipped, real ceiling)
{
    return z > 0 && !(clipped && z >= ceiling);
}

// A NaN stays, as in NumPy.
__device__ real activated(real z, int clipped, real ceiling)
{
    return clipped && z >= ceiling ? ceiling : z <= 0 ? 0 : z;
}
