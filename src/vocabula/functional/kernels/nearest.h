/* The search's inner loops, once for each instruction set: nearest.c includes this file with
 *
 *   NAME(x)   x with the suffix of the instruction set       TARGET   the functions' attribute
 *   V         a vector of LANES floats                       M        the result of a comparison
 *   ROWS      vectors of rows in a tile                      and the few operations used below.
 *
 * A tile is ROWS * LANES rows by CODES codewords. Its scores |e|^2 / 2 - z.e stay in registers: for
 * each row only the least score, the group of CODES codewords that has it and the least score of
 * the other groups go to memory. RESIDENT, where defined, is how many coordinates of LANES rows can
 * stay in registers.
 */

#define WIDTH (ROWS * LANES)

/* Scores of one tile: rows (dim, WIDTH) by one panel (dim, CODES). */
#define SCORES(score, rows, panel, half, dim)                                   \
    V score[CODES][ROWS];                                                       \
    UNROLL for (int j = 0; j < CODES; j++)                                      \
        UNROLL for (int m = 0; m < ROWS; m++) score[j][m] = SPREAD((half)[j]);  \
    for (int64_t i = 0; i < (dim); i++) {                                       \
        V x[ROWS];                                                              \
        UNROLL for (int m = 0; m < ROWS; m++)                                   \
            x[m] = LOAD((rows) + i * WIDTH + m * LANES);                        \
        UNROLL for (int j = 0; j < CODES; j++) {                                \
            V e = SPREAD((panel)[i * CODES + j]);                               \
            UNROLL for (int m = 0; m < ROWS; m++)                               \
                score[j][m] = SUBTRACT_PRODUCT(score[j][m], e, x[m]);           \
        }                                                                       \
    }

/* Take the least scores of ROWS_ rows by one panel into account. */
#define REMEMBER(least, panel, ROWS_)                                           \
    I here = SPREAD_INT((int32_t)(s->chunk_begin / CODES + (panel)));           \
    UNROLL for (int m = 0; m < ROWS_; m++) {                                    \
        M closer = LESS(least[m], best[m]);                                     \
        other[m] = MIN(other[m], MAX(best[m], least[m]));                       \
        group[m] = CHOOSE_INT(closer, here, group[m]);                          \
        best[m] = MIN(best[m], least[m]);                                       \
    }

#ifdef RESIDENT
/* The first pass over few coordinates: those of LANES rows stay in registers, beside a few panels
 * at a time in the nearest cache, and each score is compared as soon as it is there. */
TARGET static inline __attribute__((always_inline)) void NAME(scan_narrow)(
    const search *s, const float *rows, int64_t panels, const int dim, V all_best[ROWS],
    V all_other[ROWS], I all_group[ROWS])
{
    for (int64_t from = 0; from < panels; from += NEAR_PANELS) {
        int64_t to = from + NEAR_PANELS < panels ? from + NEAR_PANELS : panels;
        for (int m = 0; m < ROWS; m++) {
            V x[RESIDENT], best[1] = {all_best[m]}, other[1] = {all_other[m]};
            I group[1] = {all_group[m]};
            UNROLL for (int i = 0; i < dim; i++) x[i] = LOAD(rows + i * WIDTH + m * LANES);
            for (int64_t p = from; p < to; p++) {
                const float *panel = s->panels + p * CODES * dim;
                const float *half = s->half + s->chunk_begin + p * CODES;
                V least[1];
                UNROLL for (int j = 0; j < CODES; j++) {
                    V score = SPREAD(half[j]);
                    UNROLL for (int i = 0; i < dim; i++)
                        score = SUBTRACT_PRODUCT(score, SPREAD(panel[i * CODES + j]), x[i]);
                    least[0] = j ? MIN(least[0], score) : score;
                }
                REMEMBER(least, p, 1)
            }
            all_best[m] = best[0];
            all_other[m] = other[0];
            all_group[m] = group[0];
        }
    }
}
#endif

/* Lay out up to WIDTH rows as (dim, WIDTH) about the center; write their norms, rounded up. */
TARGET static void NAME(pack_rows)(const search *s, const int64_t *rows, int64_t first, int count,
                                   float *out, float *norm)
{
    float square[WIDTH] = {0};
    /* A few coordinates at a time: what is written then stays in the nearest cache. */
    for (int64_t from = 0; from < s->dim; from += 16) {
        int64_t to = from + 16 < s->dim ? from + 16 : s->dim;
        for (int r = 0; r < count; r++) {
            const float *z = s->z + (rows ? rows[first + r] : first + r) * s->dim;
            for (int64_t i = from; i < to; i++) out[i * WIDTH + r] = z[i] - s->center[i];
        }
        for (int64_t i = from; i < to; i++) {
            for (int r = count; r < WIDTH; r++) out[i * WIDTH + r] = 0;
            for (int r = 0; r < WIDTH; r++) square[r] += out[i * WIDTH + r] * out[i * WIDTH + r];
        }
    }
    for (int r = 0; r < WIDTH; r++)
        norm[r] = sqrtf(square[r]) * (1 + (float)(s->dim + 4) * FLT_EPSILON);
}

