/* The several nearest codewords of each row, for a small codebook: every distance in float64.
 *
 * The codebook is turned, so that a loop over codewords adds one coordinate's squares to all of
 * them. What beats the worst that is kept moves into a short sorted list, ties to the lowest index.
 */

#include "common.h"

#include <math.h>
#include <stdlib.h>

typedef struct {
    const float *z;       /* (count, dim) */
    const double *turned; /* (dim, size) the codebook */
    int64_t size, dim, keep;
    int64_t *codes; /* (count, keep) */
    int *failed;
} job;

INLINE void squares(const job *j, const float *z, double *distance)
{
    for (int64_t k = 0; k < j->size; k++) distance[k] = 0;
    for (int64_t i = 0; i < j->dim; i++) {
        const double *e = j->turned + i * j->size;
        double x = z[i];
        for (int64_t k = 0; k < j->size; k++) {
            double d = x - e[k];
            distance[k] += d * d;
        }
    }
}

/* Keep the least distances of all, in order; `kept` has room for `keep`. */
INLINE void select_least(const job *j, const double *distance, double *kept, int64_t *codes)
{
    int64_t filled = 0;
    for (int64_t k = 0; k < j->size; k++) {
        if (filled == j->keep && !(distance[k] < kept[filled - 1])) continue;
        int64_t at = filled < j->keep ? filled++ : filled - 1;
        for (; at > 0 && distance[k] < kept[at - 1]; at--) {
            kept[at] = kept[at - 1];
            codes[at] = codes[at - 1];
        }
        kept[at] = distance[k];
        codes[at] = k;
    }
}

INLINE void rows_of(const job *j, int64_t begin, int64_t end)
{
    double *memory = malloc((size_t)(j->size + j->keep) * sizeof(double));
    if (!memory) { *j->failed = 1; return; }
    for (int64_t row = begin; row < end; row++) {
        const float *z = j->z + row * j->dim;
        int64_t *codes = j->codes + row * j->keep;
        int finite = 1;
        for (int64_t i = 0; i < j->dim; i++) finite &= isfinite(z[i]) != 0;
        if (finite) {
            squares(j, z, memory);
            select_least(j, memory, memory + j->size, codes);
        } else {
            for (int64_t k = 0; k < j->keep; k++) codes[k] = k;
        }
    }
    free(memory);
}

VECTORIZED static void rows_range(int64_t begin, int64_t end, void *context)
{
    rows_of(context, begin, end);
}

/* Write to `codes` (count, keep) the codewords nearest to each row, nearest first: z (count, dim),
 * codebook (size, dim), 1 <= keep <= size. Rows with NaN or infinity get 0, 1, ... Returns 0, 1
 * without memory, or 2 where the processor lacks the instruction set. */
EXPORT int32_t vocabula_nearest_several(const float *z, int64_t count, const float *codebook,
                                        int64_t size, int64_t dim, int64_t keep, int64_t *codes,
                                        const char *name, parallel over)
{
    int failed = 0;
    if (!has_instructions(name)) return 2;
    double *turned = malloc((size_t)(size * dim) * sizeof(double));
    if (!turned) return 1;
    for (int64_t k = 0; k < size; k++)
        for (int64_t i = 0; i < dim; i++) turned[i * size + k] = codebook[k * dim + i];
    job j = {z, turned, size, dim, keep, codes, &failed};
    if (over(0, count, 1 + 65536 / (size * dim), rows_range, &j)) failed = 1;
    free(turned);
    return failed;
}
