"""What the adaptive model begins with: integer tables of the logistic function, and of each node.

Everything is made by integer arithmetic, so that it is the same on every machine.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

SQUASH_END = 3072
LEAST = 64
OWN_SEEN = 1000
LARGEST_SLOTS = 2**20
"""8 MiB: more would help large segments by a thousandth, and leave the cache."""
SLOTS_PER_CODE = 16
_ONE = 1 << 60
_STEP = 1148426689630428644
"""exp(-1 / 256) in 2^60, rounded."""


def falling(end: int) -> list[int]:
    """exp(-i / 256) in 2^-60 for i from 0 to `end`, each from the one before, rounded down."""
    found = [_ONE]
    for _ in range(end):
        found.append(found[-1] * _STEP >> 60)
    return found


@functools.cache
def squash_table() -> NDArray[np.uint32]:
    """(6145,) the logistic function 2^24 / (1 + exp(-x / 256)) for x from -3072 to 3072.

    Bounded by 64 and 2^24 - 64, so that no outcome is impossible.
    """
    upper = [(_ONE << 24) // (_ONE + e) for e in falling(SQUASH_END)]
    upper = [min(p, 2**24 - LEAST) for p in upper]
    lower = [2**24 - p for p in upper[:0:-1]]
    return np.array(lower + upper, np.uint32)


@functools.cache
def stretch_table() -> NDArray[np.int16]:
    """(4096,) the inverse: the first x whose `squash_table` is at least (p + 1/2) / 2^12."""
    wanted = np.arange(4096, dtype=np.int64) * 4096 + 2048
    return (np.searchsorted(squash_table(), wanted) - SQUASH_END).astype(np.int16)


def bits_of(symbols: int) -> int:
    """Decisions that tell `symbols` codes apart: ceil(log2 K)."""
    return (symbols - 1).bit_length()


def slots_for(positions: int) -> int:
    """Slots for what contexts have seen: a power of two, 16 or more to a code but at most 2^20."""
    return int(min(LARGEST_SLOTS, max(256, 1 << (SLOTS_PER_CODE * positions - 1).bit_length())))


def own_tables(counts: NDArray[np.int64]) -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
    """What each node of the tree knows at the start.

    ::

        p(node) = sum_right (2 count + 1) / sum_both (2 count + 1)      seen = min(1000, sum counts)

    Args:
        counts: (K,) how often the code at each leaf occurred; zeros where nothing is known.

    Returns:
        (2^bits,) uint32 probability of going right in 2^22, and (2^bits,) uint16 how often the
        node has been seen; entry 0 is not used.
    """
    bits = bits_of(len(counts))
    leaves = 1 << bits
    weight = np.zeros(2 * leaves, np.int64)
    weight[leaves : leaves + len(counts)] = 2 * counts + 1
    seen = np.zeros(2 * leaves, np.int64)
    seen[leaves : leaves + len(counts)] = counts
    for level in range(bits - 1, -1, -1):
        here = slice(1 << level, 2 << level)
        below = slice(2 << level, 4 << level)
        weight[here] = weight[below].reshape(-1, 2).sum(1)
        seen[here] = seen[below].reshape(-1, 2).sum(1)
    right, both = weight[1::2], np.maximum(weight[:leaves], 1)
    own = np.full(leaves, 1 << 21, np.int64)
    own[1:] = (right[1:] << 22) // both[1:]
    np.clip(own, 16, (1 << 22) - 16, out=own)
    return own.astype(np.uint32), np.minimum(seen[:leaves], OWN_SEEN).astype(np.uint16)
