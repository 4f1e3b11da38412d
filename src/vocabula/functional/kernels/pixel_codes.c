/* Exact pixels, given a reconstruction of them, by a model that learns as it goes, from integers alone;
 * docs/vcb.md specifies it, and codec/pixel_steps.py does the same in Python. Both give the same words
 * on every machine.
 *
 * Each value is predicted from those before it, from the reconstruction around it and from the
 * channels of its pixel that are known: by four fixed rules and two linear filters, blended by their
 * errors near by. What is left is coded by binary decisions, each mixed in the logistic domain from
 * what a level of noise and seven contexts have seen. Predictions and errors count in eighths. */

#include "common.h"
#include "range_coder.h"

#include <stdlib.h>
#include <string.h>

enum { CHANNELS = 4, PAD = 2, ROWS = 3, INPUTS = 30, FILTERS = 2, PREDICTIONS = 6, ERROR = 6 };
enum { TRACKS = 7, LEVELS = 21, CONTEXTS = 7, VALUES = 1024, NODES = 40, SEEN = 30 };
enum { MOST_SEEN = 250, OWN_SEEN = 1000, FIRST_SEEN = 12, HIGHEST = 255 * 8 };
enum { LARGEST_WEIGHT = 1 << 21, SQUASH_END = 3072 };
static const int SLOWNESS[FILTERS] = {13, 9};

/* How the values are laid out and coded; all of it is the caller's. */
typedef struct {
    uint32_t *values;             /* (channels, positions), in the order of coding; out in decoding */
    const uint8_t *reconstructed; /* (channels, positions) */
    const int64_t *grids;         /* (runs, 3): count, height, width */
    int64_t runs, channels, positions;
    const uint32_t *start;  /* (LEVELS, NODES): probability of 1 in 2^22 where nothing is known */
    const int32_t *filters; /* (CHANNELS, INPUTS): weights that all filters begin with, in 2^16 */
    const uint32_t *squash; /* (2 SQUASH_END + 1): 2^24 / (1 + exp(-x / 256)) */
    const int16_t *stretch; /* (4096): its inverse */
    uint32_t *trace;        /* width of each decision's outcome in 2^24; or null */
} job;

/* Probability of 1 in 2^22, and how often it has been asked for. */
typedef struct {
    uint32_t one : 22, seen : 10;
} cell;

typedef struct {
    const job *j;
    cell own[CHANNELS][LEVELS][NODES];
    cell (*contexts)[CHANNELS][VALUES][NODES];
    int32_t own_weight[CHANNELS][NODES], weight[CHANNELS][NODES][CONTEXTS][SEEN + 1];
    int32_t filter[CHANNELS][FILTERS][INPUTS];
    int16_t *rows[CHANNELS][ROWS];       /* values of row y at y mod 3, padded */
    int16_t *tracks[CHANNELS][TRACKS][2]; /* errors of the predictions, and signed of the blend */
    const uint8_t *shown[CHANNELS];       /* the reconstruction of this image */
    int64_t height, width, decisions;
    int encoding;
    encoder e;
    decoder d;
} state;

/* What one value is predicted from. */
typedef struct {
    int x, y, channel;
    int w, n, nw, ne, ww, nn, nne, nee, nww; /* neighbours, by the compass */
    int q, qw, qn, qnw, qne, qe, qs;         /* the reconstruction here and around */
    int inputs[INPUTS], count, energy;
    int predictions[PREDICTIONS], blend;
    cell *own, *cells[CONTEXTS];
} place;

static inline int magnitude(int x) { return x < 0 ? -x : x; }
static inline int within(int x, int low, int high) { return x < low ? low : x > high ? high : x; }
static inline int lesser(int a, int b) { return a < b ? a : b; }
static inline int log2_of(int x) { return 31 - __builtin_clz((unsigned)x); }

/* An error of either sign in 11 classes, 0 to 10. */
static inline int class_of(int error)
{
    int size = lesser(5, log2_of((magnitude(error) + 4) >> 2));
    return 5 + (error < 0 ? -size : size);
}

/* A size from 0 on in classes, two to an octave. */
static inline int level_of(int size)
{
    int octave = log2_of(size + 1);
    return octave ? 2 * octave - 1 + ((size + 1) >> (octave - 1) & 1) : 0;
}

