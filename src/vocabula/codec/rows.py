"""Tables of 24-bit probabilities by the row, one for each code, as networks predict them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vocabula.codec.table import TOTAL

LARGEST_WEIGHT = 2**30
"""Of a symbol: its product with 2^24 stays far below 2^63."""


def cumulative_rows(weights: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Cumulative widths of each row of weights, by integer arithmetic alone.

    ::

        width_k = 1 + floor(weight_k (2^24 - K) / sum_j weight_j)

    What rounding leaves over goes to the first of the largest weights.

    Args:
        weights: (N, K) integers in [0, 2^30]; a row of zeros gives all to its first symbol.

    Returns:
        (N, K + 1) uint32, from 0 to 2^24, each step at least 1.

    Example:
        >>> cumulative_rows(np.array([[3, 1]])).tolist()
        [[0, 12582912, 16777216]]
    """
    count, size = weights.shape
    room = np.int64(TOTAL - size)
    widths = weights * room // np.maximum(weights.sum(1, keepdims=True), 1) + 1
    left = TOTAL - widths.sum(1)
    widths[np.arange(count), weights.argmax(1)] += left
    rows = np.zeros((count, size + 1), np.uint32)
    np.cumsum(widths, axis=1, out=rows[:, 1:], dtype=np.uint32)
    return rows


def shares_of(
    rows: NDArray[np.uint32], codes: NDArray[np.uint32]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Where the shares of codes (N,) begin in rows (N, K + 1), and how wide they are."""
    at = np.arange(len(codes))
    starts = rows[at, codes]
    return starts, rows[at, codes + 1] - starts
