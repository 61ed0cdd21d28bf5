// A table that tells where each parameter lies, so that one launch changes all of them. A row has
// ROW columns: the parameter's size, its address, that of its gradient, and what else the kernel
// needs.

struct Part { const long long *row; long long first, end; };

// What this block has: values `first` up to `end` of the parameter of this row of the table.
// `parts` holds, for each block, which row, and from which value on.
__device__ Part part_of(const long long *table, const long long *parts)
{
    const long long *row = table + ROW * parts[2 * blockIdx.x], first = parts[2 * blockIdx.x + 1];
    const long long end = first + PART < row[0] ? first + PART : row[0];
    const Part part = {row, first, end};
    return part;
}