/* The middle one of w, n and w + n - nw. */
static inline int median(int w, int n, int nw)
{
    return w < n ? within(w + n - nw, w, n) : within(w + n - nw, n, w);
}

static inline int32_t bounded(int64_t x)
{
    return (int32_t)(x > LARGEST_WEIGHT ? LARGEST_WEIGHT : x < -LARGEST_WEIGHT ? -LARGEST_WEIGHT : x);
}

static inline int16_t *row_at(const state *s, const place *p, int channel, int above)
{
    return s->rows[channel][(p->y + ROWS - above) % ROWS] + p->x;
}

static inline void look(const state *s, place *p)
{
    const int16_t *here = row_at(s, p, p->channel, 0), *above = row_at(s, p, p->channel, 1),
                  *top = row_at(s, p, p->channel, 2);
    p->w = here[-1], p->ww = here[-2], p->n = above[0], p->nw = above[-1], p->ne = above[1];
    p->nee = above[2], p->nww = above[-2], p->nn = top[0], p->nne = top[1];
    const uint8_t *q = s->shown[p->channel] + p->y * s->width + p->x;
    int64_t left = p->x ? -1 : 0, right = p->x + 1 < s->width ? 1 : 0;
    int64_t up = p->y ? -s->width : 0, down = p->y + 1 < s->height ? s->width : 0;
    p->q = q[0], p->qw = q[left], p->qn = q[up], p->qnw = q[up + left], p->qne = q[up + right];
    p->qe = q[right], p->qs = q[down];
}

/* The inputs of the filters: differences, so that brightness itself plays no part. */
static inline void gather(const state *s, place *p)
{
    int base = (p->w + p->n + 1) >> 1, *in = p->inputs, count = 15;
    in[0] = p->n - p->w, in[1] = p->nw - base, in[2] = p->ne - base, in[3] = p->ww - base;
    in[4] = p->nn - base, in[5] = p->nne - base, in[6] = p->nee - base, in[7] = p->nww - base;
    in[8] = p->q - p->qw, in[9] = p->q - p->qn, in[10] = p->q - p->qnw, in[11] = p->q - p->qne;
    in[12] = p->qe - p->q, in[13] = p->qs - p->q, in[14] = p->q - base;
    for (int c = 0; c < p->channel; c++) {
        const int16_t *here = row_at(s, p, c, 0), *above = row_at(s, p, c, 1);
        in[count++] = here[0] - here[-1], in[count++] = here[0] - above[0];
        in[count++] = here[0] - above[-1], in[count++] = here[0] - above[1];
        in[count++] = here[0] - s->shown[c][p->y * s->width + p->x];
    }
    p->count = count, p->energy = 0;
    for (int i = 0; i < count; i++) p->energy += in[i] * in[i];
}

static inline void predict(const state *s, place *p)
{
    int base = 8 * ((p->w + p->n + 1) >> 1), middle = median(p->w, p->n, p->nw), *out = p->predictions;
    for (int f = 0; f < FILTERS; f++) {
        int64_t sum = 0;
        for (int i = 0; i < p->count; i++)
            sum += (int64_t)s->filter[p->channel][f][i] * p->inputs[i];
        sum = base + ((sum + (1 << 12)) >> 13);
        out[f] = sum < 0 ? 0 : sum > HIGHEST ? HIGHEST : (int)sum;
    }
    out[2] = 8 * middle;
    out[3] = 8 * (p->w + p->ne - p->n);
    out[4] = 8 * p->q + 4 * (p->w - p->qw) + 4 * (p->n - p->qn) + 2 * (p->ne - p->qne) -
             2 * (p->nw - p->qnw);
    out[5] = 8 * (2 * p->n - p->nn);
    if (p->channel) {
        const int16_t *first = row_at(s, p, 0, 0), *first_above = row_at(s, p, 0, 1),
                      *last = row_at(s, p, p->channel - 1, 0),
                      *last_above = row_at(s, p, p->channel - 1, 1);
        out[3] = base + 4 * (2 * first[0] - first[-1] - first_above[0]);
        out[5] = 8 * (middle + last[0] - median(last[-1], last_above[0], last_above[-1]));
    }
    for (int i = 3; i < PREDICTIONS; i++) out[i] = within(out[i], 0, HIGHEST);
}