/* The float64 measure that decides: |z - e|^2, or -z.e / |e| for the cosine. */
TARGET static double NAME(measure)(const search *s, int64_t row, int64_t code)
{
    const float *z = s->z + row * s->dim, *e = s->codebook + code * s->dim;
    double part[8] = {0}, sum = 0;
    int64_t whole = s->dim & ~(int64_t)7;
    if (s->inverse) {
        for (int64_t i = 0; i < whole; i += 8)
            for (int l = 0; l < 8; l++) part[l] -= (double)z[i + l] * e[i + l];
        for (int64_t i = whole; i < s->dim; i++) part[i - whole] -= (double)z[i] * e[i];
    } else {
        for (int64_t i = 0; i < whole; i += 8)
            for (int l = 0; l < 8; l++) {
                double d = (double)z[i + l] - e[i + l];
                part[l] += d * d;
            }
        for (int64_t i = whole; i < s->dim; i++) {
            double d = (double)z[i] - e[i];
            part[i - whole] += d * d;
        }
    }
    for (int l = 0; l < 8; l++) sum += part[l];
    return s->inverse ? sum * s->inverse[code] : sum;
}

/* Distances of the rows [begin, end) to the codewords that were found. */
TARGET static void NAME(measure_rows)(int64_t begin, int64_t end, void *context)
{
    const search *s = context;
    for (int64_t row = begin; row < end; row++)
        s->distances[row] = NAME(measure)(s, row, s->codes[row]);
}

/* The nearest of codewords [from, to), ties to the lowest index. */
TARGET static int64_t NAME(nearest_of)(const search *s, int64_t row, int64_t from, int64_t to)
{
    int64_t code = from;
    double least = INFINITY;
    for (int64_t k = from; k < to; k++) {
        double measured = NAME(measure)(s, row, k);
        if (measured < least) { least = measured; code = k; }
    }
    return code;
}

/* The nearest codewords of the rows [begin, end), each of which measures all of them. */
TARGET static void NAME(one_by_one)(int64_t begin, int64_t end, void *context)
{
    const search *s = context;
    for (int64_t row = begin; row < end; row++)
        s->codes[row] = NAME(nearest_of)(s, row, 0, s->size);
}

/* The nearest codeword of a group, by float32 scores from the panel where they are clear. */
TARGET static int64_t NAME(nearest_in_group)(const search *s, int64_t row, const float *x,
                                             int64_t group, double bound)
{
    int64_t from = group * CODES, to = from + CODES < s->size ? from + CODES : s->size;
    if (from < s->chunk_begin) return NAME(nearest_of)(s, row, from, to);
    const float *panel = s->panels + (from - s->chunk_begin) * s->dim;
    eight part[4] = {{0}};
    int64_t i = 0;
    for (; i + 4 <= s->dim; i += 4)
        UNROLL for (int u = 0; u < 4; u++)
            part[u] += x[(i + u) * WIDTH] * *(const loose *)(panel + (i + u) * CODES);
    for (; i < s->dim; i++) part[0] += x[i * WIDTH] * *(const loose *)(panel + i * CODES);
    part[0] = (part[0] + part[1]) + (part[2] + part[3]);
    float best = INFINITY, other = INFINITY;
    int code = 0;
    UNROLL for (int j = 0; j < CODES; j++) {
        float score = s->half[from + j] - part[0][j];
        float above = score < best ? best : score;
        code = score < best ? j : code;
        best = score < best ? score : best;
        other = above < other ? above : other;
    }
    if ((double)other > (double)best + bound) return from + code;
    return NAME(nearest_of)(s, row, from, to);
}

/* Decide a row after the first pass, or mark it for the second one. `x` is its column. */
TARGET static void NAME(decide)(search *s, int64_t r, const float *x)
{
    int64_t row = s->first + r;
    double norm = s->norm[r], bound = 2 * slack(s, norm);
    s->doubtful[r] = 0;
    if (!(norm * s->largest + s->largest * s->largest < 1e37))
        s->codes[row] = all_finite(s, row) ? NAME(nearest_of)(s, row, 0, s->size) : 0;
    else if ((double)s->other[r] > (double)s->best[r] + bound)
        s->codes[row] = NAME(nearest_in_group)(s, row, x, s->group[r], bound);
    else
        s->doubtful[r] = 1;
}

