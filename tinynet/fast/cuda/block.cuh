// What the threads of a block find out together. Every sum has one order (a tree), so that two runs
// agree bit for bit.

// Each of COUNT values becomes its sum over all threads of the block, known to each of them.
template <int COUNT> __device__ void block_sums(real *values)
{
    __shared__ real sums[COUNT][THREADS];
    const int t = threadIdx.x;
    for (int i = 0; i < COUNT; i++) sums[i][t] = values[i];
    for (int half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        for (int i = 0; i < COUNT; i++)
            if (t < half) sums[i][t] += sums[i][t + half];
    }
    __syncthreads();
    for (int i = 0; i < COUNT; i++) values[i] = sums[i][0];
    __syncthreads();  // before the next call writes
}

__device__ real block_sum(real value)
{
    block_sums<1>(&value);
    return value;
}

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