/* The predictions' mean, each weighing the more, the less it erred near by; the filters fourfold. */
static inline void blend(const state *s, place *p)
{
    int64_t total = 0, sum = 0;
    for (int i = 0; i < PREDICTIONS; i++) {
        const int16_t *here = s->tracks[p->channel][i][p->y & 1] + p->x,
                      *above = s->tracks[p->channel][i][(p->y + 1) & 1] + p->x;
        int64_t near = 2 * here[-1] + here[-2] + 2 * above[0] + above[-1] + above[1];
        int64_t weight = ((int64_t)1 << (i < FILTERS ? 34 : 32)) / (near * near + 64) + 1;
        total += weight, sum += weight * p->predictions[i];
    }
    p->blend = (int)((sum + total / 2) / total);
}

/* How noisy it is here, and the contexts. */
static inline void choose_cells(state *s, place *p)
{
    int k = p->channel, above = (p->y + 1) & 1, here = p->y & 1;
    const int16_t *f = s->tracks[k][ERROR][here] + p->x, *g = s->tracks[k][ERROR][above] + p->x;
    int first = k > 0 ? s->tracks[0][ERROR][here][p->x] : 0;
    int second = k > 1 ? s->tracks[1][ERROR][here][p->x] : 0;
    int noise = (2 * magnitude(f[-1]) + magnitude(f[-2]) + 2 * magnitude(g[0]) + magnitude(g[-1]) +
                 magnitude(g[1])) / 7;
    if (k == 1) noise = (noise + magnitude(first)) / 2;
    if (k > 1) noise = (2 * noise + 3 * magnitude(first) + 3 * magnitude(second)) / 8;
    int level = level_of(noise), coarse = level / 3, b = p->blend, *e = p->predictions;
    int texture = (8 * p->w > b) | (8 * p->n > b) << 1 | (8 * p->nw > b) << 2 |
                  (8 * p->ne > b) << 3 | (8 * p->ww > b) << 4 | (8 * p->nn > b) << 5 |
                  (p->w > p->ww) << 6 | (p->n > p->nn) << 7;
    int slope = lesser(7, level_of(magnitude(p->qe - p->q) + magnitude(p->qs - p->q)));
    const int pairs[4][2] = {{f[-1], g[0]},
                             {k ? first : g[-1], k ? second : g[1]},
                             {e[0] - b, e[2] - b},
                             {e[3] - b, e[5] - b}};
    int values[CONTEXTS];
    for (int i = 0; i < 4; i++)
        values[i] = (class_of(pairs[i][0]) * 11 + class_of(pairs[i][1])) * 8 + coarse;
    values[4] = level * 8 + (b & 7);
    values[5] = (class_of(8 * p->q - b) * 8 + slope) * 8 + coarse;
    values[6] = texture * 4 + within(coarse - 2, 0, 3);
    p->own = s->own[k][level];
    for (int c = 0; c < CONTEXTS; c++) p->cells[c] = s->contexts[c][k][values[c]];
}

static inline void learn(cell *at, int outcome, int most)
{
    int64_t change = (outcome * 4194303 - (int64_t)at->one) * (131072 / (2 * (int)at->seen + 3));
    at->one = (uint32_t)(at->one + ((change + (1 << 15)) >> 16));
    if (at->seen < most) at->seen++;
}

/* Code one decision of probability `one` in 2^24. Returns the outcome, or a failure below 0. */
static inline int decide(state *s, uint32_t one, int outcome)
{
    outcome = s->encoding ? put_decision(&s->e, one, outcome) : take_decision(&s->d, one);
    if (s->j->trace && outcome >= 0) s->j->trace[s->decisions++] = outcome ? one : TOTAL - one;
    return outcome;
}

