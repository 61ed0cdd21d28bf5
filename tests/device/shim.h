// Enough of CUDA for a kernel to run on the host, one thread after the other.
//
// A kernel without __syncthreads() is a loop over its threads. With it, each thread is a context
// of its own that runs to the barrier and waits there while the others catch up.

#include <stddef.h>
#include <ucontext.h>

// CUDA's functions of both types of `real`, without <cmath>, which takes longer to compile than
// any kernel
extern "C" double exp(double), log(double), sqrt(double), fma(double, double, double);
static inline float exp(float x) { return __builtin_expf(x); }
static inline float log(float x) { return __builtin_logf(x); }
static inline float sqrt(float x) { return __builtin_sqrtf(x); }
static inline float fma(float x, float y, float z) { return __builtin_fmaf(x, y, z); }

#define __global__
#define __device__ static
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __shared__ static  // one block runs at a time

struct Index { unsigned x, y, z; };
static Index threadIdx, blockIdx, blockDim, gridDim;

static const int MOST_THREADS = 1024, STACK = 64 * 1024;
static void (*thread_body)();
static ucontext_t scheduler, contexts[MOST_THREADS];
static bool finished[MOST_THREADS];
static char stacks[MOST_THREADS][STACK];

static void __syncthreads() { swapcontext(&contexts[threadIdx.x], &scheduler); }

static void run_thread()
{
    thread_body();
    finished[threadIdx.x] = true;
}

// False if some threads ended while others waited at a barrier: on a GPU that is undefined.
static bool run_block_with_barriers(unsigned threads)
{
    for (unsigned t = 0; t < threads; t++) {
        finished[t] = false;
        getcontext(&contexts[t]);
        contexts[t].uc_stack.ss_sp = stacks[t];
        contexts[t].uc_stack.ss_size = STACK;
        contexts[t].uc_link = &scheduler;
        makecontext(&contexts[t], run_thread, 0);
    }
    for (;;) {
        unsigned ended = 0;
        for (unsigned t = 0; t < threads; t++) {
            threadIdx = {t, 0, 0};
            swapcontext(&scheduler, &contexts[t]);
            ended += finished[t];
        }
        if (ended == threads) return true;
        if (ended > 0) return false;
    }
}

static bool run_grid(const unsigned *grid, unsigned threads, bool barriers, void (*body)())
{
    thread_body = body;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {threads, 1, 1};
    for (unsigned z = 0; z < grid[2]; z++)
        for (unsigned y = 0; y < grid[1]; y++)
            for (unsigned x = 0; x < grid[0]; x++) {
                blockIdx = {x, y, z};
                if (barriers) {
                    if (!run_block_with_barriers(threads)) return false;
                } else {
                    for (unsigned t = 0; t < threads; t++) {
                        threadIdx = {t, 0, 0};
                        body();
                    }
                }
            }
    return true;
}
