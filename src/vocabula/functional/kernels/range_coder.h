/* A range coder of 32-bit words with a 64-bit state and 24-bit probabilities. Its words are those of
 * constriction's RangeEncoder, which the tests hold it to.
 *
 * The encoder keeps an interval [lower, lower + range) with range >= 2^32, a symbol of probability
 * width / 2^24 narrows it, and whole words leave at the top. A carry out of `lower` runs back over
 * the words already written. The decoder keeps how far the coded point lies above `lower`, and refuses
 * words that the encoder would not have written.
 *
 * Source: Martin 1979, "Range encoding"; Bamler 2022, "Understanding entropy coding with asymmetric
 * numeral systems", for the library whose words these are. */

#ifndef VOCABULA_RANGE_CODER_H
#define VOCABULA_RANGE_CODER_H

#include <stdint.h>

#define PRECISION 24
#define TOTAL ((uint32_t)1 << PRECISION)
#define SMALLEST_RANGE ((uint64_t)1 << 32)

enum { BAD_CODE = -1, NO_ROOM = -2, BAD_WORDS = -3, NO_MEMORY = -4 };

typedef struct {
    uint64_t lower, range;
    uint32_t *words;
    int64_t count, capacity;
} encoder;

static inline encoder start_encoder(uint32_t *words, int64_t capacity)
{
    return (encoder){.range = UINT64_MAX, .words = words, .capacity = capacity};
}

static inline void carry(encoder *e)
{
    for (int64_t i = e->count; i-- > 0 && ++e->words[i] == 0;) continue;
}

/* Narrow to the symbol of [from, from + width) out of 2^24. Returns 0, or NO_ROOM. */
static inline int put(encoder *e, uint32_t from, uint32_t width)
{
    uint64_t scale = e->range >> PRECISION, lower = e->lower + scale * from;
    if (lower < e->lower) carry(e);
    e->lower = lower;
    e->range = scale * width;
    if (e->range < SMALLEST_RANGE) {
        if (e->count == e->capacity) return NO_ROOM;
        e->words[e->count++] = (uint32_t)(lower >> 32);
        e->lower = lower << 32;
        e->range <<= 32;
    }
    return 0;
}

/* Write the one or two words that any continuation decodes alike. Returns the number of all words. */
static inline int64_t finish(encoder *e)
{
    if (e->range == UINT64_MAX) return 0;
    uint64_t point = e->lower + (SMALLEST_RANGE - 1), upper = e->lower + e->range;
    if (e->capacity - e->count < 2) return NO_ROOM;
    if (point < e->lower) carry(e);
    e->words[e->count++] = (uint32_t)(point >> 32);
    if (upper >> 32 == point >> 32) e->words[e->count++] = 0;
    return e->count;
}

typedef struct {
    uint64_t lower, above, range;
    const uint32_t *words;
    int64_t at, count;
} decoder;

static inline uint32_t next_word(decoder *d)
{
    uint32_t word = d->at < d->count ? d->words[d->at] : 0;
    d->at++;
    return word;
}

static inline decoder start_decoder(const uint32_t *words, int64_t count)
{
    decoder d = {.range = UINT64_MAX, .words = words, .count = count};
    d.above = (uint64_t)next_word(&d) << 32;
    d.above |= next_word(&d);
    return d;
}

/* Where the next symbol lies in [0, 2^24); 2^24 or more only in damaged words. */
static inline uint64_t peek(const decoder *d) { return d->above / (d->range >> PRECISION); }

/* Whether more words have been taken than any message of these could need: what comes is zeros. */
static inline int over(const decoder *d) { return d->at > d->count + 2; }

/* Narrow to the symbol of [from, from + width), which holds what `peek` gave. */
static inline void take(decoder *d, uint32_t from, uint32_t width)
{
    uint64_t scale = d->range >> PRECISION;
    d->lower += scale * from;
    d->above -= scale * from;
    d->range = scale * width;
    if (d->range < SMALLEST_RANGE) {
        d->range <<= 32;
        d->lower <<= 32;
        d->above = d->above << 32 | next_word(d);
    }
}

/* Append a decision of probability `one` of being 1, in 2^24; 0 has the lower part. Returns the
 * outcome, or NO_ROOM. */
static inline int put_decision(encoder *e, uint32_t one, int outcome)
{
    uint32_t zero = TOTAL - one;
    return put(e, outcome ? zero : 0, outcome ? one : zero) ? NO_ROOM : outcome;
}

/* Read such a decision. Returns the outcome, or BAD_WORDS. */
static inline int take_decision(decoder *d, uint32_t one)
{
    uint64_t quantile = peek(d);
    uint32_t zero = TOTAL - one;
    if (quantile >= TOTAL || over(d)) return BAD_WORDS;
    int outcome = quantile >= zero;
    take(d, outcome ? zero : 0, outcome ? one : zero);
    return outcome;
}

/* Whether exactly the words were there that an encoder writes for what was decoded. The decoder is
 * two words ahead of the encoder's renormalizations. */
static inline int whole(const decoder *d)
{
    if (d->range == UINT64_MAX) return d->count == 0;
    uint64_t point = d->lower + (SMALLEST_RANGE - 1), upper = d->lower + d->range;
    int two = upper >> 32 == point >> 32;
    if (d->count != d->at - 1 + two || d->words[d->at - 2] != (uint32_t)(point >> 32)) return 0;
    return !two || d->words[d->at - 1] == 0;
}

#endif