/* Predict, code and learn the decision at a node. Returns the outcome, or a failure below 0. */
static inline int step(state *s, const place *p, int node, int outcome)
{
    const int16_t *stretch = s->j->stretch;
    cell *own = p->own + node;
    int32_t base = stretch[own->one >> 10], input[CONTEXTS], *weight[CONTEXTS];
    int32_t *own_weight = &s->own_weight[p->channel][node];
    int64_t sum = (int64_t)*own_weight * base;
    for (int c = 0; c < CONTEXTS; c++) {
        cell *at = p->cells[c] + node;
        if (at->seen == 0) at->one = own->one;
        input[c] = at->seen ? stretch[at->one >> 10] - base : 0;
        weight[c] = &s->weight[p->channel][node][c][lesser(SEEN, at->seen)];
        sum += (int64_t)*weight[c] * input[c];
    }
    int64_t mixed = sum >> 16;
    mixed = mixed > SQUASH_END ? SQUASH_END : mixed < -SQUASH_END ? -SQUASH_END : mixed;
    uint32_t one = s->j->squash[mixed + SQUASH_END];
    outcome = decide(s, one, outcome);
    if (outcome < 0) return outcome;
    int32_t error = outcome * 65536 - (int32_t)(one >> 8);
    *own_weight = bounded(*own_weight + ((base * error + (1 << 17)) >> 18));
    for (int c = 0; c < CONTEXTS; c++) {
        *weight[c] = bounded(*weight[c] + ((input[c] * error + (1 << 13)) >> 14));
        learn(p->cells[c] + node, outcome, MOST_SEEN);
    }
    learn(own, outcome, OWN_SEEN);
    return outcome;
}

/* Code how a value differs from the prediction: whether, to which side, and by how much. */
static int code_value(state *s, const place *p, uint32_t *value)
{
    int middle = (p->blend + 4) >> 3, difference = (int)*value - middle, octave = 0, first = 0;
    int outcome = step(s, p, 0, difference != 0), below = middle == 255;
    if (outcome <= 0) {
        *value = (uint32_t)middle;
        return outcome;
    }
    if (middle > 0 && middle < 255) below = step(s, p, 1, difference < 0);
    if (below < 0) return below;
    int most = below ? middle : 255 - middle, size = magnitude(difference);
    for (; 2 << octave <= most; octave++) {
        outcome = step(s, p, 2 + 7 * below + octave, size >= 2 << octave);
        if (outcome < 0) return outcome;
        if (!outcome) break;
    }
    int found = 1 << octave;
    for (int bit = octave - 1; bit >= 0; bit--) {
        if ((found | 1 << bit) > most) continue;
        int node = bit == octave - 1 ? 15 + octave
                                     : bit == octave - 2 ? 19 + 2 * octave + first : 35 + bit;
        outcome = step(s, p, node, size >> bit & 1);
        if (outcome < 0) return outcome;
        if (bit == octave - 1) first = outcome;
        found |= outcome << bit;
    }
    *value = (uint32_t)(below ? middle - found : middle + found);
    return 0;
}

/* Let filters and errors learn what the value was. */
static inline void follow(state *s, const place *p, int value)
{
    int k = p->channel;
    row_at(s, p, k, 0)[0] = (int16_t)value;
    for (int i = 0; i < PREDICTIONS; i++)
        s->tracks[k][i][p->y & 1][p->x] = (int16_t)magnitude(8 * value - p->predictions[i]);
    s->tracks[k][ERROR][p->y & 1][p->x] = (int16_t)(8 * value - p->blend);
    for (int f = 0; f < FILTERS; f++) {
        int64_t pull = (int64_t)(8 * value - p->predictions[f]) * (1 << 20);
        int64_t gain = pull / (p->energy + 64 + 8 * p->count), half = 1 << (SLOWNESS[f] - 1);
        int32_t *weights = s->filter[k][f];
        for (int i = 0; i < p->count; i++)
            weights[i] = bounded(weights[i] + ((gain * p->inputs[i] + half) >> SLOWNESS[f]));
    }
}

/* What stands beside a row: to the left what the row above began with, to the right its own end. */
static void pad_row(state *s, int64_t y, int right)
{
    for (int c = 0; c < s->j->channels; c++)
        for (int t = -1; t < TRACKS; t++) {
            int16_t *here = t < 0 ? s->rows[c][y % ROWS] : s->tracks[c][t][y & 1];
            int16_t *above = t < 0 ? s->rows[c][(y + 2) % ROWS] : s->tracks[c][t][(y + 1) & 1];
            for (int i = 0; i < PAD; i++)
                if (right) here[s->width + i] = here[s->width - 1];
                else here[-1 - i] = above[0];
        }
}

