"""Integer tables of 24-bit probabilities, and codes coded with one.

    code --[from, from + width) of 2^24--> range coder --> 32-bit words

The words are those of constriction's `RangeEncoder`. The compiled kernels write and read them at
tens of millions of codes a second; without them constriction itself does.
"""

from __future__ import annotations

from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from vocabula.codec import native
from vocabula.codec.limits import MAX_SYMBOLS
from vocabula.errors import CodecError, OptionError

PRECISION = 24
TOTAL = 1 << PRECISION
_LARGEST_COUNT = 2**38


class Table:
    """Probabilities width_k / 2^24 of K codes, in proportion to counts, none of them 0.

    ::

        width_k = max(1, round-down share of count_k in what the others leave), sum width_k = 2^24

    All arithmetic is on integers, so the table is the same on every machine. A code whose share is
    below 1 gets 1; what rounding leaves over goes to the largest remainders, lowest code first.

    Args:
        counts: (K,) integers >= 0, not all 0; K at most 2^22.

    Attributes:
        widths: (K,) int64 >= 1, of sum 2^24.
        cumulative: (K + 1,) uint32, 0 to 2^24.

    Raises:
        OptionError: K or a count is out of range.

    Example:
        >>> Table(np.array([3, 1])).widths.tolist()
        [12582912, 4194304]
    """

    def __init__(self, counts: NDArray[np.int64]) -> None:
        if not 1 <= len(counts) <= MAX_SYMBOLS:
            raise OptionError(
                f"codes: expected 1 to {MAX_SYMBOLS} codewords, got {len(counts)}; "
                "use several smaller books"
            )
        self.widths = _widths(np.asarray(counts, np.int64))
        self.cumulative = np.concatenate([[0], np.cumsum(self.widths)]).astype(np.uint32)
        # The decoder starts its search for a code here, so that it takes one step or two.
        bits = min(16, max(4, len(counts).bit_length() + 1))
        quantiles = np.arange(1 << bits, dtype=np.uint32) << np.uint32(PRECISION - bits)
        starts = np.searchsorted(self.cumulative, quantiles, side="right") - 1
        self._starts = np.append(starts, len(counts) - 1).astype(np.uint32)

    def bits(self, codes: NDArray[np.uint32]) -> float:
        """The cross-entropy of codes (N,): what an ideal coder needs."""
        used = np.bincount(codes, minlength=len(self.widths))
        return float(used @ (PRECISION - np.log2(self.widths)))

    def encode(self, codes: NDArray[np.uint32], choice: int = 0, choice_bits: int = 0) -> bytes:
        """The words of codes (N,), as bytes; a number of `choice_bits` bits goes before them.

        Raises:
            CodecError: a code is K or more.
        """
        if codes.size and int(codes.max()) >= len(self.widths):
            raise CodecError(
                f"codes: expected values below {len(self.widths)}, got {int(codes.max())}; "
                "use the codes of this tokenizer"
            )
        if len(self.widths) == 1:
            return b""
        if native.available():
            words = native.encode_static(codes, self.cumulative, choice, choice_bits)
        else:
            words = self._encode_with_constriction(codes, choice, choice_bits)
        return words.astype("<u4", copy=False).tobytes()

    def decode(
        self, content: bytes, count: int, choice: int = 0, choice_bits: int = 0
    ) -> NDArray[np.uint32]:
        """The codes (count,) of bytes that begin with `choice`, see `choice_of`.

        Raises:
            CodecError: no encoder writes these bytes.
        """
        words = words_of(content)
        if len(self.widths) == 1:
            if len(words):
                raise bad_words()
            return np.zeros(count, np.uint32)
        if native.available():
            return native.decode_static(
                words, self.cumulative, self._starts, choice, choice_bits, count
            )
        return self._decode_with_constriction(words, count, choice, choice_bits)

    def _model(self) -> Any:
        """The same table for constriction.

        It gives each code 1 and shares out 2^24 - K in proportion to what it is handed. Handed
        width - 1, whose sum is just that, it adds up integers below 2^24, which float64 holds.
        """
        shares = (self.widths - 1).astype(np.float64)
        return constriction.stream.model.Categorical(shares, perfect=False)

    def _encode_with_constriction(
        self, codes: NDArray[np.uint32], choice: int, choice_bits: int
    ) -> NDArray[np.uint32]:
        encoder = constriction.stream.queue.RangeEncoder()
        if choice_bits:
            encoder.encode(choice, constriction.stream.model.Uniform(1 << choice_bits))
        encoder.encode(codes.astype(np.int32), self._model())
        return encoder.get_compressed()

    def _decode_with_constriction(
        self, words: NDArray[np.uint32], count: int, choice: int, choice_bits: int
    ) -> NDArray[np.uint32]:
        decoder = constriction.stream.queue.RangeDecoder(words)
        try:
            if choice_bits:
                decoder.decode(constriction.stream.model.Uniform(1 << choice_bits))
            codes = decoder.decode(self._model(), count).astype(np.uint32)
        except (ValueError, AssertionError):
            raise bad_words() from None
        # An encoder writes no word more and none less than these codes need.
        again = self._encode_with_constriction(codes, choice, choice_bits)
        if not np.array_equal(again, words):
            raise bad_words()
        return codes


def choice_of(content: bytes, choice_bits: int) -> int:
    """The number of `choice_bits` bits that bytes begin with, as the range coder wrote it."""
    words = words_of(content[:8].ljust(8, b"\0"))
    scale = ((1 << 64) - 1) >> PRECISION
    quantile = (int(words[0]) << 32 | int(words[1])) // scale
    return min(quantile, TOTAL - 1) >> (PRECISION - choice_bits)


def words_of(content: bytes) -> NDArray[np.uint32]:
    """Bytes as 32-bit words.

    Raises:
        CodecError: their number is no multiple of 4.
    """
    if len(content) % 4:
        raise bad_words()
    return np.frombuffer(content, "<u4").astype(np.uint32)


def bad_words() -> CodecError:
    """The error for words that no encoder writes."""
    return CodecError(
        "codes: expected the words of an encoder, got others; the file is damaged or its entropy "
        "model is another, compress the original again"
    )


def _widths(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Integer shares of 2^24, each at least 1."""
    largest = int(counts.max())
    if int(counts.min()) < 0 or not 0 < largest <= _LARGEST_COUNT:
        raise OptionError(
            f"counts: expected integers from 0 to 2^38 that are not all 0, got {counts.min()} to "
            f"{largest}; count the codes again"
        )
    small = np.zeros(len(counts), bool)
    while True:
        room, total = TOTAL - int(small.sum()), int(counts[~small].sum())
        # A share of less than 1 is raised to 1, which lowers the others: some may fall below 1 too.
        shares, rest = _divide(counts, room, total)
        below = ~small & (shares < 1)
        if not below.any():
            break
        small |= below
    widths = np.where(small, 1, shares)
    left = TOTAL - int(widths.sum())
    # Largest remainder first, then lowest code; a code that was raised to 1 gets nothing more.
    order = np.lexsort((np.arange(len(counts)), np.where(small, 1, -rest)))
    widths[order[:left]] += 1
    return widths


def _divide(
    counts: NDArray[np.int64], room: int, total: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Quotients and remainders of counts * room / total."""
    products = counts * np.int64(room)
    return products // total, products % total
