/* Codes by a model that learns as it goes, from integers alone; docs/vcb.md specifies it, and
 * codec/adaptive_steps.py does the same in Python. Both give the same words on every machine.
 *
 * A code is ceil(log2 K) binary decisions down a tree. Each is predicted by the node's own history
 * and by four contexts of neighbouring codes, and mixed in the logistic domain. A context keeps one
 * entry for all of a subtree in which it has met a single code; most contexts of large books meet
 * few, so that a code costs few look-ups. Changes are rounded to the nearest: rounded down, they
 * would add up to a drift. */

#include "common.h"
#include "range_coder.h"

#include <stdlib.h>
#include <string.h>

enum { CONTEXTS = 4, WAYS = 4, SEEN = 30, OWN_SEEN = 1000, LEVELS = 22, LARGEST_WEIGHT = 1 << 21 };
enum { SQUASH_END = 3072 };
enum { EMPTY, NODE, LEAF };

/* What a context has seen below a node: several codes, then the probability of 1 in 2^16 there; or
 * one code, then its rank. */
typedef struct {
    uint32_t value;
    uint8_t kind, seen, check;
} slot;

/* How the codes of one stream are laid out and coded; all of it is the caller's. */
typedef struct {
    uint32_t *ranks;                  /* places in the tree, in order; out where decoding */
    const uint32_t *before, *earlier; /* ranks of the stream before, and the one before; or null */
    const int64_t *grids;             /* (runs, 3): count, height, width */
    int64_t runs, size, bits;         /* K, and ceil(log2 K) */
    const uint32_t *own;              /* (2^bits): probability of 1 in 2^22 at each node */
    const uint16_t *own_seen;         /* (2^bits): how often each has been seen */
    const uint32_t *squash;           /* (2 SQUASH_END + 1): 2^24 / (1 + exp(-x / 256)) */
    const int16_t *stretch;           /* (4096): its inverse */
    int64_t slots;                    /* of all contexts, a power of two >= 8 */
    uint32_t *trace;                  /* width of each decision's outcome in 2^24; or null */
} job;

/* How far the walk of one context down the tree has come. */
typedef struct {
    uint64_t key;
    slot *at;      /* of a NODE: where it is */
    int kind;      /* what the walk is on: nodes, a leaf, or nothing */
    int top, fork; /* levels where the leaf began, and where the code left it; or -1 */
    uint32_t rank; /* of the leaf */
    uint8_t seen;  /* of the leaf */
} walk;

typedef struct {
    const job *j;
    uint32_t *own;
    uint16_t *own_seen;
    slot *slots;
    int shift;
    int32_t own_weight[LEVELS], weight[LEVELS][CONTEXTS][2][SEEN + 1];
    walk walks[CONTEXTS];
    uint32_t start[LEVELS]; /* own probability in 2^16 at each level of this code, before it */
    int64_t decisions;
    int encoding;
    encoder e;
    decoder d;
} state;

static const uint64_t MIX = 0x9E3779B97F4A7C15u, MIX_NODE = 0xD6E8FEB86659FD93u;

/* The upper four bits of a neighbour + 1, or 0 where there is none. */
static inline uint64_t coarse(uint64_t neighbour, int64_t bits)
{
    return neighbour ? ((neighbour - 1) >> (bits > 4 ? bits - 4 : 0)) + 1 : 0;
}

/* The bucket of slots that a context uses for a node and for its sibling. */
static inline slot *bucket(state *s, uint64_t key, uint32_t node, uint8_t *check)
{
    uint64_t hash = (key + node / 2) * MIX_NODE;
    *check = (uint8_t)(hash >> 32 & 0xFE) | (uint8_t)(node & 1);
    return s->slots + WAYS * (hash >> s->shift);
}

