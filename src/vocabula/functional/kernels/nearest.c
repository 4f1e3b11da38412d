/* The nearest codeword on the CPU, exactly, with the scores of a tile kept in registers.
 *
 * First pass: float32 scores |e|^2 / 2 - z.e about a common center; of each row the best group of
 * CODES codewords and the least score outside of it. A rigorous bound on the rounding says whether
 * that group must hold the nearest codeword: then float64 decides inside the group. The few other
 * rows make a second pass, in which every codeword within the bound is measured in float64. Of few
 * rows every codeword is. The result is that of a float64 brute force, ties to the lowest index.
 *
 * Plain C with no Python: the library is loaded with ctypes, and threads are torch's own, through
 * the function `torch_parallel_for` that the caller hands over.
 */

#include "common.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef X86
#include <immintrin.h>
#elif defined(ARM)
#include <arm_neon.h>
#endif

#define CODES 6              /* codewords of a tile and of a group */
#define NEAR_PANELS 128      /* panels of 8 coordinates that fit the nearest cache, 24 KiB */
#define CHUNK (4 << 20)      /* most floats of a codebook laid out at a time: 16 MiB */
#define BLOCK_ROWS (1 << 14) /* most rows whose state is kept at a time: half a MiB */
#define FEW_ROWS 4           /* so many rows do not repay making the codebook ready */

typedef float eight __attribute__((vector_size(32)));
typedef float loose __attribute__((vector_size(32), aligned(4), may_alias));
typedef struct {
    /* the problem */
    const float *z, *codebook; /* (count of all rows, dim), (size, dim) */
    int64_t *codes;
    double *distances; /* of each row to its codeword, or null */
    int64_t dim, size;
    /* the codebook made ready */
    float *center;       /* (dim) */
    float *half;         /* (size rounded up to CODES) |e|^2 / 2 about the center, then infinity */
    double *inverse;     /* (size) 1 / |e| for the cosine, else null */
    float *panels;       /* one chunk of the codebook as (panel, dim, CODES) */
    int64_t chunk_begin, chunk_end;
    double largest;      /* the largest |e| about the center */
    double linear, constant, square; /* a score errs by at most |z| linear + constant + |z|^2 square */
    /* rows [first, first + count), one block of all */
    int64_t first, count;
    float *best, *other, *norm;
    int32_t *group;
    uint8_t *doubtful;
    /* the doubtful rows among them */
    int64_t *rows, waiting;
    double *least;
    int *failed;
} search;

static void *scratch_bytes(size_t bytes)
{
    void *memory = 0;
    return posix_memalign(&memory, 64, bytes ? bytes : 1) ? 0 : memory;
}

static float *scratch(size_t floats) { return scratch_bytes(floats * sizeof(float)); }

static void fail(const search *s) { *s->failed = 1; }

static double slack(const search *s, double norm)
{
    return (norm * s->square + s->linear) * norm + s->constant;
}

static int all_finite(const search *s, int64_t row)
{
    for (int64_t i = 0; i < s->dim; i++)
        if (!isfinite(s->z[row * s->dim + i])) return 0;
    return 1;
}

/* ---- the inner loops, for each instruction set ------------------------------------------------ */

#define UNROLL _Pragma("GCC unroll 16")
#define ALIGNED __attribute__((aligned(64)))

#ifdef X86
#define NAME(x) x##_avx512
#define TARGET __attribute__((target("avx512f,fma")))
#define LANES 16
#define ROWS 4
#define V __m512
#define I __m512i
#define M __mmask16
#define LOAD(p) _mm512_load_ps(p)
#define STORE(p, v) _mm512_store_ps(p, v)
#define LOAD_INT(p) _mm512_load_si512((const void *)(p))
#define STORE_INT(p, v) _mm512_store_si512((void *)(p), v)
#define SPREAD(x) _mm512_set1_ps(x)
#define SPREAD_INT(x) _mm512_set1_epi32(x)
#define SUBTRACT_PRODUCT(s, a, b) _mm512_fnmadd_ps(a, b, s)
#define MIN(a, b) _mm512_min_ps(a, b)
#define MAX(a, b) _mm512_max_ps(a, b)
#define LESS(a, b) _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ)
#define CHOOSE_INT(m, a, b) _mm512_mask_mov_epi32(b, m, a)
#define ANY_WITHIN(a, b) _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ)
#define RESIDENT 8
#include "nearest.h"

#define NAME(x) x##_avx2
#define TARGET __attribute__((target("avx2,fma")))
#define LANES 8
#define ROWS 2
#define V __m256
#define I __m256i
#define M __m256
#define LOAD(p) _mm256_load_ps(p)
#define STORE(p, v) _mm256_store_ps(p, v)
#define LOAD_INT(p) _mm256_load_si256((const __m256i *)(p))
#define STORE_INT(p, v) _mm256_store_si256((__m256i *)(p), v)
#define SPREAD(x) _mm256_set1_ps(x)
#define SPREAD_INT(x) _mm256_set1_epi32(x)
#define SUBTRACT_PRODUCT(s, a, b) _mm256_fnmadd_ps(a, b, s)
#define MIN(a, b) _mm256_min_ps(a, b)
#define MAX(a, b) _mm256_max_ps(a, b)
#define LESS(a, b) _mm256_cmp_ps(a, b, _CMP_LT_OQ)
#define CHOOSE_INT(m, a, b) _mm256_blendv_epi8(b, a, _mm256_castps_si256(m))
#define ANY_WITHIN(a, b) _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_LE_OQ))
#include "nearest.h"
#endif

