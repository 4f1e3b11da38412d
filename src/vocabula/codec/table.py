"""Integer tables of 24-bit probabilities: each code has a share [from, from + width) of 2^24."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from vocabula.codec.limits import MAX_SYMBOLS
from vocabula.errors import OptionError

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
        starts: (2^b + 1,) uint32, the code of every quantile that is a multiple of 2^(24 - b), and
            K - 1: there a decoder's search for a code begins, and takes one step or two.

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
        bits = min(16, max(4, len(counts).bit_length() + 1))
        quantiles = np.arange(1 << bits, dtype=np.uint32) << np.uint32(PRECISION - bits)
        starts = np.searchsorted(self.cumulative, quantiles, side="right") - 1
        self.starts = np.append(starts, len(counts) - 1).astype(np.uint32)

    def bits(self, codes: NDArray[np.uint32]) -> float:
        """The cross-entropy of codes (N,): what an ideal coder needs."""
        used = np.bincount(codes, minlength=len(self.widths))
        return float(used @ (PRECISION - np.log2(self.widths)))

    @functools.cached_property
    def prices(self) -> NDArray[np.int64]:
        """(K,) what each code costs, in 2^-16 bits rounded up: integers, alike on every machine."""
        places = np.frexp(self.widths)[1].astype(np.int64) - 1  # exact: widths are integers
        logarithm, rest = places << 16, self.widths << (30 - places)  # rest / 2^30 in [1, 2)
        for bit in range(15, -1, -1):
            rest = rest * rest >> 30
            over = rest >> 31
            logarithm += over << bit
            rest >>= over
        return (PRECISION << 16) - logarithm

    def price(self, codes: NDArray[np.uint32]) -> int:
        """What codes (N,) cost, in 2^-16 bits."""
        return int(np.bincount(codes, minlength=len(self.widths)) @ self.prices)


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