/* Begin the walks of one code; neighbours are ranks + 1, or 0 outside. */
static inline void begin(state *s, uint64_t left, uint64_t above, uint64_t before, uint64_t earlier)
{
    uint8_t check;
    int64_t bits = s->j->bits;
    uint64_t pair = coarse(left, bits) << 5 | coarse(above, bits), third = pair,
             fourth = left << 24 | above;
    if (s->j->before) {
        third = before;
        fourth = before << 24 | (s->j->earlier ? earlier : pair);
    }
    const uint64_t values[CONTEXTS] = {left, above, third, fourth};
    for (int c = 0; c < CONTEXTS; c++) {
        uint64_t key = (values[c] << 2 | (uint64_t)c) * MIX;
        s->walks[c] = (walk){.key = (key ^ key >> 32) * MIX, .kind = NODE, .fork = -1};
        __builtin_prefetch(bucket(s, s->walks[c].key, 1, &check));
    }
}

/* The slot of a context at a node; null where it has none. */
static inline slot *find(state *s, uint64_t key, uint32_t node)
{
    uint8_t check;
    slot *at = bucket(s, key, node, &check);
    for (int w = 0; w < WAYS; w++)
        if (at[w].kind && at[w].check == check) return at + w;
    return 0;
}

/* Fill the slot of a context at a node: its own, or the first of the least used in its bucket. */
static inline void insert(state *s, uint64_t key, uint32_t node, int kind, uint32_t value, int seen)
{
    uint8_t check;
    slot *first = bucket(s, key, node, &check), *at = find(s, key, node);
    if (!at) {
        at = first;
        for (int w = 1; w < WAYS; w++)
            if (first[w].seen < at->seen) at = first + w;
    }
    *at = (slot){value, (uint8_t)kind, (uint8_t)(seen < SEEN ? seen : SEEN), check};
}

static inline int32_t bounded(int32_t weight)
{
    return weight > LARGEST_WEIGHT ? LARGEST_WEIGHT
                                   : weight < -LARGEST_WEIGHT ? -LARGEST_WEIGHT : weight;
}

/* Probability of 1 in 2^16 after `seen` times the same outcome, begun at `start`. */
static inline uint32_t repeated(uint32_t start, int outcome, int seen)
{
    uint32_t part = 65536u / (uint32_t)(seen + 1);
    return outcome ? 65535 - ((65535 - start) * part >> 16) : start * part >> 16;
}

/* Probability of 1 in 2^16 after one more outcome. */
static inline uint32_t learned(uint32_t one, int outcome, int seen)
{
    int32_t rate = 65536 / (seen + 2);
    int64_t change = (int64_t)(outcome * 65535 - (int32_t)one) * rate;
    return (uint32_t)((int32_t)one + (int32_t)((change + (1 << 15)) >> 16));
}

/* Code one decision of probability `one` in 2^24. Returns the outcome, or a failure below 0. */
static inline int decide(state *s, uint32_t one, int outcome)
{
    outcome = s->encoding ? put_decision(&s->e, one, outcome) : take_decision(&s->d, one);
    if (s->j->trace && outcome >= 0) s->j->trace[s->decisions++] = outcome ? one : TOTAL - one;
    return outcome;
}

/* The probability of 1 in 2^16 that a context gives at a node, and how often it has been there; 0
 * times for a node that is new to it. */
static inline uint32_t predict(state *s, walk *w, int level, uint32_t node, int *seen)
{
    if (w->kind == NODE) {
        slot *at = w->at = find(s, w->key, node);
        w->kind = at ? at->kind : EMPTY;
        if (w->kind != NODE) w->top = level;
        if (w->kind == LEAF) { w->rank = at->value; w->seen = at->seen; }
        if (w->kind == NODE) {
            uint8_t check;
            __builtin_prefetch(bucket(s, w->key, 2 * node, &check));
        }
    }
    *seen = w->kind == EMPTY ? 0 : w->kind == NODE ? w->at->seen : w->seen;
    if (w->kind == NODE) return w->at->value;
    if (w->kind == EMPTY) return s->start[level];
    return repeated(s->start[level], (int)(w->rank >> (s->j->bits - 1 - level) & 1), w->seen);
}

