/* Residual stacks of codebooks: all stages in one call, so that a single vector costs no more than its
 * searches. */

#include "common.h"

#include <stdlib.h>
#include <string.h>

int32_t vocabula_nearest(const float *z, int64_t count, const float *codebook, int64_t size,
                         int64_t dim, int32_t cosine, int64_t *codes, double *distances,
                         const char *name, parallel over);

typedef struct {
    const float *z, *book; /* (count, dim), and the codebook of the stage before */
    float *total, *left;   /* (count, dim) codewords added up, and what they leave of z */
    const int64_t *found;  /* (count) the codes of the stage before */
    int64_t dim;
} remainder;

/* Add the codewords of the stage before, if there is one, and subtract the sum from z. */
static void subtract(int64_t begin, int64_t end, void *context)
{
    remainder *r = context;
    for (int64_t row = begin; row < end; row++) {
        float *total = r->total + row * r->dim, *left = r->left + row * r->dim;
        const float *z = r->z + row * r->dim;
        if (r->book) {
            const float *e = r->book + r->found[row] * r->dim;
            for (int64_t i = 0; i < r->dim; i++) total[i] += e[i];
        }
        for (int64_t i = 0; i < r->dim; i++) left[i] = z[i] - total[i];
    }
}

/* Write to `codes` (count, stages) the codeword of each stage that is nearest to what the sum of
 * the stages before leaves of z (count, dim): books[i] is (sizes[i], dim), all contiguous. Sums are
 * float32, in the order of the stages. Returns as `vocabula_nearest`. */
EXPORT int32_t vocabula_residual(const float *z, int64_t count, int64_t dim,
                                 const float *const *books, const int64_t *sizes, int64_t stages,
                                 int64_t *codes, const char *name, parallel over)
{
    float *total = calloc((size_t)(count * dim), sizeof(float));
    float *left = malloc((size_t)(count * dim) * sizeof(float));
    int64_t *found = malloc((size_t)count * sizeof(int64_t));
    remainder r = {z, 0, total, left, found, dim};
    int32_t status = total && left && found ? 0 : 1;
    for (int64_t i = 0; i < stages && !status; i++) {
        over(0, count, 1 + 32768 / dim, subtract, &r);
        status = vocabula_nearest(left, count, books[i], sizes[i], dim, 0, found, 0, name, over);
        for (int64_t row = 0; row < count && !status; row++) codes[row * stages + i] = found[row];
        r.book = books[i];
    }
    free(total); free(left); free(found);
    return status;
}

typedef struct {
    const int64_t *codes; /* (count, stages) */
    const float *const *books;
    const int64_t *sizes;
    int64_t dim, stages;
    float *values; /* (count, dim) */
    int *failed;
} addition;

static void add(int64_t begin, int64_t end, void *context)
{
    const addition *a = context;
    memset(a->values + begin * a->dim, 0, (size_t)((end - begin) * a->dim) * sizeof(float));
    for (int64_t row = begin; row < end; row++)
        for (int64_t i = 0; i < a->stages; i++) {
            int64_t code = a->codes[row * a->stages + i];
            if (code >= a->sizes[i]) { *a->failed = 3; return; }
            if (code < 0) continue;
            const float *e = a->books[i] + code * a->dim;
            for (int64_t d = 0; d < a->dim; d++) a->values[row * a->dim + d] += e[d];
        }
}

/* Write to `values` (count, dim) the sums of the codewords of codes (count, stages), float32 in the
 * order of the stages; a code below 0 adds none. Returns 0, or 3 if a code is not in its book. */
EXPORT int32_t vocabula_residual_sum(const int64_t *codes, int64_t count, int64_t dim,
                                     const float *const *books, const int64_t *sizes,
                                     int64_t stages, float *values, const char *name,
                                     parallel over)
{
    (void)name;
    int failed = 0;
    addition a = {codes, books, sizes, dim, stages, values, &failed};
    over(0, count, 1 + 32768 / (dim * stages), add, &a);
    return failed;
}
