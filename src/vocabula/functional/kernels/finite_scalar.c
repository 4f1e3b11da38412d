/* Finite scalar quantization on the CPU: bound, round and count in mixed radix, in one pass.
 *
 * For each coordinate i of a row, with constants of its own (see `finite_scalar.py`):
 *
 *   b = half tanh(z + shift) - offset         digit = clamp(round(b) + middle, 0, top)
 *   value = (digit - middle) / middle         code += digit * basis
 *
 * and on the way back dL/dz = dL/dvalue slope (1 - tanh(z + shift)^2), slope = half / middle. The
 * way back computes tanh again: that takes less time than new memory to keep it.
 *
 * The symmetric form has digit = floor(b + middle + 1/2) before the clamp, and the hard-clamped
 * form min(max(x, -1), 1) in place of tanh(x). The loops are compiled for each of the four.
 */

#include "common.h"

#include <math.h>
#include <string.h>

#define RUN 64 /* rows that the constants are repeated for, so that loops run over contiguous data */
#define MOST_LEVELS 16
#define SYMMETRIC 1 /* bits of the form */
#define CLAMPED 2

typedef struct {
    const float *z, *grad;
    float *out; /* the values, or the gradient to z */
    int64_t *codes;
    int64_t rows, levels, size; /* size: the number of codes */
    int32_t form;
    const int64_t *basis;
    /* (RUN * levels) each */
    float shift[RUN * MOST_LEVELS], half[RUN * MOST_LEVELS], offset[RUN * MOST_LEVELS];
    float middle[RUN * MOST_LEVELS], top[RUN * MOST_LEVELS], slope[RUN * MOST_LEVELS];
    float weight[RUN * MOST_LEVELS]; /* the basis */
} lattice;

/* To the nearest integer, ties to even, for |x| < 2^22. */
INLINE float round_even(float x) { return (x + 12582912.0f) - 12582912.0f; }

/* tanh(x) = 1 - 2 / (e^2x + 1) to an absolute 2e-7, which is what rounding to levels asks for. */
INLINE float tanh_of(float x)
{
    x = x < 10.0f ? x : 10.0f;
    x = x > -10.0f ? x : -10.0f;
    /* e^2x = 2^n e^r, |r| <= log(2) / 2, e^r by its Taylor series to r^6 */
    float n = round_even(x * 2.885390082f);
    float r = (2 * x - n * 0.693359375f) + n * 2.12194440e-4f;
    float power = 1 + r * (1 + r * (5.0e-1f + r * (1.6666667e-1f + r * (4.1666668e-2f +
                  r * (8.3333338e-3f + r * 1.3888889e-3f)))));
    union { int32_t bits; float number; } scale = {.bits = ((int32_t)n + 127) << 23};
    return 1 - 2 / (power * scale.number + 1);
}

INLINE float clamped(float x)
{
    x = x < 1 ? x : 1;
    return x > -1 ? x : -1;
}

INLINE float digit_of(float bounded, float middle, float top, int form)
{
    float digit = form & SYMMETRIC ? floorf(bounded + (middle + 0.5f))
                                   : round_even(bounded) + middle;
    digit = digit > 0 ? digit : 0;
    return digit < top ? digit : top;
}

INLINE void forward_run(const lattice *s, int64_t row, int64_t count, int form)
{
    int64_t levels = s->levels, total = count * levels;
    const float *restrict z = s->z + row * levels;
    float *restrict values = s->out + row * levels;
    float digits[RUN * MOST_LEVELS];
    /* A loop of its own, lest a fused multiplication and addition round otherwise than torch. */
    if (form & CLAMPED)
        for (int64_t i = 0; i < total; i++) digits[i] = s->half[i] * clamped(z[i] + s->shift[i]);
    for (int64_t i = 0; i < total; i++) {
        float bounded = form & CLAMPED ? digits[i] - s->offset[i]
                                       : s->half[i] * tanh_of(z[i] + s->shift[i]) - s->offset[i];
        float digit = digit_of(bounded, s->middle[i], s->top[i], form);
        digits[i] = digit;
        values[i] = (digit - s->middle[i]) / s->middle[i];
    }
    /* Whole numbers below 2^24 are exact in float32, where they are added faster. */
    if (s->size <= 1 << 24) {
        for (int64_t i = 0; i < total; i++) digits[i] *= s->weight[i];
        for (int64_t r = 0; r < count; r++) {
            float code = 0;
            for (int64_t i = 0; i < levels; i++) code += digits[r * levels + i];
            s->codes[row + r] = (int64_t)code;
        }
        return;
    }
    for (int64_t r = 0; r < count; r++) {
        int64_t code = 0;
        for (int64_t i = 0; i < levels; i++)
            code += (int64_t)digits[r * levels + i] * s->basis[i];
        s->codes[row + r] = code;
    }
}