/* Tell a walk the outcome at its level. */
static inline void follow(state *s, walk *w, int level, int outcome)
{
    if (w->kind == NODE) {
        w->at->value = learned(w->at->value, outcome, w->at->seen);
        if (w->at->seen < SEEN) w->at->seen++;
    } else if (w->kind == LEAF && (int)(w->rank >> (s->j->bits - 1 - level) & 1) != outcome) {
        w->kind = EMPTY;
        w->fork = level;
    }
}

/* Predict, code and learn the decision at a node. Returns the outcome, or a failure below 0. */
static inline int step(state *s, int level, uint32_t node, int outcome)
{
    const job *j = s->j;
    uint32_t own = s->own[node];
    if (j->bits > LEVELS / 2) { /* two levels below: large trees are not in the nearest cache */
        __builtin_prefetch(s->own + 4 * node);
        __builtin_prefetch(s->own_seen + 4 * node);
    }
    int32_t base = j->stretch[own >> 10], input[CONTEXTS], *weight[CONTEXTS];
    int64_t sum = (int64_t)s->own_weight[level] * base;
    s->start[level] = own >> 6;
    for (int c = 0; c < CONTEXTS; c++) {
        int seen;
        uint32_t one = predict(s, s->walks + c, level, node, &seen);
        input[c] = seen ? j->stretch[one >> 4] - base : 0;
        weight[c] = &s->weight[level][c][s->walks[c].kind == LEAF][seen];
        sum += (int64_t)*weight[c] * input[c];
    }
    int64_t mixed = sum >> 16;
    mixed = mixed > SQUASH_END ? SQUASH_END : mixed < -SQUASH_END ? -SQUASH_END : mixed;
    uint32_t one = j->squash[mixed + SQUASH_END];
    outcome = decide(s, one, outcome);
    if (outcome < 0) return outcome;
    int32_t error = outcome * 65536 - (int32_t)(one >> 8);
    s->own_weight[level] = bounded(s->own_weight[level] + ((base * error + (1 << 17)) >> 18));
    for (int c = 0; c < CONTEXTS; c++) {
        *weight[c] = bounded(*weight[c] + ((input[c] * error + (1 << 13)) >> 14));
        follow(s, s->walks + c, level, outcome);
    }
    int64_t rate = 131072 / (2 * s->own_seen[node] + 3);
    int64_t change = (outcome * 4194303 - (int64_t)own) * rate;
    s->own[node] = (uint32_t)(own + ((change + (1 << 15)) >> 16));
    if (s->own_seen[node] < OWN_SEEN) s->own_seen[node]++;
    return outcome;
}

static inline uint32_t node_at(const state *s, uint32_t rank, int level)
{
    return (((uint32_t)1 << s->j->bits) + rank) >> (s->j->bits - level);
}

/* Enter a whole code into a context, where its walk left the nodes that it knows. */
static inline void enter(state *s, const walk *w, uint32_t rank)
{
    if (w->kind == NODE) return;
    if (w->fork < 0) {
        int seen = w->kind == LEAF ? w->seen + 1 : 1;
        insert(s, w->key, node_at(s, rank, w->top), LEAF, rank, seen);
        return;
    }
    for (int level = w->top; level <= w->fork; level++) {
        int outcome = (int)(rank >> (s->j->bits - 1 - level) & 1);
        uint32_t one = repeated(s->start[level], level < w->fork ? outcome : !outcome, w->seen);
        one = learned(one, outcome, w->seen);
        insert(s, w->key, node_at(s, rank, level), NODE, one, w->seen + 1);
    }
    if (w->fork + 1 < s->j->bits) {
        insert(s, w->key, node_at(s, w->rank, w->fork + 1), LEAF, w->rank, w->seen);
        insert(s, w->key, node_at(s, rank, w->fork + 1), LEAF, rank, 1);
    }
}

