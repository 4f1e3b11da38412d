/* Codes by one table of 24-bit probabilities for all of them. */

#include "common.h"
#include "range_coder.h"

/* Write the words of `choice`, a number of `choice_bits` bits that says which table it is, and of
 * codes (count), whose probabilities are the steps of `cumulative` (size + 1), from 0 to 2^24.
 * Returns the number of words, BAD_CODE or NO_ROOM. */
EXPORT int64_t vocabula_encode_static(const uint32_t *codes, int64_t count,
                                      const uint32_t *cumulative, int64_t size, int64_t choice,
                                      int64_t choice_bits, uint32_t *words, int64_t capacity)
{
    encoder e = start_encoder(words, capacity);
    uint32_t width = TOTAL >> choice_bits;
    if (choice_bits && put(&e, (uint32_t)choice * width, width)) return NO_ROOM;
    for (int64_t i = 0; i < count; i++) {
        uint32_t code = codes[i];
        if (code >= size) return BAD_CODE;
        uint32_t from = cumulative[code];
        if (put(&e, from, cumulative[code + 1] - from)) return NO_ROOM;
    }
    return finish(&e);
}

/* Read codes (count) from words (length) that begin with `choice`. `starts` (2^bits + 1) has the
 * code of every quantile that is a multiple of 2^(24 - bits), and size - 1. Returns 0 or
 * BAD_WORDS. */
EXPORT int64_t vocabula_decode_static(const uint32_t *words, int64_t length,
                                      const uint32_t *cumulative, const uint32_t *starts,
                                      int64_t bits, int64_t choice, int64_t choice_bits,
                                      uint32_t *codes, int64_t count)
{
    decoder d = start_decoder(words, length);
    uint32_t width = TOTAL >> choice_bits;
    if (choice_bits && peek(&d) / width != (uint64_t)choice) return BAD_WORDS;
    if (choice_bits) take(&d, (uint32_t)choice * width, width);
    for (int64_t i = 0; i < count; i++) {
        uint64_t quantile = peek(&d);
        if (quantile >= TOTAL) return BAD_WORDS;
        uint64_t bucket = quantile >> (PRECISION - bits);
        uint32_t low = starts[bucket], high = starts[bucket + 1];
        while (low < high) {
            uint32_t middle = low + (high - low + 1) / 2;
            if (cumulative[middle] <= quantile) low = middle;
            else high = middle - 1;
        }
        take(&d, cumulative[low], cumulative[low + 1] - cumulative[low]);
        codes[i] = low;
    }
    return whole(&d) ? 0 : BAD_WORDS;
}
