/* Tables of 24-bit probabilities from the networks of a portable prior; docs/vcb.md specifies them, and
 * codec/integer_network.py does the same in torch.
 *
 * Values are integers held in float64. Every sum stays below 2^52 and every step is exact, so that
 * the order of sums, the instructions and the threads make no difference. */

#include "common.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 16  /* positions that go through the network together */
#define TILE 4   /* of them, whose sums stay in registers */
#define PANEL 8  /* outputs whose weights lie together */
#define STATE 32768.0
#define CURVE 2048
#define WEIGHT_STEP (1.0 / 4096)
#define TOTAL (1 << 24)

#define UNROLL _Pragma("GCC unroll 8")

/* Weights (outputs / PANEL, inputs, PANEL) and biases, outputs rounded up to whole panels by zeros. */
typedef struct {
    const double *weight, *bias;
    int64_t inputs, outputs;
} layer;

/* The symbols of a level, as rows of the table of embeddings: (sources, size), grid after grid. */
typedef struct {
    const int64_t *rows;
    int64_t size;
    const int64_t *first, *stride, *height, *width; /* of each signal */
    const int64_t *row, *column; /* (positions): where a position that is predicted lies in it */
} plane;

/* A place that is looked at: the embeddings of the symbols [from, to) there are added up. A place of
 * another scale is so many times as far away. */
typedef struct {
    int64_t plane, from, to, down, right, scaled;
} tap;

typedef struct {
    const double *table; /* (rows, width) */
    int64_t width;
    const plane *planes;
    const tap *taps;
    int64_t tap_count;
    const int64_t *signal, *scale; /* (positions) the signal, and log2 of the step of scaled taps */
    const int64_t *const *phase;   /* (phases, positions) */
    const double *const *phases;   /* for each of them (any, hidden) */
    int64_t phase_count;
    const layer *layers; /* the first, two for each block, the last */
    int64_t layer_count;
    const int16_t *curve;       /* (2 CURVE) the activation of -CURVE to CURVE - 1 */
    const int32_t *exponential; /* (far + 1) */
    int64_t far;
} network;

typedef struct {
    const network *net;
    const int64_t *which, *highest; /* (count) positions, and the last value each may have; or null */
    int64_t count;
    uint32_t *out; /* (count, values + 1) */
    int *failed;
} job;

typedef double four __attribute__((vector_size(32), aligned(8)));

static int64_t padded(int64_t outputs) { return (outputs + PANEL - 1) / PANEL * PANEL; }

/* The embeddings (inputs) that a position looks at. */
INLINE void look(const network *n, int64_t position, double *x)
{
    int64_t signal = n->signal[position], width = n->width;
    int64_t step = n->scale ? (int64_t)1 << n->scale[position] : 1;
    for (int64_t t = 0; t < n->tap_count; t++, x += width) {
        const tap *a = n->taps + t;
        const plane *p = n->planes + a->plane;
        int64_t row = p->row[position] + a->down * (a->scaled ? step : 1);
        int64_t column = p->column[position] + a->right * (a->scaled ? step : 1);
        int inside = row >= 0 && row < p->height[signal] && column >= 0 && column < p->width[signal];
        int64_t at = inside ? p->first[signal] + row * p->stride[signal] + column : 0;
        memcpy(x, n->table + p->rows[a->from * p->size + at] * width, (size_t)width * sizeof(double));
        for (int64_t s = a->from + 1; s < a->to; s++) {
            const double *more = n->table + p->rows[s * p->size + at] * width;
            for (int64_t i = 0; i < width; i++) x[i] += more[i];
        }
    }
}

/* out (ROWS, padded outputs) = floor(weight x 2^-12 + 1/2) + bias of x (ROWS, stride). */
INLINE void apply(const layer *l, const double *x, int64_t stride, double *out)
{
    int64_t wide = padded(l->outputs);
    for (int64_t o = 0; o < wide; o += PANEL) {
        const double *panel = l->weight + o * l->inputs;
        for (int64_t r = 0; r < ROWS; r += TILE) {
            const double *rows = x + r * stride;
            four sum[TILE][2] = {0};
            for (int64_t i = 0; i < l->inputs; i++) {
                four low = *(const four *)(panel + i * PANEL);
                four high = *(const four *)(panel + i * PANEL + 4);
                UNROLL for (int t = 0; t < TILE; t++) {
                    double value = rows[t * stride + i];
                    four spread = {value, value, value, value};
                    sum[t][0] += low * spread;
                    sum[t][1] += high * spread;
                }
            }
            UNROLL for (int t = 0; t < TILE; t++) {
                double *to = out + (r + t) * wide + o;
                *(four *)to = sum[t][0];
                *(four *)(to + 4) = sum[t][1];
            }
        }
        for (int64_t r = 0; r < ROWS; r++)
            for (int i = 0; i < PANEL; i++) {
                double *to = out + r * wide + o + i;
                *to = floor(*to * WEIGHT_STEP + 0.5) + l->bias[o + i];
            }
    }
}

INLINE double bounded(double x)
{
    x = x > -STATE ? x : -STATE;
    return x < STATE - 1 ? x : STATE - 1;
}

/* The activation of bounded values: by its table, and above it one more for each one more. Only the
 * look-up itself is done one by one. */
INLINE void curve(const network *n, const double *x, double *out, int64_t count)
{
    int32_t inside[PANEL], above[PANEL];
    for (int64_t from = 0; from < count; from += PANEL) {
        for (int i = 0; i < PANEL; i++) {
            int32_t value = (int32_t)x[from + i], low = value > -CURVE ? value : -CURVE;
            inside[i] = low < CURVE ? low : CURVE - 1;
            above[i] = value > CURVE - 1 ? value - (CURVE - 1) : 0;
        }
        UNROLL for (int i = 0; i < PANEL; i++) inside[i] = n->curve[inside[i] + CURVE];
        for (int i = 0; i < PANEL; i++) out[from + i] = inside[i] + above[i];
    }
}