INLINE void backward_run(const lattice *s, int64_t row, int64_t count, int form)
{
    int64_t total = count * s->levels;
    const float *restrict z = s->z + row * s->levels;
    const float *restrict grad = s->grad + row * s->levels;
    float *restrict out = s->out + row * s->levels;
    for (int64_t i = 0; i < total; i++) {
        float x = z[i] + s->shift[i];
        float height = form & CLAMPED ? 0 : tanh_of(x);
        float inside = form & CLAMPED ? (clamped(x) == x ? 1.0f : 0.0f) : 1 - height * height;
        out[i] = grad[i] * s->slope[i] * inside;
    }
}

#define OVER_RUNS_OF(run, form)                                                           \
    for (int64_t row = begin * RUN; row < end * RUN && row < s->rows; row += RUN)         \
        run(s, row, s->rows - row < RUN ? s->rows - row : RUN, form);

#define OVER_RUNS(run)                                                                    \
    const lattice *s = context;                                                           \
    switch (s->form) {                                                                    \
    case 0: OVER_RUNS_OF(run, 0) break;                                                   \
    case SYMMETRIC: OVER_RUNS_OF(run, SYMMETRIC) break;                                   \
    case CLAMPED: OVER_RUNS_OF(run, CLAMPED) break;                                       \
    default: OVER_RUNS_OF(run, SYMMETRIC | CLAMPED)                                       \
    }

#ifdef X86
__attribute__((target("avx512f,fma")))
static void forward_avx512(int64_t begin, int64_t end, void *context) { OVER_RUNS(forward_run) }
__attribute__((target("avx512f,fma")))
static void backward_avx512(int64_t begin, int64_t end, void *context) { OVER_RUNS(backward_run) }
__attribute__((target("avx2,fma")))
static void forward_avx2(int64_t begin, int64_t end, void *context) { OVER_RUNS(forward_run) }
__attribute__((target("avx2,fma")))
static void backward_avx2(int64_t begin, int64_t end, void *context) { OVER_RUNS(backward_run) }
#else
static void forward_base(int64_t begin, int64_t end, void *context) { OVER_RUNS(forward_run) }
static void backward_base(int64_t begin, int64_t end, void *context) { OVER_RUNS(backward_run) }
#endif

/* Repeat the constants (6, levels): shift, half, offset, middle, top, slope. */
static void spread(lattice *s, const float *constants)
{
    float *into[6] = {s->shift, s->half, s->offset, s->middle, s->top, s->slope};
    for (int c = 0; c < 6; c++)
        for (int64_t i = 0; i < RUN * s->levels; i++)
            into[c][i] = constants[c * s->levels + i % s->levels];
}

static void run(lattice *s, const char *name, parallel over, int forward)
{
    range body;
#ifdef X86
    int wide = !strcmp(name, "avx512");
    body = forward ? (wide ? forward_avx512 : forward_avx2)
                   : (wide ? backward_avx512 : backward_avx2);
#else
    (void)name;
    body = forward ? forward_base : backward_base;
#endif
    over(0, (s->rows + RUN - 1) / RUN, 1 + 4096 / (RUN * s->levels), body, s);
}

/* z and values (rows, levels), codes (rows), constants (6, levels), basis (levels), bits of form.
 * Returns 0, or 2 where the processor lacks the instruction set or there are too many levels. */
EXPORT int32_t vocabula_finite_scalar(const float *z, int64_t rows, int64_t levels,
                                      const float *constants, const int64_t *basis, int32_t form,
                                      float *values, int64_t *codes, const char *name,
                                      parallel over)
{
    if (!has_instructions(name) || levels > MOST_LEVELS) return 2;
    lattice s = {.z = z, .out = values, .codes = codes,
                 .rows = rows, .levels = levels, .basis = basis, .form = form};
    spread(&s, constants);
    s.size = basis[levels - 1] * ((int64_t)s.top[levels - 1] + 1);
    for (int64_t i = 0; i < RUN * levels; i++) s.weight[i] = (float)basis[i % levels];
    run(&s, name, over, 1);
    return 0;
}

/* out (rows, levels) = the gradient to z of grad (rows, levels), that to the values. */
EXPORT int32_t vocabula_finite_scalar_backward(const float *grad, const float *z, int64_t rows,
                                               int64_t levels, const float *constants,
                                               int32_t form, float *out, const char *name,
                                               parallel over)
{
    if (!has_instructions(name) || levels > MOST_LEVELS) return 2;
    lattice s = {.grad = grad, .z = z, .out = out, .rows = rows, .levels = levels,
                 .form = form};
    spread(&s, constants);
    run(&s, name, over, 0);
    return 0;
}