#ifdef ARM
#define NAME(x) x##_neon
#define TARGET
#define LANES 4
#define ROWS 4
#define V float32x4_t
#define I int32x4_t
#define M uint32x4_t
#define LOAD(p) vld1q_f32(p)
#define STORE(p, v) vst1q_f32(p, v)
#define LOAD_INT(p) vld1q_s32(p)
#define STORE_INT(p, v) vst1q_s32(p, v)
#define SPREAD(x) vdupq_n_f32(x)
#define SPREAD_INT(x) vdupq_n_s32(x)
#define SUBTRACT_PRODUCT(s, a, b) vfmsq_f32(s, a, b)
#define MIN(a, b) vminnmq_f32(a, b)
#define MAX(a, b) vmaxnmq_f32(a, b)
#define LESS(a, b) vcltq_f32(a, b)
#define CHOOSE_INT(m, a, b) vbslq_s32(m, a, b)
#define ANY_WITHIN(a, b) vmaxvq_u32(vcleq_f32(a, b))
#define RESIDENT 8
#include "nearest.h"
#endif

typedef struct {
    const char *name;
    int64_t width;
    range scan, settle, measure, one_by_one;
} instructions;

#define SET(x, width) {#x, width, scan_##x, settle_##x, measure_rows_##x, one_by_one_##x}
static const instructions sets[] = {
#ifdef X86
    SET(avx512, 64), SET(avx2, 16),
#elif defined(ARM)
    SET(neon, 16),
#endif
    {0}};

static const instructions *find(const char *name)
{
    for (const instructions *set = sets; set->name; set++)
        if (!strcmp(set->name, name)) return has_instructions(name) ? set : 0;
    return 0;
}

/* ---- the codebook made ready ------------------------------------------------------------------ */

/* Any point that z and e share exactly serves as center: the mean of at most 4096 codewords. */
static void find_center(search *s)
{
    int64_t step = (s->size + 4095) / 4096, used = 0;
    double *sum = calloc((size_t)s->dim, sizeof(double));
    if (!sum) { fail(s); return; }
    for (int64_t k = 0; k < s->size; k += step, used++)
        for (int64_t i = 0; i < s->dim; i++) sum[i] += s->codebook[k * s->dim + i];
    for (int64_t i = 0; i < s->dim; i++) s->center[i] = (float)(sum[i] / (double)used);
    free(sum);
}

static void measure_codewords(int64_t begin, int64_t end, void *context)
{
    search *s = context;
    for (int64_t k = begin; k < end; k++) {
        const float *e = s->codebook + k * s->dim;
        double part[8] = {0}, square = 0;
        int64_t i = 0;
        for (; i + 8 <= s->dim; i += 8)
            for (int l = 0; l < 8; l++) {
                double d = e[i + l] - s->center[i + l];
                part[l] += d * d;
            }
        for (int l = 0; i < s->dim; i++, l++) {
            double d = e[i] - s->center[i];
            part[l] += d * d;
        }
        for (int l = 0; l < 8; l++) square += part[l];
        if (s->inverse) s->inverse[k] = square > 0 ? 1 / sqrt(square) : 0;
        s->half[k] = s->inverse ? 0 : (float)(square / 2);
    }
}

/* Lay out the panels [begin, end) of the chunk. */
static void lay_out(int64_t begin, int64_t end, void *context)
{
    search *s = context;
    for (int64_t p = begin; p < end; p++) {
        float *panel = s->panels + p * CODES * s->dim;
        for (int j = 0; j < CODES; j++) {
            int64_t k = s->chunk_begin + p * CODES + j;
            const float *e = s->codebook + k * s->dim;
            for (int64_t i = 0; i < s->dim; i++) {
                float x = k < s->size ? e[i] - s->center[i] : 0;
                panel[i * CODES + j] =
                    s->inverse && k < s->size ? (float)(x * s->inverse[k]) : x;
            }
        }
    }
}

/* Bound the error of a score: the sum of dim + 1 products errs by (dim + 1) u relative to the sum
 * of the magnitudes (Higham 2002, section 3.1), its operands and comparisons by a few u more, and
 * float64 by its own rounding, relative to (|z| + |e|)^2 in units of d^2 / 2. */