/* First pass over one chunk of the codebook, for blocks [begin, end) of WIDTH rows. */
TARGET static void NAME(scan)(int64_t begin, int64_t end, void *context)
{
    search *s = context;
    float *rows = scratch((size_t)s->dim * WIDTH);
    if (!rows) { fail(s); return; }
    int64_t panels = (s->chunk_end - s->chunk_begin + CODES - 1) / CODES;
    for (int64_t block = begin; block < end; block++) {
        int64_t at = block * WIDTH, left = s->count - at;
        int count = left < WIDTH ? (int)left : WIDTH;
        NAME(pack_rows)(s, 0, s->first + at, count, rows, s->norm + at);
        V best[ROWS], other[ROWS];
        I group[ROWS];
        for (int m = 0; m < ROWS; m++) {
            best[m] = LOAD(s->best + at + m * LANES);
            other[m] = LOAD(s->other + at + m * LANES);
            group[m] = LOAD_INT(s->group + at + m * LANES);
        }
        int64_t from = 0;
#ifdef RESIDENT
        if (s->dim == 4) NAME(scan_narrow)(s, rows, panels, 4, best, other, group);
        if (s->dim == 8) NAME(scan_narrow)(s, rows, panels, 8, best, other, group);
        if (s->dim == 4 || s->dim == 8) from = panels;
#endif
        for (int64_t p = from; p < panels; p++) {
            const float *panel = s->panels + p * CODES * s->dim;
            SCORES(score, rows, panel, s->half + s->chunk_begin + p * CODES, s->dim)
            V least[ROWS];
            UNROLL for (int m = 0; m < ROWS; m++) {
                least[m] = score[0][m];
                UNROLL for (int j = 1; j < CODES; j++) least[m] = MIN(least[m], score[j][m]);
            }
            REMEMBER(least, p, ROWS)
        }
        for (int m = 0; m < ROWS; m++) {
            STORE(s->best + at + m * LANES, best[m]);
            STORE(s->other + at + m * LANES, other[m]);
            STORE_INT(s->group + at + m * LANES, group[m]);
        }
        if (s->chunk_end == s->size)
            for (int r = 0; r < count; r++) NAME(decide)(s, at + r, rows + r);
    }
    free(rows);
}

/* Second pass over one chunk, for blocks [begin, end) of doubtful rows: every codeword whose score
 * is within the bound is measured in float64. */
TARGET static void NAME(settle)(int64_t begin, int64_t end, void *context)
{
    search *s = context;
    float *rows = scratch((size_t)s->dim * WIDTH);
    if (!rows) { fail(s); return; }
    int64_t panels = (s->chunk_end - s->chunk_begin + CODES - 1) / CODES;
    for (int64_t block = begin; block < end; block++) {
        int64_t at = block * WIDTH, left = s->waiting - at;
        int count = left < WIDTH ? (int)left : WIDTH;
        ALIGNED float limit[WIDTH], norm[WIDTH], kept[LANES];
        NAME(pack_rows)(s, s->rows, at, count, rows, norm);
        for (int r = 0; r < WIDTH; r++) {
            limit[r] = -INFINITY;
            if (r < count) {
                double best = s->best[s->rows[at + r] - s->first];
                limit[r] = nextafterf((float)(best + 2 * slack(s, norm[r])), INFINITY);
            }
        }
        for (int64_t p = 0; p < panels; p++) {
            const float *panel = s->panels + p * CODES * s->dim;
            SCORES(score, rows, panel, s->half + s->chunk_begin + p * CODES, s->dim)
            for (int j = 0; j < CODES; j++) {
                int64_t code = s->chunk_begin + p * CODES + j;
                for (int m = 0; m < ROWS; m++) {
                    if (!ANY_WITHIN(score[j][m], LOAD(limit + m * LANES))) continue;
                    STORE(kept, score[j][m]);
                    for (int l = m * LANES; l < (m + 1) * LANES && l < count; l++) {
                        if (!(kept[l - m * LANES] <= limit[l])) continue;
                        double measured = NAME(measure)(s, s->rows[at + l], code);
                        if (measured < s->least[at + l]) {
                            s->least[at + l] = measured;
                            s->codes[s->rows[at + l]] = code;
                        }
                    }
                }
            }
        }
    }
    free(rows);
}

#undef NAME
#undef TARGET
#undef LANES
#undef ROWS
#undef WIDTH
#undef SCORES
#undef V
#undef I
#undef M
#undef LOAD
#undef STORE
#undef LOAD_INT
#undef STORE_INT
#undef SPREAD
#undef SPREAD_INT
#undef SUBTRACT_PRODUCT
#undef MIN
#undef MAX
#undef LESS
#undef CHOOSE_INT
#undef ANY_WITHIN
#undef REMEMBER
#undef RESIDENT