/* Code one rank. Returns 0 or a failure. */
static int code_rank(state *s, uint32_t *rank)
{
    const job *j = s->j;
    uint32_t node = 1;
    for (int64_t level = 0; level < j->bits; level++) {
        int64_t below = j->bits - 1 - level;
        int64_t right = ((int64_t)(2 * node + 1) << below) - ((int64_t)1 << j->bits);
        if (right >= j->size) { /* nothing on this side: no decision */
            s->start[level] = 0;
            node *= 2;
            continue;
        }
        int outcome = step(s, (int)level, node, (int)(*rank >> below & 1));
        if (outcome < 0) return outcome;
        node = 2 * node + (uint32_t)outcome;
    }
    *rank = node - ((uint32_t)1 << j->bits);
    for (int c = 0; c < CONTEXTS; c++) enter(s, s->walks + c, *rank);
    return 0;
}

static int code_grids(state *s)
{
    const job *j = s->j;
    int64_t at = 0;
    for (int64_t r = 0; r < j->runs; r++) {
        int64_t count = j->grids[3 * r], height = j->grids[3 * r + 1], width = j->grids[3 * r + 2];
        for (int64_t i = 0; i < count * height; i++)
            for (int64_t x = 0; x < width; x++, at++) {
                uint64_t left = x ? (uint64_t)j->ranks[at - 1] + 1 : 0;
                uint64_t above = i % height ? (uint64_t)j->ranks[at - width] + 1 : 0;
                begin(s, left, above, j->before ? (uint64_t)j->before[at] + 1 : 0,
                      j->earlier ? (uint64_t)j->earlier[at] + 1 : 0);
                if (s->encoding && j->ranks[at] >= j->size) return BAD_CODE;
                int failure = code_rank(s, j->ranks + at);
                if (failure) return failure;
            }
    }
    return 0;
}

/* Tables as the job gives them, weights that trust a context the more, the more it has seen.
 * Returns 0, NO_MEMORY, or BAD_CODE for a probability above 1. */
static int prepare(state *s)
{
    const job *j = s->j;
    size_t nodes = (size_t)1 << j->bits;
    s->own = malloc(nodes * sizeof(*s->own));
    s->own_seen = malloc(nodes * sizeof(*s->own_seen));
    s->slots = calloc((size_t)j->slots, sizeof(*s->slots));
    if (!s->own || !s->own_seen || !s->slots) return NO_MEMORY;
    uint32_t all = 0;
    for (size_t n = 0; n < nodes; n++) all |= s->own[n] = j->own[n];
    if (all >> 22) return BAD_CODE;
    memcpy(s->own_seen, j->own_seen, nodes * sizeof(*s->own_seen));
    s->shift = 64;
    for (int64_t slots = j->slots / WAYS; slots > 1; slots /= 2) s->shift--;
    int32_t trust[SEEN + 1];
    for (int n = 0; n <= SEEN; n++) trust[n] = 39322 * n / (n + 3);
    for (int l = 0; l < j->bits; l++) {
        s->own_weight[l] = 65536;
        for (int i = 0; i < 2 * CONTEXTS; i++)
            memcpy(s->weight[l][i / 2][i % 2], trust, sizeof(trust));
    }
    return 0;
}

/* Append the ranks of a job to a message, or read them from one; the other is null. Returns 0 or a
 * failure below 0. */
EXPORT int64_t vocabula_adaptive(const job *j, encoder *written, decoder *read)
{
    if (j->bits < 1 || j->bits > LEVELS || j->size < 1 || j->size > (int64_t)1 << j->bits ||
        j->slots < 2 * WAYS || (j->slots & (j->slots - 1)))
        return BAD_CODE;
    state *s = malloc(sizeof(*s)); /* to clear it takes as long as a small picture */
    if (!s) return NO_MEMORY;
    s->j = j;
    s->decisions = 0;
    s->encoding = written != 0;
    if (written) s->e = *written;
    else s->d = *read;
    int64_t status = prepare(s);
    if (status == 0) status = code_grids(s);
    if (written) *written = s->e;
    else *read = s->d;
    free(s->own);
    free(s->own_seen);
    free(s->slots);
    free(s);
    return status;
}
