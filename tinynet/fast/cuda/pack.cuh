// PACK images' values at one place: one instruction fetches them (16 bytes in float).

struct __align__(ALIGNED) Pack { real value[PACK]; };

__device__ void add_product(Pack &sum, real weight, const Pack &x)
{
    for (int p = 0; p < PACK; p++) sum.value[p] += weight * x.value[p];
}
