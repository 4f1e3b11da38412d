"""The inputs of every case, equal for all contestants, and what their codes must be (in float64).

Only numpy is imported: a rival's process holds no torch unless the rival does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

CHECKED_ROWS = 64
#: A nearest codeword is clear where the second is farther by this share of the squared sizes:
#: float32 rounds a score of some hundred components by a tenth of it.
CLEAR = 1e-5


def normal(rows: int, dim: int, seed: int, offset: float = 0.0) -> Floats:
    """Normal float32 vectors (rows, dim) with mean `offset`; seed and shape determine them."""
    generator = np.random.default_rng([seed, rows, dim])
    x = generator.standard_normal((rows, dim), dtype=np.float32)
    return x + np.float32(offset) if offset else x


def mixture(rows: int, dim: int, clusters: int, seed: int) -> Floats:
    """Normal vectors around `clusters` normal centres that are twice as far apart as they are wide.

    The spread of a cluster is half that of the centres.
    """
    centres = normal(clusters, dim, seed + 1)
    chosen = np.random.default_rng([seed, clusters]).integers(clusters, size=rows)
    return centres[chosen] + 0.5 * normal(rows, dim, seed)


def some_rows(rows: int) -> NDArray[np.int64]:
    """Up to `CHECKED_ROWS` row numbers, spread evenly."""
    return np.unique(np.linspace(0, rows - 1, CHECKED_ROWS).astype(np.int64))


def wrong_codes(z: Any, codebook: Any, codes: Any) -> int:
    """How many codes (N,) are not the nearest in float64, where the nearest is clear.

    Args:
        z: (N, D) vectors.
        codebook: (K, D) codewords, K >= 1.
        codes: (N,) the codes to check.
    """
    e = np.asarray(codebook, dtype=np.float64)
    centre = e.mean(0)
    e, x = e - centre, np.asarray(z, dtype=np.float64) - centre
    size = np.square(e).sum(1)
    distance = size - 2 * x @ e.T
    given = np.take_along_axis(distance, np.asarray(codes, dtype=np.int64)[:, None], 1)[:, 0]
    slack = CLEAR * (np.square(x).sum(1) + size.max())
    return int((given > distance.min(1) + slack).sum())


def wrong_residual_codes(z: Any, codebooks: Sequence[Any], codes: Any) -> int:
    """How many codes (N, stages) are not the nearest to what the stages before them left."""
    residual, wrong = np.asarray(z, dtype=np.float64), 0
    for stage, codebook in enumerate(codebooks):
        wrong += wrong_codes(residual, codebook, codes[:, stage])
        residual = residual - np.asarray(codebook, dtype=np.float64)[codes[:, stage]]
    return wrong


def wrong_product_codes(z: Any, codebooks: Sequence[Any], codes: Any) -> int:
    """How many codes (N, parts) are not the nearest to their part of the vector."""
    parts = np.split(np.asarray(z), len(codebooks), axis=1)
    each = zip(parts, codebooks, np.asarray(codes).T, strict=True)
    return sum(wrong_codes(part, codebook, code) for part, codebook, code in each)


def wrong_sign_codes(z: Any, codes: Any) -> int:
    """How many codes (N,) are not the signs of the components, the first most significant."""
    bits = (np.asarray(z) > 0).astype(np.int64)
    expected = bits @ (1 << np.arange(bits.shape[1] - 1, -1, -1))
    return int((expected != np.asarray(codes)).sum())


def wrong_level_codes(z: Any, levels: Sequence[int], codes: Any) -> int:
    """How many codes (N,) differ from finite scalar quantization, where rounding is clear.

    Source:
        Mentzer et al. 2023, appendix A.1.
    """
    x = np.asarray(z, dtype=np.float64)
    code, base, clear = np.zeros(len(x), dtype=np.int64), 1, np.ones(len(x), dtype=bool)
    for column, level in enumerate(levels):
        half, offset = (level - 1) * (1 + 1e-3) / 2, 0.0 if level % 2 else 0.5
        bounded = half * np.tanh(x[:, column] + math.atanh(offset / half)) - offset
        digit = np.rint(bounded)
        clear &= np.abs(np.abs(bounded - digit) - 0.5) > CLEAR
        code += base * (digit.astype(np.int64) + level // 2)
        base *= level
    return int((clear & (code != np.asarray(codes))).sum())


def inertia(x: Any, centroids: Any) -> float:
    """Mean squared distance from the rows of `x` (N, D) to their nearest centroids, in float64."""
    e, total = np.asarray(centroids, dtype=np.float64), 0.0
    size = np.square(e).sum(1)
    for block in np.array_split(np.asarray(x), max(1, len(x) // 4096)):
        rows = block.astype(np.float64)
        total += float((np.square(rows).sum(1) + (size - 2 * rows @ e.T).min(1)).sum())
    return total / len(x)