/* Code one image, whose values begin at `from`. Returns 0 or a failure. */
static int code_image(state *s, int64_t from)
{
    const job *j = s->j;
    for (int c = 0; c < j->channels; c++) {
        s->shown[c] = j->reconstructed + c * j->positions + from;
        for (int64_t x = -PAD; x < s->width + PAD; x++) {
            int64_t inside = x < 0 ? 0 : x < s->width ? x : s->width - 1;
            s->rows[c][1][x] = s->rows[c][2][x] = s->shown[c][inside];
            for (int t = 0; t < TRACKS; t++) s->tracks[c][t][1][x] = 0;
        }
    }
    for (int64_t y = 0; y < s->height; y++) {
        pad_row(s, y, 0);
        for (int64_t x = 0; x < s->width; x++)
            for (int c = 0; c < j->channels; c++) {
                place p = {.x = (int)x, .y = (int)y, .channel = c};
                uint32_t *value = j->values + c * j->positions + from + y * s->width + x;
                if (s->encoding && *value > 255) return BAD_CODE;
                look(s, &p), gather(s, &p), predict(s, &p);
                blend(s, &p), choose_cells(s, &p);
                int failure = code_value(s, &p, value);
                if (failure < 0) return failure;
                follow(s, &p, (int)*value);
            }
        pad_row(s, y, 1);
    }
    return 0;
}

/* Rows for images of a width. Returns their memory, or null. */
static int16_t *make_rows(state *s, int64_t width)
{
    int64_t stride = width + 2 * PAD, each = ROWS + 2 * TRACKS;
    int16_t *memory = malloc((size_t)(stride * each * CHANNELS) * sizeof(*memory));
    if (!memory) return 0;
    for (int c = 0; c < CHANNELS; c++) {
        int16_t *at = memory + c * each * stride + PAD;
        for (int i = 0; i < ROWS; i++, at += stride) s->rows[c][i] = at;
        for (int i = 0; i < 2 * TRACKS; i++, at += stride) s->tracks[c][i / 2][i % 2] = at;
    }
    return memory;
}

static void begin(state *s)
{
    for (int k = 0; k < CHANNELS; k++) {
        for (int level = 0; level < LEVELS; level++)
            for (int node = 0; node < NODES; node++)
                s->own[k][level][node] = (cell){s->j->start[level * NODES + node], FIRST_SEEN};
        for (int node = 0; node < NODES; node++) {
            s->own_weight[k][node] = 65536;
            for (int c = 0; c < CONTEXTS; c++)
                for (int n = 0; n <= SEEN; n++) s->weight[k][node][c][n] = 9830 * n / (n + 3);
        }
        for (int f = 0; f < FILTERS; f++)
            memcpy(s->filter[k][f], s->j->filters + k * INPUTS, INPUTS * sizeof(int32_t));
    }
}

/* Append the values of a job to a message, or read them from one; the other is null. Returns 0 or a
 * failure below 0. */
EXPORT int64_t vocabula_pixels(const job *j, encoder *written, decoder *read)
{
    if (j->channels < 1 || j->channels > CHANNELS) return BAD_CODE;
    state *s = calloc(1, sizeof(*s));
    if (!s) return NO_MEMORY;
    s->j = j;
    s->encoding = written != 0;
    s->contexts = calloc(CONTEXTS, sizeof(*s->contexts));
    if (written) s->e = *written;
    else s->d = *read;
    begin(s);
    int64_t status = s->contexts ? 0 : NO_MEMORY, from = 0;
    for (int64_t r = 0; r < j->runs && status == 0; r++) {
        s->height = j->grids[3 * r + 1], s->width = j->grids[3 * r + 2];
        int16_t *memory = make_rows(s, s->width);
        if (!memory) status = NO_MEMORY;
        for (int64_t i = 0; i < j->grids[3 * r] && status == 0; i++, from += s->height * s->width)
            status = code_image(s, from);
        free(memory);
    }
    if (written) *written = s->e;
    else *read = s->d;
    free(s->contexts);
    free(s);
    return status;
}