static void bound_errors(search *s)
{
    float half = 0;
    for (int64_t k = 0; k < s->size; k++)
        if (!(s->half[k] <= half)) half = s->half[k];
    double relative = 1.01 * (double)(s->dim + 13) * FLT_EPSILON / 2;
    double exact = (double)(s->dim + 4) * DBL_EPSILON / 2;
    double underflow = (double)s->dim * FLT_MIN;
    double largest = s->inverse ? 1 : sqrt(2 * (double)half) * (1 + 1e-6);
    s->largest = largest;
    s->linear = (relative + 2 * exact) * largest + underflow;
    s->constant = (relative / 2 + exact) * largest * largest + underflow * (1 + largest);
    s->square = exact;
}

/* ---- the passes ------------------------------------------------------------------------------- */

static int64_t blocks(int64_t count, int64_t width) { return (count + width - 1) / width; }

/* Run `body` over the blocks of rows, once for each chunk of the codebook. */
static void pass(search *s, parallel over, const instructions *set, range body, int64_t count,
                 int64_t chunk, int64_t *laid_out)
{
    int64_t work = set->width * s->dim * s->size;
    for (int64_t begin = 0; begin < s->size; begin += chunk) {
        s->chunk_begin = begin;
        s->chunk_end = begin + chunk < s->size ? begin + chunk : s->size;
        if (*laid_out != begin) {
            int64_t panel = CODES * s->dim;
            over(0, blocks(s->chunk_end - begin, CODES), 1 + 32768 / panel, lay_out, s);
            *laid_out = begin;
        }
        over(0, blocks(count, set->width), 1 + 262144 / work, body, s);
    }
}

static void search_block(search *s, parallel over, const instructions *set, int64_t chunk,
                         int64_t *laid_out)
{
    for (int64_t r = 0; r < blocks(s->count, set->width) * set->width; r++) {
        s->best[r] = s->other[r] = INFINITY;
        s->group[r] = 0;
    }
    pass(s, over, set, set->scan, s->count, chunk, laid_out);
    s->waiting = 0;
    for (int64_t r = 0; r < s->count; r++)
        if (s->doubtful[r]) {
            s->least[s->waiting] = INFINITY;
            s->codes[s->first + r] = 0;
            s->rows[s->waiting++] = s->first + r;
        }
    if (s->waiting > 0) pass(s, over, set, set->settle, s->waiting, chunk, laid_out);
}

/* Write to `codes` the index of the codeword nearest to each row: z (count, dim) and codebook
 * (size, dim), contiguous, all of them at least 1; cosine 0 or 1. Rows with NaN or infinity get 0.
 * `distances` (count) receives |z - e|^2, or the cosine with its sign turned; it may be null.
 * Returns 0, 1 without memory, or 2 where the processor lacks the instruction set. */
EXPORT int32_t vocabula_nearest(const float *z, int64_t count, const float *codebook, int64_t size,
                                int64_t dim, int32_t cosine, int64_t *codes, double *distances,
                                const char *name, parallel over)
{
    const instructions *set = find(name);
    if (!set) return 2;
    int failed = 0;
    int64_t chunk = CHUNK / dim / CODES * CODES, laid_out = -1;
    if (chunk < CODES) chunk = CODES;
    int64_t padded = blocks(size, CODES) * CODES, part = chunk < padded ? chunk : padded;
    int64_t state = blocks(count < BLOCK_ROWS ? count : BLOCK_ROWS, set->width) * set->width;
    search s = {.z = z, .codebook = codebook, .codes = codes, .distances = distances,
                .dim = dim, .size = size};
    s.failed = &failed;
    if (count <= FEW_ROWS && !cosine) {
        set->one_by_one(0, count, &s);
        if (distances) set->measure(0, count, &s);
        return 0;
    }
    s.center = calloc((size_t)dim, sizeof(float));
    s.half = scratch((size_t)padded);
    s.inverse = cosine ? scratch_bytes((size_t)size * sizeof(double)) : 0;
    s.panels = scratch((size_t)(part * dim) + 8); /* read a little beyond */
    s.best = scratch((size_t)state);
    s.other = scratch((size_t)state);
    s.norm = scratch((size_t)state);
    s.group = scratch_bytes((size_t)state * sizeof(int32_t));
    s.doubtful = scratch_bytes((size_t)state);
    s.rows = scratch_bytes((size_t)state * sizeof(int64_t));
    s.least = scratch_bytes((size_t)state * sizeof(double));
    if (s.center && s.half && (s.inverse || !cosine) && s.panels && s.best && s.other && s.norm &&
        s.group && s.doubtful && s.rows && s.least) {
        if (!cosine) find_center(&s);
        over(0, size, 1 + 32768 / dim, measure_codewords, &s);
        for (int64_t k = size; k < padded; k++) s.half[k] = INFINITY;
        bound_errors(&s);
        for (s.first = 0; s.first < count && !failed; s.first += state) {
            s.count = count - s.first < state ? count - s.first : state;
            search_block(&s, over, set, chunk, &laid_out);
        }
        if (distances) over(0, count, 1 + 32768 / dim, set->measure, &s);
    } else {
        failed = 1;
    }
    free(s.center); free(s.half); free(s.inverse); free(s.panels); free(s.best); free(s.other);
    free(s.norm); free(s.group); free(s.doubtful); free(s.rows); free(s.least);
    return failed;
}
