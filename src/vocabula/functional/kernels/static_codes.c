/* Codes by tables of 24-bit probabilities, one for all of them or one for each, and the two ends of a
 * message. */

#include "common.h"
#include "range_coder.h"

/* Whether a quantile lies in a step of a table; one that does not rise to 2^24 has none for some. */
static inline int holds(const uint32_t *step, uint64_t quantile)
{
    return step[0] <= quantile && quantile < step[1] && step[1] <= TOTAL;
}

/* Append codes (count), whose probabilities are the steps of `cumulative` (size + 1), from 0 to
 * 2^24, to a message. Returns 0, BAD_CODE or NO_ROOM. */
EXPORT int64_t vocabula_encode_static(encoder *message, const uint32_t *codes, int64_t count,
                                      const uint32_t *cumulative, int64_t size)
{
    encoder e = *message;
    for (int64_t i = 0; i < count; i++) {
        uint32_t code = codes[i];
        if (code >= size) return BAD_CODE;
        uint32_t from = cumulative[code];
        if (cumulative[code + 1] <= from || cumulative[code + 1] > TOTAL) return BAD_CODE;
        if (put(&e, from, cumulative[code + 1] - from)) return NO_ROOM;
    }
    *message = e;
    return 0;
}

/* Read codes (count) from a message, of `cumulative` (size + 1). `starts` (2^bits + 1) has the code
 * of every quantile that is a multiple of 2^(24 - bits), and size - 1. Returns 0, BAD_WORDS or
 * BAD_CODE. */
EXPORT int64_t vocabula_read_static(decoder *message, const uint32_t *cumulative, int64_t size,
                                      const uint32_t *starts, int64_t bits, uint32_t *codes,
                                      int64_t count)
{
    if (bits < 0 || bits > PRECISION) return BAD_CODE;
    decoder d = *message;
    for (int64_t i = 0; i < count; i++) {
        uint64_t quantile = peek(&d);
        if (quantile >= TOTAL || over(&d)) return BAD_WORDS;
        uint64_t bucket = quantile >> (PRECISION - bits);
        uint32_t low = starts[bucket], high = starts[bucket + 1];
        if (low > high || high >= size) return BAD_CODE;
        while (low < high) {
            uint32_t middle = low + (high - low + 1) / 2;
            if (cumulative[middle] <= quantile) low = middle;
            else high = middle - 1;
        }
        if (!holds(cumulative + low, quantile)) return BAD_CODE;
        take(&d, cumulative[low], cumulative[low + 1] - cumulative[low]);
        codes[i] = low;
    }
    *message = d;
    return 0;
}

/* Append symbols (count) of the shares [from, from + width) of 2^24, each its own; one of all 2^24
 * takes no part. Returns 0, BAD_CODE or NO_ROOM. */
EXPORT int64_t vocabula_encode_shares(encoder *message, const uint32_t *from, const uint32_t *width,
                                      int64_t count)
{
    encoder e = *message;
    for (int64_t i = 0; i < count; i++) {
        if (!width[i] || from[i] > TOTAL || width[i] > TOTAL - from[i]) return BAD_CODE;
        if (width[i] < TOTAL && put(&e, from[i], width[i])) return NO_ROOM;
    }
    *message = e;
    return 0;
}

/* Read codes (count), number i by row i of `cumulative` (count, size + 1), which rises from 0 to
 * 2^24. Returns 0, BAD_WORDS or BAD_CODE. */
EXPORT int64_t vocabula_decode_rows(decoder *message, const uint32_t *cumulative, int64_t size,
                                    uint32_t *codes, int64_t count)
{
    decoder d = *message;
    for (int64_t i = 0; i < count; i++, cumulative += size + 1) {
        if (size == 1) {
            codes[i] = 0;
            continue;
        }
        uint64_t quantile = peek(&d);
        if (quantile >= TOTAL || over(&d)) return BAD_WORDS;
        int64_t low = 0, high = size - 1;
        while (low < high) {
            int64_t middle = low + (high - low + 1) / 2;
            if (cumulative[middle] <= quantile) low = middle;
            else high = middle - 1;
        }
        if (!holds(cumulative + low, quantile)) return BAD_CODE;
        take(&d, cumulative[low], cumulative[low + 1] - cumulative[low]);
        codes[i] = (uint32_t)low;
    }
    *message = d;
    return 0;
}

/* End a message. Returns the number of its words or NO_ROOM. */
EXPORT int64_t vocabula_finish(encoder *message) { return finish(message); }

/* Begin to read a message of words (count). */
EXPORT int64_t vocabula_open(decoder *message, const uint32_t *words, int64_t count)
{
    *message = start_decoder(words, count);
    return 0;
}

/* Returns 0 if the message had just the words of what was read, else BAD_WORDS. */
EXPORT int64_t vocabula_whole(const decoder *message) { return whole(message) ? 0 : BAD_WORDS; }