/* Cumulative widths (size + 1) of logits (size); values above `highest` have the least width. */
INLINE void widths(const network *n, const double *logits, int64_t size, int64_t highest,
                   int32_t *width, uint32_t *out)
{
    int32_t largest = INT32_MIN, most = 0, far = (int32_t)n->far, used = 0;
    int64_t sum = 0, best = 0;
    for (int64_t k = 0; k < size; k++) {
        width[k] = (int32_t)logits[k];
        largest = width[k] > largest ? width[k] : largest;
    }
    for (int64_t k = 0; k < size; k++) {
        int32_t below = largest - width[k];
        width[k] = below < far ? below : far;
    }
    for (int64_t k = 0; k < size; k++) width[k] = n->exponential[width[k]];
    for (int64_t k = highest + 1; k < size; k++) width[k] = 0;
    for (int64_t k = 0; k < size; k++) {
        sum += width[k];
        most = width[k] > most ? width[k] : most;
    }
    while (width[best] < most) best++;
    /* A product is at most 2^52, so that the rounded quotient has the floor of the exact one. */
    double room = (double)(TOTAL - size), all = sum > 0 ? (double)sum : 1;
    for (int64_t k = 0; k < size; k++) {
        width[k] = (int32_t)(width[k] * room / all) + 1;
        used += width[k];
    }
    width[best] += TOTAL - used;
    uint32_t total = 0;
    for (int64_t k = 0; k < size; k++) {
        out[k] = total;
        total += (uint32_t)width[k];
    }
    out[size] = total;
}

typedef struct {
    double *x, *h, *active, *inner, *logits;
    int32_t *width;
    int64_t inputs, hidden, values; /* padded */
} scratch;

/* The logits of ROWS positions, whose inputs are in x. */
INLINE void forward(const network *n, const scratch *s, const int64_t *which, int64_t count)
{
    const layer *first = n->layers, *last = n->layers + n->layer_count - 1;
    int64_t wide = s->hidden, all = ROWS * wide;
    apply(first, s->x, s->inputs, s->h);
    for (int64_t r = 0; r < count; r++)
        for (int64_t p = 0; p < n->phase_count; p++) {
            const double *more = n->phases[p] + n->phase[p][which[r]] * first->outputs;
            for (int64_t i = 0; i < first->outputs; i++) s->h[r * wide + i] += more[i];
        }
    for (int64_t i = 0; i < all; i++) s->h[i] = bounded(s->h[i]);
    for (const layer *l = first + 1; l < last; l += 2) {
        curve(n, s->h, s->active, all);
        apply(l, s->active, wide, s->inner);
        for (int64_t i = 0; i < all; i++) s->inner[i] = bounded(s->inner[i]);
        curve(n, s->inner, s->active, all);
        apply(l + 1, s->active, wide, s->inner);
        for (int64_t i = 0; i < all; i++) s->h[i] = bounded(s->h[i] + s->inner[i]);
    }
    curve(n, s->h, s->active, all);
    apply(last, s->active, wide, s->logits);
    for (int64_t i = 0; i < ROWS * s->values; i++) s->logits[i] = bounded(s->logits[i]);
}

INLINE void rows_of(const job *j, int64_t begin, int64_t end)
{
    const network *n = j->net;
    const layer *last = n->layers + n->layer_count - 1;
    scratch s = {.inputs = n->layers->inputs, .hidden = padded(n->layers->outputs),
                 .values = padded(last->outputs)};
    int64_t each = s.inputs + 3 * s.hidden + s.values;
    double *memory = calloc((size_t)(ROWS * each + s.values), sizeof(double));
    if (!memory) { *j->failed = 1; return; }
    s.x = memory;
    s.h = s.x + ROWS * s.inputs;
    s.active = s.h + ROWS * s.hidden;
    s.inner = s.active + ROWS * s.hidden;
    s.logits = s.inner + ROWS * s.hidden;
    s.width = (int32_t *)(s.logits + ROWS * s.values);
    for (int64_t from = begin * ROWS; from < end * ROWS && from < j->count; from += ROWS) {
        const int64_t *which = j->which + from;
        int64_t count = j->count - from < ROWS ? j->count - from : ROWS;
        for (int64_t r = 0; r < count; r++) look(n, which[r], s.x + r * s.inputs);
        forward(n, &s, which, count);
        for (int64_t r = 0; r < count; r++) {
            double *logits = s.logits + r * s.values;
            int64_t highest = j->highest ? j->highest[from + r] : last->outputs - 1;
            uint32_t *out = j->out + (from + r) * (last->outputs + 1);
            widths(n, logits, last->outputs, highest, s.width, out);
        }
    }
    free(memory);
}

VECTORIZED static void rows_range(int64_t begin, int64_t end, void *context)
{
    rows_of(context, begin, end);
}

/* Write to `out` (count, values + 1) the cumulative probabilities in 2^24 of a symbol at positions
 * `which` (count), each of whose taps is known. `highest` (count), or null: the last value that is
 * possible. Returns 0, 1 without memory, or 2 where the processor lacks the instruction set. */
EXPORT int32_t vocabula_symbol_rows(const network *net, const int64_t *which, int64_t count,
                                    const int64_t *highest, uint32_t *out, const char *name,
                                    parallel over)
{
    int failed = 0;
    job j = {net, which, highest, count, out, &failed};
    if (!has_instructions(name)) return 2;
    if (over(0, (count + ROWS - 1) / ROWS, 2, rows_range, &j)) return 1;
    return failed;
}
