/* One recording of how codewords are used, in the buffers of a usage tracker. */

#include "common.h"

#include <math.h>
#include <string.h>

static double total_norm(const float *rows, int64_t count, int64_t dim, int64_t step,
                         const uint8_t *mask)
{
    double total = 0;
    for (int64_t r = 0; r < count; r += step) {
        if (mask && !mask[r]) continue;
        float square = 0;
        for (int64_t i = 0; i < dim; i++) square += rows[r * dim + i] * rows[r * dim + i];
        total += sqrt(square);
    }
    return total * (double)step;
}

/* Empty the bucket (total) when its turn begins (`fresh`), and add to it the codes (rows, books)
 * inside the mask (rows) or null; note `clock` as the time that each was last seen; add to norms (2)
 * the sums of the norms of z (rows, dim) and values (rows, width), over every step-th row. `starts`
 * (books) says where each book's counts begin. Codes outside their book are left out. */
EXPORT int32_t vocabula_record_usage(const int64_t *codes, int64_t rows, int64_t books,
                                     const int64_t *starts, int64_t total, const uint8_t *mask,
                                     const float *z, int64_t dim, const float *values,
                                     int64_t width, int64_t step, int64_t fresh, int64_t clock,
                                     int32_t *bucket, float *norms, int64_t *last_seen,
                                     const char *name, parallel over)
{
    (void)name;
    (void)over;
    if (fresh) {
        memset(bucket, 0, (size_t)total * sizeof(*bucket));
        norms[0] = norms[1] = 0;
    }
    for (int64_t b = 0; b < books; b++) {
        int64_t size = (b + 1 < books ? starts[b + 1] : total) - starts[b];
        int32_t *counts = bucket + starts[b];
        int64_t *seen = last_seen + starts[b];
        for (int64_t r = 0; r < rows; r++) {
            uint64_t code = (uint64_t)codes[r * books + b];
            if ((mask && !mask[r]) || code >= (uint64_t)size) continue;
            counts[code]++;
            seen[code] = clock;
        }
    }
    norms[0] += (float)total_norm(z, rows, dim, step, mask);
    norms[1] += (float)total_norm(values, rows, width, step, mask);
    return 0;
}
