/* One recording of how codewords are used, in the buffers of a usage tracker. */

#include "common.h"

#include <math.h>
#include <stdlib.h>
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

typedef struct {
    const int64_t *codes, *starts;
    const uint8_t *mask;
    int64_t rows, books, total, parts;
    int32_t *counts; /* (parts, total) */
} tally;

/* Count each of the parts [begin, end) of the rows by itself. Codes outside their book are left out. */
static void count_parts(int64_t begin, int64_t end, void *context)
{
    const tally *s = context;
    for (int64_t p = begin; p < end; p++) {
        int64_t from = s->rows * p / s->parts, to = s->rows * (p + 1) / s->parts;
        for (int64_t b = 0; b < s->books; b++) {
            int64_t size = (b + 1 < s->books ? s->starts[b + 1] : s->total) - s->starts[b];
            int32_t *counts = s->counts + p * s->total + s->starts[b];
            for (int64_t r = from; r < to; r++) {
                uint64_t code = (uint64_t)s->codes[r * s->books + b];
                if ((!s->mask || s->mask[r]) && code < (uint64_t)size) counts[code]++;
            }
        }
    }
}

/* Empty the bucket (total) when its turn begins (`fresh`), and add to it the codes (rows, books)
 * inside the mask (rows) or null; note `clock` as the time that each was last seen; add to norms (2)
 * the sums of the norms of z (rows, dim) and values (rows, width), over every step-th row. `starts`
 * (books) says where each book's counts begin. Returns 0, or 1 without memory. */
EXPORT int32_t vocabula_record_usage(const int64_t *codes, int64_t rows, int64_t books,
                                     const int64_t *starts, int64_t total, const uint8_t *mask,
                                     const float *z, int64_t dim, const float *values,
                                     int64_t width, int64_t step, int64_t fresh, int64_t clock,
                                     int32_t *bucket, float *norms, int64_t *last_seen,
                                     const char *name, parallel over)
{
    (void)name;
    /* Several parts where adding their counts up is little beside counting. */
    int64_t parts = rows * books / (8192 + 2 * total);
    tally s = {.codes = codes, .starts = starts, .mask = mask, .rows = rows, .books = books,
               .total = total, .parts = parts < 1 ? 1 : parts > 16 ? 16 : parts};
    s.counts = calloc((size_t)(s.parts * total), sizeof(int32_t));
    if (!s.counts) return 1;
    over(0, s.parts, 1, count_parts, &s);
    if (fresh) {
        memset(bucket, 0, (size_t)total * sizeof(*bucket));
        norms[0] = norms[1] = 0;
    }
    for (int64_t p = 1; p < s.parts; p++)
        for (int64_t k = 0; k < total; k++) s.counts[k] += s.counts[p * total + k];
    for (int64_t k = 0; k < total; k++) {
        bucket[k] = (int32_t)((uint32_t)bucket[k] + (uint32_t)s.counts[k]); /* of any state */
        last_seen[k] = s.counts[k] ? clock : last_seen[k];
    }
    free(s.counts);
    norms[0] += (float)total_norm(z, rows, dim, step, mask);
    norms[1] += (float)total_norm(values, rows, width, step, mask);
    return 0;
}
